r"""Contrastive learning of a space that two modalities share.

Of a batch of pairs, the similarities S of every query with every item become probabilities along rows and columns,

.. math:: L = \tfrac12 \left[ \mathrm{CE}(S / T, P) + \mathrm{CE}(S^\top / T, Q) \right]

with temperature T (Radford et al. 2021, arXiv:2103.00020). What should come out, P and Q, is a choice:

``"identity"``
    The partner of a query is right, everything else in the batch is wrong. With few classes that is not so: among 8
    pairs of 7 classes one class is there twice at least, so that an item of the right class counts as wrong (a false
    negative), and the loss pushes apart what belongs together.
``"label_aware"``
    Every item of the query's class is right, each with the same share. There are no false negatives. Within a class,
    nothing tells pairs apart, which for pairs that were drawn by class is as it should be.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from snnsim.errors import ParameterError, one_of
from snnsim.training.contrastive.projection import PairProjection, check_pair_labels
from snnsim.training.parameters.settings import flag, number
from snnsim.training.parameters.values import brought_back

TARGETS = ("identity", "label_aware")
#: A learned temperature goes no lower, so that similarities are scaled by 100 at most (arXiv:2103.00020).
LOWEST_TEMPERATURE = 0.01


def contrastive_loss(similarity: Tensor, labels: Tensor, temperature: Tensor | float, targets: str) -> Tensor:
    """Return the symmetric cross entropy of a batch of pairs.

    Parameters
    ----------
    similarity : Tensor, shape (pairs, pairs)
        Of query i with item j; i and i are a pair.
    labels : Tensor of int64, shape (pairs,)
        Class of each pair.
    temperature : float or Tensor
    targets : {"identity", "label_aware"}

    Raises
    ------
    ParameterError
        `targets` is not known, or shapes do not fit together.
    """
    one_of("targets", targets, TARGETS)
    check_pair_labels(labels)
    count = labels.shape[0]
    if similarity.shape != (count, count):
        raise ParameterError(f"similarity has shape {tuple(similarity.shape)} for {count} labels; must be square")
    logits = similarity / temperature
    if targets == "identity":
        wanted = torch.eye(count, dtype=logits.dtype)
    else:
        same = (labels[:, None] == labels).to(logits.dtype)
        wanted = same / same.sum(1, keepdim=True)  # both sides have the same labels, so rows serve for columns too
    rows = -(wanted * functional.log_softmax(logits, dim=1)).sum(1).mean()
    columns = -(wanted * functional.log_softmax(logits.T, dim=1)).sum(1).mean()
    return 0.5 * (rows + columns)


class ContrastiveProjection(PairProjection):
    """One fully connected layer and a GELU a modality, trained to bring pairs together.

    Parameters
    ----------
    query_size, gallery_size : int
        Features of a query and of an item of the gallery.
    dimensions : int
        Of the common space.
    temperature : float
        By which similarities are divided in the loss.
    learn_temperature : bool
        Learn its logarithm from there on; it stays at 0.01 or above.
    targets : {"label_aware", "identity"}
        What the loss holds for right (see `snnsim.training.contrastive.contrastive`).
    normalised : bool
        Similarity is the cosine; otherwise the plain dot product, by which an item of great length is near to all.
    standardised : bool
        Bring each feature to mean 0 and standard deviation 1 over the training data.
    seed : int
        Of the first weights.

    Examples
    --------
    >>> model = ContrastiveProjection(200, 200, 64, temperature=0.1, normalised=True)  # doctest: +SKIP
    >>> model.fit(*split.part("train", spoken, written))                               # doctest: +SKIP
    >>> ask(model, split, spoken, written)["out-of-class"].accuracy                    # doctest: +SKIP
    """

    kind = "contrastive_projection"

    def __init__(
        self,
        query_size: int,
        gallery_size: int,
        dimensions: int = 64,
        *,
        temperature: float = 1.0,
        learn_temperature: bool = False,
        targets: str = "label_aware",
        normalised: bool = False,
        standardised: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(query_size, gallery_size, dimensions, standardised=standardised, seed=seed)
        temperature = number("temperature", temperature)
        one_of("targets", targets, TARGETS)
        learn_temperature = flag("learn_temperature", learn_temperature)
        if learn_temperature and temperature < LOWEST_TEMPERATURE:
            raise ParameterError(f"temperature={temperature!r}: a learned one starts at {LOWEST_TEMPERATURE} or above")
        self.temperature, self.learn_temperature = float(temperature), learn_temperature
        self.targets, self.normalised = targets, flag("normalised", normalised)
        start = torch.tensor(math.log(self.temperature), dtype=torch.float64)
        if learn_temperature:
            self.log_temperature = nn.Parameter(start)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make a projection of the same shape."""
        return {
            "query_size": self.sizes["query"],
            "gallery_size": self.sizes["gallery"],
            "dimensions": self.dimensions,
            "temperature": self.temperature,
            "learn_temperature": self.learn_temperature,
            "targets": self.targets,
            "normalised": self.normalised,
            "standardised": self.standardised,
            "seed": self.seed,
        }

    @property
    def current_temperature(self) -> float:
        """Temperature as it is now."""
        return math.exp(float(self._logarithm().detach())) if self.learn_temperature else self.temperature

    def after_step(self) -> None:
        """Keep a learned temperature at its lowest value or above."""
        if self.learn_temperature:
            self._logarithm()

    def _logarithm(self) -> Tensor:
        return brought_back(self.log_temperature, math.log(LOWEST_TEMPERATURE), None)

    def similarity(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return cosines or dot products, shape (queries, items)."""
        if self.normalised:
            queries, gallery = functional.normalize(queries, dim=1), functional.normalize(gallery, dim=1)
        return queries @ gallery.T

    def loss(self, queries: Tensor, gallery: Tensor, labels: Tensor) -> Tensor:
        """Return the contrastive loss of a batch of pairs."""
        near = self.similarity(self.project_queries(queries), self.project_gallery(gallery))
        temperature: Tensor | float = self._logarithm().exp() if self.learn_temperature else self.temperature
        return contrastive_loss(near, labels, temperature, self.targets)

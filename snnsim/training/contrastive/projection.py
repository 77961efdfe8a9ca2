"""What projections of two modalities into one space share: the layers, the loop over pairs, the file.

One fully connected layer and a GELU a modality (Lin et al. 2025, doi:10.1038/s43588-024-00751-z, whose projections are
all that is trained). How near two vectors are, and what is minimised, is for the kinds to say.
"""

from __future__ import annotations

import json
import math
import time
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from snnsim.errors import CapabilityError, DataError, ParameterError
from snnsim.numerics import rng
from snnsim.numerics.sampling import check_seed
from snnsim.storage.hdf5 import read_hdf5, write_hdf5
from snnsim.training.compute.threads import working
from snnsim.training.contrastive.history import PairHistory
from snnsim.training.parameters.finite import refuse_not_finite
from snnsim.training.parameters.hooks import refuse_hooks, work_out
from snnsim.training.parameters.settings import flag, number, plain_number, whole_number
from snnsim.training.parameters.values import computed_in
from snnsim.zero_shot.features import LabelledFeatures
from snnsim.zero_shot.retrieval import retrieve
from snnsim.zero_shot.split import pair_by_class, refuse_unseen

Pairs = tuple[LabelledFeatures, LabelledFeatures]


class PairProjection(nn.Module):
    """Base of projections of queries and of a gallery into one space, in double precision.

    Parameters
    ----------
    query_size, gallery_size : int
        Features of a query and of an item of the gallery.
    dimensions : int
        Of the common space.
    standardised : bool
        Bring each feature to mean 0 and standard deviation 1 over the recordings that are learned from; one that is
        constant there becomes 0. Otherwise features are taken as they are.
    seed : int
        Of the first weights, which are uniform within one over the square root of the features.

    Attributes
    ----------
    classes : tuple of int
        Classes that were learned from; empty before `fit`.
    history : PairHistory
        Of the last `fit`.
    """

    #: Kind of the file that `save` writes.
    kind: ClassVar[str]
    #: What it computes in.
    dtype = torch.float64

    def __init__(
        self, query_size: int, gallery_size: int, dimensions: int = 64, *, standardised: bool = True, seed: int = 0
    ) -> None:
        super().__init__()
        self.dimensions, self.seed = whole_number("dimensions", dimensions), check_seed("seed", plain_number(seed))
        sizes = {"query": query_size, "gallery": gallery_size}
        self.sizes = {side: whole_number(f"{side}_size", size) for side, size in sizes.items()}
        self.standardised = flag("standardised", standardised)
        self.classes: tuple[int, ...] = ()
        self.history = PairHistory()
        for side, size in self.sizes.items():
            for name, shape in (("weight", (self.dimensions, size)), ("bias", (self.dimensions,))):
                stream, count = rng.stream_number("projection", side, name), math.prod(shape)
                drawn = rng.uniform(self.seed, stream, np.arange(count)).reshape(shape)
                self.register_parameter(
                    f"{side}_{name}", nn.Parameter(torch.from_numpy((2.0 * drawn - 1.0) / math.sqrt(size)))
                )
            self.register_buffer(f"{side}_mean", torch.zeros(size, dtype=torch.float64))
            self.register_buffer(f"{side}_scale", torch.ones(size, dtype=torch.float64))

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the arguments that make a projection of the same kind and shape."""

    @abstractmethod
    def similarity(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return how near projected vectors are, shape (queries, items)."""

    @abstractmethod
    def loss(self, queries: Tensor, gallery: Tensor, labels: Tensor) -> Tensor:
        """Return what is minimised over a batch of pairs.

        Parameters
        ----------
        queries, gallery : Tensor, shapes (pairs, query_size) and (pairs, gallery_size)
            Features; row i of both is pair i.
        labels : Tensor of int64, shape (pairs,)
        """

    @property
    def current_temperature(self) -> float:
        """Temperature as it is now; NaN for kinds that have none."""
        return math.nan

    def after_step(self) -> None:
        """Bring parameters back into their range after a step of the optimiser."""

    # -- projecting --------------------------------------------------------------------------------------

    def project_queries(self, features: Tensor) -> Tensor:
        """Return queries in the common space, shape (queries, dimensions)."""
        return self._project("query", features)

    def project_gallery(self, features: Tensor) -> Tensor:
        """Return items of the gallery in the common space, shape (items, dimensions)."""
        return self._project("gallery", features)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Stay in double precision on the cpu."""
        if computed_in(self, fn) != self.dtype:
            raise CapabilityError(f"{type(self).__name__} computes in float64")
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def _project(self, side: str, features: Tensor) -> Tensor:
        if not isinstance(features, Tensor) or features.ndim != 2 or features.shape[1] != self.sizes[side]:
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise DataError(f"{side}: expected a Tensor of shape (recordings, {self.sizes[side]}), got {found}")
        features = features.to(self.dtype)
        refuse_not_finite(f"{side} features", features)
        refuse_hooks(self, type(self).__name__)
        work_out(self)
        parameter = {name: getattr(self, f"{side}_{name}") for name in ("weight", "bias", "mean", "scale")}
        scaled = (features - parameter["mean"]) * parameter["scale"]
        return functional.gelu(functional.linear(scaled, parameter["weight"], parameter["bias"]))

    def scores(self, queries: LabelledFeatures, gallery: LabelledFeatures) -> NDArray[np.float64]:
        """Return how near queries and items are, shape (queries, items), the higher the nearer.

        Raises
        ------
        DataError
            The number of features is another than the projection was made for.
        ParameterError
            A parameter is not finite.
        """
        self._check(queries, gallery, "scores")
        with torch.no_grad(), working():
            first = self.project_queries(torch.from_numpy(queries.values))
            second = self.project_gallery(torch.from_numpy(gallery.values))
            return np.asarray(self.similarity(first, second).numpy(), np.float64)

    def _check(self, queries: LabelledFeatures, gallery: LabelledFeatures, where: str) -> None:
        for name, value in self.named_parameters():
            refuse_not_finite(name, value)
        for side, given in (("query", queries), ("gallery", gallery)):
            if given.values.shape[1] != self.sizes[side] or not len(given):
                raise DataError(
                    f"{where}, {side}: features of shape {given.values.shape}; the projection takes "
                    f"{self.sizes[side]} a recording, of one recording at least"
                )

    # -- learning ----------------------------------------------------------------------------------------

    def fit(
        self,
        queries: LabelledFeatures,
        gallery: LabelledFeatures,
        *,
        validation: Pairs | None = None,
        unseen: tuple[int, ...] = (),
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        patience: int | None = None,
        redraw: bool = False,
        seed: int = 0,
    ) -> PairHistory:
        """Learn from pairs of the same class with Adam, and keep the weights of the best epoch.

        Parameters
        ----------
        queries, gallery : LabelledFeatures
            Of the same classes. Pairs are those of `snnsim.zero_shot.pair_by_class`.
        validation : (LabelledFeatures, LabelledFeatures), optional
            Other recordings of the training data, on which the epoch is chosen by their top-1 retrieval, of equals by
            their loss. Test data must not be used for this. Without it the last epoch is kept.
        unseen : tuple of int
            Classes that must be neither in the training nor in the validation data.
        epochs, batch_size : int
            The pairs of an epoch are divided evenly into batches of at most `batch_size`.
        learning_rate, weight_decay : float
            Weight decay is added to gradients (of everything).
        patience : int, optional
            Stop after so many epochs that were not better than the best.
        redraw : bool
            Draw other pairs in every epoch, instead of the same ones.
        seed : int
            Of the pairs and of their order. The same seed gives the same bits.

        Returns
        -------
        PairHistory

        Raises
        ------
        ParameterError
            A setting is not allowed, or the loss becomes infinite.
        DataError
            Features do not fit, a class is in one modality only, or one that must stay unseen is among them; a
            recording is both learned from and validated on.
        """
        epochs, batch_size = whole_number("epochs", epochs), whole_number("batch_size", batch_size, at_least=2)
        learning_rate = number("learning_rate", learning_rate)
        weight_decay = number("weight_decay", weight_decay, zero=True)
        if patience is not None:
            patience = whole_number("patience", patience)
            if validation is None:
                raise ParameterError(f"patience={patience}: stopping early takes validation data")
        seed = check_seed("seed", plain_number(seed))
        flag("redraw", redraw)
        self._check_data(queries, gallery, validation, unseen)
        if self.standardised:
            self._standardise("query", queries.values)
            self._standardise("gallery", gallery.values)
        self.classes = tuple(int(label) for label in np.unique(queries.labels))
        self.history = history = PairHistory()
        steps = torch.optim.Adam(self.parameters(), lr=learning_rate, weight_decay=weight_decay, foreach=True)
        sides = [torch.from_numpy(side.values) for side in (queries, gallery)]
        labels, best = torch.from_numpy(queries.labels), _copied(self)
        pairs = pair_by_class(queries.labels, gallery.labels, seed=seed)
        with working():
            for epoch in range(epochs):
                began, total = time.perf_counter(), 0.0
                if redraw and epoch:
                    pairs = pair_by_class(queries.labels, gallery.labels, seed=seed, epoch=epoch)
                order = rng.permutation(seed, rng.stream_number("pairs", "order"), pairs[0].size, epoch)
                for batch in np.array_split(order, -(-order.size // batch_size)):
                    first, second = (torch.from_numpy(side[batch]) for side in pairs)
                    steps.zero_grad()
                    loss = self.loss(sides[0][first], sides[1][second], labels[first])
                    loss.backward()  # type: ignore[no-untyped-call]
                    steps.step()
                    self.after_step()
                    total += float(loss.detach()) * batch.size
                if not math.isfinite(total):
                    raise ParameterError(
                        f"the loss is {total / order.size} in epoch {epoch + 1}; a smaller learning_rate or a larger "
                        "temperature may help"
                    )
                judged = self._judge(validation, seed) if validation is not None else (math.nan, math.nan)
                seconds = time.perf_counter() - began
                history.add(total / order.size, *judged, self.current_temperature, seconds)
                if history.best_epoch == epoch + 1:
                    best = _copied(self)
                if patience is not None and epoch + 1 - history.best_epoch >= patience:
                    break
        self.load_state_dict(best)
        return history

    def _check_data(
        self, queries: LabelledFeatures, gallery: LabelledFeatures, validation: Pairs | None, unseen: tuple[int, ...]
    ) -> None:
        self._check(queries, gallery, "training data")
        refuse_unseen(queries.labels, unseen, "training data, queries")
        refuse_unseen(gallery.labels, unseen, "training data, gallery")
        if validation is None:
            return
        self._check(*validation, "validation data")
        for side, learned, held_out in zip(("queries", "gallery"), (queries, gallery), validation, strict=True):
            refuse_unseen(held_out.labels, unseen, f"validation data, {side}")
            both = np.intersect1d(learned.numbers, held_out.numbers)
            if both.size:
                raise DataError(f"{side}: recording {both[0]} is both in the training and in the validation data")

    def _standardise(self, side: str, values: NDArray[np.float64]) -> None:
        spread = values.std(axis=0)
        # A constant feature differs from its mean by rounding only.
        varies = spread > 1e-12 * np.maximum(1.0, np.abs(values).max(axis=0))
        scale = np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0)
        getattr(self, f"{side}_mean").copy_(torch.from_numpy(values.mean(axis=0)))
        getattr(self, f"{side}_scale").copy_(torch.from_numpy(scale))

    def _judge(self, validation: Pairs, seed: int) -> tuple[float, float]:
        """Return loss of, and top-1 retrieval among, held-out recordings."""
        queries, gallery = validation
        first, second = pair_by_class(queries.labels, gallery.labels, seed=seed)
        with torch.no_grad():
            sides = torch.from_numpy(queries.values[first]), torch.from_numpy(gallery.values[second])
            loss = float(self.loss(*sides, torch.from_numpy(queries.labels[first])))
        return loss, retrieve(self.scores(queries, gallery), queries.labels, gallery.labels).accuracy

    # -- keeping -----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Save settings, weights and history to an HDF5 file, which is complete or not there at all."""
        with write_hdf5(path, self.kind) as file:
            file.attrs["settings"] = json.dumps(self.settings())
            file.create_dataset("classes", data=np.asarray(self.classes, np.int64))
            self.history.write(file.create_group("history"))
            for name, value in self.state_dict().items():
                file.create_dataset(f"state/{name}", data=value.numpy())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load what `save` saved.

        Raises
        ------
        DataError
            The file is damaged, or of another kind.
        """
        with read_hdf5(path, cls.kind) as file:
            model = cls(**json.loads(file.attrs["settings"]))
            state = {name: torch.from_numpy(np.asarray(file[f"state/{name}"][()])) for name in model.state_dict()}
            for name, value in model.state_dict().items():
                if state[name].shape != value.shape:
                    raise DataError(f"{path}: {name} has shape {tuple(state[name].shape)}, not {tuple(value.shape)}")
            model.load_state_dict(state)
            model.classes = tuple(int(label) for label in file["classes"][()])
            model.history = PairHistory.read(file["history"])
        return model


def check_pair_labels(labels: Tensor) -> None:
    """Raise `ParameterError` unless labels are whole numbers, one a pair."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.ndim != 1:
        found = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ParameterError(f"labels: expected a Tensor of int64, one a pair; got {found}")


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}

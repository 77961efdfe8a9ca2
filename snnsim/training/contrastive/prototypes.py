"""Prototypes: the baseline of contrastive learning between two modalities.

A class is the mean of its items in the common space, and a query should be nearer to its class than to the others
(Snell, Swersky and Zemel 2017, arXiv:1703.05175). Queries and items both come from the training data.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from snnsim.training.contrastive.projection import PairProjection, check_pair_labels


def prototype_loss(queries: Tensor, gallery: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy of queries over minus their squared distances to the classes of the batch.

    Parameters
    ----------
    queries, gallery : Tensor, shape (pairs, dimensions)
        Projected; row i of both is of class ``labels[i]``.
    labels : Tensor of int64, shape (pairs,)
    """
    check_pair_labels(labels)
    values, which = torch.unique(labels, return_inverse=True)
    members = functional.one_hot(which, values.shape[0]).to(gallery.dtype)
    prototypes = members.T @ gallery / members.sum(0)[:, None]
    return functional.cross_entropy(-squared_distances(queries, prototypes), which)


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Return squared distances, shape (rows of the first, rows of the second)."""
    return (first * first).sum(1)[:, None] + (second * second).sum(1) - 2.0 * first @ second.T


class PrototypeProjection(PairProjection):
    """The layers of `ContrastiveProjection`, trained with class means; the nearest item is that of least distance.

    Parameters
    ----------
    query_size, gallery_size, dimensions, standardised, seed
        As for `ContrastiveProjection`.
    """

    kind = "prototype_projection"

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make a projection of the same shape."""
        return {
            "query_size": self.sizes["query"],
            "gallery_size": self.sizes["gallery"],
            "dimensions": self.dimensions,
            "standardised": self.standardised,
            "seed": self.seed,
        }

    def similarity(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return minus the squared distance, shape (queries, items)."""
        return -squared_distances(queries, gallery)

    def loss(self, queries: Tensor, gallery: Tensor, labels: Tensor) -> Tensor:
        """Return the prototype loss of a batch."""
        return prototype_loss(self.project_queries(queries), self.project_gallery(gallery), labels)

"""Pairs of recordings of two modalities by class, and splits in which some classes are never learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import DataError, ParameterError, one_of
from snnsim.numerics import rng
from snnsim.zero_shot.features import LabelledFeatures

IntArray = NDArray[np.int64]
#: Parts of a split: the first three are of the seen classes.
PARTS = ("train", "validation", "test", "unseen")


def pair_by_class(
    query_labels: ArrayLike, gallery_labels: ArrayLike, *, seed: int = 0, epoch: int = 0
) -> tuple[IntArray, IntArray]:
    """Pair recordings of two modalities that are of the same class.

    A class has as many pairs as the modality with more recordings of it. Those of the other are used again, all as
    often, but for one more of some. Which belong together is drawn; the pairs are in order of class.

    Parameters
    ----------
    query_labels, gallery_labels : array_like of int
    seed, epoch : int
        The same pair of both gives the same pairs on every machine.

    Returns
    -------
    (ndarray of int64, ndarray of int64)
        Places in the first and in the second modality, of one shape.

    Raises
    ------
    DataError
        A class is missing in one of the modalities.
    """
    sides = [np.asarray(labels) for labels in (query_labels, gallery_labels)]
    alone = np.setxor1d(sides[0], sides[1])
    if alone.size or not sides[0].size:
        found = f"class {alone[0]} is in one of the two modalities only" if alone.size else "there are no recordings"
        raise DataError(f"{found}; pairs are made within classes")
    chosen: tuple[list[IntArray], list[IntArray]] = [], []
    for label in np.unique(sides[0]):
        members = [np.flatnonzero(side == label) for side in sides]
        count = max(part.size for part in members)
        for number, (part, places) in enumerate(zip(members, chosen, strict=True)):
            stream = rng.stream_number("pairs", number, int(label))
            order = part[rng.permutation(seed, stream, part.size, epoch)]
            places.append(np.resize(order, count))
    return np.concatenate(chosen[0]), np.concatenate(chosen[1])


def refuse_unseen(labels: ArrayLike, unseen: Sequence[int], where: str) -> None:
    """Raise `DataError` where recordings of classes that must stay unseen are among those of `labels`."""
    leaked = np.intersect1d(np.asarray(labels), np.asarray(unseen, np.int64))
    if leaked.size:
        raise DataError(
            f"{where}: class {', '.join(str(label) for label in leaked)} must stay unseen "
            f"(unseen={tuple(unseen)}), but is among the recordings"
        )


@dataclass(frozen=True, eq=False)
class ZeroShotSplit:
    """Which recordings are learned from, chosen on, asked in-class and asked out-of-class.

    Parameters
    ----------
    seen, unseen : tuple of int
        Classes.
    queries, gallery : mapping of str to ndarray of int64
        Numbers of the recordings of each part: ``"train"``, ``"validation"``, ``"test"`` (seen classes), ``"unseen"``.

    Raises
    ------
    DataError
        A recording is in two parts.
    """

    seen: tuple[int, ...]
    unseen: tuple[int, ...]
    queries: Mapping[str, IntArray]
    gallery: Mapping[str, IntArray]

    def __post_init__(self) -> None:
        for name, side in (("queries", self.queries), ("gallery", self.gallery)):
            everything, counts = np.unique(np.concatenate([side[part] for part in PARTS]), return_counts=True)
            if counts.size and counts.max() > 1:
                raise DataError(f"{name}: recording {everything[counts.argmax()]} is in two parts of the split")

    def part(
        self, name: str, queries: LabelledFeatures, gallery: LabelledFeatures
    ) -> tuple[LabelledFeatures, LabelledFeatures]:
        """Return the recordings of a part, of both modalities.

        Raises
        ------
        DataError
            Recordings of unseen classes are in another part than ``"unseen"``: these are not the features whose labels
            the split was made of.
        """
        one_of("name", name, PARTS)
        chosen = queries[self.queries[name]], gallery[self.gallery[name]]
        for side, found in zip(("queries", "gallery"), chosen, strict=True):
            where = f"{name} part, {side}"
            if name == "unseen":
                refuse_unseen(found.labels, [label for label in found.labels if label not in self.unseen], where)
            else:
                refuse_unseen(found.labels, self.unseen, where)
        return chosen


def split_classes(
    query_labels: ArrayLike,
    gallery_labels: ArrayLike,
    *,
    seen: Sequence[int],
    unseen: Sequence[int],
    validation: float = 0.15,
    test: float = 0.25,
    seed: int = 0,
) -> ZeroShotSplit:
    """Divide recordings by class, and those of the seen classes into three.

    All recordings of the unseen classes are asked: none of them was learned from. Recordings of classes that are in
    neither list take no part.

    Parameters
    ----------
    query_labels, gallery_labels : array_like of int
    seen, unseen : sequence of int
        Classes, none in both.
    validation, test : float
        Shares of the recordings of each seen class, of each modality; the rest is learned from.
    seed : int

    Returns
    -------
    ZeroShotSplit

    Raises
    ------
    ParameterError
        A class is in both lists, or a share is out of range.
    DataError
        A class has too few recordings for three parts.
    """
    known, new = tuple(int(label) for label in seen), tuple(int(label) for label in unseen)
    for name, classes in (("seen", known), ("unseen", new)):
        if not classes or len(set(classes)) != len(classes):
            raise ParameterError(f"{name}={classes}: must name one class at least, none of them twice")
    if set(known) & set(new):
        raise ParameterError(f"seen={known} and unseen={new} have {sorted(set(known) & set(new))} in common")
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ParameterError(f"validation={validation!r}, test={test!r}: must be above zero, and below 1 together")
    sides = []
    for side, given in (("queries", query_labels), ("gallery", gallery_labels)):
        labels = np.asarray(given)
        parts: dict[str, list[IntArray]] = {name: [] for name in PARTS}
        for label in (*known, *new):
            members = np.flatnonzero(labels == label)
            if label in new:
                pieces = {"unseen": members}
            else:
                members = members[rng.permutation(seed, rng.stream_number("split", side, label), members.size)]
                first, second = round(test * members.size), round((test + validation) * members.size)
                pieces = {"test": members[:first], "validation": members[first:second], "train": members[second:]}
            for name, piece in pieces.items():
                if not piece.size:
                    raise DataError(f"{side}: class {label} has {members.size} recordings, none is left for {name!r}")
                parts[name].append(piece)
        sides.append({name: np.sort(np.concatenate(pieces)) for name, pieces in parts.items()})
    return ZeroShotSplit(known, new, sides[0], sides[1])

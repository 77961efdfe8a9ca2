"""Orders and divisions of samples drawn from a seed, the same on every machine and with every version of NumPy.

Of NumPy only the raw output of the Philox counter generator is used: NumPy promises that stream for ever, which it does
not promise for `Generator.permutation` and its like.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError
from snnsim.numerics import rng

IntArray = NDArray[np.int64]


def check_seed(name: str, value: int) -> int:
    """Return a seed as an int, or raise `ParameterError` where it is not a whole number of 0 ... 2**63 - 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**63:
        raise ParameterError(f"{name}={value!r}: must be a whole number from 0 to 2**63 - 1")
    return int(value)


def shuffled(size: int, seed: int, stream: int = 0) -> IntArray:
    """Return ``0 ... size - 1`` in an order drawn from (seed, stream)."""
    bits = np.random.Philox(key=np.array([check_seed("seed", seed), stream], np.uint64))
    return np.argsort(bits.random_raw(size), kind="stable")


def stratified_part(labels: IntArray, fraction: float, seed: int) -> IntArray:
    """Return sorted indices of a share of the samples, with each label's share as near to `fraction` as counts allow.

    Parameters
    ----------
    labels : ndarray of int64, shape (samples,)
    fraction : float
        Share of the samples to choose, between 0 and 1. Altogether ``round(fraction * samples)`` are chosen.
    seed : int
    """
    values, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = sizes * fraction
    quota = np.floor(wanted).astype(np.int64)
    missing = round(fraction * labels.size) - int(quota.sum())
    quota[np.argsort(quota - wanted, kind="stable")[:missing]] += 1  # the largest remainders first
    order = shuffled(labels.size, seed)
    parts = [order[inverse[order] == label][: quota[label]] for label in range(values.size)]
    return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


def part_of_every_class(labels: IntArray, fraction: float, seed: int) -> IntArray:
    """Return sorted indices of a share of every class, rounded to whole samples, but one at least of two or more.

    `stratified_part` chooses a share of all samples, and may choose none of a small class.
    """
    parts: list[IntArray] = [np.zeros(0, np.int64)]
    for label in np.unique(labels) if fraction > 0 else ():
        members = np.flatnonzero(labels == label)
        order = rng.permutation(seed, rng.stream_number("validation", int(label)), members.size)
        parts.append(members[order[: max(round(fraction * members.size), int(members.size > 1))]])
    return np.sort(np.concatenate(parts))


def stratified_folds(labels: IntArray, k: int, seed: int) -> list[IntArray]:
    """Divide the samples into `k` parts, each label spread evenly; sizes differ by one at most. Indices are sorted."""
    order = shuffled(labels.size, seed)
    by_label = order[np.argsort(labels[order], kind="stable")]
    # Dealt out like cards, running on from one label to the next: both totals and labels come out even.
    return [np.sort(by_label[fold::k]) for fold in range(k)]


def grouped_part(groups: IntArray, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return which samples belong to a share of the groups drawn from the seed; neither part is without a group."""
    values = np.unique(groups)
    if values.size < 2:
        raise ParameterError(f"the samples are of {values.size} group(s); dividing by group takes two or more")
    count = min(max(round(fraction * values.size), 1), values.size - 1)
    return np.isin(groups, values[shuffled(values.size, seed)[:count]])


def batch_indices(
    size: int, batch_size: int, seed: int | None = None, epoch: int = 0, *, drop_last: bool = False
) -> Iterator[IntArray]:
    """Return an iterator over the sample numbers of each batch; see `EventDataset.batches` for the parameters."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ParameterError(f"batch_size={batch_size!r}: must be a whole number, 1 or above")
    check_seed("epoch", epoch)
    order = np.arange(size) if seed is None else shuffled(size, seed, stream=int(epoch))
    step = int(batch_size)
    stop = size - size % step if drop_last else size
    return (order[start : start + step] for start in range(0, stop, step))

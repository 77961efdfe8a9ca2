"""What to choose a model on: protocols that divide data into training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnsim.datasets.dataset import EventDataset
from snnsim.errors import ParameterError, exactly, one_of
from snnsim.timebase import same_dt

PROTOCOLS = ("clean", "paper")


@dataclass(frozen=True)
class Protocol:
    """Data divided by a protocol.

    Parameters
    ----------
    name : str
    train, validation, test : EventDataset
        To learn from, to choose epochs and settings on, and to report on.
    statement : str
        A sentence to be printed next to every result.
    """

    name: str
    train: EventDataset
    validation: EventDataset
    test: EventDataset
    statement: str


def apply_protocol(
    train: EventDataset, test: EventDataset, protocol: str = "clean", *, fraction: float = 0.8, seed: int = 0
) -> Protocol:
    """Divide a published training and test split into what to learn from, to choose on, and to report on.

    Parameters
    ----------
    train, test : EventDataset
    protocol : {"clean", "paper"}
        ``"clean"`` sets groups of the training split, such as speakers, aside to choose on; no sample of a group that
        is chosen on is learned from, and the test split is not looked at.

        ``"paper"`` chooses on the test split and reports on it, as the published figures of many models for SHD do,
        among them 95.07 % of DCLS delays (doi:10.48550/arXiv.2306.17670); the same method reaches 93.77 ± 0.68 % where
        it is chosen on a fifth of the training split. WARNING: such a figure is not an accuracy on unseen data, but
        the best of as many tries as there were epochs and settings. Use it to compare with those figures only, and
        say so.
    fraction : float
        Share of the groups to learn from with ``"clean"``.
    seed : int
        Which groups they are.

    Returns
    -------
    Protocol

    Raises
    ------
    ParameterError
        Another protocol, splits that do not belong together, or a training split without groups.
    """
    one_of("protocol", protocol, PROTOCOLS)
    for what in ("classes", "sensor_shape"):
        if getattr(train, what) != getattr(test, what):
            raise ParameterError(f"train and test differ in {what}: {getattr(train, what)}, {getattr(test, what)}")
    if not same_dt(train.events.dt, test.events.dt):
        raise ParameterError(f"train has ticks of {exactly(train.events.dt)} s, test of {exactly(test.events.dt)} s")
    if protocol == "paper":
        statement = "chosen ON THE TEST SPLIT, as published figures are: not an accuracy on unseen data"
        return Protocol(protocol, train, test, test, statement)
    kept, held_out = train.split_by_group(fraction, seed)
    return Protocol(protocol, kept, held_out, test, _clean_statement(kept, held_out, test))


def _clean_statement(kept: EventDataset, held_out: EventDataset, test: EventDataset) -> str:
    assert kept.groups is not None
    assert held_out.groups is not None
    known, chosen_on = np.unique(kept.groups), np.unique(held_out.groups)
    text = (
        f"chosen on {len(held_out):,} samples of {chosen_on.size} held-out of {known.size + chosen_on.size} training "
        f"groups, learned from the other {len(kept):,}"
    )
    if test.groups is None:
        return text
    tested = np.unique(test.groups)
    return f"{text}; {np.isin(tested, known).sum()} of {tested.size} test groups were learned from"

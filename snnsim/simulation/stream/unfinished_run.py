"""Runs into a stream that are not at their end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnfinishedRun:
    """A run into a stream that a checkpoint was written in the middle of.

    Parameters
    ----------
    token : str
        Tells it from every other run.
    start : int
        Tick of the network at which it began.
    n_ticks : int
        Its length.
    call : dict of str to str
        What must be the same for it to go on.
    """

    token: str
    start: int
    n_ticks: int
    call: dict[str, str]

    @property
    def end(self) -> int:
        """Tick of the network after the last one of the run."""
        return self.start + self.n_ticks

"""What training minimises, as a function of the readout.

Every loss heeds the ends of the samples: what the readout says after the end of one has no part in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from snnsim.errors import ParameterError, one_of
from snnsim.scores import SCORES
from snnsim.training.compute.sample_ends import within
from snnsim.training.parameters.settings import plain_number


class Loss(ABC):
    """Base of all losses; concrete ones are frozen dataclasses."""

    #: Whether it is a mean over ticks of a loss that sees one tick alone, as SLTT and OTTT need.
    per_tick: ClassVar[bool]
    #: The score that it trains, one of `snnsim.scores.SCORES`, by which the network answers from then on; None where it
    #: trains the readout at every tick and leaves the network's own.
    score: str | None = None

    @abstractmethod
    def value(self, readout: Tensor, labels: Tensor, ends: Tensor, first: int = 0) -> Tensor:
        """Return the loss, or the share that these ticks have in it.

        Parameters
        ----------
        readout : Tensor, shape (ticks, batch, classes)
            All ticks of the samples, or some of them where the loss is `per_tick`.
        labels : Tensor of int64, shape (batch,)
        ends : Tensor of int64, shape (batch,)
            Ticks of each sample; what comes after is not looked at.
        first : int
            Tick of the samples at which `readout` begins.
        """


@dataclass(frozen=True)
class PerTickCrossEntropy(Loss):
    """Mean over ticks of l[t] = (1 - mixing) CE(o[t], y) + mixing MSE(o[t], target) (arXiv:2302.14311).

    Each sample counts alike, however long it is.

    Parameters
    ----------
    mixing : float
        Share of the squared error, 0 to 1; SLTT uses 0.05 on small images.
    target : {"one_hot", "ones"}
        Target of the squared error; ``"ones"`` acts as a regulariser only.
    """

    mixing: float = 0.0
    target: str = "one_hot"
    per_tick = True

    def __post_init__(self) -> None:
        mixing = plain_number(self.mixing)
        if not isinstance(mixing, Real) or not 0.0 <= float(mixing) <= 1.0:
            raise ParameterError(f"PerTickCrossEntropy mixing={self.mixing!r}: must lie in 0 ... 1")
        object.__setattr__(self, "mixing", float(mixing))
        one_of("PerTickCrossEntropy target", self.target, ("one_hot", "ones"))

    def value(self, readout: Tensor, labels: Tensor, ends: Tensor, first: int = 0) -> Tensor:
        """Return the sum over these ticks of l[t], each divided by the ticks of its sample, averaged over samples."""
        count, batch, classes = readout.shape
        inside = within(count, ends, first)
        shares = inside / (ends * batch).to(readout.dtype)
        rows, repeated = torch.where(inside.unsqueeze(2), readout, 0.0).reshape(-1, classes), labels.repeat(count)
        losses = functional.cross_entropy(rows, repeated, reduction="none") * (1.0 - self.mixing)
        if self.mixing:
            target = torch.ones_like(rows)
            if self.target == "one_hot":
                target = functional.one_hot(repeated, classes).to(rows.dtype)
            losses = losses + (rows - target).square().mean(1) * self.mixing
        return (losses * shares.reshape(-1)).sum()


@dataclass(frozen=True)
class ScoreCrossEntropy(Loss):
    """Cross entropy of a score of the whole sample; it needs BPTT or DSR.

    Parameters
    ----------
    score : str
        One of `snnsim.scores.SCORES`, whose values are the logits. Of ``"summed_softmax"`` a tick adds at most one to a
        class, so that no moment decides alone (arXiv:2306.17670).
    """

    score: str = "summed_readout"
    per_tick = False

    def __post_init__(self) -> None:
        one_of("ScoreCrossEntropy score", self.score, SCORES)

    def value(self, readout: Tensor, labels: Tensor, ends: Tensor, first: int = 0) -> Tensor:
        """Return the loss of the whole samples, averaged over them."""
        return functional.cross_entropy(scores_of(readout, self.score, ends), labels)


def scores_of(readout: Tensor, score: str, ends: Tensor, first: int = 0) -> Tensor:
    """Return the scores of the classes at the end of each sample (`snnsim.scores`), shape (batch, classes).

    Parameters
    ----------
    readout : Tensor, shape (ticks, batch, classes)
        All ticks, or some of them: what these bring to the scores, see `joined`.
    score : str
    ends : Tensor of int64, shape (batch,)
        Ticks of each sample; what comes after is not looked at.
    first : int
        Tick of the samples at which `readout` begins.
    """
    inside = within(len(readout), ends, first).unsqueeze(2)
    if score == "largest_readout":
        return readout.masked_fill(~inside, -torch.inf).amax(0)
    # Set to zero rather than multiplied by it: what a sample says after its end may be anything.
    readout = torch.where(inside, readout, 0.0)
    if score == "summed_softmax":
        readout = functional.softmax(readout, dim=2)
    elif score == "last_readout":
        inside = inside & ~within(len(readout), ends - 1, first).unsqueeze(2)
    elif score in ("mean_readout", "exponential_readout"):
        length = ends.to(readout.dtype)
        shares = torch.ones_like(length) / length
        if score == "exponential_readout":
            ticks = torch.arange(first, first + len(readout), dtype=readout.dtype).unsqueeze(1)
            shares = torch.exp(-ticks / length) / length
        readout = readout * shares.unsqueeze(-1)
    return torch.where(inside, readout, 0.0).sum(0)


def joined(score: str, earlier: Tensor | None, later: Tensor) -> Tensor:
    """Return the scores of samples from what `scores_of` gave for some ticks and for the ticks after them."""
    if earlier is None:
        return later
    return torch.maximum(earlier, later) if score == "largest_readout" else earlier + later


#: Losses by the name that `train` takes.
LOSSES: dict[str, Loss] = {
    "per_tick_cross_entropy": PerTickCrossEntropy(),
    **{score: ScoreCrossEntropy(score) for score in SCORES},
}


def as_loss(loss: Loss | str) -> Loss:
    """Return a loss from itself or its name."""
    if isinstance(loss, Loss):
        return loss
    one_of("loss", loss, LOSSES)
    return LOSSES[loss]

"""What training minimises, as a function of the readout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from snnsim.errors import ParameterError, one_of


class Loss(ABC):
    """Base of all losses; concrete ones are frozen dataclasses."""

    #: Whether it is a mean over ticks of a loss that sees one tick alone, as SLTT needs.
    per_tick: ClassVar[bool]

    @abstractmethod
    def value(self, readout: Tensor, labels: Tensor, ticks: int) -> Tensor:
        """Return the loss, or the share that these ticks have in it.

        Parameters
        ----------
        readout : Tensor, shape (ticks, batch, classes)
            All ticks of the sample, or some of them where the loss is `per_tick`.
        labels : Tensor of int64, shape (batch,)
        ticks : int
            Number of ticks of the whole sample, by which a mean divides.
        """

    def scores(self, readout: Tensor) -> Tensor:
        """Return a number a class, of which the largest is the answer, shape (batch, classes).

        Parameters
        ----------
        readout : Tensor, shape (ticks, batch, classes)
        """
        return readout.sum(0)


@dataclass(frozen=True)
class PerTickCrossEntropy(Loss):
    """Mean over ticks of l[t] = (1 - mixing) CE(o[t], y) + mixing MSE(o[t], target) (arXiv:2302.14311).

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
        if not 0.0 <= self.mixing <= 1.0:
            raise ParameterError(f"PerTickCrossEntropy mixing={self.mixing!r}: must lie in 0 ... 1")
        one_of("PerTickCrossEntropy target", self.target, ("one_hot", "ones"))

    def value(self, readout: Tensor, labels: Tensor, ticks: int) -> Tensor:
        """Return the sum over these ticks of l[t], divided by the ticks of the sample."""
        count, _, classes = readout.shape
        flat, repeated = readout.reshape(-1, classes), labels.repeat(count)
        share = count / ticks  # both losses are means over the rows given
        total = functional.cross_entropy(flat, repeated) * (1.0 - self.mixing) * share
        if self.mixing:
            target = torch.ones_like(flat)
            if self.target == "one_hot":
                target = functional.one_hot(repeated, classes).to(flat.dtype)
            total = total + functional.mse_loss(flat, target) * self.mixing * share
        return total


@dataclass(frozen=True)
class SummedCrossEntropy(Loss):
    """Cross entropy of the readout summed over all ticks; it needs BPTT."""

    per_tick = False

    def value(self, readout: Tensor, labels: Tensor, ticks: int) -> Tensor:
        """Return the loss of the whole sample."""
        return functional.cross_entropy(readout.sum(0), labels)


@dataclass(frozen=True)
class SummedSoftmaxCrossEntropy(Loss):
    """Cross entropy whose logits are the softmax of the readout, summed over all ticks (arXiv:2306.17670).

    A tick adds at most one to a class, so that no moment decides alone. It needs BPTT.
    """

    per_tick = False

    def value(self, readout: Tensor, labels: Tensor, ticks: int) -> Tensor:
        """Return the loss of the whole sample."""
        return functional.cross_entropy(self.scores(readout), labels)

    def scores(self, readout: Tensor) -> Tensor:
        """Return the summed softmax."""
        return functional.softmax(readout, dim=2).sum(0)


#: Losses by the name that `train` takes.
LOSSES: dict[str, type[Loss]] = {
    "per_tick_cross_entropy": PerTickCrossEntropy,
    "summed_readout": SummedCrossEntropy,
    "summed_softmax": SummedSoftmaxCrossEntropy,
}


def as_loss(loss: Loss | str) -> Loss:
    """Return a loss from itself or its name."""
    if isinstance(loss, Loss):
        return loss
    one_of("loss", loss, LOSSES)
    return LOSSES[loss]()

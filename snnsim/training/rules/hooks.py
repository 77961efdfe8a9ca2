"""What others may do between the gradients of a minibatch and what the optimiser makes of them, under any rule."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class StepHooks:
    """Methods that `train(..., hooks=...)` calls around every step of the optimiser; these do nothing.

    A method that protects what was learned earlier derives from this class and overrides some of them.
    """

    def presynaptic(self, projection: str, activity: Tensor, sent: Tensor) -> Tensor:
        """Look at the activity that the gradient of a projection's weights is made of, and return what to make it of.

        Called in every minibatch for each projection whose weights are learned; the rows of a minibatch come in one
        part or in several. Spikes, and gradients of other layers, do not change.

        Parameters
        ----------
        projection : str
        activity : Tensor, shape (rows, sources)
            Not to be changed. With BPTT and SLTT a row is what the source sent in a sample at a tick; with OTTT its
            trace at that tick; with DSR its mean over the ticks of the sample, and at the readout what it sent at a
            tick.
        sent : Tensor, shape (rows, sources)
            The same, but with OTTT the spikes of the tick, with DSR their weighted rate.

        Returns
        -------
        Tensor, shape (rows, sources)
        """
        return activity

    def before_update(self, model: Any) -> None:
        """See the gradients, in ``.grad`` of the parameters, before the optimiser does; they may be changed."""

    def after_update(self, model: Any) -> None:
        """See the parameters after a step of the optimiser; they may be changed in place, in ``torch.no_grad()``."""

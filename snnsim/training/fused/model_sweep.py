"""A population that is swept by its model's own arithmetic, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.training.compute.call import Call
from snnsim.training.compute.threads import Workers
from snnsim.training.fused.model_kernels import sweeps_of
from snnsim.training.fused.model_rows import rows_of
from snnsim.training.parameters.coefficients import learned_coefficients, through_coefficients
from snnsim.training.parameters.network_parameters import State
from snnsim.training.parameters.plan import Stage
from snnsim.training.parameters.surrogates import FUNCTIONS

#: Sums of the derivatives of coefficients, each over some samples: so that they are the same with any number of
#: threads, and take little memory.
GROUPS = 16

Lists = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], int]


class ModelSweep:
    """The sweeps of a population over ticks.

    Parameters
    ----------
    call : Call
    stage : Stage
    coefficients : ndarray, shape (fields, neurons)
    mask : ndarray of uint8, shape (batch, neurons) or (0, 0)
        Spikes that dropout lets pass; empty for all.
    scale : float
        Size of a spike that dropout let pass.
    workers : Workers
    """

    def __init__(
        self, call: Call, stage: Stage, coefficients: NDArray[Any], mask: NDArray[Any], scale: float, workers: Workers
    ) -> None:
        self.call, self.stage, self.workers = call, stage, workers
        number: Any = coefficients.dtype.type
        surrogate = call.model.surrogate
        assert surrogate.number is not None
        self.learned = learned_coefficients(call.model, stage, call.values)
        rows = rows_of(stage.model.arithmetic, number, FUNCTIONS[surrogate.number], self.learned)
        self.sweeps = sweeps_of(rows)
        self.coefficients, self.mask, self.strict = coefficients, mask, stage.strict
        self.scale, self.parameter = number(scale), number(surrogate.parameter)
        self._as_it_is = np.ones(stage.size, number), np.zeros(stage.size, number)
        self._total = np.zeros((min(GROUPS, call.batch), len(self.learned), stage.size))

    # -- states ------------------------------------------------------------------------------------------

    def states(self, state: State) -> NDArray[Any]:
        """Return the states of the population, shape (batch, states, neurons), in memory of their own."""
        own = state[self.stage.name]
        return np.stack([own[name].numpy() for name in self.stage.model.arithmetic.states], axis=1)

    def put(self, states: NDArray[Any], state: State) -> None:
        """Write states back."""
        own = state[self.stage.name]
        for i, name in enumerate(self.stage.model.arithmetic.states):
            own[name].numpy()[:] = states[:, i]

    def rest(self) -> NDArray[Any]:
        """Return the states before the first tick."""
        return self.states(self.call.model.initial_state(self.call.batch))

    # -- sweeps ------------------------------------------------------------------------------------------

    def list_spikes(self, drive: Tensor, states: NDArray[Any], lists: Lists) -> None:
        """Sweep over the ticks of `drive`, shape (ticks, batch, neurons), and list the spikes; `states` advance."""
        begin, end, indices, stride = lists
        x, kernel = drive.numpy(), self.sweeps.list_ticks
        given = x, *self._as_it_is, states, self.coefficients, self.strict, self.mask

        def work(low: int, high: int) -> None:
            kernel(*given, np.zeros(stride, np.uint8), indices, begin, end, low, high)

        self.workers.map(work, self.call.batch, 8 * drive.numel())

    def write(self, drive: Tensor, affine: tuple[Tensor, Tensor] | None, states: NDArray[Any], out: Tensor) -> None:
        """Sweep over the ticks of `drive` and write spikes, or the first state of a readout; `states` advance.

        Parameters
        ----------
        drive : Tensor, shape (ticks, batch, neurons)
        affine : tuple of Tensor of shape (neurons,), optional
            Factor and shift by which the drive goes in.
        states : ndarray, shape (batch, states, neurons)
        out : Tensor, shape (ticks, batch, neurons)
        """
        x, y, kernel = drive.numpy(), out.numpy(), self.sweeps.write_ticks
        given = x, *self._factors(affine), states, self.coefficients, self.strict, self.mask, y
        self.workers.map(lambda low, high: kernel(*given, low, high), self.call.batch, 8 * drive.numel())

    def back(
        self,
        gradient: Tensor,
        drive: Tensor,
        affine: tuple[Tensor, Tensor] | None,
        states: NDArray[Any],
        carry: NDArray[Any],
        *,
        keep_reset: bool,
        scaled: bool = True,
    ) -> None:
        """Go back through all ticks; see `snnsim.training.fused.model_kernels.back_through_ticks`.

        `scaled` multiplies `gradient` by the size of a spike that dropout let pass.
        """
        g, x, kernel, number = gradient.numpy(), drive.numpy(), self.sweeps.back_through_ticks, self.scale.dtype.type
        scale = self.scale if scaled else number(1)
        given = g, x, *self._factors(affine), states, self.coefficients, self.strict, self.mask
        more = scale, number(keep_reset), self.parameter, carry, self._total
        self._by_groups(lambda low, high: kernel(*given, *more, low, high), 16 * drive.numel())

    def back_within(self, gradient: Tensor, drive: Tensor, states: NDArray[Any], chosen: NDArray[np.int64]) -> None:
        """Go back within some ticks; see `snnsim.training.fused.model_kernels.back_within_ticks`."""
        g, x, kernel = gradient.numpy(), drive.numpy(), self.sweeps.back_within_ticks
        given = g, chosen, x, *self._as_it_is, states, self.coefficients, self.strict, self.mask
        more = self.scale, self.parameter, self._total
        self._by_groups(lambda low, high: kernel(*given, *more, low, high), 16 * drive.numel())

    def _by_groups(self, work: Callable[[int, int], None], operations: int) -> None:
        """Call ``work(low, high)`` on ranges of samples, of which each is some groups whole."""
        groups, batch = len(self._total), self.call.batch
        self.workers.map(
            lambda low, high: work(-(-low * batch // groups), -(-high * batch // groups)), groups, operations
        )

    def _factors(self, affine: tuple[Tensor, Tensor] | None) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._as_it_is if affine is None else (affine[0].numpy(), affine[1].numpy())

    def finish(self, gradients: dict[str, Tensor]) -> None:
        """Add to the gradients of threshold, bias and time constant, where they are asked for, and begin anew."""
        kinds = [f"{kind}:{self.stage.name}" for kind in ("threshold", "bias", "time_constant")]
        if self.learned and any(key in gradients for key in kinds):
            # Group after group, whatever thread had which.
            total = torch.from_numpy(self._total.sum(0))
            for key, found in through_coefficients(self.call.model, self.stage, self.call.values, total).items():
                if key in gradients:
                    gradients[key] += found
        if self.learned:
            self._total[:] = 0

"""A call on the compiled path: what all its kernels compute with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from snnsim.training.compute.call import Call
from snnsim.training.compute.threads import Workers
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.model_sweep import ModelSweep
from snnsim.training.parameters.plan import Stage

_EVERY_SPIKE = np.zeros((0, 0), np.uint8)


class CompiledCall:
    """A call with its values as arrays.

    Parameters
    ----------
    call : Call
    workers : Workers
    workspace : Workspace
        Buffers; records live in them, so one that is shared ends with the call.
    """

    def __init__(self, call: Call, workers: Workers, workspace: Workspace) -> None:
        self.call, self.model, self.batch = call, call.model, call.batch
        self.workers, self.workspace = workers, workspace
        self.dtype = self.model.dtype
        self.weights = call.effective_weights()
        self.coefficients = call.coefficient_rows()
        #: Spikes that dropout lets pass, shape (batch, neurons), or empty for all; and how large they are.
        self.masks = {stage.name: _EVERY_SPIKE for stage in self.model.plan.stages}
        self.masks |= {name: mask.to(torch.uint8).numpy() for name, mask in call.masks.items()}
        self.scales = call.scales()
        #: Populations whose sweep is made of their model's own arithmetic; others have that of leaky membranes.
        stages, leaky = self.model.plan.stages, self.model.leaky
        self.sweeps = {stage.name: self._sweep(stage) for stage in stages if stage.name not in leaky}
        #: What makes a number of Python one of the kernels.
        self.number = self.coefficients[self.model.plan.output.name].dtype.type
        assert self.model.surrogate.number is not None
        #: Kind and parameter of the surrogate.
        self.surrogate = self.model.surrogate.number, self.number(self.model.surrogate.parameter)

    def _sweep(self, stage: Stage) -> ModelSweep:
        name = stage.name
        return ModelSweep(self.call, stage, self.coefficients[name], self.masks[name], self.scales[name], self.workers)

    def pass_to_drive(
        self, stage: Stage, gradient: Tensor, gradients: dict[str, Tensor], ones: Tensor | None = None
    ) -> None:
        """Pass from the membrane to the drive, and take the gradient of the bias, which shares the gain.

        The sweep of a model's own arithmetic has gone that way already; what is learned of the population is taken.

        Parameters
        ----------
        stage : Stage
        gradient : Tensor, shape (ticks * batch, neurons)
            In: of the membrane. Out: of the drive.
        gradients : dict of str to Tensor
            That of the bias is added, where it is asked for.
        ones : Tensor of shape (ticks * batch, 1), optional
            What the gradient of the bias is made of, instead of one at every tick.
        """
        if stage.name in self.sweeps:
            self.sweeps[stage.name].finish(gradients)
            return
        gain = self.coefficients[stage.name][1]
        if np.any(gain != 1):
            gradient *= torch.from_numpy(gain)
        key = f"bias:{stage.name}"
        if key in gradients:
            shared = gradient if ones is None else gradient * ones
            gradients[key] += shared.sum(0).view(gradients[key].shape[0], -1).sum(1)


def add_norm_gradients(stage: Stage, found: tuple[Tensor, Tensor], gradients: dict[str, Tensor]) -> None:
    """Add the gradients of factor and shift of a batch norm, where they are asked for."""
    for kind, value in zip(("weight", "bias"), found, strict=True):
        key = f"norm:{stage.name}.{kind}"
        if key in gradients:
            gradients[key] += value

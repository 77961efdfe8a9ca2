"""Coefficients of the neuron models as tensors that depend on learned parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnsim.neurons import IF, LI
from snnsim.training.plan import Stage

if TYPE_CHECKING:
    from snnsim.training.model import TrainableNetwork


def differentiable(model: TrainableNetwork, stage: Stage) -> Any:
    """Return the NamedTuple of coefficients of a population as tensors.

    Everything is worked out in float64 and rounded once, as the backends do.
    """
    dt = model.plan.network.dt
    exact = stage.model.coefficients(dt)
    tensors: dict[str, Tensor] = {
        name: torch.as_tensor(value, dtype=torch.float64)
        for name, value in exact._asdict().items()  # type: ignore[attr-defined]
    }
    bias, threshold = model.value("bias", stage.name), model.value("threshold", stage.name)
    logarithm = model.value("time_constant", stage.name)
    if threshold is not None:
        tensors["threshold"] = threshold.double()
    if bias is not None or logarithm is not None:
        _leak(model, stage, tensors, bias, logarithm)
    return type(exact)(*(value.to(model.dtype) for value in tensors.values()))


def _leak(
    model: TrainableNetwork, stage: Stage, tensors: dict[str, Tensor], bias: Tensor | None, logarithm: Tensor | None
) -> None:
    """Work out decay, gain and offset again: V <- decay * V + (gain * drive + offset)."""
    neuron: Any = stage.model
    if bias is None:
        offset = torch.as_tensor(neuron.bias, dtype=torch.float64)
    else:
        offset = bias.double().repeat_interleave(stage.size // stage.channels)
    if isinstance(neuron, IF):
        tensors["offset"] = offset
        return
    decay = tensors["decay"]
    if logarithm is not None:
        ratio = torch.exp(-logarithm.double())
        decay = torch.exp(-ratio) if neuron.integration == "exact" else 1.0 - ratio
        tensors["decay"] = decay
        tensors["gain"] = 1.0 - decay if neuron.decay_input else torch.ones_like(decay)
    tensors["offset"] = torch.as_tensor(neuron.rest, dtype=torch.float64) * (1.0 - decay) + tensors["gain"] * offset


def coefficient_rows(model: TrainableNetwork, stage: Stage) -> Tensor:
    """Return decay, gain, offset, threshold, subtract and reset value, shape (6, neurons).

    IF is the LIF of decay one and gain one; LI has no threshold, and its last three rows are zero.
    """
    with torch.no_grad():
        found = differentiable(model, stage)._asdict()
    one = torch.ones((), dtype=model.dtype)
    if isinstance(stage.model, IF):
        found |= {"decay": one, "gain": one}
    if isinstance(stage.model, LI):
        found |= dict.fromkeys(("threshold", "subtract", "reset_value"), one * 0)
    names = ("decay", "gain", "offset", "threshold", "subtract", "reset_value")
    return torch.stack([found[name].expand(stage.size) for name in names]).contiguous()

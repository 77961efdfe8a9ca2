"""Coefficients of the neuron models as tensors that depend on learned parameters."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.neurons import IF, LI
from snnsim.training.parameters.network_parameters import NetworkParameters
from snnsim.training.parameters.plan import Stage
from snnsim.training.parameters.values import Values

#: What of a population changes its coefficients.
_LEARNED = ("threshold", "bias", "time_constant")


def coefficient_tensors(model: NetworkParameters, values: Values) -> dict[str, Any]:
    """Return the NamedTuples of coefficients of all populations as tensors.

    Everything is worked out in float64 and rounded once, as the backends do; where nothing of it is learned, at the
    first call only.
    """
    return {stage.name: _of_stage(model, stage, values) for stage in model.plan.stages}


def _of_stage(model: NetworkParameters, stage: Stage, values: Values) -> Any:
    threshold, bias, logarithm = (values.get(f"{kind}:{stage.name}") for kind in _LEARNED)
    if threshold is None and bias is None and logarithm is None:
        return _constant(model, stage)
    tensors = dict(_exact(model, stage))
    if threshold is not None:
        tensors["threshold"] = threshold.double()
    if bias is not None or logarithm is not None:
        _leak(stage, tensors, bias, logarithm)
    return stage.model.arithmetic.coefficients(*(value.to(model.dtype) for value in tensors.values()))


def _constant(model: NetworkParameters, stage: Stage) -> Any:
    key = ("tensors", stage.name, model.dtype)
    if key not in model.constants:
        with torch.inference_mode(False):  # or no graph could take them afterwards
            found = (value.to(model.dtype) for value in _exact(model, stage).values())
            model.constants[key] = stage.model.arithmetic.coefficients(*found)
    return model.constants[key]


def _exact(model: NetworkParameters, stage: Stage) -> dict[str, Tensor]:
    """Return the coefficients as the description has them, in float64."""
    key = ("exact", stage.name)
    if key not in model.constants:
        exact: Any = stage.model.coefficients(model.plan.network.dt)
        with torch.inference_mode(False):
            found = {name: torch.tensor(value, dtype=torch.float64) for name, value in exact._asdict().items()}
        model.constants[key] = found
    return model.constants[key]  # type: ignore[no-any-return]


def _leak(stage: Stage, tensors: dict[str, Tensor], bias: Tensor | None, logarithm: Tensor | None) -> None:
    """Work out decay, gain and offset again: V <- decay * V + (gain * drive + offset)."""
    neuron: Any = stage.model
    if bias is None:
        offset = torch.tensor(neuron.bias, dtype=torch.float64)
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
    tensors["offset"] = torch.tensor(neuron.rest, dtype=torch.float64) * (1.0 - decay) + tensors["gain"] * offset


def coefficient_rows(model: NetworkParameters, values: Values) -> dict[str, NDArray[Any]]:
    """Return the coefficients of all populations for compiled sweeps, each of shape (coefficients, neurons).

    Those of leaky membranes are decay, gain, offset, threshold, subtract and reset value: IF is the LIF of decay one
    and gain one; LI has no threshold, and its last three rows are zero. Those of others are in the order of the model.
    """
    return {stage.name: _rows_of_stage(model, stage, values) for stage in model.plan.stages}


def _rows_of_stage(model: NetworkParameters, stage: Stage, values: Values) -> NDArray[Any]:
    tensors = _of_stage(model, stage, values)
    key = ("rows", stage.name, model.dtype)
    # Where the tensors are kept, nothing of them is learned.
    constant = model.constants.get(("tensors", stage.name, model.dtype)) is tensors
    if constant and key in model.constants:
        return model.constants[key]  # type: ignore[no-any-return]
    found, one = tensors._asdict(), torch.ones((), dtype=model.dtype)
    names = tuple(found)
    if stage.name in model.leaky:
        if isinstance(stage.model, IF):
            found |= {"decay": one, "gain": one}
        if isinstance(stage.model, LI):
            found |= dict.fromkeys(("threshold", "subtract", "reset_value"), one * 0)
        names = ("decay", "gain", "offset", "threshold", "subtract", "reset_value")
    with torch.no_grad():
        rows: NDArray[Any] = torch.stack([found[name].expand(stage.size) for name in names]).contiguous().numpy()
    if constant:
        model.constants[key] = rows
    return rows


def learned_coefficients(model: NetworkParameters, stage: Stage, values: Values) -> tuple[str, ...]:
    """Return the names of the coefficients of a population that depend on what is learned of it."""
    key = ("learned coefficients", stage.name)
    if key not in model.constants:
        tensors, leaves = _followed(model, stage, values)
        model.constants[key] = tuple(tensors) if leaves else ()
    return model.constants[key]  # type: ignore[no-any-return]


def through_coefficients(model: NetworkParameters, stage: Stage, values: Values, total: Tensor) -> dict[str, Tensor]:
    """Return the gradients of what is learned of a population from those of its coefficients.

    Parameters
    ----------
    model : NetworkParameters
    stage : Stage
    values : Values
    total : Tensor, shape (coefficients that are learned, neurons)
        In the order of `learned_coefficients`.

    Returns
    -------
    dict of str to Tensor
        By kind and population, such as ``"threshold:hidden"``.
    """
    tensors, leaves = _followed(model, stage, values)
    # Those that all neurons share have no row a neuron.
    given = [part.to(one.dtype).sum_to_size(one.shape) for part, one in zip(total, tensors.values(), strict=True)]
    found = torch.autograd.grad(list(tensors.values()), list(leaves.values()), given)
    return dict(zip(leaves, found, strict=True))


def _followed(model: NetworkParameters, stage: Stage, values: Values) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the coefficients that depend on what is learned, with their graphs, and the leaves of these."""
    keys = [key for kind in _LEARNED if (key := f"{kind}:{stage.name}") in values]
    with torch.enable_grad():
        leaves = {key: values[key].detach().requires_grad_() for key in keys}
        found = _of_stage(model, stage, leaves)._asdict()
    return {name: one for name, one in found.items() if one.requires_grad}, leaves

"""What of neurons is learned, and the ranges in which it stays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnsim.errors import CapabilityError, ParameterError
from snnsim.neurons import IF, Exponential
from snnsim.neurons.membrane.leaky import SLOWEST_WITH_DECAY_INPUT, LeakyModel
from snnsim.neurons.membrane.resets import reset_coefficients
from snnsim.training.parameters.plan import Stage

#: A learned threshold keeps this share of its first distance from where a reset lands; at or below that, a neuron
#: would fire for ever.
LEAST_DISTANCE = 1e-3
#: Logarithms of the longest time constants, in ticks, whose leak a number type holds to one per cent.
LONGEST = {torch.float32: math.log(2**18), torch.float64: math.log(2**47)}
#: Logarithm of the shortest, in ticks: far below, where exp(-dt/tau) is zero, its slope would be zero times infinity.
SHORTEST = -700.0

Learned = tuple[str, Tensor, tuple[Any, Any]]


def learned_parameters(stage: Stage, learn: tuple[str, ...], dt: float, dtype: torch.dtype) -> Iterator[Learned]:
    """Yield key, first value and range of what is learned of a population.

    Raises
    ------
    ParameterError
        The description gives something to single neurons that is learned for all together, or cannot be.
    CapabilityError
        The model has a bias or a threshold of another meaning than training knows; or a time constant is to be learned
        beside exponential receptors.
    """
    model: Any = stage.model
    if "bias" in learn and hasattr(model, "bias"):
        if not isinstance(model, (LeakyModel, IF)):
            raise _not_learned("bias", stage, "that of a leaky membrane and of IF is")
        values = np.broadcast_to(np.asarray(model.bias, np.float64), (stage.size,)).reshape(stage.channels, -1)
        if np.any(values != values[:, :1]):
            raise ParameterError(f"bias of {stage.name!r} differs within a channel; a learned one cannot")
        yield f"bias:{stage.name}", torch.tensor(values[:, 0].copy(), dtype=dtype), (None, None)
    if "threshold" in learn and hasattr(model, "threshold"):
        coefficient: Any = getattr(model.coefficients(dt), "threshold", None)
        if not hasattr(model, "reset") or not np.array_equal(coefficient, model.threshold):
            raise _not_learned(
                "threshold", stage, "one that is a coefficient of the model, above where its reset lands, is"
            )
        yield f"threshold:{stage.name}", torch.tensor(model.threshold, dtype=dtype), _threshold_range(model, dtype)
    if "time_constant" in learn and hasattr(model, "time_constant"):
        if not isinstance(model, LeakyModel):
            raise _not_learned("time_constant", stage, "that of a leaky membrane is")
        tau = np.asarray(model.time_constant)
        fixed = (tau <= 0) | np.isinf(tau)
        if np.all(fixed):
            return  # a plain sum or a plain readout has no time constant to learn
        if np.any(fixed):
            raise ParameterError(
                f"time_constant of {stage.name!r}: 0 or inf for {int(fixed.sum())} of {tau.size} neurons, which is not "
                "learned; give them a population of their own, or finite ones"
            )
        if any(isinstance(receptor, Exponential) for receptor in model.receptor_list):
            raise CapabilityError(f"time_constant of {stage.name!r}: not learned with exponential receptors")
        # The logarithm keeps it positive and makes a step of the optimiser a relative change.
        value = torch.tensor(np.log(tau / dt), dtype=dtype)
        low = 0.0 if model.integration == "euler" else SHORTEST
        high = LONGEST[dtype]
        if model.decay_input:
            high = min(high, math.log(SLOWEST_WITH_DECAY_INPUT) - 1e-6)
        yield f"time_constant:{stage.name}", value, (low, max(high, float(value.max())))


def _not_learned(kind: str, stage: Stage, able: str) -> CapabilityError:
    return CapabilityError(
        f"learn={kind!r}: that of {stage.name!r} ({type(stage.model).__name__}) is not learned; {able}"
    )


def _threshold_range(model: Any, dtype: torch.dtype) -> tuple[Any, Any]:
    threshold = np.asarray(model.threshold, np.float64)
    landing = np.broadcast_to(np.asarray(reset_coefficients(model.reset)[1], np.float64), threshold.shape)
    low = landing + LEAST_DISTANCE * (threshold - landing)
    low = np.where(threshold > landing, low, -np.inf)  # one that starts below is what was asked for
    return torch.tensor(low, dtype=dtype), None

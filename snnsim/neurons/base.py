"""What a neuron model is: parameters in the user's words, exact coefficients, and arithmetic written once.

A model is one file with a frozen dataclass of parameters and three module-level functions that use only
``+ - * /`` and comparisons on plain numbers, so that the very same functions run on NumPy arrays (reference
backend), are compiled by Numba (cpu) and act on torch tensors (training):

- ``integrate(*states, *inputs, c)`` gives the states after one tick, as a tuple; most models have one input, the drive;
- ``distance(*states, c)`` is zero or above where the neuron fires;
- ``reset(*states, spike, c)`` gives the states after the test; `spike` is 0 or 1, and 0 leaves them as they are.

Numbers in them are named at the top of the file: backends put module-level floats in the precision of the run.

`c` is the model's NamedTuple of coefficients, computed from the parameters and `dt` in one place.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from snnsim.errors import ParameterError
from snnsim.neurons.arithmetic.closed_form import ClosedForm
from snnsim.neurons.parameters import Parameter
from snnsim.neurons.receptors import Delta, Receptor
from snnsim.timebase import check_length, tick_count


class Arithmetic(NamedTuple):
    """The functions and names by which backends run a model."""

    states: tuple[str, ...]
    coefficients: type[tuple[Any, ...]]
    integrate: Callable[..., Any]
    distance: Callable[..., Any] | None
    reset: Callable[..., Any] | None
    inputs: tuple[str, ...] = ("drive",)


class NeuronModel(ABC):
    """Base of all neuron models; concrete models are frozen dataclasses."""

    arithmetic: ClassVar[Arithmetic]
    #: Whether neurons of this model emit spikes (a readout integrates only).
    spiking: ClassVar[bool] = True
    #: The receptors that neurons of this model can have.
    receptor_kinds: ClassVar[tuple[type[Receptor], ...]] = (Delta,)
    #: The parameters that say how neurons begin, and nothing of how they go on.
    initial_fields: ClassVar[tuple[str, ...]] = ("initial",)

    @abstractmethod
    def coefficients(self, dt: float) -> tuple[Any, ...]:
        """Return the NamedTuple of coefficients for ticks of `dt` seconds, in float64."""

    @abstractmethod
    def initial_states(self) -> tuple[Parameter, ...]:
        """Return the value of each state before the first tick."""

    @property
    def receptor_list(self) -> tuple[Receptor, ...]:
        """Receptors in order; the first is the one that projections reach by default."""
        return (Delta(),)

    @property
    def is_strict(self) -> bool:
        """Whether a neuron exactly at threshold stays silent."""
        return bool(getattr(self, "strict", False))

    def refractory_ticks(self, dt: float) -> int:
        """Ticks after a spike during which the membrane is held."""
        ticks = tick_count(getattr(self, "refractory", 0.0), dt, name="refractory")
        check_length(ticks, dt, name="refractory")
        return ticks

    def check_dtype(self, dt: float, dtype: str) -> None:  # noqa: B027 - most models fit
        """Raise `ParameterError` where the model would not do in a precision what its parameters say."""

    def closed_form(self, dt: float) -> ClosedForm | None:
        """Return how neurons go on between events, for those that leave them alone; None where that is not known."""
        del dt
        return None

    def receptor_coefficients(self, receptor: Receptor, dt: float) -> tuple[Any, ...]:
        """Return the NamedTuple of coefficients a tick of a receptor that has states, in float64."""
        raise ParameterError(
            f"{type(self).__name__} takes Delta receptors only, not {type(receptor).__name__}; use LIF for currents"
        )

    def check_size(self, size: int, population: str) -> None:
        """Raise `ParameterError` where a parameter given per neuron does not fit the population, or is no switch."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.type == "bool" and not isinstance(value, (bool, np.bool_)):
                raise ParameterError(f"population {population!r}: {field.name}={value!r}: must be True or False")
            if isinstance(value, np.ndarray) and value.shape != (size,):
                raise ParameterError(
                    f"population {population!r}: {field.name} has shape {value.shape}, "
                    f"expected one number or shape ({size},)"
                )

    def describe(self) -> str:
        """Return the model and the parameters that differ from the default, in one line."""
        parts = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray) and value.size:
                parts.append(f"{field.name}=array({value.min():.4g}…{value.max():.4g})")
            elif field.default is dataclasses.MISSING or value != field.default:
                parts.append(f"{field.name}={value:.4g}" if isinstance(value, float) else f"{field.name}={value}")
        return f"{type(self).__name__}({', '.join(parts)})"

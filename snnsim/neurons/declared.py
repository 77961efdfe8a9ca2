"""A neuron model made of a class that names parameters, states and equations; see `snnsim.neurons.registry.neuron`."""

from __future__ import annotations

import dataclasses
import math
from collections import namedtuple
from typing import Annotated, Any, ClassVar

import numpy as np

from snnsim.errors import ParameterError, positive
from snnsim.neurons.arithmetic.check import check_arguments, check_function, frozen
from snnsim.neurons.arithmetic.functions import landed
from snnsim.neurons.base import Arithmetic, NeuronModel
from snnsim.neurons.parameters import Parameter, as_parameter
from snnsim.neurons.receptors import (
    Alpha,
    AlphaCoefficients,
    Delta,
    Exponential,
    ExponentialCoefficients,
    Receptor,
    check_receptors,
    receptor_decay,
)

#: A state of a model, by its value before the first tick: one number, or one a neuron.
State = Annotated[Parameter, "state"]

_FUNCTIONS = ("integrate", "distance", "reset")
#: What every declared model has, unless the class gives another default: annotation and default.
_COMMON: dict[str, tuple[str, Any]] = {
    "refractory": ("float", 0.0),
    "strict": ("bool", False),
    "receptors": ("tuple[Receptor, ...]", (Delta(),)),
}
#: Names that mean something else in arithmetic.
_TAKEN = frozenset(
    ("dt", "drive", "spike", "input", "integrate", "distance", "reset", "arithmetic", "state_names", "parameter_names")
)
#: What a class has without its author.
_UNASKED = frozenset(("__module__", "__qualname__", "__doc__", "__annotations__", "__dict__", "__weakref__"))


class DeclaredModel(NeuronModel):
    """Base of the models that `snnsim.neuron` makes."""

    state_names: ClassVar[tuple[str, ...]]
    parameter_names: ClassVar[tuple[str, ...]]
    receptor_kinds = (Delta, Exponential, Alpha)

    refractory: float
    receptors: tuple[Receptor, ...]

    def __post_init__(self) -> None:
        for name in (*self.parameter_names, *self.state_names):
            object.__setattr__(self, name, as_parameter(name, getattr(self, name)))
        object.__setattr__(self, "receptors", check_receptors(self.receptors, self.receptor_kinds))
        positive("refractory", self.refractory, zero=True)
        self.check()

    def check(self) -> None:
        """Raise `ParameterError` where parameters make no sense; a class may say when."""

    def derived(self, dt: float) -> dict[str, Any]:
        """Return the numbers of a tick that a class works out of its parameters (its method `coefficients`)."""
        del dt
        return {}

    def coefficients(self, dt: float) -> Any:
        """Return the parameters, `dt`, and what the class has worked out of them."""
        kind, name = self.arithmetic.coefficients, type(self).__name__
        numbers = {parameter: getattr(self, parameter) for parameter in self.parameter_names} | {"dt": dt}
        for key, value in _derived(name, self.derived(dt)).items():
            numbers[key] = as_parameter(f"{name}.coefficients: {key}", value)
        if tuple(numbers) != kind._fields:  # type: ignore[attr-defined]
            raise ParameterError(
                f"{name}.coefficients: gives {', '.join(numbers)}; when the model was registered it gave "
                f"{', '.join(kind._fields)}"  # type: ignore[attr-defined]
            )
        return kind(**numbers)

    def initial_states(self) -> tuple[Parameter, ...]:
        """Return the value of each state before the first tick."""
        return tuple(getattr(self, name) for name in self.state_names)

    def check_size(self, size: int, population: str) -> None:
        """Raise `ParameterError` where a number given, or worked out, per neuron does not fit the population."""
        super().check_size(size, population)
        for key, value in self.derived(1e-3).items():
            if np.shape(value) not in ((), (size,)):
                raise ParameterError(
                    f"population {population!r}: coefficients of {type(self).__name__} give {key} the shape "
                    f"{np.shape(value)}, expected one number or shape ({size},)"
                )

    @property
    def receptor_list(self) -> tuple[Receptor, ...]:
        """Receptors in order."""
        return self.receptors

    def receptor_coefficients(self, receptor: Receptor, dt: float) -> tuple[Any, ...]:
        """Return the coefficients of a current; the drive of a tick is its value at the start of it."""
        assert isinstance(receptor, (Exponential, Alpha))
        decay = receptor_decay(receptor, dt, "exact")
        if isinstance(receptor, Alpha):
            return AlphaCoefficients(decay, math.e * dt / receptor.time_constant * decay, 1.0, 0.0)
        return ExponentialCoefficients(decay, 1.0)


def declared(cls: type[Any]) -> type[DeclaredModel]:
    """Return the model that a class declares; see `snnsim.neurons.registry.neuron`."""
    name = cls.__name__
    parameters, states, common = _fields(cls)
    if not states or states[0] != "membrane":
        raise ParameterError(
            f"{name}: the first state must be the membrane, which probes and readouts take by default; write "
            f"membrane: sn.State = ... before other states (found {', '.join(states) or 'none'})"
        )
    body = {key: value for key, value in vars(cls).items() if key not in _UNASKED}
    functions = {key: frozen(name, body.pop(key)) for key in _FUNCTIONS if key in body}
    for key in sorted(body.keys() - {*parameters, *states, *common, "coefficients", "check"}):
        if callable(body[key]) or isinstance(body[key], (staticmethod, classmethod, property)):
            raise ParameterError(
                f"{name} has a function {key!r}; known are integrate, distance, reset, coefficients and check; define "
                "what these call outside of the class"
            )
        raise ParameterError(f"{name}: {key} has no annotation; write {key}: sn.Parameter = {body[key]!r}, or sn.State")
    if "integrate" not in functions:
        raise ParameterError(
            f"{name} has no integrate: write def integrate({', '.join(states)}, drive, p), which returns the states "
            "after one tick"
        )
    if len(functions) == 2:
        (missing,) = set(_FUNCTIONS) - set(functions)
        raise ParameterError(f"{name} has no {missing}: a neuron that fires has distance and reset, a readout neither")
    for key, function in functions.items():
        check_arguments(name, function, (*states, "drive") if key == "integrate" else states)
    annotations = dict.fromkeys(parameters, "Parameter") | dict.fromkeys(states, "State")
    annotations |= {key: kind for key, (kind, _) in _COMMON.items()}
    own = {key: getattr(cls, key) for key in (*parameters, *states)}
    own |= {key: body.get(key, default) for key, (_, default) in _COMMON.items()}
    namespace = {
        **own,
        "__annotations__": annotations,
        "__module__": __name__,  # where its annotations have a meaning, which dataclass looks for
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__ or f"{name}, a neuron model.",
        "state_names": states,
        "parameter_names": parameters,
        "spiking": "distance" in functions,
        "initial_fields": states,
    }
    namespace |= {"derived": body["coefficients"]} if "coefficients" in body else {}
    namespace |= {"check": body["check"]} if "check" in body else {}
    model: type[DeclaredModel] = dataclasses.dataclass(frozen=True, eq=False)(type(name, (DeclaredModel,), namespace))
    model.__module__ = cls.__module__
    model.arithmetic = _arithmetic(model, functions)
    return model


def _fields(cls: type[Any]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the names of parameters, of states, and of what every model has."""
    name = cls.__name__
    parents = [base.__name__ for base in cls.__mro__[1:-1]]
    if parents:
        raise ParameterError(f"{name} derives from {', '.join(parents)}: a declared neuron stands alone")
    parameters, states, common = [], [], []
    for field, annotation in vars(cls).get("__annotations__", {}).items():
        if field.startswith("_") or field in _TAKEN or (field not in _COMMON and hasattr(DeclaredModel, field)):
            raise ParameterError(f"{name}: a parameter or state cannot be called {field!r}, which snnsim uses itself")
        if field not in vars(cls):
            raise ParameterError(f"{name}: {field} has no default; write {field}: ... = value")
        written = annotation.rpartition(".")[2] if isinstance(annotation, str) else ""
        if field in _COMMON:
            common.append(field)
        elif written == "State" or annotation == State:
            if field == "c" or field.startswith("land"):
                raise ParameterError(f"{name}: a state cannot be called {field!r}, which snnsim uses itself")
            states.append(field)
        else:
            parameters.append(field)
    return tuple(parameters), tuple(states), tuple(common)


def _arithmetic(model: type[DeclaredModel], functions: dict[str, Any]) -> Arithmetic:
    """Return the arithmetic of a model: its functions, and the NamedTuple of the numbers that they read."""
    name = model.__name__
    derived = _derived(name, model.derived(model(), 1e-3))
    fields = (*model.parameter_names, "dt", *derived)
    twice = sorted({field for field in fields if fields.count(field) > 1})
    if twice:
        raise ParameterError(f"{name}.coefficients: {', '.join(twice)}: is a parameter already, or dt")
    make: Any = namedtuple  # its fields are known only now
    kind = make("Coefficients", fields)
    kind.__module__, kind.__doc__ = model.__module__, f"What one tick of {name} needs."
    # Made here, so that no module has it by name: it is pickled as what its model makes of the values.
    kind.__reduce__ = lambda values: (_unpickled, (model, tuple(values)))
    states = model.state_names
    for key, function in functions.items():
        given = len(states) + (key == "integrate")
        check_function(name, function, given, kind, None if key == "distance" else states)
    reset = _reset(functions["reset"], states) if "reset" in functions else None
    return Arithmetic(states, kind, functions["integrate"], functions.get("distance"), reset)


def _unpickled(model: type[DeclaredModel], values: tuple[Any, ...]) -> Any:
    return model.arithmetic.coefficients(*values)


def _reset(landing: Any, states: tuple[str, ...]) -> Any:
    """Return the reset of backends, ``reset(*states, spike, c)``, made of where the states land after a spike.

    It is written out, as `namedtuple` writes out its class, so that Numba compiles it as any other function.
    """
    found = ", ".join(f"landing_{state}" for state in states)
    ends = ", ".join(f"landed(spike, landing_{state}, {state})" for state in states)
    text = (
        f"def reset({', '.join(states)}, spike, c):\n"
        f"    {found}, = landing({', '.join(states)}, c)\n"
        f"    return {ends},\n"
    )
    names: dict[str, Any] = {"landing": landing, "landed": landed}
    exec(compile(text, landed.__code__.co_filename, "exec"), names)  # names of states are identifiers
    reset = names["reset"]
    reset.__module__ = landing.__module__
    return reset


def _derived(name: str, found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or not all(isinstance(key, str) and key.isidentifier() for key in found):
        raise ParameterError(f"{name}.coefficients: must return a dict of numbers by name, not {found!r}")
    return found

"""Every neuron model by name, and how a user adds one of her own."""

from __future__ import annotations

from typing import Any

from snnsim.errors import ParameterError
from snnsim.neurons.adaptive_lif import AdaptiveLIF
from snnsim.neurons.arithmetic.check import check_function
from snnsim.neurons.base import Arithmetic, NeuronModel
from snnsim.neurons.conductance_lif import ConductanceLIF
from snnsim.neurons.declared import declared
from snnsim.neurons.homeostatic_lif import HomeostaticLIF
from snnsim.neurons.integrate_and_fire import IF
from snnsim.neurons.li import LI
from snnsim.neurons.lif import LIF

_OWN = (LIF, LI, IF, AdaptiveLIF, HomeostaticLIF, ConductanceLIF)
#: Every neuron model by name; backends, files and training know the models of this table, also those added later.
MODELS: dict[str, type[NeuronModel]] = {model.__name__: model for model in _OWN}


def neuron(cls: Any) -> Any:
    """Make a neuron model of a class, and let every backend, file and trainer know it; a decorator.

    The class names parameters, states and equations; see docs/own_neuron.md for examples::

        @sn.neuron
        class QuadraticIF:
            time_constant: sn.Parameter = 10e-3
            peak: sn.Parameter = 10.0
            membrane: sn.State = -1.0

            def integrate(membrane, drive, p):
                return (membrane + p.dt / p.time_constant * membrane * membrane + drive,)

            def distance(membrane, p):
                return membrane - p.peak

            def reset(membrane, p):
                return (-p.peak,)

    Parameters
    ----------
    cls : type
        Fields: ``sn.Parameter`` and ``sn.State`` with a default, the latter the value before the first tick; the first
        state is ``membrane``. A default of `refractory`, `strict` or `receptors` replaces that of `LIF`. Functions:

        - ``integrate(*states, drive, p)`` returns the states after one tick, ``distance(*states, p)`` a number that is
          zero or above where the neuron fires, ``reset(*states, p)`` the states after a spike. A readout has the first
          only. They are of + - * / and of `exp`, `minimum`, `maximum` and `where` of `snnsim.neurons`; `p` has the
          parameters by name, ``p.dt``, and what `coefficients` adds.
        - ``coefficients(self, dt)``, optional: a dict of more numbers, worked out of the parameters once.
        - ``check(self)``, optional: raises `ParameterError` where parameters make no sense.

        Or a subclass of `NeuronModel`, a frozen dataclass with an `Arithmetic`, as those of snnsim are.

    Returns
    -------
    type of NeuronModel
        A frozen dataclass of the same name.

    Raises
    ------
    ParameterError
        Something is missing, is not known, or would not run on every engine, with function and line; or the name is
        that of a model of snnsim or of another module. A module that registers a name again replaces its model, so a
        cell of a notebook may be run again; networks that were made before keep theirs.
    """
    if not isinstance(cls, type):
        raise ParameterError(f"neuron: {cls!r} is no class")
    name = cls.__name__
    known = MODELS.get(name)
    if known in _OWN:
        raise ParameterError(f"{name} is a neuron model of snnsim; choose another name")
    if known is not None and known.__module__ != cls.__module__:
        raise ParameterError(
            f"a neuron model {name} is registered by the module {known.__module__} already; choose another name"
        )
    model = _checked(cls) if issubclass(cls, NeuronModel) else declared(cls)
    MODELS[name] = model
    return model


def _checked(model: Any) -> type[NeuronModel]:
    """Return a model that is written out, if it is whole."""
    name = model.__name__
    if "__dataclass_fields__" not in vars(model):
        raise ParameterError(f"{name} is no dataclass; write @dataclass(frozen=True, eq=False) below @sn.neuron")
    missing = [*sorted(model.__abstractmethods__), *(["arithmetic"] if not hasattr(model, "arithmetic") else [])]
    if missing:
        raise ParameterError(f"{name} has no {' and no '.join(missing)}; see snnsim.neurons.base.NeuronModel")
    check_arithmetic(name, model.arithmetic)
    checked: type[NeuronModel] = model
    return checked


def check_arithmetic(model: str, arithmetic: Arithmetic) -> None:
    """Raise `ParameterError` that names function and line where arithmetic does what a backend would not do."""
    states, kind = arithmetic.states, arithmetic.coefficients
    check_function(model, arithmetic.integrate, len(states) + len(arithmetic.inputs), kind, states)
    if arithmetic.distance is not None and arithmetic.reset is not None:
        check_function(model, arithmetic.distance, len(states), kind, None)
        check_function(model, arithmetic.reset, len(states) + 1, kind, states)

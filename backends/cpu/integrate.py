"""Neurons of one population over one tick: templates that are compiled once for each model.

The names ``integrate``, ``distance``, ``reset`` and ``coefficients`` below stand for those of a model (see
`snnsim.neurons`); `step_for` puts them in. `step_chain` joins the compiled steps of all models into one function that
picks by the model's number, so that one compiled engine runs every network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from snnsim.backends.cpu._jit import jit, specialised
from snnsim.errors import CapabilityError
from snnsim.neurons import NeuronModel

# What a template names; `specialised` puts the real thing in its place.
integrate: Any = None
distance: Any = None
reset: Any = None
coefficients: Any = None
step: Any = None
others: Any = None
number: Any = None


def one_state(floats, states, size, table, start, uniform, drive, counters, refractory, bound, fired):
    """Advance a spiking model with one state.

    `drive` is emptied and `fired` becomes 0 or 1 a neuron, in the type of the states so that the loop stays in
    vector registers. A neuron fires at a distance of `bound` or more: zero, or the smallest number above it.
    """
    zero, one = floats.dtype.type(0), floats.dtype.type(1)
    first = floats[states : states + size]
    if uniform and refractory == 0:
        c = coefficients(table, start, 1)
        for j in range(size):
            (a,) = integrate(first[j], drive[j], c)
            spike = one if distance(a, c) >= bound else zero
            (first[j],) = reset(a, spike, c)
            drive[j] = zero
            fired[j] = spike
    elif uniform:
        c = coefficients(table, start, 1)
        for j in range(size):
            free = counters[j] <= 0
            (a,) = integrate(first[j], drive[j], c)
            a = a if free else first[j]
            spike = one if (distance(a, c) >= bound) & free else zero
            (first[j],) = reset(a, spike, c)
            drive[j] = zero
            fired[j] = spike
            counters[j] = np.int32(refractory) if spike > zero else max(counters[j] - np.int32(1), np.int32(0))
    else:
        for j in range(size):
            c = coefficients(table, start + j, size)
            free = counters[j] <= 0
            (a,) = integrate(first[j], drive[j], c)
            a = a if free else first[j]
            spike = one if (distance(a, c) >= bound) & free else zero
            (first[j],) = reset(a, spike, c)
            drive[j] = zero
            fired[j] = spike
            counters[j] = np.int32(refractory) if spike > zero else max(counters[j] - np.int32(1), np.int32(0))


def two_states(floats, states, size, table, start, uniform, drive, counters, refractory, bound, fired):
    """Advance a spiking model with two states; see `one_state`."""
    zero, one = floats.dtype.type(0), floats.dtype.type(1)
    first, second = floats[states : states + size], floats[states + size : states + 2 * size]
    for j in range(size):
        c = coefficients(table, start if uniform else start + j, 1 if uniform else size)
        free = counters[j] <= 0
        a, b = integrate(first[j], second[j], drive[j], c)
        a, b = (a if free else first[j]), (b if free else second[j])
        spike = one if (distance(a, b, c) >= bound) & free else zero
        first[j], second[j] = reset(a, b, spike, c)
        drive[j] = zero
        fired[j] = spike
        counters[j] = np.int32(refractory) if spike > zero else max(counters[j] - np.int32(1), np.int32(0))


def readout(floats, states, size, table, start, uniform, drive, counters, refractory, bound, fired):
    """Advance a model with one state that never fires."""
    zero = floats.dtype.type(0)
    first = floats[states : states + size]
    for j in range(size):
        c = coefficients(table, start if uniform else start + j, 1 if uniform else size)
        (first[j],) = integrate(first[j], drive[j], c)
        drive[j] = zero


def link(model, floats, states, size, table, start, uniform, drive, counters, refractory, bound, fired):
    """Advance a population of model `number`, or pass on to the other models."""
    if model == number:
        step(floats, states, size, table, start, uniform, drive, counters, refractory, bound, fired)
    else:
        others(model, floats, states, size, table, start, uniform, drive, counters, refractory, bound, fired)


def _none(model, floats, states, size, table, start, uniform, drive, counters, refractory, bound, fired):
    """End of the chain: the program has checked that every model is known."""


def step_for(model: type[NeuronModel]) -> Any:
    """Compile the step of a model.

    Raises
    ------
    CapabilityError
        No template fits its number of states.
    """
    arithmetic = model.arithmetic
    templates = {(1, True): one_state, (2, True): two_states, (1, False): readout}
    key = (len(arithmetic.states), arithmetic.distance is not None)
    if key not in templates:
        raise CapabilityError(f"backend 'cpu' has no kernel for {model.__name__}: {key[0]} states, spiking={key[1]}")
    entries = ", ".join(f"table[start + {i} * step]" for i in range(len(arithmetic.coefficients._fields)))  # type: ignore[attr-defined]
    record = eval(f"lambda table, start, step: record({entries})", {"record": arithmetic.coefficients})
    names = {
        name: jit(function)
        for name, function in (
            ("integrate", arithmetic.integrate),
            ("distance", arithmetic.distance),
            ("reset", arithmetic.reset),
            ("coefficients", record),
        )
        if function is not None
    }
    return specialised(templates[key], f"step_{model.__name__}", **names)


def step_chain(models: Sequence[type[NeuronModel]]) -> Any:
    """Compile one function that advances a population of any of the models, told apart by their place here."""
    chain = jit(_none)
    # The first model ends up outermost, so that the usual one is reached by one comparison.
    for place, model in reversed(list(enumerate(models))):
        chain = specialised(link, f"link_{model.__name__}", step=step_for(model), others=chain, number=place)
    return chain

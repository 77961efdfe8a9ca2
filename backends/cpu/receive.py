"""Receptors over one tick: what has arrived goes into their states, and their states into the inputs of the neurons.

The names below stand for those of a receptor (see `snnsim.neurons.receptors`); `receive_for` puts them in, and joins
the receptors that a model takes into one function.
"""

from __future__ import annotations

from typing import Any

from snnsim.backends.cpu._jit import jit, specialised
from snnsim.backends.cpu.columns import (
    FIRST_RECEPTOR,
    KIND,
    RECEPTOR_COEFFICIENTS,
    RECEPTOR_COLUMNS,
    RECEPTOR_STATES,
    RECEPTOR_UNIFORM,
    RECEPTORS,
    SIZE,
    STATE,
)
from snnsim.backends.cpu.pointers import at, moved, put
from snnsim.backends.cpu.rows import add, read, record_at, rows_of, write
from snnsim.neurons import NeuronModel, Receptor

seen: Any = None
follow: Any = None
coefficients_at: Any = None
rows_of_states: Any = None
pass_same: Any = None
pass_each: Any = None
receptor: Any = None
others: Any = None
dispatch: Any = None
number: Any = None


def one_pass(inputs, states, arrived, length, table, step):
    """Advance a receptor of `length` neurons; `arrived` is emptied."""
    for j in range(length):
        c = coefficients_at(table, j, step)
        now = read(states, j)
        add(inputs, j, seen(*now, c))
        write(states, j, follow(*now, at(arrived, j), c))
        put(arrived, j, 0)


def one_receptor(row, entry, coefficients, floats, arrived, first, length, inputs):
    """Advance a receptor that has states."""
    size, start = at(row, SIZE), at(entry, RECEPTOR_COEFFICIENTS)
    states = rows_of_states(floats, at(row, RECEPTOR_STATES) + at(entry, STATE) * size + first, size)
    if at(entry, RECEPTOR_UNIFORM):
        pass_same(inputs, states, arrived, length, moved(coefficients, start), size)
    else:
        pass_each(inputs, states, arrived, length, moved(coefficients, start + first), size)


def delta_receptor(row, entry, coefficients, floats, arrived, first, length, inputs):
    """Add what has arrived to the first input."""
    drive = inputs[0]
    for j in range(length):
        put(drive, j, at(drive, j) + at(arrived, j))
        put(arrived, j, 0)


def link(row, entry, coefficients, floats, arrived, first, length, inputs):
    """Advance a receptor of kind `number`, or pass on to the other kinds."""
    if at(entry, KIND) == number:
        receptor(row, entry, coefficients, floats, arrived, first, length, inputs)
    else:
        others(row, entry, coefficients, floats, arrived, first, length, inputs)


def _none(row, entry, coefficients, floats, arrived, first, length, inputs):
    """End of the chain: the model has checked that it takes every receptor."""


def all_receptors(row, receptors, coefficients, floats, arrived, stride, low, first, length, inputs):
    """Advance the receptors of neurons ``first ... first + length - 1``."""
    for r in range(at(row, RECEPTORS)):
        entry = moved(receptors, (at(row, FIRST_RECEPTOR) + r) * RECEPTOR_COLUMNS)
        here = moved(arrived, r * stride + first - low)
        dispatch(row, entry, coefficients, floats, here, first, length, inputs)


def _receptor_for(kind: type[Receptor]) -> Any:
    arithmetic = kind.arithmetic
    if arithmetic is None:
        return jit(delta_receptor)
    names = {"seen": jit(arithmetic.seen), "follow": jit(arithmetic.follow)}
    passes = {}
    for word in ("same", "each"):
        at = record_at(arithmetic.coefficients, each=word == "each")
        passes[f"pass_{word}"] = specialised(one_pass, f"pass_{kind.__name__}_{word}", coefficients_at=at, **names)
    return specialised(
        one_receptor,
        f"receptor_{kind.__name__}",
        rows_of_states=rows_of(len(arithmetic.states)),
        **passes,
    )


def receive_for(model: type[NeuronModel]) -> Any:
    """Compile the function that advances all receptors of a population of a model."""
    chain = jit(_none)
    # The first kind ends up outermost, so that the usual one is reached by one comparison.
    for place, kind in reversed(list(enumerate(model.receptor_kinds))):
        receptor = _receptor_for(kind)
        chain = specialised(link, f"link_{kind.__name__}", receptor=receptor, others=chain, number=place)
    return specialised(all_receptors, f"receive_{model.__name__}", dispatch=chain)

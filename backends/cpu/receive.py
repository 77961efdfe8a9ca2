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
from snnsim.backends.cpu.pointers import view
from snnsim.backends.cpu.rows import ADD, READ, ROWS, WRITE, record_at
from snnsim.neurons import NeuronModel, Receptor

seen: Any = None
follow: Any = None
coefficients_at: Any = None
read_states: Any = None
write_states: Any = None
add_inputs: Any = None
rows_of_states: Any = None
pass_same: Any = None
pass_each: Any = None
receptor: Any = None
others: Any = None
dispatch: Any = None
number: Any = None
n_coefficients: Any = None


def one_pass(inputs, states, arrived, length, table, step):
    """Advance a receptor of `length` neurons; `arrived` is emptied."""
    zero = arrived.dtype.type(0)
    for j in range(length):
        c = coefficients_at(table, j, step)
        now = read_states(states, j)
        add_inputs(inputs, j, seen(*(now + (c,))))  # noqa: RUF005 - Numba joins tuples only so
        write_states(states, j, follow(*(now + (arrived[j], c))))  # noqa: RUF005
        arrived[j] = zero


def one_receptor(row, entry, coefficients, floats, arrived, first, length, inputs):
    """Advance a receptor that has states."""
    size = row[SIZE]
    states = rows_of_states(floats, row[RECEPTOR_STATES] + entry[STATE] * size + first, size, length)
    if entry[RECEPTOR_UNIFORM]:
        pass_same(inputs, states, arrived, length, view(coefficients, entry[RECEPTOR_COEFFICIENTS], n_coefficients), 0)
    else:
        table = view(coefficients, entry[RECEPTOR_COEFFICIENTS] + first, n_coefficients * size)
        pass_each(inputs, states, arrived, length, table, size)


def delta_receptor(row, entry, coefficients, floats, arrived, first, length, inputs):
    """Add what has arrived to the first input."""
    drive, zero = inputs[0], arrived.dtype.type(0)
    for j in range(length):
        drive[j] += arrived[j]
        arrived[j] = zero


def link(row, entry, coefficients, floats, arrived, first, length, inputs):
    """Advance a receptor of kind `number`, or pass on to the other kinds."""
    if entry[KIND] == number:
        receptor(row, entry, coefficients, floats, arrived, first, length, inputs)
    else:
        others(row, entry, coefficients, floats, arrived, first, length, inputs)


def _none(row, entry, coefficients, floats, arrived, first, length, inputs):
    """End of the chain: the model has checked that it takes every receptor."""


def all_receptors(row, receptors, coefficients, floats, arrived, stride, low, first, length, inputs):
    """Advance the receptors of neurons ``first ... first + length - 1``."""
    for r in range(row[RECEPTORS]):
        entry = view(receptors, (row[FIRST_RECEPTOR] + r) * RECEPTOR_COLUMNS, RECEPTOR_COLUMNS)
        here = view(arrived, r * stride + first - low, length)
        dispatch(row, entry, coefficients, floats, here, first, length, inputs)


def _receptor_for(kind: type[Receptor], n_inputs: int) -> Any:
    arithmetic = kind.arithmetic
    if arithmetic is None:
        return jit(delta_receptor)
    names = {
        "seen": jit(arithmetic.seen),
        "follow": jit(arithmetic.follow),
        "read_states": READ[len(arithmetic.states)],
        "write_states": WRITE[len(arithmetic.states)],
        "add_inputs": ADD[n_inputs],
    }
    passes = {}
    for word in ("same", "each"):
        at = record_at(arithmetic.coefficients, each=word == "each")
        passes[f"pass_{word}"] = specialised(one_pass, f"pass_{kind.__name__}_{word}", coefficients_at=at, **names)
    return specialised(
        one_receptor,
        f"receptor_{kind.__name__}",
        rows_of_states=ROWS[len(arithmetic.states)],
        n_coefficients=len(arithmetic.coefficients._fields),  # type: ignore[attr-defined]
        **passes,
    )


def receive_for(model: type[NeuronModel]) -> Any:
    """Compile the function that advances all receptors of a population of a model."""
    chain = jit(_none)
    # The first kind ends up outermost, so that the usual one is reached by one comparison.
    for place, kind in reversed(list(enumerate(model.receptor_kinds))):
        receptor = _receptor_for(kind, len(model.arithmetic.inputs))
        chain = specialised(link, f"link_{kind.__name__}", receptor=receptor, others=chain, number=place)
    return specialised(all_receptors, f"receive_{model.__name__}", dispatch=chain)

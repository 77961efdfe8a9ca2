"""Receptors over one tick: what has arrived goes into their states, and their states into the inputs of the neurons.

The names below stand for those of a receptor (see `snnsim.neurons.receptors`). `receive_for` puts them in and joins the
receptors of a population into two functions: one finds their memory, a part for each receptor; the other takes one
neuron through all of them, so that they share a loop with the neuron itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from snnsim.backends.cpu.compiler.pointer_tuples import plus, read, record_at, rows_of, write
from snnsim.backends.cpu.compiler.pointers import at, moved, put
from snnsim.backends.cpu.neurons.table_columns import (
    FIRST_RECEPTOR,
    RECEPTOR_COEFFICIENTS,
    RECEPTOR_COLUMNS,
    RECEPTOR_STATES,
    SIZE,
    STATE,
)
from snnsim.neurons import Receptor
from snnsim.numerics.specialise import in_precision, jit, specialised

seen: Any = None
follow: Any = None
coefficients_at: Any = None
rows_of_states: Any = None
open_one: Any = None
open_others: Any = None
take_one: Any = None
take_others: Any = None


class Receive(NamedTuple):
    """The compiled functions of the receptors of a population."""

    open_parts: Any
    take: Any


def open_states(r, row, receptors, coefficients, floats, arrived, stride, low, first, each):
    """Find the memory of receptor r, which has states, from neuron `first` on."""
    entry, size = moved(receptors, (at(row, FIRST_RECEPTOR) + r) * RECEPTOR_COLUMNS), at(row, SIZE)
    states = rows_of_states(floats, at(row, RECEPTOR_STATES) + at(entry, STATE) * size + first, size)
    table = moved(coefficients, at(entry, RECEPTOR_COEFFICIENTS) + first * each)
    return states, moved(arrived, r * stride + first - low), table


def take_states(part, j, size):
    """Take neuron j through a receptor that has states; return what the membrane sees."""
    states, arrived, table = part
    c, now = coefficients_at(table, j, size), read(states, j)
    write(states, j, follow(*now, at(arrived, j), c))
    put(arrived, j, 0)
    return seen(*now, c)


def open_delta(r, row, receptors, coefficients, floats, arrived, stride, low, first, each):
    """Find the memory of a delta receptor."""
    return moved(arrived, r * stride + first - low)


def take_delta(part, j, size):
    """Take neuron j through a delta receptor: the membrane sees what has arrived."""
    weights = at(part, j)
    put(part, j, 0)
    return (weights,)


def open_last(r, row, receptors, coefficients, floats, arrived, stride, low, first, each):
    """Find the memory of the last receptor."""
    return (open_one(r, row, receptors, coefficients, floats, arrived, stride, low, first, each),)


def open_link(r, row, receptors, coefficients, floats, arrived, stride, low, first, each):
    """Find the memory of receptor r and of those after it."""
    part = open_one(r, row, receptors, coefficients, floats, arrived, stride, low, first, each)
    return part, *open_others(r + 1, row, receptors, coefficients, floats, arrived, stride, low, first, each)


def take_first(parts, j, size):
    """Take neuron j through all receptors; return its inputs."""
    return take_others(take_one(parts[0], j, size), parts[1:], j, size)


def take_link(inputs, parts, j, size):
    """Add what the membrane sees of one receptor, then of those after it."""
    return take_others(plus(inputs, take_one(parts[0], j, size)), parts[1:], j, size)


def _none(inputs, parts, j, size):
    """End of the chain."""
    return inputs


def receive_for(kinds: Sequence[type[Receptor]], number: type[Any], mark: str, *, each: bool) -> Receive:
    """Compile the functions of the receptors of a population.

    Parameters
    ----------
    kinds : sequence of types of Receptor
    number : type
        Of the states, ``np.float32`` or ``np.float64``.
    mark : str
        For the names of the functions: no other step may have it (see `snnsim.numerics.specialise.specialised`).
    each : bool
        Whether each neuron has coefficients of its own.
    """
    opening: Any = None
    taking = jit(_none)
    for place, kind in reversed(list(enumerate(kinds))):
        open_here, take_here = _one(kind, number, mark, each)
        name = f"{kind.__name__}_{place}_{mark}"
        if opening is None:
            opening = specialised(open_last, f"open_{name}", open_one=open_here)
        else:
            opening = specialised(open_link, f"open_{name}", open_one=open_here, open_others=opening)
        template = take_link if place else take_first
        taking = specialised(template, f"take_{name}", take_one=take_here, take_others=taking)
    return Receive(opening, taking)


def _one(kind: type[Receptor], number: type[Any], mark: str, each: bool) -> tuple[Any, Any]:
    arithmetic = kind.arithmetic
    if arithmetic is None:
        return jit(open_delta), jit(take_delta)
    rows = rows_of(len(arithmetic.states))
    take = specialised(
        take_states,
        f"take_{kind.__name__}_{mark}",
        seen=in_precision(arithmetic.seen, number),
        follow=in_precision(arithmetic.follow, number),
        coefficients_at=record_at(arithmetic.coefficients, each=each),
    )
    return specialised(open_states, f"open_{kind.__name__}_{mark}", rows_of_states=rows), take

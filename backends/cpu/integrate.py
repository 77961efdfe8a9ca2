"""Neurons over one tick: their inputs into their states, the test of the threshold, the reset, and who fired.

The names below stand for those of a model (see `snnsim.neurons`); `advance_for` puts them in. A neuron fires at a
distance of `bound` or more: zero, or the smallest number above it. Inputs are left empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.backends.cpu._jit import jit, specialised
from snnsim.backends.cpu.columns import BOUND, COEFFICIENTS, COUNTERS, REFRACTORY, SIZE, STATES, UNIFORM
from snnsim.backends.cpu.pointers import as_int32, at, like, moved, put
from snnsim.backends.cpu.rows import choose, empty, read, record_at, rows_of, write
from snnsim.neurons import NeuronModel

integrate: Any = None
distance: Any = None
reset: Any = None
coefficients_at: Any = None
rows_of_states: Any = None
free_same: Any = None
free_each: Any = None
held_same: Any = None
held_each: Any = None

#: Neurons in which a spike is looked for at once.
_BLOCK = 32


def free_pass(states, inputs, marks, length, table, step, bound):
    """Advance neurons without a refractory time; return how many fired and mark them by 1."""
    count = np.int32(0)
    for j in range(length):
        c = coefficients_at(table, j, step)
        after = integrate(*read(states, j), *read(inputs, j), c)
        fires = distance(*after, c) >= bound
        write(states, j, reset(*after, like(states[0], fires), c))
        empty(inputs, j)
        put(marks, j, fires)
        count = np.int32(count + np.int32(fires))
    return count


def held_pass(states, inputs, counters, length, table, step, bound, refractory):
    """Advance neurons that are held after a spike; return how many fired: their counter is at `refractory`."""
    count, full = np.int32(0), like(counters, refractory)
    for j in range(length):
        c = coefficients_at(table, j, step)
        left = at(counters, j)
        free = left <= 0
        now = read(states, j)
        after = choose(free, integrate(*now, *read(inputs, j), c), now)
        fires = (distance(*after, c) >= bound) & free
        write(states, j, reset(*after, like(states[0], fires), c))
        empty(inputs, j)
        put(counters, j, full if fires else np.int32(left - np.int32(left > 0)))
        count = np.int32(count + np.int32(fires))
    return count


def readout_pass(states, inputs, length, table, step):
    """Advance neurons that never fire."""
    for j in range(length):
        c = coefficients_at(table, j, step)
        write(states, j, integrate(*read(states, j), *read(inputs, j), c))
        empty(inputs, j)


def spiking(row, coefficients, floats, counters, inputs, flags, first, length, fired, count):
    """Advance neurons ``first ... first + length - 1``; add those that fired to the `count` in `fired`."""
    size, refractory, bound = at(row, SIZE), at(row, REFRACTORY), at(coefficients, at(row, BOUND))
    states = rows_of_states(floats, at(row, STATES) + first, size)
    same = at(row, UNIFORM) == 1
    table = moved(coefficients, at(row, COEFFICIENTS) + (0 if same else first))
    if refractory == 0:
        marks, mark = as_int32(flags), 1
        if same:
            some = free_same(states, inputs, marks, length, table, size, bound)
        else:
            some = free_each(states, inputs, marks, length, table, size, bound)
    else:
        marks, mark = moved(counters, at(row, COUNTERS) + first), refractory
        if same:
            some = held_same(states, inputs, marks, length, table, size, bound, refractory)
        else:
            some = held_each(states, inputs, marks, length, table, size, bound, refractory)
    return list_marked(marks, mark, first, length, fired, count) if some > 0 else count


def readout(row, coefficients, floats, counters, inputs, flags, first, length, fired, count):
    """Advance neurons that never fire; see `spiking`."""
    size, same = at(row, SIZE), at(row, UNIFORM) == 1
    states = rows_of_states(floats, at(row, STATES) + first, size)
    table = moved(coefficients, at(row, COEFFICIENTS) + (0 if same else first))
    if same:
        free_same(states, inputs, length, table, size)
    else:
        free_each(states, inputs, length, table, size)
    return count


@jit
def list_marked(marks, mark, first, length, fired, count):
    """Write the numbers of the neurons whose mark is `mark` after the `count` in `fired`; return how many there are.

    Most are silent, so a block of marks is looked at in vector registers before its marks are looked at one by one.
    """
    wanted = like(marks, mark)
    for start in range(0, length, _BLOCK):
        stop = min(start + _BLOCK, length)
        some = np.int32(0)
        for j in range(start, stop):
            some = np.int32(some + np.int32(at(marks, j) == wanted))
        if some > 0:
            for j in range(start, stop):
                if at(marks, j) == wanted:
                    put(fired, count, first + j)
                    count += 1
    return count


def advance_for(model: type[NeuronModel]) -> Any:
    """Compile the function that advances neurons of a model."""
    arithmetic = model.arithmetic
    names = {"integrate": jit(arithmetic.integrate)}
    whole: Any = readout
    passes: dict[str, Any] = {"free": readout_pass}
    if arithmetic.distance is not None and arithmetic.reset is not None:
        names |= {"distance": jit(arithmetic.distance), "reset": jit(arithmetic.reset)}
        whole, passes = spiking, {"free": free_pass, "held": held_pass}
    compiled = {}
    for word, template in passes.items():
        for kind in ("same", "each"):
            at_place = record_at(arithmetic.coefficients, each=kind == "each")
            name = f"{word}_{kind}_{model.__name__}"
            compiled[f"{word}_{kind}"] = specialised(template, name, coefficients_at=at_place, **names)
    states = rows_of(len(arithmetic.states))
    return specialised(whole, f"advance_{model.__name__}", rows_of_states=states, **compiled)

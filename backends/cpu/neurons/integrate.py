"""Neurons over one tick: their inputs into their states, the test of the threshold, the reset, and who fired.

The names below stand for those of a model (see `snnsim.neurons`) and of its receptors; `advance_for` puts them in. A
neuron fires at a distance of `bound` or more: zero, or the smallest number above it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.backends.cpu.compiler.pointer_tuples import choose, read, record_at, write
from snnsim.backends.cpu.compiler.pointers import BLOCK, at, equal_bits, like, lowest_bit, moved, put
from snnsim.backends.cpu.neurons.receptors import Receive
from snnsim.neurons import Arithmetic
from snnsim.numerics.specialise import in_precision, jit, specialised

integrate: Any = None
distance: Any = None
reset: Any = None
coefficients_at: Any = None
take: Any = None


def free_pass(states, parts, marks, length, table, step, bound, mark):
    """Advance neurons without a refractory time; return how many fired and mark them by 1, which is `mark`."""
    count = np.int32(0)
    for j in range(length):
        c = coefficients_at(table, j, step)
        after = integrate(*read(states, j), *take(parts, j, step), c)
        fires = distance(*after, c) >= bound
        write(states, j, reset(*after, like(states[0], fires), c))
        put(marks, j, fires)
        count = np.int32(count + np.int32(fires))
    return count


def held_pass(states, parts, counters, length, table, step, bound, mark):
    """Advance neurons that are held after a spike; return how many fired: their counter is at `mark`.

    They are still to be reset. Few fire, so they are reset one by one where they are listed.
    """
    count, full = np.int32(0), like(counters, mark)
    for j in range(length):
        c = coefficients_at(table, j, step)
        left = at(counters, j)
        free = left <= 0
        now = read(states, j)
        after = choose(free, integrate(*now, *take(parts, j, step), c), now)
        fires = (distance(*after, c) >= bound) & free
        write(states, j, after)
        put(counters, j, full if fires else np.int32(left - np.int32(left > 0)))
        count = np.int32(count + np.int32(fires))
    return count


def readout_pass(states, parts, marks, length, table, step, bound, mark):
    """Advance neurons that never fire."""
    for j in range(length):
        c = coefficients_at(table, j, step)
        write(states, j, integrate(*read(states, j), *take(parts, j, step), c))
    return 0


@jit
def list_marked(marks, mark, first, length, fired, count):
    """Write the numbers of the neurons whose mark is `mark` after the `count` in `fired`; return how many there are."""
    wanted, whole = like(marks, mark), length // BLOCK * BLOCK
    for start in range(0, whole, BLOCK):
        bits = equal_bits(moved(marks, start), wanted)
        while bits != 0:
            put(fired, count, first + start + lowest_bit(bits))
            count += 1
            bits &= bits - 1
    for j in range(whole, length):
        if at(marks, j) == wanted:
            put(fired, count, first + j)
            count += 1
    return count


def list_free(states, flags, length, table, step, mark, refractory, first, fired, count):
    """List the neurons that fired in a `free_pass`."""
    return list_marked(flags, mark, first, length, fired, count)


def list_held(states, counters, length, table, step, mark, refractory, first, fired, count):
    """List the neurons that fired in a `held_pass`, and reset them."""
    after = list_marked(counters, mark, first, length, fired, count)
    for k in range(count, after):
        j = at(fired, k) - first
        put(counters, j, refractory)
        write(states, j, reset(*read(states, j), like(states[0], 1), coefficients_at(table, j, step)))
    return after


def list_none(states, flags, length, table, step, mark, refractory, first, fired, count):
    """List nothing: the model does not fire."""
    return count


def advance_for(
    arithmetic: Arithmetic, receive: Receive, number: type[Any], mark: str, *, each: bool, held: bool
) -> tuple[Any, Any]:
    """Compile the function that advances neurons of a model and the one that lists those that fired.

    Parameters
    ----------
    arithmetic : Arithmetic
        Of the model.
    receive : Receive
        Functions of its receptors.
    number : type
        Of the states, ``np.float32`` or ``np.float64``.
    mark : str
        For the names of the functions: no other step may have it (see `snnsim.numerics.specialise.specialised`).
    each : bool
        Whether each neuron has coefficients of its own.
    held : bool
        Whether neurons are held for some ticks after a spike.
    """
    names = {"take": receive.take, "integrate": in_precision(arithmetic.integrate, number)}
    names["coefficients_at"] = record_at(arithmetic.coefficients, each=each)
    templates = readout_pass, list_none
    if arithmetic.distance is not None and arithmetic.reset is not None:
        names["distance"] = in_precision(arithmetic.distance, number)
        names["reset"] = in_precision(arithmetic.reset, number)
        templates = (held_pass, list_held) if held else (free_pass, list_free)
    passing, listing = templates
    return (
        specialised(passing, f"{passing.__name__}_{mark}", distinct=True, **names),
        specialised(listing, f"{listing.__name__}_{mark}", **names),
    )

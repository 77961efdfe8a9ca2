"""Neurons over one tick: their inputs into their states, the test of the threshold, the reset, and who fired.

The names below stand for those of a model (see `snnsim.neurons`); `advance_for` puts them in. A neuron fires at a
distance of `bound` or more: zero, or the smallest number above it. Inputs are left empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.backends.cpu._jit import jit, specialised
from snnsim.backends.cpu.columns import BOUND, COEFFICIENTS, COUNTERS, REFRACTORY, SIZE, STATES, UNIFORM
from snnsim.backends.cpu.pointers import view
from snnsim.backends.cpu.rows import CHOOSE, EMPTY, READ, ROWS, WRITE, record_at
from snnsim.errors import CapabilityError
from snnsim.neurons import NeuronModel

integrate: Any = None
distance: Any = None
reset: Any = None
coefficients_at: Any = None
read_states: Any = None
write_states: Any = None
choose: Any = None
read_inputs: Any = None
empty_inputs: Any = None
rows_of_states: Any = None
free_same: Any = None
free_each: Any = None
held_same: Any = None
held_each: Any = None
n_coefficients: Any = None

#: Neurons in which a spike is looked for at once.
_BLOCK = 32


def free_pass(states, inputs, marks, length, table, step, bound):
    """Advance neurons without a refractory time; return how many fired and mark them by 1."""
    zero, one = inputs[0].dtype.type(0), inputs[0].dtype.type(1)
    count = np.int32(0)
    for j in range(length):
        c = coefficients_at(table, j, step)
        after = integrate(*(read_states(states, j) + read_inputs(inputs, j) + (c,)))
        fires = distance(*(after + (c,))) >= bound  # noqa: RUF005
        write_states(states, j, reset(*(after + (one if fires else zero, c))))  # noqa: RUF005
        empty_inputs(inputs, j, zero)
        marks[j] = np.int32(fires)
        count = np.int32(count + np.int32(fires))
    return count


def held_pass(states, inputs, counters, length, table, step, bound, refractory):
    """Advance neurons that are held after a spike; return how many fired: their counter is at `refractory`."""
    zero, one = inputs[0].dtype.type(0), inputs[0].dtype.type(1)
    count = np.int32(0)
    for j in range(length):
        c = coefficients_at(table, j, step)
        left = counters[j]
        free = left <= 0
        now = read_states(states, j)
        after = choose(free, integrate(*(now + read_inputs(inputs, j) + (c,))), now)
        fires = (distance(*(after + (c,))) >= bound) & free  # noqa: RUF005
        write_states(states, j, reset(*(after + (one if fires else zero, c))))  # noqa: RUF005
        empty_inputs(inputs, j, zero)
        counters[j] = np.int32(refractory) if fires else np.int32(left - np.int32(left > 0))
        count = np.int32(count + np.int32(fires))
    return count


def readout_pass(states, inputs, length, table, step):
    """Advance neurons that never fire."""
    zero = inputs[0].dtype.type(0)
    for j in range(length):
        c = coefficients_at(table, j, step)
        write_states(states, j, integrate(*(read_states(states, j) + read_inputs(inputs, j) + (c,))))
        empty_inputs(inputs, j, zero)


def spiking(row, coefficients, floats, counters, inputs, flags, first, length, fired, count):
    """Advance neurons ``first ... first + length - 1``; add those that fired to the `count` in `fired`."""
    size, refractory, bound = row[SIZE], row[REFRACTORY], view(coefficients, row[BOUND], 1)[0]
    states = rows_of_states(floats, row[STATES] + first, size, length)
    same = row[UNIFORM] == 1
    table = view(coefficients, row[COEFFICIENTS] + (0 if same else first), n_coefficients * (1 if same else size))
    if refractory == 0:
        if same:
            some = free_same(states, inputs, flags, length, table, size, bound)
        else:
            some = free_each(states, inputs, flags, length, table, size, bound)
        return list_marked(flags, 1, first, length, fired, count) if some > 0 else count
    left = view(counters, row[COUNTERS] + first, length)
    if same:
        some = held_same(states, inputs, left, length, table, size, bound, refractory)
    else:
        some = held_each(states, inputs, left, length, table, size, bound, refractory)
    return list_marked(left, refractory, first, length, fired, count) if some > 0 else count


def readout(row, coefficients, floats, counters, inputs, flags, first, length, fired, count):
    """Advance neurons that never fire; see `spiking`."""
    size, same = row[SIZE], row[UNIFORM] == 1
    states = rows_of_states(floats, row[STATES] + first, size, length)
    table = view(coefficients, row[COEFFICIENTS] + (0 if same else first), n_coefficients * (1 if same else size))
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
    wanted = np.int32(mark)
    for start in range(0, length, _BLOCK):
        stop = min(start + _BLOCK, length)
        some = np.int32(0)
        for j in range(start, stop):
            some = np.int32(some + np.int32(marks[j] == wanted))
        if some > 0:
            for j in range(start, stop):
                if marks[j] == wanted:
                    fired[count] = first + j
                    count += 1
    return count


def advance_for(model: type[NeuronModel]) -> Any:
    """Compile the function that advances neurons of a model.

    Raises
    ------
    CapabilityError
        The model has more states or inputs than there are functions for.
    """
    arithmetic = model.arithmetic
    n_states, n_inputs = len(arithmetic.states), len(arithmetic.inputs)
    if n_states not in ROWS or n_inputs not in ROWS:
        raise CapabilityError(
            f"backend 'cpu' has no kernel for {model.__name__}: {n_states} states and {n_inputs} inputs, "
            f"at most {max(ROWS)} of each"
        )
    names = {
        "integrate": jit(arithmetic.integrate),
        "read_states": READ[n_states],
        "write_states": WRITE[n_states],
        "read_inputs": READ[n_inputs],
        "empty_inputs": EMPTY[n_inputs],
    }
    whole: Any = readout
    passes: dict[str, Any] = {"free": readout_pass}
    if arithmetic.distance is not None and arithmetic.reset is not None:
        names |= {"distance": jit(arithmetic.distance), "reset": jit(arithmetic.reset), "choose": CHOOSE[n_states]}
        whole, passes = spiking, {"free": free_pass, "held": held_pass}
    compiled = {
        f"{word}_{kind}": specialised(
            template,
            f"{word}_{kind}_{model.__name__}",
            coefficients_at=record_at(arithmetic.coefficients, each=kind == "each"),
            **names,
        )
        for word, template in passes.items()
        for kind in ("same", "each")
    }
    return specialised(
        whole,
        f"advance_{model.__name__}",
        rows_of_states=ROWS[n_states],
        n_coefficients=len(arithmetic.coefficients._fields),  # type: ignore[attr-defined]
        **compiled,
    )

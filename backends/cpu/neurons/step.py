"""One tick of neurons of one population: a compiled C function for each kind of population, called by its address.

Engines call it from compiled code, ``call_step(address, ...)``, so that they are compiled once for all models, and
only the models of a network are compiled with it. The function::

    step(population, receptors, drives, coefficients, thresholds, floats, counters, arrived, stride,
         recording, tick, low, high, scratch, fired) -> count

advances neurons ``low ... high - 1`` of a population by one tick and returns how many of them fired.

population : int64*
    The population's row of the population table (see `columns`, and `population_tables`).
receptors, drives : int64*
    The tables of receptors and of Poisson drives.
coefficients : dtype*
thresholds : int32*
    What the tables point into.
floats : dtype*, counters : int32*
    State of one recording: its row of `State.floats` and of `State.counters`.
arrived : dtype*
    Input of this tick: that of receptor r of neuron j is at ``arrived[r * stride + j - low]``. Left empty (zeros).
stride : int64
recording, tick : int64
    Number of the recording and of the tick, which key the random numbers of Poisson drives.
low, high : int64
scratch : dtype*
    `SCRATCH` elements to work in, with any content, at a multiple of 8 bytes.
fired : int32*
    Receives the numbers, within the population, of the neurons that fired, ascending; room for ``high - low``.

It works in chunks of `CHUNK` neurons, so that random numbers, counts and flags stay in the nearest cache. One loop
takes a neuron through its receptors, its membrane and the test of the threshold; its arrays are said to be distinct, so
that LLVM makes vector instructions of it however many there are. A step is compiled for a model, the kinds of its
receptors, whether parameters differ from neuron to neuron, and whether there is a refractory time.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from snnsim.backends.cpu.compiler import pointer_tuples as rows
from snnsim.backends.cpu.compiler import pointers
from snnsim.backends.cpu.compiler.pointer_tuples import rows_of
from snnsim.backends.cpu.compiler.pointers import as_int32, as_uint64, at, c_function, caller, moved, pointer_to
from snnsim.backends.cpu.neurons import integrate
from snnsim.backends.cpu.neurons import poisson_drive as noise
from snnsim.backends.cpu.neurons import receptors as receive
from snnsim.backends.cpu.neurons import table_columns as columns
from snnsim.backends.cpu.neurons.integrate import advance_for
from snnsim.backends.cpu.neurons.poisson_drive import add_noise
from snnsim.backends.cpu.neurons.population_tables import varies
from snnsim.backends.cpu.neurons.receptors import receive_for
from snnsim.backends.cpu.neurons.refusal import refuse
from snnsim.backends.cpu.neurons.table_columns import (
    BOUND,
    COEFFICIENTS,
    COUNTERS,
    DRIVES,
    FIRST_DRIVE,
    REFRACTORY,
    SIZE,
    STATES,
)
from snnsim.network.network import Network
from snnsim.neurons import Arithmetic, NeuronModel, Receptor
from snnsim.neurons.sources import drives
from snnsim.numerics import rng
from snnsim.numerics import specialise as _jit
from snnsim.numerics.specialise import digest, mark

#: Neurons that are advanced together.
CHUNK = 256
#: Elements of `scratch`: for a chunk flags, counts of events, and random numbers (one pair more than fits).
SCRATCH = 4 * CHUNK

# What the template names; `step_address` puts the compiled functions in their place.
open_parts: Any = None
rows_of_states: Any = None
advance: Any = None
list_fired: Any = None
each: Any = None
held: Any = None


def step(
    population,
    receptors,
    drives,
    coefficients,
    thresholds,
    floats,
    counters,
    arrived,
    stride,
    recording,
    tick,
    low,
    high,
    scratch,
    fired,
):
    """Advance neurons of one population by one tick; see the top of this file."""
    flags, counts = as_int32(scratch), as_int32(moved(scratch, CHUNK))
    words = as_uint64(moved(scratch, 2 * CHUNK))
    size, refractory, bound = at(population, SIZE), at(population, REFRACTORY), at(coefficients, at(population, BOUND))
    mark = max(refractory, 1)  # a refractory time far below a tick is none
    count = 0
    for first in range(low, high, CHUNK):
        length = min(CHUNK, high - first)
        for d in range(at(population, FIRST_DRIVE), at(population, FIRST_DRIVE) + at(population, DRIVES)):
            add_noise(
                d, drives, thresholds, coefficients, arrived, stride, recording, tick, low, first, length, words, counts
            )
        parts = open_parts(0, population, receptors, coefficients, floats, arrived, stride, low, first, each)
        states = rows_of_states(floats, at(population, STATES) + first, size)
        table = moved(coefficients, at(population, COEFFICIENTS) + first * each)
        marks = moved(counters, at(population, COUNTERS) + first) if held else flags
        if advance(states, parts, marks, length, table, size, bound, mark) > 0:
            count = list_fired(states, marks, length, table, size, mark, refractory, first, fired, count)
    return count


def _arguments(number: Any) -> tuple[Any, ...]:
    """Return the types of the arguments of a step for states of a type."""
    table, states, whole, index = pointer_to(types.int64), pointer_to(number), types.int64, pointer_to(types.int32)
    return (table, table, table, states, index, states, index, states, *(whole,) * 5, states, index)


class Variant(NamedTuple):
    """What a step is compiled for."""

    name: str
    arithmetic: Arithmetic
    receptors: tuple[type[Receptor], ...]
    each: bool
    held: bool
    dtype: str


def step_address(model: NeuronModel, dtype: str) -> int:
    """Return the address of the step of a population, compiled or taken from the disk at the first call.

    Parameters
    ----------
    model : NeuronModel
        Its type, the types of its receptors, whether it has parameters that differ from neuron to neuron and whether
        it has a refractory time decide which step it needs.
    dtype : {"float32", "float64"}
    """
    kinds = tuple(type(receptor) for receptor in model.receptor_list)
    refractory = float(getattr(model, "refractory", 0.0)) > 0
    variant = Variant(type(model).__name__, model.arithmetic, kinds, varies(model), refractory, dtype)
    return int(_compiled(variant).address)


def steps_of(network: Network, dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """Return the addresses of the steps of all populations, shape (populations,); zero for sources."""
    models = [population.model for population in network.populations]
    return np.array(
        [step_address(model, dtype.name) if isinstance(model, NeuronModel) else 0 for model in models], np.int64
    )


@functools.cache
def _compiled(variant: Variant) -> Any:
    modules = [rng, drives, _jit, columns, integrate, noise, pointers, receive, rows]
    words = [variant.name, variant.arithmetic.integrate.__name__, *(kind.__name__ for kind in variant.receptors)]
    words += ["each" * variant.each + "held" * variant.held, variant.dtype, _meaning(variant)]
    words += [digest([*modules, sys.modules[__name__]])]
    name, number = "_".join(["step", *words]), getattr(np, variant.dtype)
    receiving = receive_for(variant.receptors, number, name, each=variant.each)
    passing, listing = advance_for(variant.arithmetic, receiving, number, name, each=variant.each, held=variant.held)
    try:
        return c_function(
            step,
            name,
            _arguments(getattr(types, variant.dtype)),
            open_parts=receiving.open_parts,
            rows_of_states=rows_of(len(variant.arithmetic.states)),
            advance=passing,
            list_fired=listing,
            each=int(variant.each),
            held=variant.held,
        )
    except NumbaError as error:
        refuse(variant.name, variant.arithmetic, variant.dtype, error)
        raise


def _meaning(variant: Variant) -> str:
    """Return the mark of the arithmetic of a model and of its receptors, whatever they are called."""
    parts: list[Any] = [
        variant.arithmetic,
        *(kind.arithmetic for kind in variant.receptors if kind.arithmetic is not None),
    ]
    functions = [value for part in parts for value in part if callable(value) and not isinstance(value, type)]
    names = repr([(part.states, part.coefficients._fields) for part in parts] + [variant.arithmetic.inputs])
    return mark(functions, names)


#: Call a step from compiled code, ``call_step(address, population, ..., fired)``. For a pointer an array is given, to
#: whose first element it then points.
call_step = caller("call_step", n_arguments=15)

"""One tick of neurons of one population: a compiled C function for each model and precision, called by its address.

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

It works in chunks of `CHUNK` neurons, so that what the passes over receptors and neurons share stays in the nearest
cache, and the loops in it read and write few arrays, so that LLVM makes vector instructions of them.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from snnsim import rng
from snnsim.backends.cpu import _jit, columns, integrate, noise, pointers, receive, rows
from snnsim.backends.cpu._jit import c_function, digest
from snnsim.backends.cpu.columns import DIRECT, DRIVES, FIRST_DRIVE
from snnsim.backends.cpu.integrate import advance_for
from snnsim.backends.cpu.noise import add_noise
from snnsim.backends.cpu.pointers import as_int32, as_uint64, at, caller, moved, put
from snnsim.backends.cpu.population_tables import population_tables as population_tables
from snnsim.backends.cpu.receive import receive_for
from snnsim.backends.cpu.rows import rows_of
from snnsim.network import Network
from snnsim.neurons import NeuronModel

#: Neurons that are advanced together.
CHUNK = 256
#: Elements of `scratch`: for a chunk two inputs, flags, random numbers (one pair more than fits) and counts of events.
SCRATCH = 6 * CHUNK

# What the template names; `step_address` puts the compiled functions in their place.
rows_of_inputs: Any = None
receive_all: Any = None
advance_all: Any = None


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
    flags = moved(scratch, 2 * CHUNK)
    words, counts = as_uint64(moved(scratch, 3 * CHUNK)), as_int32(moved(scratch, 5 * CHUNK))
    direct = at(population, DIRECT) == 1
    if not direct:
        for j in range(2 * CHUNK):
            put(scratch, j, 0)
    count = 0
    for first in range(low, high, CHUNK):
        length = min(CHUNK, high - first)
        for d in range(at(population, FIRST_DRIVE), at(population, FIRST_DRIVE) + at(population, DRIVES)):
            add_noise(
                d, drives, thresholds, coefficients, arrived, stride, recording, tick, low, first, length, words, counts
            )
        if direct:  # one delta receptor: what arrived is the drive
            inputs = rows_of_inputs(arrived, first - low, 0)
        else:
            inputs = rows_of_inputs(scratch, 0, CHUNK)
            receive_all(population, receptors, coefficients, floats, arrived, stride, low, first, length, inputs)
        count = advance_all(population, coefficients, floats, counters, inputs, flags, first, length, fired, count)
    return count


def _signature(number: Any) -> tuple[Any, ...]:
    """Return the types of the parameters of a step for states of a type."""
    table, states, whole = types.CPointer(types.int64), types.CPointer(number), types.int64
    index = types.CPointer(types.int32)
    return (table, table, table, states, index, states, index, states, *(whole,) * 5, states, index)


@functools.cache
def step_address(model: type[NeuronModel], dtype: str) -> int:
    """Return the address of the step of a model, compiled or taken from the disk at the first call.

    Parameters
    ----------
    model : type of NeuronModel
    dtype : {"float32", "float64"}
    """
    return int(_compiled(model, dtype).address)


def steps_of(network: Network, dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """Return the addresses of the steps of all populations, shape (populations,); zero for sources."""
    models = [type(population.model) for population in network.populations]
    return np.array(
        [step_address(model, dtype.name) if issubclass(model, NeuronModel) else 0 for model in models], np.int64
    )


@functools.cache
def _compiled(model: type[NeuronModel], dtype: str) -> Any:
    modules = [rng, _jit, columns, integrate, noise, pointers, receive, rows]
    modules += [sys.modules[name] for name in _sources(model)]
    return c_function(
        step,
        f"step_{model.__name__}_{digest([*modules, sys.modules[__name__]])}",
        types.int64(*_signature(getattr(types, dtype))),
        rows_of_inputs=rows_of(len(model.arithmetic.inputs)),
        receive_all=receive_for(model),
        advance_all=advance_for(model),
    )


def _sources(model: type[NeuronModel]) -> list[str]:
    """Return the names of the modules that hold the arithmetic of a model and of its receptors."""
    functions = list(model.arithmetic[2:5])
    for kind in model.receptor_kinds:
        functions += [] if kind.arithmetic is None else [kind.arithmetic.seen, kind.arithmetic.follow]
    names = {function.__module__ for function in functions if function is not None}
    return sorted(names | {base.__module__ for base in model.__mro__ if issubclass(base, NeuronModel)})


#: Call a step from compiled code, ``call_step(address, population, ..., fired)``. For a pointer an array may be given,
#: to whose first element it then points, or an address as an integer.
call_step = caller("call_step", n_arguments=15)

"""Plastic synapses brought up to date when a spike arrives: compiled C functions, one for each kind of rule.

A postsynaptic spike touches no synapse when it is fired: it is put into the history of its neuron. When a presynaptic
spike arrives, all synapses of its row see their targets' spikes since the arrival before, in their order, and then the
arrival itself. What is computed for a synapse, and in what order, is the same as if each spike acted at once.

The synapses of a row are treated in passes: lists of those whose target has fired at least once, twice, ... since the
arrival before are made without branches, since how many spikes a target has fired cannot be predicted; then the lists
are worked off from the oldest spikes to the latest::

    replay(row, coefficients, history, gains, decays, eligibility, weights, targets, lists, count, last, values)
    arrive(..., values, post_traces, plane, now)

row : int64*, coefficients : dtype*
    The group's rows of the tables of `Learning`.
history : int32*, gains, decays : dtype*
    The arrays of `Learning`, which the row points into.
eligibility, weights : dtype*, targets : uint16*
    The first of `count` synapses.
lists : uint32*
    `SCRATCH` elements.
last, now : int64
    Ticks, counted from the row's ORIGIN: of the arrival before, and of this one.
values : dtype*
    The presynaptic trace after the arrival before, and (at LOSS) the amplitude of the depression.
post_traces : dtype*
    Those of `Learning`.
plane : dtype*
    Input of this tick, to which the weights are added.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np
from numba.core import types

from snnsim.backends.cpu.compiler import pointers
from snnsim.backends.cpu.compiler.pointers import at, c_function, caller, pointer_to, view
from snnsim.backends.cpu.parts import plasticity_records
from snnsim.backends.cpu.parts.plasticity_records import (
    BLOCK,
    EDGES,
    ELIGIBILITY_DECAY,
    FLOOR,
    GAINS,
    HISTORY,
    LATEST,
    LEARNING_COLUMNS,
    LOSS,
    OWN,
    PLANE,
    POST_DECAY,
    POST_TRACES,
    PRE_DECAY,
    RANKS,
    SCRATCH,
    SPANS,
)
from snnsim.numerics import specialise
from snnsim.numerics.specialise import bare, digest, jit, specialised
from snnsim.plasticity import arithmetic
from snnsim.plasticity.arithmetic import DEPENDENCE
from snnsim.plasticity.base import Coefficients
from snnsim.plasticity.decay import FINE

_ONE, _SIXTEEN, _LOW, _EDGES = np.uint64(1), np.uint64(16), np.uint64(0xFFFF), np.uint64(EDGES)

# What the templates name; `kernels` puts compiled functions and constants in their place.
left_after: Any = None
potentiation: Any = None
depression: Any = None
replay_block: Any = None
with_gains = with_eligibility = False


@bare
def left_in_one(decays, start, span, ticks):
    """Return what is left of a trace after some ticks, from a table of every tick with a zero at its end."""
    n = ticks if ticks <= span else span + 1
    return decays[np.uint64(start + n)]


@bare
def left_in_two(decays, start, span, ticks):
    """Return the same from two tables, FINE ticks and then every FINE-th, with a zero at the end."""
    n = ticks if ticks <= span else (span // FINE + 1) * FINE
    return decays[np.uint64(start + FINE + n // FINE)] * decays[np.uint64(start + n % FINE)]


@bare
def cut(weight, lowest, highest):
    """Return a weight cut at its bounds."""
    weight = lowest if weight < lowest else weight
    return highest if weight > highest else weight


@bare
def list_fired(row, history, targets, lists, count, since):
    """List the synapses whose target has fired at least k times since a tick, for k = 1, 2, ...; return the last k.

    An entry is the synapse's place in the block, times 65,536, plus the target's place in the plane. List k lies from
    ``lists[EDGES + k - 1]`` to ``lists[EDGES + k]``.
    """
    own = np.uint64(row[OWN])
    first = np.uint64(row[HISTORY] - row[PLANE])
    i, found, end = np.uint64(0), np.uint64(0), np.uint64(count)
    while i < end:
        target = np.uint64(targets[i])
        lists[found] = np.uint32((i << _SIXTEEN) | target)
        found += np.uint64(history[first + target] >= since)
        i += _ONE
    rank, begin = 0, np.uint64(0)
    lists[_EDGES] = 0
    while found > begin:
        rank += 1
        lists[_EDGES + np.uint64(rank)] = found
        if rank == RANKS:
            break
        first += own
        k, end = begin, found
        while k < end:
            entry = lists[k]
            lists[found] = entry
            found += np.uint64(history[first + (np.uint64(entry) & _LOW)] >= since)
            k += _ONE
        begin = end
    return rank


def replay_synapses(
    row, coefficients, history, gains, decays, eligibility, weights, targets, lists, count, last, trace
):
    """Let the spikes of the targets since the arrival before act on the synapses of a block."""
    since = max(last, row[FLOOR])
    if trace == 0 or row[LATEST] < since:
        return
    rank = list_fired(row, history, targets, lists, count, since)
    c = Coefficients(
        coefficients[0], coefficients[1], coefficients[2], coefficients[3], coefficients[4], coefficients[5]
    )
    own = row[OWN]
    start, span = row[PRE_DECAY], row[SPANS]
    slow, long = row[ELIGIBILITY_DECAY], row[SPANS + 4]
    while rank > 0:
        fired = np.uint64(row[HISTORY] - row[PLANE] + (rank - 1) * own)
        gained = np.uint64(row[GAINS] - row[PLANE] + (rank - 1) * own)
        k, end = np.uint64(lists[_EDGES + np.uint64(rank - 1)]), np.uint64(lists[_EDGES + np.uint64(rank)])
        while k < end:
            entry = np.uint64(lists[k])
            i, target = entry >> _SIXTEEN, entry & _LOW
            tick = np.int64(history[fired + target])
            seen = trace * left_after(decays, start, span, tick - last)
            gain = gains[gained + target] if with_gains else c.pair_potentiation
            change = potentiation(weights[i], seen, gain, c)
            if with_eligibility:
                before = max(last, np.int64(history[fired + np.uint64(own) + target]))
                eligibility[i] = eligibility[i] * left_after(decays, slow, long, tick - before) + change
            else:
                weights[i] = cut(weights[i] + change, c.minimum, c.maximum)
            k += _ONE
        rank -= 1


def replay(row, coefficients, history, gains, decays, eligibility, weights, targets, lists, count, last, values):
    """Let the spikes of the targets since the arrival before act on synapses; see the top of this file."""
    table = view(row, 0, LEARNING_COLUMNS)
    numbers, room = view(coefficients, 0, 6), view(lists, 0, SCRATCH)
    trace = at(values, 0)
    everything = 2**62
    for first in range(0, count, BLOCK):
        length = min(BLOCK, count - first)
        replay_block(
            table,
            numbers,
            view(history, 0, everything),
            view(gains, 0, everything),
            view(decays, 0, everything),
            view(eligibility, first, length),
            view(weights, first, length),
            view(targets, first, length),
            room,
            length,
            last,
            trace,
        )
    return 0


def arrive(
    row,
    coefficients,
    history,
    gains,
    decays,
    eligibility,
    weights,
    targets,
    lists,
    count,
    last,
    values,
    post_traces,
    plane,
    now,
):
    """Let a spike arrive at synapses: replay, depress, deliver; see the top of this file."""
    table = view(row, 0, LEARNING_COLUMNS)
    numbers, room = view(coefficients, 0, 6), view(lists, 0, SCRATCH)
    trace, loss = at(values, 0), at(values, LOSS)
    everything = 2**62
    ticks, left = view(history, 0, everything), view(decays, 0, everything)
    traces, sums = view(post_traces, 0, everything), view(plane, 0, 2**16)
    # A place in the plane may come before those of the group's neurons: the sum of both counts, round 2**64.
    own_ticks, own_traces = np.uint64(table[HISTORY] - table[PLANE]), np.uint64(table[POST_TRACES] - table[PLANE])
    c = Coefficients(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5])
    start, span = table[POST_DECAY], table[SPANS + 2]
    slow, long = table[ELIGIBILITY_DECAY], table[SPANS + 4]
    for first in range(0, count, BLOCK):
        length = min(BLOCK, count - first)
        own, onto, kept = view(weights, first, length), view(targets, first, length), view(eligibility, first, length)
        replay_block(
            table,
            numbers,
            view(history, 0, everything),
            view(gains, 0, everything),
            left,
            kept,
            own,
            onto,
            room,
            length,
            last,
            trace,
        )
        i, end = np.uint64(0), np.uint64(length)
        while i < end:
            target = np.uint64(onto[i])
            fired = np.int64(ticks[own_ticks + target])
            seen = traces[own_traces + target] * left_after(left, start, span, now - fired)
            change = depression(own[i], seen, loss, c)
            if with_eligibility:
                kept[i] = kept[i] * left_after(left, slow, long, now - max(last, fired)) - change
            else:
                own[i] = cut(own[i] - change, c.minimum, c.maximum)
            sums[target] += own[i]
            i += _ONE
    return 0


@functools.cache
def kernels(dependence: str, triplets: bool, eligibility: bool, in_one: bool, dtype: str) -> tuple[int, int]:
    """Return the addresses of `arrive` and `replay` for a kind of rule, compiled or taken from the disk.

    Parameters
    ----------
    dependence : {"additive", "multiplicative"}
    triplets : bool
        Whether each postsynaptic spike has a gain of its own.
    eligibility : bool
        Whether the rule changes an eligibility in place of the weight.
    in_one : bool
        Whether the tables of decays have an entry for each tick, or are two tables each.
    dtype : {"float32", "float64"}
    """
    arrived, replayed = _compiled(dependence, triplets, eligibility, in_one, dtype)
    return int(arrived.address), int(replayed.address)


@functools.cache
def _compiled(dependence: str, triplets: bool, eligibility: bool, in_one: bool, dtype: str) -> tuple[Any, Any]:
    number: Any = getattr(types, dtype)
    table, floats, whole = pointer_to(types.int64), pointer_to(number), types.int64
    index, targets, lists = pointer_to(types.int32), pointer_to(types.uint16), pointer_to(types.uint32)
    first = (table, floats, index, floats, floats, floats, floats, targets, lists, whole, whole, floats)
    version = digest([specialise, plasticity_records, pointers, arithmetic, sys.modules[__name__]])
    name = f"{dependence}_{triplets}_{eligibility}_{in_one}_{dtype}_{version}"
    chosen: dict[str, Any] = {
        "left_after": left_in_one if in_one else left_in_two,
        "potentiation": jit(DEPENDENCE[dependence].potentiation),
        "depression": jit(DEPENDENCE[dependence].depression),
        "with_gains": triplets,
        "with_eligibility": eligibility,
    }
    chosen["replay_block"] = specialised(replay_synapses, f"replay_block_{name}", **chosen)
    return (
        c_function(arrive, f"arrive_{name}", (*first, floats, floats, whole), **chosen),
        c_function(replay, f"replay_{name}", first, **chosen),
    )


#: Call the kernels from compiled code by their addresses. For a pointer an array is given, whose first element counts.
call_arrive = caller("call_arrive", n_arguments=15)
call_replay = caller("call_replay", n_arguments=12)

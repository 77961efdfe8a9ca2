"""All plastic synapses of a part brought up to date at once: when a history is full, weights are read or scaled."""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu.parts.plasticity_records import (
    BEFORE,
    ELIGIBILITY,
    ELIGIBILITY_DECAY,
    ELIGIBLE,
    EVERY,
    FIRST_FLIGHT,
    FLOOR,
    GROUP,
    HISTORY,
    IN_ONE,
    LATEST,
    LONG_AGO,
    ORIGIN,
    OWN,
    PLANE,
    POST,
    PRE,
    PRE_DECAY,
    PRE_TRACES,
    PREVIOUS,
    REPLAY,
    SENT,
    SOURCES,
    SPANS,
    TRACE_BEFORE,
)
from snnsim.backends.cpu.parts.records import DELAY, ROWS, SEGMENT_ROWS, TARGETS, WEIGHTS
from snnsim.backends.cpu.plasticity.kernels import call_replay, cut, left_in_one, left_in_two
from snnsim.numerics.specialise import bare, inner
from snnsim.plasticity.normalisation import NOTHING

_MINIMUM, _MAXIMUM = 4, 5


@bare
def left_of(learning, k, column, ticks):
    """Return what is left of a trace after some ticks; `column` is that of its table of decays."""
    start, span = learning.table[k, column], learning.table[k, SPANS + column - PRE_DECAY]
    if learning.table[k, IN_ONE]:
        return left_in_one(learning.decays, start, span, ticks)
    return left_in_two(learning.decays, start, span, ticks)


@bare
def last_arrival(learning, k, source, delay, tick, flights):
    """Return when a spike of a source last arrived over a delay, up to `tick`, from ORIGIN, and its trace then."""
    row = learning.table[k]
    last, trace = learning.pre_ticks[row[PRE] + source], learning.pre_traces[row[PRE_TRACES] + source]
    first = flights.numbers[FIRST_FLIGHT]
    flight = learning.pre_flights[row[PRE] + source] - first
    while flight >= 0 and flights.table[SENT, flight] + delay > tick:
        last, trace = flights.table[BEFORE, flight], flights.values[flight, TRACE_BEFORE]
        flight = flights.table[PREVIOUS, flight] - first
    return max(last + delay - row[ORIGIN], np.int64(LONG_AGO)), trace


@inner
def catch_up(part, shared, k, tick, floor, flights):
    """Let all postsynaptic spikes in the histories act on all synapses of a group.

    Spikes that are due up to `tick` have arrived. From now on, postsynaptic spikes before `floor` have acted.
    """
    learning = part.learning
    row = learning.table[k]
    if row[LATEST] >= row[FLOOR]:
        group, room = row[GROUP], np.empty(1, flights.values.dtype)
        rows, segment_rows = part.groups[group, ROWS], part.groups[group, SEGMENT_ROWS]
        delay = shared.groups[group, DELAY]
        for source in range(row[SOURCES]):
            first, end = part.rows[rows + source], part.rows[rows + source + 1]
            if first == end:
                continue
            if delay >= 0:
                replay_segment(part, k, source, delay, first, end - first, tick, room, flights)
                continue
            due = 0
            for i in range(part.segment_rows[segment_rows + source], part.segment_rows[segment_rows + source + 1]):
                entry = np.int64(part.segments[i])
                due += entry & 255
                count = entry >> 8
                replay_segment(part, k, source, due, first, count, tick, room, flights)
                first += count
    learning.pending[row[POST] : row[POST] + row[OWN]] = 0
    row[FLOOR] = floor - row[ORIGIN]


@bare
def replay_segment(part, k, source, delay, nth, count, tick, room, flights):
    """Let postsynaptic spikes act on `count` synapses of a source, the first of which is `nth` in the group."""
    learning = part.learning
    row = learning.table[k]
    last, trace = last_arrival(learning, k, source, delay, tick, flights)
    if trace == 0 or count == 0:
        return
    room[TRACE_BEFORE] = trace
    eligible = row[ELIGIBILITY] + nth if row[ELIGIBLE] else 0
    call_replay(
        row[REPLAY],
        row,
        learning.coefficients[k],
        learning.history,
        learning.gains,
        learning.decays,
        learning.eligibility[eligible:],
        part.weights[part.groups[row[GROUP], WEIGHTS] + nth :],
        part.targets[part.groups[row[GROUP], TARGETS] + nth :],
        learning.lists,
        count,
        last,
        room,
    )


@inner
def normalise(part, shared, tick, flights):
    """Scale the weights of groups to their sums of sizes at the end of a tick, where it is time."""
    learning = part.learning
    for k in range(learning.table.shape[0]):
        row = learning.table[k]
        if row[EVERY] == 0 or (tick + 1) % row[EVERY] != 0:
            continue
        catch_up(part, shared, k, tick, tick + 1, flights)
        targets, weights = part.groups[row[GROUP], TARGETS], part.groups[row[GROUP], WEIGHTS]
        rows = part.groups[row[GROUP], ROWS]
        count = part.rows[rows + row[SOURCES]]
        sums, factors = np.zeros(row[OWN]), np.ones(row[OWN], flights.values.dtype)
        for i in range(count):
            sums[part.targets[targets + i] - row[PLANE]] += abs(np.float64(part.weights[weights + i]))
        for j in range(row[OWN]):
            if sums[j] > NOTHING * learning.totals[k]:
                factors[j] = learning.totals[k] / sums[j]
        lowest, highest = learning.coefficients[k, _MINIMUM], learning.coefficients[k, _MAXIMUM]
        for i in range(count):
            scaled = part.weights[weights + i] * factors[part.targets[targets + i] - row[PLANE]]
            part.weights[weights + i] = cut(scaled, lowest, highest)


@bare
def next_normalisation(learning, tick):
    """Return the first tick from `tick` on at whose end weights are normalised, or `tick` plus very many."""
    first = tick + np.int64(2**40)
    for k in range(learning.table.shape[0]):
        every = learning.table[k, EVERY]
        if every > 0:
            first = min(first, (tick + every) // every * every - 1)
    return first


# -- between runs --------------------------------------------------------------------------------------------------


def catch_up_all(part, shared, tick):
    """Bring all plastic synapses up to date; `tick` is the next one."""
    learning = part.learning
    for k in range(learning.table.shape[0]):
        catch_up(part, shared, k, tick - 1, tick, learning.flights)


def reward(part, shared, k, value, tick):
    """Turn the eligibility of a group into weight; `tick` is the next one."""
    learning = part.learning
    row = learning.table[k]
    flights = learning.flights
    catch_up(part, shared, k, tick - 1, tick, flights)
    group, now = row[GROUP], tick - row[ORIGIN]
    lowest, highest = learning.coefficients[k, _MINIMUM], learning.coefficients[k, _MAXIMUM]
    factor = np.empty(1, flights.values.dtype)
    factor[0] = value
    rows, segment_rows = part.groups[group, ROWS], part.groups[group, SEGMENT_ROWS]
    targets, weights = part.groups[group, TARGETS], part.groups[group, WEIGHTS]
    for source in range(row[SOURCES]):
        i, end = part.rows[rows + source], part.rows[rows + source + 1]
        segment = part.segment_rows[segment_rows + source] if segment_rows >= 0 else 0
        due = max(shared.groups[group, DELAY], 0)
        while i < end:
            count = end - i
            if segment_rows >= 0:
                due += np.int64(part.segments[segment]) & 255
                count = np.int64(part.segments[segment]) >> 8
                segment += 1
            last, _ = last_arrival(learning, k, source, due, tick - 1, flights)
            for nth in range(i, i + count):
                neuron = part.targets[targets + nth] - row[PLANE]
                touched = max(last, np.int64(learning.history[row[HISTORY] + neuron]))
                left = learning.eligibility[row[ELIGIBILITY] + nth] * left_of(
                    learning, k, ELIGIBILITY_DECAY, now - touched
                )
                part.weights[weights + nth] = cut(part.weights[weights + nth] + factor[0] * left, lowest, highest)
            i += count

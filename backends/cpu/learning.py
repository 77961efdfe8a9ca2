"""Plasticity within the long run of a part: spikes sent, arrivals, postsynaptic spikes, and catching up.

The synapses of a row are only touched when a spike arrives there (`snnsim.backends.cpu.synapses`). What they need to
know of spikes that are on their way stands with each of these, a flight: the trace of the source after its spike
before. So a synapse with any delay finds the trace as it was when the spike before arrived.
"""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu._jit import bare, inner
from snnsim.backends.cpu.learning_parts import (
    ARRIVE,
    BEFORE,
    ELIGIBILITY,
    ELIGIBILITY_DECAY,
    ELIGIBLE,
    EVERY,
    FIRST_FLIGHT,
    FLIGHT_FIELDS,
    FLIGHT_GROUP,
    FLIGHT_SOURCE,
    FLIGHT_VALUES,
    FLIGHTS,
    FLOOR,
    GAINS,
    GROUP,
    HISTORY,
    IN_ONE,
    LATEST,
    LONG_AGO,
    LONGEST,
    LOSS,
    NEAREST,
    ORIGIN,
    OWN,
    PLANE,
    POST,
    POST_DECAY,
    POST_TRACES,
    PRE,
    PRE_DECAY,
    PRE_TRACES,
    PREVIOUS,
    RANKS,
    REPLAY,
    SENT,
    SLOW_POST_DECAY,
    SLOW_PRE_DECAY,
    SLOW_TRACE_BEFORE,
    SOURCES,
    SPANS,
    TARGET,
    TRACE_BEFORE,
    TRIPLETS,
    Flights,
)
from snnsim.backends.cpu.long_parts import (
    COUNT,
    DELAY,
    FLIGHT,
    ROWS,
    SEGMENT_ROWS,
    SYNAPSE,
    TARGETS,
    WEIGHTS,
)
from snnsim.backends.cpu.long_parts import (
    GROUP as RECORD_GROUP,
)
from snnsim.backends.cpu.synapses import call_arrive, call_replay, cut, left_in_one, left_in_two

_PAIR_POTENTIATION, _TRIPLET_POTENTIATION, _PAIR_DEPRESSION, _TRIPLET_DEPRESSION, _MINIMUM, _MAXIMUM = range(6)


@bare
def left_of(learning, k, column, ticks):
    """Return what is left of a trace after some ticks; `column` is that of its table of decays."""
    start, span = learning.table[k, column], learning.table[k, SPANS + column - PRE_DECAY]
    if learning.table[k, IN_ONE]:
        return left_in_one(learning.decays, start, span, ticks)
    return left_in_two(learning.decays, start, span, ticks)


# -- spikes on their way -------------------------------------------------------------------------------------------


@inner
def flights_with_room(learning, flights, more, tick):
    """Return the flights with room for `more`, without those that have arrived everywhere before `tick`."""
    used, gone, longest = flights.numbers[FLIGHTS], 0, 0
    if used + more <= flights.table.shape[1]:
        return flights
    for k in range(learning.table.shape[0]):
        longest = max(longest, learning.table[k, LONGEST])
    while gone < used and flights.table[SENT, gone] + longest < tick:
        gone += 1
    kept = used - gone
    size = flights.table.shape[1] if 2 * (kept + more) <= flights.table.shape[1] else 4 * (kept + more)
    table, values = np.empty((FLIGHT_FIELDS, size), np.int64), np.empty((size, FLIGHT_VALUES), flights.values.dtype)
    # One by one: Numba takes seconds to compile an assignment of slices.
    for i in range(kept):
        for field in range(FLIGHT_FIELDS):
            table[field, i] = flights.table[field, gone + i]
        for k in range(FLIGHT_VALUES):
            values[i, k] = flights.values[gone + i, k]
    flights.numbers[FIRST_FLIGHT] += gone
    flights.numbers[FLIGHTS] = kept
    return Flights(table, values, flights.numbers)


@bare
def take_off(learning, group, source, tick, flights):
    """Make a flight of a spike where its group is plastic; return its number. There must be room for it."""
    k = learning.place[group]
    if k < 0:
        return np.int64(-1)
    row, c, table, values = learning.table[k], learning.coefficients[k], flights.table, flights.values
    place, i = row[PRE] + source, flights.numbers[FLIGHTS]
    before = learning.pre_ticks[place]
    trace = learning.pre_traces[row[PRE_TRACES] + source]
    table[FLIGHT_GROUP, i], table[FLIGHT_SOURCE, i] = group, source
    table[SENT, i], table[BEFORE, i], table[PREVIOUS, i] = tick, before, learning.pre_flights[place]
    values[i, TRACE_BEFORE] = trace
    values[i, LOSS] = c[_PAIR_DEPRESSION]
    left = trace * left_of(learning, k, PRE_DECAY, tick - before)
    learning.pre_traces[row[PRE_TRACES] + source] = 1 if row[NEAREST] else left + 1
    if row[TRIPLETS]:
        slow = row[PRE_TRACES] + row[SOURCES] + source
        trace = learning.pre_traces[slow]
        values[i, SLOW_TRACE_BEFORE] = trace
        left = trace * left_of(learning, k, SLOW_PRE_DECAY, tick - before)
        values[i, LOSS] = c[_PAIR_DEPRESSION] + c[_TRIPLET_DEPRESSION] * left
        learning.pre_traces[slow] = 1 if row[NEAREST] else left + 1
    number = flights.numbers[FIRST_FLIGHT] + i
    learning.pre_ticks[place] = tick
    learning.pre_flights[place] = number
    flights.numbers[FLIGHTS] = i + 1
    return number


@bare
def arrive_at(part, active, i, tick, flights):
    """Let a spike arrive at the synapses of its record that are due."""
    learning, group = part.learning, active[RECORD_GROUP, i]
    k, flight = learning.place[group], active[FLIGHT, i] - flights.numbers[FIRST_FLIGHT]
    row, first = learning.table[k], active[SYNAPSE, i]
    nth = first - part.groups[group, TARGETS]
    last = flights.table[BEFORE, flight] + (tick - flights.table[SENT, flight]) - row[ORIGIN]
    eligible = row[ELIGIBILITY] + nth if row[ELIGIBLE] else 0
    call_arrive(
        row[ARRIVE],
        row,
        learning.coefficients[k],
        learning.history,
        learning.gains,
        learning.decays,
        learning.eligibility[eligible:],
        part.weights[part.groups[group, WEIGHTS] + nth :],
        part.targets[first:],
        learning.lists,
        active[COUNT, i],
        max(last, np.int64(LONG_AGO)),
        flights.values[flight],
        learning.post_traces,
        part.plane,
        tick - row[ORIGIN],
    )


# -- postsynaptic spikes -------------------------------------------------------------------------------------------


@inner
def fire(part, shared, p, count, tick, flights):
    """Put the spikes of a population into the histories of its neurons."""
    learning = part.learning
    for k in range(learning.table.shape[0]):
        row = learning.table[k]
        if row[TARGET] != p:
            continue
        first = row[POST] - part.low[p]
        for i in range(count):
            if learning.pending[first + part.fired[i]] == RANKS:
                catch_up(part, shared, k, tick, tick, flights)
                break
        for i in range(count):
            put(learning, k, part.fired[i] - part.low[p], tick)
        if count:
            row[LATEST] = tick - row[ORIGIN]


@bare
def put(learning, k, neuron, tick):
    """Put a spike into the history of one of the own neurons."""
    row, c = learning.table[k], learning.coefficients[k]
    own, place = row[OWN], row[POST] + neuron
    elapsed = tick - learning.post_ticks[place]
    pending = np.int64(learning.pending[place])
    for rank in range(min(pending + 1, RANKS), 0, -1):
        here = row[HISTORY] + rank * own + neuron
        learning.history[here] = learning.history[here - own]
    learning.history[row[HISTORY] + neuron] = tick - row[ORIGIN]
    trace = row[POST_TRACES] + neuron
    left = learning.post_traces[trace] * left_of(learning, k, POST_DECAY, elapsed)
    learning.post_traces[trace] = 1 if row[NEAREST] else left + 1
    if row[TRIPLETS]:
        for rank in range(min(pending, RANKS - 1), 0, -1):
            here = row[GAINS] + rank * own + neuron
            learning.gains[here] = learning.gains[here - own]
        left = learning.post_traces[trace + own] * left_of(learning, k, SLOW_POST_DECAY, elapsed)
        learning.gains[row[GAINS] + neuron] = c[_PAIR_POTENTIATION] + c[_TRIPLET_POTENTIATION] * left
        learning.post_traces[trace + own] = 1 if row[NEAREST] else left + 1
    learning.post_ticks[place] = tick
    learning.pending[place] = pending + 1


# -- all synapses --------------------------------------------------------------------------------------------------


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
    """Scale the weights of groups to their sums at the end of a tick, where it is time."""
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
            sums[part.targets[targets + i] - row[PLANE]] += np.float64(part.weights[weights + i])
        for j in range(row[OWN]):
            if sums[j] != 0:
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

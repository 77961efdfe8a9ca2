"""Plasticity within the long run of a part: spikes sent, arrivals, postsynaptic spikes.

The synapses of a row are only touched when a spike arrives there (`snnsim.backends.cpu.plasticity.kernels`). What they
need to know of spikes that are on their way stands with each of these, a flight: the trace of the source after its
spike before. So a synapse with any delay finds the trace as it was when the spike before arrived.
"""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu.parts.plasticity_records import (
    ARRIVE,
    BEFORE,
    ELIGIBILITY,
    ELIGIBLE,
    FIRST_FLIGHT,
    FLIGHT_FIELDS,
    FLIGHT_GROUP,
    FLIGHT_SOURCE,
    FLIGHT_VALUES,
    FLIGHTS,
    GAINS,
    HISTORY,
    LATEST,
    LONG_AGO,
    LONGEST,
    LOSS,
    NEAREST,
    ORIGIN,
    OWN,
    POST,
    POST_DECAY,
    POST_TRACES,
    PRE,
    PRE_DECAY,
    PRE_TRACES,
    PREVIOUS,
    RANKS,
    SENT,
    SLOW_POST_DECAY,
    SLOW_PRE_DECAY,
    SLOW_TRACE_BEFORE,
    SOURCES,
    TARGET,
    TRACE_BEFORE,
    TRIPLETS,
    Flights,
)
from snnsim.backends.cpu.parts.records import COUNT, FLIGHT, SYNAPSE, TARGETS, WEIGHTS
from snnsim.backends.cpu.parts.records import GROUP as RECORD_GROUP
from snnsim.backends.cpu.plasticity.catch_up import catch_up, left_of
from snnsim.backends.cpu.plasticity.kernels import call_arrive
from snnsim.errors import InternalError
from snnsim.numerics.specialise import bare, inner

_PAIR_POTENTIATION, _TRIPLET_POTENTIATION, _PAIR_DEPRESSION, _TRIPLET_DEPRESSION = range(4)


# -- spikes on their way -------------------------------------------------------------------------------------------


@bare
def has_room_for_flights(part, flights, more):
    """Return whether there is room for `more` flights, or no group of the part is plastic."""
    return part.learning.table.shape[0] == 0 or flights.numbers[FLIGHTS] + more <= flights.table.shape[1]


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
    if i >= table.shape[1]:
        raise InternalError("a part sends more spikes over plastic projections in a window than were counted")
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


@bare
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

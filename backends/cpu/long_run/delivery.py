"""Spikes on their way: which synapses are due in a tick, and adding them to the plane of a part.

A spike is one record for each row that it reaches. The row is sorted by delay, so the record remembers where the
synapses of the next delay begin; all that is due in a tick is added in the order of the records, which is the order
of sending. So there is one plane of accumulators, small enough for the cache, instead of one for each delay.
"""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu.compiler.atomics import prefetch
from snnsim.backends.cpu.parts.records import (
    ACTIVE,
    COUNT,
    DELAY,
    DUE,
    FINISHED,
    FLIGHT,
    GROUP,
    N_FIELDS,
    NEVER,
    PLASTIC,
    ROWS,
    SEGMENT,
    SEGMENT_END,
    SEGMENT_ROWS,
    SENDER,
    SYNAPSE,
    TARGETS,
    TOUCHED,
    TRACKED,
    WEIGHTS,
)
from snnsim.backends.cpu.plasticity.spikes import arrive_at
from snnsim.errors import InternalError
from snnsim.numerics.specialise import bare, inner, melted

_ONE = np.uint64(1)
#: How many synapses are asked for ahead, in whole records and at least one; more would drive the plane out of the
#: cache.
_AHEAD = 512


@bare
def add_constant(plane, targets, weight, first, count):
    """Add one weight to the accumulators of `count` synapses."""
    i, end = np.uint64(first), np.uint64(first + count)
    while i < end:
        plane[targets[i]] += weight
        i += _ONE


@bare
def add_weights(plane, targets, weights, first, first_weight, count):
    """Add the weight of each of `count` synapses to its accumulator."""
    i, k, end = np.uint64(first), np.uint64(first_weight), np.uint64(first + count)
    while i < end:
        plane[targets[i]] += weights[k]
        i += _ONE
        k += _ONE


@bare
def touch(part, first, count, numbers):
    """Put the neurons of `count` synapses into the list of those to visit in this tick."""
    n = numbers[TOUCHED]
    for i in range(first, first + count):
        slot = part.slot_of[part.targets[i]]
        if part.marks[slot] == 0:
            if n >= part.lists.shape[1]:
                raise InternalError("a part lists more neurons to visit than it has")
            part.marks[slot] = 1
            part.lists[0, n] = slot
            n += 1
    numbers[TOUCHED] = n


@bare
def add_synapses(part, shared, group, first, count, numbers):
    """Add `count` synapses of a group, the first at place `first` of the targets."""
    weights = part.groups[group, WEIGHTS]
    if weights < 0:
        add_constant(part.plane, part.targets, shared.constant[group], first, count)
    else:
        add_weights(part.plane, part.targets, part.weights, first, first - part.groups[group, TARGETS] + weights, count)
    if shared.groups[group, TRACKED]:
        touch(part, first, count, numbers)


@bare
def ask_for(part, active, i):
    """Ask for the cache lines of the synapses of a record that are added soon, and of what comes after them."""
    group, first, count = active[GROUP, i], active[SYNAPSE, i], active[COUNT, i]
    prefetch(part.segments, active[SEGMENT, i])
    for place in range(first, first + count + 31, 32):
        prefetch(part.targets, place)
    weights = part.groups[group, WEIGHTS]
    if weights >= 0:
        begin = first - part.groups[group, TARGETS] + weights
        for place in range(begin, begin + count + 15, 16):
            prefetch(part.weights, place)


@bare
def next_segment(part, active, i):
    """Move a record to its next synapses, or to NEVER."""
    place, end, due, count = active[SEGMENT, i], active[SEGMENT_END, i], active[DUE, i], 0
    while count == 0 and place < end:
        entry = np.int64(part.segments[place])
        due += entry & 255
        count = entry >> 8
        place += 1
    active[SEGMENT, i] = place
    active[COUNT, i] = count
    active[DUE, i] = due if count > 0 else NEVER


@melted
def deliver_due(part, shared, carried, tick):
    """Add all synapses that are due in this tick, those of plastic groups last; return when the next ones are."""
    active, due, numbers = carried.active, carried.due, carried.numbers
    if due.shape[1] < numbers[ACTIVE]:
        raise InternalError("a part has more spikes on their way than room for their numbers")
    fixed, learning, following = 0, 0, NEVER
    for i in range(numbers[ACTIVE]):
        when = active[DUE, i]
        if when == tick:
            if shared.groups[active[GROUP, i], PLASTIC]:
                due[1, learning] = i
                learning += 1
            else:
                due[0, fixed] = i
                fixed += 1
        elif when < following:
            following = when
    for plastic in range(2):
        n = learning if plastic else fixed
        asked, ahead = 0, 0
        for k in range(n):
            i = due[plastic, k]
            if asked > k:
                ahead -= active[COUNT, i]
            while asked < n and (ahead < _AHEAD or asked <= k + 1):
                ask_for(part, active, due[plastic, asked])
                if asked > k:
                    ahead += active[COUNT, due[plastic, asked]]
                asked += 1
            while active[DUE, i] == tick:
                first, count = active[SYNAPSE, i], active[COUNT, i]
                if plastic:
                    arrive_at(part, active, i, tick, carried.flights)
                    if shared.groups[active[GROUP, i], TRACKED]:
                        touch(part, first, count, numbers)
                else:
                    add_synapses(part, shared, active[GROUP, i], first, count, numbers)
                active[SYNAPSE, i] = first + count
                next_segment(part, active, i)
            following = min(following, next_due(active, i, numbers))
    return following


@bare
def next_due(active, i, numbers):
    """Return when the next synapses of a record are due, and count it where it has none."""
    if active[DUE, i] == NEVER:
        numbers[FINISHED] += 1
    return active[DUE, i]


@bare
def deliver_now(part, shared, group, source, numbers):
    """Add the whole row of a source without delay."""
    place = part.groups[group, ROWS] + source
    low, high = part.rows[place], part.rows[place + 1]
    add_synapses(part, shared, group, part.groups[group, TARGETS] + low, high - low, numbers)


@bare
def forget_done(active, numbers, more):
    """Drop the records that are done, where these are many or there is no room for `more`; return if there is now."""
    used = numbers[ACTIVE]
    if 2 * numbers[FINISHED] > used or used + more > active.shape[1]:
        kept = 0
        for i in range(used):
            if active[DUE, i] != NEVER:
                if kept < i:
                    for field in range(N_FIELDS):
                        active[field, kept] = active[field, i]
                kept += 1
        numbers[ACTIVE], numbers[FINISHED] = kept, 0
        used = kept
    return used + more <= active.shape[1]


@inner
def enlarged(active, numbers, more):
    """Return the records with room for `more`, and for as many again."""
    used = numbers[ACTIVE]
    larger = np.empty((N_FIELDS, 2 * (used + more)), np.int64)
    for field in range(N_FIELDS):
        for i in range(used):
            larger[field, i] = active[field, i]
    return larger


@bare
def ask_for_rows(part, group, source):
    """Ask for the beginning of a row that is sent soon."""
    prefetch(part.rows, part.groups[group, ROWS] + source)
    if part.groups[group, SEGMENT_ROWS] >= 0:
        prefetch(part.segment_rows, part.groups[group, SEGMENT_ROWS] + source)


@bare
def send(part, shared, active, numbers, group, source, tick, flight):
    """Make a record of a spike, of number `flight` over a plastic group; there must be room for it."""
    place = part.groups[group, ROWS] + source
    low, high = part.rows[place], part.rows[place + 1]
    if low == high:
        return
    i = numbers[ACTIVE]
    if i >= active.shape[1]:
        raise InternalError("a part sends more spikes in a window than were counted")
    active[SYNAPSE, i] = part.groups[group, TARGETS] + low
    active[GROUP, i] = group
    active[SENDER, i] = source
    active[FLIGHT, i] = flight
    delay = shared.groups[group, DELAY]
    if delay >= 0:
        active[DUE, i] = tick + delay
        active[COUNT, i] = high - low
        active[SEGMENT, i] = 0
        active[SEGMENT_END, i] = 0
    else:
        place = part.groups[group, SEGMENT_ROWS] + source
        active[DUE, i] = tick
        active[SEGMENT, i] = part.segment_rows[place]
        active[SEGMENT_END, i] = part.segment_rows[place + 1]
        next_segment(part, active, i)
    numbers[ACTIVE] = i + 1

"""The own neurons of a part through a window of ticks: what is due is added, and the spikes go into the mail."""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu.long_run.delivery import deliver_due, deliver_now
from snnsim.backends.cpu.long_run.event_driven import silent_membrane, visit_population
from snnsim.backends.cpu.neurons.step import call_step
from snnsim.backends.cpu.neurons.table_columns import COUNTERS, RECEPTORS, RING, SIZE, SLOTS, SOURCE, STATES
from snnsim.backends.cpu.parts.records import TOUCHED, ZERO_DELAY
from snnsim.backends.cpu.plasticity.catch_up import next_normalisation, normalise
from snnsim.backends.cpu.plasticity.spikes import fire
from snnsim.errors import InternalError
from snnsim.numerics.specialise import bare, melted

# Columns of a part's table of traces: own neurons FIRST ... LAST - 1, PLACE of the first value, WIDTH of a record.
(TRACE_POPULATION, TRACE_STATE, TRACE_EVERY, TRACE_FIRST, TRACE_LAST, TRACE_PLACE, TRACE_WIDTH, TRACE_RECORD) = range(8)


@bare
def load_ring(part, shared, run, tick, numbers):
    """Begin a tick with what an earlier call has left in the ring for it."""
    for p in range(shared.order.size):
        slots, own = shared.populations[p, SLOTS], part.high[p] - part.low[p]
        if own == 0 or tick - run.start >= slots:
            continue
        size, n_receptors = shared.populations[p, SIZE], shared.populations[p, RECEPTORS]
        for r in range(n_receptors):
            place = shared.populations[p, RING] + ((tick % slots) * n_receptors + r) * size + part.low[p]
            first = part.base[p] + r * own
            for j in range(own):
                value = run.floats[place + j]
                part.plane[first + j] = value
                run.floats[place + j] = 0
                if value != 0 and shared.by_events[p]:
                    slot = part.base[p] + j
                    if part.marks[slot] == 0:
                        if numbers[TOUCHED] >= part.lists.shape[1]:
                            raise InternalError("a part lists more neurons to visit than it has")
                        part.marks[slot] = 1
                        part.lists[0, numbers[TOUCHED]] = slot
                        numbers[TOUCHED] += 1


@bare
def record(part, shared, run, traces, tick):
    """Record the states that are asked for at this tick."""
    for i in range(traces.table.shape[0]):
        row = traces.table[i]
        if tick % row[TRACE_EVERY] != 0:
            continue
        p = row[TRACE_POPULATION]
        states = shared.populations[p, STATES] + row[TRACE_STATE] * shared.populations[p, SIZE]
        place = row[TRACE_PLACE] + (tick // row[TRACE_EVERY] - row[TRACE_RECORD]) * row[TRACE_WIDTH]
        if place < 0 or place + row[TRACE_WIDTH] > traces.values.size:
            raise InternalError("a trace has more records than were counted")
        for k in range(row[TRACE_FIRST], row[TRACE_LAST]):
            neuron = traces.neurons[k]
            if shared.by_events[p]:
                ticks = tick + 1 - run.visited[shared.populations[p, COUNTERS] + neuron]
                value = np.float64(run.floats[states + neuron])
                if ticks > 0:
                    value = silent_membrane(shared, run, p, neuron, ticks)
                traces.values[place + traces.columns[k]] = value
            else:
                traces.values[place + traces.columns[k]] = run.floats[states + neuron]


@bare
def longest(shared):
    """Return the number of slots of the longest ring."""
    slots = 0
    for p in range(shared.order.size):
        slots = max(slots, shared.populations[p, SLOTS])
    return slots


@bare
def wake(shared, run, senders, cursors, traces, following, tick):
    """Return the next tick at which something happens in a part without anything new from others."""
    for s in range(senders.populations.size):
        if cursors[s] < senders.offsets[s + 1]:
            following = min(following, run.start + senders.ticks[cursors[s]])
    for i in range(traces.table.shape[0]):
        every = traces.table[i, TRACE_EVERY]
        following = min(following, (tick + every - 1) // every * every)
    return following


@melted
def advance_window(part, shared, run, senders, mail, box, traces, carried, first, last):
    """Advance the own neurons from tick `first` to `last`; leave their spikes in the mail."""
    cursors, numbers = carried.now, carried.numbers
    learns = part.learning.table.shape[0] > 0
    sent = 0
    tick = first
    n_populations = shared.order.size
    sleepy = True
    for p in range(n_populations):
        if shared.populations[p, SOURCE] < 0 and not shared.by_events[p]:
            sleepy = False
    keys, others = mail.keys[box, part.number], mail.numbers[box, part.number]
    while tick < last:
        if run.in_flight:
            load_ring(part, shared, run, tick, numbers)
        following = deliver_due(part, shared, carried, tick)
        ready = np.int64(0)
        for position in range(n_populations):
            p = shared.order[position]
            source = shared.populations[p, SOURCE]
            if source >= 0:
                begin, end = cursors[source], senders.offsets[source + 1]
                stop = begin
                while stop < end and senders.ticks[stop] == tick - run.start:
                    stop += 1
                if stop > begin:
                    for group in range(shared.first_group[p], shared.first_group[p + 1]):
                        if shared.groups[group, ZERO_DELAY]:
                            for i in range(begin, stop):
                                deliver_now(part, shared, group, senders.numbers[i], numbers)
                    cursors[source] = stop
                continue
            own = part.high[p] - part.low[p]
            if own == 0:
                continue
            if shared.by_events[p]:
                count, ready = visit_population(part, shared, run, numbers, tick, p, ready)
            else:
                count = call_step(
                    shared.steps[p],
                    shared.populations[p],
                    shared.receptors,
                    shared.drives,
                    shared.coefficients,
                    shared.thresholds,
                    run.floats,
                    run.held,
                    part.plane[part.base[p] :],
                    own,
                    0,
                    tick,
                    part.low[p],
                    part.high[p],
                    part.scratch,
                    part.fired,
                )
                run.updates[part.number, p] += own
            if learns:
                fire(part, shared, p, count, tick, carried.flights)
            key = (tick - first) * n_populations + position
            if sent + count > keys.size:
                raise InternalError("neurons of a part fire more often in a window than their refractory times allow")
            for k in range(count):
                keys[sent] = key
                others[sent] = part.fired[k]
                sent += 1
        for i in range(numbers[TOUCHED]):
            part.marks[part.lists[0, i]] = 0
        for i in range(ready):
            slot = part.lists[1, i]
            part.lists[0, i] = slot
            part.marks[slot] = 1
        numbers[TOUCHED] = ready
        if learns:
            if next_normalisation(part.learning, tick) == tick:
                normalise(part, shared, tick, carried.flights)
            following = min(following, next_normalisation(part.learning, tick + 1))
        record(part, shared, run, traces, tick)
        tick += 1
        if sleepy and ready == 0 and not (run.in_flight and tick < run.start + longest(shared)):
            tick = max(tick, wake(shared, run, senders, cursors, traces, following, tick))
    mail.counts[box, part.number, 0] = sent
    mail.next_ticks[box, part.number, 0] = tick

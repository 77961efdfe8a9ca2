"""One long run of one network on several threads: each thread owns the neurons and the synapses of a part.

Spikes are exchanged once a window, which is as long as the shortest delay. A thread advances its neurons through the
window, puts their spikes into its box, waits for the others, and then takes the rows of all spikes that reach its own
neurons. Every sum is made by one thread in the order of sending, so that the number of threads changes nothing.
Ticks in which nothing happens are skipped where all populations are visited by events.
"""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu._jit import bare, inner
from snnsim.backends.cpu.atomics import wait_for_all
from snnsim.backends.cpu.catching_up import next_normalisation, normalise
from snnsim.backends.cpu.columns import COUNTERS, RECEPTORS, RING, SIZE, SLOTS, SOURCE, STATES
from snnsim.backends.cpu.learning import fire, flights_with_room, take_off
from snnsim.backends.cpu.learning_parts import FIRST_FLIGHT, FLIGHT_GROUP, FLIGHT_SOURCE, FLIGHTS, SENT
from snnsim.backends.cpu.long_deliver import ask_for_rows, deliver_due, deliver_now, next_segment, send, with_room
from snnsim.backends.cpu.long_parts import (
    ACTIVE,
    COUNT,
    DUE,
    GROUP,
    LOGGED,
    N_FIELDS,
    N_NUMBERS,
    NEVER,
    PLASTIC,
    SYNAPSE,
    TOUCHED,
    ZERO_DELAY,
    Carried,
)
from snnsim.backends.cpu.pointers import caller
from snnsim.backends.cpu.step import call_step
from snnsim.backends.cpu.visits import list_ready, silent_membrane, visit_population

call_exchange = caller("call_exchange", n_arguments=1)

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
                        part.marks[slot] = 1
                        part.lists[0, numbers[TOUCHED]] = slot
                        numbers[TOUCHED] += 1


@bare
def store_ring(part, shared, run, tick):
    """Keep what is due after the end of the run, and empty the plane."""
    for p in range(shared.order.size):
        slots, own = shared.populations[p, SLOTS], part.high[p] - part.low[p]
        if own == 0 or tick - run.end >= slots:
            continue
        size, n_receptors = shared.populations[p, SIZE], shared.populations[p, RECEPTORS]
        for r in range(n_receptors):
            place = shared.populations[p, RING] + ((tick % slots) * n_receptors + r) * size + part.low[p]
            first = part.base[p] + r * own
            for j in range(own):
                run.floats[place + j] = part.plane[first + j]
                part.plane[first + j] = 0


@inner
def flush(part, shared, run, carried):
    """Add the synapses of all spikes on their way to the ring, in which a run's state keeps them; return if any.

    Weights of plastic groups are not known before the spikes arrive: these stay among the flights.
    """
    active, numbers = carried.active, carried.numbers
    tick = run.end
    numbers[TOUCHED] = 0
    for i in range(numbers[ACTIVE]):
        if shared.groups[active[GROUP, i], PLASTIC]:
            active[DUE, i] = NEVER
    any_left = False
    while tick < NEVER:
        following = NEVER
        for i in range(numbers[ACTIVE]):
            following = min(following, active[DUE, i])
        tick = following
        if tick < NEVER:
            any_left = True
            load_ring(part, shared, run, tick, numbers)
            deliver_due(part, shared, carried, tick)
            store_ring(part, shared, run, tick)
            for i in range(numbers[TOUCHED]):
                part.marks[part.lists[0, i]] = 0
            numbers[TOUCHED] = 0
    return any_left


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
            normalise(part, shared, tick, carried.flights)
            following = min(following, next_normalisation(part.learning, tick + 1))
        record(part, shared, run, traces, tick)
        tick += 1
        if sleepy and ready == 0 and not (run.in_flight and tick < run.start + longest(shared)):
            tick = max(tick, wake(shared, run, senders, cursors, traces, following, tick))
    mail.counts[box, part.number] = sent
    mail.next_ticks[box, part.number] = tick


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


@bare
def count_rows(part, shared, run, senders, mail, box, carried, last):
    """Return at most how many rows the spikes of a window and the events of the sources reach."""
    n_populations, more = shared.order.size, np.int64(0)
    for k in range(mail.counts.shape[1]):
        for i in range(mail.counts[box, k]):
            p = shared.order[mail.keys[box, k, i] % n_populations]
            for group in range(shared.first_group[p], shared.first_group[p + 1]):
                ask_for_rows(part, group, mail.numbers[box, k, i])
                more += 1
    for s in range(senders.populations.size):
        p = senders.populations[s]
        ahead = carried.later[s]
        while ahead < senders.offsets[s + 1] and senders.ticks[ahead] < last - run.start:
            ahead += 1
        more += (ahead - carried.later[s]) * (shared.first_group[p + 1] - shared.first_group[p])
    return more


@bare
def after_silence(run, senders, mail, box, carried, last):
    """Return the next tick in which any part has something to do, after a window without spikes."""
    following = NEVER
    for k in range(mail.counts.shape[1]):
        following = min(following, mail.next_ticks[box, k])
    for s in range(senders.populations.size):
        if carried.later[s] < senders.offsets[s + 1]:
            following = min(following, run.start + senders.ticks[carried.later[s]])
    return max(last, following)


@bare
def next_key(shared, run, senders, mail, box, carried, first, last):
    """Return the key (see `Mail`) of the earliest spike or event of the window that is not sent yet, or NEVER."""
    key, heads, cursors = NEVER, carried.heads, carried.later
    for k in range(mail.counts.shape[1]):
        if heads[k] < mail.counts[box, k]:
            key = min(key, mail.keys[box, k, heads[k]])
    for s in range(senders.populations.size):
        if cursors[s] < senders.offsets[s + 1] and senders.ticks[cursors[s]] < last - run.start:
            step = run.start + senders.ticks[cursors[s]] - first
            key = min(key, step * shared.order.size + shared.position[senders.populations[s]])
    return key


@bare
def send_all(part, shared, run, senders, mail, box, carried, first, last):
    """Make records of all spikes of a window and of the events of the sources, in order of sending."""
    cursors, heads = carried.later, carried.heads
    n_parts, n_populations = mail.counts.shape[1], shared.order.size
    for k in range(n_parts):
        heads[k] = 0
    while True:
        key = next_key(shared, run, senders, mail, box, carried, first, last)
        if key == NEVER:
            break
        tick, p = first + key // n_populations, shared.order[key % n_populations]
        source = shared.populations[p, SOURCE]
        for group in range(shared.first_group[p], shared.first_group[p + 1]):
            if shared.groups[group, ZERO_DELAY]:
                continue
            if source >= 0:
                i = cursors[source]
                while i < senders.offsets[source + 1] and senders.ticks[i] == tick - run.start:
                    send_one(part, shared, carried, group, senders.numbers[i], tick)
                    i += 1
            else:
                for k in range(n_parts):
                    i = heads[k]
                    while i < mail.counts[box, k] and mail.keys[box, k, i] == key:
                        send_one(part, shared, carried, group, mail.numbers[box, k, i], tick)
                        i += 1
        if source >= 0:
            while cursors[source] < senders.offsets[source + 1] and senders.ticks[cursors[source]] == tick - run.start:
                cursors[source] += 1
        else:
            for k in range(n_parts):
                while heads[k] < mail.counts[box, k] and mail.keys[box, k, heads[k]] == key:
                    heads[k] += 1


@bare
def send_one(part, shared, carried, group, source, tick):
    """Make a record of a spike."""
    flight = take_off(part.learning, group, source, tick, carried.flights)
    send(part, shared, carried.active, carried.numbers, group, source, tick, flight)


@inner
def prepared(part, carried, more, tick):
    """Return what a part carries, with room for `more` spikes on their way."""
    active = with_room(carried.active, carried.numbers, more)
    due = carried.due if carried.due.size >= active.shape[1] else np.empty(active.shape[1], np.int64)
    flights = carried.flights
    if part.learning.table.shape[0] > 0:
        flights = flights_with_room(part.learning, flights, more, tick)
    return Carried(
        active,
        due,
        carried.numbers,
        carried.log_keys,
        carried.log_neurons,
        carried.now,
        carried.later,
        carried.heads,
        flights,
    )


@inner
def keep_spikes(part, shared, run, mail, box, carried, first):
    """Count the own spikes of a window and put those to be recorded into the log; return it, with room."""
    needed, keys, neurons = (
        carried.numbers[LOGGED] + mail.counts[box, part.number],
        carried.log_keys,
        carried.log_neurons,
    )
    if needed > keys.size:
        used = carried.numbers[LOGGED]
        keys, neurons = np.empty(2 * needed, np.int64), np.empty(2 * needed, np.int32)
        for i in range(used):
            keys[i], neurons[i] = carried.log_keys[i], carried.log_neurons[i]
    log_spikes(part, shared, run, mail, box, carried, keys, neurons, first)
    return keys, neurons


@bare
def log_spikes(part, shared, run, mail, box, carried, keys, neurons, first):
    """Count and log; see `keep_spikes`."""
    logged, n_populations = carried.numbers[LOGGED], shared.order.size
    for i in range(mail.counts[box, part.number]):
        key, neuron = mail.keys[box, part.number, i], mail.numbers[box, part.number, i]
        p = shared.order[key % n_populations]
        run.spike_counts[shared.populations[p, COUNTERS] + neuron] += 1
        if run.recorded[p]:
            keys[logged] = key + (first - run.start) * n_populations
            neurons[logged] = neuron
            logged += 1
    carried.numbers[LOGGED] = logged


@inner
def begin(part, shared, run, senders, mail):
    """Return what a part carries from window to window."""
    numbers = np.zeros(N_NUMBERS, np.int64)
    if part.slot_of.size:
        list_ready(part, shared, run, numbers)
    learning = part.learning
    carried = Carried(
        np.empty((N_FIELDS, 1024), np.int64),
        np.empty(1024, np.int64),
        numbers,
        np.empty(1024, np.int64),
        np.empty(1024, np.int32),
        senders.offsets[:-1].copy(),
        senders.offsets[:-1].copy(),
        np.zeros(mail.counts.shape[1], np.int64),
        learning.flights,
    )
    return resumed(part, shared, run, carried) if learning.table.shape[0] > 0 else carried


@inner
def resumed(part, shared, run, carried):
    """Make records of the flights that an earlier call has left, without what has arrived."""
    flights = carried.flights
    carried = prepared(part, carried, flights.numbers[FLIGHTS], run.start)
    flights, active, numbers = carried.flights, carried.active, carried.numbers
    for flight in range(flights.numbers[FLIGHTS]):
        i, source = numbers[ACTIVE], flights.table[FLIGHT_SOURCE, flight]
        group, number = flights.table[FLIGHT_GROUP, flight], flights.numbers[FIRST_FLIGHT] + flight
        send(part, shared, active, numbers, group, source, flights.table[SENT, flight], number)
        if numbers[ACTIVE] > i:
            while active[DUE, i] < run.start:
                active[SYNAPSE, i] += active[COUNT, i]
                next_segment(part, active, i)
            if active[DUE, i] == NEVER:
                numbers[ACTIVE] = i
    return carried


@inner
def advance(part, shared, run, senders, mail, box, traces, carried, tick):
    """Advance a part by one window from `tick` on; its spikes are in the mail, and in the log."""
    last = min(tick + shared.window, run.end)
    advance_window(part, shared, run, senders, mail, box, traces, carried, tick, last)
    keys, neurons = keep_spikes(part, shared, run, mail, box, carried, tick)
    return Carried(
        carried.active,
        carried.due,
        carried.numbers,
        keys,
        neurons,
        carried.now,
        carried.later,
        carried.heads,
        carried.flights,
    )


@inner
def take(part, shared, run, senders, mail, box, carried, tick):
    """Take all spikes of the window that began at `tick` out of the mail; return also the next tick."""
    last = min(tick + shared.window, run.end)
    more = count_rows(part, shared, run, senders, mail, box, carried, last)
    if more == 0:
        return carried, after_silence(run, senders, mail, box, carried, last)
    carried = prepared(part, carried, more, tick)
    send_all(part, shared, run, senders, mail, box, carried, tick, last)
    return carried, last


@inner
def finish(part, shared, run, carried):
    """Put what is on its way into the ring; return the log of spikes, whether anything was on its way, and flights.

    The log is keys as in `Mail`, counted from the start of the run, and neurons.
    """
    left = flush(part, shared, run, carried)
    n = carried.numbers[LOGGED]
    return carried.log_keys[:n], carried.log_neurons[:n], left, carried.flights


def run_part(part, shared, run, senders, mail, traces):
    """Run one part from start to end beside the threads of the others; see `finish` for what is returned."""
    carried = begin(part, shared, run, senders, mail)
    tick, box = run.start, np.int64(0)
    while tick < run.end:
        carried = advance(part, shared, run, senders, mail, box, traces, carried, tick)
        if mail.exchange != 0:
            call_exchange(mail.exchange, box)
        else:
            wait_for_all(mail.barrier, mail.threads)
        carried, tick = take(part, shared, run, senders, mail, box, carried, tick)
        box = 1 - box
    return finish(part, shared, run, carried)

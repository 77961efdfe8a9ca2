"""One long run of one network on several threads: each thread owns the neurons and the synapses of a part.

Spikes are exchanged once a window, which is as long as the shortest delay. A thread advances its neurons through the
window, puts their spikes into its box, waits for the others, and then takes the rows of all spikes that reach its own
neurons. Every sum is made by one thread in the order of sending, so that the number of threads changes nothing.
Ticks in which nothing happens are skipped where all populations are visited by events.

The windows follow each other in a function that makes no arrays: counting references to those it is given would cost
as much as a small network. Where it lacks room it says so, is given more, and goes on.
"""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu.compiler.atomics import wait_for_all
from snnsim.backends.cpu.compiler.pointers import caller
from snnsim.backends.cpu.long_run.delivery import deliver_due, enlarged, forget_done, next_segment, send
from snnsim.backends.cpu.long_run.event_driven import list_ready
from snnsim.backends.cpu.long_run.spike_exchange import after_silence, count_rows, log_spikes, send_all
from snnsim.backends.cpu.long_run.window import advance_window, load_ring
from snnsim.backends.cpu.neurons.table_columns import RECEPTORS, RING, SIZE, SLOTS
from snnsim.backends.cpu.parts.plasticity_records import FIRST_FLIGHT, FLIGHT_GROUP, FLIGHT_SOURCE, FLIGHTS, SENT
from snnsim.backends.cpu.parts.records import (
    ACTIVE,
    BOX,
    COUNT,
    DONE,
    DUE,
    GROUP,
    LACKS_ROOM,
    LEFT_ALONE,
    LOGGED,
    N_FIELDS,
    N_NUMBERS,
    NEVER,
    PLASTIC,
    REACHED,
    STAGE,
    SYNAPSE,
    TICK,
    TOUCHED,
    Carried,
)
from snnsim.backends.cpu.plasticity.spikes import flights_with_room, has_room_for_flights
from snnsim.errors import InternalError
from snnsim.numerics.specialise import bare, inner

call_exchange = caller("call_exchange", n_arguments=1, foreign=True)

# Stages of a window: the next thing to do is to advance the neurons, to keep their spikes, or to take those of all.
(_ADVANCE, _KEEP, _TAKE) = range(3)


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


@inner
def begin(part, shared, run, senders, mail):
    """Return what a part carries from window to window."""
    numbers = np.zeros(N_NUMBERS, np.int64)
    if part.slot_of.size:
        list_ready(part, shared, run, numbers)
    learning = part.learning
    carried = Carried(
        np.empty((N_FIELDS, 1024), np.int64),
        np.empty((2, 1024), np.int64),
        numbers,
        np.empty(1024, np.int64),
        np.empty(1024, np.int32),
        senders.offsets[:-1].copy(),
        senders.offsets[:-1].copy(),
        np.zeros(mail.keys.shape[1], np.int64),
        learning.flights,
    )
    numbers[TICK] = run.start
    return resumed(part, shared, run, carried) if learning.table.shape[0] > 0 else carried


@inner
def resumed(part, shared, run, carried):
    """Make records of the flights that an earlier call has left, without what has arrived."""
    flights = carried.flights
    carried = with_room(part, carried, flights.numbers[FLIGHTS], run.start)
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


@bare
def run_windows(part, shared, run, senders, mail, traces, carried):
    """Run window after window; return DONE, LACKS_ROOM, or LEFT_ALONE where the thread of another part has failed."""
    numbers = carried.numbers
    while numbers[TICK] < run.end:
        tick, box = numbers[TICK], numbers[BOX]
        last = min(tick + shared.window, run.end)
        if numbers[STAGE] == _ADVANCE:
            advance_window(part, shared, run, senders, mail, box, traces, carried, tick, last)
            numbers[STAGE] = _KEEP
        if numbers[STAGE] == _KEEP:
            if numbers[LOGGED] + mail.counts[box, part.number, 0] > carried.log_keys.size:
                return LACKS_ROOM
            log_spikes(part, shared, run, mail, box, carried, tick)
            if mail.exchange != 0:
                call_exchange(mail.exchange, box)
            elif not wait_for_all(mail.barrier, mail.threads):
                return LEFT_ALONE
            numbers[REACHED] = count_rows(part, shared, run, senders, mail, box, carried, last)
            numbers[STAGE] = _TAKE
        more = numbers[REACHED]
        if more == 0:
            last = after_silence(run, senders, mail, box, carried, last)
        else:
            if not (forget_done(carried.active, numbers, more) and has_room_for_flights(part, carried.flights, more)):
                return LACKS_ROOM
            send_all(part, shared, run, senders, mail, box, carried, tick, last)
        numbers[TICK], numbers[BOX], numbers[STAGE] = last, 1 - box, _ADVANCE
    return DONE


@inner
def with_room(part, carried, more, tick):
    """Return what a part carries, with room for `more` spikes on their way."""
    active, due, flights = carried.active, carried.due, carried.flights
    if not forget_done(active, carried.numbers, more):
        active = enlarged(active, carried.numbers, more)
        due = np.empty((2, active.shape[1]), np.int64)
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
def with_longer_log(carried, more):
    """Return what a part carries, with room for `more` spikes in the log, and for as many again."""
    used = carried.numbers[LOGGED]
    keys, neurons = np.empty(2 * (used + more), np.int64), np.empty(2 * (used + more), np.int32)
    for i in range(used):
        keys[i], neurons[i] = carried.log_keys[i], carried.log_neurons[i]
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
def finish(part, shared, run, carried):
    """Put what is on its way into the ring; return the log of spikes, whether anything was on its way, and flights.

    The log is keys as in `Mail`, counted from the start of the run, and neurons.
    """
    left = flush(part, shared, run, carried)
    n = carried.numbers[LOGGED]
    return carried.log_keys[:n], carried.log_neurons[:n], left, carried.flights


def run_part(part, shared, run, senders, mail, traces):
    """Run one part from start to end beside the threads of the others; see `finish` for what is returned.

    Raises
    ------
    InternalError
        Something is more than was counted.
    """
    carried = begin(part, shared, run, senders, mail)
    outcome = run_windows(part, shared, run, senders, mail, traces, carried)
    while outcome == LACKS_ROOM:
        numbers = carried.numbers
        if numbers[STAGE] == _KEEP:
            carried = with_longer_log(carried, mail.counts[numbers[BOX], part.number, 0])
        else:
            carried = with_room(part, carried, numbers[REACHED], numbers[TICK])
        outcome = run_windows(part, shared, run, senders, mail, traces, carried)
    if outcome == LEFT_ALONE:
        raise InternalError("a part was left alone by the thread of another one")
    return finish(part, shared, run, carried)

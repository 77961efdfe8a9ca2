"""Spikes from part to part: those of a window that all parts have put into the mail, in the order of sending."""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu.long_run.delivery import ask_for_rows, send
from snnsim.backends.cpu.neurons.table_columns import COUNTERS, SOURCE
from snnsim.backends.cpu.parts.records import LOGGED, NEVER, ZERO_DELAY
from snnsim.backends.cpu.plasticity.spikes import take_off
from snnsim.numerics.specialise import bare, melted


@bare
def log_spikes(part, shared, run, mail, box, carried, first):
    """Count the own spikes of a window and put those to be recorded into the log; there must be room."""
    logged, n_populations = carried.numbers[LOGGED], shared.order.size
    for i in range(mail.counts[box, part.number, 0]):
        key, neuron = mail.keys[box, part.number, i], mail.numbers[box, part.number, i]
        p = shared.order[key % n_populations]
        run.spike_counts[shared.populations[p, COUNTERS] + neuron] += 1
        if run.recorded[p]:
            carried.log_keys[logged] = key + (first - run.start) * n_populations
            carried.log_neurons[logged] = neuron
            logged += 1
    carried.numbers[LOGGED] = logged


@bare
def count_rows(part, shared, run, senders, mail, box, carried, last):
    """Return at most how many rows the spikes of a window and the events of the sources reach."""
    n_populations, more = shared.order.size, np.int64(0)
    for k in range(mail.keys.shape[1]):
        for i in range(mail.counts[box, k, 0]):
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
    for k in range(mail.keys.shape[1]):
        following = min(following, mail.next_ticks[box, k, 0])
    for s in range(senders.populations.size):
        if carried.later[s] < senders.offsets[s + 1]:
            following = min(following, run.start + senders.ticks[carried.later[s]])
    return max(last, following)


@bare
def next_key(shared, run, senders, mail, box, carried, first, last):
    """Return the key (see `Mail`) of the earliest spike or event of the window that is not sent yet, or NEVER."""
    key, heads, cursors = NEVER, carried.heads, carried.later
    for k in range(mail.keys.shape[1]):
        if heads[k] < mail.counts[box, k, 0]:
            key = min(key, mail.keys[box, k, heads[k]])
    for s in range(senders.populations.size):
        if cursors[s] < senders.offsets[s + 1] and senders.ticks[cursors[s]] < last - run.start:
            step = run.start + senders.ticks[cursors[s]] - first
            key = min(key, step * shared.order.size + shared.position[senders.populations[s]])
    return key


@bare
def send_one(part, shared, carried, group, source, tick):
    """Make a record of a spike."""
    flight = take_off(part.learning, group, source, tick, carried.flights)
    send(part, shared, carried.active, carried.numbers, group, source, tick, flight)


@melted
def send_all(part, shared, run, senders, mail, box, carried, first, last):
    """Make records of all spikes of a window and of the events of the sources, in order of sending."""
    cursors, heads = carried.later, carried.heads
    n_parts, n_populations = mail.keys.shape[1], shared.order.size
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
                    while i < mail.counts[box, k, 0] and mail.keys[box, k, i] == key:
                        send_one(part, shared, carried, group, mail.numbers[box, k, i], tick)
                        i += 1
        if source >= 0:
            while cursors[source] < senders.offsets[source + 1] and senders.ticks[cursors[source]] == tick - run.start:
                cursors[source] += 1
        else:
            for k in range(n_parts):
                while heads[k] < mail.counts[box, k, 0] and mail.keys[box, k, heads[k]] == key:
                    heads[k] += 1

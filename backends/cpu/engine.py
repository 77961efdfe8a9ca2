"""The engine: all ticks of some recordings in one compiled function, driven by tables.

A network is a few integer tables (columns below), one array of weights and one of coefficients, so that the engine
is compiled once for all networks. Every recording has its own row of state; a recording that is sure is left at once.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from snnsim.backends.cpu import _jit, deliver, integrate
from snnsim.backends.cpu._jit import digest, jit, specialised
from snnsim.backends.cpu.deliver import (
    CONVOLUTION,
    DENSE,
    ONCE,
    SPARSE,
    add_convolution,
    add_delayed,
    add_once,
    add_rows,
    add_sparse,
)
from snnsim.backends.cpu.integrate import step_chain
from snnsim.neurons import MODELS

_ONE, _TWO, _THREE, _FOUR, _FIVE, _SIX, _SEVEN, _EIGHT = (np.uint64(i) for i in range(1, 9))
# What the templates below name; `engine` puts the compiled functions in their place.
advance: Any = None
advance_population: Any = None

# Columns of the population table. SOURCE is the place among the sources, or -1.
(SOURCE, MODEL, SIZE, STATES, CURRENTS, RING, SLOTS, RECEPTORS, FIRST_RECEPTOR, COUNTERS) = range(10)
(COEFFICIENTS, UNIFORM, REFRACTORY, BOUND, SPIKING, RECORDED, SIMPLE) = range(10, 17)
# Columns of the receptor table. EXPONENTIAL is the number of the current, or -1 for a delta receptor.
(EXPONENTIAL, DECAY, COUPLING, COUPLING_STEP) = range(4)
# Columns of the projection table; nine entries from SHAPE on describe a convolution.
(KIND, TARGET, RECEPTOR, DELAY, WEIGHTS, OFFSETS, TARGETS, DELAYS, SHAPE) = range(9)
# Columns of the trace table.
(TRACE_STATES, TRACE_EVERY, TRACE_NEURONS, TRACE_FIRST_NEURON, TRACE_PLACE, TRACE_FIRST_RECORD) = range(6)
# Rows of the log of spikes.
(LOG_POPULATION, LOG_RECORDING, LOG_TICK, LOG_SOURCE) = range(4)


def run_recordings(
    first,
    last,
    start_tick,
    n_ticks,
    order,
    populations,
    receptors,
    outgoing_offsets,
    outgoing,
    projections,
    coefficients,
    weights,
    offsets,
    targets,
    delays,
    floats,
    counters,
    event_offsets,
    event_ticks,
    event_sources,
    traces,
    trace_neurons,
    trace_values,
    thresholds,
    smoothing,
    exit_population,
    exit_sums,
    spike_counts,
    synaptic_operations,
    exit_ticks,
    log,
    progress,
):
    """Run recordings ``first ... last - 1``; return False where the log of spikes is full.

    `progress` holds the recording and the tick to go on with, and the number of spikes in the log. Called again with
    a larger log the run goes on as if it had not been interrupted.
    """
    widest, most = 0, 0
    for p in range(populations.shape[0]):
        widest = max(widest, populations[p, SIZE])
        most += populations[p, SIZE] if populations[p, RECORDED] else 0
    drive = np.zeros(widest, floats.dtype)
    fired = np.zeros(widest + widest % 2, floats.dtype)
    words = fired.view(np.uint64)
    seen = np.zeros(widest, np.uint8)
    scratch = np.empty(widest, floats.dtype)
    spikes = np.empty(widest + 1, np.int32)
    cursors = np.zeros(event_offsets.shape[0], np.int64)
    sums = np.zeros(exit_sums.shape[1], np.float64)
    first_step, logged = progress[1], progress[2]
    for recording in range(max(first, progress[0]), last):
        state, held = floats[recording], counters[recording]
        for s in range(cursors.size):
            low, high = event_offsets[s, recording], event_offsets[s, recording + 1]
            cursors[s] = low + np.searchsorted(event_ticks[low:high], first_step)
        sums[:] = exit_sums[recording]
        step, first_step = first_step, 0
        while step < n_ticks:
            if log.shape[1] - logged < most:
                exit_sums[recording] = sums
                progress[0], progress[1], progress[2] = recording, step, logged
                return False
            tick = start_tick + step
            for i in range(order.size):
                p = order[i]
                source = populations[p, SOURCE]
                if source >= 0:
                    cursor, end = cursors[source], event_offsets[source, recording + 1]
                    stop = cursor
                    while stop < end and event_ticks[stop] == step:
                        stop += 1
                    cursors[source] = stop
                    active = event_sources[cursor:stop]
                else:
                    count = advance_population(
                        p, populations, receptors, coefficients, state, held, tick, drive, fired, words, spikes
                    )
                    active = spikes[:count]
                    if populations[p, RECORDED]:
                        for k in range(count):
                            log[LOG_POPULATION, logged] = p
                            log[LOG_RECORDING, logged] = recording
                            log[LOG_TICK, logged] = step
                            log[LOG_SOURCE, logged] = active[k]
                            logged += 1
                spike_counts[recording, p] += active.size
                if active.size:
                    for o in range(outgoing_offsets[p], outgoing_offsets[p + 1]):
                        synaptic_operations[recording, outgoing[o]] += send(
                            outgoing[o],
                            projections,
                            populations,
                            state,
                            tick,
                            weights,
                            offsets,
                            targets,
                            delays,
                            active,
                            seen,
                            scratch,
                        )
            for t in range(traces.shape[0]):
                if tick % traces[t, TRACE_EVERY] == 0:
                    record = tick // traces[t, TRACE_EVERY] - traces[t, TRACE_FIRST_RECORD]
                    place = traces[t, TRACE_PLACE] + record * traces[t, TRACE_NEURONS]
                    for k in range(traces[t, TRACE_NEURONS]):
                        neuron = trace_neurons[traces[t, TRACE_FIRST_NEURON] + k]
                        trace_values[recording, place + k] = state[traces[t, TRACE_STATES] + neuron]
            step += 1
            if exit_population >= 0:
                base = populations[exit_population, STATES]
                highest, total = -np.inf, 0.0
                for k in range(sums.size):
                    sums[k] += state[base + k]
                    highest = max(highest, sums[k])
                for k in range(sums.size):
                    total += np.exp((sums[k] - highest) / smoothing)
                if 1.0 / total > thresholds[step - 1]:
                    break
        exit_ticks[recording] = step
    progress[0], progress[1], progress[2] = last, 0, logged
    return True


def drive_and_advance(p, populations, receptors, coefficients, state, counters, tick, drive, fired, words, spikes):
    """Advance one population by one tick; write which neurons fired into `spikes` and return their number."""
    size, n_receptors = populations[p, SIZE], populations[p, RECEPTORS]
    slot = populations[p, RING] + (tick % populations[p, SLOTS]) * n_receptors * size
    first = populations[p, COUNTERS]
    if populations[p, SIMPLE]:
        # One delta receptor: what arrived is the drive.
        now = state[slot : slot + size]
    else:
        now = drive[:size]
        for r in range(n_receptors):
            receptor = populations[p, FIRST_RECEPTOR] + r
            arrived = state[slot + r * size : slot + (r + 1) * size]
            if receptors[receptor, EXPONENTIAL] < 0:
                for j in range(size):
                    now[j] += arrived[j]
                    arrived[j] = 0
            else:
                place = populations[p, CURRENTS] + receptors[receptor, EXPONENTIAL] * size
                current = state[place : place + size]
                decay, coupling = coefficients[receptors[receptor, DECAY]], receptors[receptor, COUPLING]
                step = receptors[receptor, COUPLING_STEP]
                for j in range(size):
                    now[j] += coefficients[coupling + j * step] * current[j]
                    current[j] = decay * current[j] + arrived[j]
                    arrived[j] = 0
    advance(
        populations[p, MODEL],
        state,
        populations[p, STATES],
        size,
        coefficients,
        populations[p, COEFFICIENTS],
        populations[p, UNIFORM] == 1,
        now,
        counters[first : first + size],
        populations[p, REFRACTORY],
        coefficients[populations[p, BOUND]],
        fired,
    )
    return list_fired(fired, words, size, spikes) if populations[p, SPIKING] else 0


@jit
def list_fired(fired, words, size, spikes):
    """Write the numbers of the neurons that fired into `spikes` and return how many.

    Most are silent, so the flags are looked at as words of eight bytes, and first at eight words together.
    """
    count = done = 0
    if fired.size == 2 * words.size:  # float32: two neurons a word
        k = np.uint64(0)  # unsigned, so that no index is tested for counting from the end
        for block in range(size // 16):
            low = (words[k] | words[k + _ONE]) | (words[k + _TWO] | words[k + _THREE])
            high = (words[k + _FOUR] | words[k + _FIVE]) | (words[k + _SIX] | words[k + _SEVEN])
            if (low | high) != 0:
                for word in range(8 * block, 8 * block + 8):
                    if words[word] != 0:
                        for j in range(2 * word, 2 * word + 2):
                            if fired[j] > 0:
                                spikes[count] = j
                                count += 1
            k += _EIGHT
        done = size // 16 * 16
    for j in range(done, size):
        if fired[j] > 0:
            spikes[count] = j
            count += 1
    return count


@jit
def send(j, projections, populations, state, tick, weights, offsets, targets, delays, active, seen, scratch):
    """Deliver the spikes of one tick over projection `j` and return the number of additions."""
    target, kind, start, count = projections[j, TARGET], projections[j, KIND], projections[j, WEIGHTS], active.size
    size = populations[target, SIZE]
    stride = populations[target, RECEPTORS] * size
    base = populations[target, RING] + projections[j, RECEPTOR] * size
    place = base + ((tick + projections[j, DELAY]) % populations[target, SLOTS]) * stride
    slot = state[place : place + size]
    if kind == DENSE:
        return add_rows(slot, weights, start, size, active, count)
    if kind == CONVOLUTION:
        return add_convolution(slot, weights, start, projections[j, SHAPE:], active, count, scratch)
    rows, columns = offsets[projections[j, OFFSETS] :], targets[projections[j, TARGETS] :]
    if kind == SPARSE:
        return add_sparse(slot, weights, start, rows, columns, active, count)
    if kind == ONCE:
        return add_once(slot, weights, start, rows, columns, active, count, seen)
    slots, late = populations[target, SLOTS], delays[projections[j, DELAYS] :]
    return add_delayed(state[base:], slots, stride, tick, weights, start, rows, columns, late, active, count)


@functools.cache
def engine() -> Any:
    """Return the compiled engine (compiled at its first call, or taken from the disk)."""
    models = (sys.modules[model.__module__] for model in MODELS.values())
    version = digest([_jit, deliver, integrate, sys.modules[__name__], *models])
    population = specialised(drive_and_advance, "advance_population", advance=step_chain(list(MODELS.values())))
    return specialised(run_recordings, f"run_recordings_{version}", cache=True, advance_population=population)

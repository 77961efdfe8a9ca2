"""The engine: all ticks of some recordings in one compiled function, driven by tables.

A network is a few integer tables (see `columns`), one array of weights and one of coefficients, and the addresses of
the steps of its neuron models (see `step`), so that the engine is compiled once for all networks. Every recording has
its own row of state; a recording that is sure is left at once.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from snnsim.backends.cpu.compiler import pointers
from snnsim.backends.cpu.neurons import step as step_module
from snnsim.backends.cpu.neurons import table_columns
from snnsim.backends.cpu.neurons.step import SCRATCH, call_step
from snnsim.backends.cpu.neurons.table_columns import (
    DELAY,
    DELAYS,
    OFFSETS,
    PROJECTION_KIND,
    RECEPTOR,
    RECEPTORS,
    RECORDED,
    RING,
    SHAPE,
    SIZE,
    SLOTS,
    SOURCE,
    STATES,
    TARGET,
    TARGETS,
    WEIGHTS,
)
from snnsim.backends.cpu.recordings import deliver, deliver_frames
from snnsim.backends.cpu.recordings.deliver import (
    CONVOLUTION,
    DELAYED,
    DENSE,
    ONCE,
    SPARSE,
    add_convolution,
    add_delayed,
    add_once,
    add_rows,
    add_sparse,
)
from snnsim.backends.cpu.recordings.deliver_frames import (
    filled,
    multiply_convolution,
    multiply_delayed,
    multiply_largest,
    multiply_rows,
    multiply_sparse,
)
from snnsim.errors import InternalError
from snnsim.numerics import specialise
from snnsim.numerics.specialise import digest, jit, specialised
from snnsim.scores import EXPONENTIAL, LARGEST, LAST, MEAN, SOFTMAX

# Columns of the trace table.
(TRACE_STATES, TRACE_EVERY, TRACE_NEURONS, TRACE_FIRST_NEURON, TRACE_PLACE, TRACE_FIRST_RECORD) = range(6)
# Columns of the frame table, with a row for each source: where its values lie, or -1 where it is given events; how many
# frames a recording has, 1 where it is the same at all ticks.
(FRAME_VALUES, FRAMES) = range(2)
# Rows of the log of spikes.
(LOG_POPULATION, LOG_RECORDING, LOG_TICK, LOG_SOURCE) = range(4)


def run_recordings(
    first,
    last,
    start_tick,
    ends,
    first_recording,
    order,
    steps,
    populations,
    receptors,
    drives,
    outgoing_offsets,
    outgoing,
    projections,
    coefficients,
    thresholds,
    weights,
    offsets,
    targets,
    delays,
    floats,
    counters,
    event_offsets,
    event_ticks,
    event_sources,
    frames,
    frame_ends,
    frame_values,
    held_places,
    traces,
    trace_neurons,
    trace_values,
    exit_thresholds,
    smoothing,
    exit_population,
    exit_score,
    exit_sums,
    spike_counts,
    synaptic_operations,
    exit_ticks,
    log,
    progress,
):
    """Run recordings ``first ... last - 1``, each up to its own end; return False where the log of spikes is full.

    `progress` holds the recording and the tick to go on with, and the number of spikes in the log. Called again with
    a larger log the run goes on as if it had not been interrupted.

    Raises
    ------
    InternalError
        Something is more than was counted.
    """
    widest, most = 0, 0
    for p in range(populations.shape[0]):
        widest = max(widest, populations[p, SIZE])
        most += populations[p, SIZE] if populations[p, RECORDED] else 0
    room = np.empty(SCRATCH, floats.dtype)
    seen = np.zeros(widest, np.uint8)
    scratch = np.empty(widest, floats.dtype)
    spikes = np.empty(widest + 1, np.int32)
    # Sums of each projection whose source is given frames, and how many products they are made of.
    held_sums = np.empty(held_places[-1], floats.dtype)
    held_counts = np.empty(projections.shape[0], np.int64)
    cursors = np.zeros(event_offsets.shape[0], np.int64)
    sums = np.zeros(exit_sums.shape[1], np.float64)
    first_step, logged = progress[1], progress[2]
    for recording in range(max(first, progress[0]), last):
        state, held = floats[recording], counters[recording]
        for s in range(cursors.size):
            low, high = event_offsets[s, recording], event_offsets[s, recording + 1]
            cursors[s] = low + np.searchsorted(event_ticks[low:high], first_step)
        sums[:] = exit_sums[recording]
        held_counts[:] = -1
        step, first_step = first_step, 0
        while step < ends[recording]:
            if log.shape[1] - logged < most:
                exit_sums[recording] = sums
                progress[0], progress[1], progress[2] = recording, step, logged
                return False
            tick = start_tick + step
            for i in range(order.size):
                p = order[i]
                source = populations[p, SOURCE]
                if source >= 0 and frames[source, FRAME_VALUES] >= 0:
                    if step >= frame_ends[source, recording]:
                        continue
                    size, shown = populations[p, SIZE], recording * frames[source, FRAMES]
                    constant = frames[source, FRAMES] == 1
                    place = frames[source, FRAME_VALUES] + (shown if constant else shown + step) * size
                    for o in range(outgoing_offsets[p], outgoing_offsets[p + 1]):
                        synaptic_operations[recording, outgoing[o]] += show(
                            outgoing[o],
                            projections,
                            populations,
                            state,
                            tick,
                            weights,
                            offsets,
                            targets,
                            delays,
                            frame_values[place : place + size],
                            constant,
                            held_places,
                            held_sums,
                            held_counts,
                            spikes,
                            seen,
                            scratch,
                        )
                    continue
                if source >= 0:
                    cursor, end = cursors[source], event_offsets[source, recording + 1]
                    stop = cursor
                    while stop < end and event_ticks[stop] == step:
                        stop += 1
                    cursors[source] = stop
                    active = event_sources[cursor:stop]
                    for k in range(active.size):
                        if active[k] < 0 or active[k] >= populations[p, SIZE]:
                            raise InternalError("an event comes from a source that is not there")
                else:
                    size = populations[p, SIZE]
                    slot = tick % populations[p, SLOTS] * populations[p, RECEPTORS] * size
                    count = call_step(
                        steps[p],
                        populations[p],
                        receptors,
                        drives,
                        coefficients,
                        thresholds,
                        state,
                        held,
                        state[populations[p, RING] + slot :],
                        size,
                        first_recording + recording,
                        tick,
                        0,
                        size,
                        room,
                        spikes,
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
                    if place < 0 or place + traces[t, TRACE_NEURONS] > trace_values.shape[1]:
                        raise InternalError("a trace has more records than were counted")
                    for k in range(traces[t, TRACE_NEURONS]):
                        neuron = trace_neurons[traces[t, TRACE_FIRST_NEURON] + k]
                        trace_values[recording, place + k] = state[traces[t, TRACE_STATES] + neuron]
            step += 1
            if exit_population >= 0:
                base = populations[exit_population, STATES]
                add_to_scores(exit_score, sums, state[base:], step, ends[recording])
                if confidence(exit_score, sums, step, smoothing) > exit_thresholds[step - 1]:
                    break
        exit_ticks[recording] = step
    progress[0], progress[1], progress[2] = last, 0, logged
    return True


@jit
def add_to_scores(score, sums, readout, step, end):
    """Take the readout of tick number `step`, counted from 1, of a recording of `end` ticks into the scores."""
    if score == SOFTMAX:
        highest, total = -np.inf, 0.0
        for k in range(sums.size):
            highest = max(highest, np.float64(readout[k]))
        for k in range(sums.size):
            total += np.exp(np.float64(readout[k]) - highest)
        for k in range(sums.size):
            sums[k] += np.exp(np.float64(readout[k]) - highest) / total
        return
    share = np.exp(-(step - 1) / end) / end if score == EXPONENTIAL else 1.0
    for k in range(sums.size):
        value = readout[k] * share
        if score == LAST or (score == LARGEST and step == 1):
            sums[k] = value
        elif score == LARGEST:
            sums[k] = max(sums[k], value)
        else:
            sums[k] += value


@jit
def confidence(score, sums, step, smoothing):
    """Return the largest softmax probability of the scores after so many ticks; see `snnsim.dynamic_confidence`."""
    parts = step if score == MEAN else 1
    highest, total = -np.inf, 0.0
    for k in range(sums.size):
        highest = max(highest, sums[k] / parts)
    for k in range(sums.size):
        total += np.exp((sums[k] / parts - highest) / smoothing)
    return 1.0 / total


@jit
def send(j, projections, populations, state, tick, weights, offsets, targets, delays, active, seen, scratch):
    """Deliver the spikes of one tick over projection `j` and return the number of additions."""
    target, kind, start, count = (
        projections[j, TARGET],
        projections[j, PROJECTION_KIND],
        projections[j, WEIGHTS],
        active.size,
    )
    size = populations[target, SIZE]
    stride = populations[target, RECEPTORS] * size
    base = populations[target, RING] + projections[j, RECEPTOR] * size
    place = base + ((tick + projections[j, DELAY]) % populations[target, SLOTS]) * stride
    slot = state[place : place + size]
    if kind == DENSE:
        return add_rows(slot, weights, start, size, active, count)
    if kind == CONVOLUTION:
        return add_convolution(slot, weights, start, projections[j, SHAPE:], active, count, scratch)
    rows, table_columns = offsets[projections[j, OFFSETS] :], targets[projections[j, TARGETS] :]
    if kind == SPARSE:
        return add_sparse(slot, weights, start, rows, table_columns, active, count)
    if kind == ONCE:
        return add_once(slot, weights, start, rows, table_columns, active, count, seen)
    slots, late = populations[target, SLOTS], delays[projections[j, DELAYS] :]
    return add_delayed(state[base:], slots, stride, tick, weights, start, rows, table_columns, late, active, count)


@jit
def show(
    j,
    projections,
    populations,
    state,
    tick,
    weights,
    offsets,
    targets,
    delays,
    values,
    constant,
    held_places,
    held_sums,
    held_counts,
    active,
    seen,
    scratch,
):
    """Deliver real values over projection `j` and return the number of products.

    The sums of a frame that is the same at all ticks are made once a recording: ``held_counts[j]`` is -1 before.
    """
    target, kind, start = projections[j, TARGET], projections[j, PROJECTION_KIND], projections[j, WEIGHTS]
    size, slots = populations[target, SIZE], populations[target, SLOTS]
    stride = populations[target, RECEPTORS] * size
    base = populations[target, RING] + projections[j, RECEPTOR] * size
    rows, table_columns = offsets[projections[j, OFFSETS] :], targets[projections[j, TARGETS] :]
    if kind == DELAYED:
        count, late = filled(values, values.size, active), delays[projections[j, DELAYS] :]
        return multiply_delayed(
            state[base:], slots, stride, tick, weights, start, rows, table_columns, late, values, active, count
        )
    sums = held_sums[held_places[j] : held_places[j + 1]]
    if not constant or held_counts[j] < 0:
        count = filled(values, values.size, active)
        sums[:] = 0
        if kind == DENSE:
            held_counts[j] = multiply_rows(sums, weights, start, size, values, active, count)
        elif kind == CONVOLUTION:
            held_counts[j] = multiply_convolution(
                sums, weights, start, projections[j, SHAPE:], values, active, count, scratch
            )
        elif kind == SPARSE:
            held_counts[j] = multiply_sparse(sums, weights, start, rows, table_columns, values, active, count)
        else:
            held_counts[j] = multiply_largest(sums, weights, start, rows, table_columns, values, values.size, seen)
    place = base + ((tick + projections[j, DELAY]) % slots) * stride
    for n in range(size):
        state[place + n] += sums[n]
    return held_counts[j]


@functools.cache
def engine() -> Any:
    """Return the compiled engine (compiled at its first call, or taken from the disk)."""
    version = digest([specialise, table_columns, deliver, deliver_frames, pointers, step_module, sys.modules[__name__]])
    return specialised(run_recordings, f"run_recordings_{version}", cache=True)

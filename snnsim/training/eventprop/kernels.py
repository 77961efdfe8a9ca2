r"""One sample forward and backward by EventProp with delays, compiled.

Forward is the arithmetic of `snnsim.neurons.lif` and of the `Exponential` receptor, and its spikes are stored. Backward
runs from the last tick to the first with a = dL/dV and b = dL/dI (Wunderlich and Pehle 2021,
doi:10.1038/s41598-021-91786-z; delays: Meszaros, Knight and Nowotny 2025, doi:10.1038/s41467-025-65394-8). Between
events both follow the transpose of the forward propagator, which has no singularity where the time constants are equal:

    b <- s b + c a,    a <- l a        (V <- l V + c I, I <- s I forward)

An arrival of weight w at tick t has dL/dw = b(t) and dL/dt = w (b(t) / tau_s - a(t) / tau); this is dL/d(delay), and
summed over all targets of a spike it is R = dL/d(time of the spike). At a spike, with x = tau dV/dt just before it,
which is I - V (plus rest and bias) and on ticks tau (V(t) - V(t - 1)), threshold theta and reset r,

    a <- ((x + theta - r) a - tau R) / x + dL/d(number of spikes)

What is to come is kept in a window of rows of neurons, one row a tick. The row of the present tick moves through the
window; at its end the rows still needed, longest delay + 1, are moved back to its other end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from snnsim.neurons import lif, receptors
from snnsim.numerics.compilation import kernel_with, leaf

kernel = kernel_with(lif, receptors)

integrate = leaf(lif.integrate)
reset = leaf(lif.reset)
seen = leaf(receptors.exponential_seen)
follow = leaf(receptors.exponential_follow)
Membrane = lif.Coefficients
Receptor = receptors.ExponentialCoefficients

#: What a readout makes of the membrane V(t): a weighted sum, the largest value and its tick, or all values.
SUM, LARGEST, EVERY = 0, 1, 2


class Wiring(NamedTuple):
    """Populations and synapses as arrays. Neurons of all populations but inputs are numbered through.

    Parameters
    ----------
    order : populations in the order of a tick
    first, size : first neuron and number of neurons of each population
    given : number of each population among the inputs, -1 for neurons
    population : population of each neuron
    sent_begin, sent : projections of each population: ``sent[sent_begin[k]:sent_begin[k + 1]]``
    base, rows : synapses of source i of projection p: from ``rows[base[p] + i]`` to ``rows[base[p] + i + 1]``
    place : of each synapse, delay in ticks times the number of neurons, plus the neuron (uint32)
    depth : rows that are needed of a window: longest delay + 1
    """

    order: Any
    first: Any
    size: Any
    given: Any
    population: Any
    sent_begin: Any
    sent: Any
    base: Any
    rows: Any
    place: Any
    depth: Any


class Neurons(NamedTuple):
    """Coefficients of all neurons, each of shape (neurons,).

    Parameters
    ----------
    decay, gain, offset, threshold, subtract, reset_value : those of `snnsim.neurons.lif`
    current_decay, coupling : those of the receptor
    level : smallest membrane that fires; inf for a readout
    drive : what the membrane relaxes to without current
    drop : threshold minus the membrane after a reset
    tau, current_tau : time constants in ticks
    least : least x = tau dV/dt at a spike that counts
    initial : membrane before the first tick
    """

    decay: Any
    gain: Any
    offset: Any
    threshold: Any
    subtract: Any
    reset_value: Any
    current_decay: Any
    coupling: Any
    level: Any
    drive: Any
    drop: Any
    tau: Any
    current_tau: Any
    least: Any
    initial: Any


class Given(NamedTuple):
    """Events of the inputs: those of input k of a sample are ``begin[sample, k] ... end[sample, k] - 1``."""

    ticks: Any
    sources: Any
    begin: Any
    end: Any


@kernel
def send(window: Any, base: Any, wiring: Any, weights: Any, row: int) -> None:
    """Add the weights of a row of synapses to what is to arrive."""
    place = wiring.place
    for s in range(wiring.rows[row], wiring.rows[row + 1]):
        window[base + place[s]] += weights[s]


@kernel
def run_sample(
    sample: int,
    ticks: int,
    wiring: Any,
    neurons: Any,
    weights: Any,
    given: Any,
    mode: int,
    shares: Any,
    window: Any,
    states: Any,
    pointers: Any,
    now: Any,
    readout: Any,
    largest: Any,
    counts: Any,
    fired_ticks: Any,
    fired: Any,
    slopes: Any,
) -> int:
    """Run a sample and return how many spikes it has, which may be more than there was room for.

    Parameters
    ----------
    sample, ticks : int
    wiring : Wiring
    neurons : Neurons
    weights : ndarray, shape (synapses,)
    given : Given
    mode : int
        `SUM`, `LARGEST` or `EVERY`.
    shares : ndarray, shape (ticks,)
        Factor of each tick in the sum.
    window, states, pointers, now : ndarray, shape (rows * neurons,), (2, neurons), (inputs,), (neurons,)
        Work space.
    readout : ndarray, shape (1 or ticks, classes)
        Out.
    largest : ndarray of int64, shape (classes,)
        Out: tick of the largest value.
    counts : ndarray, shape (neurons,)
        Out: spikes of each neuron.
    fired_ticks, fired, slopes : ndarray, shape (room,)
        Out: tick, neuron and tau dV/dt of each spike.
    """
    n = states.shape[1]
    depth, rows = wiring.depth, window.shape[0] // n
    membrane, current = states[0], states[1]
    one = weights.dtype.type(1)
    output = n - readout.shape[1]  # the readout has the last numbers
    window[:] = 0
    current[:] = 0
    membrane[:] = neurons.initial
    counts[:] = 0
    readout[:] = -np.inf if mode == LARGEST else 0
    largest[:] = 0
    pointers[:] = given.begin[sample]
    row, spikes, room = 0, 0, fired.shape[0]
    for tick in range(ticks):
        if row + depth > rows:
            kept = (depth - 1) * n  # what can have been sent from the rows before
            window[:kept] = window[row * n :]
            window[kept:] = 0
            row = 0
        base = np.uint64(row * n)
        for k in wiring.order:
            sent = wiring.sent[wiring.sent_begin[k] : wiring.sent_begin[k + 1]]
            number = wiring.given[k]
            if number >= 0:
                start, stop = pointers[number], pointers[number]
                while stop < given.end[sample, number] and given.ticks[stop] == tick:
                    stop += 1
                pointers[number] = stop
                for p in sent:
                    for event in range(start, stop):
                        send(window, base, wiring, weights, wiring.base[p] + given.sources[event])
                continue
            first, found = wiring.first[k], 0
            for i in range(first, first + wiring.size[k]):
                c = Membrane(
                    neurons.decay[i],
                    neurons.gain[i],
                    neurons.offset[i],
                    neurons.threshold[i],
                    neurons.subtract[i],
                    neurons.reset_value[i],
                )
                r = Receptor(neurons.current_decay[i], neurons.coupling[i])
                old, flow = membrane[i], current[i]
                (v,) = integrate(old, seen(flow, r)[0], c)
                (current[i],) = follow(flow, window[base + np.uint64(i)], r)
                if v >= neurons.level[i]:
                    if spikes < room:
                        fired_ticks[spikes], fired[spikes] = tick, i
                        slopes[spikes] = max(neurons.tau[i] * (v - old), neurons.least[i])
                    spikes += 1
                    counts[i] += one
                    now[found] = i - first
                    found += 1
                    (v,) = reset(v, one, c)
                membrane[i] = v
            for p in sent:
                for j in range(found):
                    send(window, base, wiring, weights, wiring.base[p] + now[j])
        for j in range(readout.shape[1]):
            v = membrane[output + j]
            if mode == SUM:
                readout[0, j] += shares[tick] * v
            elif mode == EVERY:
                readout[tick, j] = v
            elif v > readout[0, j]:
                readout[0, j], largest[j] = v, tick
        row += 1
    return spikes


@leaf
def collect(coming: Any, base: Any, wiring: Any, row: int, by_weight: Any, by_delay: Any) -> None:
    """Add what a spike makes of its synapses' gradients."""
    place = wiring.place
    for s in range(wiring.rows[row], wiring.rows[row + 1]):
        at = base + place[s]
        by_weight[s] += coming[at, 0]
        by_delay[s] += coming[at, 1]


@leaf
def collect_time(
    coming: Any, base: Any, wiring: Any, weights: Any, row: int, by_weight: Any, by_delay: Any, total: Any
) -> Any:
    """Do as `collect` and return `total` plus dL/d(time of the spike) of these synapses."""
    place = wiring.place
    for s in range(wiring.rows[row], wiring.rows[row + 1]):
        at = base + place[s]
        later = coming[at, 1]
        by_weight[s] += coming[at, 0]
        by_delay[s] += later
        total += weights[s] * later
    return total


@kernel
def reverse_sample(
    sample: int,
    ticks: int,
    wiring: Any,
    neurons: Any,
    weights: Any,
    given: Any,
    mode: int,
    shares: Any,
    coming: Any,
    adjoints: Any,
    pointers: Any,
    gradient: Any,
    largest: Any,
    by_count: Any,
    fired_ticks: Any,
    fired: Any,
    slopes: Any,
    by_weight: Any,
    by_delay: Any,
) -> None:
    """Go back through a sample that `run_sample` ran, and add to the gradients.

    Parameters
    ----------
    coming : ndarray, shape (rows * neurons, 2)
        Work space: for each tick from the present one on, b, and b / tau_s - a / tau.
    adjoints : ndarray, shape (2, neurons)
        Work space: a and b.
    gradient : ndarray, shape (1 or ticks, classes)
        That of the readout.
    by_count : ndarray, shape (neurons,)
        Gradient of the number of spikes of each neuron.
    fired_ticks, fired, slopes : ndarray, shape (spikes,)
        As `run_sample` left them.
    by_weight, by_delay : ndarray, shape (synapses,)
        dL/dw and dL/d(delay in ticks) / w are added to these.
    """
    n = adjoints.shape[1]
    depth, rows = wiring.depth, coming.shape[0] // n
    a, b, half = adjoints[0], adjoints[1], weights.dtype.type(0.5)
    output, row, spike = n - gradient.shape[1], rows - depth + 1, fired.shape[0] - 1
    adjoints[:] = 0
    coming[:] = 0
    pointers[:] = given.end[sample]
    for tick in range(ticks - 1, -1, -1):
        row -= 1
        if row < 0:
            row = rows - depth
            coming[(row + 1) * n :] = coming[: (depth - 1) * n]
        base = np.uint64(row * n)
        for i in range(n):
            b[i] = neurons.current_decay[i] * b[i] + neurons.gain[i] * neurons.coupling[i] * a[i]
            a[i] = neurons.decay[i] * a[i]
            coming[base + np.uint64(i), 0] = b[i]
            coming[base + np.uint64(i), 1] = b[i] / neurons.current_tau[i] - a[i] / neurons.tau[i]
        for j in range(gradient.shape[1]):
            if mode == SUM:
                jump = shares[tick] * gradient[0, j]
            elif mode == EVERY:
                jump = gradient[tick, j]
            else:
                jump = gradient[0, j] if largest[j] == tick else half * 0
            a[output + j] += jump
            # The loss looks at the membrane at this very tick; an arrival is half before and half after that.
            coming[base + np.uint64(output + j), 1] -= half * jump / neurons.tau[output + j]
        while spike >= 0 and fired_ticks[spike] == tick:
            i, x = fired[spike], slopes[spike]
            k = wiring.population[i]
            time = a[i] * 0
            for p in wiring.sent[wiring.sent_begin[k] : wiring.sent_begin[k + 1]]:
                line = wiring.base[p] + i - wiring.first[k]
                time = collect_time(coming, base, wiring, weights, line, by_weight, by_delay, time)
            a[i] = ((x + neurons.drop[i]) * a[i] - neurons.tau[i] * time) / x + by_count[i]
            spike -= 1
        for k in range(wiring.given.shape[0]):
            number = wiring.given[k]
            if number < 0:
                continue
            event = pointers[number] - 1
            while event >= given.begin[sample, number] and given.ticks[event] == tick:
                for p in wiring.sent[wiring.sent_begin[k] : wiring.sent_begin[k + 1]]:
                    collect(coming, base, wiring, wiring.base[p] + given.sources[event], by_weight, by_delay)
                event -= 1
            pointers[number] = event + 1

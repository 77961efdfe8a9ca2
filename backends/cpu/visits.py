r"""Neurons visited only when an event reaches them.

Between events a leaky membrane V with exponential currents I_r has a closed form: after n ticks without input

.. math:: V_n = \lambda^n V + b \frac{1-\lambda^n}{1-\lambda}
                + \sum_r g_r I_r \frac{\lambda^n-\rho_r^n}{\lambda-\rho_r}, \qquad I_{r,n} = \rho_r^n I_r

with b the offset of a tick, g_r gain times coupling of receptor r (Rotter and Diesmann 1999,
doi:10.1007/s004220050570). So a neuron may be left alone until its next event, unless it can reach its threshold
before: V never exceeds max(V, b / (1 - λ)) + Σ max(0, g_r I_r) max_n (λⁿ-ρ_rⁿ)/(λ-ρ_r). Where this bound reaches the
threshold, the neuron is visited at the next tick too.

The tick in which a neuron is visited is computed by the arithmetic of its model, as in every other tick.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu._jit import bare
from snnsim.backends.cpu.columns import (
    BOUND,
    COEFFICIENTS,
    COUNTERS,
    FIRST_RECEPTOR,
    KIND,
    RECEPTOR_COEFFICIENTS,
    RECEPTOR_STATES,
    RECEPTOR_UNIFORM,
    RECEPTORS,
    REFRACTORY,
    SIZE,
    SPIKING,
    STATE,
    STATES,
    UNIFORM,
)
from snnsim.backends.cpu.long_parts import TOUCHED
from snnsim.network import Network
from snnsim.neurons import LI, LIF, Delta, Exponential

# Columns of the table of visits, and the blocks of values of a population: one number a block, or one a neuron.
(FIRST_VALUE, STEP, LENGTH) = range(3)
(LOG_DECAY, RISE, SETTLED, THRESHOLD, FIRST_CURRENT) = range(5)
# Blocks of each exponential receptor after FIRST_CURRENT. DIFFERENCE is 1 / (λ - ρ), or 0 where both are the same.
(LOG_CURRENT_DECAY, FACTOR, DIFFERENCE, PEAK) = range(4)
_CURRENT_BLOCKS = 4
#: Place of Delta among the receptors of LIF and LI.
_DELTA = LIF.receptor_kinds.index(Delta)
#: Two decays closer than this are taken as one; the difference of their powers would hold noise.
_SAME = 1e-9
#: How far below the threshold, in shares of it, the bound must stay for a neuron to be left alone.
_MARGIN = 1e-5


def can_be_visited(network: Network, population: int) -> bool:
    """Return whether a population's model has the closed form above."""
    item = network.populations[population]
    model = item.model
    return (
        isinstance(model, (LIF, LI))
        and not getattr(item, "drive", ())
        and all(type(receptor).__name__ in ("Delta", "Exponential") for receptor in model.receptors)
    )


def visit_tables(network: Network, by_events: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the table of visits and its values, for the populations marked in `by_events`."""
    table = np.zeros((len(network.populations), LENGTH + 1), np.int64)
    values: list[NDArray[np.float64]] = [np.zeros(1)]
    start = 1
    for number in np.flatnonzero(by_events):
        blocks = closed_form(network, int(number))
        length = max(np.size(block) for block in blocks)
        table[number] = start, int(length > 1), length
        for block in blocks:
            values.append(np.broadcast_to(np.asarray(block, np.float64), (length,)))
            start += length
    return table, np.concatenate(values)


def closed_form(network: Network, number: int) -> list[Any]:
    """Return the blocks of values of a population: one number each, or one a neuron."""
    model = network.populations[number].model
    assert isinstance(model, (LIF, LI))
    coefficients = model.coefficients(network.dt)
    decay, offset = np.asarray(coefficients.decay, np.float64), np.asarray(coefficients.offset, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_decay = np.log(decay)
        leaks = decay < 1
        rise = np.where(leaks, 1 / np.where(leaks, 1 - decay, 1.0), 0.0)
        settled = np.where(leaks, offset * rise, np.where(offset > 0, np.inf, -np.inf))
    threshold = np.asarray(getattr(coefficients, "threshold", np.inf), np.float64)
    blocks: list[Any] = [log_decay, rise, settled, threshold]
    for receptor in model.receptors:
        if not isinstance(receptor, Exponential):
            continue
        current, coupling = model.receptor_coefficients(receptor, network.dt)
        factor = np.asarray(coefficients.gain * coupling, np.float64)
        apart = np.abs(decay - current) > _SAME
        difference = np.where(apart, 1 / np.where(apart, decay - current, 1.0), 0.0)
        blocks += [np.full_like(factor, math.log(current)), factor, difference, _peak(decay, current)]
    return blocks


def _peak(decay: NDArray[np.float64], current: float) -> NDArray[np.float64]:
    """Return an upper bound of (decayⁿ - currentⁿ) / (decay - current) over n."""
    peak = np.ones_like(decay)  # n = 1
    for index in np.ndindex(decay.shape):
        a, d = float(decay[index]), current
        if a <= 0 or a >= 1:
            peak[index] = 1.0 if a <= 0 else 1 / (1 - d)
            continue
        la, ld = math.log(a), math.log(d)
        n = 1 / -la if abs(a - d) <= _SAME else math.log(ld / la) / (la - ld)
        n = max(n, 1.0)
        peak[index] = n * math.exp((n - 1) * la) if abs(a - d) <= _SAME else (a**n - d**n) / (a - d)
    return np.maximum(peak, 1.0)


@bare
def silent_current(current, ticks, log_decay):
    """Return a current after ticks without arrivals."""
    return current * math.exp(ticks * log_decay) if ticks > 0 and current != 0 else current


@bare
def silent_response(ticks, log_decay, log_current_decay, difference):
    """Return (λⁿ - ρⁿ) / (λ - ρ) for n ticks."""
    if ticks == 0:
        return 0.0
    if difference == 0:
        return ticks * math.exp((ticks - 1) * log_decay)
    return (math.exp(ticks * log_decay) - math.exp(ticks * log_current_decay)) * difference


@bare
def silent_membrane(shared, run, p, neuron, ticks):
    """Return the membrane after so many ticks without input, from the tick up to which it is advanced."""
    populations, receptors = shared.populations, shared.receptors
    size = populations[p, SIZE]
    step, length = shared.visit_table[p, STEP], shared.visit_table[p, LENGTH]
    place = shared.visit_table[p, FIRST_VALUE] + neuron * step
    values = shared.visit_values
    log_decay = values[place + LOG_DECAY * length]
    membrane = np.float64(run.floats[populations[p, STATES] + neuron])
    held = min(ticks, np.int64(run.held[populations[p, COUNTERS] + neuron]))
    free = ticks - held
    if free > 0:
        rise = values[place + RISE * length]
        left = math.exp(free * log_decay)
        c = populations[p, COEFFICIENTS] + (0 if populations[p, UNIFORM] else neuron)
        width = 1 if populations[p, UNIFORM] else size
        offset = np.float64(shared.coefficients[c + 2 * width])
        grown = (1 - left) * rise if rise > 0 else np.float64(free)
        membrane = left * membrane + offset * grown
        current_place = place + FIRST_CURRENT * length
        for r in range(populations[p, RECEPTORS]):
            row = populations[p, FIRST_RECEPTOR] + r
            if receptors[row, KIND] == _DELTA:
                continue
            where = populations[p, RECEPTOR_STATES] + receptors[row, STATE] * size + neuron
            log_current = values[current_place + LOG_CURRENT_DECAY * length]
            current = silent_current(np.float64(run.floats[where]), held, log_current)
            if current != 0:
                membrane += (
                    values[current_place + FACTOR * length]
                    * current
                    * silent_response(free, log_decay, log_current, values[current_place + DIFFERENCE * length])
                )
            current_place += _CURRENT_BLOCKS * length
    return membrane


@bare
def pass_over(shared, run, p, neuron, ticks):
    """Advance a neuron by ticks without input."""
    if ticks <= 0:
        return
    populations, receptors = shared.populations, shared.receptors
    size = populations[p, SIZE]
    run.floats[populations[p, STATES] + neuron] = silent_membrane(shared, run, p, neuron, ticks)
    held = run.held[populations[p, COUNTERS] + neuron]
    if held > 0:
        run.held[populations[p, COUNTERS] + neuron] = max(np.int64(held) - ticks, 0)
    length = shared.visit_table[p, LENGTH]
    place = shared.visit_table[p, FIRST_VALUE] + neuron * shared.visit_table[p, STEP] + FIRST_CURRENT * length
    for r in range(populations[p, RECEPTORS]):
        row = populations[p, FIRST_RECEPTOR] + r
        if receptors[row, KIND] == _DELTA:
            continue
        where = populations[p, RECEPTOR_STATES] + receptors[row, STATE] * size + neuron
        run.floats[where] = silent_current(np.float64(run.floats[where]), ticks, shared.visit_values[place])
        place += _CURRENT_BLOCKS * length


@bare
def may_fire(shared, run, p, neuron):
    """Return whether a neuron can reach its threshold without another event."""
    populations, receptors = shared.populations, shared.receptors
    if not populations[p, SPIKING]:
        return False
    size, values = populations[p, SIZE], shared.visit_values
    step, length = shared.visit_table[p, STEP], shared.visit_table[p, LENGTH]
    place = shared.visit_table[p, FIRST_VALUE] + neuron * step
    threshold = values[place + THRESHOLD * length]
    highest = max(np.float64(run.floats[populations[p, STATES] + neuron]), values[place + SETTLED * length])
    current_place = place + FIRST_CURRENT * length
    for r in range(populations[p, RECEPTORS]):
        row = populations[p, FIRST_RECEPTOR] + r
        if receptors[row, KIND] == _DELTA:
            continue
        where = populations[p, RECEPTOR_STATES] + receptors[row, STATE] * size + neuron
        pull = values[current_place + FACTOR * length] * np.float64(run.floats[where])
        if pull > 0:
            highest += pull * values[current_place + PEAK * length]
        current_place += _CURRENT_BLOCKS * length
    return highest >= threshold - _MARGIN * abs(threshold)


@bare
def one_tick(part, shared, run, p, neuron):
    """Advance a neuron by one tick with what arrived; return whether it fires. The arithmetic of LIF and LI."""
    populations, receptors = shared.populations, shared.receptors
    floats, coefficients = run.floats, shared.coefficients
    dtype = floats.dtype.type
    size, own, low = populations[p, SIZE], part.high[p] - part.low[p], part.low[p]
    drive = dtype(0)
    for r in range(populations[p, RECEPTORS]):
        row = populations[p, FIRST_RECEPTOR] + r
        place = part.base[p] + r * own + neuron - low
        arrived = part.plane[place]
        part.plane[place] = dtype(0)
        if receptors[row, KIND] == _DELTA:
            drive = drive + arrived
        else:
            where = populations[p, RECEPTOR_STATES] + receptors[row, STATE] * size + neuron
            width = 1 if receptors[row, RECEPTOR_UNIFORM] else size
            c = receptors[row, RECEPTOR_COEFFICIENTS] + (0 if receptors[row, RECEPTOR_UNIFORM] else neuron)
            drive = drive + coefficients[c + width] * floats[where]
            floats[where] = coefficients[c] * floats[where] + arrived
    uniform = populations[p, UNIFORM]
    c, width = populations[p, COEFFICIENTS] + (0 if uniform else neuron), 1 if uniform else size
    where, counter = populations[p, STATES] + neuron, populations[p, COUNTERS] + neuron
    if run.held[counter] > 0:
        run.held[counter] -= 1
        return False
    membrane = coefficients[c] * floats[where] + (coefficients[c + width] * drive + coefficients[c + 2 * width])
    floats[where] = membrane
    if not populations[p, SPIKING] or membrane - coefficients[c + 3 * width] < coefficients[populations[p, BOUND]]:
        return False
    subtract, value = coefficients[c + 4 * width], coefficients[c + 5 * width]
    landing = subtract * (membrane - coefficients[c + 3 * width]) + value
    floats[where] = landing + (membrane - membrane)
    run.held[counter] = populations[p, REFRACTORY]
    return True


@bare
def sort_first(numbers, count):
    """Sort the first `count` numbers in place (Shell's method: few comparisons for few numbers, and no memory)."""
    gap = 1
    while 3 * gap < count:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, count):
            number, j = numbers[i], i
            while j >= gap and numbers[j - gap] > number:
                numbers[j] = numbers[j - gap]
                j -= gap
            numbers[j] = number
        gap //= 3


@bare
def visit_population(part, shared, run, numbers, tick, p, following):
    """Visit the listed neurons of a population; return how many fired, in `part.fired`, and how many are to be next.

    Neurons that may fire unaided go to the list of the next tick, from place `following` on.
    """
    low, own, base = part.low[p], part.high[p] - part.low[p], part.base[p]
    counters = shared.populations[p, COUNTERS]
    count = visits = 0
    for i in range(numbers[TOUCHED]):
        slot = part.lists[0, i]
        if slot < base or slot >= base + own:
            continue
        neuron = low + slot - base
        pass_over(shared, run, p, neuron, tick - run.visited[counters + neuron])
        if one_tick(part, shared, run, p, neuron):
            part.fired[count] = neuron
            count += 1
        run.visited[counters + neuron] = tick + 1
        visits += 1
        if may_fire(shared, run, p, neuron):
            part.lists[1, following] = slot
            following += 1
    sort_first(part.fired, count)
    run.updates[part.number, p] += visits
    return count, following


@bare
def list_ready(part, shared, run, numbers):
    """Put the neurons that may fire unaided into the list of this tick."""
    n = 0
    for p in range(shared.order.size):
        if shared.by_events[p]:
            for neuron in range(part.low[p], part.high[p]):
                if may_fire(shared, run, p, neuron):
                    slot = part.base[p] + neuron - part.low[p]
                    part.marks[slot] = 1
                    part.lists[0, n] = slot
                    n += 1
    numbers[TOUCHED] = n

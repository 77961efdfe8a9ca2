"""Neurons visited only when an event reaches them.

Between events a leaky membrane with exponential currents has a closed form (`snnsim.neurons.membrane.silent_ticks`), so
a neuron may be left alone until its next event, unless it can reach its threshold before: with V its membrane, b / (1 -
λ) where that settles, g_r I_r what its currents add to it in a tick and R_r the response to them, it never exceeds

    max(V, b / (1 - λ)) + Σ max(0, g_r I_r) max_n R_r(n)

Where this bound reaches the threshold, the neuron is visited at the next tick too. The tick of a visit is computed by
the arithmetic of the model, as every other tick.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu.neurons.table_columns import (
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
from snnsim.backends.cpu.parts.records import TOUCHED
from snnsim.errors import InternalError
from snnsim.network.network import Network
from snnsim.neurons import LIF, Delta, NeuronModel
from snnsim.neurons.membrane.silent_ticks import closed_form, has_closed_form
from snnsim.numerics.specialise import bare

# Columns of the table of visits, and the blocks of values of a population: one number a block, or one a neuron.
(FIRST_VALUE, STEP, LENGTH) = range(3)
(LOG_DECAY, RISE, SETTLED, THRESHOLD, FIRST_CURRENT) = range(5)
# Blocks of each exponential receptor after FIRST_CURRENT.
(LOG_CURRENT_DECAY, FACTOR, APART, SHARE, PEAK) = range(5)
_CURRENT_BLOCKS = 5
#: Place of Delta among the receptors of LIF and LI.
_DELTA = LIF.receptor_kinds.index(Delta)
#: How far below the threshold, in shares of what is added up, the bound must stay for a neuron to be left alone.
_MARGIN = 1e-5


def can_be_visited(network: Network, population: int) -> bool:
    """Return whether a population's model has a closed form, and nothing reaches its neurons at every tick."""
    item = network.populations[population]
    return has_closed_form(item.model) and not getattr(item, "drive", ())


def visit_tables(network: Network, by_events: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the table of visits and its values, for the populations marked in `by_events`."""
    table = np.zeros((len(network.populations), LENGTH + 1), np.int64)
    values: list[NDArray[np.float64]] = [np.zeros(1)]
    start = 1
    for number in np.flatnonzero(by_events):
        model = network.populations[number].model
        assert isinstance(model, NeuronModel)
        form = closed_form(model, network.dt)
        blocks = [form.log_decay, form.rise, form.settled, form.threshold]
        blocks += [block for current in form.currents for block in current]
        length = max(block.size for block in blocks)
        table[number] = start, int(length > 1), length
        for block in blocks:
            values.append(np.broadcast_to(block, (length,)))
            start += length
    return table, np.concatenate(values)


@bare
def silent_current(current, ticks, log_decay):
    """Return a current after ticks without arrivals."""
    return current * math.exp(ticks * log_decay) if ticks > 0 and current != 0 else current


@bare
def silent_response(ticks, log_decay, log_current_decay, apart, share):
    """Return the response R to a current after ticks; see `snnsim.neurons.membrane.silent_ticks`."""
    grown = -math.expm1(-ticks * apart) * share if apart > 0 else np.float64(ticks)
    return grown * math.exp((ticks - 1) * max(log_decay, log_current_decay)) if ticks > 1 else grown


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
        c = populations[p, COEFFICIENTS] + (0 if populations[p, UNIFORM] else neuron)
        width = 1 if populations[p, UNIFORM] else size
        offset = np.float64(shared.coefficients[c + 2 * width])
        membrane *= math.exp(free * log_decay)
        if offset != 0:
            rise = values[place + RISE * length]
            membrane += offset * (-math.expm1(free * log_decay) * rise if rise > 0 else np.float64(free))
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
                    * silent_response(
                        free,
                        log_decay,
                        log_current,
                        values[current_place + APART * length],
                        values[current_place + SHARE * length],
                    )
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
    size_of_all = abs(threshold) + abs(highest)
    current_place = place + FIRST_CURRENT * length
    for r in range(populations[p, RECEPTORS]):
        row = populations[p, FIRST_RECEPTOR] + r
        if receptors[row, KIND] == _DELTA:
            continue
        where = populations[p, RECEPTOR_STATES] + receptors[row, STATE] * size + neuron
        pull = values[current_place + FACTOR * length] * np.float64(run.floats[where])
        if pull > 0:
            highest += pull * values[current_place + PEAK * length]
            size_of_all += pull * values[current_place + PEAK * length]
        current_place += _CURRENT_BLOCKS * length
    return highest >= threshold - _MARGIN * size_of_all


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
def arrives(plane, place, own, n_receptors):
    """Return whether any receptor of a neuron has input in this tick."""
    found = False
    for r in range(n_receptors):
        found |= plane[place + r * own] != 0
    return found


@bare
def visit_population(part, shared, run, numbers, tick, p, following):
    """Visit the listed neurons of a population; return how many fired, in `part.fired`, and how many are to be next.

    Neurons that may fire unaided go to the list of the next tick, from place `following` on.
    """
    low, own, base = part.low[p], part.high[p] - part.low[p], part.base[p]
    counters, n_receptors = shared.populations[p, COUNTERS], shared.populations[p, RECEPTORS]
    count = visits = 0
    for i in range(numbers[TOUCHED]):
        slot = part.lists[0, i]
        if slot < base or slot >= base + own:
            continue
        neuron = low + slot - base
        # What adds up to nothing is no event: a run that goes on from a state cannot tell that it was on its way.
        if not arrives(part.plane, slot, own, n_receptors) and not may_fire(shared, run, p, neuron):
            continue
        pass_over(shared, run, p, neuron, tick - run.visited[counters + neuron])
        if one_tick(part, shared, run, p, neuron):
            part.fired[count] = neuron
            count += 1
        run.visited[counters + neuron] = tick + 1
        visits += 1
        if may_fire(shared, run, p, neuron):
            if following >= part.lists.shape[1]:
                raise InternalError("a part lists more neurons to visit than it has")
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

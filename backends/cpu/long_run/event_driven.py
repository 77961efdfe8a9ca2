"""Neurons visited only when an event reaches them.

Between events a leaky membrane with exponential currents has a closed form, and a bound that it never exceeds unaided
(`snnsim.neurons.membrane.silent_ticks`); so a neuron may be left alone until its next event, unless the bound reaches
its threshold: then it is visited at the next tick too. The tick of a visit is computed by the arithmetic of the model
(`snnsim.neurons.lif`, of which LI is the part that does not fire) and of its receptors, as every other tick.
"""

from __future__ import annotations

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
from snnsim.neurons import LI, LIF, Delta, NeuronModel, lif
from snnsim.neurons.arithmetic.closed_form import CurrentForm, MembraneForm
from snnsim.neurons.membrane import silent_ticks
from snnsim.neurons.receptors import ExponentialCoefficients, exponential_follow, exponential_seen
from snnsim.numerics.specialise import bare

# Columns of the table of visits, and the blocks of values of a population: one number a block, or one a neuron. First
# those of the membrane, then those of each exponential receptor, in the order of their NamedTuples.
(FIRST_VALUE, STEP, LENGTH) = range(3)
_FIRST_CURRENT, _CURRENT_BLOCKS = len(MembraneForm._fields), len(CurrentForm._fields)
(_LOG_DECAY, _RISE, _SETTLED, _THRESHOLD) = (
    MembraneForm._fields.index(name) for name in ("log_decay", "rise", "settled", "threshold")
)
(_LOG_CURRENT_DECAY, _FACTOR, _APART, _SHARE, _PEAK) = (
    CurrentForm._fields.index(name) for name in ("log_decay", "factor", "apart", "share", "peak")
)
# Rows of coefficients. LI has the first three of LIF.
(_DECAY, _GAIN, _OFFSET, _LEVEL, _SUBTRACT, _RESET_VALUE) = (
    lif.Coefficients._fields.index(name) for name in ("decay", "gain", "offset", "threshold", "subtract", "reset_value")
)
_LEAK = LI.arithmetic.coefficients._fields  # type: ignore[attr-defined]
assert tuple(lif.Coefficients._fields[row] for row in (_DECAY, _GAIN, _OFFSET)) == _LEAK
(_CURRENT_DECAY, _COUPLING) = (ExponentialCoefficients._fields.index(name) for name in ("decay", "coupling"))
#: Place of Delta among the receptors of LIF and LI.
_DELTA = LIF.receptor_kinds.index(Delta)
#: How far below the threshold, in shares of what is added up, the bound must stay for a neuron to be left alone.
_MARGIN = 1e-5

_silent, _silent_current, _response, _bound = (
    bare(function)
    for function in (
        silent_ticks.silent,
        silent_ticks.silent_current,
        silent_ticks.response,
        silent_ticks.bound,
    )
)
_integrate, _distance, _reset = bare(lif.integrate), bare(lif.distance), bare(lif.reset)
_seen, _follow = bare(exponential_seen), bare(exponential_follow)


def can_be_visited(network: Network, population: int) -> bool:
    """Return whether a population's model has a closed form, and nothing reaches its neurons at every tick."""
    item = network.populations[population]
    model = item.model
    return isinstance(model, NeuronModel) and not item.drive and model.closed_form(network.dt) is not None


def visit_tables(network: Network, by_events: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the table of visits and its values, for the populations marked in `by_events`."""
    table = np.zeros((len(network.populations), LENGTH + 1), np.int64)
    values: list[NDArray[np.float64]] = [np.zeros(1)]
    start = 1
    for number in np.flatnonzero(by_events):
        model = network.populations[number].model
        assert isinstance(model, NeuronModel)
        form = model.closed_form(network.dt)
        assert form is not None
        blocks = [*form.membrane]
        blocks += [block for current in form.currents for block in current]
        length = max(block.size for block in blocks)
        table[number] = start, int(length > 1), length
        for block in blocks:
            values.append(np.broadcast_to(block, (length,)))
            start += length
    return table, np.concatenate(values)


@bare
def coefficients_of(shared, p, neuron):
    """Return the coefficients of a neuron; those of the threshold are zero for LI, which has none."""
    populations, coefficients = shared.populations, shared.coefficients
    uniform, zero = populations[p, UNIFORM], coefficients.dtype.type(0)
    row = populations[p, COEFFICIENTS] + (0 if uniform else neuron)
    width = 1 if uniform else populations[p, SIZE]
    threshold = subtract = reset_value = zero
    if populations[p, SPIKING]:
        threshold = coefficients[row + _LEVEL * width]
        subtract = coefficients[row + _SUBTRACT * width]
        reset_value = coefficients[row + _RESET_VALUE * width]
    return lif.Coefficients(
        decay=coefficients[row + _DECAY * width],
        gain=coefficients[row + _GAIN * width],
        offset=coefficients[row + _OFFSET * width],
        threshold=threshold,
        subtract=subtract,
        reset_value=reset_value,
    )


@bare
def receptor_coefficients_of(shared, p, neuron, row):
    """Return the coefficients of an exponential receptor of a neuron."""
    uniform, coefficients = shared.receptors[row, RECEPTOR_UNIFORM], shared.coefficients
    first = shared.receptors[row, RECEPTOR_COEFFICIENTS] + (0 if uniform else neuron)
    width = 1 if uniform else shared.populations[p, SIZE]
    return ExponentialCoefficients(
        decay=coefficients[first + _CURRENT_DECAY * width], coupling=coefficients[first + _COUPLING * width]
    )


@bare
def silent_membrane(shared, run, p, neuron, ticks):
    """Return the membrane after so many ticks without input, from the tick up to which it is advanced."""
    populations, receptors = shared.populations, shared.receptors
    size = populations[p, SIZE]
    step, length = shared.visit_table[p, STEP], shared.visit_table[p, LENGTH]
    place = shared.visit_table[p, FIRST_VALUE] + neuron * step
    values = shared.visit_values
    log_decay = values[place + _LOG_DECAY * length]
    membrane = np.float64(run.floats[populations[p, STATES] + neuron])
    held = min(ticks, np.int64(run.held[populations[p, COUNTERS] + neuron]))
    free = ticks - held
    if free > 0:
        offset = np.float64(coefficients_of(shared, p, neuron).offset)
        membrane = _silent(membrane, free, offset, log_decay, values[place + _RISE * length])
        current_place = place + _FIRST_CURRENT * length
        for r in range(populations[p, RECEPTORS]):
            row = populations[p, FIRST_RECEPTOR] + r
            if receptors[row, KIND] == _DELTA:
                continue
            where = populations[p, RECEPTOR_STATES] + receptors[row, STATE] * size + neuron
            log_current = values[current_place + _LOG_CURRENT_DECAY * length]
            current = _silent_current(np.float64(run.floats[where]), held, log_current)
            if current != 0:
                apart, share = values[current_place + _APART * length], values[current_place + _SHARE * length]
                answer = _response(free, log_decay, log_current, apart, share)
                membrane += values[current_place + _FACTOR * length] * current * answer
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
    place = shared.visit_table[p, FIRST_VALUE] + neuron * shared.visit_table[p, STEP] + _FIRST_CURRENT * length
    for r in range(populations[p, RECEPTORS]):
        row = populations[p, FIRST_RECEPTOR] + r
        if receptors[row, KIND] == _DELTA:
            continue
        where = populations[p, RECEPTOR_STATES] + receptors[row, STATE] * size + neuron
        log_decay = shared.visit_values[place + _LOG_CURRENT_DECAY * length]
        run.floats[where] = _silent_current(np.float64(run.floats[where]), ticks, log_decay)
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
    threshold = values[place + _THRESHOLD * length]
    highest = _bound(np.float64(run.floats[populations[p, STATES] + neuron]), values[place + _SETTLED * length])
    size_of_all = abs(threshold) + abs(highest)
    current_place = place + _FIRST_CURRENT * length
    for r in range(populations[p, RECEPTORS]):
        row = populations[p, FIRST_RECEPTOR] + r
        if receptors[row, KIND] == _DELTA:
            continue
        where = populations[p, RECEPTOR_STATES] + receptors[row, STATE] * size + neuron
        pull = values[current_place + _FACTOR * length] * np.float64(run.floats[where])
        if pull > 0:
            highest += pull * values[current_place + _PEAK * length]
            size_of_all += pull * values[current_place + _PEAK * length]
        current_place += _CURRENT_BLOCKS * length
    return highest >= threshold - _MARGIN * size_of_all


@bare
def one_tick(part, shared, run, p, neuron):
    """Advance a neuron by one tick with what arrived; return whether it fires."""
    populations, receptors = shared.populations, shared.receptors
    floats = run.floats
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
            own_coefficients = receptor_coefficients_of(shared, p, neuron, row)
            drive = drive + _seen(floats[where], own_coefficients)[0]
            floats[where] = _follow(floats[where], arrived, own_coefficients)[0]
    where, counter = populations[p, STATES] + neuron, populations[p, COUNTERS] + neuron
    if run.held[counter] > 0:
        run.held[counter] -= 1
        return False
    c = coefficients_of(shared, p, neuron)
    membrane = _integrate(floats[where], drive, c)[0]
    floats[where] = membrane
    if not populations[p, SPIKING] or _distance(membrane, c) < shared.coefficients[populations[p, BOUND]]:
        return False
    floats[where] = _reset(membrane, dtype(1), c)[0]
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

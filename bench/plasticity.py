"""What an arrival at a plastic synapse costs, without the rest of an engine.

4,000 sources project to 400 of 4,000 targets each; sources and targets fire as Poisson processes of one rate, so that
on average one postsynaptic spike acts on a synapse between two arrivals: an arrival is two updates of the weight (or of
the eligibility) and one addition to the input. Printed beside plain additions of constant weights in the same run.

    python bench/plasticity.py
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from snnsim import STDP, RewardModulatedSTDP, TripletSTDP
from snnsim.backends.cpu.parts import plasticity_records as t
from snnsim.backends.cpu.plasticity.kernels import call_arrive, kernels
from snnsim.numerics.specialise import jit
from snnsim.plasticity import PlasticityRule
from snnsim.plasticity.decay import DecayTable

NEURONS, ROW, RATE, DT = 4000, 400, 32.0, 1e-4
LATEST, RANKS = t.LATEST, t.RANKS
RULES = [
    STDP(),
    STDP(weight_dependence="multiplicative"),
    TripletSTDP(),
    RewardModulatedSTDP(eligibility_time_constant=0.1),
]


@jit
def run(address, row, arrays, trains, plane, state, first, last):
    """Let spikes arrive and targets fire from tick `first` to `last`; return the number of synapses."""
    coefficients, history, gains, decays, eligibility, weights, targets, lists, values, post_traces = arrays
    pre_ticks, pre, post_ticks, post = trains
    traces, since, pending = state
    done, own, span = 0, pending.size, row[t.SPANS]
    for tick in range(first, last):
        for k in range(pre_ticks[tick], pre_ticks[tick + 1]):
            source = pre[k]
            begin = source * ROW
            values[0], values[2] = traces[source], coefficients[2]
            call_arrive(
                address,
                row,
                coefficients,
                history,
                gains,
                decays,
                eligibility[begin:],
                weights[begin:],
                targets[begin:],
                lists,
                ROW,
                since[source],
                values,
                post_traces,
                plane,
                tick,
            )
            traces[source] = traces[source] * decays[min(tick - since[source], span + 1)] + 1
            since[source] = tick
            done += ROW
        for k in range(post_ticks[tick], post_ticks[tick + 1]):
            neuron = post[k]
            post_traces[neuron] = post_traces[neuron] * decays[min(tick - history[neuron], span + 1)] + 1
            for rank in range(min(pending[neuron] + 1, RANKS), 0, -1):
                history[rank * own + neuron] = history[(rank - 1) * own + neuron]
            history[neuron] = tick
            pending[neuron] += 1
            row[LATEST] = tick
    return done


@jit
def add(weights, targets, plane, trains, first, last):
    """Add the same weights without plasticity."""
    done = 0
    for tick in range(first, last):
        for k in range(trains[0][tick], trains[0][tick + 1]):
            i, end = np.uint64(trains[1][k] * ROW), np.uint64((trains[1][k] + 1) * ROW)
            while i < end:
                plane[targets[i]] += weights[i]
                i += np.uint64(1)
            done += ROW
    return done


def spikes(generator: np.random.Generator, ticks: int) -> tuple[Any, Any]:
    """Return where each tick's spikes begin, and the neurons."""
    when, who = np.nonzero(generator.random((ticks, NEURONS)) < RATE * DT)
    return np.searchsorted(when, np.arange(ticks + 1)), who


def tables(rule: PlasticityRule, dtype: str, generator: np.random.Generator) -> tuple[Any, ...]:
    """Return what `run` needs for a rule."""
    kind = np.dtype(dtype)
    decay, fading = DecayTable.of(20e-3, DT, kind), DecayTable.of(rule.eligibility or 20e-3, DT, kind)
    row = np.zeros(t.LEARNING_COLUMNS, np.int64)
    row[t.OWN], row[t.FLOOR], row[t.LATEST] = NEURONS, t.LONG_AGO, t.LONG_AGO
    row[t.SPANS : t.SPANS + 4], row[t.SPANS + 4] = decay.last, fading.last
    row[t.ELIGIBILITY_DECAY] = decay.flat().size
    weights = generator.uniform(0.2, 0.8, NEURONS * ROW).astype(kind)
    chosen = np.argsort(generator.random((NEURONS, NEURONS)), axis=1)[:, :ROW]
    arrays = (
        np.array(rule.coefficients, kind),
        np.full((RANKS + 1) * NEURONS, t.LONG_AGO, np.int32),
        np.full(RANKS * NEURONS, 0.01, kind),
        np.concatenate([decay.flat(), fading.flat()]),
        np.zeros_like(weights),
        weights,
        np.sort(chosen, axis=1).astype(np.uint16).reshape(-1),
        np.zeros(t.SCRATCH, np.uint32),
        np.zeros(t.FLIGHT_VALUES, kind),
        np.zeros(NEURONS, kind),
    )
    state = (np.zeros(NEURONS, kind), np.full(NEURONS, t.LONG_AGO, np.int64), np.zeros(NEURONS, np.int64))
    triplets = len(rule.pre_time_constants) == 2
    address = kernels(rule.weight_dependence, triplets, rule.eligibility is not None, True, dtype)[0]
    return address, row, arrays, np.zeros(NEURONS, kind), state


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=8, help="the best and the median of so many are printed")
    repeats = parser.parse_args().repeats
    start, ticks = 1500, 400
    generator = np.random.default_rng(0)
    pre, post = spikes(generator, start + ticks * repeats), spikes(generator, start + ticks * repeats)
    print(f"{'rule':40} {'type':8} {'ns an arrival':>14} {'median':>8} {'added only':>11}")
    for rule in RULES:
        for dtype in ("float32", "float64"):
            address, row, arrays, plane, state = tables(rule, dtype, np.random.default_rng(1))
            run(address, row, arrays, (*pre, *post), plane, state, 0, start)
            add(arrays[5], arrays[6], plane, pre, 0, 1)
            learned, added = [], []
            for k in range(repeats):
                bounds = start + k * ticks, start + (k + 1) * ticks
                began = time.perf_counter()
                done = run(address, row, arrays, (*pre, *post), plane, state, *bounds)
                middle = time.perf_counter()
                add(arrays[5], arrays[6], plane, pre, *bounds)
                learned.append((middle - began) / done * 1e9)
                added.append((time.perf_counter() - middle) / done * 1e9)
            name = f"{type(rule).__name__}, {rule.weight_dependence}"
            print(f"{name:40} {dtype:8} {min(learned):14.2f} {np.median(learned):8.2f} {min(added):11.2f}")


if __name__ == "__main__":
    main()

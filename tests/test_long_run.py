"""The long run of the cpu backend against the reference: threads, ranks, visits, states that move."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim as sn
from snnsim.errors import CapabilityError, ParameterError

NEURONS = {
    "delta": {"time_constant": 10e-3, "threshold": 1.0, "reset": "zero", "refractory": 1e-3},
    "currents": {
        "time_constant": 10e-3,
        "threshold": 0.3,
        "reset": 0.1,
        "rest": 0.05,
        "receptors": (sn.Exponential(2e-3, "fast"), sn.Delta("kick"), sn.Exponential(6e-3, "slow")),
    },
    "subtract": {"time_constant": 15e-3, "threshold": np.linspace(0.8, 1.2, 24), "bias": 0.02},
}
DELAYS = {
    "one": 1.5e-3,
    "drawn": sn.Normal(1.5e-3, 0.7e-3),
    "long": sn.Uniform(0.0, 60e-3),
}


def network(neurons: str = "delta", delay: str = "one", seed: int = 1, dt: float = 1e-4) -> sn.Network:
    """A recurrent network with sources that reach it at once and later; up to three receptors."""
    model = sn.LIF(**NEURONS[neurons])
    receptors = [receptor.name for receptor in model.receptors]
    populations = [
        sn.Population("noise", 20, sn.Poisson(300.0)),
        sn.Population("e", 24, model),
        sn.Population("script", 3, sn.Scripted(np.array([1e-3, 1e-3, 2e-3, 9e-3]), np.array([0, 2, 1, 0]))),
        sn.Population("i", 24, model),
    ]
    projections = [
        sn.Projection("noise", "e", sn.FixedProbability(0.3, weights=0.5), delay=1e-3),
        sn.Projection("noise", "i", sn.FixedInDegree(6, weights=sn.Normal(0.5, 0.1)), receptor=receptors[-1]),
        sn.Projection("script", "e", sn.FixedProbability(0.5, weights=2.0), delay=0.0, receptor=receptors[0]),
        sn.Projection("script", "i", sn.FixedProbability(0.5, weights=2.0), delay=0.7e-3),
    ]
    for k, (a, b) in enumerate((a, b) for a in "ei" for b in "ei"):
        weight = 0.3 if a == "e" else -0.5
        rule = sn.FixedTotalNumber(150, weights=sn.Normal(weight, 0.1)) if k % 2 else sn.FixedProbability(0.2, weight)
        projections.append(
            sn.Projection(a, b, rule, delay=DELAYS[delay], name=f"{a}{b}", receptor=receptors[k % len(receptors)])
        )
    return sn.Network(populations, projections, dt=dt, seed=seed)


def outcome(result: sn.Result) -> list[object]:
    arrays = [a for events in result.spikes.values() for a in (events.ticks, events.sources)]
    return [*arrays, *result.traces.values(), result.counters.spikes, result.counters.synaptic_operations]


def same(a: sn.Result, b: sn.Result) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(outcome(a), outcome(b), strict=True))


RECORD = ("noise", "e", "i", sn.Trace("e"), sn.Trace("i", every=7, neurons=[3, 20]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("neurons", NEURONS)
def test_any_number_of_threads_gives_the_bits_of_the_reference(neurons, delay, dtype):
    net = network(neurons, delay)
    expected = sn.Simulation(net, "reference", dtype=dtype)
    result = expected.run(0.06, record=RECORD)
    assert result.counters.spikes[0, 1] > 50
    for threads in (1, 2, 4):
        simulation = sn.Simulation(net, dtype=dtype, threads=threads)
        parts = [simulation.run(0.02, record=RECORD) for _ in range(3)]
        for name in ("noise", "e", "i"):
            ticks = np.concatenate([part.spikes[name].ticks + 200 * k for k, part in enumerate(parts)])
            assert np.array_equal(ticks, result.spikes[name].ticks)
            sources = np.concatenate([part.spikes[name].sources for part in parts])
            assert np.array_equal(sources, result.spikes[name].sources)
        assert np.array_equal(
            np.concatenate([part.traces["e.membrane"] for part in parts], axis=1), result.traces["e.membrane"]
        )
        operations = sum(part.counters.synaptic_operations for part in parts)
        assert np.array_equal(operations, result.counters.synaptic_operations)
        assert np.array_equal(simulation.state.floats, expected.state.floats)
        assert np.array_equal(simulation.state.counters, expected.state.counters)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    threads=st.integers(1, 5),
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    delay=st.sampled_from(sorted(DELAYS)),
)
def test_runs_in_pieces_on_either_backend_are_one_run(seed, threads, cuts, delay):
    net = network("currents", delay, seed)
    whole = sn.Simulation(net, "reference", dtype="float64")
    whole.run(sum(cuts) * net.dt, record=("e",))
    pieces = sn.Simulation(net, threads=threads, dtype="float64")
    slow = sn.Simulation(net, "reference", dtype="float64")
    for k, cut in enumerate(cuts):
        runner, other = (pieces, slow) if k % 2 == 0 else (slow, pieces)
        runner.run(cut * net.dt, record=("e",))
        for name in ("floats", "counters"):
            getattr(other.state, name)[:] = getattr(runner.state, name)
        other.state.tick = runner.state.tick
    assert np.array_equal(pieces.state.floats, whole.state.floats)
    assert np.array_equal(pieces.state.counters, whole.state.counters)


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("neurons", NEURONS)
def test_visits_by_events_give_the_spikes_of_visits_at_every_tick(neurons, delay):
    net = network(neurons, delay)
    expected = sn.Simulation(net, dtype="float64", visit="ticks").run(0.08, record=RECORD)
    for threads in (1, 3):
        simulation = sn.Simulation(net, dtype="float64", visit="events", threads=threads)
        result = simulation.run(0.08, record=RECORD)
        for name in ("e", "i"):
            assert result.spikes[name] == expected.spikes[name]
        for key, values in expected.traces.items():
            np.testing.assert_allclose(result.traces[key], values, rtol=1e-9, atol=1e-12)


def test_visits_by_events_do_not_depend_on_where_a_run_is_cut():
    net = network("currents", "drawn")
    whole = sn.Simulation(net, visit="events", threads=2)
    result = whole.run(0.06, record=("e",))
    pieces = sn.Simulation(net, visit="events", threads=3)
    parts = [pieces.run(length, record=("e",)) for length in (0.0131, 0.0002, 0.0467)]
    ticks = np.concatenate([part.spikes["e"].ticks + part.start_tick for part in parts])
    assert np.array_equal(ticks, result.spikes["e"].ticks)
    assert np.array_equal(pieces.state.floats, whole.state.floats)
    assert np.array_equal(pieces.state.visited, whole.state.visited)


@pytest.mark.parametrize("cut", range(1, 12))
def test_input_that_adds_up_to_nothing_is_no_event_wherever_a_run_is_cut(cut):
    """A weight and its opposite arrive in the same tick, while a current of before moves the membrane."""
    dt = 1e-4
    source = sn.Scripted(np.array([1, 4, 4, 7]) * dt, [0, 0, 1, 2])
    net = sn.Network(
        [sn.Population("in", 3, source), sn.Population("cell", 1, sn.LIF(3e-3, receptors=(sn.Exponential(2e-3),)))],
        [sn.Projection("in", "cell", sn.Dense(np.array([[0.3], [-0.3], [0.2]])), delay=3 * dt)],
        dt=dt,
    )
    updates, traces = [], []
    for lengths in ((20,), (cut, 20 - cut)):
        simulation = sn.Simulation(net, visit="events")
        parts = [simulation.run(n * dt, record=sn.Trace("cell")) for n in lengths]
        traces.append(np.concatenate([part.traces["cell.membrane"][0, :, 0] for part in parts]))
        updates.append(sum(int(part.counters.membrane_updates[0, 1]) for part in parts))
    assert np.array_equal(*traces)
    assert np.any(traces[0] != 0)
    assert updates[0] == updates[1] == 2


def test_a_state_left_by_visits_goes_on_on_the_reference(tmp_path):
    net = network("currents", "drawn")
    simulation = sn.Simulation(net, visit="events", dtype="float64")
    simulation.run(0.03)
    simulation.save_checkpoint(tmp_path / "state.h5")
    moved = sn.Simulation.from_checkpoint(tmp_path / "state.h5", backend="reference")
    assert moved.state.visited is not None
    assert moved.run(0.03, record=("e",)).spikes["e"] == simulation.run(0.03, record=("e",)).spikes["e"]
    assert moved.state.visited is None


def test_quiet_neurons_are_left_alone_and_silent_ticks_skipped():
    n_ticks = 1_000_000
    net = sn.Network(
        [
            sn.Population("script", 2, sn.Scripted(np.array([0.1, 0.9]), np.array([0, 1]))),
            sn.Population("hidden", 100, sn.LIF(20e-3, threshold=1.0)),
            sn.Population("out", 10, sn.LIF(20e-3, threshold=5.5)),
        ],
        [
            sn.Projection("script", "hidden", sn.Dense(np.full((2, 100), 1.5)), delay=1e-3),
            sn.Projection("hidden", "out", sn.Dense(np.full((100, 10), 0.06)), delay=2e-3),
        ],
        dt=1e-6,
    )
    result = sn.Simulation(net, visit="auto").run(n_ticks * net.dt, record=("hidden", "out"))
    assert result.counters.spikes.tolist() == [[2, 200, 20]]
    assert result.counters.membrane_updates.tolist() == [[0, 200, 20]]
    assert np.array_equal(np.unique(result.spikes["out"].ticks), [103_000, 903_000])


def test_a_current_that_fires_a_neuron_long_after_the_event_is_not_missed():
    # The membrane reaches its threshold near the peak of the response, tens of ticks after the only event.
    tau, tau_s = 20e-3, 5e-3
    peak = (tau_s / tau) ** (tau / (tau - tau_s))  # of the response to a unit current, in units of it
    for threshold, fires in ((0.999 * peak, True), (1.02 * peak, False)):
        net = sn.Network(
            [
                sn.Population("script", 1, sn.Scripted(np.array([1e-3]), np.array([0]))),
                sn.Population("cell", 1, sn.LIF(tau, threshold=threshold, receptors=sn.Exponential(tau_s))),
            ],
            [sn.Projection("script", "cell", sn.Dense([[1.0]]), delay=1e-4)],
            dt=1e-4,
        )
        results = [sn.Simulation(net, visit=v, dtype="float64").run(0.1, record="cell") for v in ("events", "ticks")]
        assert results[0].spikes["cell"] == results[1].spikes["cell"]
        assert bool(results[0].counters.spikes[0, 1]) is fires


@pytest.mark.parametrize("sources", [[], [sn.Population("in", 2, sn.Input())]])
def test_what_cannot_be_visited_by_events_is_refused_by_name(sources):
    net = sn.Network([*sources, sn.Population("cells", 3, sn.AdaptiveLIF())], [], dt=1e-3)
    with pytest.raises(CapabilityError, match=r"visit='events': population 'cells' .AdaptiveLIF. has no closed form"):
        sn.Simulation(net, visit="events")
    with pytest.raises(ParameterError, match="visit"):
        sn.Simulation(net, visit="sometimes")
    assert sn.Simulation(net, visit={"cells": "ticks"}).program.visit == {"cells": "ticks"}


@pytest.mark.parametrize("plastic", [False, True])
@pytest.mark.parametrize("delay", [37e-3, sn.Uniform(20e-3, 60e-3)])
def test_rooms_grow_with_the_spikes_that_are_kept_and_on_their_way(delay, plastic):
    """Some thousand of each, several times what there is room for at first."""
    rule = sn.STDP(0.01, 0.01, minimum=-1.0) if plastic else None
    net = sn.Network(
        [sn.Population("cells", 150, sn.IF(bias=np.linspace(0.2, 0.7, 150), reset="zero"))],
        [
            sn.Projection(
                "cells", "cells", sn.FixedInDegree(6, weights=sn.Normal(0.02, 0.02)), delay=delay, plasticity=rule
            )
        ],
        dt=1e-3,
        seed=3,
    )
    expected = sn.Simulation(net, "reference")
    results = [expected.run(seconds, record=("cells", sn.Trace("cells"))) for seconds in (0.05, 0.04)]
    assert results[0].counters.spikes.sum() > 2000
    for threads in (1, 3):
        simulation = sn.Simulation(net, threads=threads)
        for result, seconds in zip(results, (0.05, 0.04), strict=True):
            assert same(simulation.run(seconds, record=("cells", sn.Trace("cells"))), result)
        assert np.array_equal(simulation.state.floats, expected.state.floats)
        if plastic:
            assert np.array_equal(simulation.weights("cells->cells"), expected.weights("cells->cells"))


def test_a_network_without_delays_takes_one_thread_and_the_same_meaning():
    net = sn.Network(
        [
            sn.Population("noise", 8, sn.Poisson(200.0)),
            sn.Population("a", 8, sn.LIF()),
            sn.Population("b", 8, sn.LIF()),
        ],
        [
            sn.Projection("noise", "a", sn.FixedProbability(0.7, weights=0.8)),
            sn.Projection("a", "b", sn.FixedProbability(0.7, weights=0.8)),
        ],
        dt=1e-3,
    )
    expected = sn.Simulation(net, "reference").run(0.2, record=("a", "b"))
    assert expected.counters.spikes[0, 2] > 0
    assert same(sn.Simulation(net, threads=2).run(0.2, record=("a", "b")), expected)


SCRIPT = """
import hashlib, sys
import numpy as np
sys.path.insert(0, {tests!r})
import snnsim as sn
from test_long_run import RECORD, network
digest = hashlib.sha256()
for visit in ("ticks", "events"):
    simulation = sn.Simulation(network("currents", "drawn"), visit=visit, threads=1)
    for _ in range(2):
        result = simulation.run(0.03, record=RECORD)
        for name, events in result.spikes.items():
            digest.update(events.ticks.tobytes() + events.sources.tobytes())
        for values in result.traces.values():
            digest.update((values + 0.0).tobytes())  # zeros have no sign after a sum over ranks
        for counts in (result.counters.spikes, result.counters.synaptic_operations, result.counters.membrane_updates):
            digest.update(np.ascontiguousarray(counts).tobytes())
    digest.update((simulation.state.floats + 0.0).tobytes() + simulation.state.counters.tobytes())
sys.stdout.write(digest.hexdigest() + "\\n")
"""


@pytest.fixture(scope="module")
def launcher() -> str:
    """The launcher of the MPI that the `mpi` extra brings; part of the development environment."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    assert found, "no mpiexec: the tests need the extra 'mpi' (pip install 'snnsim[dev]')"
    return found


@pytest.mark.slow
def test_ranks_give_the_bits_of_one_process(launcher):
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    outputs = {}
    for ranks in (1, 2, 4):
        start = [] if ranks == 1 else [launcher, "-n", str(ranks)]
        command = [*start, sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
        assert done.returncode == 0, done.stderr
        outputs[ranks] = done.stdout.split()
    assert len(outputs[4]) == 4
    assert len({digest for digests in outputs.values() for digest in digests}) == 1

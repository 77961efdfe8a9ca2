"""A network that is changed while it runs: what goes on, what is refused, and that nothing else changes anything."""

import copy
import dataclasses

import numpy as np
import pytest

import snnsim as sn
from snnsim.connectivity import RULES
from snnsim.errors import NetworkError, ParameterError
from snnsim.neurons import MODELS, SOURCES

DT = 1e-3
PROBES = ["in", "noise", "a", "b", sn.Trace("a"), sn.Trace("b", "trace", every=3), sn.Trace("out", neurons=[2, 0])]


def recurrent():
    """Return a network with every kind of state: currents, refractory counts, traces, input on its way, chance."""
    return sn.Network(
        [
            sn.Population("in", 4, sn.Input()),
            sn.Population("noise", 6, sn.Poisson(120.0)),
            sn.Population("script", 2, sn.Scripted([0.004, 0.021, 0.021], [0, 1, 1])),
            sn.Population("a", 12, sn.LIF(refractory=2e-3, receptors=(sn.Exponential(4e-3, "slow"),))),
            sn.Population("b", 8, sn.AdaptiveLIF(adaptation=0.2)),
            sn.Population("out", 3, sn.LI()),
        ],
        [
            sn.Projection("in", "a", sn.Dense(sn.Normal(1.0, 0.3))),
            sn.Projection("noise", "a", sn.FixedProbability(0.6, sn.Uniform(0.0, 1.5)), delay=sn.Uniform(1e-3, 9e-3)),
            sn.Projection("script", "b", sn.Dense(1.2)),
            sn.Projection("a", "b", sn.Dense(sn.Normal(0.3, 0.2)), delay=3e-3),
            sn.Projection("b", "a", sn.FixedProbability(0.5, -0.4), delay=1e-3),
            sn.Projection("b", "out", sn.Dense(sn.Normal()), delay=1e-3),
        ],
        dt=DT,
    )


def given(n_ticks, start=0):
    counts = np.random.default_rng(0).poisson(0.15, (1, 40, 4))
    return sn.Events.from_dense(counts, DT).crop(n_ticks, start)


def assert_same(first, second):
    assert first.spikes == second.spikes
    for key in first.traces:
        assert np.array_equal(first.traces[key], second.traces[key]), key
    for name in ("spikes", "membrane_updates", "synaptic_operations"):
        assert np.array_equal(getattr(first.counters, name), getattr(second.counters, name)), name


def arrays_of(part):
    """Return all arrays in a description, part by part."""
    if isinstance(part, np.ndarray):
        return [part]
    if dataclasses.is_dataclass(part):
        return [array for field in dataclasses.fields(part) for array in arrays_of(getattr(part, field.name))]
    return [array for one in part for array in arrays_of(one)] if isinstance(part, (tuple, list)) else []


# -- what has no effect cannot be done ---------------------------------------------------------------------------------


def described():
    """Return a network with arrays in every part of it, and the arrays it was made of."""
    own = {name: np.full(5, 0.02) for name in ("bias", "rest", "threshold", "rate", "drive")}
    own["threshold"][:] = 1.0
    own |= {"weights": np.full((5, 5), 0.1), "sources": np.arange(5), "targets": np.arange(5), "sparse": np.ones(5)}
    own |= {"delays": np.full((5, 5), 2 * DT), "times": np.arange(5) * DT, "which": np.arange(5), "one": np.ones(5)}
    own["kernels"] = np.ones((1, 1, 2, 2))
    cells = sn.LIF(bias=own["bias"], rest=own["rest"], threshold=own["threshold"])
    populations = [
        sn.Population("noise", 5, sn.Poisson(own["rate"])),
        sn.Population("script", 5, sn.Scripted(own["times"], own["which"])),
        sn.Population("cells", 5, cells, sn.PoissonDrive(own["drive"], 0.1)),
        sn.Population("image", (1, 3, 3), sn.Poisson(5.0)),
        sn.Population("patches", (1, 2, 2), sn.LIF()),
    ]
    projections = [
        sn.Projection("noise", "cells", sn.Dense(own["weights"]), delay=own["delays"]),
        sn.Projection("script", "cells", sn.Sparse(own["sources"], own["targets"], own["sparse"]), delay=DT),
        sn.Projection("cells", "cells", sn.OneToOne(own["one"]), delay=DT),
        sn.Projection("image", "patches", sn.Conv2d(own["kernels"])),
    ]
    return sn.Network(populations, projections, dt=DT), own


def test_arrays_of_a_network_are_its_own_and_read_only(tmp_path):
    network, arrays = described()
    before = copy.deepcopy([array.copy() for array in arrays_of([network.populations, network.projections])])
    assert len(before) == len(arrays)
    for array in arrays.values():
        array += 1  # the caller's own, still
    network.save(tmp_path / "n.h5")
    for one in (network, network.resolved(), sn.Network.load(tmp_path / "n.h5"), network.replaced(seed=3)):
        for array in arrays_of([one.populations, one.projections]):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    for array, expected in zip(arrays_of([network.populations, network.projections]), before, strict=True):
        assert np.array_equal(array, expected)
    for projection in network.projections:
        for array in arrays_of(network.synapses(projection)):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


@pytest.mark.parametrize("kind", [*MODELS.values(), *SOURCES.values(), *RULES.values()])
def test_no_part_of_a_network_takes_another_value(kind):
    needed = {"Scripted": ([0.0], [0]), "Sparse": ([0], [0]), "Conv2d": (np.ones((1, 1, 1, 1)),)}
    part = kind(*needed.get(kind.__name__, ()))
    assert not any(array.flags.writeable for array in arrays_of(part))
    for field in dataclasses.fields(part):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, field.name, None)


@pytest.mark.parametrize("name", ["network", "backend", "dtype", "program", "state", "tick"])
def test_attributes_of_a_simulation_cannot_be_set(name):
    simulation = sn.Simulation(recurrent(), "reference")
    with pytest.raises(AttributeError):
        setattr(simulation, name, getattr(simulation, name))


# -- nothing changed ---------------------------------------------------------------------------------------------------


def rebuilt(network):
    """Return a network with the same description, of which every part is another object."""
    return copy.deepcopy(network)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("visit", ["ticks", "events", "auto"])
def test_a_change_of_nothing_is_going_on(backend, dtype, visit):
    network = recurrent()
    if visit == "events":
        visit = {"a": "events", "out": "events"}
    results = []
    for changed in (False, True):
        simulation = sn.Simulation(network, backend, dtype=dtype, visit=visit, threads=2)
        results.append([])
        for first, ticks in ((0, 7), (7, 1), (8, 20), (28, 12)):
            results[-1].append(simulation.run(ticks * DT, given(ticks, first), record=PROBES))
            if changed:
                simulation.change(rebuilt(network))
                assert simulation.tick == first + ticks
        results[-1].append(simulation.state)
    for going_on, again in zip(results[0][:-1], results[1][:-1], strict=True):
        assert_same(going_on, again)
    assert np.array_equal(results[0][-1].floats, results[1][-1].floats)
    assert np.array_equal(results[0][-1].counters, results[1][-1].counters)


RULES_THAT_LEARN = {
    "pairs": sn.STDP(0.05, 0.04, minimum=-1.0, maximum=1.5, normalisation=sn.Normalisation(3.0, 7e-3)),
    "nearest": sn.STDP(0.1, 0.1, minimum=-1.0, maximum=1.5, weight_dependence="multiplicative", pairing="nearest"),
    "triplets": sn.TripletSTDP(0.02, 0.1, 0.03, 0.05, minimum=-1.0, maximum=1.5),
    "reward": sn.RewardModulatedSTDP(0.1, 0.05, eligibility_time_constant=50e-3, minimum=-1.0, maximum=1.5),
}


@pytest.mark.parametrize("rule", RULES_THAT_LEARN.values(), ids=RULES_THAT_LEARN)
@pytest.mark.parametrize("delay", [2e-3, sn.Uniform(1e-3, 12e-3)], ids=str)
def test_a_change_of_nothing_is_going_on_learning(plastic_backend, rule, delay):
    network = recurrent()
    weights = sn.FixedProbability(0.5, sn.Normal(0.3, 0.3, low=-0.9, high=1.4))
    learning = [sn.Projection(*ends, weights, delay, name=ends, plasticity=rule) for ends in ("aa", "ab", "ba")]
    network = sn.Network(network.populations, [*network.projections[:3], *learning], dt=DT)
    outcomes = []
    for changed in (False, True):
        simulation, results = sn.Simulation(network, plastic_backend), []
        for first, ticks in ((0, 17), (17, 3), (20, 20)):
            results.append(simulation.run(ticks * DT, given(ticks, first), record=PROBES))
            if changed:
                simulation.change(rebuilt(network))
            if rule.eligibility is not None:
                simulation.reward("ab", 0.7)
        outcomes.append((results, [simulation.weights(projection.name) for projection in network.projections]))
    for going_on, again in zip(outcomes[0][0], outcomes[1][0], strict=True):
        assert_same(going_on, again)
    for one, other in zip(outcomes[0][1], outcomes[1][1], strict=True):
        assert np.array_equal(one, other)
    assert results[-1].counters.spikes[0, 3:5].min() > 3
    assert not np.array_equal(outcomes[0][1][4], sn.Simulation(network, plastic_backend).weights("ab"))


# -- something changed -------------------------------------------------------------------------------------------------


def test_a_bias_that_is_changed_half_way_gives_the_solution_by_hand(backend):
    """V after n ticks of bias b from V0: V0 d^n + b (1 - d^n) / (1 - d), by the old bias, then by the new one."""
    cells = sn.Population("cells", 2, sn.LIF(20e-3, bias=np.array([0.01, 0.02]), threshold=50.0))
    simulation = sn.Simulation(sn.Network([cells], [], dt=DT), backend, dtype="float64")
    simulation.run(30 * DT)
    other = sn.Population("cells", 2, sn.LIF(10e-3, bias=np.array([0.5, -0.1]), threshold=50.0))
    simulation.change(simulation.network.replaced(populations=[other]))
    assert simulation.network.population("cells") is other
    trace = simulation.run(25 * DT, record=sn.Trace("cells")).traces["cells.membrane"][0]
    old, new = np.exp(-DT / 20e-3), np.exp(-DT / 10e-3)
    start = np.array([0.01, 0.02]) * (1 - old**30) / (1 - old)
    n = np.arange(1, 26)[:, None]
    expected = start * new**n + np.array([0.5, -0.1]) * (1 - new**n) / (1 - new)
    np.testing.assert_allclose(trace, expected, rtol=1e-12)


def pulses(delay, weight=1.0, times=(0, 3, 6, 9)):
    """Return a source whose spikes of some ticks reach a cell that shows what arrives in each tick."""
    populations = [
        sn.Population("in", 1, sn.Scripted(np.array(times) * DT, np.zeros(len(times), int))),
        sn.Population("cell", 1, sn.LI(0.0)),
    ]
    return sn.Network(populations, [sn.Projection("in", "cell", sn.Dense(weight), delay=delay * DT)], dt=DT)


@pytest.mark.parametrize(("before", "after"), [(5, 2), (2, 5), (3, 3)])
def test_spikes_on_their_way_arrive_as_they_were_sent(backend, before, after):
    simulation = sn.Simulation(pulses(before, 1.0), backend)
    arrived = list(simulation.run(4 * DT, record=sn.Trace("cell")).traces["cell.membrane"][0, :, 0])
    network = pulses(after, 10.0)
    if after < before:  # a delay as long as the longest that was must stay
        longer = sn.Projection("in", "cell", sn.Dense(0.0), delay=before * DT, name="as long as before")
        network = sn.Network(network.populations, [*network.projections, longer], dt=DT)
    simulation.change(network)
    arrived += list(simulation.run(16 * DT, record=sn.Trace("cell")).traces["cell.membrane"][0, :, 0])
    expected = np.zeros(20)
    for tick in (0, 3, 6, 9):
        expected[tick + (before if tick < 4 else after)] += 1.0 if tick < 4 else 10.0
    assert arrived == expected.tolist()


def test_input_that_is_due_later_than_any_delay_is_refused_by_name(backend):
    simulation = sn.Simulation(pulses(5), backend)
    simulation.run(4 * DT)
    with pytest.raises(NetworkError, match=r"'cell' has input on its way that is due in 4 ticks.* longer than 2;"):
        simulation.change(pulses(2))
    simulation.run(5 * DT)  # the last of it arrives; one of tick 6 is still on its way
    with pytest.raises(NetworkError, match=r"due in 2 ticks, and .* longer than 1;"):
        simulation.change(pulses(1))
    simulation.change(pulses(2, 3.0))
    trace = simulation.run(5 * DT, record=sn.Trace("cell")).traces["cell.membrane"][0, :, 0]
    assert trace.tolist() == [0, 0, 1 + 3, 0, 0]  # sent at 6 with delay 5, and at 9 with delay 2


def test_every_kind_of_change_is_that_of_the_reference(other_backend):
    """Bias, weights, delays, rates, wiring, drives, projections that come and go."""
    network = recurrent()
    a = sn.LIF(15e-3, threshold=0.9, refractory=1e-3, bias=0.02, receptors=(sn.Exponential(6e-3, "slow"),))
    changed = network.replaced(
        populations=[
            sn.Population("noise", 6, sn.Poisson(40.0)),
            sn.Population("a", 12, a, sn.PoissonDrive(50.0, 0.3)),
            sn.Population("b", 8, sn.AdaptiveLIF(adaptation=0.5, reset="zero")),
        ],
        seed=9,
    )
    kept = [p for p in changed.projections if p.name not in ("a->b", "script->b")]
    new = [
        sn.Projection("a", "b", sn.FixedInDegree(4, sn.Normal(0.5, 0.1)), delay=sn.Uniform(1e-3, 6e-3)),
        sn.Projection("b", "b", sn.FixedProbability(0.3, -0.1, self_connections=False), delay=2e-3),
    ]
    changed = sn.Network(changed.populations, [*kept, *new], dt=DT, seed=9)
    if other_backend == "crossbar":
        changed = changed.replaced(populations=[sn.Population("a", 12, a)])
    outcomes = []
    for backend in ("reference", other_backend):
        simulation = sn.Simulation(network, backend)
        first = simulation.run(20 * DT, given(20), record=PROBES)
        simulation.change(changed)
        second = simulation.run(20 * DT, given(20, 20), record=PROBES)
        outcomes.append((first, second, simulation.state))
    for one, other in zip(*[outcome[:2] for outcome in outcomes], strict=True):
        assert_same(one, other)
    assert np.array_equal(outcomes[0][2].floats, outcomes[1][2].floats)
    unchanged = sn.Simulation(network, "reference")
    unchanged.run(20 * DT, given(20))
    assert unchanged.run(20 * DT, given(20, 20), record=PROBES).spikes != outcomes[0][1].spikes


def test_a_checkpoint_after_a_change_holds_the_new_network(backend, tmp_path):
    network = recurrent()
    simulation = sn.Simulation(network, backend)
    simulation.run(15 * DT, given(15))
    simulation.change(network.replaced(populations=[sn.Population("noise", 6, sn.Poisson(400.0))]))
    simulation.run(5 * DT, given(5, 15))
    simulation.save_checkpoint(tmp_path / "c.h5")
    again = sn.Simulation.from_checkpoint(tmp_path / "c.h5")
    assert again.network.population("noise").model.rate == 400.0
    rest = given(20, 20)
    assert_same(simulation.run(20 * DT, rest, record=PROBES), again.run(20 * DT, rest, record=PROBES))
    assert np.array_equal(simulation.state.floats, again.state.floats)
    simulation.reset()
    fresh = sn.Simulation(again.network, backend)
    assert_same(simulation.run(20 * DT, rest, record=PROBES), fresh.run(20 * DT, rest, record=PROBES))


# -- learning ----------------------------------------------------------------------------------------------------------


def pair(rule, weights=0.5, delay=4, **changes):
    """Return two inputs onto two cells, which a script makes fire."""
    populations = [
        sn.Population("pre", 2, sn.Scripted(np.array([1, 5, 11, 19, 25]) * DT, [0, 1, 0, 1, 0])),
        sn.Population("driver", 2, sn.Scripted(np.array([7, 9, 17, 24]) * DT, [0, 1, 0, 1])),
        sn.Population("post", 2, sn.LIF(0.0, threshold=100.0, reset="zero")),
    ]
    projections = [
        sn.Projection("driver", "post", sn.OneToOne(1000.0)),
        sn.Projection("pre", "post", sn.Dense(weights), delay=delay * DT, name="learning", plasticity=rule),
    ]
    return sn.Network(populations, projections, **({"dt": DT} | changes))


def test_learning_that_is_switched_off_keeps_what_was_learned(plastic_backend):
    """The same as a rule that changes nothing any more: spikes on their way arrive with the weights as they stand."""
    traces = []
    for switched_off in (True, False):
        simulation = sn.Simulation(pair(sn.STDP(0.1, 0.05)), plastic_backend, dtype="float64")
        simulation.run(20 * DT)  # the spike of tick 19 is on its way, and arrives at 23
        at_the_change = simulation.weights("learning")
        assert np.ptp(at_the_change) > 0.01
        network = simulation.network_with_weights() if switched_off else simulation.network
        rule = None if switched_off else sn.STDP(0.0, 0.0)
        fixed = dataclasses.replace(network.projection("learning"), plasticity=rule)
        simulation.change(network.replaced(projections=[fixed]))
        traces.append(simulation.run(15 * DT, record=sn.Trace("post")).traces["post.membrane"])
        assert np.array_equal(simulation.weights("learning"), at_the_change)
    assert np.array_equal(*traces)
    assert traces[0][0, 3].tolist() == at_the_change[2:].tolist()


def test_other_weights_of_a_projection_that_goes_on_learning_take_the_place_of_the_learned_ones(plastic_backend):
    simulation = sn.Simulation(pair(sn.STDP(0.1, 0.05)), plastic_backend)
    simulation.run(20 * DT)
    before = simulation.weights("learning")
    simulation.change(pair(sn.STDP(0.2, 0.05)))
    assert np.array_equal(simulation.weights("learning"), before)
    simulation.change(pair(sn.STDP(0.2, 0.05), np.array([[0.1, 0.2], [0.3, 0.4]])))
    assert simulation.weights("learning").tolist() == np.float32([0.1, 0.2, 0.3, 0.4]).tolist()
    simulation.run(15 * DT)
    assert not np.array_equal(simulation.weights("learning"), np.float32([0.1, 0.2, 0.3, 0.4]))


def test_learning_can_begin_half_way(plastic_backend):
    simulation = sn.Simulation(pair(None), plastic_backend)
    simulation.run(20 * DT)
    simulation.change(pair(sn.STDP(0.1, 0.05)))
    simulation.run(15 * DT)
    # The spike of tick 19 was sent before, and counts for nothing; that of tick 25 arrives after the last one of post.
    assert simulation.weights("learning") == pytest.approx([0.5 - 0.05 * 0, 0.5 - 0.05 * np.exp(-5 / 20), 0.5, 0.5])


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (lambda: pair(sn.TripletSTDP()), r"other traces in the new network \(pairs, triplets\)"),
        (lambda: pair(sn.RewardModulatedSTDP()), r"\(pairs, eligibility of pairs\)"),
        (lambda: pair(sn.STDP(), delay=3), "has other delays in the new network"),
        (lambda: pair(sn.STDP(maximum=0.45)), "weights from .* leave the bounds of STDP, minimum=0 and maximum=0.45"),
        (lambda: pair(sn.STDP(), dt=DT / 2), r"change: dt is 0\.001 s, in the new network 0\.0005 s"),
        (
            lambda: pair(sn.STDP()).replaced(
                projections=[
                    sn.Projection("pre", "post", sn.Sparse([0], [0], 0.5), 4 * DT, None, "learning", sn.STDP())
                ]
            ),
            "is wired otherwise in the new network",
        ),
        (
            lambda: pair(sn.STDP()).replaced(
                projections=[
                    sn.Projection("driver", "post", sn.Dense(0.5), 4 * DT, None, "learning", sn.STDP()),
                ]
            ),
            r"'learning' goes on learning, and has another source in the new network \(pre, driver\)",
        ),
    ],
)
def test_what_a_learning_projection_cannot_take_along_is_refused(plastic_backend, new, message):
    simulation, twin = (sn.Simulation(pair(sn.STDP(0.1, 0.05)), plastic_backend) for _ in range(2))
    for one in (simulation, twin):
        one.run(20 * DT)
    with pytest.raises(NetworkError, match=message):
        simulation.change(new())
    results = [one.run(15 * DT, record=["post", sn.Trace("post")]) for one in (simulation, twin)]
    assert_same(*results)
    assert np.array_equal(*(one.weights("learning") for one in (simulation, twin)))


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run_before", [True, False])
@pytest.mark.parametrize(
    ("population", "message"),
    [
        (sn.Population("b", 9, sn.AdaptiveLIF()), "population 'b' has 8 neurons, in the new one 9"),
        (sn.Population("b", 8, sn.LIF()), "'b' has the states membrane, trace, in the new one membrane"),
        (sn.Population("b", 8, sn.Poisson()), r"'b' has the states membrane, trace, in the new one none \(a source\)"),
        (
            sn.Population("a", 12, sn.LIF(receptors=(sn.Alpha(4e-3, "slow"),))),
            r"'a' has the receptors slow \(Exponential\), in the new one slow \(Alpha\)",
        ),
    ],
)
def test_other_populations_are_refused_and_the_run_goes_on_as_before(backend, run_before, population, message):
    network = recurrent()
    simulation, twin = (sn.Simulation(network, backend) for _ in range(2))
    if run_before:
        for one in (simulation, twin):
            one.run(9 * DT, given(9))
    others = [population if p.name == population.name else p for p in network.populations]
    with pytest.raises(NetworkError, match=message):
        simulation.change(sn.Network(others, [], dt=DT))
    with pytest.raises(
        NetworkError, match="populations are in, noise, script, a, b, out; those of the new one in, noise"
    ):
        simulation.change(sn.Network(network.populations[:2], [], dt=DT))
    with pytest.raises(ParameterError, match="expected a Network"):
        simulation.change(None)
    rest = given(20, 9)
    assert_same(*(one.run(20 * DT, rest, record=PROBES) for one in (simulation, twin)))


def test_a_run_into_a_stream_is_finished_or_abandoned_before_a_change(tmp_path, monkeypatch):
    network = recurrent()
    simulation = sn.Simulation(network)
    monkeypatch.setattr("snnsim.simulation.simulation.Simulation._advance", lambda *_: False)
    with pytest.raises(KeyboardInterrupt):
        simulation.run(20 * DT, given(20), stream=tmp_path / "s.h5")
    with pytest.raises(ParameterError, match=r"a stream is not finished; finish it, or abandon\(\) it"):
        simulation.change(network)
    simulation.abandon()
    simulation.change(network)

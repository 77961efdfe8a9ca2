"""Numbers that do not fit, and runs that diverge: refused, or stopped with population and tick, on every backend."""

import numpy as np
import pytest

import snnsim as sn
from snnsim.errors import DivergenceError, ParameterError, SnnsimError

DT = 1e-3
SINGLE, DOUBLE = "float32", "float64"


def network(rule=1.0, model=None, times=(1, 2), delay=DT, dt=DT, plasticity=None, drive=(), inputs=False):
    """Return two sources that fire at some ticks, and two cells."""
    times = np.repeat(times, 2) * dt
    source = sn.Input() if inputs else sn.Scripted(times, np.arange(times.size) % 2)
    rule = sn.Dense(rule) if isinstance(rule, (float, np.ndarray)) else rule
    return sn.Network(
        [sn.Population("in", 2, source), sn.Population("cells", 2, model or sn.LIF(), drive)],
        [sn.Projection("in", "cells", rule, delay=delay, plasticity=plasticity)],
        dt=dt,
        extension=0.0,
    )


# -- what does not fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network(4e38), r"projection 'in->cells': weights of 4e\+38 do not fit in float32"),
        (lambda: network(np.array([[1.0, -1e39], [0.0, 2.0]])), r"weights of 1e\+39 do not fit"),
        (lambda: network(sn.Dense(sn.Normal(0.0, 1e38))), r"weights of \S+e\+38 do not fit"),
        (lambda: network(sn.FixedInDegree(1, sn.Uniform(0.0, 1e300))), r"weights of 1e\+300 do not fit"),
        (lambda: network(1e-50), "weights of 1e-50 do not fit in float32, which holds 1.2e-38 to 3.4e"),
        (lambda: network(model=sn.LIF(initial=1e39)), "population 'cells': initial membrane does not fit in float32"),
        (lambda: network(model=sn.LI(bias=-1e39)), "population 'cells': offset does not fit in float32"),
        (lambda: network(drive=sn.PoissonDrive(5.0, 1e39)), "population 'cells': weight of drive 0 does not fit"),
        (
            lambda: network(plasticity=sn.STDP(maximum=1e300)),
            r"'in->cells': maximum=1e\+300 of its rule does not fit in float32",
        ),
        (lambda: network(plasticity=sn.STDP(1e39)), r"'in->cells': pair_potentiation=1e\+39 of its rule does not fit"),
        (
            lambda: network(plasticity=sn.STDP(depression=1e-50)),
            "'in->cells': pair_depression=1e-50 of its rule does not fit",
        ),
    ],
)
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_numbers_that_float32_does_not_hold_are_refused_in_it(plastic_backend, make, message, dtype):
    if dtype == DOUBLE:
        sn.Simulation(make(), plastic_backend, dtype=dtype)
        return
    with pytest.raises(ParameterError, match=message):
        sn.Simulation(make(), plastic_backend)


@pytest.mark.parametrize("minimum", [-1e-9, -1.0, -np.inf])
def test_no_rule_learns_conductances_below_zero(minimum):
    with pytest.raises(ParameterError, match=r"'in->cells': minimum=.*: a weight of -.* on the Conductance"):
        network(model=sn.ConductanceLIF(), plasticity=sn.STDP(minimum=minimum))
    network(model=sn.ConductanceLIF(), plasticity=sn.STDP())


# -- what diverges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [False, True])
@pytest.mark.parametrize(
    ("weight", "reset", "message"),
    [
        (3e38, "zero", r"population 'cells': the membrane of neuron 0( in recording 1)? is (nan|inf) after tick 9;"),
        (
            -3e38,
            "subtract",
            r"population 'cells': the membrane of neuron 0( in recording 1)? is (nan|-inf) after tick 9;",
        ),
        (
            3e37,
            "subtract",
            r"is \S+e\+3\d after tick 9, from which the threshold cannot be subtracted any more; all was",
        ),
    ],
)
def test_sums_that_leave_the_range_of_numbers_stop_a_run(backend, samples, weight, reset, message):
    """Of several recordings it is the second one that has input."""
    model = sn.LIF(1.0, reset=reset)
    simulation = sn.Simulation(network(weight, model, inputs=samples), backend)
    counts = np.zeros((3, 10, 2), int)
    counts[1, 1:4] = 1
    given = sn.Events.from_dense(counts, DT)
    with pytest.raises(DivergenceError, match=message):
        simulation.run_samples(given, batch_size=2) if samples else simulation.run(10 * DT)
    if not samples:
        with pytest.raises(SnnsimError, match="state is lost"):
            simulation.run(DT)
        simulation.reset()
    assert sn.Simulation(network(weight, model, times=(50,)), backend).run(10 * DT).n_ticks == 10


def test_large_numbers_that_mean_something_are_let_be(backend):
    """A readout that sums without bound, a neuron held down, and a reset that does not depend on the membrane."""
    for model, weight in (
        (sn.LI(np.inf), 1e30),
        (sn.LIF(), -1e12),
        (sn.LIF(reset="zero"), 1e12),
        (sn.LIF(threshold=1e30), 2e30),
    ):
        sn.Simulation(network(weight, model), backend).run(10 * DT)


def conductances(weight, integration="euler", tau=20e-3, inputs=False):
    receptor = sn.Conductance(5e-3, 0.0, "excitatory")
    model = sn.ConductanceLIF(receptor, tau, threshold=10.0, integration=integration)
    return network(weight, model, times=(1,), dt=1e-4, delay=1e-4, inputs=inputs)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("samples", [False, True])
def test_forward_euler_that_is_unstable_in_any_tick_is_found(backend, dtype, samples):
    """Unstable from a sum of conductances of 2 tau / dt - 1 on, here 399, of two inputs; also long after that has
    decayed."""
    given = sn.Events.from_ticks([1, 1], [0, 1], n_sources=2, n_ticks=1500, dt=1e-4)

    def run(weight, integration="euler"):
        simulation = sn.Simulation(conductances(weight, integration, inputs=samples), backend, dtype=dtype)
        record = sn.Trace("cells")
        result = simulation.run_samples(given, record=record) if samples else simulation.run(0.15, record=record)
        return result.traces["cells.membrane"][0, :, 0]

    for weight in (199.6, 1e4, 1e30):
        with pytest.raises(DivergenceError, match=r"'cells': the membrane of neuron 0 is (nan|inf|-inf) after"):
            run(weight)
        assert np.all(np.isfinite(run(weight, "exact")))
    below = run(199.0)
    by_hand, membrane, g = [], -60e-3, 0.0
    for tick in range(1500):
        membrane += 1e-4 / 20e-3 * ((-60e-3 - membrane) - g * membrane)
        g = g * (1 - 1e-4 / 5e-3) + (398.0 if tick == 2 else 0.0)
        by_hand.append(membrane)
    np.testing.assert_allclose(below, by_hand, rtol=1e-3 if dtype == SINGLE else 1e-9, atol=1e-6)


def test_time_constants_of_each_neuron_have_limits_of_their_own(backend):
    tau = np.array([20e-3, 2e-3])  # 399 and 39
    simulation = sn.Simulation(conductances(50.0, tau=tau), backend)
    with pytest.raises(DivergenceError, match="the membrane of neuron 1 is"):
        simulation.run(0.01)


def test_a_large_state_is_watched_population_by_population(backend):
    populations = [sn.Population("many", 5000, sn.LIF()), sn.Population("sum", 1, sn.LI(np.inf, bias=2e37))]
    big = sn.Network(populations, [sn.Projection("many", "sum", sn.Dense(0.1), delay=5 * DT)], dt=DT)
    simulation = sn.Simulation(big, backend)
    simulation.run(10 * DT)
    with pytest.raises(
        DivergenceError, match=r"'sum': the membrane of neuron 0 is inf after tick 29; .* before tick 10"
    ):
        simulation.run(20 * DT)

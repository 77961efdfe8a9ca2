"""Neurons against closed forms, integrators of differential equations, and counts worked out by hand."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from snnsim import (
    IF,
    LI,
    LIF,
    AdaptiveLIF,
    Alpha,
    ConductanceLIF,
    Delta,
    Events,
    Exponential,
    HomeostaticLIF,
    Input,
    Network,
    Poisson,
    Population,
    Projection,
    Scripted,
    Simulation,
    Sparse,
    Trace,
)
from snnsim.errors import NetworkError, ParameterError
from snnsim.neurons import MODELS
from snnsim.numerics import rng

DT = 1e-3


def response(backend, model, arrivals=(), *, n_ticks=50, dt=DT, states=("membrane",), dtype="float64", receptor=None):
    """Run one neuron; `arrivals` are (tick, weight). Return its traces, one row a state, and its spike ticks."""
    weights = [weight for _, weight in arrivals] or [0.0]
    populations = [
        Population("in", len(weights), Scripted([t * dt for t, _ in arrivals], list(range(len(arrivals))))),
        Population("cell", 1, model),
    ]
    rule = Sparse(np.arange(len(weights)), np.zeros(len(weights), int), np.array(weights))
    network = Network(populations, [Projection("in", "cell", rule, receptor=receptor)], dt=dt)
    probes = [Trace("cell", state) for state in states] + (["cell"] if model.spiking else [])
    result = Simulation(network, backend, dtype=dtype).run(n_ticks * dt, record=probes)
    spikes = result.spikes["cell"].ticks.tolist() if model.spiking else []
    return np.array([result.traces[f"cell.{state}"][0, :, 0] for state in states]), spikes


# -- the membrane below threshold ---------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [1e-3, 2.5e-4])
@pytest.mark.parametrize("model", [LIF, LI, AdaptiveLIF])
def test_decay_is_the_exponential_for_any_dt(backend, model, dt):
    n = round(0.05 / dt)
    (membrane,), _ = response(backend, model(time_constant=7e-3, rest=0.2), [(0, 0.5)], n_ticks=n, dt=dt)
    assert membrane == pytest.approx(0.2 + 0.5 * np.exp(-np.arange(n) * dt / 7e-3), rel=1e-12)


def test_euler_multiplies_by_one_minus_dt_over_tau(backend):
    (membrane,), _ = response(backend, LIF(time_constant=10e-3, integration="euler"), [(0, 0.5)])
    assert membrane == pytest.approx(0.5 * 0.9 ** np.arange(50), rel=1e-12)


@pytest.mark.parametrize(("tau", "expected"), [(np.inf, np.full(50, 0.25)), (0.0, np.eye(1, 50)[0] * 0.25)])
def test_a_membrane_that_never_leaks_and_one_that_forgets(backend, tau, expected):
    (membrane,), _ = response(backend, LI(time_constant=tau), [(0, 0.25)])
    assert membrane.tolist() == expected.tolist()


def test_constant_input_settles_at_its_fixed_point(backend):
    decay = np.exp(-1 / 5)
    (plain,), _ = response(backend, LI(time_constant=5e-3, bias=0.3), n_ticks=400)
    (scaled,), _ = response(backend, LI(time_constant=5e-3, bias=0.3, rest=-1.0, decay_input=True), n_ticks=400)
    assert plain[-1] == pytest.approx(0.3 / (1 - decay), rel=1e-12)
    assert scaled[-1] == pytest.approx(-1.0 + 0.3, rel=1e-12)


def alpha(t, tau, tau_s):
    """Membrane after a unit jump of the current: tau dV/dt = -V + I, tau_s dI/dt = -I."""
    if tau == 0:
        return np.where(t > 0, np.exp(-t / tau_s), 0.0)
    if tau == tau_s:
        return t / tau * np.exp(-t / tau)
    return tau_s / (tau_s - tau) * (np.exp(-t / tau_s) - np.exp(-t / tau))


@pytest.mark.parametrize("dt", [2e-3, 1e-3, 1.25e-4])
@pytest.mark.parametrize(("tau", "tau_s"), [(20e-3, 5e-3), (5e-3, 20e-3), (10e-3, 10e-3), (0.0, 4e-3), (1e-6, 1.0)])
def test_exponential_receptor_is_exact_on_every_grid(backend, tau, tau_s, dt):
    n = round(0.04 / dt)
    model = LI(time_constant=tau, receptors=Exponential(tau_s))
    (membrane,), _ = response(backend, model, [(0, 2.0)], n_ticks=n, dt=dt)
    assert membrane == pytest.approx(2.0 * alpha(np.arange(n) * dt, tau, tau_s), rel=1e-10, abs=1e-15)


def test_exponential_receptor_loses_no_digits_where_the_time_constants_nearly_agree():
    near, equal = (
        LIF(time_constant=10e-3 * (1 + gap), receptors=Exponential(10e-3)).receptor_coefficients(
            Exponential(10e-3), 1e-3
        )
        for gap in (2e-9, 0.0)
    )
    assert near[1] == pytest.approx(equal[1], rel=1e-8)
    assert equal[1] == pytest.approx(0.1 * np.exp(-0.1), rel=1e-14)


def test_two_receptors_against_an_integrator_of_differential_equations(backend):
    tau, fast, slow = 12e-3, 3e-3, 25e-3
    model = LI(time_constant=tau, receptors=(Exponential(fast, "fast"), Exponential(slow, "slow"), Delta("jump")))
    net = Network(
        [Population("in", 3, Scripted([0.0, 0.004, 0.010], [0, 1, 2])), Population("cell", 1, model)],
        [
            Projection("in", "cell", Sparse([0], [0], 1.5), name="a"),
            Projection("in", "cell", Sparse([1], [0], -2.0), name="b", receptor="slow"),
            Projection("in", "cell", Sparse([2], [0], 0.7), name="c", receptor="jump"),
        ],
        dt=DT,
    )
    membrane = (
        Simulation(net, backend, dtype="float64").run(0.03, record=Trace("cell")).traces["cell.membrane"][0, :, 0]
    )
    state, expected = np.array([0.0, 1.5, 0.0]), [0.0]
    for tick in range(1, 30):
        state = solve_ivp(
            lambda t, y: [(-y[0] + y[1] + y[2]) / tau, -y[1] / fast, -y[2] / slow],
            (0, DT),
            state,
            rtol=1e-11,
            atol=1e-14,
        ).y[:, -1]
        state = state + {4: [0, 0, -2.0], 10: [0.7, 0, 0]}.get(tick, [0, 0, 0])
        expected.append(state[0])
    assert membrane == pytest.approx(np.array(expected), abs=1e-9)


def test_scaling_of_the_input_leaves_currents_alone(backend):
    """`decay_input` is for delta input and bias; the coupling of a current is already exact."""
    model = LI(time_constant=8e-3, decay_input=True, receptors=(Exponential(3e-3, "slow"), Delta("jump")))
    (membrane,), _ = response(backend, model, [(0, 2.0)])
    assert membrane == pytest.approx(2.0 * alpha(np.arange(50) * DT, 8e-3, 3e-3), rel=1e-10)
    (membrane,), _ = response(backend, model, [(0, 2.0)], receptor="jump")
    assert membrane[0] == pytest.approx(2.0 * (1 - np.exp(-1 / 8)))


def test_euler_current_is_seen_one_tick_later(backend):
    model = LI(time_constant=10e-3, receptors=Exponential(5e-3), integration="euler")
    (membrane,), _ = response(backend, model, [(0, 1.0)], n_ticks=4)
    assert membrane == pytest.approx([0.0, 0.1, 0.9 * 0.1 + 0.1 * 0.8, 0.9 * 0.17 + 0.1 * 0.64])


@pytest.mark.parametrize("model", [LIF, LI, AdaptiveLIF])
@pytest.mark.parametrize("receptor", [Delta(), Exponential(5e-3), Alpha(5e-3)], ids=lambda r: type(r).__name__)
def test_a_membrane_that_scaled_input_would_not_reach_is_refused(model, receptor):
    for tau in (np.inf, np.array([1.0, np.inf])):
        with pytest.raises(ParameterError, match="time_constant=inf with decay_input=True"):
            model(tau, decay_input=True, receptors=receptor)
    for tau, dt in ((1e20, 1e-6), (1.1e14 * DT, DT), (np.array([1.0, 1e12]), DT)):
        network = Network([Population("cell", 2, model(1.0, receptors=receptor))], [], dt=dt)
        with pytest.raises(ParameterError, match=r"population 'cell': time_constant=.* is lost in rounding"):
            network.replaced([Population("cell", 2, model(tau, decay_input=True, receptors=receptor))])
    # Below that what is left of the input is what it should be, and without scaling a membrane may never leak.
    gain = model(0.9e14 * DT, decay_input=True).coefficients(DT).gain
    assert gain == pytest.approx(1 / 0.9e14, rel=0.02)
    assert model(np.inf).coefficients(DT).gain == 1.0


def test_one_number_a_neuron(backend):
    tau = np.array([2e-3, 10e-3, 50e-3])
    model = LIF(time_constant=tau, threshold=np.full(3, 9.0), initial=np.array([1.0, 2.0, 3.0]))
    net = Network([Population("cell", 3, model)], [], dt=DT)
    trace = Simulation(net, backend, dtype="float64").run(0.005, record=Trace("cell")).traces["cell.membrane"][0]
    assert trace == pytest.approx(np.array([1.0, 2.0, 3.0]) * np.exp(-np.arange(1, 6)[:, None] * DT / tau))


# -- firing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [LIF, IF, AdaptiveLIF])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exactly_at_threshold(backend, model, dtype):
    assert response(backend, model(threshold=0.75, strict=False), [(3, 0.75)], dtype=dtype)[1] == [3]
    assert response(backend, model(threshold=0.75, strict=True), [(3, 0.75)], dtype=dtype)[1] == []
    assert response(backend, model(threshold=0.75, strict=True), [(3, 0.7500001)], dtype=dtype)[1] == [3]
    assert response(backend, model(threshold=0.75), [(3, 0.7499999)], dtype=dtype)[1] == []


@pytest.mark.parametrize("model", [LIF, IF, AdaptiveLIF])
@pytest.mark.parametrize(
    ("reset", "landing"), [("subtract", 1.25 - 0.75), ("zero", 0.0), (-0.5, -0.5), (0.25, 0.25), (np.array([0.5]), 0.5)]
)
def test_where_the_membrane_lands(backend, model, reset, landing):
    (membrane,), spikes = response(backend, model(threshold=0.75, reset=reset), [(2, 1.25)], n_ticks=4)
    assert spikes == [2]
    assert membrane[2] == landing


RESETS = [LIF, IF, AdaptiveLIF, HomeostaticLIF, ConductanceLIF]


@pytest.mark.parametrize("model", RESETS)
@pytest.mark.parametrize(
    ("threshold", "reset", "lands"),
    [
        (-50e-3, "subtract", 0),
        (-50e-3, "zero", 0),
        (0.0, "subtract", 0),
        (0.0, "zero", 0),
        (-50e-3, -50e-3, -50e-3),
        (1.0, 1.0 + 2**-52, 1.0 + 2**-52),
        (np.array([1.0, 0.5, -0.25, -1.0]), "subtract", 0),
        (np.array([1.0, 0.5, 0.25, 0.0]), np.array([0.0, 0.0, 0.25, 1.0]), 0.25),
    ],
)
def test_a_reset_that_lands_where_the_neuron_fires_is_refused(model, threshold, reset, lands):
    first = " \\(neuron 2\\)" if isinstance(threshold, np.ndarray) else ""
    with pytest.raises(ParameterError, match=rf"from a threshold of \S+{first} the membrane lands at {lands!r},"):
        model(threshold=threshold, reset=reset)


@pytest.mark.parametrize("model", RESETS)
def test_a_strict_neuron_may_land_at_its_threshold(backend, model):
    if model in (LIF, IF, AdaptiveLIF):  # one spike, and silence at threshold
        assert response(backend, model(threshold=0.0, reset="zero", strict=True), [(2, 0.5)])[1] == [2]
    model(threshold=-0.05, reset=-0.05, strict=True)
    model(threshold=np.array([1.0, -0.5]), reset=np.array([0.0, -0.5]), strict=True)
    for threshold, reset in ((0.0, "subtract"), (-0.05, "zero"), (-0.05, -0.049)):
        with pytest.raises(ParameterError, match="lands at"):
            model(threshold=threshold, reset=reset, strict=True)


def test_a_neuron_in_volts_fires_once(backend):
    """One input, one spike: with a reset that can be reached, the default ones having been refused."""
    for model in (LIF, AdaptiveLIF):
        for reset in (-65e-3, -51e-3):
            cell = model(threshold=-50e-3, rest=-65e-3, reset=reset)
            assert response(backend, cell, [(5, 20e-3)], n_ticks=1000)[1] == [5]


def test_tonic_firing_and_membranes_without_memory_are_no_errors(backend):
    """Rest, bias or initial membrane above threshold are allowed, and so is a reset without effect."""
    for model in (LIF(rest=2.0), LIF(bias=3.0), AdaptiveLIF(initial=5.0), IF(initial=2.0, bias=1.0)):
        assert response(backend, model)[1]
    follower = LIF(time_constant=0.0, threshold=-0.25)
    assert response(backend, follower, [(3, -1.0), (4, -1.0)], n_ticks=6)[1] == [0, 1, 2, 5]
    LIF(time_constant=np.array([0.0, 1.0]), threshold=np.array([-1.0, 1.0]))
    with pytest.raises(ParameterError, match="neuron 1"):
        LIF(time_constant=np.array([0.0, 1.0]), threshold=-1.0)
    with pytest.raises(ParameterError, match=r"differ in shape: \(2,\), \(3,\)"):
        IF(threshold=np.ones(2), reset=np.zeros(3))
    with pytest.raises(ParameterError, match="lands at 0"):
        ConductanceLIF(rest=0.0, threshold=0.0)
    with pytest.raises(ParameterError, match=r"from a threshold of -1 the"):
        AdaptiveLIF(adaptation=-2.0)


def test_a_reset_that_only_float64_tells_from_the_threshold_is_refused_in_float32(backend):
    network = Network([Population("cell", 2, LIF(reset=np.array([0.0, 1 - 1e-9])))], [], dt=DT)
    with pytest.raises(ParameterError, match="population 'cell': in float32 the membrane lands at its threshold"):
        Simulation(network, backend)
    Simulation(network, backend, dtype="float64")
    Simulation(network.replaced([Population("cell", 2, LIF(0.0, threshold=0.0))]), backend)


def test_a_homeostatic_threshold_that_falls_below_the_reset_comes_back(backend):
    """No input: the threshold falls to where the reset lands, and a few spikes in a row bring it up again."""
    for reset, rest in (("subtract", 0.0), ("zero", -0.3), (0.1, -0.3)):
        model = HomeostaticLIF(rest=rest, reset=reset, target_rate=20.0, rise=0.05)
        (shift,), spikes = response(backend, model, n_ticks=5000, states=("shift",))
        assert len(spikes) / 5.0 == pytest.approx(20.0, rel=0.4)
        assert -1.5 < shift.min() < shift.max() < 0.5


@pytest.mark.parametrize("model", [LIF, IF, AdaptiveLIF])
@pytest.mark.parametrize("ticks", [0, 1e-9, 1, 2, 7])
def test_refractory_ticks_are_counted_exactly(backend, model, ticks):
    """With a bias above threshold and reset to zero a neuron fires at every (1 + refractory) ticks."""
    more = {"adaptation": 0.0} if model is AdaptiveLIF else {}
    cell = model(bias=2.0, reset="zero", refractory=ticks * DT, **more)
    (membrane,), spikes = response(backend, cell, n_ticks=60)
    assert spikes == list(range(0, 60, 1 + round(ticks)))
    assert np.all(membrane == 0)


def test_input_on_a_delta_receptor_is_lost_while_refractory(backend):
    arrivals = [(1, 2.0), (2, 0.5), (3, 0.5), (4, 0.5)]
    (membrane,), spikes = response(backend, IF(reset=0.125, refractory=2 * DT), arrivals, n_ticks=6)
    assert spikes == [1]
    assert membrane.tolist() == [0.0, 0.125, 0.125, 0.125, 0.625, 0.625]


def test_a_current_lives_on_while_refractory(backend):
    tau, tau_s = 10e-3, 5e-3
    model = LIF(time_constant=tau, reset="zero", refractory=4 * DT, receptors=(Delta(), Exponential(tau_s, "slow")))
    net = Network(
        [Population("in", 1, Scripted([0.0], [0])), Population("cell", 1, model)],
        [
            Projection("in", "cell", Sparse([0], [0], 3.0), name="kick"),
            Projection("in", "cell", Sparse([0], [0], 0.5), name="current", receptor="slow"),
        ],
        dt=DT,
    )
    membrane = (
        Simulation(net, backend, dtype="float64").run(0.012, record=Trace("cell")).traces["cell.membrane"][0, :, 0]
    )
    left = 0.5 * np.exp(-4 * DT / tau_s)
    assert membrane[:5].tolist() == [0.0] * 5
    assert membrane[5:] == pytest.approx(left * alpha(np.arange(1, 8) * DT, tau, tau_s), rel=1e-12)


@pytest.mark.parametrize("bias", [0.0, 0.125, 0.25, 0.625, 1.0])
def test_integrate_and_fire_counts_its_input_in_thresholds(backend, bias):
    """Nothing leaks: the number of spikes is the total input over the threshold, rounded down."""
    _, spikes = response(backend, IF(bias=bias, threshold=1.0), n_ticks=37)
    assert len(spikes) == int(np.floor(37 * bias))
    _, spikes = response(backend, IF(bias=bias, threshold=1.0, initial=0.5), n_ticks=37)
    assert len(spikes) == int(np.floor(37 * bias + 0.5))


def test_interval_of_a_leaky_neuron_is_the_closed_form(backend):
    """With rest + input u > threshold the first crossing is at tau ln(u / (u - threshold))."""
    tau, drive = 20e-3, 1.5
    period = int(np.ceil(tau * np.log(drive / (drive - 1.0)) / DT))
    _, spikes = response(
        backend, LIF(time_constant=tau, bias=drive, decay_input=True, reset="zero"), n_ticks=10 * period
    )
    assert spikes == [period * k - 1 for k in range(1, 11)]


def test_adaptive_threshold_reaches_its_steady_state(backend):
    """Firing at every tick, the trace before the test settles at rho / (1 - rho)."""
    rho, beta, model = np.exp(-1 / 20), 0.125, AdaptiveLIF
    cell = model(time_constant=0.0, bias=50.0, adaptation=beta, adaptation_time_constant=20e-3, reset="subtract")
    (membrane, trace), spikes = response(backend, cell, n_ticks=600, states=("membrane", "trace"))
    assert len(spikes) == 600
    assert trace[-1] == pytest.approx(1 / (1 - rho), rel=1e-10)
    assert membrane[-1] == pytest.approx(50.0 - (1.0 + beta * rho / (1 - rho)), rel=1e-10)


def test_adaptation_slows_firing_and_none_is_a_plain_lif(backend):
    base = {"bias": 0.2, "time_constant": 20e-3}
    plain = response(backend, LIF(**base), n_ticks=300)[1]
    assert response(backend, AdaptiveLIF(adaptation=0.0, **base), n_ticks=300)[1] == plain
    adapted = response(backend, AdaptiveLIF(adaptation=0.3, **base), n_ticks=300)[1]
    assert 0 < len(adapted) < len(plain)
    intervals = np.diff(adapted)
    assert intervals[:3].mean() < intervals[-3:].mean()


# -- sources ------------------------------------------------------------------------------------------------


def test_poisson_counts_have_the_mean_and_the_variance_of_the_rate():
    rates = np.array([0.0, 20.0, 200.0, 3000.0])
    events = Poisson(rates).generate(4, DT, 0, 5000, np.arange(10), 1, 2)
    counts = events.to_dense().reshape(-1, 4)
    mean = rates * DT
    assert np.all(np.abs(counts.mean(axis=0) - mean) <= 5 * np.sqrt(mean / counts.shape[0]))
    spread = np.sqrt((mean + 2 * mean**2) / counts.shape[0])  # standard error of the variance of Poisson counts
    assert np.all(np.abs(counts.var(axis=0) - mean) <= 5 * spread)


def test_large_poisson_means_are_drawn_right_and_beyond_the_bound_refused():
    counts = Poisson(400e3).generate(3, DT, 0, 300, np.arange(1), 3, 4).to_dense()
    assert abs(counts.mean() - 400) < 5 * np.sqrt(400 / 900)
    with pytest.raises(ParameterError, match=r"population 'noise': rate=1e\+06/s is 1000 events a tick.*at most 500"):
        Network([Population("noise", 1, Poisson(1e6))], [], dt=DT)


def test_poisson_numbers_do_not_depend_on_blocks_or_on_the_batch():
    source = Poisson(np.array([100.0, 400.0, 50.0]))
    whole = source.generate(3, DT, 0, 90, np.arange(6), 7, 8)
    parts = [source.generate(3, DT, start, 30, np.arange(6), 7, 8) for start in (0, 30, 60)]
    assert np.array_equal(whole.to_dense(), np.concatenate([part.to_dense() for part in parts], axis=1))
    assert whole[[4, 2]] == source.generate(3, DT, 0, 90, np.array([4, 2]), 7, 8)
    assert whole[0] != whole[1]
    assert whole != source.generate(3, DT, 0, 90, np.arange(6), 9, 8)


def counts_by_numpy(rates, dt, start, n_ticks, recording, seed, stream):
    """The definition: the inverse of the cumulative distribution at `rng.uniform`, shape (ticks, sources)."""
    element = recording * rates.size + np.arange(rates.size)
    uniform = rng.uniform(seed, stream, element[None, :], np.arange(start, start + n_ticks)[:, None])
    term = np.exp(-rates * dt) * np.ones_like(uniform)
    cumulative, counts = term.copy(), np.zeros(uniform.shape, int)
    for k in range(1, 200):
        counts += uniform >= cumulative
        term = term * (rates * dt / k)
        cumulative = cumulative + term
    return counts


def test_poisson_events_are_the_inverse_of_the_distribution():
    rates = np.concatenate([np.linspace(0.0, 3000.0, 300), [40e3]])
    events = Poisson(rates).generate(rates.size, DT, 7, 40, np.array([5, 2]), 11, 12)
    for one, recording in zip(events.to_dense(), (5, 2), strict=True):
        assert np.array_equal(one, counts_by_numpy(rates, DT, 7, 40, recording, 11, 12))


def test_poisson_events_beyond_the_room_expected_for_them_are_not_lost(monkeypatch):
    source = Poisson(500.0)
    whole = source.generate(40, DT, 0, 200, np.arange(2), 1, 2)
    monkeypatch.setattr("snnsim.neurons.sources.sources.np.sqrt", lambda _: -100.0)  # far too little room at first
    assert source.generate(40, DT, 0, 200, np.arange(2), 1, 2) == whole


def test_scripted_events_come_at_their_times_in_every_recording():
    source = Scripted([0.003, 0.001, 0.001, 0.009], [0, 1, 1, 0])
    events = source.generate(2, DT, 1, 5, np.arange(3), 0, 0)
    assert len(events) == 3
    for one in events:
        assert (one.ticks.tolist(), one.sources.tolist(), one.n_ticks) == ([0, 0, 2], [1, 1, 0], 5)


# -- nonsense -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("time_constant", -1e-3, r"time_constant=-0\.001: must be (0 or above|above 0)"),
        ("time_constant", np.nan, "time_constant holds NaN"),
        ("time_constant", "slow", "time_constant='slow' is not a number"),
        ("threshold", np.nan, "threshold holds NaN"),
        ("threshold", np.inf, "threshold=inf: must be finite"),
        ("reset", "never", r"reset='never' is not known; allowed: 'subtract', 'zero'"),
        ("reset", np.inf, "reset=inf: must be finite"),
        ("bias", [0.0, np.nan], "bias holds NaN"),
        ("initial", -np.inf, "initial=-inf: must be finite"),
        ("rest", np.inf, "rest=inf: must be finite"),
        ("refractory", -1e-3, r"refractory=-0\.001: must be a finite number zero or above"),
        ("integration", "rk4", r"integration='rk4' is not known; allowed: 'exact', 'euler'"),
        ("receptors", (), "receptors=.*at least one"),
        ("receptors", 3, "receptors=3: expected (Delta|Conductance)"),
        ("receptors", (Delta("a"), Delta("a")), "receptors(: two have the same name|=.*expected Conductance)"),
        ("adaptation_time_constant", 0.0, r"adaptation_time_constant=0\.0: must be above 0"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(name, parameter, value, message):
    model = MODELS[name]
    if parameter not in model.__dataclass_fields__:
        with pytest.raises(TypeError, match=parameter):
            model(**{parameter: value})
        return
    with pytest.raises(ParameterError, match=message):
        model(**{parameter: value})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            LIF(threshold=np.ones(2)),
            r"population 'cell': threshold has shape \(2,\), expected one number or shape \(3,\)",
        ),
        (LIF(refractory=1.5e-3), r"population 'cell': refractory=0\.0015 s is not a whole number of ticks"),
        (LIF(time_constant=0.5e-3, integration="euler"), r"'cell': time_constant=0\.0005 s is below dt=0\.001 s"),
        (LIF(time_constant=0.0, integration="euler"), r"forward Euler is unstable"),
        (
            LIF(integration="euler", receptors=Exponential(0.5e-3)),
            r"'cell': Exponential time_constant=0\.0005 s is below dt",
        ),
        (
            LIF(time_constant=np.inf, receptors=Exponential(5e-3, "slow")),
            r"'cell': time_constant=inf: the Exponential receptor 'slow' would have no effect",
        ),
        (Poisson(np.ones(2)), r"population 'cell': rate has shape \(2,\)"),
        (Scripted([0.0], [3]), r"population 'cell': Scripted names source 3, the population has 3"),
        (Scripted([0.0015], [0]), r"population 'cell': Scripted times=0\.0015 s is not a whole number of ticks"),
    ],
)
def test_a_model_that_does_not_fit_its_population_is_named(model, message):
    with pytest.raises((ParameterError, NetworkError), match=message):
        Network([Population("cell", 3, model)], [], dt=DT)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Exponential(0.0), r"Exponential time_constant=0\.0"),
        (lambda: Poisson(-1.0), r"rate=-1\.0: must be 0 or above"),
        (lambda: Poisson(np.inf), "rate=inf: must be finite"),
        (lambda: Scripted([0.0], [0, 1]), r"Scripted: \(1,\) times but \(2,\) sources"),
        (lambda: Scripted([-1.0], [0]), "negative"),
        (lambda: Scripted([0.0], [0.5]), "sources must be whole numbers"),
        (lambda: Scripted([0.0], [-1]), "sources must be whole numbers, zero or above"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_describes_what_differs_from_the_default(name):
    model = MODELS[name]
    assert model().describe() == f"{name}()"
    assert model(bias=0.5).describe() == f"{name}(bias=0.5)"
    assert "bias=array(0…1)" in model(bias=np.array([0.0, 1.0])).describe()


def test_events_of_an_input_population_are_counted_twice_where_they_stand_twice(backend):
    net = Network(
        [Population("in", 1, Input()), Population("cell", 1, IF(threshold=9.0))],
        [Projection("in", "cell", Sparse([0], [0], 0.25))],
        dt=DT,
    )
    events = Events.from_ticks([1, 1, 1], [0, 0, 0], n_sources=1, n_ticks=3, dt=DT)
    result = Simulation(net, backend).run_samples(events, record=Trace("cell"))
    assert result.traces["cell.membrane"][0, :, 0].tolist() == [0.0, 0.75, 0.75]

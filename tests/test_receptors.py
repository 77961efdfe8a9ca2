"""Alpha currents, conductances and homeostatic thresholds against closed forms and integrators."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from snnsim import (
    LI,
    LIF,
    Alpha,
    Conductance,
    ConductanceLIF,
    Delta,
    Exponential,
    HomeostaticLIF,
    Kaiming,
    Network,
    Normal,
    PoissonDrive,
    Population,
    Projection,
    Scripted,
    Simulation,
    Sparse,
    Trace,
    Uniform,
)
from snnsim.errors import CapabilityError, ParameterError
from snnsim.neurons.membrane.relaxation import PARTS, relaxed

DT = 1e-3


def trace(backend, model, arrivals, n_ticks, dt=DT, state="membrane", dtype="float64"):
    """Run one neuron; `arrivals` are (tick, receptor, weight). Return a state after each tick."""
    times, names = [t * dt for t, _, _ in arrivals], sorted({name for _, name, _ in arrivals})
    populations = [
        Population("in", max(len(arrivals), 1), Scripted(times, list(range(len(arrivals))))),
        Population("cell", 1, model),
    ]
    projections = []
    for name in names:
        own = [(i, weight) for i, (_, receptor, weight) in enumerate(arrivals) if receptor == name]
        rule = Sparse([i for i, _ in own], [0] * len(own), np.array([weight for _, weight in own]))
        projections.append(Projection("in", "cell", rule, receptor=name, name=name))
    network = Network(populations, projections, dt=dt)
    result = Simulation(network, backend, dtype=dtype).run(n_ticks * dt, record=Trace("cell", state))
    return result.traces[f"cell.{state}"][0, :, 0]


# -- alpha ----------------------------------------------------------------------------------------------------


def membrane_of_alpha(t, tau, tau_s):
    """Membrane after a spike of weight one: tau dV/dt = -V + e t/tau_s exp(-t/tau_s)."""
    if tau == tau_s:
        return np.e / tau**2 * t**2 / 2 * np.exp(-t / tau)
    rate = 1 / tau_s - 1 / tau
    return np.e / (tau * tau_s) * (np.exp(-t / tau) - (1 + rate * t) * np.exp(-t / tau_s)) / rate**2


@pytest.mark.parametrize("dt", [2e-3, 1e-3, 1.25e-4])
@pytest.mark.parametrize(("tau", "tau_s"), [(20e-3, 5e-3), (5e-3, 20e-3), (10e-3, 10e-3), (10e-3, 2e-3)])
def test_alpha_is_exact_on_every_grid(backend, tau, tau_s, dt):
    n = round(0.06 / dt)
    membrane = trace(backend, LI(tau, receptors=Alpha(tau_s)), [(0, "input", 2.0)], n, dt)
    assert membrane == pytest.approx(2.0 * membrane_of_alpha(np.arange(n) * dt, tau, tau_s), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("weight", [1.0, -0.25])
def test_an_alpha_current_peaks_at_its_time_constant_with_its_weight(backend, weight):
    """A membrane without memory shows the current."""
    current = trace(backend, LI(0.0, receptors=Alpha(12e-3)), [(3, "input", weight)], 60)
    assert np.argmax(np.abs(current)) == 3 + 12
    assert current[15] == pytest.approx(weight, rel=1e-12)
    t = np.arange(57) * DT
    assert current[3:] == pytest.approx(weight * np.e * t / 12e-3 * np.exp(-t / 12e-3), rel=1e-9, abs=1e-15)


def test_alpha_loses_no_digits_where_the_time_constants_nearly_agree():
    tau_s = 10e-3
    equal = LIF(tau_s, receptors=Alpha(tau_s)).receptor_coefficients(Alpha(tau_s), DT)
    assert equal.rise_coupling == pytest.approx(np.e / 2 * 0.1**2 * np.exp(-0.1), rel=1e-14)
    for gap in (1e-12, 1e-9, 1e-6, 1e-3):
        for sign in (1, -1):
            tau = tau_s * (1 + sign * gap)
            near = LIF(tau, receptors=Alpha(tau_s)).receptor_coefficients(Alpha(tau_s), DT)
            assert near.rise_coupling == pytest.approx(equal.rise_coupling, rel=2 * gap + 1e-13)
            assert near.coupling == pytest.approx(equal.coupling, rel=2 * gap + 1e-13)


@pytest.mark.parametrize("ratio", [1e-4, 0.03, 0.999, 1.001, 30.0, 1e4])
def test_alpha_couplings_are_the_integrals(ratio):
    """The change of V over a tick for a current of one, and for a rise of one, at its start."""
    tau_s = 5e-3
    tau = ratio * tau_s
    c = LIF(tau, receptors=Alpha(tau_s)).receptor_coefficients(Alpha(tau_s), DT)
    s = np.linspace(0.0, DT, 400001)
    memory = np.exp(-(DT - s) / tau) / tau
    assert c.coupling == pytest.approx(np.trapezoid(memory * np.exp(-s / tau_s), s), rel=1e-4)
    assert c.rise_coupling == pytest.approx(np.trapezoid(memory * np.e / tau_s * s * np.exp(-s / tau_s), s), rel=1e-4)


@pytest.mark.parametrize("kind", [Exponential, Alpha])
@pytest.mark.parametrize("tau_s", [1e-320, 1e-200, 1e-20, 1e-3, 1e13, 1e300])
@pytest.mark.parametrize("tau", [0.0, 1e-320, 1e-200, 1e-30, 1e-3, 1e15, 1e300])
def test_coefficients_are_numbers_at_the_ends_of_the_range(kind, tau, tau_s):
    """A current that is gone at once leaves nothing; a membrane without memory follows one that stays."""
    model = LIF(tau, receptors=kind(tau_s))
    coefficients = model.receptor_coefficients(model.receptors[0], 1e-6)
    assert np.all(np.isfinite(coefficients))
    assert np.all(np.asarray(coefficients) >= 0)
    if tau_s <= 1e-20:
        assert max(coefficients) <= 1e-10
    if tau < 1e-20 < tau_s:
        assert coefficients.coupling == pytest.approx(np.exp(-1e-6 / tau_s), rel=1e-9, abs=0)


def test_alpha_among_other_receptors_against_an_integrator(backend):
    tau, alpha, slow = 12e-3, 3e-3, 25e-3
    model = LI(tau, receptors=(Exponential(slow, "slow"), Alpha(alpha, "alpha"), Delta("jump")))
    arrivals = [(0, "alpha", 1.5), (0, "slow", 0.5), (4, "alpha", -2.0), (10, "jump", 0.7)]
    membrane = trace(backend, model, arrivals, 30)
    jumps = {4: [0, 0, 0, -2.0], 10: [0.7, 0, 0, 0]}
    state, expected = np.array([0.0, 0.5, 0.0, 1.5]), [0.0]
    for tick in range(1, 30):
        state = solve_ivp(
            lambda t, y: [
                (-y[0] + y[1] + y[2]) / tau,
                -y[1] / slow,
                -y[2] / alpha + np.e / alpha * y[3],
                -y[3] / alpha,
            ],
            (0, DT),
            state,
            rtol=1e-11,
            atol=1e-14,
        ).y[:, -1]
        state = state + jumps.get(tick, [0, 0, 0, 0])
        expected.append(state[0])
    assert membrane == pytest.approx(np.array(expected), abs=1e-9)


def test_alpha_by_forward_euler(backend):
    model = LI(10e-3, receptors=Alpha(4e-3), integration="euler")
    membrane = trace(backend, model, [(0, "input", 1.0)], 6)
    v, current, rise, expected = 0.0, 0.0, 0.0, []
    for tick in range(6):
        v, current, rise = 0.9 * v + 0.1 * current, 0.75 * current + np.e / 4 * rise, 0.75 * rise + (tick == 0)
        expected.append(v)
    assert membrane == pytest.approx(expected, rel=1e-13)


# -- conductances ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "most", "bound"), [(np.float32, 1e4, 4e-7), (np.float64, 1.0, 3e-15), (np.float64, 1e4, 2e-10)]
)
def test_the_share_that_relaxes(dtype, most, bound):
    y = np.concatenate([np.geomspace(1e-9, most, 100001), [0.0, 1e5]])
    z = (y / PARTS).astype(dtype)
    exact = -np.expm1(-z.astype(np.float64) * PARTS)
    share = relaxed(z)
    assert share.dtype == dtype
    assert np.max(np.abs(share[:-2] / exact[:-2] - 1)) < bound
    assert share[-2:].tolist() == [0.0, 1.0]
    assert np.all(share <= 1)


FOREVER = 1e9  # a conductance that does not decay within the test


@pytest.mark.parametrize(("weight", "reversal"), [(0.5, 0.0), (6.0, 0.0), (67.0, -80.0), (1e4, -80.0)])
def test_a_constant_conductance_draws_the_membrane_to_its_steady_state(backend, weight, reversal):
    """V goes to (rest + g E) / (1 + g) with the time constant tau / (1 + g), however large g is."""
    tau, rest = 20e-3, -60.0
    model = ConductanceLIF(Conductance(FOREVER, reversal), tau, threshold=1e3, rest=rest)
    membrane = trace(backend, model, [(0, "input", weight)], 80)
    steady = (rest + weight * reversal) / (1 + weight)
    t = np.arange(80) * DT
    assert membrane == pytest.approx(steady + (rest - steady) * np.exp(-t * (1 + weight) / tau), rel=1e-9)


def test_two_conductances_and_a_bias_have_the_common_steady_state(backend):
    """The values of Vogels and Abbott (2005): g_e 6 nS, g_i 67 nS, leak 10 nS, reversal 0 and -80 mV."""
    model = ConductanceLIF(
        (Conductance(FOREVER, 0.0, "e"), Conductance(FOREVER, -80.0, "i")), threshold=1e3, rest=-60.0, bias=5.0
    )
    membrane = trace(backend, model, [(0, "e", 0.6), (0, "e", 0.6), (0, "i", 6.7)], 200)
    assert membrane[-1] == pytest.approx((-60.0 + 5.0 + 6.7 * -80.0) / (1 + 1.2 + 6.7), rel=1e-9)


def test_a_decaying_conductance_converges_to_the_differential_equation(backend):
    """Exact for a conductance that is constant over a tick, so the error is of first order in dt."""
    tau, tau_s, reversal, weight = 20e-3, 5e-3, 60.0, 3.0
    solution = solve_ivp(
        lambda t, y: [(-y[0] + y[1] * (reversal - y[0])) / tau, -y[1] / tau_s],
        (0, 0.03),
        [0.0, weight],
        rtol=1e-10,
        atol=1e-12,
        dense_output=True,
    ).sol
    errors = []
    for dt in (4e-4, 2e-4, 1e-4):
        n = round(0.03 / dt)
        model = ConductanceLIF(Conductance(tau_s, reversal), tau, threshold=1e3, rest=0.0)
        membrane = trace(backend, model, [(0, "input", weight)], n, dt)
        errors.append(np.max(np.abs(membrane - solution(np.arange(n) * dt)[0])))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)
    assert errors[2] < 0.02 * reversal


def test_conductances_by_forward_euler(backend):
    model = ConductanceLIF(
        (Conductance(5e-3, 0.0, "e"), Conductance(10e-3, -80.0, "i")),
        threshold=1e3,
        rest=-60.0,
        bias=2.0,
        integration="euler",
    )
    membrane = trace(backend, model, [(0, "e", 1.5), (3, "i", 4.0)], 20)
    v, e, i = -60.0, 0.0, 0.0
    for tick in range(20):
        v += 0.05 * (-60.0 - v + 2.0 + e * (0.0 - v) + i * (-80.0 - v))
        e, i = 0.8 * e + 1.5 * (tick == 0), 0.9 * i + 4.0 * (tick == 3)
        assert membrane[tick] == pytest.approx(v, rel=1e-12)


def test_a_conductance_model_fires_resets_to_rest_and_is_held(backend):
    model = ConductanceLIF(refractory=5e-3, bias=0.0)  # volts
    net = Network(
        [Population("in", 1, Scripted([0.0], [0])), Population("cell", 1, model)],
        [Projection("in", "cell", Sparse([0], [0], 8.0))],
        dt=DT,
    )
    result = Simulation(net, backend, dtype="float64").run(0.02, record=["cell", Trace("cell")])
    membrane, spikes = result.traces["cell.membrane"][0, :, 0], result.spikes["cell"].ticks
    first = spikes[0]
    assert membrane[first : first + 6].tolist() == [-60e-3] * 6
    assert membrane[first + 6] > -60e-3
    assert np.all(np.diff(spikes) > 5)


# -- homeostasis ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refractory", [0.0, 5e-3])
@pytest.mark.parametrize("target", [5.0, 40.0])
def test_a_homeostatic_neuron_reaches_its_rate_whatever_its_input(backend, target, refractory):
    size = 60
    model = HomeostaticLIF(
        bias=np.linspace(0.02, 0.4, size), target_rate=target, rise=0.2, refractory=refractory, reset="zero"
    )
    net = Network([Population("cells", size, model, drive=PoissonDrive(500.0, 0.05))], [], dt=DT)
    sim = Simulation(net, backend)
    sim.run(6.0, record=())
    events = sim.run(6.0, record="cells").spikes["cells"]
    rates = np.bincount(events.sources, minlength=size) / 6.0
    assert rates.mean() == pytest.approx(target, rel=0.02)
    assert np.max(np.abs(rates - target)) < 0.1 * target + 1.0


def test_the_threshold_of_a_homeostatic_neuron_falls_evenly_and_rises_at_spikes(backend):
    model = HomeostaticLIF(target_rate=20.0, rise=0.1, bias=0.1, time_constant=np.inf, reset="zero")
    shift = trace(backend, model, [], 40, state="shift")
    steps = np.diff(np.concatenate(([0.0], shift)))
    assert set(np.round(steps, 12)) == {-0.002, 0.098}
    # Without a leak the first spike comes where 0.1 n reaches 1 - 0.002 n.
    assert np.argmax(steps > 0) == np.ceil(1 / 0.102) - 1


# -- nonsense -------------------------------------------------------------------------------------------------


def network_of(model, weights=1.0, drive=None):
    return Network(
        [Population("in", 2, Scripted([0.0], [0])), Population("cell", 2, model, drive=drive)],
        [Projection("in", "cell", Sparse([0, 1], [0, 1], weights))],
        dt=DT,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Alpha(0.0), r"Alpha time_constant=0\.0"),
        (lambda: Conductance(-1e-3, 0.0), r"Conductance time_constant=-0\.001"),
        (lambda: Conductance(1e-3, np.nan), "Conductance reversal holds NaN"),
        (lambda: Conductance(1e-3, [0.0, 1.0]), "Conductance reversal=.*must be one number"),
        (lambda: LIF(receptors=Conductance(5e-3, 0.0)), r"expected Delta\(...\) or Exponential\(...\) or Alpha\(...\)"),
        (lambda: ConductanceLIF(receptors=Delta()), r"receptors=.*expected Conductance\(...\), at least one"),
        (lambda: ConductanceLIF(receptors=(Conductance(1.0, 0.0),) * 2), "receptors: two have the same name"),
        (lambda: ConductanceLIF(time_constant=0.0), r"time_constant=0\.0: must be above 0"),
        (lambda: ConductanceLIF(time_constant=np.inf), "time_constant=inf: must be finite"),
        (lambda: ConductanceLIF(integration="rk4"), "integration='rk4' is not known"),
        (lambda: network_of(ConductanceLIF(time_constant=1e-4, integration="euler")), "'cell': time_constant=0.0001 s"),
        (
            lambda: network_of(ConductanceLIF(receptors=Conductance(1e-4, 0.0), integration="euler")),
            r"'cell': Conductance time_constant=0\.0001 s is below dt",
        ),
        (
            lambda: network_of(LIF(receptors=Alpha(1e-4), integration="euler")),
            r"Alpha time_constant=0\.0001 s is below",
        ),
        (lambda: network_of(LIF(np.inf, receptors=Alpha(1e-3))), "time_constant=inf: the Alpha receptor 'input'"),
        (lambda: network_of(ConductanceLIF(), -1.0), "'in->cell': a weight of -1 on the Conductance 'excitatory'"),
        (lambda: network_of(ConductanceLIF(), np.array([1.0, -2.0])), "a weight of -2 on the Conductance"),
        (
            lambda: network_of(ConductanceLIF(), drive=PoissonDrive(1.0, -3.0, "inhibitory")),
            "'cell': PoissonDrive: a weight of -3 on the Conductance 'inhibitory'",
        ),
        (lambda: HomeostaticLIF(target_rate=-1.0), r"target_rate=-1\.0: must be 0 or above"),
        (lambda: HomeostaticLIF(rise=-1.0), r"rise=-1\.0: must be 0 or above"),
        (lambda: HomeostaticLIF(target_rate=300.0, refractory=5e-3), "target_rate=300.0: must be below one spike in"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_conductances_that_are_drawn_are_zero_or_above():
    network_of(ConductanceLIF(), Normal(1.0, 0.1))
    network_of(ConductanceLIF(), Normal(1.0, 1.0, low=0.0))
    for drawn in (Normal(-0.1, 0.01), Normal(1.0, 1.0), Uniform(-0.1, 1.0), Kaiming()):
        with pytest.raises(
            ParameterError, match=r"weight of -.* on the Conductance .* cut a distribution off with low=0"
        ):
            network_of(ConductanceLIF(), drawn)


def test_a_precision_that_would_lose_the_fall_of_a_threshold_is_refused(backend):
    net = Network([Population("cell", 1, HomeostaticLIF(target_rate=1.0, rise=1e-3))], [], dt=DT)
    with pytest.raises(ParameterError, match=r"'cell': in float32 a threshold of 1 does not follow a fall of 1e-06"):
        Simulation(net, backend)
    Simulation(net, backend, dtype="float64")


def test_a_receptor_whose_decay_does_not_fit_the_precision_is_refused(backend):
    net = Network([Population("cell", 1, LIF(receptors=Exponential(20.0, "slow")))], [], dt=1e-6)
    with pytest.raises(ParameterError, match=r"'cell': in float32 a slow\.decay of .* is wrong by"):
        Simulation(net, backend)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            ConductanceLIF(threshold=1.0),
            "'cell': ConductanceLIF is not trained, because it takes the inputs drive, conductance",
        ),
        (LIF(receptors=Alpha(5e-3, "slow")), "'cell': the Alpha receptor 'slow' is not trained"),
    ],
)
def test_training_refuses_by_name(model, message):
    pytest.importorskip("torch")
    from snnsim import Dense, Input
    from snnsim.training import TrainableNetwork

    populations = [Population("in", 2, Input()), Population("cell", 2, model), Population("out", 2, LI())]
    net = Network(populations, [Projection("in", "cell", Dense(1.0)), Projection("cell", "out", Dense(1.0))], dt=DT)
    with pytest.raises(CapabilityError, match=message):
        TrainableNetwork(net)

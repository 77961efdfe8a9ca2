"""Neurons between events against exact arithmetic: from far apart time constants down to equal ones, for any length."""

import decimal
import math

import numpy as np
import pytest
from numba import njit

from snnsim import LI, LIF, Delta, Dense, Exponential, Network, Population, Projection, Scripted, Simulation, Trace
from snnsim.backends.contract.layout import Layout
from snnsim.backends.contract.silent_neurons import settle
from snnsim.neurons.membrane.silent_ticks import bound, response, silent

DT = 1e-6
exact = decimal.Context(prec=80, Emax=10**12, Emin=-(10**12))


def number(value):
    return decimal.Decimal(float(value))


def decay_of(tau, dt, integration):
    share = exact.divide(number(dt), number(tau))
    return exact.subtract(1, share) if integration == "euler" else exact.exp(-share)


def power(base, n):
    """Return base ** n, zero to the power of zero being one."""
    return exact.power(base, n) if base != 0 else decimal.Decimal(n == 0)


def exact_response(tau, other, n, dt=DT, integration="exact"):
    """Return (λⁿ - ρⁿ) / (λ - ρ) in 80 digits, n λⁿ⁻¹ where both are the same."""
    first, second = (decay_of(t, dt, integration) for t in (tau, other))
    if tau == other:
        return exact.multiply(n, power(first, n - 1))
    return exact.divide(exact.subtract(power(first, n), power(second, n)), exact.subtract(first, second))


def pairs(count, seed):
    """Draw time constants from 10 ns to 100 s, from none at all to a factor of a million apart, and lengths."""
    generator = np.random.default_rng(seed)
    for i in range(count):
        tau = 10 ** generator.uniform(-8, 2)
        near = tau * (1 + generator.choice([-1, 1]) * 10 ** generator.uniform(-17, 0))
        other = [near, tau, np.nextafter(tau, 9e9), tau * 10 ** generator.uniform(-6, 6)][i % 4]
        longest = min(1e7, 600 * max(tau, other) / DT + 1)
        yield tau, max(other, 1e-9), int(10 ** generator.uniform(0, math.log10(longest)))


def closed_form(model):
    """Return the numbers of a neuron between events, and those of its currents, as they are read in compiled code."""
    membrane, currents = model.closed_form(DT)
    return type(membrane)(*map(float, membrane)), [type(one)(*map(float, one)) for one in currents]


def answer(n, form, current, function=response):
    return function(n, form.log_decay, current.log_decay, current.apart, current.share)


by_kernel = njit(response)


@pytest.mark.parametrize("integration", ["exact", "euler"])
def test_the_response_to_a_current_is_exact(integration):
    """As Python has it, and compiled."""
    largest = 0.0
    for tau, other, n in pairs(600, 1 if integration == "exact" else 2):
        if integration == "euler" and min(tau, other) < DT:
            continue
        form, (current,) = closed_form(LIF(tau, receptors=Exponential(other), integration=integration))
        right = exact_response(tau, other, n, integration=integration)
        if right < decimal.Decimal("1e-290"):
            continue
        for found in (answer(n, form, current, by_kernel), answer(n, form, current)):
            off = abs(float(exact.subtract(exact.divide(number(found), right), 1)))
            # The exponent, up to 600, is rounded.
            assert off < 3e-16 * (10 + n * DT / max(tau, other)), (tau, other, n)
            largest = max(largest, off)
    assert largest < 2e-13


@pytest.mark.parametrize("integration", ["exact", "euler"])
def test_the_peak_bounds_the_response_and_is_reached(integration):
    for tau, other, _ in pairs(300, 3):
        if integration == "euler" and min(tau, other) < 2 * DT:
            continue
        form, (current,) = closed_form(LIF(tau, receptors=Exponential(other), integration=integration))
        ticks = np.unique(np.rint(np.geomspace(1, 60 * max(tau, other) / DT + 2, 4000)))
        values = np.array([answer(n, form, current) for n in ticks])
        assert values.max() <= current.peak * (1 + 1e-12)
        # Between two ticks it may be higher.
        assert current.peak <= values.max() * (1.001 if max(tau, other) > 30 * DT else 1.3)


@pytest.mark.parametrize("integration", ["exact", "euler"])
@pytest.mark.parametrize("tau", [0.0, DT, 1e-30, 1e20, np.inf])
def test_ends_of_the_range_have_their_limits(tau, integration):
    """A membrane without memory, or without a leak, as ticks have it."""
    if integration == "euler" and tau < DT:
        return
    form, _ = closed_form(LIF(tau, rest=0.25, integration=integration))
    left = [silent(1.0, n, 0.0, form.log_decay, form.rise) for n in (1, 7)]
    decay = LIF(tau, integration=integration).coefficients(DT).decay
    assert left == pytest.approx([decay, decay**7], rel=1e-15, abs=0)
    assert form.rise == (1 / (1 - decay) if decay < 1 else 0)


@pytest.mark.parametrize("tau_s", [1e-320, 1e-20, 1e-9, 1e11, 1e13, 1e300])
@pytest.mark.parametrize("tau", [0.0, 1e-30, 20e-3, 1e15])
@pytest.mark.parametrize("model", [LIF, LI])
def test_time_constants_far_from_a_tick_run_by_events_as_by_ticks(model, tau, tau_s):
    """A current that is gone at once, or stays: the membrane moves as visits at every tick have it."""
    net = network(model(tau, receptors=(Exponential(tau_s, "slow"), Delta())), weight=0.5)
    traces = {}
    for visit in ("events", "ticks"):
        sim = Simulation(net, dtype="float64", visit=visit, threads=1)
        first = sim.run(100 * DT, record=Trace("out")).traces["out.membrane"][0, :, 0]
        sim.run(2000 * DT)
        last = sim.run(2 * DT, record=Trace("out")).traces["out.membrane"][0, :, 0]
        traces[visit] = np.concatenate([first, last])
        assert np.all(np.isfinite(traces[visit]))
    assert traces["events"] == pytest.approx(traces["ticks"], rel=1e-12, abs=0)


def network(model, weight=1.0):
    """Return one spike at tick 0 that reaches one neuron's first receptor at tick 1."""
    return Network(
        [Population("in", 1, Scripted([0.0], [0])), Population("out", 1, model)],
        [Projection("in", "out", Dense(weight), delay=DT)],
        dt=DT,
    )


@pytest.mark.parametrize("apart", [0.0, 1e-15, 1e-12, 1e-9, 9e-7, 1e-5, 1e-3, 0.1, 30.0])
@pytest.mark.parametrize("tau", [20e-3, 1.0])
def test_a_membrane_after_a_million_ticks_is_the_formula(tau, apart):
    """ts / (ts - tm) (exp(-t/ts) - exp(-t/tm)), or t/tm exp(-t/tm); on the cpu by events, and settled elsewhere."""
    tau_s = tau * (1 + apart)
    net = network(LIF(tau, threshold=1e9, receptors=[Exponential(tau_s)]))
    n = round(min(2 * tau / DT, 10**6))
    t = n * DT
    a, b = (exact.exp(-exact.divide(number(t), number(x))) for x in (tau, tau_s))
    if tau_s == tau:
        right = exact.multiply(exact.divide(number(t), number(tau)), a)
    else:
        scale = exact.divide(number(tau_s), exact.subtract(number(tau_s), number(tau)))
        right = exact.multiply(scale, exact.subtract(b, a))
    sim = Simulation(net, dtype="float64", visit="events", threads=1)
    sim.run((n + 1) * DT)
    trace = sim.run(DT, record=Trace("out")).traces["out.membrane"][0, -1, 0]
    assert trace == pytest.approx(float(right), rel=1e-13, abs=0)
    sim.reset()
    sim.run(2 * DT)
    sim.run((n - 1) * DT)
    other = Simulation(net, "reference", dtype="float64")
    other._state = sim.state
    trace = other.run(DT, record=Trace("out")).traces["out.membrane"][0, -1, 0]
    assert trace == pytest.approx(float(right), rel=1e-13, abs=0)


def test_only_models_with_the_equations_have_a_closed_form():
    from snnsim import AdaptiveLIF, Alpha

    class Other(LIF):
        """A model of a user's own may have other equations."""

    for model in (LIF(receptors=(Exponential(1e-3, "a"), Delta("b"))), LI()):
        assert model.closed_form(DT) is not None
    for model in (AdaptiveLIF(), LIF(receptors=(Alpha(1e-3),)), Other()):
        assert model.closed_form(DT) is None


@pytest.mark.parametrize("current", [-3.0, 0.0, 2.0])
@pytest.mark.parametrize("membrane", [-1.0, 0.9])
def test_a_neuron_never_exceeds_its_bound(membrane, current):
    model = LIF(5e-6, rest=0.2, bias=0.01, receptors=Exponential(8e-6))
    form, (pull,) = closed_form(model)
    offset = model.coefficients(DT).offset
    most = bound(membrane, form.settled) + max(0.0, pull.factor * current) * pull.peak
    path = [
        silent(membrane, n, offset, form.log_decay, form.rise) + pull.factor * current * answer(n, form, pull)
        for n in range(1, 400)
    ]
    assert max(path) <= most
    assert path[-1] == pytest.approx(form.settled)


@pytest.mark.parametrize("visit", ["events", "ticks"])
@pytest.mark.parametrize("apart", [0.0, 1e-10, 1e-6, 1e-3])
def test_a_neuron_at_the_peak_of_its_response_is_visited_in_time(apart, visit):
    """With a threshold just below the peak it fires, just above it does not, however close the time constants are."""
    tau = 5e-3
    tau_s = tau * (1 + apart)
    peak = (tau_s / tau) ** (-tau / (tau_s - tau)) if apart > 1e-4 else math.exp(-1 + apart / 2)
    fired = []
    for share in (1 - 1e-5, 1 + 1e-5):
        net = network(LIF(tau, threshold=peak * share, reset=0.0, receptors=[Exponential(tau_s)]))
        result = Simulation(net, dtype="float64", visit=visit).run(20e-3, record="out")
        fired.append(result.spikes["out"].ticks.tolist())
    assert fired[1] == []
    assert len(fired[0]) == 1
    assert abs(fired[0][0] * DT - tau) < 50e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_that_is_taken_up_is_what_the_neurons_would_have_been(dtype):
    """Settling compiles the functions of the visits: equal bits, whatever was left alone for how long."""
    net = Network(
        [
            Population("in", 1, Scripted([0.0, 3e-5], [0, 0])),
            Population("out", 40, LIF(np.linspace(5e-6, 9e-5, 40), rest=0.1, bias=0.001, receptors=Exponential(3e-5))),
        ],
        [Projection("in", "out", Dense(0.4), delay=DT)],
        dt=DT,
    )
    sim = Simulation(net, dtype=dtype, visit="events", threads=1)
    recorded = sim.run(200 * DT, record=Trace("out")).traces["out.membrane"][0, -1]
    state, layout = sim.state, Layout.of(net)
    assert np.any(state.visited < state.tick)
    settle(net, layout, state)
    membranes = layout.states(state.floats, layout.places[0])[0, 0]
    assert np.array_equal(membranes, recorded.astype(dtype))
    assert state.visited is None

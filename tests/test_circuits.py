"""Published networks against theory, against the published parameters, and against rates that NEST finds for them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erfcx
from scipy.stats import truncnorm

import snnsim as sn
from snnsim.circuits import (
    MicrocircuitParameters,
    brunel,
    brunel_stdp,
    potjans_diesmann,
    vogels_abbott_coba,
    vogels_abbott_cuba,
)
from snnsim.circuits.potjans_diesmann import constant_currents
from snnsim.errors import ParameterError


def rates(network, seconds, discard=0.1, **options):
    """Mean rate of each population after a start that is left out."""
    names = [population.name for population in network.populations]
    simulation = sn.Simulation(network, **options)
    if discard:
        simulation.run(discard, record=())
    result = simulation.run(seconds, record=names)
    return {name: float(result.rates(name).mean()) for name in names}


# -- Brunel -----------------------------------------------------------------------------------------------------------


def siegert(mean, deviation, time_constant, threshold, reset, refractory):
    """Rate of a leaky integrate-and-fire neuron in white noise (Siegert 1951; Brunel 2000, equation 21)."""
    integral = quad(lambda u: erfcx(-u), (reset - mean) / deviation, (threshold - mean) / deviation)[0]
    return 1 / (refractory + time_constant * np.sqrt(np.pi) * integral)


def mean_field_rate(order, g, eta, weight=0.1, time_constant=20e-3, threshold=20.0, refractory=2e-3):
    """Rate at which the network's own input and that from outside sustain just this rate."""
    outside = eta * threshold / (weight * time_constant)
    excitatory, inhibitory = 4 * order // 10, order // 10

    def surplus(rate):
        mean = time_constant * weight * (outside + (excitatory - g * inhibitory) * rate)
        variance = time_constant * weight**2 * (outside + (excitatory + g**2 * inhibitory) * rate)
        return siegert(mean, np.sqrt(variance), time_constant, threshold, 0.0, refractory) - rate

    return brentq(surplus, 0.1, 300)


@pytest.mark.parametrize(("order", "g", "eta"), [(100, 5.0, 2.0), (400, 5.0, 2.0), (400, 6.0, 2.0), (400, 5.0, 1.5)])
def test_brunel_fires_at_the_rate_of_mean_field_theory(order, g, eta):
    found = rates(brunel(order, g, eta), 0.5)
    expected = mean_field_rate(order, g, eta)
    assert found["excitatory"] == pytest.approx(expected, rel=0.02)
    assert found["inhibitory"] == pytest.approx(expected, rel=0.03)


def test_brunel_has_the_numbers_of_the_example():
    network = brunel()
    assert [population.size for population in network.populations] == [10_000, 2_500]
    degrees = {p.name: p.connectivity.in_degree for p in network.projections}
    assert degrees == {
        "excitatory->excitatory": 1000,
        "excitatory->inhibitory": 1000,
        "inhibitory->excitatory": 250,
        "inhibitory->inhibitory": 250,
    }
    assert {p.connectivity.weights for p in network.projections} == {0.1, -0.5}
    assert all(population.drive[0].rate == pytest.approx(20_000.0) for population in network.populations)
    assert all(p.plasticity is None for p in network.projections)


def test_only_excitatory_synapses_onto_excitatory_neurons_learn():
    learning = {p.name: p.plasticity for p in brunel_stdp(50).projections if p.plasticity is not None}
    assert list(learning) == ["excitatory->excitatory"]
    rule = sn.STDP(maximum=0.5)
    assert brunel_stdp(50, plasticity=rule).projection("excitatory->excitatory").plasticity is rule
    assert brunel_stdp(50, weight=0.2).projection("excitatory->excitatory").plasticity.maximum == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 0}, "order"),
        ({"order": 2.5}, "order"),
        ({"g": -1.0}, "g="),
        ({"eta": float("nan")}, "eta"),
        ({"probability": 1.5}, "probability"),
        ({"weight": 0.0}, "weight"),
        ({"delay": 1.55e-4}, "delay"),
        ({"time_constant": -1.0}, "time_constant"),
    ],
)
def test_brunel_names_what_is_not_allowed(arguments, message):
    with pytest.raises(ParameterError, match=message):
        brunel(**arguments)


# -- Vogels and Abbott -----------------------------------------------------------------------------------------------


def test_cuba_fires_as_in_nest():
    # NEST 3.10, four seeds: 4.9 to 5.6 and 5.4 to 5.6 spikes a second.
    found = rates(vogels_abbott_cuba(), 1.0, discard=0.0)
    assert found["excitatory"] == pytest.approx(5.25, rel=0.15)
    assert found["inhibitory"] == pytest.approx(5.5, rel=0.15)


def test_coba_fires_as_in_nest():
    # NEST 3.10, five runs: 18 to 22 and 20 to 21 spikes a second.
    found = rates(vogels_abbott_coba(), 0.5)
    assert found["excitatory"] == pytest.approx(20.5, rel=0.15)
    assert found["inhibitory"] == pytest.approx(20.5, rel=0.15)


@pytest.mark.parametrize("make", [vogels_abbott_cuba, vogels_abbott_coba])
def test_each_neuron_has_eighty_synapses_whatever_the_size(make):
    for n in (1000, 3001):
        network = make(n)
        assert sum(population.size for population in network.populations) == n
        synapses = sum(network.synapses(p).targets.size for p in network.projections)
        assert synapses / n == pytest.approx(80.0, rel=0.02)
    with pytest.raises(ParameterError, match="n="):
        make(10)


# -- Potjans and Diesmann ---------------------------------------------------------------------------------------------


def test_microcircuit_has_the_published_size():
    network = potjans_diesmann()
    assert sum(population.size for population in network.populations) == 77_169
    assert sum(p.connectivity.total for p in network.projections) == pytest.approx(298.9e6, rel=1e-3)
    assert len(network.projections) == 55  # nine pairs have a connection probability of zero


def test_microcircuit_has_the_parameters_of_the_reference_implementation(shared_data):
    path = shared_data / "microcircuit" / "pd14_parameters.json"
    published = json.loads(path.read_text(encoding="utf-8"))["network"]
    p, cell = MicrocircuitParameters(), published["neuron_params"]
    pairs = {
        "populations": p.populations,
        "full_num_neurons": p.sizes,
        "full_mean_rates": p.rates,
        "conn_probs": [list(row) for row in p.probabilities],
        "K_ext": p.external_in_degrees,
        "bg_rate": p.external_rate,
        "PSP_exc_mean": p.amplitude,
        "g": p.relative_inhibition,
        "weight_rel_std": p.weight_spread,
        "delay_rel_std": p.delay_spread,
    }
    for key, value in pairs.items():
        assert published[key] == (list(value) if isinstance(value, tuple) else value), key
    assert published["delay_exc_mean"] == pytest.approx(1e3 * p.excitatory_delay)
    assert published["delay_inh_mean"] == pytest.approx(1e3 * p.inhibitory_delay)
    assert np.allclose(published["PSP_matrix_mean"], p.weights() / p.current_over_potential, rtol=1e-12)
    assert cell["V0_mean"]["optimized"] == list(p.initial_means)
    assert cell["V0_std"]["optimized"] == list(p.initial_spreads)
    assert (cell["E_L"], cell["V_th"], cell["V_reset"], cell["C_m"]) == (p.rest, p.threshold, p.reset, p.capacitance)
    times = np.array([p.time_constant, p.synaptic_time_constant, p.refractory])
    assert np.allclose([cell["tau_m"], cell["tau_syn"], cell["t_ref"]], 1e3 * times, rtol=1e-12)


def test_a_postsynaptic_potential_has_the_published_peak():
    # 0.15 mV: 87.8 pA into 250 pF (Potjans and Diesmann 2014, Table 4).
    p = MicrocircuitParameters()
    assert p.external_weight == pytest.approx(87.8, abs=0.05)
    model = sn.LIF(p.time_constant, threshold=1e9, receptors=(sn.Exponential(p.synaptic_time_constant),))
    weight = p.external_weight * p.millivolt_per_picoampere
    network = sn.Network(
        [sn.Population("in", 1, sn.Scripted([0.0], [0])), sn.Population("cell", 1, model)],
        [sn.Projection("in", "cell", sn.Dense(weight))],
        dt=1e-5,
    )
    trace = sn.Simulation(network, "reference", dtype="float64").run(10e-3, record=sn.Trace("cell"))
    assert trace.traces["cell.membrane"].max() == pytest.approx(0.15, rel=1e-4)


@pytest.mark.parametrize("background", ["dc", "poisson"])
def test_scaling_keeps_mean_and_variance_of_the_input(background):
    p = MicrocircuitParameters()

    def input_of(network, share):
        """Mean and variance of the current into each population where all fire at the published rates."""
        mean, variance = [], []
        for number, population in enumerate(network.populations):
            mean.append(float(np.mean(population.model.bias)) / p.millivolt_per_picoampere)
            variance.append(0.0)
            events = [(drive.rate, drive.weight) for drive in population.drive]
            for projection in network.projections:
                if projection.target == population.name:
                    rate = p.rates[p.populations.index(projection.source)]
                    in_degree = projection.connectivity.total / population.size
                    events.append((rate * in_degree, projection.connectivity.weights.mean))
            for rate, weight in events:
                charge = weight / p.millivolt_per_picoampere * p.synaptic_time_constant
                mean[number] += rate * charge
                variance[number] += rate * charge**2
        return np.array(mean), np.array(variance)

    whole, tenth = (input_of(potjans_diesmann(s, background), s) for s in (1.0, 0.1))
    assert np.allclose(whole[0], tenth[0], rtol=6e-3)
    assert np.allclose(whole[1], tenth[1], rtol=6e-3)


def test_full_size_needs_no_compensation():
    p = MicrocircuitParameters()
    assert np.all(constant_currents(p, "poisson", 1.0) == 0)
    # 8 spikes a second on 1,600 synapses of 87.8 pA for 0.5 ms each.
    assert constant_currents(p, "dc", 1.0)[0] == pytest.approx(8 * 1600 * 87.8 * 0.5e-3, rel=1e-3)


def test_weights_keep_their_sign_and_delays_are_a_tick_or_more():
    network = potjans_diesmann(0.05)
    for name, sign, delay in (("L4E->L23E", 1.0, 15.0), ("L4I->L4E", -1.0, 7.5)):
        drawn = network.synapses(network.projection(name))
        cut = truncnorm((0.5 - delay) / (0.5 * delay), np.inf, loc=delay, scale=0.5 * delay)
        assert np.all(sign * drawn.weights >= 0)
        assert drawn.delays.min() == 1
        assert drawn.delays.mean() == pytest.approx(cut.mean(), abs=4 * cut.std() / np.sqrt(drawn.delays.size) + 0.02)
    doubled, plain = (network.projection(f"{source}->L23E").connectivity.weights.mean for source in ("L4E", "L23E"))
    assert doubled == pytest.approx(2 * plain)


@pytest.mark.slow
def test_microcircuit_fires_as_the_reference_run():
    # Scale 0.1, Poisson background, NEST: https://github.com/INM-6/microcircuit-PD14-model, PyNEST/reference_data.
    expected = [0.402, 2.017, 3.880, 4.958, 6.575, 7.726, 0.831, 6.986]
    found = rates(potjans_diesmann(0.1, "poisson", seed=3), 1.0, discard=0.5)
    # One run against another: a tenth, and for the two layers that hardly fire what their own runs differ by.
    assert list(found.values()) == pytest.approx(expected, rel=0.1, abs=0.15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, "scale"),
        ({"scale": 2.0}, "scale"),
        ({"scale": 1e-5}, "leaves population"),
        ({"in_degree_scale": -1.0}, "in_degree_scale"),
        ({"background": "noise"}, "background"),
    ],
)
def test_microcircuit_names_what_is_not_allowed(arguments, message):
    with pytest.raises(ParameterError, match=message):
        potjans_diesmann(**arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": (10, 20)},
        {"probabilities": ((0.1,),)},
        {"probabilities": tuple((1.0,) * 8 for _ in range(8))},
        {"doubled": ("L4E", "nowhere")},
        {"capacitance": 0.0},
        {"synaptic_time_constant": 10e-3},
    ],
)
def test_parameters_that_do_not_fit_together(changes):
    with pytest.raises(ParameterError):
        replace(MicrocircuitParameters(), **changes)

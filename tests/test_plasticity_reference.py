"""Plasticity as it runs: the window, bounds, triplets, sums, rewards, against values worked out by hand or naively."""

import dataclasses
import math
import re

import numpy as np
import pytest

from snnsim import (
    LIF,
    STDP,
    Dense,
    Events,
    FixedProbability,
    Input,
    Network,
    Normalisation,
    OneToOne,
    Population,
    Projection,
    RewardModulatedSTDP,
    Simulation,
    Sparse,
    Trace,
    TripletSTDP,
    Uniform,
)
from snnsim.errors import CapabilityError, NetworkError, ParameterError

DT = 1e-3


def driven(rule, connectivity=0.5, delay=DT, pre=1, post=1, maximum_input=1e3):
    """Return a network whose targets fire in the tick in which their driver does, whatever the plastic weights are."""
    return Network(
        [
            Population("pre", pre, Input()),
            Population("driver", post, Input()),
            Population("post", post, LIF(time_constant=0.0, threshold=maximum_input, reset="zero")),
        ],
        [
            Projection("driver", "post", OneToOne(2 * maximum_input)),
            Projection(
                "pre",
                "post",
                connectivity if not isinstance(connectivity, float) else Dense(connectivity),
                delay=delay,
                plasticity=rule,
                name="learning",
            ),
        ],
        dt=DT,
    )


def trains(n_ticks, size, spikes):
    """Return events from (tick, neuron) pairs."""
    ticks, sources = (np.array([pair[i] for pair in spikes], np.int64) for i in (0, 1))
    return Events.from_ticks(ticks, sources, n_sources=size, dt=DT, n_ticks=n_ticks)


def learn(backend, net, pre, post, n_ticks=400, dtype="float64"):
    """Run once and return the simulation; `pre` and `post` are (tick, neuron) pairs."""
    sim = Simulation(net, backend, dtype=dtype)
    sizes = [net.population(name).size for name in ("pre", "driver")]
    inputs = {"pre": trains(n_ticks, sizes[0], pre), "driver": trains(n_ticks, sizes[1], post)}
    result = sim.run(n_ticks * DT, inputs, record=["post"])
    fired = result.spikes["post"]
    assert sorted(zip(fired.ticks.tolist(), fired.sources.tolist(), strict=True)) == sorted(post)
    return sim


def weights_of(sim):
    return sim.weights("learning")


# -- one pair ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [1, 7])
@pytest.mark.parametrize("difference", [-300, -40, -21, -20, -3, -1, 0, 1, 2, 19, 40, 300])
def test_one_pair_gives_the_window(plastic_backend, difference, delay):
    """The presynaptic spike acts when it arrives; at the same tick it comes first."""
    rule = STDP(0.05, 0.07, 20e-3, 35e-3)
    arrival = 320
    net = driven(rule, delay=delay * DT)
    sim = learn(plastic_backend, net, [(arrival - delay, 0)], [(arrival + difference, 0)], n_ticks=700)
    expected = 0.5 + rule.window(difference * DT)
    np.testing.assert_allclose(weights_of(sim), [expected], rtol=1e-14)


@pytest.mark.parametrize("weight", [0.1, 0.9])
@pytest.mark.parametrize("difference", [-10, 5])
def test_one_pair_of_a_multiplicative_rule(plastic_backend, difference, weight):
    rule = STDP(0.05, 0.07, minimum=0.05, maximum=1.5, weight_dependence="multiplicative")
    sim = learn(plastic_backend, driven(rule, weight), [(99, 0)], [(100 + difference, 0)])
    np.testing.assert_allclose(weights_of(sim), [weight + rule.window(difference * DT, weight)], rtol=1e-13)


def test_the_weight_is_depressed_before_it_is_delivered(plastic_backend):
    """A post spike at tick 9, an arrival at tick 10: the input of tick 10 is the weight after the depression."""
    rule = STDP(0.0, 0.1, 20e-3, 20e-3)
    net = driven(rule)
    sim = Simulation(net, plastic_backend, dtype="float64")
    inputs = {"pre": trains(12, 1, [(9, 0)]), "driver": trains(12, 1, [(9, 0)])}
    result = sim.run(12 * DT, inputs, record=[Trace("post", "membrane")])
    membrane = result.traces["post.membrane"][0, :, 0]
    np.testing.assert_allclose(membrane[10], 0.5 - 0.1 * math.exp(-1 / 20), rtol=1e-14)


@pytest.mark.parametrize("minimum", [0.0, -0.3, -1e-7])
@pytest.mark.parametrize("maximum", [0.1, 0.3, 1e-9, 7.7, 1e30])
@pytest.mark.parametrize("up", [True, False])
def test_what_was_learned_up_to_a_bound_goes_on_in_either_precision(plastic_backend, minimum, maximum, up):
    """As float32 has it, a bound lies a little beyond the bound, or before it."""
    span, end = maximum - minimum, maximum if up else minimum
    rule = STDP(span if up else -span, 0.0, minimum=minimum, maximum=maximum)
    net = driven(rule, Dense((minimum + maximum) / 2), DT, maximum_input=max(1e3, 1e3 * maximum))
    pre, post = [(1, 0), (5, 0)], [(2, 0), (6, 0)]
    single = learn(plastic_backend, net, pre, post, 10, "float32")
    assert weights_of(single)[0] == np.float32(end)
    learned = single.network_with_weights()
    kept = learned.projection("learning").connectivity.weights
    assert minimum <= kept[0, 0] <= maximum
    double = learn(plastic_backend, learned, pre, post, 10, "float64")
    assert weights_of(double)[0] == end
    back = learn(plastic_backend, double.network_with_weights(), [], [], 2, "float32")
    assert weights_of(back)[0] == np.float32(end)
    by_hand = dataclasses.replace(net.projection("learning"), connectivity=Dense(weights_of(single)[:, None]))
    again = learn(plastic_backend, net.replaced(projections=[by_hand]), [], [], 2, "float64")
    assert weights_of(again)[0] == pytest.approx(end, rel=1e-7)


@pytest.mark.parametrize("bound", [0.1, 0.3, 7.7, 1e-9])
def test_the_window_of_a_multiplicative_rule_takes_what_was_learned_up_to_a_bound(bound):
    rule = STDP(0.05, 0.07, minimum=-bound, maximum=bound, weight_dependence="multiplicative")
    close = {"rtol": 1e-6, "atol": 1e-7 * bound}
    for learned in (np.float32(bound), np.float64(bound)):
        np.testing.assert_allclose(rule.window([0.0, -1e-9], learned), [0.0, -2 * bound * 0.07], **close)
        np.testing.assert_allclose(rule.window([0.0, -1e-9], -learned), [2 * bound * 0.05, 0.0], **close)
    with pytest.raises(ParameterError, match="must lie within the bounds"):
        rule.window(0.0, bound * (1 + 1e-6))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("weight", "bound"), [(0.1 + 2e-8, 0.1), (1.0 + 1e-6, 1.0), (1e200, 1e100)])
def test_weights_beyond_a_bound_are_refused_with_numbers_that_differ(plastic_backend, dtype, weight, bound):
    if weight > 3e38 and dtype == "float32":
        return
    net = driven(STDP(maximum=bound), Dense(weight), DT, maximum_input=1e3 * weight)
    with pytest.raises(NetworkError, match="leave the bounds") as caught:
        learn(plastic_backend, net, [], [], 2, dtype)
    found, allowed = re.search(r"to (\S+) leave the bounds.*maximum=(\S+);", str(caught.value)).groups()
    assert float(found) > float(allowed)


# -- many spikes -------------------------------------------------------------------------------------------------

PRE = [0, 3, 4, 11, 30, 31, 32, 50, 90, 91, 120]
POST = [1, 5, 6, 7, 33, 60, 61, 92, 119, 121, 140]


def naive(rule, pre, post, weight, delay=1):
    """Replay spikes one by one with exponentials of exact times; arrivals come first within a tick."""
    c = rule.coefficients
    tau_r, tau_o = rule.pre_time_constants, rule.post_time_constants
    r, o = [0.0] * len(tau_r), [0.0] * len(tau_o)
    before = 0
    events = sorted([(tick + delay, 0) for tick in pre] + [(tick, 1) for tick in post])
    for tick, kind in events:
        for traces, taus in ((r, tau_r), (o, tau_o)):
            for i, tau in enumerate(taus):
                traces[i] *= math.exp(-(tick - before) * DT / tau)
        before = tick
        multiplicative = rule.weight_dependence == "multiplicative"
        if kind == 0:
            loss = c.pair_depression + (c.triplet_depression * r[1] if len(r) > 1 else 0.0)
            weight -= o[0] * loss * (weight - c.minimum if multiplicative else 1.0)
        else:
            gain = c.pair_potentiation + (c.triplet_potentiation * o[1] if len(o) > 1 else 0.0)
            weight += r[0] * gain * (c.maximum - weight if multiplicative else 1.0)
        weight = min(max(weight, c.minimum), c.maximum)
        for i in range(len(r)):
            if kind == 0:
                r[i] = 1.0 if rule.pairing == "nearest" else r[i] + 1.0
            else:
                o[i] = 1.0 if rule.pairing == "nearest" else o[i] + 1.0
    return weight


RULES = [
    STDP(0.03, 0.04, 15e-3, 25e-3),
    STDP(0.03, 0.04, 15e-3, 25e-3, pairing="nearest"),
    STDP(0.2, 0.3, 15e-3, 25e-3, weight_dependence="multiplicative"),
    STDP(-0.03, -0.02, minimum=-np.inf, maximum=np.inf),
    STDP(0.5, 0.4),
    TripletSTDP(),
    TripletSTDP.hippocampus(),
    TripletSTDP(0.01, 0.02, 0.015, 0.03, pairing="nearest"),
    TripletSTDP(0.01, 0.02, 0.015, 0.03, weight_dependence="multiplicative"),
]


@pytest.mark.parametrize("delay", [1, 6])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.describe())
def test_trains_of_spikes_replayed_by_hand(plastic_backend, rule, delay):
    sim = learn(
        plastic_backend, driven(rule, delay=delay * DT), [(t, 0) for t in PRE], [(t, 0) for t in POST], n_ticks=200
    )
    np.testing.assert_allclose(weights_of(sim), [naive(rule, PRE, POST, 0.5, delay)], rtol=1e-12)


def test_nearest_pairs_only(plastic_backend):
    """Two presynaptic spikes before one postsynaptic spike: all pairs count, or the later one."""
    expected = {"all": math.exp(-30 / 20) + math.exp(-10 / 20), "nearest": math.exp(-10 / 20)}
    for pairing, total in expected.items():
        sim = learn(plastic_backend, driven(STDP(0.01, 0.0, pairing=pairing)), [(9, 0), (29, 0)], [(40, 0)])
        np.testing.assert_allclose(weights_of(sim), [0.5 + 0.01 * total], rtol=1e-13)


def test_bounds_hold_at_every_step(plastic_backend):
    """Ten potentiations would lead to 1.5, the bound is 0.8; one depression leads down from there, not from 1.5."""
    rule = STDP(0.1, 0.3, 1e-6, 20e-3, maximum=0.8)
    pre, post = [(10 * i, 0) for i in range(1, 11)], [(10 * i + 1, 0) for i in range(1, 11)]
    rule = STDP(0.1, 0.0, maximum=0.8)
    assert weights_of(learn(plastic_backend, driven(rule), pre, post))[0] == 0.8
    rule = STDP(0.0, 0.1, minimum=0.2)
    assert weights_of(learn(plastic_backend, driven(rule), pre, post))[0] == 0.2


def test_every_synapse_learns_for_itself(plastic_backend):
    """Random trains, delays and several synapses between two neurons, each against its own replay."""
    generator = np.random.default_rng(4)
    n, m, synapses, n_ticks = 7, 6, 40, 300
    sources, targets = generator.integers(0, n, synapses), generator.integers(0, m, synapses)
    delays, weights = generator.integers(1, 12, synapses), generator.uniform(0.2, 0.8, synapses)
    pre = [(int(t), int(i)) for t, i in zip(*np.nonzero(generator.random((n_ticks, n)) < 0.06), strict=True)]
    post = [(int(t), int(j)) for t, j in zip(*np.nonzero(generator.random((n_ticks, m)) < 0.06), strict=True)]
    rule = TripletSTDP(0.02, 0.03, 0.02, 0.04)
    net = driven(rule, Sparse(sources, targets, weights), delays * DT, n, m)
    found = weights_of(learn(plastic_backend, net, pre, post, n_ticks=n_ticks + 20))
    order = net.synapses(net.projection("learning")).order
    for k, synapse in enumerate(order):
        expected = naive(
            rule,
            [t for t, i in pre if i == sources[synapse]],
            [t for t, j in post if j == targets[synapse]],
            weights[synapse],
            int(delays[synapse]),
        )
        np.testing.assert_allclose(found[k], expected, rtol=1e-11)


# -- triplets ----------------------------------------------------------------------------------------------------


def protocol(rule, difference, rate, pairs=60, weight=0.5):
    """Return spikes of pairs at a rate: Sjöström et al. 2001 use 60 pairs."""
    period = round(1 / rate / DT)
    arrivals = [period * (k + 1) for k in range(pairs)]
    return [(t - 1, 0) for t in arrivals], [(t + difference, 0) for t in arrivals], period


def closed_form(rule, difference, period, pairs):
    """Sum all pairs and triplets of a periodic protocol."""
    c = rule.coefficients
    tau_plus, tau_minus, tau_y = rule.pre_time_constants[0], rule.post_time_constants[0], rule.post_time_constants[1]
    total = 0.0
    for k in range(pairs):
        arrival, post = period * (k + 1), period * (k + 1) + difference
        r1 = sum(math.exp(-(post - s) * DT / tau_plus) for s in (period * (i + 1) for i in range(pairs)) if s <= post)
        earlier = [period * (i + 1) + difference for i in range(pairs)]
        o2 = sum(math.exp(-(post - s) * DT / tau_y) for s in earlier if s < post)
        o1 = sum(math.exp(-(arrival - s) * DT / tau_minus) for s in earlier if s < arrival)
        total += r1 * (c.pair_potentiation + c.triplet_potentiation * o2) - o1 * c.pair_depression
    return total


@pytest.mark.parametrize("rate", [5.0, 20.0, 50.0])
@pytest.mark.parametrize("difference", [-10, 10])
def test_triplet_protocol_by_its_closed_form(plastic_backend, difference, rate):
    rule = TripletSTDP.visual_cortex(minimum=-np.inf, maximum=np.inf)
    pairs = 8
    pre, post, period = protocol(rule, difference, rate, pairs)
    sim = learn(plastic_backend, driven(rule), pre, post, n_ticks=period * (pairs + 2))
    np.testing.assert_allclose(weights_of(sim) - 0.5, [closed_form(rule, difference, period, pairs)], rtol=1e-9)


def test_potentiation_grows_with_the_rate_as_in_visual_cortex():
    """Pfister and Gerstner 2006, figure 3: pre 10 ms before post gives nothing at 0.1 Hz and much at 40 Hz; post before
    pre turns from depression to potentiation between 20 and 40 Hz. Pairs alone do neither."""
    rule = TripletSTDP.visual_cortex(minimum=-np.inf, maximum=np.inf)
    changes = {
        (difference, rate): closed_form(rule, difference, round(1 / rate / DT), 60)
        for difference in (-10, 10)
        for rate in (0.1, 10.0, 20.0, 40.0)
    }
    forward = [changes[10, rate] for rate in (0.1, 10.0, 20.0, 40.0)]
    assert abs(forward[0]) < 1e-3
    assert forward == sorted(forward)
    assert forward[-1] > 0.4
    assert changes[-10, 10.0] < 0 < changes[-10, 40.0]


# -- sums --------------------------------------------------------------------------------------------------------


def test_normalisation_keeps_the_sum_of_each_target(plastic_backend):
    rule = STDP(0.05, 0.04, maximum=10.0, normalisation=Normalisation(2.0, 10e-3))
    generator = np.random.default_rng(0)
    net = driven(rule, Dense(Uniform(0.1, 1.0)), 2 * DT, 8, 5)
    pre = [(int(t), int(i)) for t, i in zip(*np.nonzero(generator.random((40, 8)) < 0.1), strict=True)]
    post = [(int(t), int(j)) for t, j in zip(*np.nonzero(generator.random((40, 5)) < 0.1), strict=True)]
    weights = weights_of(learn(plastic_backend, net, pre, post, n_ticks=40)).reshape(8, 5)
    np.testing.assert_allclose(weights.sum(axis=0), 2.0, rtol=1e-14)
    assert np.ptp(weights) > 0.1


def test_normalisation_comes_at_the_end_of_each_period(plastic_backend):
    net = driven(STDP(maximum=9.0, normalisation=Normalisation(4.0, 10e-3)), Dense(1.0), DT, 2)
    for n_ticks, expected in ((9, 1.0), (10, 2.0)):
        np.testing.assert_array_equal(weights_of(learn(plastic_backend, net, [], [], n_ticks)), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalisation_scales_sizes_and_keeps_signs(plastic_backend, dtype):
    """Sum of sizes by hand: inhibitory weights are not wiped out, and mixed ones do not blow up where their sum is near
    zero; weights of which nothing is left, and none at all, are let be."""
    rows = {
        (0.5, 0.3, 0.4): (0.5 / 1.2, 0.3 / 1.2, 0.4 / 1.2),
        (-0.5, -0.3, -0.2): (-0.5, -0.3, -0.2),
        (-0.5, 0.3, 0.19): (-0.5 / 0.99, 0.3 / 0.99, 0.19 / 0.99),
        (-0.5, 0.25, 0.25): (-0.5, 0.25, 0.25),
        (1e-25, 0.0, 0.0): (1e-25, 0.0, 0.0),
        (0.0, 0.0, 0.0): (0.0, 0.0, 0.0),
    }
    rule = STDP(minimum=-1.0, maximum=1.0, normalisation=Normalisation(1.0, 5 * DT))
    net = driven(rule, Dense(np.array(list(rows)).T), DT, 3, len(rows))
    weights = weights_of(learn(plastic_backend, net, [], [], 5, dtype)).reshape(3, len(rows)).T
    np.testing.assert_allclose(weights, list(rows.values()), rtol=3e-7 if dtype == "float32" else 1e-15)
    inhibitory = driven(STDP(minimum=-1.0, maximum=0.0, normalisation=rule.normalisation), Dense(-0.5), DT, 4)
    np.testing.assert_allclose(weights_of(learn(plastic_backend, inhibitory, [], [], 5)), -0.25)


def test_normalisation_leaves_alone_what_sums_to_zero(plastic_backend):
    net = driven(STDP(normalisation=Normalisation(4.0, 1e-3)), Dense(0.0), DT, 2)
    np.testing.assert_array_equal(weights_of(learn(plastic_backend, net, [], [], 5)), 0.0)


# -- reward ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [1, 100, 700])
def test_a_reward_turns_what_is_left_of_the_eligibility_into_weight(plastic_backend, wait):
    rule = RewardModulatedSTDP(0.05, 0.07, eligibility_time_constant=0.5)
    sim = learn(plastic_backend, driven(rule), [(9, 0)], [(15, 0)], n_ticks=15 + wait)  # wait ticks to the next one
    assert weights_of(sim)[0] == 0.5
    sim.reward("learning", 0.8)
    expected = 0.5 + 0.8 * 0.05 * math.exp(-5 / 20) * math.exp(-wait * DT / 0.5)
    np.testing.assert_allclose(weights_of(sim), [expected], rtol=1e-13)


def test_eligibility_adds_up_and_decays_between_pairs(plastic_backend):
    """Pairs at 10 (pre first, 5 ticks) and 50 (post first, 3 ticks); the eligibility has no bounds, the weight has."""
    rule = RewardModulatedSTDP(0.6, 0.7, 20e-3, 20e-3, eligibility_time_constant=0.1, pairing="nearest")
    sim = learn(plastic_backend, driven(rule), [(9, 0), (49, 0)], [(15, 0), (47, 0)], n_ticks=60)
    c = 0.6 * math.exp(-5 / 20) * math.exp(-45 / 100)
    c += 0.6 * math.exp(-37 / 20) * math.exp(-13 / 100)
    c -= 0.7 * math.exp(-3 / 20) * math.exp(-10 / 100)
    sim.reward("learning", 2.0)
    np.testing.assert_allclose(weights_of(sim), [0.5 + 2.0 * c], rtol=1e-12)
    sim.reward("learning", -1e3)
    assert weights_of(sim)[0] in (0.0, 1.0)


# -- what is refused, what is kept -------------------------------------------------------------------------------


def test_weights_outside_the_bounds_are_refused(plastic_backend):
    with pytest.raises(
        NetworkError, match=r"'learning'.*weights from 1\.5 to 1\.5 leave the bounds of STDP.*maximum=1"
    ):
        Simulation(driven(STDP(), 1.5), plastic_backend)


def test_batches_of_recordings_are_refused(plastic_backend):
    sim = Simulation(driven(STDP()), plastic_backend)
    inputs = {"pre": trains(5, 1, [(1, 0)]), "driver": trains(5, 1, [])}
    with pytest.raises(CapabilityError, match=r"'learning' is plastic.*Simulation\.run"):
        sim.run_samples(inputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", [*RULES, RewardModulatedSTDP(0.03, 0.04)], ids=lambda rule: rule.describe())
def test_runs_in_pieces_are_one_run(plastic_backend, rule, dtype):
    """Spikes on their way at the seams, with delays of 1 to 12 ticks."""
    generator = np.random.default_rng(7)
    net = driven(rule, Dense(0.5), generator.integers(1, 13, (5, 4)) * DT, 5, 4)
    pre = trains(120, 5, [*zip(*np.nonzero(generator.random((120, 5)) < 0.1), strict=True)])
    post = trains(120, 4, [*zip(*np.nonzero(generator.random((120, 4)) < 0.1), strict=True)])
    whole, pieces = (Simulation(net, plastic_backend, dtype=dtype) for _ in range(2))
    whole.run(120 * DT, {"pre": pre, "driver": post})
    for first, count in ((0, 1), (1, 19), (20, 33), (53, 3), (56, 64)):
        pieces.run(count * DT, {"pre": pre.crop(count, first), "driver": post.crop(count, first)})
        if first == 20:
            weights_of(pieces)  # looking changes nothing
    np.testing.assert_array_equal(weights_of(whole), weights_of(pieces))
    for name in ("eligibility", "post_traces", "pre_traces", "flight_sources", "flight_before"):
        np.testing.assert_array_equal(getattr(whole.state.plastic[0], name), getattr(pieces.state.plastic[0], name))


def test_rewards_are_for_rules_that_wait_for_them(plastic_backend):
    sim = Simulation(driven(STDP()), plastic_backend)
    with pytest.raises(ParameterError, match="'learning' has STDP; only RewardModulatedSTDP"):
        sim.reward("learning", 1.0)
    with pytest.raises(ParameterError, match="'driver->post' has no plasticity"):
        sim.reward("driver->post", 1.0)
    sim = Simulation(driven(RewardModulatedSTDP()), plastic_backend)
    for value in (np.nan, np.inf, "much", None, [1.0]):
        with pytest.raises(ParameterError, match="reward: value="):
            sim.reward("learning", value)


@pytest.mark.parametrize("delay", [2 * DT, Uniform(1e-3, 6e-3)])
@pytest.mark.parametrize(
    "rule",
    [Dense(0.5), OneToOne(0.4), Sparse([3, 0, 3, 1], [1, 2, 0, 1], 0.3), FixedProbability(0.5, Uniform(0.2, 0.7))],
)
def test_the_learned_network_has_the_learned_weights(plastic_backend, rule, delay, tmp_path):
    generator = np.random.default_rng(1)
    net = driven(STDP(), rule, delay, 4, 4)
    pre, post = (
        [(int(t), int(i)) for t, i in zip(*np.nonzero(generator.random((60, 4)) < 0.2), strict=True)] for _ in range(2)
    )
    sim = learn(plastic_backend, net, pre, post, n_ticks=70, dtype="float32")
    learned = sim.network_with_weights()
    assert not np.array_equal(Simulation(net, plastic_backend).weights("learning"), sim.weights("learning"))
    np.testing.assert_array_equal(Simulation(learned, plastic_backend).weights("learning"), sim.weights("learning"))
    before, after = (network.synapses(network.projection("learning")) for network in (net, learned))
    np.testing.assert_array_equal(before.targets, after.targets)
    np.testing.assert_array_equal(before.offsets, after.offsets)
    assert (
        net.connection(net.projection("learning")).longest_delay
        == learned.connection(learned.projection("learning")).longest_delay
    )
    learned.save(tmp_path / "learned.h5")
    assert Network.load(tmp_path / "learned.h5").projection("learning").plasticity == STDP()


@pytest.mark.parametrize("rule", [TripletSTDP(), RewardModulatedSTDP(0.03, 0.04)], ids=lambda rule: rule.describe())
def test_a_checkpoint_goes_on_as_if_nothing_had_been(plastic_backend, rule, tmp_path):
    generator = np.random.default_rng(5)
    net = driven(rule, Dense(0.5), generator.integers(1, 13, (5, 4)) * DT, 5, 4)
    pre = trains(80, 5, [*zip(*np.nonzero(generator.random((80, 5)) < 0.1), strict=True)])
    post = trains(80, 4, [*zip(*np.nonzero(generator.random((80, 4)) < 0.1), strict=True)])
    sim = Simulation(net, plastic_backend)
    sim.run(47 * DT, {"pre": pre.crop(47, 0), "driver": post.crop(47, 0)})
    sim.save_checkpoint(tmp_path / "checkpoint.h5")
    rest = {"pre": pre.crop(33, 47), "driver": post.crop(33, 47)}
    others = [
        Simulation.from_checkpoint(tmp_path / "checkpoint.h5", backend) for backend in ("reference", plastic_backend)
    ]
    for each in (sim, *others):
        each.run(33 * DT, rest)
        if rule.eligibility is not None:
            each.reward("learning", 1.5)
    assert np.ptp(sim.weights("learning")) > 0
    for other in others:
        np.testing.assert_array_equal(other.weights("learning"), sim.weights("learning"))

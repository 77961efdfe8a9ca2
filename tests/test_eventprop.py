"""EventProp with delays: kernels against a plain twin, spikes against the backends, gradients against exact ones."""

from dataclasses import replace

import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    Delta,
    Dense,
    Events,
    Exponential,
    Input,
    Network,
    OneToOne,
    Population,
    Projection,
    Sparse,
    Spikes,
    run,
)
from snnsim.errors import CapabilityError, NetworkError, ParameterError
from snnsim.scores import SCORES, final_scores

torch = pytest.importorskip("torch")

from snnsim.training import BPTT, EventProp, EventPropNetwork, PerTickCrossEntropy, TrainableNetwork, evaluate, train
from snnsim.training.eventprop.oracle_in_continuous_time import ContinuousNetwork
from snnsim.training.eventprop.oracle_in_ticks import PlainSample
from snnsim.training.eventprop.plan import make_delay_plan

DT = 1e-3
HIDDEN = LIF(20e-3, reset="zero", receptors=Exponential(5e-3))
READOUT = LI(20e-3, receptors=Exponential(5e-3))


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def delays(rng, low, high, shape):
    return rng.integers(low, high + 1, shape) * DT


def recurrent(seed=0, longest=40):
    rng = np.random.default_rng(seed)
    populations = [Population("in", 12, Input()), Population("hidden", 15, HIDDEN), Population("out", 4, READOUT)]
    return Network(
        populations,
        [
            Projection("in", "hidden", Dense(rng.normal(0.7, 0.7, (12, 15))), delays(rng, 0, longest, (12, 15))),
            Projection("hidden", "out", Dense(rng.normal(0, 0.5, (15, 4))), delays(rng, 0, longest, (15, 4))),
            Projection("hidden", "hidden", Dense(rng.normal(0, 0.4, (15, 15))), delays(rng, 1, longest, (15, 15))),
        ],
        dt=DT,
    )


def everything():
    """Two inputs, a cycle of two populations, each rule, parallel projections, every convention of the models."""
    rng = np.random.default_rng(3)
    first = LIF(
        np.linspace(8e-3, 30e-3, 9),
        threshold=np.linspace(0.6, 1.2, 9),
        reset="subtract",
        rest=0.05,
        bias=0.02,
        strict=True,
        receptors=Exponential(4e-3),
        decay_input=True,
    )
    second = LIF(6e-3, reset=-0.3, receptors=Exponential(6e-3), initial=0.2)  # equal time constants
    pairs = rng.integers(0, 9, 30), rng.integers(0, 7, 30)  # some of them twice
    return Network(
        [
            Population("left", 6, Input()),
            Population("second", 7, second),
            Population("out", 3, LI(15e-3, receptors=Exponential(3e-3), bias=0.1)),
            Population("right", 9, Input()),
            Population("first", 9, first),
        ],
        [
            Projection("left", "first", Dense(rng.normal(0.8, 0.8, (6, 9))), delays(rng, 0, 9, (6, 9))),
            Projection("right", "first", OneToOne(rng.normal(0.8, 0.5, 9)), delays(rng, 0, 9, 9)),
            Projection("first", "second", Sparse(*pairs, rng.normal(0.8, 0.8, 30)), delays(rng, 1, 17, 30)),
            Projection("first", "second", Dense(rng.normal(0.2, 0.4, (9, 7))), 3e-3, name="again"),
            Projection("second", "first", Dense(rng.normal(0.1, 0.4, (7, 9))), delays(rng, 1, 5, (7, 9))),
            Projection("second", "out", Dense(rng.normal(0, 0.6, (7, 3))), delays(rng, 0, 70, (7, 3))),
            Projection("left", "out", Dense(rng.normal(0, 0.2, (6, 3)))),
        ],
        dt=DT,
    )


def events(network, samples=4, ticks=150, rate=0.05, seed=1):
    rng = np.random.default_rng(seed)
    return {p.name: Events.from_dense(rng.poisson(rate, (samples, ticks, p.size)), DT) for p in network.inputs}


def moved(model, seed=5, by=3.0):
    """Move every real delay by up to so many ticks, beyond the bounds too."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("delays"):
                parameter += torch.tensor(rng.uniform(-by, by, parameter.shape) / model.delay_scale)
    return model


NETWORKS = pytest.mark.parametrize("network", [recurrent(), everything()], ids=["recurrent", "everything"])


@NETWORKS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_fire_the_same_spikes_as_the_forward_pass(network, dtype, backend):
    model = moved(EventPropNetwork(network, dtype=dtype))
    given = events(network)
    ours = model.spikes(given)
    result = run(model.network(), given, record=[Spikes(name) for name in ours], backend=backend, dtype=dtype)
    for name, fired in ours.items():
        theirs = result.spikes[name]
        assert fired.ticks.size > 100
        for part in ("ticks", "sources", "offsets"):
            assert np.array_equal(getattr(fired, part), getattr(theirs, part))


@NETWORKS
@pytest.mark.parametrize("readout", ["exponential", "mean", "largest", "ticks"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_give_what_the_plain_twin_gives(network, readout, dtype):
    model = moved(EventPropNetwork(network, readout=readout, dtype=dtype))
    given = events(network)
    batch = model._minibatch(given)
    from snnsim.training.compute.threads import workers

    batch.forward(workers(), keep=True)
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=batch.readout.shape).astype(dtype)
    by_count = rng.normal(0, 0.01, batch.counts.shape).astype(dtype)
    sums = np.zeros((2, batch.weights.size))
    for sample in range(batch.batch):
        twin = PlainSample(model.tables, batch.wiring, batch.weights, batch.given, sample, int(batch.ends[sample]))
        ran = twin.run()
        kept = batch.spikes[sample]
        assert [(t, i) for t, i, _ in ran.spikes] == list(zip(kept.ticks.tolist(), kept.neurons.tolist(), strict=True))
        np.testing.assert_array_equal([slope for *_, slope in ran.spikes], kept.slopes)
        expected = twin.readout(ran, batch.mode, batch.shares[sample])
        np.testing.assert_allclose(batch.readout[sample], expected, rtol=1e-4 if dtype == "float32" else 1e-12)
        sums += twin.reverse(ran, batch.mode, batch.shares[sample], gradient[sample], by_count[sample])
    tolerance = 1e-3 if dtype == "float32" else 1e-10
    for found, expected in zip(batch.backward(workers(), gradient, by_count), sums, strict=True):
        assert np.linalg.norm(expected) > 1e-3
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


# -- exactness -------------------------------------------------------------------------------------------


def few(seed, cyclic, dt=DT, reset="zero"):
    """Three neurons, a dozen input spikes on whole milliseconds, delays of whole milliseconds."""
    rng = np.random.default_rng(seed)
    shapes = {"in->hidden": (3, 3), "hidden->out": (3, 2)} | ({"hidden->hidden": (3, 3)} if cyclic else {})
    scales = {"in->hidden": (2.0, 1.5), "hidden->out": (0, 1.0), "hidden->hidden": (0, 1.2)}
    weights = {name: rng.normal(*scales[name], shape) for name, shape in shapes.items()}
    lags = {name: delays(rng, 1, 8, shape) for name, shape in shapes.items()}
    times, sources = np.sort(rng.integers(0, 40, 8)) * 1e-3, rng.integers(0, 3, 8)
    hidden = replace(HIDDEN, reset=reset)
    populations = [Population("in", 3, Input()), Population("hidden", 3, hidden), Population("out", 2, READOUT)]
    projections = [Projection(*name.split("->"), Dense(weights[name]), lags[name]) for name in weights]
    return Network(populations, projections, dt=dt), weights, lags, times, sources


DURATION = 80e-3


def cross_entropy(readout, label):
    share = np.exp(readout - readout.max())
    share /= share.sum()
    return -np.log(share[label]), share - np.eye(readout.size)[label]


@pytest.mark.parametrize("cyclic", [False, True], ids=["forward", "recurrent"])
@pytest.mark.parametrize("seed", [0, 1, 2, 4])
def test_the_continuous_gradient_is_that_of_finite_differences(seed, cyclic):
    network, weights, lags, times, sources = few(seed, cyclic)
    plan = make_delay_plan(network, None, list(weights))

    def loss():
        ran = ContinuousNetwork(plan, weights, lags).run(times, sources, DURATION)
        return cross_entropy(ran.readout, 1)[0], ran

    _, ran = loss()
    assert len(ran.spikes) >= 5
    assert min(spike.slope for spike in ran.spikes) > 0.3  # none grazes the threshold
    gradients = ran.gradients(cross_entropy(ran.readout, 1)[1])
    for values, exact, step in zip((weights, lags), gradients, (1e-5, 1e-8), strict=True):
        largest = max(np.abs(own).max() for own in exact.values())
        for name, array in values.items():
            for place in np.ndindex(array.shape):
                kept = array[place]
                array[place] = kept + step
                above = loss()[0]
                array[place] = kept - step
                below = loss()[0]
                array[place] = kept
                assert abs((above - below) / (2 * step) - exact[name][place]) < 1e-6 * largest


def errors_of(seed, cyclic, fineness, reset="zero"):
    """Return the relative errors of the tick-based gradients of weights and delays at 1 ms / fineness."""
    network, weights, lags, times, sources = few(seed, cyclic, DT / fineness, reset)
    plan = make_delay_plan(network, None, list(weights))
    ran = ContinuousNetwork(plan, weights, lags).run(times, sources, DURATION)
    exact = ran.gradients(cross_entropy(ran.readout, 1)[1])
    model = EventPropNetwork(network, maximum_delay=20e-3, delay_scale=1e-3 * fineness / DT, dtype="float64")
    given = Events.from_times(times, sources, n_sources=3, dt=DT / fineness, duration=DURATION)
    readout, counts = model(given)
    assert int(counts["hidden"].sum()) == len(ran.spikes)
    torch.nn.functional.cross_entropy(readout[:, 0], torch.tensor([1])).backward()
    result = []
    for kind, own, unit in zip(("weights", "delays"), exact, (1.0, 1e3), strict=True):
        found = [model.get_parameter(f"{kind}:{name}").grad.numpy() * unit - own[name] for name in weights]
        size = sum((values**2).sum() for values in own.values())
        result.append(np.sqrt(sum((values**2).sum() for values in found) / size))
    return result


@pytest.mark.parametrize("cyclic", [False, True], ids=["forward", "recurrent"])
def test_gradients_on_ticks_come_to_the_continuous_ones_in_proportion_to_the_tick(cyclic):
    fineness = [4**k for k in range(2, 6)]
    errors = np.array([[errors_of(seed, cyclic, fine) for fine in fineness] for seed in (1, 2, 3, 4)])
    typical = np.exp(np.log(errors).mean(0))  # how a spike falls on its tick is a matter of chance
    assert np.all(typical[-1] < (1e-4, 1e-3))
    for error in typical.T:
        order = -np.polyfit(np.log(fineness), np.log(error), 1)[0]
        assert 0.8 < order < 1.3


@pytest.mark.parametrize("reset", ["subtract", -0.4, 0.3])
def test_every_reset_has_the_gradients_of_continuous_time(reset):
    """In proportion to the tick: a sixteenth of it has an error at least four times smaller."""
    coarse, fine = (
        np.exp(np.mean([np.log(errors_of(seed, True, fineness, reset)) for seed in (1, 2, 4)], axis=0))
        for fineness in (64, 1024)
    )
    assert np.all(fine < 1e-2)
    assert np.all(fine < coarse / 4)


# -- delays ----------------------------------------------------------------------------------------------


def one_synapse(longest=50):
    populations = [Population("in", 1, Input()), Population("out", 1, READOUT)]
    return Network(populations, [Projection("in", "out", Dense([[2.0]]), longest * DT)], dt=DT)


def at(*ticks, n_ticks=120, n_sources=1):
    return Events.from_ticks(list(ticks), [0] * len(ticks), n_sources=n_sources, dt=DT, n_ticks=n_ticks)


def onset(model, given):
    """Return the tick after which the readout leaves zero."""
    return int(np.flatnonzero(model.readout(given).detach().numpy()[0, :, 0])[0]) - 1


@pytest.mark.parametrize(("real", "ticks"), [(2.4, 2), (2.6, 3), (2.5, 2), (3.5, 4), (-7, 0), (49.9, 50), (1e6, 50)])
def test_delays_are_rounded_and_kept_between_their_bounds(real, ticks):
    model = EventPropNetwork(one_synapse(), readout="ticks", delay_scale=1.0, dtype="float64")
    with torch.no_grad():
        model.delays("in->out").fill_(real)
    assert model.delay_ticks("in->out").item() == ticks
    assert model.network().projections[0].delay.item() == pytest.approx(ticks * DT)
    assert onset(model, at(7)) == 7 + ticks
    assert model.delays("in->out").item() == real  # what is learned stays a real number


def test_a_delay_is_not_pushed_beyond_its_bounds_but_comes_back():
    for real, outward in ((0.0, -1), (50.0, 1)):
        model = EventPropNetwork(one_synapse(), readout="ticks", delay_scale=1.0, dtype="float64")
        with torch.no_grad():
            model.delays("in->out").fill_(real)
        found = []
        for sign in (1, -1):
            model.zero_grad()
            weight = torch.linspace(1, 2, 120, dtype=torch.float64)  # a later arrival is worth more
            (sign * weight * model.readout(at(7))[0, :, 0]).sum().backward()
            found.append(model.delays("in->out").grad.item())
        assert sum(value != 0 for value in found) == 1
        assert all(-value * outward <= 0 for value in found)


def test_the_buffer_holds_the_longest_delay_and_is_cleared_between_samples():
    model = EventPropNetwork(one_synapse(), readout="ticks", dtype="float64")
    alone = model.readout(at(0))
    assert onset(model, at(0)) == 50
    late = model.readout(Events.concatenate([at(110), at(0), at(90, 119), at(0)]))  # arrivals after the end
    assert torch.equal(late[1], alone[0])
    assert torch.equal(late[3], alone[0])
    assert not late[0].any()


def test_samples_do_not_touch_one_another():
    network = recurrent()
    model = EventPropNetwork(network, maximum_delay=50e-3, dtype="float64")
    with torch.no_grad():
        for link in model.plan.links:
            model.delays(link.name).add_(0.3 / model.delay_scale)  # away from the bounds
    given, labels = events(network, samples=5)["in"], torch.tensor([0, 1, 2, 3, 0])
    EventProp().step(model, given, labels)
    together = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    for i in range(5):
        EventProp().step(model, given[i : i + 1], labels[i : i + 1])
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad / 5, together[name], rtol=1e-9, atol=1e-14)


def test_threads_change_gradients_by_rounding_alone():
    network = recurrent()
    given, found = events(network, samples=7)["in"], []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        model = EventPropNetwork(network, dtype="float64")
        EventProp().step(model, given, torch.arange(7) % 4)
        found.append([p.grad.clone() for p in model.parameters()])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-9, atol=1e-15)


def test_a_delay_of_a_cycle_takes_a_tick_at_least():
    network = recurrent()
    model = EventPropNetwork(network)
    with torch.no_grad():
        model.delays("hidden->hidden").fill_(-1)
        model.delays("in->hidden").fill_(-1)
    assert np.all(model.delay_ticks("hidden->hidden") == 1)
    assert np.all(model.delay_ticks("in->hidden") == 0)
    model.network()  # which refuses cycles without delay


# -- memory and counts -----------------------------------------------------------------------------------


def test_what_is_kept_for_the_backward_pass_grows_with_spikes_and_not_with_ticks():
    from snnsim.training.compute.threads import workers

    network = recurrent()
    model, given = EventPropNetwork(network), events(network)["in"]
    kept = {}
    for ticks in (600, 9600):
        longer = given.with_lengths(ticks)
        batch = model._minibatch(longer)
        batch.forward(workers(), keep=True)
        kept[ticks] = batch.nbytes, sum(one.ticks.size for one in batch.spikes)
    assert kept[600] == kept[9600]
    assert kept[600][0] == 12 * kept[600][1] + 4 * 4 * 8  # and where the largest readout of each sample was
    with torch.no_grad():
        assert model(given)[0].grad_fn is None


def test_the_regulariser_brings_the_number_of_spikes_to_its_target():
    network = recurrent()
    model, given = EventPropNetwork(network, learn="weights"), events(network, samples=8)["in"]
    labels = torch.zeros(8, dtype=torch.int64)
    before = model(given)[1]["hidden"].detach().mean(0)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        EventProp(spike_target=5.0, strength=1.0).step(model, given, labels)
        optimiser.step()
    after = model(given)[1]["hidden"].detach().mean(0)
    assert (before - 5).abs().mean() > 3
    assert (after - 5).abs().mean() < 1.5


def test_the_loss_of_every_tick_is_that_of_the_readout():
    network = recurrent()
    given = events(network)["in"]
    model = EventPropNetwork(network, readout="ticks", dtype="float64")
    labels = torch.tensor([0, 1, 2, 3])
    outcome = EventProp().step(model, given, labels, PerTickCrossEntropy())
    readout = model.readout(given).detach()
    expected = torch.nn.functional.cross_entropy(readout.flatten(0, 1), labels.repeat_interleave(readout.shape[1]))
    assert outcome.loss == pytest.approx(float(expected), rel=1e-12)
    summed = EventPropNetwork(network, readout="mean", dtype="float64").readout(given)
    torch.testing.assert_close(summed[:, 0], readout.mean(1))


# -- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LIF(20e-3), "Exponential"),
        (LIF(20e-3, receptors=(Exponential(5e-3, "a"), Exponential(2e-3, "b"))), "one Exponential"),
        (LIF(20e-3, receptors=Exponential(5e-3), refractory=2e-3), "refractory"),
        (LIF(20e-3, receptors=Exponential(5e-3), integration="euler"), "euler"),
        (LIF(20e-3, receptors=Delta()), "Exponential"),
    ],
)
def test_what_is_not_computed_is_refused(model, message):
    network = recurrent().replaced([Population("hidden", 15, model)])
    with pytest.raises(CapabilityError, match=message):
        EventPropNetwork(network)


def test_settings_that_are_not_allowed_are_refused():
    network = recurrent()
    with pytest.raises(ParameterError, match="maximum_delay"):
        EventPropNetwork(network, maximum_delay=5e-3)
    with pytest.raises(ParameterError, match="learn"):
        EventPropNetwork(network, learn="bias")
    with pytest.raises(NetworkError, match="nothing"):
        EventPropNetwork(network, delayed=["nothing"])
    with pytest.raises(ParameterError, match="takes Events"):
        EventPropNetwork(network)(torch.zeros(2, 10, 12))
    with pytest.raises(ParameterError, match="strength"):
        EventProp(strength=-1)
    flat = Network(
        [Population("in", 2, Input()), Population("out", 2, LI())], [Projection("in", "out", Dense(1.0))], dt=DT
    )
    with pytest.raises(ParameterError, match="EventPropNetwork"):
        EventProp().step(TrainableNetwork(flat), at(3, n_sources=2), torch.tensor([0]))
    with pytest.raises(ParameterError, match="TrainableNetwork"):
        BPTT().step(EventPropNetwork(network), events(network)["in"], torch.tensor([0, 1, 2, 3]))


# -- learning --------------------------------------------------------------------------------------------


class Order:
    """Two channels with one spike each, 30 ticks apart, at a random time: which comes first?"""

    def __init__(self, samples, seed):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 2, samples)
        first, second = rng.integers(0, 20, samples), rng.integers(30, 33, samples)
        counts = np.zeros((samples, 130, 2), np.int64)
        counts[np.arange(samples), first, self.labels] = 1
        counts[np.arange(samples), first + second, 1 - self.labels] = 1
        self.events = Events.from_dense(counts, DT)


def detector(seed, longest):
    """Neurons that forget within 5 ticks, so that without delays the two spikes never meet."""
    rng = np.random.default_rng(seed)
    hidden, out = LIF(5e-3, reset="zero", receptors=Exponential(2.5e-3)), LI(5e-3, receptors=Exponential(2.5e-3))
    return Network(
        [Population("in", 2, Input()), Population("hidden", 16, hidden), Population("out", 2, out)],
        [
            Projection("in", "hidden", Dense(rng.normal(4.5, 0.2, (2, 16))), delays(rng, 0, longest, (2, 16))),
            Projection("hidden", "out", Dense(rng.normal(0, 0.5, (16, 2)))),
        ],
        dt=DT,
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_two_spikes_is_learned_with_delays_and_not_without(seed):
    learning, unseen, share = Order(400, 1), Order(500, 2), {}
    for longest, learn in ((0, "weights"), (40, ("weights", "delays"))):
        model = EventPropNetwork(
            detector(seed, longest),
            learn,
            delayed=["in->hidden"],
            maximum_delay=60e-3,
            readout="largest",
            delay_scale=5.0,
        )
        before = model.delays("in->hidden").detach().clone()
        rule = EventProp(spike_target=0.5, strength=1e-3)
        train(model, learning, rule=rule, epochs=20, learning_rate=0.02, validation=0.0, progress=False)
        share[longest] = evaluate(model, unseen)
        moved_by = (model.delays("in->hidden").detach() - before).abs().max() * model.delay_scale
        assert (moved_by > 2) == (longest > 0)
    assert share[0] < 0.6  # chance is 0.5
    assert share[40] > 0.9


def test_what_was_learned_runs_on_the_backends(backend):
    model = EventPropNetwork(detector(0, 40), delayed=["in->hidden"], maximum_delay=60e-3, readout="largest")
    given = Order(100, 3)
    train(model, given, epochs=2, learning_rate=0.02, validation=0.0, progress=False)  # EventProp is its own rule
    fired = run(model.network(), given.events, record=[Spikes("hidden")], backend=backend).spikes["hidden"]
    ours = model.spikes(given.events)["hidden"]
    assert np.array_equal(fired.ticks, ours.ticks)
    assert np.array_equal(fired.sources, ours.sources)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("strict", [False, True])
def test_a_membrane_on_the_threshold_fires_unless_it_must_be_above(dtype, strict, backend):
    """It falls from one to exp(-dt / tau) in the first tick, which is the threshold to the last bit."""
    threshold = float(np.exp(-DT / 20e-3))
    neuron = LIF(20e-3, threshold=threshold, initial=1.0, reset=-1.0, strict=strict, receptors=Exponential(5e-3))
    populations = [Population("in", 1, Input()), Population("hid", 1, neuron), Population("out", 1, READOUT)]
    projections = [Projection("in", "hid", Dense(0.1)), Projection("hid", "out", Dense(1.0))]
    model = EventPropNetwork(Network(populations, projections, dt=DT), dtype=dtype)
    given = Events.from_dense(np.zeros((1, 5, 1)), DT)
    fired = model.spikes(given)["hid"]
    assert fired.ticks.tolist() == ([] if strict else [0])
    assert run(model.network(), given, record=["hid"], backend=backend, dtype=dtype).spikes["hid"] == fired
    batch = model._minibatch(given)
    batch.forward(working_alone(), keep=True)
    # A membrane that falls onto its threshold grazes it: its slope counts as a hundredth of the threshold.
    np.testing.assert_allclose(batch.spikes[0].slopes, [] if strict else [0.01 * threshold], rtol=1e-6)


def working_alone():
    """Return workers that are this thread itself."""
    from snnsim.training.compute.threads import Workers

    return Workers(1)


def test_of_equal_largest_values_the_first_counts():
    model = EventPropNetwork(recurrent(), readout="largest", dtype="float64")
    batch = model._minibatch(Events.from_dense(np.zeros((2, 9, 12)), DT))
    batch.forward(working_alone(), keep=True)
    assert batch._largest.tolist() == [[0] * 4] * 2


def test_samples_of_many_spikes_keep_them_all():
    """More than the room that is made at first; the backward pass is that of the plain twin."""
    network = recurrent().replaced(projections=[Projection("in", "hidden", Dense(2.0))])
    model = EventPropNetwork(network, dtype="float64")
    batch = model._minibatch(events(network, samples=2, ticks=400, rate=0.3))
    batch.forward(working_alone(), keep=True)
    sizes = [kept.ticks.size for kept in batch.spikes]
    assert min(sizes) > 1600
    assert sizes == batch.counts.sum(1).astype(int).tolist()
    assert all(np.all(np.diff(kept.ticks) >= 0) for kept in batch.spikes)


@pytest.mark.parametrize("score", SCORES)
def test_scores_end_with_the_last_spike_on_its_way(score):
    random = np.random.default_rng(4)
    counts = (random.random((3, 20, 12)) < 0.1).astype(int)
    counts[1, 9:] = counts[2, 14:] = 0
    events = Events.from_dense(counts, DT, lengths=[20, 9, 14])
    model = EventPropNetwork(replace(recurrent(longest=6), extension=12 * DT), dtype="float64", readout="ticks")
    expected = final_scores(model.readout(events).detach().numpy(), score, events.lengths + 12)
    np.testing.assert_allclose(model.scores(events, score=score).detach().numpy(), expected, rtol=1e-9, atol=1e-12)

"""The fast path against the plain one, and both against the reference backend."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from snnsim import (
    IF,
    LI,
    LIF,
    AdaptiveLIF,
    Conv2d,
    Dense,
    Events,
    Exponential,
    FixedProbability,
    Input,
    MaxPool2d,
    Network,
    Normal,
    OneToOne,
    Population,
    Projection,
    Simulation,
    SumPool2d,
    Trace,
)
from snnsim.errors import CapabilityError, NetworkError, ParameterError

torch = pytest.importorskip("torch")

from snnsim.training import (
    BPTT,
    SLTT,
    ATan,
    PerTickCrossEntropy,
    Rectangle,
    ScoreCrossEntropy,
    Sigmoid,
    SuperSpike,
    Surrogate,
    TrainableNetwork,
    Triangle,
)

DT = 1e-3


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def chain(*models, sizes=(12, 9, 7, 4), gain=0.9):
    names = ["input", *(f"layer{i}" for i in range(1, len(sizes)))]
    populations = [Population("input", sizes[0], Input())]
    populations += [Population(name, n, model) for name, n, model in zip(names[1:], sizes[1:], models, strict=True)]
    projections = [Projection(a, b, Dense(Normal(0.1, gain))) for a, b in itertools.pairwise(names)]
    return Network(populations, projections, dt=DT, seed=5)


def fully_connected():
    return chain(LIF(8e-3), LIF(15e-3, bias=0.05), LI(5e-3))


def other_conventions():
    return chain(
        LIF(8e-3, decay_input=True, threshold=0.4, reset="zero", strict=True, rest=0.05),
        LIF(6e-3, reset=-0.2, integration="euler", threshold=np.linspace(0.5, 1.5, 7)),
        LI(np.inf),
    )


def spiking_output():
    return chain(IF(initial=0.5), LIF(20e-3), LIF(9e-3))


def skip():
    populations = [
        Population("a", 10, Input()),
        Population("b", 6, Input()),
        Population("mid", 8, LIF(10e-3)),
        Population("same", 8, LIF(10e-3)),
        Population("out", 3, LI(0.0)),
    ]
    projections = [
        Projection("a", "mid", Dense(Normal(0.1, 0.6))),
        Projection("b", "mid", FixedProbability(0.5, weights=Normal(0.2, 0.6))),
        Projection("mid", "same", OneToOne(1.2)),
        Projection("b", "same", Dense(Normal(0.0, 0.4))),
        Projection("same", "out", Dense(Normal(0.0, 0.6))),
        Projection("mid", "out", Dense(Normal(0.0, 0.6))),
        Projection("a", "out", Dense(Normal(0.0, 0.2))),
    ]
    return Network(populations, projections, dt=DT, seed=3)


def convolutional():
    populations = [
        Population("input", (2, 10, 10), Input()),
        Population("conv", (4, 8, 8), LIF(10e-3)),
        Population("pool", (4, 4, 4), IF()),
        Population("conv2", (3, 4, 4), LIF(10e-3, decay_input=True, threshold=0.3)),
        Population("pool2", (3, 2, 2), LIF(5e-3)),
        Population("out", 3, LI(10e-3)),
    ]
    projections = [
        Projection("input", "conv", Conv2d(Normal(0.15, 0.35), kernel=3)),
        Projection("conv", "pool", SumPool2d(2, weights=0.5)),
        Projection("pool", "conv2", Conv2d(Normal(0.1, 0.5), kernel=3, padding=1)),
        Projection("conv2", "pool2", MaxPool2d(2)),
        Projection("pool2", "out", Dense(Normal(0.0, 0.6))),
    ]
    return Network(populations, projections, dt=DT, seed=11)


NETWORKS = {f.__name__: f for f in (fully_connected, other_conventions, spiking_output, skip, convolutional)}


def events_for(network, batch=5, ticks=13, density=0.2, seed=0):
    random = np.random.default_rng(seed)
    made = {}
    for population in network.inputs:
        counts = (random.random((batch, ticks, population.size)) < density).astype(int)
        counts[0, 3, 0] = 2  # two events of one source in one tick
        made[population.name] = Events.from_dense(counts, DT)
    return made


def labels_for(network, batch=5):
    return torch.arange(batch) % network.output.size


def gradients(network, path, rule, loss="per_tick_cross_entropy", training=True, **options):
    model = TrainableNetwork(network, dtype="float64", path=path, **options)
    model.train(training)
    outcome = rule.step(model, events_for(network), labels_for(network), loss)
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers() if "running" in name}
    return outcome, found, buffers


def assert_equal(one, other, tolerance=1e-10):
    assert one[0].loss == pytest.approx(other[0].loss, rel=1e-10)
    torch.testing.assert_close(one[0].scores, other[0].scores, rtol=tolerance, atol=tolerance)
    for first, second in zip(one[1:], other[1:], strict=True):
        assert first.keys() == second.keys()
        for name in first:
            torch.testing.assert_close(first[name], second[name], rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("rule", [SLTT(), SLTT(chunk=4), SLTT(k=3, chunk=5), BPTT(), BPTT(detach_reset=True)], ids=str)
def test_both_paths_have_the_same_gradients(make, rule):
    network = make()
    options = {"learn": ("weights", "bias")}
    fused = gradients(network, "fused", rule, **options)
    assert_equal(fused, gradients(network, "plain", rule, **options))
    assert all(bool(gradient.abs().sum() > 0) for gradient in fused[1].values())


@pytest.mark.parametrize("rule", [SLTT(chunk=5), SLTT(k=4, chunk=5), BPTT()], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_both_paths_agree_with_batch_norm_and_dropout(rule, training):
    for network, normed, dropped in (
        (fully_connected(), ("layer1", "layer3"), {"layer1": 0.3, "layer2": 0.5}),
        (convolutional(), ("conv", "conv2"), {"conv": 0.4, "conv2": 0.3, "pool2": 0.2}),
    ):
        options = {"learn": ("weights", "bias"), "batch_norm": normed, "dropout": dropped, "training": training}
        assert_equal(gradients(network, "fused", rule, **options), gradients(network, "plain", rule, **options))


@pytest.mark.parametrize(
    "surrogate", [Triangle(0.7), ATan(3.0), Rectangle(1.5), Sigmoid(4.0), SuperSpike(5.0)], ids=str
)
def test_both_paths_agree_for_every_surrogate(surrogate):
    network = fully_connected()
    for rule in (SLTT(), BPTT()):
        one, two = (gradients(network, path, rule, surrogate=surrogate) for path in ("fused", "plain"))
        assert_equal(one, two)


def test_both_paths_agree_for_the_other_losses():
    network = fully_connected()
    for rule, loss in (
        (BPTT(), ScoreCrossEntropy()),
        (BPTT(), PerTickCrossEntropy(0.05, "ones")),
        (SLTT(chunk=4), PerTickCrossEntropy(0.3)),
        (SLTT(k=2), PerTickCrossEntropy(0.05, "ones")),
    ):
        assert_equal(gradients(network, "fused", rule, loss), gradients(network, "plain", rule, loss))


def test_dense_products_and_sparse_sums_agree(monkeypatch):
    network = fully_connected()
    sparse = gradients(network, "fused", BPTT())
    monkeypatch.setattr("snnsim.training.fused.projections.DENSE_ABOVE", -1.0)
    assert_equal(sparse, gradients(network, "fused", BPTT()))


def strided():
    populations = [
        Population("input", (2, 9, 8), Input()),
        Population("conv", (5, 5, 4), LIF(10e-3)),
        Population("pool", (5, 2, 2), IF()),
        Population("out", 3, LI(10e-3)),
    ]
    projections = [
        Projection("input", "conv", Conv2d(Normal(0.15, 0.35), kernel=3, stride=2, padding=1)),
        Projection("conv", "pool", SumPool2d(2, weights=0.5)),
        Projection("pool", "out", Dense(Normal(0.0, 0.6))),
    ]
    return Network(populations, projections, dt=DT, seed=11)


def overlapping():
    populations = [
        Population("input", (2, 7, 7), Input()),
        Population("pool", (2, 3, 3), LIF(10e-3)),
        Population("conv", (4, 3, 3), LIF(10e-3)),
        Population("out", 3, LI(10e-3)),
    ]
    projections = [
        Projection("input", "pool", SumPool2d(3, stride=2, weights=0.4)),
        Projection("pool", "conv", Conv2d(Normal(0.2, 0.5), kernel=3, padding=1)),
        Projection("conv", "out", Dense(Normal(0.0, 0.6))),
    ]
    return Network(populations, projections, dt=DT, seed=11)


@pytest.mark.parametrize("make", [convolutional, strided, overlapping])
@pytest.mark.parametrize("sparse_below", [-1.0, 1.0])
def test_convolution_and_pooling_agree_over_frames_and_over_spikes(monkeypatch, make, sparse_below):
    monkeypatch.setattr("snnsim.training.fused.images.DENSE_ABOVE", sparse_below)
    network = make()
    dropped = {"conv": 0.3}
    for rule in (SLTT(k=9, chunk=4), BPTT()):
        fused = gradients(network, "fused", rule, dropout=dropped)
        assert_equal(fused, gradients(network, "plain", rule, dropout=dropped))
        assert all(bool(gradient.abs().sum() > 0) for gradient in fused[1].values())


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("make", [fully_connected, convolutional])
def test_gradients_do_not_depend_on_the_number_of_threads(monkeypatch, make, threads):
    monkeypatch.setattr(
        "snnsim.training.compute.threads.WORTH_SHARING", 0
    )  # share even the little work of this network
    for rule in (SLTT(chunk=4), BPTT()):
        torch.set_num_threads(1)
        expected = gradients(make(), "fused", rule)
        torch.set_num_threads(threads)
        found = gradients(make(), "fused", rule)
        assert torch.get_num_threads() == threads
        for name, gradient in expected[1].items():
            torch.testing.assert_close(found[1][name], gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_spikes_and_readout_are_those_of_the_reference_backend(make, path):
    network = make()
    inputs = events_for(network, ticks=40)
    model = TrainableNetwork(network, dtype="float64", path=path)
    spikes = model.spikes(inputs)
    firing = list(spikes)
    readout = model.readout(inputs).detach().numpy()
    probes = [*firing] + ([] if network.output.model.spiking else [Trace(network.output.name)])
    for backend in ("reference", "cpu"):
        result = Simulation(network, backend, dtype="float64").run_samples(inputs, record=probes)
        for name in firing:
            assert spikes[name].ticks.size > 0, name
            assert spikes[name] == result.spikes[name], name
        if not network.output.model.spiking:
            np.testing.assert_allclose(readout, result.traces[f"{network.output.name}.membrane"], rtol=0, atol=1e-12)


def test_spikes_of_a_wide_network_in_float32_are_those_of_the_reference_backend_but_for_rounding():
    network = chain(LIF(8e-3), LIF(15e-3), LI(0.0), sizes=(200, 120, 70, 10), gain=0.3)
    inputs = events_for(network, ticks=30, density=0.05)
    found = TrainableNetwork(network).spikes(inputs)
    expected = Simulation(network, "reference").run_samples(inputs, record=list(found)).spikes
    for name, spikes in found.items():
        differ = np.mean(spikes.to_dense() != expected[name].to_dense())
        assert spikes.ticks.size > 100
        assert differ < 1e-3, name


def test_generic_path_runs_receptors_refractory_times_and_adaptation():
    network = chain(
        LIF(8e-3, receptors=(Exponential(4e-3),), refractory=2e-3),
        AdaptiveLIF(10e-3, adaptation=0.3),
        LI(5e-3, receptors=(Exponential(3e-3),)),
    )
    inputs = events_for(network, ticks=60)
    model = TrainableNetwork(network, dtype="float64")
    assert model.path == "plain"
    result = Simulation(network, "reference", dtype="float64").run_samples(
        inputs, record=["layer1", "layer2", Trace("layer3")]
    )
    assert model.spikes(inputs) == {name: result.spikes[name] for name in ("layer1", "layer2")}
    np.testing.assert_allclose(model.readout(inputs).detach(), result.traces["layer3.membrane"], rtol=0, atol=1e-12)
    BPTT().step(model, inputs, labels_for(network))
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in model.parameters())


@pytest.mark.parametrize("learn", [("weights",), ("weights", "bias")])
@pytest.mark.parametrize("make", [fully_connected, convolutional, skip])
def test_network_gives_back_what_the_model_computes(make, learn):
    network = make()
    normed = [stage for stage in ("layer1", "layer2", "conv", "conv2", "mid", "out") if stage in network._index]
    model = TrainableNetwork(network, learn=learn, batch_norm=normed, dtype="float64")
    inputs = events_for(network, ticks=30)
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(3):
        optimiser.zero_grad()
        SLTT().step(model, inputs, labels_for(network))
        optimiser.step()
    model.eval()
    learned = model.network()
    assert learned.output.name == network.output.name
    name = learned.output.name
    result = Simulation(learned, "reference", dtype="float64").run_samples(inputs, record=Trace(name))
    readout = model.readout(inputs).detach().numpy()
    np.testing.assert_allclose(result.traces[f"{name}.membrane"], readout, rtol=1e-9, atol=1e-9)
    again = TrainableNetwork(learned, learn=("weights",), dtype="float64")
    np.testing.assert_allclose(again.readout(inputs).detach().numpy(), readout, rtol=1e-9, atol=1e-9)


def test_threshold_and_time_constant_are_learned_and_given_back():
    network = chain(LIF(8e-3, decay_input=True, threshold=0.2), LIF(15e-3), LI(5e-3))
    model = TrainableNetwork(network, learn=("weights", "threshold", "time_constant"), dtype="float64")
    inputs = events_for(network, ticks=20)
    BPTT().step(model, inputs, labels_for(network))
    for name, parameter in model.named_parameters():
        assert bool(parameter.grad.abs().sum() > 0), name
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
    learned = model.network()
    assert learned.population("layer1").model.threshold != 0.2
    result = Simulation(learned, "reference", dtype="float64").run_samples(inputs)
    np.testing.assert_allclose(result.traces["layer3.membrane"], model.readout(inputs).detach(), rtol=1e-9, atol=1e-9)


def test_state_can_be_carried_from_call_to_call():
    network = fully_connected()
    for path in ("fused", "plain"):
        model = TrainableNetwork(network, dtype="float64", path=path)
        (events,) = events_for(network, ticks=20).values()
        whole, _ = model(events)
        first, state = model(events.crop(8))
        second, _ = model(events.crop(12, start=8), state)
        torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=0, atol=1e-13)


def test_forward_is_differentiable_and_graphs_stand_side_by_side():
    network = fully_connected()
    (events,) = events_for(network).values()
    found = {}
    for path in ("fused", "plain"):
        model = TrainableNetwork(network, learn=("weights", "bias"), dtype="float64", path=path)
        one, two = model.readout(events), model.readout(events[:2])
        (one.square().sum() + two.sin().sum()).backward()
        found[path] = [parameter.grad for parameter in model.parameters()]
    for a, b in zip(*found.values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_real_valued_input_runs_on_both_paths():
    network = fully_connected()
    values = torch.rand(5, 13, 12, dtype=torch.float64)
    found = []
    for path in ("fused", "plain"):
        model = TrainableNetwork(network, dtype="float64", path=path)
        SLTT(chunk=4).step(model, values, labels_for(network))
        found.append([parameter.grad for parameter in model.parameters()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_surrogate_of_ones_own_runs_on_the_plain_path():
    class Flat(Surrogate):
        def derivative(self, distance):
            return 0 * distance + 0.5

    model = TrainableNetwork(fully_connected(), surrogate=Flat())
    assert model.path == "plain"
    with pytest.raises(CapabilityError, match="not compiled"):
        TrainableNetwork(fully_connected(), surrogate=Flat(), path="fused")


@pytest.mark.parametrize("surrogate", [Triangle(0.5), ATan(2.0), Rectangle(2.0), Sigmoid(3.0)], ids=str)
def test_surrogates_have_unit_area_and_one_meaning(surrogate):
    distance = np.linspace(-400, 400, 800_001)
    values = surrogate.derivative(distance)
    assert np.trapezoid(values, distance) == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_allclose(
        surrogate.derivative(torch.from_numpy(distance)).numpy(), values, rtol=1e-12, atol=1e-300
    )
    assert surrogate.derivative(0.0) == pytest.approx(values.max())


def test_what_cannot_be_trained_is_named():
    network = fully_connected()
    back = Projection("layer2", "layer1", Dense(1.0), delay=2e-3)
    with pytest.raises(CapabilityError, match="'layer1', 'layer2' project to each other; only feed-forward"):
        TrainableNetwork(replace(network, projections=(*network.projections, back)))
    late = convolutional()
    first = replace(late.projections[0], delay=2e-3)
    with pytest.raises(CapabilityError, match="Conv2d is not trained with a delay"):
        TrainableNetwork(late.replaced(projections=[first]))
    with pytest.raises(NetworkError, match="nothing"):
        TrainableNetwork(network, batch_norm=["nothing"])
    with pytest.raises(CapabilityError, match="pooling"):
        TrainableNetwork(convolutional(), batch_norm=["pool"])
    for options, message in (
        ({"learn": ("delays",)}, "learn='delays'"),
        ({"dropout": {"layer1": 1.0}}, "dropout of 'layer1'"),
        ({"dropout": {"layer3": 0.5}}, "no spikes to drop"),
        ({"batch_norm": ["input"]}, "'input' receives nothing"),
        ({"surrogate": 3}, "surrogate=3"),
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"path": "quick"}, "path='quick'"),
    ):
        with pytest.raises(ParameterError, match=message):
            TrainableNetwork(network, **options)
    model = TrainableNetwork(network)
    (events,) = events_for(network).values()
    with pytest.raises(ParameterError, match="k=14"):
        SLTT(k=14).step(model, events, labels_for(network))
    with pytest.raises(ParameterError, match="labels"):
        SLTT().step(model, events, labels_for(network)[:2])
    with pytest.raises(NetworkError, match="has 10 sources, the population 12"):
        model.readout(Events.from_dense(np.zeros((1, 2, 10)), DT))
    with pytest.raises(
        ParameterError, match=r"ticks of 0\.002 s, the network has dt=0\.001 s; make them with dt=0\.001"
    ):
        model.readout(Events.from_dense(np.zeros((1, 2, 12)), 2 * DT))
    with pytest.raises(ParameterError, match="state of 'layer1'"):
        model(events, {"layer1": {}})
    normed = TrainableNetwork(network, batch_norm=["layer1"])
    with pytest.raises(ParameterError, match="two samples"):
        SLTT().step(normed, events[:1], labels_for(network, 1))


def on_the_threshold(strict, reset, delay=0.0):
    """Binary fractions throughout, so that membranes lie exactly on the threshold again and again."""
    random = np.random.default_rng(4)
    neuron = LIF(2 * DT, integration="euler", threshold=1.0, reset=reset, strict=strict)
    populations = [Population("in", 8, Input()), Population("one", 9, neuron), Population("two", 7, neuron)]
    populations += [Population("out", 4, LI(2 * DT, integration="euler"))]
    weights = [random.integers(-2, 5, (a, b)) / 4 for a, b in itertools.pairwise((8, 9, 7, 4))]
    names = ("in", "one", "two", "out")
    ends = zip(itertools.pairwise(names), weights, strict=True)
    return Network(populations, [Projection(*both, Dense(w), delay=delay) for both, w in ends], dt=DT)


@pytest.mark.parametrize("reset", ["subtract", "zero", 0.25])
@pytest.mark.parametrize("delay", [0.0, 2 * DT])
def test_a_membrane_on_the_threshold_fires_or_does_not_as_is_said(reset, delay):
    counts = np.random.default_rng(2).random((5, 20, 8)) < 0.4
    events, labels = Events.from_dense(counts, DT), torch.arange(5) % 4
    spikes = {}
    for strict in (False, True):
        network = on_the_threshold(strict, reset, delay)
        found = {}
        for path in ("fused", "plain"):
            model = TrainableNetwork(network, dtype="float64", path=path, surrogate=ATan(2.0))
            longer = events.crop(20 + model.extension)
            result = Simulation(network, "reference", dtype="float64").run_samples(longer, record=["one", "two"])
            fired = model.spikes(events)
            for name in ("one", "two"):
                assert fired[name] == result.spikes[name]
            rules = (BPTT(), BPTT(detach_reset=True)) if delay else (BPTT(), SLTT(), SLTT(k=5, chunk=3))
            found[path] = []
            for rule in rules:
                model.zero_grad()
                rule.step(model, events, labels)
                found[path] += [parameter.grad.clone() for parameter in model.parameters()]
        for a, b in zip(*found.values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
        spikes[strict] = fired["one"].ticks.size
    assert spikes[True] < spikes[False]


def small_chunks(monkeypatch, ticks):
    """Let the fast path compute so many ticks at a time."""
    monkeypatch.setattr("snnsim.training.fused.chunks.chunk_ticks", lambda *_: ticks)


@pytest.mark.parametrize("dense_above", [-1.0, 1.0])
@pytest.mark.parametrize("make", [fully_connected, skip, convolutional])
def test_chunks_change_nothing_whether_spikes_are_listed_or_dense(monkeypatch, make, dense_above):
    """What a chunk leaves behind is its own, though buffers are used again."""
    network = make()
    options = {"learn": ("weights", "bias"), "dropout": {"layer1": 0.3} if make is fully_connected else {}}
    expected = gradients(network, "plain", BPTT(), **options)
    monkeypatch.setattr("snnsim.training.fused.projections.DENSE_ABOVE", dense_above)
    monkeypatch.setattr("snnsim.training.fused.images.DENSE_ABOVE", dense_above)
    for ticks in (1, 4, 13):
        small_chunks(monkeypatch, ticks)
        assert_equal(gradients(network, "fused", BPTT(), **options), expected)


def two_roads():
    """Two convolutions, two pools and two one-to-one projections meet in a population and leave another."""
    populations = [
        Population("input", (2, 6, 6), Input()),
        Population("left", (3, 6, 6), LIF(10e-3, threshold=0.6)),
        Population("right", (3, 6, 6), LIF(6e-3, threshold=0.6)),
        Population("both", (4, 6, 6), LIF(6e-3, threshold=0.7)),
        Population("pool", (4, 3, 3), LIF(6e-3, threshold=0.7)),
        Population("same", (4, 3, 3), LIF(4e-3, threshold=0.5)),
        Population("out", 3, LI(5e-3)),
    ]
    projections = [
        Projection("input", "left", Conv2d(Normal(0.15, 0.35), kernel=3, padding=1)),
        Projection("input", "right", Conv2d(Normal(0.15, 0.35), kernel=3, padding=1)),
        Projection("left", "both", Conv2d(Normal(0.1, 0.3), kernel=3, padding=1)),
        Projection("right", "both", Conv2d(Normal(0.1, 0.3), kernel=3, padding=1)),
        Projection("both", "pool", SumPool2d(2, weights=0.4), name="sum"),
        Projection("both", "pool", MaxPool2d(2, weights=0.7), name="max"),
        Projection("both", "pool", SumPool2d(2, weights=0.2), name="again"),
        Projection("pool", "same", OneToOne(0.6), name="one"),
        Projection("pool", "same", OneToOne(0.3), name="two"),
        Projection("same", "out", Dense(Normal(0.0, 0.6))),
    ]
    return Network(populations, projections, dt=DT, seed=11)


@pytest.mark.parametrize("sparse_below", [-1.0, 1.0])
@pytest.mark.parametrize("dropped", [{}, {"left": 0.3, "both": 0.4}])
def test_projections_add_up_over_frames_and_over_spikes(monkeypatch, sparse_below, dropped):
    monkeypatch.setattr("snnsim.training.fused.images.DENSE_ABOVE", sparse_below)
    for rule in (SLTT(chunk=4), BPTT()):
        fused = gradients(two_roads(), "fused", rule, dropout=dropped)
        assert_equal(fused, gradients(two_roads(), "plain", rule, dropout=dropped))
        assert all(bool(gradient.abs().sum() > 0) for gradient in fused[1].values())


def learned_norms(model, seed=0):
    """Give batch norm factors, shifts and running statistics that are not those it begins with; some spread is tiny."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for stage in model.plan.stages:
            if stage.batch_norm:
                norm, n = model.norm(stage.name), stage.channels
                norm.weight.copy_(0.5 + torch.rand(n, generator=random))
                norm.bias.copy_(0.6 * torch.rand(n, generator=random))
                norm.running_mean.copy_(0.3 * torch.rand(n, generator=random))
                norm.running_variance.copy_(0.5 * torch.rand(n, generator=random))
                norm.running_variance[0] = 2e-5  # about what is added to it
    return model


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("over", ["tick", "sequence"])
@pytest.mark.parametrize("readout", [False, True])
def test_both_paths_agree_where_batch_norm_has_learned(training, over, readout):
    network, found = fully_connected(), []
    normed = ["layer1", "layer2", *(["layer3"] if readout else [])]
    for path in ("fused", "plain"):
        options = {"learn": ("weights", "bias"), "batch_norm": normed, "batch_norm_over": over}
        model = learned_norms(TrainableNetwork(network, dtype="float64", path=path, **options)).train(training)
        outcome = BPTT().step(model, events_for(network), labels_for(network))
        running = {name: buffer.clone() for name, buffer in model.named_buffers() if "running" in name}
        found.append((outcome, {name: p.grad for name, p in model.named_parameters()}, running))
        assert all(bool(p.grad.abs().sum() > 0) for p in model.parameters())
    assert_equal(*found, tolerance=1e-8)

"""The compiled sweep that is made of a model's own arithmetic, held to the same functions on tensors under autograd."""

import itertools
import tracemalloc
from typing import Any, NamedTuple

import numpy as np
import pytest

import snnsim as sn
from snnsim.errors import CapabilityError
from snnsim.neurons import MODELS, Arithmetic, NeuronModel, exp, maximum, minimum, where
from snnsim.neurons.arithmetic.functions import landed
from snnsim.neurons.arithmetic.tape import Tape

torch = pytest.importorskip("torch")

from snnsim.training import BPTT, SLTT, ATan, Rectangle, Sigmoid, SuperSpike, TrainableNetwork, Triangle
from snnsim.training.fused import chunks

DT = 1e-3


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SHARE = 0.3


def squashed(x):
    return x / (1.0 + abs(x))


class Everything:
    """All that arithmetic may do: three states that all depend on each other, on the drive and on the spike."""

    tau: sn.Parameter = 9e-3
    height: sn.Parameter = 1.0
    membrane: sn.State = 0.1
    slow: sn.State = 0.0
    energy: sn.State = 1.0

    def coefficients(self, dt):
        return {"decay": np.exp(-dt / np.asarray(self.tau))}

    @staticmethod
    def integrate(membrane, slow, energy, drive, p):
        push = minimum(drive * energy, 2.0) - SHARE * slow
        push = where((push > 0.5) | (push < -0.5) & (slow <= 1.0), squashed(push) + 0.1 * push, push)
        rise = exp(0.2 * membrane) - 1.0
        return (
            p.decay * membrane + push + p.dt * rise,
            0.9 * slow + 0.1 * maximum(membrane, -slow),
            energy + (1.0 - energy) / 8.0,
        )

    @staticmethod
    def distance(membrane, slow, energy, p):
        return membrane - (p.height + 0.3 * slow / energy)

    @staticmethod
    def reset(membrane, slow, energy, p):
        return 0.5 * membrane - p.height * energy, slow + abs(membrane) * 0.2, 0.7 * energy


class Integrator:
    """A readout with a saturating input and a second state."""

    membrane: sn.State = 0.0
    trace: sn.State = 0.5

    @staticmethod
    def integrate(membrane, trace, drive, p):
        return 0.9 * membrane + squashed(drive) * trace, 0.95 * trace + 0.01 * membrane


@pytest.fixture(scope="module")
def models():
    """Return models by name, those of this file among them, and forget these afterwards."""
    before = dict(MODELS)
    everything, integrator = sn.neuron(Everything), sn.neuron(Integrator)
    yield {
        "AdaptiveLIF": sn.AdaptiveLIF(8e-3, adaptation=0.3, adaptation_time_constant=30e-3),
        "AdaptiveLIF, strict to a value": sn.AdaptiveLIF(
            8e-3, threshold=np.linspace(0.1, 0.3, 9), reset=-0.1, strict=True, decay_input=True, rest=0.05
        ),
        "HomeostaticLIF": sn.HomeostaticLIF(8e-3, target_rate=100.0),
        "QuadraticIF": MODELS["QuadraticIF"](threshold=0.8),
        "Everything": everything(height=np.linspace(0.5, 1.0, 9)),
        "Integrator": integrator(),
    }
    MODELS.clear()
    MODELS.update(before)


NAMES = ("AdaptiveLIF", "AdaptiveLIF, strict to a value", "HomeostaticLIF", "QuadraticIF", "Everything")
RULES = (BPTT(), BPTT(detach_reset=True), SLTT(), SLTT(chunk=4), SLTT(k=3, chunk=5))


def network(model, readout, *, seed=3, delay=0.0, gain=0.8):
    sizes = {"in": 12, "one": 9, "two": 9, "out": 4}
    populations = [sn.Population("in", 12, sn.Input())]
    populations += [sn.Population(name, 9, model) for name in ("one", "two")]
    populations += [sn.Population("out", 4, readout)]
    weights = sn.Normal(0.2, gain)
    projections = [
        sn.Projection(a, b, sn.Dense(weights), delay=sn.Uniform(DT, delay) if delay and a != "in" else 0.0)
        for a, b in itertools.pairwise(sizes)
    ]
    return sn.Network(populations, projections, dt=DT, seed=seed)


def events(ticks=13, batch=5, seed=0):
    random = np.random.default_rng(seed)
    return sn.Events.from_dense((random.random((batch, ticks, 12)) < 0.2).astype(np.int64), DT)


def outcome(net, path, rule, dtype="float64", training=True, **options):
    model = TrainableNetwork(net, path=path, dtype=dtype, **options)
    model.train(training)
    given = events()
    found = rule.step(model, given, torch.arange(5) % 4)
    values = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    values |= {name: buffer.clone() for name, buffer in model.named_buffers() if "running" in name}
    return found, values, model.eval().spikes(given)


def assert_paths_agree(net, rule, tolerance=1e-9, **options):
    one, other = (outcome(net, path, rule, **options) for path in ("fused", "plain"))
    assert one[0].loss == pytest.approx(other[0].loss, rel=tolerance)
    assert one[0].rates == other[0].rates
    assert one[2] == other[2]
    assert one[1].keys() == other[1].keys()
    for name, expected in other[1].items():
        scale = float(expected.abs().max())
        torch.testing.assert_close(one[1][name], expected, rtol=tolerance, atol=tolerance * max(scale, 1e-3), msg=name)
    return one


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_and_spikes_are_those_of_the_plain_path(models, name, rule):
    found = assert_paths_agree(network(models[name], sn.LI(5e-3)), rule)
    assert all(0.02 < rate < 0.95 for rate in found[0].rates.values())  # there are spikes and silence to differ in
    assert all(bool(value.abs().sum() > 0) for value in found[1].values())


@pytest.mark.parametrize("rule", [BPTT(), SLTT(), SLTT(k=4)], ids=str)
@pytest.mark.parametrize("readout", ["Integrator", "Everything, firing"])
def test_readouts_of_a_model_of_ones_own(models, readout, rule):
    assert_paths_agree(network(models["AdaptiveLIF"], _readout(models, readout)), rule)


def _readout(models, name):
    return type(models["Everything"])(height=0.6) if name.startswith("Everything") else models[name]


@pytest.mark.parametrize(
    "surrogate", [Triangle(0.7), Rectangle(0.9), ATan(3.0), Sigmoid(2.0), SuperSpike(5.0)], ids=repr
)
@pytest.mark.parametrize("rule", [BPTT(), SLTT()], ids=str)
def test_every_surrogate(models, surrogate, rule):
    assert_paths_agree(network(models["Everything"], sn.LI(5e-3)), rule, surrogate=surrogate)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rule", [BPTT(), SLTT(), SLTT(k=3, chunk=5)], ids=str)
def test_batch_norm_dropout_and_what_is_learned(models, rule, training):
    options = {"batch_norm": ("one",), "dropout": {"one": 0.3, "two": 0.2}}
    options["learn"] = ("weights", "bias", "threshold", "time_constant")
    found = assert_paths_agree(network(models["AdaptiveLIF"], sn.LI(5e-3)), rule, training=training, **options)
    assert all(bool(value.abs().sum() > 0) for name, value in found[1].items() if "running" not in name)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("model", [sn.LIF(8e-3, decay_input=True, threshold=0.3), sn.LIF(8e-3, reset="zero")], ids=repr)
def test_leaky_neurons_whose_threshold_and_time_constant_are_learned(model, rule):
    """They leave the kernels of leaky membranes for the sweep of their own arithmetic."""
    learn = ("weights", "bias", "threshold", "time_constant")
    found = assert_paths_agree(network(model, sn.LI(5e-3)), rule, learn=learn)
    assert all(bool(value.abs().sum() > 0) for value in found[1].values())


def test_both_sweeps_of_a_leaky_membrane_agree():
    """A derived class has the same functions, and is swept by them."""

    class Derived(sn.LIF):
        pass

    arguments = {"threshold": np.linspace(0.5, 1.0, 9), "reset": -0.2, "bias": 0.05}
    for rule in RULES:
        one, other = (
            outcome(network(kind(8e-3, **arguments), sn.LI(5e-3)), "fused", rule, learn=("weights", "bias"))
            for kind in (sn.LIF, Derived)
        )
        assert one[2] == other[2]
        for name, expected in other[1].items():
            torch.testing.assert_close(one[1][name], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("ticks", [1, 2, 5])
def test_chunks_change_nothing_but_by_rounding(models, monkeypatch, ticks):
    net = network(models["Everything"], models["Integrator"])
    whole = outcome(net, "fused", BPTT())
    monkeypatch.setattr(chunks, "CHUNK_BYTES", ticks * 5 * 9 * 8)
    model = TrainableNetwork(net, dtype="float64")
    assert chunks.chunk_ticks(model, 5, 13) == ticks
    parts = outcome(net, "fused", BPTT())
    assert whole[2] == parts[2]
    for name, expected in whole[1].items():
        torch.testing.assert_close(parts[1][name], expected, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_networks_with_delays(models, name):
    net = network(models[name], models["Integrator"], delay=4e-3)
    assert_paths_agree(net, BPTT())
    assert_paths_agree(net, BPTT(detach_reset=True), dropout={"one": 0.3})


def test_batch_norm_over_the_sequence(models):
    options = {"batch_norm": ("one", "two"), "batch_norm_over": "sequence", "dropout": {"two": 0.3}}
    options["learn"] = ("weights", "threshold", "time_constant")
    assert_paths_agree(network(models["AdaptiveLIF"], sn.LI(5e-3)), BPTT(), **options)


def test_images(models):
    populations = [
        sn.Population("in", (1, 6, 6), sn.Input()),
        sn.Population("one", (3, 4, 4), sn.AdaptiveLIF(8e-3, threshold=0.5)),
        sn.Population("two", (3, 2, 2), MODELS["QuadraticIF"]()),
        sn.Population("out", 4, sn.LI(5e-3)),
    ]
    projections = [
        sn.Projection("in", "one", sn.Conv2d(sn.Normal(0.2, 0.4), kernel=3)),
        sn.Projection("one", "two", sn.MaxPool2d(2)),
        sn.Projection("two", "out", sn.Dense(sn.Normal(0.0, 0.5))),
    ]
    net = sn.Network(populations, projections, dt=DT, seed=1)
    given = sn.Events.from_dense((np.random.default_rng(2).random((3, 11, 36)) < 0.3).astype(np.int64), DT)
    for rule in (BPTT(), SLTT()):
        found = []
        for path in ("fused", "plain"):
            model = TrainableNetwork(net, dtype="float64", path=path)
            rule.step(model, given, torch.tensor([0, 1, 2]))
            found.append([parameter.grad for parameter in model.parameters()])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_single_precision_fires_as_the_cpu_engine_does(models):
    for name in NAMES:
        net = network(models[name], sn.LI(5e-3))
        model = TrainableNetwork(net)
        given = events(ticks=40, seed=4)
        result = sn.Simulation(net, dtype="float32").run_samples(given, record=["one", "two"])
        for population, spikes in model.spikes(given).items():
            differ = np.mean(spikes.to_dense() != result.spikes[population].to_dense())
            assert differ < 5e-3, name
        gradient = outcome(net, "fused", BPTT(), dtype="float32")[1]
        expected = outcome(net, "plain", BPTT(), dtype="float32")[1]
        for key, value in expected.items():
            torch.testing.assert_close(gradient[key], value, rtol=2e-3, atol=2e-4 * float(value.abs().max()))


def test_gradients_have_the_same_bits_on_any_number_of_threads(models, monkeypatch):
    net = network(models["AdaptiveLIF"], models["Integrator"])
    learn = ("weights", "threshold", "time_constant", "bias")
    one = outcome(net, "fused", BPTT(), learn=learn)[1]
    monkeypatch.setattr("snnsim.training.compute.threads.WORTH_SHARING", 0)
    torch.set_num_threads(2)
    two = outcome(net, "fused", BPTT(), learn=learn)[1]
    for name, expected in one.items():
        assert torch.equal(two[name], expected), name


def test_gradient_of_the_states_by_differences(models):
    """Without the threshold the way back is exact: a readout's membrane against finite differences."""
    populations = [sn.Population("in", 3, sn.Input()), sn.Population("out", 2, models["Integrator"])]
    net = sn.Network(populations, [sn.Projection("in", "out", sn.Dense(sn.Normal(0.1, 0.6)))], dt=DT, seed=5)
    model = TrainableNetwork(net, dtype="float64")
    assert model.path == "fused"
    values = torch.rand(2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    share = torch.rand(2, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(lambda x, w: _read(model, x, w, share), (values, model.weights("in->out")))


def _read(model, values, weights, share):
    key = next(name for name, _ in model.named_parameters())
    readout, _ = torch.func.functional_call(model, {key: weights}, (values,))
    return (readout * share).sum()


@pytest.mark.parametrize("seed", range(30))
def test_what_a_tape_gives_back_is_what_autograd_gives(seed):
    """Random expressions of all that arithmetic may do, ties and zeros among the numbers."""
    random = np.random.default_rng(seed)
    numbers = [float(value) for value in random.choice([-1.5, -1.0, 0.0, 0.5, 1.0, 2.0], 3)]
    tape = Tape()
    recorded = _expression(np.random.default_rng(seed + 100), [tape.number(f"x{i}") for i in range(3)])
    lines, found = tape.backwards({tape.name(recorded): "seed"}, ["x0", "x1", "x2"], {})
    space: dict[str, Any] = {"exp": np.exp, "minimum": min, "maximum": max, "zero": 0.0, "half": 0.5, "one": 1.0}
    space |= {"where": lambda c, a, b: a if c else b, "landed": lambda s, a, b: a if s else b, "seed": 2.0}
    space |= {f"x{i}": value for i, value in enumerate(numbers)} | tape.constants
    exec("\n".join([*tape.forwards(), *lines]), space)
    leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in numbers]
    expected = _expression(np.random.default_rng(seed + 100), leaves)
    assert space[tape.name(recorded)] == pytest.approx(float(expected.detach()), rel=1e-12)
    gradients = torch.autograd.grad(expected, leaves, torch.tensor(2.0, dtype=torch.float64), allow_unused=True)
    for i, gradient in enumerate(gradients):
        value = space[found[f"x{i}"]] if f"x{i}" in found else 0.0
        assert value == pytest.approx(0.0 if gradient is None else float(gradient), rel=1e-10, abs=1e-12)


def _expression(random, known):
    known = list(known)
    for _ in range(14):
        a, b = (known[i] for i in random.integers(0, len(known), 2))
        known.append(_one_step(random.integers(0, 15), a, b, float(random.choice([-1.0, 0.25, 1.0, 3.0]))))
    return sum(known[3:], known[0] * 1.0)


def _one_step(kind, a, b, constant):
    steps = (
        lambda: a + b,
        lambda: a - constant,
        lambda: constant - a,
        lambda: a * b * 0.5,
        lambda: a / (1.0 + b * b),
        lambda: constant / (2.0 + abs(a)),
        lambda: -a,
        lambda: +a,
        lambda: abs(a) + 0.0 * b,
        lambda: exp(minimum(a, 1.0)),
        lambda: minimum(a, b),
        lambda: maximum(a, constant),
        lambda: where((a > b) & (a >= 0.0) | (b <= constant), a * 2.0, b),
        lambda: where(a == b, a, a * b * 0.1) + where(a != b, b, a),
        lambda: landed(where(a < b, 1.0, 0.0), b, a),
    )
    return steps[kind]()


class _Numbers(NamedTuple):
    """Of `Foreign`."""

    threshold: Any


class Foreign(NeuronModel):
    """A model whose arithmetic is that of torch alone."""

    arithmetic = Arithmetic(
        ("membrane",),
        _Numbers,
        lambda v, drive, c: (torch.tanh(v) + drive,),
        lambda v, c: v - c.threshold,
        lambda v, spike, c: (v - spike * c.threshold,),
    )

    def coefficients(self, dt):
        return _Numbers(1.0)

    def initial_states(self):
        return (0.0,)

    def check_size(self, size, population):
        """It has no fields."""


def test_arithmetic_that_is_not_compiled_is_named_and_trains_all_the_same():
    net = network(Foreign(), sn.LI(5e-3))
    with pytest.raises(CapabilityError, match="population 'one': the arithmetic of Foreign raises TypeError: tanh"):
        TrainableNetwork(net, path="fused")
    model = TrainableNetwork(net)
    assert model.path == "plain"
    BPTT().step(model, events(), torch.arange(5) % 4)


@pytest.mark.parametrize("learn", [("weights",), ("weights", "threshold", "time_constant")], ids=len)
@pytest.mark.parametrize("rule", [BPTT(), SLTT(chunk=8)], ids=str)
def test_memory_is_forecast(rule, learn):
    """Buffers that a step holds and what Python sees of arrays beside them; kernels hold states that neither sees."""
    populations = [sn.Population("in", 50, sn.Input()), sn.Population("one", 300, sn.AdaptiveLIF(8e-3))]
    populations += [sn.Population("two", 300, sn.AdaptiveLIF(8e-3)), sn.Population("out", 10, sn.LI(5e-3))]
    projections = [sn.Projection(a.name, b.name, sn.Dense(0.01)) for a, b in itertools.pairwise(populations)]
    model = TrainableNetwork(sn.Network(populations, projections, dt=DT, seed=1), learn=learn, dtype="float64")
    random = np.random.default_rng(0)
    given = sn.Events.from_dense((random.random((32, 60, 50)) < 0.1).astype(np.int64), DT)
    forecast = model.memory_report(60, 32, rule)
    rule.step(model, given, torch.arange(32) % 10)
    model.zero_grad(set_to_none=True)
    tracemalloc.start()
    rule.step(model, given, torch.arange(32) % 10)
    seen = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    unseen = forecast.chunk * 2 * 8 * (300 + 300)  # two states at all ticks of a chunk, on the one thread
    measured = model.workspace.nbytes + seen - forecast.gradients + unseen
    assert forecast.activations == pytest.approx(measured, rel=0.25)

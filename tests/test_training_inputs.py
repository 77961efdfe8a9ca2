"""Gradients reach the inputs, on every path, and are those of a model written in plain torch."""

import itertools
import math

import numpy as np
import pytest

from snnsim import (
    IF,
    LI,
    LIF,
    Conv2d,
    Dense,
    Events,
    FixedProbability,
    Input,
    Kaiming,
    Learnable,
    MaxPool2d,
    Network,
    Normal,
    OneToOne,
    Population,
    Projection,
    SumPool2d,
)

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn import functional

from snnsim.errors import CapabilityError, ParameterError
from snnsim.training import (
    BPTT,
    SLTT,
    ATan,
    SoftwareFabric,
    TrainableNetwork,
    in_the_loop,
    noise_aware,
)
from snnsim.training.compute.call import draw_masks

DT = 1e-3


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# -- the model in plain torch ----------------------------------------------------------------------------


class Step(torch.autograd.Function):
    """1 at or above zero (strictly above where asked); backwards 1 / (1 + (pi x)^2), which is ATan(2)."""

    @staticmethod
    def forward(ctx, x, strict):
        ctx.save_for_backward(x)
        return (x > 0 if strict else x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient / (1 + (math.pi * x) ** 2), None


def delivered(network, model, projection, sent, length):
    """Return what arrives at each tick, shape (length, batch, targets)."""
    rule, weights = projection.connectivity, model.value("weights", projection.name)
    source = network.population(projection.source)
    if isinstance(projection.delay, Learnable) or model.value("delays", projection.name) is not None:
        longest, delays = projection.delay.longest(network.dt), model.delays(projection.name)
        taus = torch.arange(longest + 1.0, dtype=torch.float64).view(-1, 1, 1)
        width = max(longest // 2, 0.23) * (0.23 / max(longest // 2, 0.23)) ** model.sharpness + 0.27
        bump = torch.exp(-(((taus - delays) / width) ** 2) / 2)
        kernel = weights * bump / (bump.sum(0) + 1e-7)
        out = [torch.zeros(sent.shape[1], weights.shape[1], dtype=torch.float64) for _ in range(length)]
        for t, tau in itertools.product(range(len(sent)), range(longest + 1)):
            if t + tau < length:
                out[t + tau] = out[t + tau] + sent[t] @ kernel[tau]
        return torch.stack(out)
    images = sent.reshape(-1, *source.shape) if len(source.shape) == 3 else None
    if isinstance(rule, Dense):
        out = sent @ weights
    elif isinstance(rule, OneToOne):
        out = sent * weights
    elif isinstance(rule, Conv2d):
        out = functional.conv2d(images, weights, stride=rule.stride, padding=rule.padding)
    elif isinstance(rule, SumPool2d):
        out = functional.avg_pool2d(images, rule.size, rule.step) * (rule.size**2 * rule.weights)
    elif isinstance(rule, MaxPool2d):
        out = functional.max_pool2d(images, rule.size, rule.step) * rule.weights
    else:  # drawn synapses
        drawn = model.links[projection.name].rule
        matrix = torch.zeros(source.size, network.population(projection.target).size, dtype=torch.float64)
        for s, t, w in zip(drawn.sources.tolist(), drawn.targets.tolist(), weights, strict=True):
            matrix[s, t] = matrix[s, t] + w
        out = sent @ matrix
    out = out.reshape(len(sent), sent.shape[1], -1)
    return torch.cat([out, out.new_zeros(length - len(out), *out.shape[1:])])


def normalised(model, name, drive, channels):
    """Normalise ticks one by one, or together for networks with delays, with the statistics of this batch."""
    norm = model.norm(name)
    ticks, batch, n = drive.shape
    x = drive.view(ticks, batch, channels, n // channels)
    over = (0, 1, 3) if model.whole_samples else (1, 3)
    x = (x - x.mean(over, keepdim=True)) / torch.sqrt(x.var(over, correction=0, keepdim=True) + norm.epsilon)
    x = x * norm.weight.view(1, 1, -1, 1) + norm.bias.view(1, 1, -1, 1)
    return x.reshape(ticks, batch, n)


def simulate(network, model, inputs, *, detach_reset=False, spatial=False, masks=None, normed=(), drop=None):
    """Return the readout, shape (batch, ticks, classes); `spatial` cuts every route through time."""
    masks, drop = masks or {}, drop or {}
    sent = {name: x.transpose(0, 1) for name, x in inputs.items()}
    ticks, batch = next(iter(sent.values())).shape[:2]
    length, out = ticks + model.extension, None
    for population in network.populations:
        neuron = population.model
        if isinstance(neuron, Input):
            continue
        arriving = [p for p in network.projections if p.target == population.name]
        drive = sum(delivered(network, model, p, sent[p.source], length) for p in arriving)
        if population.name in normed:
            convolved = all(isinstance(p.connectivity, Conv2d) for p in arriving)
            drive = normalised(model, population.name, drive, population.shape[0] if convolved else population.size)
        decay, gain, rest = 1.0, 1.0, getattr(neuron, "rest", 0.0)
        if not isinstance(neuron, IF):
            ratio = network.dt / neuron.time_constant if neuron.time_constant else math.inf
            decay = 1 - ratio if neuron.integration == "euler" else math.exp(-ratio)
            gain = 1 - decay if neuron.decay_input else 1.0
        bias = model.value("bias", population.name)
        bias = torch.tensor(neuron.bias, dtype=torch.float64) if bias is None else bias
        bias = bias.repeat_interleave(population.size // bias.numel()) if bias.ndim else bias
        v = torch.full((batch, population.size), float(rest), dtype=torch.float64)
        trace = []
        for t in range(length):
            v = v.detach() if spatial else v
            v = rest + decay * (v - rest) + gain * (drive[t] + bias)
            if not neuron.spiking:
                trace.append(v)
                continue
            s = Step.apply(v - neuron.threshold, neuron.strict)
            trace.append(s)
            s = s.detach() if detach_reset else s
            if neuron.reset == "subtract":
                v = v - s * neuron.threshold
            else:
                v = v * (1 - s) + s * (0.0 if neuron.reset == "zero" else neuron.reset)
        out = torch.stack(trace)
        if population.name in masks:
            out = out * masks[population.name] / (1 - drop[population.name])
        sent[population.name] = out
    return out.transpose(0, 1)


# -- networks --------------------------------------------------------------------------------------------


def random_parameters(random):
    reset = random.choice(["subtract", "zero", "value"])
    return {
        "time_constant": random.uniform(2, 20) * DT,
        "threshold": random.uniform(0.4, 1.2),
        "reset": -random.uniform(0, 0.3) if reset == "value" else str(reset),
        "decay_input": bool(random.random() < 0.3),
        "integration": str(random.choice(["exact", "euler"])),
        "strict": bool(random.random() < 0.5),
        "bias": random.normal() * 0.1,
        "rest": random.normal() * 0.05,
    }


def layers(seed, delays=False):
    """A network of two hidden layers, with sizes, neurons and resets at random."""
    random = np.random.default_rng(seed)
    sizes = random.integers(3, 9, 4)
    models = [LIF(**random_parameters(random)), LIF(**random_parameters(random)), LI(random.uniform(0, 9) * DT)]
    populations = [Population("in", int(sizes[0]), Input())]
    names = ("hid1", "hid2", "out")
    populations += [Population(name, int(n), m) for name, n, m in zip(names, sizes[1:], models, strict=True)]
    delay = [Learnable(random.integers(2, 9) * DT) if delays else 0.0 for _ in range(3)]
    middle = Dense(Kaiming(3.0)) if delays else FixedProbability(0.6, Normal(0.4, 0.8))
    rules = [Dense(Kaiming(2.0)), middle, Dense(Kaiming(1.0))]
    ends = [("in", "hid1"), ("hid1", "hid2"), ("hid2", "out")]
    projections = [Projection(*e, r, delay=d) for e, r, d in zip(ends, rules, delay, strict=True)]
    return Network(populations, projections, dt=DT, seed=seed)


def two_inputs(seed=0):
    populations = [
        Population("a", 5, Input()),
        Population("b", 6, Input()),
        Population("hid", 6, LIF(8 * DT, threshold=0.5)),
        Population("same", 6, LIF(5 * DT, threshold=0.4, reset="zero")),
        Population("out", 3, LI(4 * DT)),
    ]
    projections = [
        Projection("a", "hid", Dense(Kaiming(1.0))),
        Projection("b", "hid", OneToOne(np.linspace(0.3, 1.2, 6))),
        Projection("b", "same", Dense(Kaiming(1.0))),
        Projection("hid", "same", OneToOne(0.7)),
        Projection("same", "out", Dense(Kaiming(1.0))),
        Projection("a", "out", Dense(Kaiming(1.0))),
    ]
    return Network(populations, projections, dt=DT, seed=seed)


def images(seed=0):
    populations = [
        Population("in", (2, 8, 8), Input()),
        Population("max", (2, 4, 4), IF(threshold=0.7)),
        Population("conv", (3, 4, 4), LIF(8 * DT, threshold=0.5)),
        Population("sum", (3, 2, 2), LIF(5 * DT, threshold=0.6)),
        Population("late", (3, 1, 1), IF(threshold=0.5)),
        Population("out", 3, LI(0.0)),
    ]
    projections = [
        Projection("in", "max", MaxPool2d(2)),
        Projection("in", "conv", Conv2d(Normal(0.1, 0.4), kernel=3, stride=2, padding=1)),
        Projection("max", "conv", Conv2d(Normal(0.1, 0.4), kernel=3, padding=1)),
        Projection("conv", "sum", SumPool2d(2, weights=0.5)),
        Projection("sum", "late", MaxPool2d(2)),
        Projection("late", "out", Dense(Kaiming(1.0))),
        Projection("in", "out", Dense(Kaiming(0.3))),
    ]
    return Network(populations, projections, dt=DT, seed=seed)


def values_for(network, seed=0, batch=4, ticks=9):
    random = torch.Generator().manual_seed(seed)
    return {
        p.name: (torch.rand(batch, ticks, p.size, generator=random, dtype=torch.float64) * 1.4).requires_grad_()
        for p in network.inputs
    }


def made(network, path="auto", **options):
    return TrainableNetwork(network, dtype="float64", path=path, surrogate=ATan(2.0), **options)


def given(inputs):
    return inputs if len(inputs) > 1 else next(iter(inputs.values()))


def assert_same(found, expected):
    for name, gradient in expected.items():
        assert ":" in name or float(gradient.abs().max()) > 0, name  # inputs always; a layer may be silent
        torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-12, msg=name)


CASES = {f"layers{seed}": (lambda seed=seed: layers(seed)) for seed in range(6)}
CASES |= {"two inputs": two_inputs, "images": images}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_readout_and_gradients_of_inputs_are_those_of_plain_torch(make, path):
    network = make()
    inputs = values_for(network)
    model = made(network, path, learn=("weights", "bias"))
    weigh = torch.linspace(-1, 1, 4 * 9 * network.output.size, dtype=torch.float64).view(4, 9, -1)
    expected = simulate(network, model, inputs)
    readout = model.readout(given(inputs))
    torch.testing.assert_close(readout, expected, rtol=1e-10, atol=1e-12)
    wanted = [*inputs.values(), *model.parameters()]
    names = [*inputs, *(name for name, _ in model.named_parameters())]
    mine = torch.autograd.grad((readout.sin() * weigh).sum(), wanted)
    theirs = torch.autograd.grad((expected.sin() * weigh).sum(), wanted)
    assert_same(dict(zip(names, mine, strict=True)), dict(zip(names, theirs, strict=True)))


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("rule", [BPTT(), BPTT(detach_reset=True), SLTT(), SLTT(chunk=4)], ids=repr)
def test_a_step_leaves_the_gradients_of_plain_torch_at_the_inputs(make, path, rule):
    network = make()
    inputs, twins = values_for(network), values_for(network)
    model = made(network, path, learn=("weights", "bias"))
    labels = torch.arange(4) % network.output.size
    readout = simulate(
        network, model, twins, spatial=isinstance(rule, SLTT), detach_reset=getattr(rule, "detach_reset", False)
    )
    functional.cross_entropy(readout.transpose(0, 1).flatten(0, 1), labels.repeat(9)).backward()
    expected = {name: p.grad.clone() for name, p in (twins | dict(model.named_parameters())).items()}
    model.zero_grad()
    for _ in range(2):  # added to what is there, as torch does
        rule.step(model, given(inputs), labels)
    found = {name: p.grad / 2 for name, p in (inputs | dict(model.named_parameters())).items()}
    assert_same(found, expected)


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("seed", range(4))
def test_gradients_pass_through_delays(path, seed):
    network = layers(seed, delays=True)
    model = made(network, path, learn=("weights", "delays"), batch_norm=["hid1"])
    model.sharpness = 0.7
    inputs, twins = values_for(network, seed), values_for(network, seed)
    expected = simulate(network, model, twins, normed=("hid1",))
    readout = model.readout(inputs["in"])
    torch.testing.assert_close(readout, expected, rtol=1e-8, atol=1e-10)
    labels = torch.arange(4) % network.output.size
    functional.cross_entropy(expected.sum(1), labels).backward()
    wanted = {name: p.grad.clone() for name, p in (twins | dict(model.named_parameters())).items()}
    model.zero_grad()
    functional.cross_entropy(readout.sum(1), labels).backward()
    found = {name: p.grad.clone() for name, p in (inputs | dict(model.named_parameters())).items()}
    model.zero_grad()
    inputs["in"].grad = None
    BPTT().step(model, inputs["in"], labels, "summed_readout")
    stepped = {name: p.grad for name, p in (inputs | dict(model.named_parameters())).items()}
    for name, gradient in wanted.items():
        assert ":" in name or float(gradient.abs().max()) > 0, name
        torch.testing.assert_close(found[name], gradient, rtol=1e-6, atol=1e-9, msg=name)
        torch.testing.assert_close(stepped[name], gradient, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("make", [lambda: layers(3), images], ids=["layers", "images"])
def test_gradients_pass_through_batch_norm_and_dropout(path, make):
    network = make()
    normed, dropped = (("hid1",), {"hid1": 0.4}) if make is not images else (("conv",), {"max": 0.3, "conv": 0.2})
    model = made(network, path, batch_norm=normed, dropout=dropped)
    inputs, twins = values_for(network), values_for(network)
    masks = draw_masks(model, 4, model.generator(7))
    expected = simulate(network, model, twins, normed=normed, masks=masks, drop=dropped)
    expected.square().sum().backward()
    wanted = {name: p.grad.clone() for name, p in (twins | dict(model.named_parameters())).items()}
    model.zero_grad()
    readout = model.readout(given(inputs), generator=model.generator(7))
    torch.testing.assert_close(readout, expected, rtol=1e-9, atol=1e-11)
    readout.square().sum().backward()
    for name, p in (inputs | dict(model.named_parameters())).items():
        torch.testing.assert_close(p.grad, wanted[name], rtol=1e-8, atol=1e-11, msg=name)


@pytest.mark.parametrize("rule", [BPTT(), SLTT(chunk=3)], ids=repr)
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_an_encoder_in_front_learns(path, rule):
    """Its gradients are those of one graph in plain torch, by a step and by a loop of one's own."""
    network = two_inputs()
    torch.manual_seed(0)
    images, encoder = torch.rand(4, 9, 7, dtype=torch.float64), nn.Linear(7, 11).double()
    model, labels = made(network, path), torch.tensor([0, 1, 2, 0])

    def inputs():  # one encoder feeds both
        both = encoder(images).relu() * 2
        return {"a": both[..., :5], "b": both[..., 5:]}

    def gradients():
        found = [p.grad.clone() for p in encoder.parameters()]
        encoder.zero_grad()
        return found

    readout = simulate(network, model, inputs(), spatial=isinstance(rule, SLTT))
    functional.cross_entropy(readout.transpose(0, 1).flatten(0, 1), labels.repeat(9)).backward()
    expected = gradients()
    rule.step(model, inputs(), labels)
    stepped = gradients()
    for mine, theirs in zip(stepped, expected, strict=True):
        assert float(theirs.abs().max()) > 0
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-13)
    if isinstance(rule, BPTT):
        readout = model.readout(inputs())
        functional.cross_entropy(readout.transpose(0, 1).flatten(0, 1), labels.repeat(9)).backward()
        for mine, theirs in zip(gradients(), expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_frozen_network_still_says_what_it_looks_at(path):
    network = layers(1)
    model = made(network, path).eval().requires_grad_(False)
    x, twin = values_for(network)["in"], values_for(network)["in"]
    model.readout(x)[:, :, 0].sum().backward()
    simulate(network, model, {"in": twin})[:, :, 0].sum().backward()
    assert_same({"x": x.grad}, {"x": twin.grad})
    x.grad = None
    BPTT().step(model, x, torch.zeros(4, dtype=torch.int64))
    assert float(x.grad.abs().max()) > 0
    with pytest.raises(ParameterError, match="nothing to learn"):
        BPTT().step(model, x.detach(), torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_linear_network_has_the_gradients_of_finite_differences(path):
    network = Network(
        [Population("in", 4, Input()), Population("out", 3, LI(5 * DT, decay_input=True))],
        [Projection("in", "out", Dense(Kaiming(1.0)))],
        dt=DT,
    )
    model = made(network, path)
    x = values_for(network, batch=2, ticks=5)["in"]
    assert torch.autograd.gradcheck(lambda x: model.readout(x), (x,))


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_ticks_that_are_not_chosen_give_their_input_nothing(path):
    network = layers(2)
    model = made(network, path)
    x, whole = values_for(network)["in"], values_for(network)["in"]
    SLTT(k=3, chunk=4).step(model, x, torch.arange(4) % network.output.size, generator=model.generator(1))
    SLTT().step(model, whole, torch.arange(4) % network.output.size)
    seen = x.grad.abs().amax((0, 2)) > 0
    assert int(seen.sum()) == 3
    torch.testing.assert_close(x.grad[:, seen], whole.grad[:, seen], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_events_and_values_stand_side_by_side_and_types_are_kept(path):
    network = two_inputs()
    model = made(network, path)
    counts = np.random.default_rng(0).random((4, 9, 5)) < 0.4
    values = values_for(network)["b"].detach().float().requires_grad_()
    readout = model.readout({"b": values, "a": Events.from_dense(counts, DT)})
    readout.sum().backward()
    assert values.grad.dtype == torch.float32
    twin = values.detach().double().requires_grad_()
    simulate(network, model, {"a": torch.from_numpy(counts.astype(float)), "b": twin}).sum().backward()
    torch.testing.assert_close(values.grad, twin.grad.float(), rtol=1e-6, atol=1e-7)
    integers = model.readout({"a": torch.from_numpy(counts), "b": torch.ones(4, 9, 6, dtype=torch.int64)})
    events = {"a": Events.from_dense(counts, DT), "b": Events.from_dense(np.ones((4, 9, 6)), DT)}
    torch.testing.assert_close(integers, model.readout(events), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_an_input_that_does_not_lead_to_the_output_has_no_gradient_but_zero(path):
    """Between calls that have left other numbers in the buffers."""
    network = two_inputs()
    aside = Projection("b", "aside", Dense(1.0))
    without = [p for p in network.projections if p.source != "b"]
    network = Network([*network.populations, Population("aside", 2, LI(0.0))], [*without, aside], dt=DT)
    for rule in (BPTT(), SLTT(), SLTT(k=3, chunk=2)):
        model = made(network, path, output="out")
        for _ in range(2):
            inputs = values_for(network)
            rule.step(model, inputs, torch.tensor([0, 1, 2, 0]))
            assert float(inputs["a"].grad.abs().max()) > 0
            assert inputs["b"].grad is None or float(inputs["b"].grad.abs().max()) == 0


def test_hooks_of_inputs_are_called():
    network = layers(1)
    model, seen = made(network), []
    for rule in (BPTT(), SLTT()):
        x = values_for(network)["in"]
        x.register_hook(lambda g: seen.append(g) or g * 0)
        rule.step(model, x, torch.arange(4) % network.output.size)
        assert float(seen[-1].abs().max()) > 0
        assert float(x.grad.abs().max()) == 0


def test_a_chip_lets_gradients_through():
    """Counts made by rounding, with the gradient passed straight through; the exact twin of a chip changes nothing."""
    network = two_inputs()
    labels, found = torch.tensor([0, 1, 2, 0]), []
    for on_chip in (False, True):
        model = made(network)
        raw = values_for(network)
        counts = {name: x + (x.detach().round() - x.detach()) for name, x in raw.items()}
        if on_chip:
            with in_the_loop(model, SoftwareFabric(model)):
                BPTT().step(model, counts, labels)
        else:
            BPTT().step(model, counts, labels)
        found.append({name: x.grad for name, x in raw.items()})
    assert_same(found[1], found[0])


@pytest.mark.parametrize("rule", [BPTT(), SLTT()], ids=repr)
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_under_noise_the_gradient_is_that_of_the_noisy_weights(path, rule):
    network = layers(1)
    model, twin = made(network, path), made(network, path)
    x, y = values_for(network)["in"], values_for(network)["in"]
    labels = torch.arange(4) % network.output.size
    with noise_aware(model, 0.2) as noise:
        rule.step(model, x, labels)
        with torch.no_grad():
            for name in noise.names:
                twin.weights(name).copy_(noise.added(name, model.weights(name)))
    rule.step(twin, y, labels)
    assert_same({"x": x.grad}, {"x": y.grad})


def test_a_second_derivative_is_refused_and_not_wrong():
    network = layers(1)
    model, x = made(network), values_for(network)["in"]
    (gradient,) = torch.autograd.grad(model.readout(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_what_cannot_be_an_input_is_named():
    model = made(two_inputs())
    x = torch.ones(4, 9, 6, dtype=torch.float64)
    for inputs, message in (
        (np.ones((4, 9, 6)), "expected Events, Frames, a Tensor .* got ndarray"),
        ([x], "got list"),
        (x, "give a dict by name"),
        ({"a": x, 3: x}, "inputs are given for"),
        ({"a": x[..., :5], "b": x.to(torch.complex128)}, "input of 'b' is torch.complex128"),
        ({"a": x[..., :5], "b": x.to("meta")}, "on meta"),
        ({"a": x[..., :5], "b": x.to_sparse()}, "sparse"),
        ({"a": x[..., :5], "b": x[0]}, r"input of 'b' has shape \(9, 6\)"),
    ):
        with pytest.raises(ParameterError, match=message):
            model.readout(inputs)


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_state_that_wants_a_gradient_is_refused(path):
    network = layers(1)
    model, x = made(network, path), values_for(network)["in"]
    _, state = model(x)
    model(x, state)
    state["hid1"]["membrane"].requires_grad_()
    with pytest.raises(ParameterError, match="state of 'hid1': membrane requires a gradient"):
        model(x, state)


# -- real values and networks ----------------------------------------------------------------------------


def pooled():
    return Network(
        [Population("in", (1, 4, 4), Input()), Population("out", (1, 2, 2), LI(0.0))],
        [Projection("in", "out", MaxPool2d(2, weights=1.0))],
        dt=DT,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_max_pooling_of_real_values_is_that_of_torch_and_of_events_that_of_backends(path, dtype, backend):
    from snnsim import Simulation

    model = TrainableNetwork(pooled(), path=path, dtype=dtype)
    x = (torch.randn(3, 2, 16, generator=torch.Generator().manual_seed(0), dtype=model.dtype) * 2).requires_grad_()
    expected = functional.max_pool2d(x.view(6, 1, 4, 4), 2).view(3, 2, 4)
    readout = model.readout(x)
    assert torch.equal(readout, expected)
    assert float(readout.detach().max()) > 1.5
    weigh = torch.arange(24.0, dtype=model.dtype).view(3, 2, 4)
    mine, theirs = (torch.autograd.grad((one * weigh).sum(), x)[0] for one in (readout, expected))
    assert torch.equal(mine, theirs)
    counts = np.random.default_rng(1).integers(0, 3, (3, 2, 16))
    events = Events.from_dense(counts, DT)
    try:
        result = Simulation(pooled(), backend, dtype=dtype).run_samples(events)
    except CapabilityError:
        pytest.skip(f"{backend} does not pool")
    assert np.array_equal(model.readout(events).detach().numpy(), result.readout("out"))
    assert model.readout(events).max() == 1.0


@pytest.mark.parametrize("learn", ["step", "own loop"])
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_network_knows_where_it_learned_from_real_values(path, learn):
    def taught(inputs, network=None, **options):
        model = made(network or two_inputs(), path, **options)
        if learn == "step":
            BPTT().step(model, inputs, torch.tensor([0, 1, 2, 0]))
        else:
            model.readout(inputs).sum().backward()
        return model

    real = values_for(two_inputs())
    counts = {name: x.detach().round() for name, x in real.items()}
    assert taught(counts).network()
    model = taught({"a": counts["a"], "b": real["b"]})
    assert model.real_inputs == ("b",)
    assert model.network()
    later = taught(counts)
    BPTT().step(later, {"a": counts["a"], "b": real["b"]}, torch.tensor([0, 1, 2, 0]))
    assert later.real_inputs == ("b",)
    some = counts["b"].clone()
    some[3, 8, 5] = 0.5  # one value of one sample
    assert taught({"a": counts["a"], "b": some}).real_inputs == ("b",)
    again = made(two_inputs(), path)
    again.load_state_dict(model.state_dict())
    assert again.real_inputs == ("b",)
    assert taught({"a": -counts["a"], "b": counts["b"]}).real_inputs == ("a",)


def test_counts_are_told_from_other_values():
    from snnsim.training.compute.sparse_kernels import are_counts

    for dtype in (np.float32, np.float64):
        for size in (1, 4095, 4096, 4097, 9000):
            values = np.random.default_rng(0).integers(0, 4, size).astype(dtype)
            assert are_counts(values, dtype(np.inf))
            assert are_counts(values, dtype(3))
            assert are_counts(values, dtype(2)) == (values.max() <= 2)
            for place in {0, size // 2, size - 1}:
                for wrong in (0.5, -1.0, 3.0001, 1e-30):
                    spoiled = values.copy()
                    spoiled[place] = wrong
                    assert not are_counts(spoiled, dtype(np.inf))


def test_looking_is_not_learning():
    x = values_for(two_inputs())
    model = made(two_inputs())
    model.readout(x)  # no gradient
    with torch.no_grad():
        model.readout(x)
    model.eval()
    model.readout(x).sum().backward()  # what it looks at, on a network that is not in training
    assert model.real_inputs == ()
    twice = {name: torch.full_like(v, 2.0).detach() for name, v in values_for(images()).items()}
    pool = made(images())
    pool.readout(twice["in"]).sum().backward()  # whole numbers, but a pool of events would cut them
    assert pool.real_inputs == ("in",)


def test_counts_that_a_pool_would_cut_are_real_values():
    """Several events in a tick pass a max pool as one: a 2 there is no count, while in a dense layer it is."""

    def taught(rule, counts, size):
        net = Network(
            [Population("in", (1, 4, 4), Input()), Population("mid", size, LIF(4e-3)), Population("out", 3, LI(0.0))],
            [Projection("in", "mid", rule), Projection("mid", "out", Dense(0.3))],
            dt=DT,
        )
        model = TrainableNetwork(net)
        BPTT().step(model, torch.full((2, 3, 16), counts), torch.tensor([0, 1]))
        return model

    assert taught(MaxPool2d(2, weights=1.0), 1.0, (1, 2, 2)).real_inputs == ()
    assert taught(MaxPool2d(2, weights=1.0), 2.0, (1, 2, 2)).real_inputs == ("in",)
    assert taught(Dense(0.1), 2.0, (5,)).real_inputs == ()
    assert taught(Dense(0.1), 1.5, (5,)).real_inputs == ("in",)

"""OTTT to the letter: its equations by hand, what it equals, its memory, its limits."""

import gc
import itertools

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
    Input,
    Learnable,
    MaxPool2d,
    Network,
    Normal,
    OneToOne,
    Population,
    Projection,
    Sparse,
    SumPool2d,
)
from snnsim.errors import CapabilityError, ParameterError

torch = pytest.importorskip("torch")

from snnsim.training import BPTT, OTTT, SLTT, PerTickCrossEntropy, TrainableNetwork
from snnsim.training.fused.chunks import ChunkedCall
from snnsim.training.model.rule_names import NAMED

DT, BATCH, CLASSES = 1e-3, 6, 5
LABELS = torch.arange(BATCH) % CLASSES


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(sizes=(14, 12, 9, 5), taus=(10e-3, 4e-3, 0.0), gain=0.7, hidden=LIF, **neuron):
    """Fully connected; the last of the time constants is that of the readout."""
    populations = [Population("input", sizes[0], Input())]
    populations += [
        Population(f"h{i}", n, hidden(tau, **neuron)) for i, (n, tau) in enumerate(zip(sizes[1:-1], taus, strict=False))
    ]
    populations += [Population("out", sizes[-1], LI(taus[len(sizes) - 2]))]
    projections = [Projection(a.name, b.name, Dense(Normal(0.1, gain))) for a, b in itertools.pairwise(populations)]
    return Network(populations, projections, dt=DT, seed=2)


def events(ticks, size=14, density=0.3, lengths=None, seed=1):
    counts = np.random.default_rng(seed).random((BATCH, ticks, size)) < density
    if lengths is not None:
        counts &= np.arange(ticks)[None, :, None] < lengths[:, None, None]
    found = Events.from_dense(counts, DT)
    return found if lengths is None else found.with_lengths(lengths)


def gradients(net, rule, given, loss="per_tick_cross_entropy", dtype="float64", optimise=None, **options):
    model = TrainableNetwork(net, dtype=dtype, **options)
    rule.step(model, given, LABELS, loss, model.generator(3), optimise=optimise)
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def assert_close(found, other, rtol=1e-10, atol=1e-14):
    assert set(found) == set(other)
    for name, gradient in found.items():
        assert bool(gradient.abs().sum() > 0), name
        torch.testing.assert_close(gradient, torch.as_tensor(other[name]), rtol=rtol, atol=atol, msg=name)


def by_hand(net, given, kind, biases):
    """Return the gradients of weights and biases, worked out tick by tick in NumPy.

    With u = decay * v + input and v = u - s after a spike, the membrane holds a leaky sum of its input, so that
    du[t]/dW = a[t] with a[t] = decay * a[t-1] + s[t], the reset being held; the error is spatial:
    g_l = (g_(l+1) W^T) * surrogate.
    """
    weights = [p.connectivity.weights for p in net.resolved().projections]
    decays = [float(p.model.coefficients(DT).decay) for p in net.populations[1:]]
    x, ends, ticks = given.to_dense(np.float64), given.lengths, given.n_ticks
    sizes = [w.shape[1] for w in weights]
    v = [np.zeros((BATCH, n)) for n in sizes]
    traces = [np.zeros((BATCH, w.shape[0])) for w in weights]
    ones = [0.0] * len(weights)
    found = [np.zeros_like(w) for w in weights]
    of_biases = [np.zeros(n) for n in sizes]
    one_hot = np.eye(CLASSES)[LABELS.numpy()]
    for t in range(ticks):
        below, slopes, last = x[:, t], [], len(weights) - 1
        for layer, w in enumerate(weights):
            # Whose membrane the trace decays with: the one it enters, or the one it comes from, inputs having none.
            decay = decays[layer] if kind == "target" else (0.0 if layer == 0 else decays[layer - 1])
            traces[layer] = decay * traces[layer] + below
            ones[layer] = (decays[layer] if kind == "target" else 0.0) * ones[layer] + 1.0
            u = decays[layer] * v[layer] + below @ w + biases[layer]
            if layer == last:
                v[layer] = u
                break
            below = (u >= 1).astype(float)
            v[layer] = u - below
            slopes.append(np.maximum(0, 1 - np.abs(u - 1)))
        softmax = np.exp(u - u.max(1, keepdims=True))
        g = softmax / softmax.sum(1, keepdims=True) - one_hot
        g *= ((t < ends) / (ends * BATCH))[:, None]
        for layer in range(last, -1, -1):
            if layer < last:
                g = (g @ weights[layer + 1].T) * slopes[layer]
            found[layer] += traces[layer].T @ g
            of_biases[layer] += ones[layer] * g.sum(0)
    names = [f"{a.name}->{b.name}" for a, b in itertools.pairwise(net.populations)]
    result = {f"weights:{name}": value for name, value in zip(names, found, strict=True)}
    return result | {f"bias:{p.name}": b for p, b in zip(net.populations[1:], of_biases, strict=True)}


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("kind", ["target", "source"])
@pytest.mark.parametrize("readout", [0.0, 6e-3])
def test_gradients_are_the_published_equations_worked_out_by_hand(path, kind, readout):
    net = network(taus=(10e-3, 4e-3, readout))
    lengths = np.array([9, 7, 9, 3, 1, 8])
    given = events(9, lengths=lengths)
    found = gradients(net, OTTT(traces=kind, chunk=None if path == "plain" else 4), given, path=path)
    hand = by_hand(net, given, kind, [0.0] * 3)
    assert_close(found, {name: hand[name] for name in found})


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("kind", ["target", "source"])
def test_gradients_of_biases_are_those_of_an_input_that_is_always_one(path, kind):
    net = network()
    biases = [0.2, -0.1, 0.3]
    model = TrainableNetwork(net, ("weights", "bias"), dtype="float64", path=path)
    with torch.no_grad():
        for name, value in zip(("h0", "h1", "out"), biases, strict=True):
            model.value("bias", name).fill_(value)
    OTTT(traces=kind).step(model, events(8), LABELS)
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert_close(found, by_hand(net, events(8), kind, biases))


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("rule", [OTTT(), OTTT(traces="source")], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_tick_is_the_plain_gradient_bit_for_bit(path, rule, dtype):
    options = {"learn": ("weights", "bias"), "path": path, "dtype": dtype}
    found = gradients(network(), rule, events(1), **options)
    assert_close(found, gradients(network(), BPTT(), events(1), **options), rtol=1e-6, atol=1e-8)
    # SLTT and OTTT add up in the same order but for the product of the weights, which the compiled path takes densely.
    plain = gradients(network(), SLTT(), events(1), **options)
    for name, gradient in found.items():
        assert torch.equal(gradient, plain[name]) or path == "fused"


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_the_population_below_a_readout_without_memory_has_the_gradient_of_bptt_and_deeper_ones_have_not(path):
    options = {"path": path, "learn": ("weights", "bias")}
    deep = [gradients(network(), rule, events(12), **options) for rule in (OTTT(), BPTT(detach_reset=True))]
    for name in ("weights:h0->h1", "weights:h1->out", "bias:h1", "bias:out"):
        torch.testing.assert_close(deep[0][name], deep[1][name], rtol=1e-10, atol=1e-13)
    first = "weights:input->h0"
    assert not torch.allclose(deep[0][first], deep[1][first], rtol=0.05)
    # Whatever else there is of the neuron: gain and offset, and a leak there is none of.
    for neuron in ({}, {"decay_input": True, "rest": 0.6, "threshold": 0.7}, {"integration": "euler", "strict": True}):
        one = network((14, 12, 5), (10e-3, 0.0), **neuron)
        assert_close(*(gradients(one, rule, events(12), **options) for rule in (OTTT(), BPTT(detach_reset=True))))
    one = network((14, 12, 5), (0.9, 0.0), hidden=IF)
    assert_close(*(gradients(one, rule, events(12), **options) for rule in (OTTT(), BPTT(detach_reset=True))))


def test_without_a_leak_it_is_sltt():
    net = network(taus=(0.0, 0.0, 0.0))
    assert_close(*(gradients(net, rule, events(7)) for rule in (OTTT(), SLTT())))


def test_input_before_the_tick_of_the_loss_is_learned_from():
    """What SLTT cannot: the trace remembers it. Traces of the published code leave inputs out, and cannot either."""
    given = events(6)
    first = given.ticks == 0
    early = Events(
        given.ticks[first], given.sources[first], np.searchsorted(np.flatnonzero(first), given.offsets), 14, 6, DT
    )

    class LastTick(PerTickCrossEntropy):
        def value(self, readout, labels, ends, first=0):
            assert readout.shape[0] == int(ends.max())  # one chunk holds all ticks
            return super().value(readout[-1:], labels, torch.ones_like(ends))

    net = network((14, 9, 5), (50e-3, 0.0), gain=0.4)
    largest = {}
    for rule in (OTTT(chunk=6), OTTT(traces="source", chunk=6), SLTT(chunk=6)):
        found = gradients(net, rule, early, LastTick())
        largest[str(rule)] = float(found["weights:input->h0"].abs().max())
    assert largest.pop(str(OTTT(chunk=6))) > 0
    assert set(largest.values()) == {0.0}


def images(seed=0):
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 24, 30), random.integers(0, 24, 30)
    return Network(
        [
            Population("input", (2, 6, 6), Input()),
            Population("conv", (6, 4, 4), LIF(5e-3)),
            Population("sum", (6, 2, 2), IF(reset="subtract")),
            Population("top", (6, 2, 2), LIF(8e-3, decay_input=True, bias=0.3)),
            Population("side", 24, LIF(3e-3)),
            Population("out", 5, LI(4e-3)),
        ],
        [
            Projection("input", "conv", Conv2d(random.normal(0.2, 0.4, (6, 2, 3, 3)))),
            Projection("conv", "sum", SumPool2d(2, weights=0.7) if seed % 2 else MaxPool2d(2)),
            Projection("sum", "top", OneToOne(random.normal(4.0, 0.5, 24))),
            Projection("top", "side", Sparse(a, b, random.normal(0.6, 0.6, 30))),
            Projection("sum", "side", Dense(random.normal(0.02, 0.1, (24, 24)))),
            Projection("side", "out", Dense(random.normal(0.2, 0.5, (24, 5)))),
            Projection("top", "out", Dense(random.normal(0.2, 0.5, (24, 5)))),
        ],
        dt=DT,
    )


@pytest.mark.parametrize("kind", ["target", "source"])
@pytest.mark.parametrize("seed", range(3))
def test_both_paths_agree_on_images_pools_skips_and_dropout(kind, seed):
    lengths = np.random.default_rng(seed).integers(1, 11, BATCH)
    given = events(11, size=72, lengths=lengths, seed=seed)
    options = {"learn": ("weights", "bias"), "dropout": {"top": 0.3}}
    found = [
        gradients(images(seed), OTTT(traces=kind, chunk=chunk), given, path=path, **options)
        for path, chunk in (("fused", 3), ("fused", 64), ("plain", None))
    ]
    assert_close(found[0], found[2], rtol=1e-9, atol=1e-12)
    assert_close(found[1], found[2], rtol=1e-9, atol=1e-12)


def test_real_values_learn_and_give_a_gradient_to_what_stands_in_front():
    x = torch.rand(BATCH, 7, 14, dtype=torch.float64)
    found = []
    for path, rule in (("fused", OTTT()), ("plain", OTTT()), ("plain", SLTT())):
        given = x.clone().requires_grad_(True)
        model = TrainableNetwork(network(), dtype="float64", path=path)
        rule.step(model, given, LABELS)
        assert model.real_inputs == ("input",)
        found.append((given.grad, model.weights("input->h0").grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found[1][0], found[2][0], rtol=1e-12, atol=1e-15)  # spatial routes only, as in SLTT
    assert not torch.allclose(found[1][1], found[2][1], rtol=0.05)


# -- a step at every tick --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_step_at_every_tick_by_hand(path):
    net, given, rate, ticks = network((14, 12, 5), (10e-3, 0.0)), events(6), 0.7, 6
    model = TrainableNetwork(net, dtype="float64", path=path)
    steps = torch.optim.SGD(model.parameters(), rate)
    count = [0]

    def optimise():
        count[0] += 1
        steps.step()
        steps.zero_grad()

    outcome = OTTT(update="tick").step(model, given, LABELS, optimise=optimise)
    assert count[0] == ticks
    w1, w2 = (p.connectivity.weights.copy() for p in net.resolved().projections)
    x, decay, one_hot = given.to_dense(np.float64), np.exp(-DT / 10e-3), np.eye(CLASSES)[LABELS.numpy()]
    v, trace, total = np.zeros((BATCH, 12)), np.zeros((BATCH, 14)), 0.0
    for t in range(ticks):
        trace = decay * trace + x[:, t]
        u = decay * v + x[:, t] @ w1
        s = (u >= 1).astype(float)
        v = u - s
        o = s @ w2
        softmax = np.exp(o) / np.exp(o).sum(1, keepdims=True)
        total -= np.log(softmax[np.arange(BATCH), LABELS.numpy()]).mean() / ticks
        g = (softmax - one_hot) / BATCH / ticks
        below = (g @ w2.T) * np.maximum(0, 1 - np.abs(u - 1))
        w2 -= rate * s.T @ g
        w1 -= rate * trace.T @ below
    np.testing.assert_allclose(model.weights("input->h0").detach().numpy(), w1, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(model.weights("h0->out").detach().numpy(), w2, rtol=1e-10, atol=1e-13)
    assert outcome.loss == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_step_at_every_tick_heeds_parametrisations(path):
    class Doubled(torch.nn.Module):
        def forward(self, weights):
            return 2 * weights

    def made(doubled):
        model = TrainableNetwork(network((14, 12, 5), (10e-3, 0.0)), dtype="float64", path=path)
        if doubled:
            for name in ("weights:input->h0", "weights:h0->out"):
                with torch.no_grad():
                    getattr(model, name).mul_(0.5)
                torch.nn.utils.parametrize.register_parametrization(model, name, Doubled())
        steps = torch.optim.SGD(model.parameters(), 0.1 if doubled else 0.4)  # d(2w) = 4 times as far

        def optimise():
            steps.step()
            steps.zero_grad()

        OTTT(update="tick").step(model, events(5), LABELS, optimise=optimise)
        return model.weights("input->h0").detach()

    torch.testing.assert_close(made(True), made(False), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_step_at_every_tick_keeps_pruned_weights_at_zero(path):
    model = TrainableNetwork(network((14, 12, 5), (10e-3, 0.0)), path=path)
    torch.nn.utils.prune.random_unstructured(model, "weights:input->h0", 0.5)
    steps = torch.optim.SGD(model.parameters(), 0.5)
    seen = []

    def optimise():
        steps.step()
        steps.zero_grad()
        seen.append(getattr(model, "weights:input->h0_orig").detach().clone())

    pruned = model.weights("input->h0") == 0
    OTTT(update="tick").step(model, events(5), LABELS, optimise=optimise)
    now = model.weights("input->h0").detach()
    assert bool((now[pruned] == 0).all())
    torch.testing.assert_close(now[~pruned], seen[-1][~pruned])
    assert not torch.equal(seen[0][~pruned], seen[-1][~pruned])


def test_a_step_at_every_tick_needs_an_optimiser_and_no_layer_in_front():
    model = TrainableNetwork(network())
    with pytest.raises(ParameterError, match=r"OTTT update='tick': needs optimise="):
        OTTT(update="tick").step(model, events(3), LABELS)
    given = torch.rand(BATCH, 3, 14, requires_grad=True)
    with pytest.raises(CapabilityError, match="OTTT update='tick': an input requires a gradient"):
        OTTT(update="tick").step(model, given, LABELS, optimise=lambda: None)


# -- memory ----------------------------------------------------------------------------------------------


def live_bytes(rule, ticks, path, monkeypatch, update=None):
    """Return the most bytes that tensors hold at any moment at which gradients are about to be computed."""
    gc.collect()
    model, most, calls = TrainableNetwork(network(), path=path), [0], [0]

    def measure():
        storages = {}
        for one in gc.get_objects():
            if issubclass(type(one), torch.Tensor):  # isinstance would ask objects that warn of being asked
                storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        most[0] = max(most[0], sum(storages.values()))

    def measured(function):
        def inner(*arguments, **keywords):
            calls[0] += 1
            if calls[0] % 8 == 0 or isinstance(rule, BPTT):  # all objects there are take a while to look through
                measure()
            return function(*arguments, **keywords)

        return inner

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", measured(torch.Tensor.backward))
        patch.setattr(ChunkedCall, "backward", measured(ChunkedCall.backward))
        rule.step(model, events(ticks), LABELS, optimise=update)
    return most[0]


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("kind", ["target", "source"])
def test_memory_does_not_grow_with_the_ticks(path, kind, monkeypatch):
    rule = OTTT(traces=kind, chunk=1 if path == "fused" else None)
    held = [live_bytes(rule, ticks, path, monkeypatch) for ticks in (8, 32, 128)]
    assert held[0] > 0
    assert max(held) - min(held) < 200  # numbers of the loss, no activations: a tick of spikes has 720 bytes
    grown = [live_bytes(BPTT(), ticks, path, monkeypatch) for ticks in (32, 128)]
    assert grown[1] - grown[0] > 96 * BATCH * 21 * 4


def test_memory_of_a_step_at_every_tick_does_not_grow_either(monkeypatch):
    held = [live_bytes(OTTT(update="tick"), ticks, "plain", monkeypatch, update=lambda: None) for ticks in (8, 32, 128)]
    assert max(held) - min(held) < 200


def test_what_autograd_saves_is_one_tick(monkeypatch):
    """Counted by the hooks of torch: tensors that are saved and not yet used."""

    def most_saved(rule, ticks):
        model, live, most = TrainableNetwork(network(), path="plain"), [0], [0]

        def pack(tensor):
            live[0] += tensor.untyped_storage().nbytes()
            most[0] = max(most[0], live[0])
            return tensor

        before = torch.Tensor.backward

        def backward(self, *arguments, **keywords):
            before(self, *arguments, **keywords)
            live[0] = 0

        with monkeypatch.context() as patch, torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            patch.setattr(torch.Tensor, "backward", backward)
            rule.step(model, events(ticks), LABELS)
        return most[0]

    assert most_saved(OTTT(), 8) == most_saved(OTTT(), 32) == most_saved(OTTT(), 128)
    assert most_saved(BPTT(), 32) > 10 * most_saved(OTTT(), 32)


def test_the_forecast_of_memory_does_not_grow():
    model = TrainableNetwork(network())
    small, large = (model.memory_report(ticks, BATCH, OTTT(chunk=4)) for ticks in (8, 512))
    assert small.kept == large.kept == 0
    assert small.working == large.working
    rows, traced = 4 * BATCH, 4 * (14 + 12 + 9)
    more = small.working - model.memory_report(8, BATCH, SLTT(chunk=4)).working
    assert more == (BATCH + 2 * rows) * traced  # a trace of each source, and a chunk of dense activity and traces
    assert large.rule == "OTTT"


# -- refusals --------------------------------------------------------------------------------------------


def changed(hidden, **options):
    populations = [Population("input", 14, Input()), Population("h", 9, hidden), Population("out", 5, LI(5e-3))]
    projections = [
        Projection("input", "h", Dense(Normal(0.1, 0.7)), **options),
        Projection("h", "out", Dense(Normal(0.1, 0.7))),
    ]
    return Network(populations, projections, dt=DT)


REFUSED = {
    "delays": (
        changed(LIF(), delay=3e-3),
        {},
        r"OTTT drops every route through time, and the delays of 'input->h' are",
    ),
    "learnable delays": (changed(LIF(), delay=Learnable(4e-3)), {"learn": ("weights", "delays")}, "OTTT drops"),
    "sequence norm": (
        changed(LIF()),
        {"batch_norm": ["h"], "batch_norm_over": "sequence"},
        "OTTT goes tick by tick, and batch_norm_over='sequence'",
    ),
    "batch norm": (changed(LIF()), {"batch_norm": ["h"]}, "OTTT: population 'h' has batch norm"),
    "refractory": (changed(LIF(refractory=2e-3)), {}, r"OTTT: population 'h' has a refractory time .*0\.002"),
    "receptor": (
        changed(LIF(receptors=(Exponential(5e-3, "slow"),))),
        {},
        "OTTT: population 'h' has the Exponential receptor 'slow'",
    ),
    "reset": (changed(LIF(reset="zero")), {}, "OTTT: population 'h' has reset='zero'"),
    "reset value": (changed(LIF(reset=-0.2)), {}, r"OTTT: population 'h' has reset=-0\.2"),
    "model": (changed(AdaptiveLIF()), {}, "OTTT: population 'h' is of AdaptiveLIF"),
    "time constants": (
        changed(LIF(np.linspace(5e-3, 9e-3, 9))),
        {},
        "OTTT: population 'h' has 9 different time constants",
    ),
    "threshold": (changed(LIF()), {"learn": ("threshold",)}, "OTTT does not learn the threshold of 'h'"),
    "time constant": (changed(LIF()), {"learn": ("time_constant",)}, "OTTT does not learn the time_constant of 'h'"),
}


@pytest.mark.parametrize(("net", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_it_cannot_do_is_refused_by_name(net, options, message):
    with pytest.raises(CapabilityError, match=message):
        OTTT().step(TrainableNetwork(net, **options), events(3), LABELS)


def test_what_is_frozen_is_no_reason_to_refuse():
    model = TrainableNetwork(changed(LIF()), learn=("weights", "threshold"))
    model.value("threshold", "h").requires_grad_(False)
    OTTT().step(model, events(3), LABELS)
    assert float(model.weights("input->h").grad.abs().max()) > 0


def test_losses_of_the_whole_sample_hooks_and_wrong_settings_are_refused():
    model = TrainableNetwork(network())
    with pytest.raises(ParameterError, match=r"OTTT back-propagates each tick.*couples all ticks"):
        OTTT().step(model, events(3), LABELS, "summed_readout")
    for options, message in (
        ({"update": "sample"}, "OTTT update='sample'"),
        ({"traces": "input"}, "OTTT traces='input'"),
        ({"chunk": 0}, "OTTT chunk"),
        ({"update": "tick", "chunk": 3}, "OTTT chunk=3: with update='tick'"),
    ):
        with pytest.raises(ParameterError, match=message):
            OTTT(**options)
    with pytest.raises(ParameterError, match="OTTT trains a TrainableNetwork, got Linear"):
        OTTT().step(torch.nn.Linear(2, 2), events(3), LABELS)
    model.register_forward_hook(lambda *_: None)
    with pytest.raises(CapabilityError, match="OTTT: the network has forward or backward hooks"):
        OTTT().step(model, events(3), LABELS)


def test_networks_that_lead_back_are_refused_before_any_rule():
    net = Network(
        [Population("input", 14, Input()), Population("h", 9, LIF()), Population("out", 5, LI())],
        [
            Projection("input", "h", Dense(Normal())),
            Projection("h", "h", Dense(Normal()), delay=DT),
            Projection("h", "out", Dense(Normal())),
        ],
        dt=DT,
    )
    with pytest.raises(CapabilityError, match="only feed-forward networks are trained"):
        TrainableNetwork(net)


@pytest.mark.parametrize("rule", ["ottt", "dsr"])
def test_a_time_constant_that_was_learned_before_is_not_taken_for_that_of_the_description(rule):
    """Traces and rates stand on the leak: what BPTT moved and was then frozen would be another one."""
    model = TrainableNetwork(network(), learn=("weights", "time_constant"), dtype="float64")
    for key, parameter in model.named_parameters():
        if key.startswith("time_constant"):
            parameter.requires_grad_(False)
    with pytest.raises(CapabilityError, match=r"time_constant of 'h\d'.*TrainableNetwork\(model.network\(\)\)"):
        NAMED[rule].step(model, events(7), LABELS)
    again = TrainableNetwork(model.network(), dtype="float64")
    NAMED[rule].step(again, events(7), LABELS)
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in again.parameters())

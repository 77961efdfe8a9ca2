"""DSR to the letter: the published neuron and its way back by hand, rates, both paths, refusals."""

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
    MaxPool2d,
    Network,
    Normal,
    OneToOne,
    Population,
    Projection,
    Sparse,
    SumPool2d,
)
from snnsim.errors import CapabilityError

torch = pytest.importorskip("torch")

from snnsim.training import BPTT, DSR, TrainableNetwork
from snnsim.training.compute.call import begin
from snnsim.training.rules.rates import Rates

#: Those of the published code.
DT, TAU, TICKS, THRESHOLD, ALPHA = 0.05, 1.0, 20, 0.3, 0.3
BATCH, CLASSES = 6, 5
LABELS = torch.arange(BATCH) % CLASSES
BETA = np.exp(-DT / TAU)


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def published(threshold=THRESHOLD):
    """The published neuron: it fires from alpha * threshold on and loses the whole threshold."""
    return LIF(TAU, threshold, decay_input=True, rest=(1 - ALPHA) * threshold)


def network(sizes, neurons, readout, gains, dt=DT):
    populations = [Population("input", sizes[0], Input())]
    populations += [Population(f"h{i}", n, one) for i, (n, one) in enumerate(zip(sizes[1:-1], neurons, strict=True))]
    populations += [Population("out", sizes[-1], readout)]
    projections = [
        Projection(a.name, b.name, Dense(Normal(0.1 * gain, gain)))
        for (a, b), gain in zip(itertools.pairwise(populations), gains, strict=True)
    ]
    return Network(populations, projections, dt=dt, seed=2)


def cross_entropy(scores):
    """Return the mean cross entropy and its gradient."""
    share = np.exp(scores - scores.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    rows = np.arange(BATCH)
    return -np.log(share[rows, LABELS.numpy()]).mean(), (share - np.eye(CLASSES)[LABELS.numpy()]) / BATCH


def gradients(net, given, loss, path, learn=("weights",), **options):
    model = TrainableNetwork(net, learn, dtype="float64", path=path, **options)
    outcome = DSR().step(model, given, LABELS, loss, model.generator(3))
    return outcome, {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_gradients_are_those_of_the_published_code_worked_out_by_hand(path):
    """In its own words: spikes of size threshold / dt, V = beta V + (1 - beta) I, reset by the whole threshold."""
    size = THRESHOLD / DT
    net = network((14, 12, 9, 5), [published(), published()], LI(TAU, decay_input=True), (0.4, 2.0, 3.0))
    given = torch.rand(BATCH, 1, 14, dtype=torch.float64).repeat(1, TICKS, 1)  # an image at every tick
    outcome, found = gradients(net, given, "last_readout", path)
    # Our weights hold the size of the spikes that they meet.
    ours = [p.connectivity.weights for p in net.resolved().projections]
    weights = [ours[0], ours[1] / size, ours[2] / size]
    x, ticks = given.numpy(), np.arange(1, TICKS + 1)
    w = np.exp(-(DT * TICKS - ticks * DT) / TAU)

    def rate(values):  # (ticks, batch, ...)
        return np.einsum("t,tbn->bn", w, values) / w.sum()

    sent = [x.transpose(1, 0, 2)]
    arrived = []
    for layer in range(2):
        v, out, drive = np.zeros((BATCH, weights[layer].shape[1])), [], []
        for t in range(TICKS):
            now = sent[layer][t] @ weights[layer]
            v = BETA * v + (1 - BETA) * now
            spike = v >= ALPHA * THRESHOLD
            v = v - THRESHOLD * spike
            out.append(size * spike)
            drive.append(now)
        sent.append(np.array(out))
        arrived.append(rate(np.array(drive)))
    logits = rate(sent[2] @ weights[2])
    kept = 1 - BETA**TICKS  # what a membrane holds of its weighted mean: our score is that share of the logits
    loss, delta = cross_entropy(kept * logits)
    assert outcome.loss == pytest.approx(loss, rel=1e-10)
    step = np.einsum("t,bc->tbc", w / w.sum(), kept * delta)  # gradient of each tick at the readout
    hand = [np.zeros(0), np.zeros(0), np.einsum("tbn,tbc->nc", sent[2], step)]
    for layer in (1, 0):
        g = TICKS * rate(step @ weights[layer + 1].T)
        if layer == 1:
            ratio = TICKS * (w**2).sum() / w.sum() ** 2
            np.testing.assert_allclose(g, ratio * (kept * delta) @ weights[2].T, rtol=1e-10)
            assert ratio == pytest.approx(1.08, abs=0.005)
        passing = (arrived[layer] > 0) & (arrived[layer] < THRESHOLD * TAU / DT)
        assert 0 < passing.mean() < 1  # both ends of the clamp are met
        g = np.where(passing, g / TAU, 0.0)
        step = np.repeat(g[None] / TICKS, TICKS, 0)
        hand[layer] = np.einsum("tbn,tbc->nc", sent[layer], step)
    for gradient, expected, factor in zip(found.values(), hand, (1.0, size, size), strict=True):
        assert np.abs(expected).sum() > 0
        np.testing.assert_allclose(gradient.numpy() * factor, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_integrate_and_fire_has_plain_rates(path):
    net = network((14, 12, 9, 5), [IF(0.8), IF(0.5)], LI(0.0), (0.3, 0.3, 0.6))
    counts = np.random.default_rng(1).random((BATCH, TICKS, 14)) < 0.3
    lengths = np.array([20, 13, 7, 20, 1, 16])
    counts &= np.arange(TICKS)[None, :, None] < lengths[:, None, None]
    outcome, found = gradients(net, Events.from_dense(counts, DT).with_lengths(lengths), "mean_readout", path)
    weights = [p.connectivity.weights for p in net.resolved().projections]
    inside = (np.arange(TICKS)[:, None] < lengths) / lengths  # (ticks, batch), a plain mean
    sent = [counts.transpose(1, 0, 2).astype(float)]
    arrived = []
    for layer, threshold in enumerate((0.8, 0.5)):
        v, out = np.zeros((BATCH, weights[layer].shape[1])), []
        for t in range(TICKS):
            v = v + sent[layer][t] @ weights[layer]
            out.append((v >= threshold).astype(float))
            v = v - threshold * out[-1]
        sent.append(np.array(out))
        arrived.append(np.einsum("tb,tbn->bn", inside, sent[layer] @ weights[layer]))
    loss, g = cross_entropy(np.einsum("tb,tbn->bn", inside, sent[2]) @ weights[2])
    assert outcome.loss == pytest.approx(loss, rel=1e-10)
    means = [np.einsum("tb,tbn->bn", inside, one) for one in sent]
    hand = [np.zeros(0), np.zeros(0), means[2].T @ g]
    for layer, threshold in ((1, 0.5), (0, 0.8)):
        passing = (arrived[layer] >= 0) & (arrived[layer] <= threshold)
        assert 0 < passing.mean() < 1
        g = np.where(passing, g @ weights[layer + 1].T / threshold, 0.0)
        hand[layer] = means[layer].T @ g
    for gradient, expected in zip(found.values(), hand, strict=True):
        assert np.abs(expected).sum() > 0
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-9, atol=1e-13)


def test_rates_are_those_that_the_membrane_says():
    """theta sum_t beta^(T-t) s[t] = g sum_t beta^(T-t) I[t] - V[T]: exact, whatever the input."""
    net = network((14, 12, 9, 5), [LIF(0.4, 0.7), LIF(1.3, 1.2, decay_input=True)], LI(0.0), (0.4, 9.0, 1.0))
    counts = np.random.default_rng(3).random((BATCH, TICKS, 14)) < 0.4
    model = TrainableNetwork(net, dtype="float64", path="plain")
    call = begin(model, Events.from_dense(counts, DT))
    rates = Rates(call)
    rates.run(model.workspace)
    _, state = model(Events.from_dense(counts, DT))
    for source, stage in (("input", "h0"), ("h0", "h1")):
        neuron = net.population(stage).model
        c = neuron.coefficients(DT)
        total = (c.decay ** np.arange(TICKS)).sum()
        drive = rates.weighted[source, stage] @ model.weights(f"{source}->{stage}").detach()
        spikes = torch.stack([torch.tensor(one) for one in _fired(model, counts, stage)])
        own = torch.einsum("tb,tbn->bn", rates.shares[stage], spikes.double())
        left = state[stage]["membrane"] / total
        assert float(spikes.mean(dtype=torch.float64)) > 0.05
        torch.testing.assert_close(neuron.threshold * own, c.gain * drive - left, rtol=1e-10, atol=1e-12)


def _fired(model, counts, population):
    fired = model.spikes(Events.from_dense(counts, DT), population)[population]
    return fired.to_dense(np.float64).transpose(1, 0, 2)


def test_many_ticks_make_it_the_gradient_of_the_clamped_rates():
    """The representation itself, as a network without spikes under autograd: what DSR approaches."""
    near = []
    for ticks in (30, 3000):
        net = network((6, 8, 7, 5), [IF(1.0), IF(1.0)], LI(0.0), (0.5, 0.6, 0.9))
        image = torch.rand(BATCH, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        _, found = gradients(net, image.repeat(1, ticks, 1), "mean_readout", "fused")
        weights = [torch.tensor(p.connectivity.weights, requires_grad=True) for p in net.resolved().projections]
        rate = image[:, 0]
        for w in weights[:-1]:
            rate = (rate @ w).clamp(0, 1)
        torch.nn.functional.cross_entropy(rate @ weights[-1], LABELS).backward()
        differ = [float((a - b.grad).norm() / b.grad.norm()) for a, b in zip(found.values(), weights, strict=True)]
        near.append(max(differ))
    assert near[1] < 0.02
    assert near[1] < near[0] / 5


def test_thresholds_and_biases_have_the_gradient_of_the_rate():
    """Finite differences of the clamped rate at the input that there was, weighted by the error that came back."""
    net = network((14, 12, 5), [LIF(TAU, 0.3, decay_input=True)], LI(0.0), (0.8, 0.7))
    given = torch.rand(BATCH, TICKS, 14, dtype=torch.float64)
    learn = ("weights", "bias", "threshold")
    _, found = gradients(net, given, "mean_readout", "plain", learn)
    weights = [p.connectivity.weights for p in net.resolved().projections]
    w = BETA ** np.arange(TICKS - 1, -1, -1)
    arrived = np.einsum("t,btn->bn", w / w.sum(), given.numpy()) @ weights[0]
    model = TrainableNetwork(net, dtype="float64")
    spikes = model.spikes(given)["h0"].to_dense(np.float64)
    _, delta = cross_entropy(spikes.mean(1) @ weights[1])
    error = delta @ weights[1].T

    def value(threshold, bias):
        return (np.clip(DT / TAU * (arrived + bias) / threshold, 0, 1) * error).sum()

    h = 1e-7
    slope = (value(0.3 + h, 0.0) - value(0.3 - h, 0.0)) / (2 * h)
    assert float(found["threshold:h0"]) == pytest.approx(slope, rel=1e-5)
    for neuron in range(12):
        one = h * (np.arange(12) == neuron)
        slope = (value(0.3, one) - value(0.3, -one)) / (2 * h)
        assert float(found["bias:h0"][neuron]) == pytest.approx(slope, rel=1e-5, abs=1e-9)
    np.testing.assert_allclose(found["bias:out"].numpy(), delta.sum(0), rtol=1e-10)


def images(seed=0):
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 24, 30), random.integers(0, 24, 30)
    return Network(
        [
            Population("input", (2, 6, 6), Input()),
            Population("extra", 7, Input()),
            Population("conv", (6, 4, 4), LIF(5e-3, 1.5)),
            Population("sum", (6, 2, 2), IF(1.5)),
            Population("top", (6, 2, 2), LIF(8e-3, decay_input=True)),
            Population("side", 24, LIF(3e-3, np.linspace(0.5, 2.0, 24))),
            Population("out", 5, LI(4e-3)),
        ],
        [
            Projection("input", "conv", Conv2d(random.normal(0.1, 0.4, (6, 2, 3, 3)))),
            Projection("conv", "sum", SumPool2d(2, weights=0.5)),
            Projection("sum", "top", OneToOne(random.normal(4.0, 1.5, 24))),
            Projection("top", "side", Sparse(a, b, random.normal(0.6, 0.6, 30))),
            Projection("sum", "side", Dense(random.normal(0.02, 0.1, (24, 24)))),
            Projection("extra", "side", Dense(random.normal(0.0, 0.3, (7, 24)))),
            Projection("side", "out", Dense(random.normal(0.2, 0.5, (24, 5)))),
            Projection("top", "out", Dense(random.normal(0.2, 0.5, (24, 5)))),
            Projection("extra", "out", Dense(random.normal(0.2, 0.5, (7, 5)))),
        ],
        dt=1e-3,
    )


LOSSES = ["per_tick_cross_entropy", "last_readout", "summed_readout", "summed_softmax", "largest_readout"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(2))
def test_both_paths_agree_on_images_pools_skips_dropout_and_several_inputs(loss, seed):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 34, BATCH)
    counts = random.random((BATCH, 33, 72)) < 0.3
    counts &= np.arange(33)[None, :, None] < lengths[:, None, None]
    values, found = random.random((BATCH, 33, 7)), []
    for path in ("fused", "plain"):
        extra = torch.tensor(values, requires_grad=True)
        given = {"input": Events.from_dense(counts, 1e-3).with_lengths(lengths), "extra": extra}
        options = {"learn": ("weights", "bias", "threshold"), "path": "plain"}
        if path == "fused":
            options = {"learn": ("weights", "bias"), "path": path}
        outcome, grads = gradients(images(seed), given, loss, dropout={"top": 0.3}, **options)
        grads = {name: one for name, one in grads.items() if not name.startswith("threshold")}
        found.append((outcome, grads | {"extra": extra.grad}))
    assert found[0][0].loss == pytest.approx(found[1][0].loss, rel=1e-10)
    assert found[0][0].rates == pytest.approx(found[1][0].rates)
    for name, gradient in found[0][1].items():
        assert bool(gradient.abs().sum() > 0), name
        torch.testing.assert_close(gradient, found[1][1][name], rtol=1e-9, atol=1e-12, msg=name)


def test_every_loss_descends():
    """Steps along the gradient make the loss of the spiking network smaller, whichever it is."""
    for loss in LOSSES:
        net = network((14, 40, 5), [LIF(TAU, 0.3, decay_input=True)], LI(0.2), (2.0, 0.5))
        model = TrainableNetwork(net, dtype="float64")
        given = torch.rand(BATCH, 40, 14, dtype=torch.float64)
        steps = torch.optim.Adam(model.parameters(), 0.01)
        losses = []
        for _ in range(30):
            steps.zero_grad()
            losses.append(DSR().step(model, given, LABELS, loss).loss)
            steps.step()
        assert losses[-1] < 0.9 * losses[0], loss


def test_kept_for_all_ticks_are_readout_and_spikes_that_lead_to_it():
    net = network((200, 300, 50, 5), [published(), published()], LI(TAU), (0.3, 1.0, 1.0))
    model = TrainableNetwork(net)
    ours, all_of_it = (model.memory_report(500, 64, rule) for rule in (DSR(), BPTT()))
    assert ours.kept == 500 * 64 * (2 * 5 * 4 + 2 * 50)
    assert ours.kept < 0.15 * all_of_it.kept


# -- refusals --------------------------------------------------------------------------------------------


def changed(hidden, out=None, connectivity=None, **options):
    populations = [Population("input", 14, Input()), Population("h", 9, hidden), Population("out", 5, out or LI(5e-3))]
    projections = [
        Projection("input", "h", connectivity or Dense(Normal(0.1, 0.7)), **options),
        Projection("h", "out", Dense(Normal(0.1, 0.7))),
    ]
    return Network(populations, projections, dt=1e-3)


def pooled():
    return Network(
        [Population("input", (1, 4, 4), Input()), Population("h", (1, 2, 2), LIF()), Population("out", 5, LI())],
        [Projection("input", "h", MaxPool2d(2)), Projection("h", "out", Dense(Normal()))],
        dt=1e-3,
    )


REFUSED = {
    "delays": (changed(LIF(), delay=3e-3), {}, "DSR drops every route through time, and the delays of 'input->h' are"),
    "sequence norm": (
        changed(LIF()),
        {"batch_norm": ["h"], "batch_norm_over": "sequence"},
        "DSR goes tick by tick, and batch_norm_over='sequence'",
    ),
    "batch norm": (changed(LIF()), {"batch_norm": ["h"]}, "DSR: population 'h' has batch norm"),
    "refractory": (changed(LIF(refractory=2e-3)), {}, "DSR: population 'h' has a refractory time"),
    "receptor": (changed(LIF(receptors=(Exponential(5e-3),))), {}, "DSR: population 'h' has the Exponential receptor"),
    "reset": (changed(LIF(reset="zero")), {}, "DSR: population 'h' has reset='zero'"),
    "model": (changed(AdaptiveLIF()), {}, "DSR: population 'h' is of AdaptiveLIF"),
    "time constants": (changed(LIF(np.linspace(5e-3, 9e-3, 9))), {}, "DSR: population 'h' has 9 different"),
    "time constant": (changed(LIF()), {"learn": ("time_constant",)}, "DSR does not learn the time_constant of 'h'"),
    "forgetful": (changed(LIF(0.0)), {}, "DSR: population 'h' forgets at every tick"),
    "output": (changed(LIF(), LIF()), {}, "DSR: the output 'out' fires"),
    "pool": (pooled(), {}, "DSR: projection 'input->h' is MaxPool2d"),
}


@pytest.mark.parametrize(("net", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_it_cannot_do_is_refused_by_name(net, options, message):
    size = net.population("input").size
    given = Events.from_dense(np.ones((BATCH, 3, size), int), 1e-3)
    with pytest.raises(CapabilityError, match=message):
        DSR().step(TrainableNetwork(net, **options), given, LABELS)

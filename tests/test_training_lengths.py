"""Samples of different lengths in training: silence after the end of one has no part in anything."""

import copy

import numpy as np
import pytest

import snnsim as sn
from snnsim import Events, Network, Population, Projection, Simulation
from snnsim.errors import ParameterError
from snnsim.scores import SCORES, final_scores

torch = pytest.importorskip("torch")

from snnsim.training import (
    BPTT,
    SLTT,
    EventProp,
    EventPropNetwork,
    PerTickCrossEntropy,
    ScoreCrossEntropy,
    TrainableNetwork,
    evaluate,
    train,
)
from snnsim.training.losses import joined, scores_of

DT = 1e-3
LABELS = torch.arange(9) % 3


class Data:
    def __init__(self, events, labels):
        self.events, self.labels = events, labels


def ragged(recordings=9, ticks=14, seed=0, density=0.25, sources=6):
    random = np.random.default_rng(seed)
    lengths = random.integers(3, ticks + 1, recordings)
    lengths[1] = ticks
    counts = (random.random((recordings, ticks, sources)) < density).astype(int)
    return Events.from_dense(counts * (np.arange(ticks) < lengths[:, None])[..., None], DT, lengths=lengths)


def network(kind="layers", **more):
    """Return a network that speaks in silence: a bias, and a readout that remembers."""
    if kind == "images":
        neurons = [
            Population("in", (1, 4, 4), sn.Input()),
            Population("hid", (2, 4, 4), sn.LIF(5e-3, bias=0.05)),
            Population("pool", (2, 2, 2), sn.LIF(5e-3, bias=0.05)),
            Population("out", 3, sn.LI(3e-3)),
        ]
        links = [
            Projection("in", "hid", sn.Conv2d(np.random.default_rng(1).normal(0.1, 0.4, (2, 1, 3, 3)), padding=1)),
            Projection("hid", "pool", sn.SumPool2d(2)),
            Projection("pool", "out", sn.Dense(sn.Normal(0.0, 0.5))),
        ]
        return Network(neurons, links, dt=DT, **more)
    delay = {"layers": 0.0, "delays": sn.Learnable(6e-3), "fixed": 4e-3, "extended": 0.0}[kind]
    if kind == "extended":
        more = {"extension": 5e-3, **more}
    return Network(
        [
            Population("in", 6, sn.Input()),
            Population("hid", 8, sn.LIF(5e-3, bias=0.05)),
            Population("out", 3, sn.LI(3e-3)),
        ],
        [
            Projection("in", "hid", sn.Dense(sn.Normal(0.3, 0.5)), delay=delay),
            Projection("hid", "out", sn.Dense(sn.Normal(0.0, 0.5)), delay=delay),
        ],
        dt=DT,
        **more,
    )


KINDS = {
    "layers": {"learn": ("weights", "bias")},
    "layers, normed": {"batch_norm": ["hid"]},
    "whole samples, normed": {"batch_norm": ["hid"], "batch_norm_over": "sequence"},
    "delays": {"learn": ("weights", "delays")},
    "delays, normed": {"learn": ("weights", "delays"), "batch_norm": ["hid"]},
    "fixed delays": {},
    "extended": {},
    "images": {"learn": ("weights", "bias")},
    "images, normed": {"batch_norm": ["hid"]},
}
NETS = {"fixed delays": "fixed", "whole samples, normed": "layers"}


def made(kind, path="auto", **more):
    net = network(NETS.get(kind, kind.split(",")[0]), **more)
    return TrainableNetwork(net, dtype="float64", path=path, **KINDS[kind])


def sources_of(kind):
    return 16 if kind.startswith("images") else 6


def found(model, rule, events, loss, **more):
    """Return loss, scores, rates, gradients and running statistics of two steps."""
    values = []
    for _ in range(2):  # batch norm treats its first batch apart
        model.zero_grad()
        outcome = rule.step(model, events, LABELS, loss, **more)
        values += [
            torch.tensor(outcome.loss, dtype=torch.float64),
            outcome.scores,
            torch.tensor(list(outcome.rates.values())),
        ]
        values += [parameter.grad.clone() for parameter in model.parameters()]
        values += [buffer.clone() for name, buffer in model.named_buffers() if "running" in name]
    return values


def assert_same(one, other, tolerance=1e-11):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("path", ["auto", "plain"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["per_tick_cross_entropy", "summed_softmax", "last_readout"])
def test_silence_after_samples_changes_nothing(kind, path, loss):
    events = ragged(sources=sources_of(kind))
    one = found(made(kind, path), BPTT(), events, loss)
    assert_same(one, found(made(kind, path), BPTT(), events.crop(40), loss))
    assert max(float(part.abs().max()) for part in one[3:5]) > 1e-3


@pytest.mark.parametrize("rule", [SLTT(), SLTT(chunk=3), SLTT(k=5)], ids=repr)
@pytest.mark.parametrize("path", ["auto", "plain"])
@pytest.mark.parametrize("kind", ["layers", "layers, normed", "extended", "images", "images, normed"])
def test_silence_after_samples_changes_nothing_for_sltt(kind, path, rule):
    events = ragged(sources=sources_of(kind))
    both = [found(made(kind, path), rule, given, "per_tick_cross_entropy") for given in (events, events.crop(40))]
    assert_same(*both)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "normed" not in kind])
@pytest.mark.parametrize("loss", [PerTickCrossEntropy(0.3), "summed_readout", "largest_readout"], ids=str)
def test_a_minibatch_is_the_mean_of_its_samples_alone(kind, loss):
    """Without batch norm samples know nothing of each other, and each counts alike, however long it is."""
    events, whole = ragged(sources=sources_of(kind)), made(kind)
    outcome = BPTT().step(whole, events, LABELS, loss)
    losses, scores, alone = [], [], made(kind)
    for i in range(9):
        length = int(events.lengths[i])
        one = BPTT().step(alone, events[i].crop(length), LABELS[i : i + 1], loss)
        losses.append(one.loss)
        scores.append(one.scores[0])
    assert outcome.loss == pytest.approx(np.mean(losses), rel=1e-11)
    torch.testing.assert_close(outcome.scores, torch.stack(scores), rtol=1e-11, atol=1e-11)
    for a, b in zip(whole.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad / 9, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_both_paths_agree_on_samples_of_different_lengths(kind):
    events = ragged(sources=sources_of(kind))
    for loss in ("per_tick_cross_entropy", "summed_softmax"):
        assert_same(*(found(made(kind, path), BPTT(), events, loss) for path in ("auto", "plain")), 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_say_their_lengths_in_the_call(kind):
    events = ragged(sources=sources_of(kind))
    dense, lengths = torch.from_numpy(events.to_dense(np.float64)), torch.from_numpy(events.lengths)
    junk = dense + 3.0 * (torch.arange(14) >= lengths[:, None])[..., None]  # what comes after is not looked at
    model = made(kind)
    right = found(copy.deepcopy(model), BPTT(), events, "summed_softmax")
    for given in (dense, junk):
        assert_same(right, found(copy.deepcopy(model), BPTT(), given, "summed_softmax", lengths=lengths), 1e-9)
    if "normed" not in kind:
        model.eval()
        expected = model.readout(events)
        torch.testing.assert_close(model.readout(dense, lengths=lengths), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(model.scores(dense, lengths=lengths), model.scores(events), rtol=1e-9, atol=1e-9)
    with pytest.raises(ParameterError, match="lengths: the Events of 'in' bring their own"):
        model.readout(events, lengths=lengths)
    for wrong in (lengths[:3], lengths + 20, lengths.double()):
        with pytest.raises(ParameterError, match=r"lengths: torch\..*expected a whole number a sample"):
            model.readout(junk, lengths=wrong)
    with pytest.raises(ParameterError, match="sample 0 has no ticks"):
        model.readout(junk, lengths=lengths * 0)


def test_the_input_gets_no_gradient_beyond_the_end_of_a_sample():
    events = ragged()
    lengths = torch.from_numpy(events.lengths)
    for kind in ("layers", "delays", "extended", "layers, normed"):
        dense = torch.from_numpy(events.to_dense(np.float64)).requires_grad_()
        made(kind).readout(dense, lengths=lengths).square().sum().backward()
        beyond = torch.arange(14) >= lengths[:, None]
        assert float(dense.grad[beyond].abs().max()) == 0.0
        assert float(dense.grad[~beyond].abs().max()) > 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["auto", "plain"])
def test_readouts_are_zero_from_the_end_on_and_spikes_end_there(kind, path):
    events, model = ragged(sources=sources_of(kind)), made(kind, path).eval()
    readout = model.readout(events.crop(30)).detach()
    ends = torch.from_numpy(events.lengths) + model.extension
    assert readout.shape[1] == 30 + model.extension
    beyond = torch.arange(readout.shape[1]) >= ends[:, None]
    assert float(readout[beyond].abs().max()) == 0.0
    fired = model.spikes(events)["hid"]
    result = Simulation(model.network(), "reference", dtype="float64").run_samples(events, record="hid")
    assert fired == result.spikes["hid"]
    readout = readout[:, : result.n_ticks]
    torch.testing.assert_close(readout, torch.from_numpy(np.nan_to_num(result.readout())), rtol=1e-9, atol=1e-9)


# -- scores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
def test_scores_are_those_of_the_backends(score):
    random = np.random.default_rng(3)
    readout, ends = random.normal(0, 2, (5, 11, 4)), random.integers(1, 12, 5)
    expected = final_scores(readout, score, ends)
    tensor, lasting = torch.from_numpy(readout).transpose(0, 1).clone(), torch.from_numpy(ends)
    np.testing.assert_allclose(scores_of(tensor, score, lasting).numpy(), expected, rtol=1e-12)
    parts = None
    for first in range(0, 11, 3):
        parts = joined(score, parts, scores_of(tensor[first : first + 3], score, lasting, first))
    np.testing.assert_allclose(parts.numpy(), expected, rtol=1e-12)
    tensor[torch.arange(11)[:, None] >= lasting] = torch.nan
    tensor.requires_grad_()
    value = ScoreCrossEntropy(score).value(tensor, torch.zeros(5, dtype=torch.int64), lasting)
    value.backward()
    assert torch.isfinite(tensor.grad).all()
    logits = torch.from_numpy(expected)
    assert value.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.zeros(5, dtype=int)).item())


def task(recordings=150, seed=0):
    random = np.random.default_rng(seed)
    labels, lengths = random.integers(0, 3, recordings), random.integers(5, 31, recordings)
    counts = (random.random((recordings, 30, 6)) < 0.2).astype(int)
    counts[np.arange(recordings), :, labels] |= random.random((recordings, 30)) < 0.35
    counts *= (np.arange(30) < lengths[:, None])[..., None]
    return Data(Events.from_dense(counts, DT, lengths=lengths), labels)


@pytest.mark.parametrize("kind", ["layers", "layers, normed", "delays, normed", "fixed delays", "extended"])
@pytest.mark.parametrize("loss", ["per_tick_cross_entropy", "summed_softmax", "last_readout"])
def test_every_way_of_answering_agrees(kind, loss, tmp_path, backend):
    data, model = task(), made(kind)
    rule = BPTT()
    train(model, data, rule=rule, loss=loss, epochs=2, learning_rate=0.01, validation=0, progress=False)
    right = evaluate(model, data)
    assert right == evaluate(model, Data(data.events.crop(90), data.labels))
    assert right == evaluate(model, data, score=model.score)
    assert model.score == ("summed_readout" if loss == "per_tick_cross_entropy" else loss)
    model.network().save(tmp_path / "net.h5")
    net = Network.load(tmp_path / "net.h5")
    assert (net.score, net.extension_ticks) == (model.score, model.extension)
    for events in (data.events, data.events.crop(90)):
        result = Simulation(net, backend, dtype="float64").run_samples(events, record=["hid"])
        assert result.accuracy(data.labels) == right
    again = TrainableNetwork(net, dtype="float64")
    assert evaluate(again, data) == right
    assert again.score == model.score
    other = made(kind)
    other.load_state_dict(model.state_dict())
    assert (other.score, evaluate(other, data)) == (model.score, right)


def test_a_loss_of_every_tick_leaves_the_score_of_the_description():
    model = made("layers", score="mean_readout")
    for rule in (SLTT(), BPTT()):
        outcome = rule.step(model, ragged(), LABELS)
        assert model.score == "mean_readout"
        torch.testing.assert_close(outcome.scores, model.scores(ragged()).detach(), rtol=1e-9, atol=1e-9)
    BPTT().step(model, ragged(), LABELS, "last_readout")
    assert model.network().score == "last_readout"
    with pytest.raises(ParameterError, match="score='best' is not known"):
        model.score = "best"
    with pytest.raises(ParameterError, match="loss and score both say"):
        evaluate(model, Data(ragged(), LABELS.numpy()), loss="last_readout", score="last_readout")


def test_a_state_cannot_be_gone_on_from_where_a_call_runs_on():
    model = made("extended")
    _, state = model(ragged())
    with pytest.raises(ParameterError, match="the network runs on for 5 ticks after each call"):
        model(ragged(), state)


# -- EventProp -------------------------------------------------------------------------------------------


def eventprop(readout, **more):
    receptors = [sn.Exponential(5e-3)]
    net = Network(
        [
            Population("in", 6, sn.Input()),
            Population("hid", 8, sn.LIF(20e-3, reset="zero", receptors=receptors)),
            Population("out", 3, sn.LI(20e-3, receptors=receptors)),
        ],
        [
            Projection("in", "hid", sn.Dense(sn.Normal(1.0, 0.8)), delay=2e-3),
            Projection("hid", "out", sn.Dense(sn.Normal(0.0, 0.5)), delay=1e-3),
        ],
        dt=DT,
        **more,
    )
    return EventPropNetwork(net, readout=readout, dtype="float64")


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["exponential", "mean", "largest", "ticks"])
def test_eventprop_heeds_lengths_and_hands_its_readout_on(readout, tmp_path):
    events = ragged(ticks=30)
    values = []
    for given in (events, events.crop(80)):
        model = eventprop(readout)
        outcome = EventProp().step(model, given, LABELS, "summed_softmax" if readout == "ticks" else "summed_readout")
        values.append(
            [torch.tensor(outcome.loss, dtype=torch.float64), outcome.scores, *(p.grad for p in model.parameters())]
        )
    assert_same(*values, 1e-12)
    losses = []
    for i in range(9):
        alone = eventprop(readout)
        one = events[i].crop(int(events.lengths[i]))
        loss = "summed_softmax" if readout == "ticks" else "summed_readout"
        losses.append(EventProp().step(alone, one, LABELS[i : i + 1], loss).loss)
    assert float(values[0][0]) == pytest.approx(np.mean(losses), rel=1e-12)
    network = model.network()
    assert (
        network.score
        == {
            "exponential": "exponential_readout",
            "mean": "mean_readout",
            "largest": "largest_readout",
            "ticks": "summed_softmax",
        }[readout]
    )
    assert network.extension == 0.0
    for backend in ("reference", "cpu"):
        result = Simulation(network, backend, dtype="float64").run_samples(events, record="hid")
        assert result.predictions().tolist() == model.scores(events).argmax(1).tolist()
        assert result.spikes["hid"] == model.spikes(events)["hid"]
    assert evaluate(model, Data(events, LABELS.numpy())) == result.accuracy(LABELS.numpy())


def test_eventprop_runs_on_where_the_description_says_so():
    model = eventprop("ticks", extension=7e-3)
    events = ragged(ticks=30)
    assert model.readout(events).shape[1] == 37
    result = Simulation(model.network(), "reference", dtype="float64").run_samples(events)
    np.testing.assert_allclose(
        np.nan_to_num(result.readout()), model.readout(events).detach().numpy(), rtol=1e-9, atol=1e-12
    )

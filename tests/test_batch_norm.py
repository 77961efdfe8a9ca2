"""Batch norm over ticks: what is trained is what is evaluated and exported."""

import copy

import numpy as np
import pytest

import snnsim as sn
from snnsim import Network, Population, Projection, Simulation
from snnsim.architectures import convolutional, fully_connected
from snnsim.datasets import load_digits_events, load_nmnist

torch = pytest.importorskip("torch")

from snnsim.training import BPTT, SLTT, TrainableNetwork, evaluate, train
from snnsim.training.compute.batch_statistics import Moments, tick_moments
from snnsim.training.parameters.batch_norm import TickBatchNorm

DT = 1e-3


def network():
    return Network(
        [Population("in", 10, sn.Input()), Population("hid", 12, sn.LIF(8e-3)), Population("out", 3, sn.LI(0.0))],
        [
            Projection("in", "hid", sn.Dense(sn.Normal(0.1, 0.3))),
            Projection("hid", "out", sn.Dense(sn.Normal(0.0, 0.4))),
        ],
        dt=DT,
    )


def events(seed, recordings=20, ticks=15):
    random = np.random.default_rng(seed)
    lengths = random.integers(4, ticks + 1, recordings)
    counts = random.random((recordings, ticks, 10)) < np.linspace(0.02, 0.5, ticks)[:, None]  # ticks differ
    counts = counts * (np.arange(ticks) < lengths[:, None])[..., None]
    return sn.Events.from_dense(counts.astype(int), DT, lengths=lengths)


# -- running statistics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.9, 0.1, 0.003])
def test_the_average_counts_only_the_batches_that_there_were(momentum):
    norm, random = TickBatchNorm(2, torch.float64, momentum), np.random.default_rng(0)
    means, variances = random.normal(3, 1, (2, 30, 2))
    for step, (mean, variance) in enumerate(zip(means, variances, strict=True), start=1):
        norm.update(torch.from_numpy(mean), torch.from_numpy(variance))
        weights = (1 - momentum) ** np.arange(step)[::-1]
        for found, values in ((norm.running_mean, means), (norm.running_variance, variances)):
            expected = np.average(values[:step], axis=0, weights=weights)
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_moments_of_ticks_are_those_of_all_their_values():
    random = np.random.default_rng(1)
    values = random.normal(2.0, 3.0, (7, 5, 3, 4))
    inside = random.random((7, 5)) < 0.6
    inside[2] = False
    moments = Moments(3)
    for rows in (slice(0, 3), slice(3, 7)):
        part, chosen = torch.from_numpy(values[rows]), torch.from_numpy(inside[rows])
        counts, mean, variance = tick_moments(part, chosen)
        moments.add(counts, mean.view(len(part), -1), variance.view(len(part), -1))
    norm = TickBatchNorm(3, torch.float64)
    moments.into(norm)
    every = values.transpose(2, 0, 1, 3)[:, inside].reshape(3, -1)
    np.testing.assert_allclose(norm.running_mean.numpy(), every.mean(1), rtol=1e-12)
    np.testing.assert_allclose(norm.running_variance.numpy(), every.var(1, ddof=1), rtol=1e-10)


@pytest.mark.parametrize("over", ["tick", "sequence"])
def test_running_statistics_are_those_of_the_ticks_of_the_samples(over):
    found = []
    for given in (events(3), events(3).crop(60)):
        model = TrainableNetwork(network(), batch_norm=["hid"], batch_norm_over=over, dtype="float64")
        BPTT().step(model, given, torch.arange(20) % 3)
        found.append(model.norm("hid"))
    given = events(3)
    drive = given.to_dense(np.float64) @ network().resolved().projections[0].connectivity.weights
    rows = drive[np.arange(15) < given.lengths[:, None]]
    for norm in found:
        np.testing.assert_allclose(norm.running_mean.numpy(), rows.mean(0), rtol=1e-12)
        np.testing.assert_allclose(norm.running_variance.numpy(), rows.var(0, ddof=1), rtol=1e-10)


# -- training computes what evaluation computes ----------------------------------------------------------


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_batch_in_training_is_normalised_as_in_evaluation(path):
    """But for the very first one, which has no statistics before it, and of which each tick has its own."""
    model = TrainableNetwork(network(), batch_norm=["hid"], dtype="float64", path=path)
    first = model.readout(events(0)).detach()
    assert not torch.equal(first, copy.deepcopy(model).eval().readout(events(0)))
    for seed in range(1, 4):
        expected = copy.deepcopy(model).eval().readout(events(seed)).detach()
        torch.testing.assert_close(model.readout(events(seed)).detach(), expected, rtol=1e-9, atol=1e-9)


def test_the_first_batch_is_that_of_torch_tick_by_tick():
    model = TrainableNetwork(network(), batch_norm=["hid"], dtype="float64")
    given = events(5).with_lengths(15)
    drive = torch.from_numpy(given.to_dense(np.float64)) @ model.weights("in->hid").detach()
    norm = torch.nn.BatchNorm1d(12, track_running_stats=False, dtype=torch.float64)
    spikes, membrane = torch.zeros(20, 15, 12, dtype=torch.float64), torch.zeros(20, 12, dtype=torch.float64)
    for tick in range(15):
        membrane = np.exp(-DT / 8e-3) * membrane + norm(drive[:, tick])
        spikes[:, tick] = (membrane >= 1.0).double()
        membrane = membrane - spikes[:, tick]
    assert spikes.sum() > 50
    expected = spikes @ model.weights("hid->out").detach()
    torch.testing.assert_close(model.readout(given), expected, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_batch_renormalisation():
    """Autograd through the definition (arXiv:1702.03275): no gradient into r and d."""
    model = TrainableNetwork(network(), batch_norm=["hid"], dtype="float64", learn=("weights",))
    model.readout(events(1))  # running statistics of one batch
    norm = model.norm("hid")
    mean, deviation = norm.running_mean.clone(), torch.sqrt(norm.running_variance + norm.epsilon)
    with torch.no_grad():
        norm.weight.mul_(1.3)
        norm.bias.add_(0.2)
    given = events(2).with_lengths(15)
    weights, factor, shift = (
        one.detach().clone().requires_grad_() for one in (model.weights("in->hid"), norm.weight, norm.bias)
    )
    drive = torch.from_numpy(given.to_dense(np.float64)) @ weights
    own = drive.mean(0, keepdim=True)
    spread = torch.sqrt(drive.var(0, correction=0, keepdim=True) + norm.epsilon)
    r, d = (spread / deviation).detach(), ((own - mean) / deviation).detach()
    target = factor * ((drive - own) / spread * r + d) + shift
    # A readout without memory shows the drive itself.
    probe = Network(
        [Population("in", 10, sn.Input()), Population("hid", 12, sn.LI(0.0))],
        [Projection("in", "hid", sn.Dense(weights.detach().numpy()))],
        dt=DT,
    )
    linear = TrainableNetwork(probe, batch_norm=["hid"], dtype="float64")
    norms = {key: value for key, value in model.state_dict().items() if "norm" in key}
    linear.load_state_dict({"weights:in->hid": weights.detach(), **norms}, strict=False)
    direction = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 15, 12)))
    (target * direction).sum().backward()
    readout = linear.readout(given)
    torch.testing.assert_close(readout, target.detach(), rtol=1e-9, atol=1e-9)
    (readout * direction).sum().backward()
    for found, expected in (
        (linear.weights("in->hid"), weights),
        (linear.norm("hid").weight, factor),
        (linear.norm("hid").bias, shift),
    ):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-9, atol=1e-9)


def test_small_momenta_and_few_batches_are_no_trap():
    """The running statistics hold from the first batch on, and do not remember where they began."""
    results = []
    for momentum in (0.1, 0.1 / 30):
        model = TrainableNetwork(network(), batch_norm=["hid"], dtype="float64")
        model.norm("hid").momentum = momentum
        for seed in range(5):
            model.readout(events(seed))
        results.append(model.norm("hid").running_variance.clone())
    weights, batches = network().resolved().projections[0].connectivity.weights, [events(seed) for seed in range(5)]
    inside = [np.arange(15) < given.lengths[:, None] for given in batches]
    drives = [given.to_dense(float) @ weights for given in batches]
    rows = np.concatenate([drive[mask] for drive, mask in zip(drives, inside, strict=True)])
    for found in results:
        np.testing.assert_allclose(found.numpy(), rows.var(0), rtol=0.2)


# -- on data ---------------------------------------------------------------------------------------------


def accuracies(model, test):
    """Return the accuracies of evaluation, of the exported network, and with the statistics of one large batch."""
    exported = Simulation(model.network(), "cpu").run_samples(test.events).accuracy(test.labels)
    batch = copy.deepcopy(model).train()
    with torch.no_grad():
        answers = batch.scores(test.events).argmax(1).numpy()
    return evaluate(model, test), exported, float(np.mean(answers == test.labels))


@pytest.mark.slow
@pytest.mark.parametrize("rule", [SLTT(), BPTT()], ids=["sltt", "bptt"])
@pytest.mark.parametrize("momentum", [0.1, 0.1 / 30])
def test_digits_are_answered_alike_by_all_statistics(rule, momentum):
    learn, test = (load_digits_events(split=split, dt=10e-3) for split in ("train", "test"))
    net = fully_connected((2, 34, 34), 10, hidden=(128, 128), dt=10e-3)
    model = TrainableNetwork(net, batch_norm=["hidden1", "hidden2"])
    for population in ("hidden1", "hidden2"):
        model.norm(population).momentum = momentum
    train(model, learn, epochs=3, rule=rule, progress=False, learning_rate=2e-3)
    evaluated, exported, batch = accuracies(model, test)
    assert min(evaluated, exported) > 0.91
    assert max(abs(evaluated - batch), abs(exported - batch)) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("rule", [SLTT(), BPTT()], ids=["sltt", "bptt"])
def test_padded_recordings_are_answered_alike_by_all_statistics(rule, shared_data):
    path = shared_data / "nmnist" / "nmnist_1000train_100test.zip"
    if not path.is_file():
        pytest.skip("the N-MNIST subset is not there")
    found = []
    for duration in (0.35, 0.5):
        learn, test = (
            load_nmnist(path, split=split, dt=10e-3, duration=duration, progress=False) for split in ("train", "test")
        )
        net = convolutional((2, 34, 34), 10, channels=(8, 16), dt=10e-3)
        model = TrainableNetwork(net, batch_norm=("conv1", "conv2"))
        train(model, learn[:500], epochs=3, rule=rule, batch_size=32, progress=False, validation=0, learning_rate=2e-3)
        evaluated, exported, batch = accuracies(model, test)
        found.append(evaluated)
        assert evaluated > 0.55
        assert max(abs(evaluated - batch), abs(exported - batch)) <= 0.011
    assert abs(found[0] - found[1]) <= 0.011

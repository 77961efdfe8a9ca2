"""Encoders and streams of tasks."""

import numpy as np
import pytest

import snnsim as sn
from snnsim import Frames
from snnsim.datasets import EventDataset, FrameDataset, ImageDataset, encoders, permuted_tasks, split_tasks
from snnsim.errors import DataError, ParameterError

DT = 1e-3


def images(samples=6, seed=0, shape=(1, 4, 5)):
    return np.random.default_rng(seed).integers(0, 256, (samples, *shape), np.uint8)


# -- encoders ----------------------------------------------------------------------------------------------


def test_direct_normalises_by_channel_and_keeps_an_image_once():
    given = images(shape=(3, 4, 5))
    frames = encoders.direct(given, n_ticks=7, dt=DT, mean=[0.1, 0.2, 0.3], standard_deviation=[1.0, 2.0, 0.5])
    expected = (given / 255 - np.reshape([0.1, 0.2, 0.3], (1, 3, 1, 1))) / np.reshape([1.0, 2.0, 0.5], (1, 3, 1, 1))
    assert frames.values.dtype == np.float32
    assert frames.values[:, 0] == pytest.approx(expected.reshape(6, -1), rel=1e-6, abs=1e-6)
    assert frames.is_constant
    assert frames.n_ticks == 7
    real = np.random.default_rng(1).normal(size=(2, 3))
    assert np.array_equal(encoders.direct(real, n_ticks=1, dt=DT).values[:, 0], real)
    assert np.array_equal(given, images(shape=(3, 4, 5)))  # left as it was


@pytest.mark.parametrize("rate", [0.0, 50.0, 3000.0])
def test_poisson_counts_have_their_mean_and_variance(rate):
    values = np.array([[0.0, 0.25, 1.0]])
    events = encoders.poisson(values, n_ticks=20000, dt=DT, rate=rate, seed=3)
    counts = events.to_dense()[0]
    mean = values[0] * rate * DT
    deviation = np.sqrt(mean / 20000)
    assert np.abs(counts.mean(axis=0) - mean).max() <= 5 * deviation.max()
    # The variance of a Poisson number is its mean; its fourth moment is mean + 3 mean^2.
    assert np.all(np.abs(counts.var(axis=0) - mean) <= 5 * np.sqrt((mean + 2 * mean**2) / 20000))
    assert rate == 0 or counts.max() > 0


def test_bernoulli_sends_one_event_or_none():
    values = np.array([[0.0, 0.3, 1.0]])
    counts = encoders.bernoulli(values, n_ticks=20000, dt=DT, probability=0.8).to_dense()[0]
    assert counts.max() == 1
    assert counts[:, 0].sum() == 0
    assert np.abs(counts.mean(axis=0) - values[0] * 0.8).max() < 5 * np.sqrt(0.25 / 20000)
    assert encoders.bernoulli(np.ones((1, 4)), n_ticks=50, dt=DT).ticks.size == 200


@pytest.mark.parametrize("name", ["poisson", "bernoulli"])
def test_a_sample_is_encoded_alike_whichever_others_are(name, monkeypatch):
    encode = getattr(encoders, name)
    options = {"rate": 400.0} if name == "poisson" else {"probability": 0.5}
    whole = encode(images(9), n_ticks=30, dt=DT, seed=5, **options)
    part = encode(images(9)[[7, 2]], n_ticks=30, dt=DT, seed=5, recordings=[7, 2], **options)
    assert part == whole[[7, 2]]
    assert encode(images(9), n_ticks=30, dt=DT, seed=6, **options) != whole
    assert encode(images(9), n_ticks=50, dt=DT, seed=5, **options).crop(30) == whole
    monkeypatch.setattr(encoders, "_TOGETHER", 700)
    assert encode(images(9), n_ticks=30, dt=DT, seed=5, **options) == whole


def test_random_numbers_of_the_two_codes_differ():
    one = encoders.bernoulli(np.full((1, 50), 0.1), n_ticks=200, dt=DT)
    two = encoders.poisson(np.full((1, 50), 0.1), n_ticks=200, dt=DT, rate=1000.0).binarised()
    both = one.to_dense() * two.to_dense()
    assert both.mean() < 0.02  # independent: 0.01


def test_latency_brightest_first():
    values = np.array([[1.0, 0.5, 0.01, 0.0, 0.0101, 0.75]])
    events = encoders.latency(values, n_ticks=100, dt=DT)
    at = dict(zip(events.sources.tolist(), events.ticks.tolist(), strict=True))
    assert at == {0: 0, 1: 50, 4: 98, 5: 25}
    generator = np.random.default_rng(0)
    many = generator.random((3, 40))
    for law in ("linear", "logarithmic"):
        found = encoders.latency(many, n_ticks=60, dt=DT, law=law, threshold=0.2)
        for recording in range(3):
            one = found[recording]
            order = many[recording][one.sources]
            assert np.all(np.diff(order[np.argsort(one.ticks, kind="stable")][::5]) <= 0.2)
            later = np.subtract.outer(one.ticks, one.ticks) > 0
            assert not np.any(later & (np.subtract.outer(order, order) > 0))  # a later one is never brighter
            assert np.unique(one.sources).size == one.sources.size


def test_logarithmic_latency_is_when_a_leaky_membrane_reaches_the_threshold():
    """Euler steps of tau dV/dt = x - V, fine ones, from 0 to the threshold."""
    values, tau, threshold = np.array([[0.9, 0.5, 0.3]]), 20e-3, 0.2
    events = encoders.latency(values, n_ticks=200, dt=DT, law="logarithmic", threshold=threshold, time_constant=tau)
    for source, tick in zip(events.sources, events.ticks, strict=True):
        membrane, steps, fine = 0.0, 0, 1e-6
        while membrane < threshold:
            membrane += fine / tau * (values[0, source] - membrane)
            steps += 1
        assert abs(steps * fine / DT - tick - 0.5) <= 0.5 + 0.01
    twice = encoders.latency(np.array([[0.4]]), n_ticks=33, dt=DT, law="logarithmic", threshold=0.2)
    assert twice.ticks.tolist() == [32]


def test_delta_levels_follow_the_signal_within_a_threshold():
    generator = np.random.default_rng(0)
    signals = np.cumsum(generator.normal(0, 0.2, (4, 200, 3)), axis=1)
    events = encoders.delta(signals, dt=DT, threshold=0.5)
    assert events.n_sources == 6
    counts = events.to_dense(np.float64)
    level = signals[:, :1] + 0.5 * np.cumsum(counts[:, :, 3:] - counts[:, :, :3], axis=1)
    assert np.abs(level - signals).max() < 0.5 + 1e-9
    assert not counts[:, 0].any()
    assert encoders.delta(np.full((1, 5, 2), 3.0), dt=DT, threshold=0.1).ticks.size == 0
    jump = encoders.delta(np.array([[[0.0], [1.6], [1.0]]]), dt=DT, threshold=0.5)
    assert list(zip(jump.ticks.tolist(), jump.sources.tolist(), strict=True)) == [(1, 1)] * 3 + [(2, 0)]


@pytest.mark.parametrize(
    ("encode", "error", "message"),
    [
        (lambda: encoders.poisson([[2.0]], n_ticks=1, dt=DT, rate=1), ParameterError, r"0 to 1, or bytes"),
        (lambda: encoders.poisson([[0.5]], n_ticks=1, dt=DT, rate=1e9), ParameterError, "events a tick"),
        (lambda: encoders.poisson([[0.5]], n_ticks=0, dt=DT, rate=1), ParameterError, "n_ticks=0"),
        (lambda: encoders.poisson([[0.5]], n_ticks=1, dt=DT, rate=-1), ParameterError, "rate=-1"),
        (lambda: encoders.poisson([[0.5]], n_ticks=1, dt=DT, rate=1, recordings=[1, 2]), ParameterError, "recordings"),
        (lambda: encoders.bernoulli([[0.5]], n_ticks=1, dt=DT, probability=1.5), ParameterError, "probability=1.5"),
        (lambda: encoders.bernoulli([0.5], n_ticks=1, dt=DT), ParameterError, r"\(recordings, sources...\)"),
        (lambda: encoders.latency([[np.nan]], n_ticks=1, dt=DT), DataError, "must be finite"),
        (lambda: encoders.latency([[0.5]], n_ticks=1, dt=DT, law="cubic"), ParameterError, "law='cubic'"),
        (lambda: encoders.latency([[0.5]], n_ticks=1, dt=DT, threshold=0), ParameterError, "threshold=0"),
        (lambda: encoders.latency([[0.5]], n_ticks=1, dt=DT, time_constant=1.0), ParameterError, "is of law="),
        (lambda: encoders.delta([[1.0]], dt=DT, threshold=1), ParameterError, r"\(recordings, ticks, sources...\)"),
        (lambda: encoders.delta([[[1.0]]], dt=DT, threshold=0), ParameterError, "threshold=0"),
        (lambda: encoders.direct([[["a"]]], n_ticks=1, dt=DT), DataError, "must be real numbers"),
        (lambda: encoders.direct(images(), n_ticks=1, dt=DT, mean=[1, 2]), ParameterError, "for each of 1 channels"),
        (lambda: encoders.direct(images(), n_ticks=1, dt=DT, standard_deviation=0), ParameterError, "above zero"),
    ],
)
def test_nonsense_is_refused(encode, error, message):
    with pytest.raises(error, match=message):
        encode()


def data(samples=40, seed=0):
    return ImageDataset(images(samples, seed), np.arange(samples) % 10, tuple("abcdefghij"), "made", "up")


def test_image_data_sets_are_encoded_for_training():
    frames = data().encoded(encoders.direct, n_ticks=3, dt=DT)
    assert isinstance(frames, FrameDataset)
    assert frames.sensor_shape == (1, 4, 5)
    assert np.array_equal(frames[5:7].events.values, frames.events.values[5:7])
    assert np.array_equal(frames[5:7].labels, frames.labels[5:7])
    assert "frames of 1x4x5, 3 ticks" in repr(frames)
    events = data().encoded(encoders.bernoulli, n_ticks=3, dt=DT)
    assert isinstance(events, EventDataset)
    assert events.sensor_shape == (1, 4, 5)
    moving = data().encoded(lambda given, dt: encoders.delta(np.repeat(given, 3, axis=1), dt=dt, threshold=0.1), dt=DT)
    assert moving.sensor_shape == (40,)
    with pytest.raises(ParameterError, match="gave int, expected Events or Frames"):
        data().encoded(lambda given: 1)
    with pytest.raises(DataError, match="20 sources, the frames have 3"):
        FrameDataset(Frames.constant(np.ones((2, 3)), n_ticks=1, dt=DT), [0, 0], ("a",), (1, 4, 5), "", "")
    with pytest.raises(DataError, match="expected Frames"):
        FrameDataset(events.events, events.labels, events.classes, (1, 4, 5), "", "")


def test_the_ten_lines_that_a_user_writes():
    from snnsim.training import BPTT, TrainableNetwork, evaluate, train

    generator = np.random.default_rng(0)
    labels = np.arange(200) % 3
    centres = generator.integers(40, 216, (3, 1, 6, 6))
    noisy = np.clip(centres[labels] + generator.normal(0, 30, (200, 1, 6, 6)), 0, 255).astype(np.uint8)
    train_set, test_set = ImageDataset(noisy, labels, tuple("abc"), "blobs", "made up").split(0.7, seed=0)
    mean, deviation = train_set.statistics()
    learn, judge = (
        each.encoded(encoders.direct, n_ticks=2, dt=DT, mean=mean, standard_deviation=deviation)
        for each in (train_set, test_set)
    )
    net = sn.Network(
        [
            sn.Population("in", (1, 6, 6), sn.Input()),
            sn.Population("a", 32, sn.LIF(5e-3)),
            sn.Population("o", 3, sn.LI(0.0)),
        ],
        [sn.Projection("in", "a", sn.Dense(sn.Kaiming())), sn.Projection("a", "o", sn.Dense(sn.Kaiming()))],
        dt=DT,
    )
    model = TrainableNetwork(net, dtype="float64")
    train(model, learn, rule=BPTT(), epochs=6, learning_rate=1e-2, progress=False)
    result = sn.Simulation(model.network(), "cpu", dtype="float64").run_samples(judge.events)
    assert result.accuracy(judge.labels) == evaluate(model, judge) > 0.9


# -- streams of tasks --------------------------------------------------------------------------------------


KINDS = {
    "images": data,
    "frames": lambda: data().encoded(encoders.direct, n_ticks=2, dt=DT),
    "events": lambda: data().encoded(encoders.poisson, n_ticks=6, dt=DT, rate=400.0),
}


def dense(dataset):
    if isinstance(dataset, ImageDataset):
        return dataset.images.reshape(len(dataset), 1, -1)
    return dataset.events.to_dense()


@pytest.mark.parametrize("kind", KINDS)
def test_permuted_tasks_are_one_order_a_task(kind):
    given = KINDS[kind]()
    tasks, more = permuted_tasks(given, 3, seed=4), permuted_tasks(given, 5, seed=4)
    assert len(tasks) == 3
    before = dense(given)
    orders = []
    for number, task in enumerate(tasks):
        after = dense(task)
        # Where a column of all samples and ticks went: columns are all different here.
        order = [int(np.flatnonzero((before == after[:, :, [place]]).all(axis=(0, 1)))[0]) for place in range(20)]
        assert sorted(order) == list(range(20))
        orders.append(order)
        assert np.array_equal(task.labels, given.labels)
        assert task.name.endswith(f"-permuted-{number}")
        assert np.array_equal(dense(more[number]), after)
    assert len({tuple(order) for order in orders}) == 3
    assert list(range(20)) not in orders
    assert not np.array_equal(dense(permuted_tasks(given, 1, seed=5)[0]), dense(tasks[0]))
    assert np.array_equal(dense(permuted_tasks(given, 2, seed=4, first_as_it_is=True)[0]), before)
    # The same seed gives other samples the same orders.
    part = permuted_tasks(given[:7], 3, seed=4)
    assert np.array_equal(dense(part[2]), dense(tasks[2])[:7])


@pytest.mark.parametrize("kind", KINDS)
def test_split_tasks_hold_their_classes(kind):
    given = KINDS[kind]()
    order = [9, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    tasks = split_tasks(given, 2, order=order)
    assert len(tasks) == 5
    assert tasks[0].classes == ("j", "a")
    assert tasks[0].class_counts.tolist() == [4, 4]
    assert np.array_equal(tasks[0].labels == 0, given.labels[np.isin(given.labels, [9, 0])] == 9)
    assert np.array_equal(dense(tasks[1]), dense(given)[np.isin(given.labels, [1, 2])])
    kept = split_tasks(given, 5, labels="all")
    assert kept[1].classes == given.classes
    assert set(kept[1].labels) == {5, 6, 7, 8, 9}
    assert sum(len(task) for task in tasks) == len(given)


def test_streams_are_sequences_and_refuse_nonsense():
    tasks = permuted_tasks(data(), 4, seed=0)
    assert np.array_equal(tasks[-1].images, tasks[3].images)
    assert [task.name for task in tasks[1:3]] == ["made-permuted-1", "made-permuted-2"]
    with pytest.raises(IndexError):
        tasks[4]
    with pytest.raises(ParameterError, match="classes_per_task=3: does not divide the 10 classes"):
        split_tasks(data(), 3)
    with pytest.raises(ParameterError, match="each of the classes"):
        split_tasks(data(), 2, order=[0] * 10)
    with pytest.raises(ParameterError, match="labels='own'"):
        split_tasks(data(), 2, labels="own")
    with pytest.raises(DataError, match="no samples of 'c'"):
        split_tasks(data()[data().labels != 2], 2)
    with pytest.raises(ParameterError, match="n=0"):
        permuted_tasks(data(), 0, seed=0)
    with pytest.raises(ParameterError, match="expected an ImageDataset"):
        permuted_tasks([1, 2], 2, seed=0)

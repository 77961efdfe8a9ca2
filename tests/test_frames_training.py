"""Networks that learn from frames run on every backend: the same spikes as torch in float64."""

import numpy as np
import pytest
import torch

import snnsim as sn
from snnsim import Frames, Simulation
from snnsim.errors import ParameterError
from snnsim.training import BPTT, SLTT, EventProp, EventPropNetwork, TrainableNetwork, evaluate, train

DT = 1e-3


class Labelled:
    def __init__(self, events, labels):
        self.events, self.labels = events, labels


def blobs(samples=120, ticks=1, seed=0, shape=(1, 8, 8)):
    """Three classes of noisy images."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, samples)
    centres = np.random.default_rng(99).normal(size=(3, *shape))
    images = centres[labels] + generator.normal(0, 0.7, (samples, *shape))
    return Labelled(Frames.constant(images, n_ticks=ticks, dt=DT), labels)


def fully_connected():
    return sn.Network(
        [
            sn.Population("in", (1, 8, 8), sn.Input()),
            sn.Population("one", 40, sn.LIF(5e-3, strict=True)),
            sn.Population("two", 30, sn.LIF(5e-3)),
            sn.Population("out", 3, sn.LI(0.0)),
        ],
        [
            sn.Projection("in", "one", sn.Dense(sn.Kaiming(0.5))),
            sn.Projection("one", "two", sn.Dense(sn.Kaiming(3.0))),
            sn.Projection("two", "out", sn.Dense(sn.Kaiming())),
        ],
        dt=DT,
    )


def convolutional():
    return sn.Network(
        [
            sn.Population("in", (1, 8, 8), sn.Input()),
            sn.Population("one", (4, 8, 8), sn.LIF(5e-3)),
            sn.Population("small", (1, 4, 4), sn.LIF(5e-3)),
            sn.Population("large", (1, 4, 4), sn.LIF(5e-3)),
            sn.Population("same", (1, 8, 8), sn.LIF(3e-3)),
            sn.Population("two", (4, 4, 4), sn.LIF(5e-3)),
            sn.Population("out", 3, sn.LI(5e-3)),
        ],
        [
            sn.Projection("in", "one", sn.Conv2d(sn.Kaiming(0.7), padding=1, kernel=3)),
            sn.Projection("in", "small", sn.SumPool2d(2, weights=0.4)),
            sn.Projection("in", "large", sn.MaxPool2d(2, weights=0.5)),
            sn.Projection("in", "same", sn.OneToOne(0.8)),
            sn.Projection("one", "two", sn.SumPool2d(2, weights=0.5)),
            *(sn.Projection(name, "out", sn.Dense(sn.Kaiming())) for name in ("two", "small", "large", "same")),
        ],
        dt=DT,
    )


def delayed():
    generator = np.random.default_rng(4)
    return sn.Network(
        [
            sn.Population("in", (1, 8, 8), sn.Input()),
            sn.Population("one", 20, sn.LIF(5e-3)),
            sn.Population("out", 3, sn.LI(5e-3)),
        ],
        [
            sn.Projection("in", "one", sn.Dense(sn.Kaiming(0.4)), delay=generator.integers(0, 5, (64, 20)) * DT),
            sn.Projection("one", "out", sn.Dense(sn.Kaiming()), delay=2 * DT),
        ],
        dt=DT,
    )


NETWORKS = {"fully connected": fully_connected, "convolutional": convolutional, "delayed": delayed}


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("moving", [False, True])
def test_backends_fire_as_torch_does_in_float64(backend, kind, path, moving):
    frames = blobs(12, 9).events
    if moving:
        generator = np.random.default_rng(1)
        values = frames.to_dense() + generator.normal(0, 0.5, (12, 9, 64))
        frames = Frames.from_dense(values, DT, lengths=generator.integers(1, 10, 12))
    model = TrainableNetwork(NETWORKS[kind](), dtype="float64", path=path)
    expected = model.spikes(frames)
    result = Simulation(model.network(), backend, dtype="float64").run_samples(frames, record=list(expected))
    for name, events in expected.items():
        assert events == result.spikes[name], name
        assert events.ticks.size > 10
    readout = np.nan_to_num(result.readout("out"))  # not computed after the end of a recording; zeros in torch
    assert readout == pytest.approx(model.readout(frames).detach().numpy(), abs=1e-12)


@pytest.mark.parametrize("batch_norm", [(), ("one",)])
def test_a_trained_one_tick_network_runs_as_torch_answers(backend, batch_norm):
    data, test = blobs(), blobs(60, seed=1)
    model = TrainableNetwork(fully_connected(), dtype="float64", batch_norm=batch_norm)
    history = train(model, data, rule=BPTT(), epochs=8, learning_rate=1e-2, progress=False)
    assert history.loss[-1] < history.loss[0]
    accuracy = evaluate(model, test)
    assert accuracy > 0.8
    spikes = model.spikes(test.events)
    result = Simulation(model.network(), backend, dtype="float64").run_samples(test.events, record=["one", "two"])
    for name in ("one", "two"):
        assert result.spikes[name] == spikes[name]
        assert spikes[name].ticks.size
    assert result.accuracy(test.labels) == accuracy
    assert list(result.exit_ticks) == [1] * 60


@pytest.mark.parametrize("rule", [BPTT(), SLTT()])
def test_still_frames_teach_what_the_same_frame_at_every_tick_teaches(rule):
    still, models = blobs(16, 4), []
    moving = Labelled(Frames.from_dense(still.events.to_dense(), DT), still.labels)
    for data in (still, moving):
        models.append(TrainableNetwork(fully_connected(), dtype="float64", seed=3))
        train(models[-1], data, rule=rule, epochs=2, batch_size=4, validation=0, progress=False)
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, two)


def test_frames_and_the_same_tensor_give_the_same_gradients():
    data = blobs(6, 3)
    found = []
    for inputs in (data.events, torch.from_numpy(data.events.to_dense())):
        model = TrainableNetwork(convolutional(), dtype="float64")
        BPTT().step(model, inputs, torch.from_numpy(data.labels))
        found.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))
    assert any(gradient.abs().sum() > 0 for gradient in found[0])


def test_training_on_frames_resumes_bit_for_bit_and_knows_its_frames(tmp_path):
    data, settings = blobs(40, 2), {"rule": BPTT(), "batch_size": 8, "progress": False}
    straight = TrainableNetwork(fully_connected())
    train(straight, data, epochs=4, **settings, schedule=None)
    first = TrainableNetwork(fully_connected())
    train(first, data, epochs=2, **settings, schedule=None, checkpoint=tmp_path / "c.h5")
    second = TrainableNetwork(fully_connected())
    train(second, data, epochs=4, **settings, schedule=None, resume=tmp_path / "c.h5")
    for one, two in zip(straight.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two)
    others = Labelled(Frames.constant(data.events.values[:, 0] * 2, n_ticks=2, dt=DT), data.labels)
    for other in (others, Labelled(data.events.with_lengths(1), data.labels)):
        with pytest.raises(ParameterError, match="recordings of the training data"):
            train(
                TrainableNetwork(fully_connected()),
                other,
                epochs=4,
                **settings,
                schedule=None,
                resume=tmp_path / "c.h5",
            )


def test_what_takes_events_only_refuses_frames_by_name():
    from snnsim.datasets import RandomShift
    from snnsim.zero_shot.features import input_counts

    data = blobs(10, 2)
    slow = [sn.Exponential(3e-3)]
    populations = [
        sn.Population("in", 64, sn.Input()),
        sn.Population("a", 5, sn.LIF(5e-3, receptors=slow)),
        sn.Population("out", 3, sn.LI(5e-3, receptors=slow)),
    ]
    projections = [sn.Projection(*pair, sn.Dense(sn.Kaiming()), delay=DT) for pair in (("in", "a"), ("a", "out"))]
    by_spike_times = EventPropNetwork(sn.Network(populations, projections, dt=DT))
    with pytest.raises(ParameterError, match="EventProp takes Events, got Frames"):
        train(by_spike_times, data, rule=EventProp(), loss="summed_softmax", epochs=1, progress=False)
    model = TrainableNetwork(fully_connected())
    with pytest.raises(ParameterError, match="RandomShift moves Events, not Frames"):
        train(model, data, epochs=1, augment=RandomShift((1, 8, 8), 1), progress=False)
    with pytest.raises(ParameterError, match="input_counts counts Events"):
        input_counts(data)
    with pytest.raises(ParameterError, match="the Frames of 'in' bring their own"):
        TrainableNetwork(fully_connected()).readout(data.events, lengths=torch.ones(10, dtype=torch.int64))

"""The main job on real recordings: describe, train, run on every backend, stop early; skipped without N-MNIST."""

from __future__ import annotations

import numpy as np
import pytest

import snnsim as sn
from snnsim.architectures import convolutional, fully_connected
from snnsim.backends import names
from snnsim.datasets import load_nmnist
from snnsim.early_exit import calibrate, measure_early_exit
from snnsim.training import SLTT, TrainableNetwork, train

DT = 17e-3
SHAPE = (2, 34, 34)


@pytest.fixture(scope="module")
def recordings(shared_data):
    """Return 400 training and 100 test recordings."""
    path = shared_data / "nmnist" / "nmnist_1000train_100test.zip"
    if not path.is_file():
        pytest.skip("the N-MNIST subset is not there")
    return tuple(load_nmnist(path, split=split, dt=DT)[:400] for split in ("train", "test"))


@pytest.fixture(scope="module")
def trained(recordings):
    """Return a network trained on three quarters of the training recordings, and the last quarter."""
    learn, held_out = recordings[0].split(0.75, seed=0)
    model = TrainableNetwork(fully_connected(SHAPE, 10, hidden=(100,), dt=DT), learn=("weights", "bias"))
    train(model, learn, rule=SLTT(), epochs=6, validation=0.0, progress=False)
    return model.network(), held_out


def test_learns_from_three_hundred_recordings(recordings, trained):
    network, _ = trained
    result = sn.Simulation(network).run_samples(recordings[1].events)
    assert result.accuracy(recordings[1].labels) > 0.6  # chance is 0.1; 0.7 to 0.8 over seeds


def test_every_engine_gives_the_same_spikes_after_training(recordings, trained):
    network, _ = trained
    events = recordings[1].events
    twin = TrainableNetwork(network, dtype="float64").eval()
    spikes, answers = twin.spikes(events, ["hidden1"])["hidden1"], twin.readout(events).detach().numpy()
    assert spikes.ticks.size > 10_000
    for backend in names():
        simulation = sn.Simulation(network, backend, dtype="float64")
        result = simulation.run_samples(events, record=("hidden1", sn.Trace("output")))
        assert result.spikes["hidden1"] == spikes
        computed = np.arange(result.n_ticks) < result.exit_ticks[:, None]
        np.testing.assert_allclose(np.where(computed[..., None], result.readout(), 0.0), answers, atol=1e-12)


def test_convolutional_spikes_are_the_same_everywhere(recordings):
    network = convolutional(SHAPE, 10, channels=(6, 8), dt=DT)
    events = recordings[1].events[:20]
    names_of = ["conv1", "conv2"]
    expected = TrainableNetwork(network, dtype="float64").eval().spikes(events, names_of)
    for backend in names():
        found = sn.Simulation(network, backend, dtype="float64").run_samples(events, record=names_of).spikes
        assert all(found[name] == expected[name] for name in names_of)
        assert all(found[name].ticks.size > 1000 for name in names_of)


def test_early_exit_saves_work_and_keeps_accuracy(recordings, trained):
    network, held_out = trained
    calibration = calibrate(sn.Simulation(network).run_samples(held_out.events), held_out.labels)
    test = recordings[1]
    measured = measure_early_exit(network, test.events, test.labels, calibration.rule, repeats=1)
    assert measured.accuracy[1] > measured.accuracy[0] - 0.05
    assert measured.mean_ticks[1] < measured.mean_ticks[0]
    assert measured.synaptic_operations[1] < measured.synaptic_operations[0]
    assert measured.oracle.accuracy[-1] >= max(measured.accuracy)

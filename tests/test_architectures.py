"""Ready networks: shapes, decay, and errors."""

from __future__ import annotations

import numpy as np
import pytest

from snnsim.architectures import convolutional, fully_connected, time_constant_of
from snnsim.errors import ParameterError


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 1.0])
def test_decay_is_what_was_asked_for(decay):
    network = fully_connected(20, 3, hidden=(4,), dt=2e-3, decay=decay)
    assert network.population("hidden1").model.coefficients(network.dt).decay == pytest.approx(decay)


def test_shapes_of_a_convolutional_network():
    network = convolutional((2, 34, 34), 10)
    assert [p.shape for p in network.populations] == [(2, 34, 34), (16, 15, 15), (32, 7, 7), (10,)]


def test_readout_gives_the_input_of_each_tick():
    model = fully_connected(5, 2).output.model
    assert model.coefficients(1e-3).decay == 0.0
    assert model.coefficients(1e-3).gain == 1.0


def test_seed_decides_the_weights():
    matrices = []
    for seed in (0, 0, 1):
        network = fully_connected(6, 2, hidden=(4,), seed=seed)
        matrices.append(network.synapses(network.projections[0]).weights)
    assert np.array_equal(matrices[0], matrices[1])
    assert not np.array_equal(matrices[0], matrices[2])


def test_bad_parameters():
    with pytest.raises(ParameterError, match="decay"):
        time_constant_of(1.5, 1e-3)
    with pytest.raises(ParameterError, match="equally long"):
        convolutional((2, 34, 34), 10, channels=(4,), kernels=(3, 3))
    with pytest.raises(ParameterError, match="classes"):
        fully_connected(5, 0)

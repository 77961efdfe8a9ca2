"""Which neuron models are trained, what of them is learned, and what is said of the others."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from snnsim import (
    IF,
    LI,
    LIF,
    Dense,
    Exponential,
    Input,
    Network,
    Normal,
    Population,
    Projection,
    Simulation,
)
from snnsim.connectivity import MaxPool2d
from snnsim.errors import CapabilityError, ParameterError
from snnsim.events import Events
from snnsim.neurons import MODELS, ConductanceLIF
from snnsim.neurons.base import Arithmetic, NeuronModel

torch = pytest.importorskip("torch")

from snnsim.training import BPTT, SLTT, TrainableNetwork

DT = 1e-3
DENSE = Events.from_dense((np.random.default_rng(0).random((5, 30, 8)) < 0.3).astype(float), DT)
LABELS = torch.tensor([0, 1, 2, 0, 1])


class Coefficients(NamedTuple):
    """Those of `Quadratic`."""

    rate: Any
    current: Any
    peak: Any
    landing: Any
    jump: Any


def integrate(voltage: Any, recovery: Any, drive: Any, c: Any) -> Any:
    """Advance the voltage by a parabola."""
    return voltage + (c.rate * voltage * voltage - recovery + drive + c.current), recovery - c.rate * recovery


def distance(voltage: Any, recovery: Any, c: Any) -> Any:
    """Return how far the voltage is above the peak."""
    return voltage - c.peak


def reset(voltage: Any, recovery: Any, spike: Any, c: Any) -> Any:
    """Land, and recover for a while."""
    return voltage + spike * (c.landing - voltage), recovery + spike * c.jump


@dataclass(frozen=True, eq=False)
class Quadratic(NeuronModel):
    """A model that training has never heard of: no leak, no state called membrane, a threshold of another name."""

    rate: float = 0.1
    bias: float = 0.02
    threshold: float = 0.5
    time_constant: float = 10e-3

    arithmetic = Arithmetic(("voltage", "recovery"), Coefficients, integrate, distance, reset)

    def coefficients(self, dt: float) -> Coefficients:
        """Return the coefficients."""
        return Coefficients(self.rate, self.bias, 2 * self.threshold, 0.0, 0.1)

    def initial_states(self) -> tuple[float, float]:
        """Return voltage and recovery at rest."""
        return 0.0, 0.0


def network(neuron):
    populations = [Population("in", 8, Input()), Population("hid", 6, neuron), Population("out", 3, LI(5e-3))]
    projections = [Projection("in", "hid", Dense(Normal(0.3, 0.3))), Projection("hid", "out", Dense(Normal(0.0, 1.0)))]
    return Network(populations, projections, dt=DT, seed=3)


ONE_DRIVE = [name for name, model in MODELS.items() if model.arithmetic.inputs == ("drive",) and model.spiking]


@pytest.mark.parametrize("name", ONE_DRIVE)
def test_every_spiking_model_of_one_drive_trains_and_fires_as_it_is_simulated(name):
    net = network(MODELS[name]())
    model = TrainableNetwork(net, dtype="float64")
    for rule in (BPTT(), SLTT()):
        assert np.isfinite(rule.step(model, DENSE, LABELS).loss)
    assert float(model.weights("in->hid").grad.abs().sum()) > 0
    found = Simulation(net, "reference").run_samples(DENSE, record=["hid"]).spikes["hid"]
    assert found.ticks.size > 0
    assert model.spikes(DENSE)["hid"] == found


@pytest.mark.parametrize("rule", [BPTT(), SLTT()], ids=["BPTT", "SLTT"])
def test_a_model_that_training_has_never_heard_of_trains(rule):
    """Spikes of a loop written out, and a gradient for every weight of a neuron that fires."""
    net = network(Quadratic())
    model = TrainableNetwork(net, dtype="float64")
    rule.step(model, DENSE, LABELS)
    fired = model.spikes(DENSE)["hid"].to_dense(np.float64)
    drives = DENSE.to_dense(np.float64) @ model.weights("in->hid").detach().numpy()
    state, c = (np.zeros((5, 6)), np.zeros((5, 6))), Quadratic().coefficients(DT)
    for tick in range(30):
        state = integrate(*state, drives[:, tick], c)
        spikes = distance(*state, c) >= 0
        assert np.array_equal(spikes, fired[:, tick])
        state = reset(*state, spikes, c)
    assert 0 < fired.mean() < 1
    assert bool(model.weights("in->hid").grad.abs().sum() > 0)


@pytest.mark.parametrize("kind", ["bias", "threshold", "time_constant"])
def test_what_a_model_means_otherwise_is_not_learned_and_named(kind):
    with pytest.raises(CapabilityError, match=rf"learn='{kind}': that of 'hid' \(Quadratic\) is not learned"):
        TrainableNetwork(network(Quadratic()), learn=("weights", kind))


def test_batch_norm_that_could_not_be_given_back_is_refused():
    with pytest.raises(CapabilityError, match="Quadratic"):
        TrainableNetwork(network(Quadratic()), batch_norm=["hid"])


def test_a_bias_without_a_leak_is_learned():
    """IF has a bias and no decay."""
    model = TrainableNetwork(network(IF()), learn=("bias",), dtype="float64")
    BPTT().step(model, DENSE, LABELS)
    fast = [parameter.grad.clone() for parameter in model.parameters()]
    model = TrainableNetwork(network(IF()), learn=("bias",), dtype="float64", path="plain")
    BPTT().step(model, DENSE, LABELS)
    for one, other in zip(fast, model.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-10, atol=1e-12)


def test_a_model_of_several_inputs_is_refused_by_name():
    populations = [Population("in", 8, Input()), Population("out", 3, ConductanceLIF())]
    net = Network(populations, [Projection("in", "out", Dense(0.1))], dt=DT, seed=3)
    with pytest.raises(CapabilityError, match="ConductanceLIF is not trained, because it takes the inputs drive, cond"):
        TrainableNetwork(net)


@pytest.mark.parametrize(
    ("neuron", "reason"),
    [
        (LIF(5e-3, receptors=(Exponential(5e-3),)), "'hid' has the Exponential receptor"),
        (LIF(5e-3, refractory=2e-3), "'hid' has a refractory time"),
    ],
    ids=["receptor", "refractory"],
)
def test_why_there_is_no_compiled_sweep_is_said(neuron, reason):
    with pytest.raises(CapabilityError, match=f"path='fused': population {reason}.*path='plain' runs it"):
        TrainableNetwork(network(neuron), path="fused")
    assert TrainableNetwork(network(neuron)).path == "plain"


def test_nothing_is_learned_in_silence():
    """What is to be learned and is nowhere is named."""
    populations = [Population("in", (1, 4, 4), Input()), Population("out", (1, 2, 2), Silent())]
    net = Network(populations, [Projection("in", "out", MaxPool2d(2))], dt=DT, seed=0)
    with pytest.raises(ParameterError, match="there is nothing to learn"):
        BPTT().step(TrainableNetwork(net), Events.from_dense(np.ones((2, 3, 16)), DT), torch.tensor([0, 1]))
    for kind in ("threshold", "bias", "time_constant"):
        with pytest.raises(ParameterError, match=f"learn='{kind}': nothing in the network has one"):
            TrainableNetwork(net, learn=(kind,))


@dataclass(frozen=True, eq=False)
class Silent(NeuronModel):
    """A readout with nothing to learn."""

    spiking = False
    arithmetic = Arithmetic(("sum",), NamedTuple("None_", [("one", Any)]), lambda s, drive, c: (s + drive,), None, None)

    def coefficients(self, dt: float) -> tuple[Any, ...]:
        """Return one."""
        return self.arithmetic.coefficients(1.0)

    def initial_states(self) -> tuple[float]:
        """Return nothing summed."""
        return (0.0,)

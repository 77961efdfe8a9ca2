"""What is learned stays where a network can be described and run, whoever moves it; what is frozen stays frozen."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest

from snnsim import (
    IF,
    LI,
    LIF,
    AdaptiveLIF,
    Dense,
    Events,
    Input,
    Kaiming,
    Learnable,
    Network,
    Population,
    Projection,
    Simulation,
)
from snnsim.architectures import delayed
from snnsim.backends.contract.precision import check_precision
from snnsim.datasets import lag_patterns
from snnsim.errors import ParameterError

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn.utils import parametrize

from snnsim.training import BPTT, SLTT, ATan, TrainableNetwork, train
from snnsim.training.parameters.neuron_parameters import LONGEST

DT = 1e-3
LABELS = torch.arange(8) % 3


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(neuron, readout=None, delay=0.0):
    populations = [Population("in", 6, Input()), Population("hid", 8, neuron)]
    populations += [Population("out", 3, readout or LI(3 * DT, integration="euler"))]
    projections = [
        Projection("in", "hid", Dense(Kaiming(2.0)), delay=delay),
        Projection("hid", "out", Dense(Kaiming(1.0)), delay=delay),
    ]
    return Network(populations, projections, dt=DT)


def events(ticks=12, seed=0):
    return Events.from_dense(np.random.default_rng(seed).random((8, ticks, 6)) < 0.4, DT)


NEURONS = {
    "euler": LIF(1.2 * DT, integration="euler", threshold=0.5),
    "euler, one a neuron": LIF(np.linspace(1.05, 3, 8) * DT, integration="euler", threshold=0.5, decay_input=True),
    "exact": LIF(0.2 * DT, threshold=0.5, reset="zero"),
    "to a value": LIF(2 * DT, threshold=np.linspace(0.2, 0.9, 8), reset=0.1),
    "below zero": LIF(2 * DT, threshold=-0.3, reset=-0.8, rest=-0.6),
    "adaptive": AdaptiveLIF(1.1 * DT, integration="euler", threshold=0.4, adaptation=0.2),
    "never leaks": IF(threshold=0.5),
}


def push(model, direction, optimiser):
    """Push everything learned of neurons far, by an optimiser of torch."""
    for name, parameter in model.named_parameters():
        if name.startswith(("threshold", "time_constant", "delays")):
            parameter.grad = torch.full_like(parameter, -direction)
    optimiser.step()


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("direction", [-1.0, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_was_pushed_anywhere_runs_as_it_computes(neuron, direction, dtype, backend):
    model = TrainableNetwork(network(neuron), learn=("weights", "threshold", "time_constant"), dtype=dtype)
    optimiser = torch.optim.SGD(model.parameters(), 1000.0)
    for _ in range(2):
        push(model, direction, optimiser)
        model.zero_grad()
        assert math.isfinite(BPTT().step(model, events(), LABELS).loss)
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters())
    learned = model.network()
    if backend == "crossbar":
        return
    result = Simulation(learned, backend, dtype=dtype).run_samples(events(), record=["hid"])
    assert model.spikes(events())["hid"] == result.spikes["hid"]
    again = TrainableNetwork(learned, learn=("threshold", "time_constant"), dtype=dtype)
    assert again.spikes(events())["hid"] == result.spikes["hid"]
    for kind in ("threshold", "time_constant"):
        value = model.value(kind, "hid")
        if value is not None:
            torch.testing.assert_close(value, model.get_parameter(f"{kind}:hid").detach())  # the parameter itself


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
def test_the_ends_of_the_ranges(neuron):
    """A tick for forward Euler; a thousandth of the first distance to where a reset lands."""
    model = TrainableNetwork(network(neuron), learn=("threshold", "time_constant"), dtype="float64")
    push(model, -1.0, torch.optim.SGD(model.parameters(), 1e9))
    found = model.network().population("hid").model
    landing = 0.0 if isinstance(neuron.reset, str) else neuron.reset
    np.testing.assert_allclose(
        found.threshold, landing + 1e-3 * (np.asarray(neuron.threshold) - landing), rtol=0, atol=1e-12
    )
    if getattr(neuron, "integration", "") == "euler":
        np.testing.assert_allclose(found.time_constant, DT, rtol=1e-12)
    if not isinstance(neuron, IF):
        push(model, 1.0, torch.optim.SGD(model.parameters(), 1e9))
        # With decay_input the description wants 1 - decay to a hundredth.
        longest = DT * (1e14 if neuron.decay_input else 2.0**47)
        np.testing.assert_allclose(model.network().population("hid").model.time_constant, longest, rtol=1e-5)


def test_a_value_at_its_end_comes_back_when_the_loss_asks_for_it():
    """The gradient at the end is that of the function there, so that an optimiser can turn around."""
    model = TrainableNetwork(network(NEURONS["euler"]), learn=("time_constant",), dtype="float64")
    parameter = model.get_parameter("time_constant:hid")
    optimiser = torch.optim.SGD([parameter], 0.5)
    for _ in range(60):
        optimiser.zero_grad()
        (model.value("time_constant", "hid") + 3.0).square().backward()
        optimiser.step()
    assert model.value("time_constant", "hid").item() == 0.0
    for _ in range(60):
        optimiser.zero_grad()
        (model.value("time_constant", "hid") - 0.4).square().backward()
        optimiser.step()
    assert float(parameter.detach()) == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("way", ["step", "graph"])
@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.Adam])
def test_delays_stay_in_their_range_in_a_loop_of_ones_own(path, way, optimiser):
    net = network(LIF(3 * DT, threshold=0.4), delay=Learnable(5 * DT))
    model = TrainableNetwork(net, learn=("weights", "delays"), path=path, surrogate=ATan(2.0))
    steps = optimiser([p for n, p in model.named_parameters() if n.startswith("delays")], 20.0)
    for seed in range(6):
        steps.zero_grad()
        if way == "step":
            BPTT().step(model, events(seed=seed), LABELS, "summed_readout")
        else:
            model.readout(events(seed=seed)).square().sum().backward()
        steps.step()
        for name in ("in->hid", "hid->out"):
            delays = model.delays(name)
            assert float(delays.detach().min()) >= 0
            assert float(delays.detach().max()) <= 4
    model.eval()
    longer = events().crop(12 + model.extension)
    result = Simulation(model.network(), "cpu").run_samples(longer, record=["hid"])
    assert model.spikes(events())["hid"] == result.spikes["hid"]


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_delays_behind_a_parametrisation_act_in_their_range(path):
    """The original may lie anywhere: beyond the range it acts as at its end, and keeps the gradient of there."""

    class Moved(nn.Module):
        def __init__(self, by):
            super().__init__()
            self.by = by

        def forward(self, x):
            return x + self.by

    net = network(LIF(3 * DT, threshold=0.4), delay=Learnable(5 * DT))
    options = {"learn": ("weights", "delays"), "path": path, "dtype": "float64"}
    twin = TrainableNetwork(net, **options)
    with torch.no_grad():
        twin.delays("in->hid").fill_(4.0)
    model = TrainableNetwork(net, **options)
    parametrize.register_parametrization(model, "delays:in->hid", Moved(50.0))
    for one in (model, twin):
        BPTT().step(one, events(), LABELS)
    original = model.parametrizations["delays:in->hid"].original
    assert torch.equal(model.delays("in->hid"), torch.full((6, 8), 4.0, dtype=torch.float64))
    assert float(original.grad.abs().max()) > 0
    torch.testing.assert_close(original.grad, twin.delays("in->hid").grad)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_training_keeps_time_constants_and_delays_in_their_ranges(optimiser):
    net = delayed(4, 6, hidden=(16,), maximum_delay=9e-3, dt=1e-3, time_constant=1.005e-3)
    model = TrainableNetwork(
        net, learn=("weights", "delays", "time_constant"), surrogate=ATan(5.0), batch_norm=["hidden1"]
    )
    data = lag_patterns(60)
    train(
        model,
        data,
        rule=BPTT(),
        loss="summed_softmax",
        epochs=2,
        batch_size=20,
        validation=0,
        optimiser=optimiser,
        learning_rate=1.0,
        delay_learning_rate=50.0,
        progress=False,
    )
    for name, parameter in model.named_parameters():
        if name.startswith("time_constant"):
            assert float(parameter.detach().min()) >= 0.0
        if name.startswith("delays"):
            assert 0.0 <= float(parameter.detach().min()) <= float(parameter.detach().max()) <= 8.0
    assert model.network()


def test_a_leak_that_the_precision_does_not_hold_is_refused_before_it_is_trained():
    with pytest.raises(ParameterError, match=r"population 'hid'.*dtype='float64'"):
        TrainableNetwork(network(LIF(1e3, threshold=0.5)))
    assert TrainableNetwork(network(LIF(1e3, threshold=0.5)), dtype="float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_up_to_the_end_of_the_range_the_precision_holds_the_leak(dtype):
    longest = LONGEST[getattr(torch, dtype)]
    for logarithm in np.random.default_rng(0).uniform(0.0, longest, 400):
        for integration in ("exact", "euler"):
            neuron = LIF(math.exp(logarithm) * DT, integration=integration)
            check_precision(network(neuron), dtype)
    if dtype == "float32":  # the end is no lower than it must be: up to sixteen times longer, many are lost
        beyond = longest + np.random.default_rng(1).uniform(0, math.log(16), 100)
        assert sum(is_lost(LIF(math.exp(logarithm) * DT)) for logarithm in beyond) > 20


def is_lost(neuron):
    """Whether float32 does not hold the leak of a neuron."""
    try:
        check_precision(network(neuron), "float32")
    except ParameterError:
        return True
    return False


def test_time_constants_that_cannot_be_learned_are_named():
    mixed = LIF(np.r_[np.inf, np.full(7, 5e-3)])
    with pytest.raises(ParameterError, match="time_constant of 'hid': 0 or inf for 1 of 8 neurons"):
        TrainableNetwork(network(mixed), learn=("weights", "time_constant"))
    assert TrainableNetwork(network(mixed), learn=("weights",))
    plain = TrainableNetwork(network(LIF(5e-3), LI(0.0)), learn=("time_constant",))
    assert [name for name, _ in plain.named_parameters()] == ["time_constant:hid"]
    with pytest.raises(ParameterError, match="learn='time_constant': nothing in the network"):
        TrainableNetwork(network(IF(), LI(np.inf)), learn=("weights", "time_constant"))


# -- frozen ----------------------------------------------------------------------------------------------


def delays_model(**options):
    net = network(LIF(3 * DT, threshold=0.4), delay=Learnable(8 * DT))
    return TrainableNetwork(net, learn=("weights", "delays"), batch_norm=["hid"], **options)


DATA = SimpleNamespace(events=events(), labels=LABELS.numpy())
QUICK = {"epochs": 2, "rule": BPTT(), "loss": "summed_readout", "progress": False}


@pytest.mark.parametrize("validation", [0, DATA])
def test_what_a_user_has_frozen_stays_frozen_through_training(validation):
    names = [name for name, _ in delays_model().named_parameters()]
    for name in names:
        model = delays_model()
        model.get_parameter(name).requires_grad_(False)
        before = model.get_parameter(name).detach().clone()
        for _ in range(2):
            train(model, DATA, validation=validation, **QUICK)
            assert not model.get_parameter(name).requires_grad
        assert torch.equal(before, model.get_parameter(name).detach())
        assert all(p.requires_grad for other, p in model.named_parameters() if other != name)


def test_hardening_and_loading_respect_what_was_frozen():
    model, soft = delays_model(), copy.deepcopy(delays_model().state_dict())
    model.delays("in->hid").requires_grad_(False)
    model.harden()
    assert not any(p.requires_grad for n, p in model.named_parameters() if n.startswith("delays"))
    hard = copy.deepcopy(model.state_dict())
    model.load_state_dict(soft)
    assert not model.delays("in->hid").requires_grad  # by the user, before
    assert model.delays("hid->out").requires_grad  # by hardening
    fresh = delays_model()
    fresh.weights("in->hid").requires_grad_(False)
    fresh.load_state_dict(hard)
    assert fresh.hard
    assert not fresh.delays("in->hid").requires_grad
    fresh.load_state_dict(soft)
    assert fresh.delays("in->hid").requires_grad
    assert not fresh.weights("in->hid").requires_grad


def test_hard_delays_behind_a_parametrisation_are_whole_and_get_no_gradient():
    class Same(nn.Module):
        def forward(self, x):
            return x * 1.0

    model = delays_model()
    parametrize.register_parametrization(model, "delays:in->hid", Same())
    model.harden()
    BPTT().step(model, events(), LABELS)
    assert model.parametrizations["delays:in->hid"].original.grad is None
    drawn = model.network().projection("in->hid").delay / DT
    np.testing.assert_allclose(drawn, np.rint(model.delays("in->hid").detach().numpy()), rtol=1e-9)


@pytest.mark.parametrize("over", ["tick", "sequence"])
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_batch_norm_in_evaluation_keeps_its_statistics_while_the_rest_trains(over, path):
    """The idiom of fine-tuning: ``model.norm(...).eval()``; evaluation and training leave it so."""
    model = TrainableNetwork(
        network(LIF(3 * DT, threshold=0.4)), batch_norm=["hid"], batch_norm_over=over, path=path, dtype="float64"
    )
    rule = SLTT() if over == "tick" else BPTT()
    norm = model.norm("hid").eval()
    expected = model.readout(events()).detach()
    model.eval()
    assert torch.equal(model.readout(events()).detach(), expected)
    model.train()
    norm.eval()
    train(model, DATA, rule=rule, epochs=2, validation=DATA, progress=False)
    assert float(norm.running_mean.abs().max()) == 0
    assert not norm.training
    assert model.training
    norm.train()
    rule.step(model, events(), LABELS)
    assert float(norm.running_mean.abs().max()) > 0

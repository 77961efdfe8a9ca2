"""Networks with delays: the layer-at-a-time path against autograd, against the backends, and against the paper."""

import copy
import pickle

import numpy as np
import pytest
import torch

from snnsim import (
    LI,
    LIF,
    Dense,
    Events,
    Input,
    Kaiming,
    Learnable,
    Network,
    OneToOne,
    Population,
    Projection,
    Simulation,
    Trace,
)
from snnsim.architectures import delayed
from snnsim.datasets import lag_patterns
from snnsim.errors import CapabilityError, NetworkError, ParameterError
from snnsim.training import BPTT, SLTT, ATan, TrainableNetwork, evaluate, train
from snnsim.training.loop.schedules import one_cycle, one_cycle_momentum
from snnsim.training.parameters.delay_schedule import kernel_width, sharpness_at

KINDS = ("gauss", "triangle", "two_tap")
DT = 0.01


def network(sizes=(6, 8, 7, 3), delays=(0.09, None, 0.05), kernel="gauss", reset="zero", gain=2.5):
    names = ["in", *(f"hidden{i}" for i in range(1, len(sizes) - 1)), "out"]
    neuron = LIF(0.015, reset=reset, integration="euler")
    models = [Input(), *(neuron for _ in sizes[2:]), LI(0.015, integration="euler")]
    populations = [Population(n, s, m) for n, s, m in zip(names, sizes, models, strict=True)]
    projections = [
        Projection(a, b, Dense(Kaiming(gain)), delay=0.0 if d is None else Learnable(d, kernel))
        for a, b, d in zip(names[:-1], names[1:], delays, strict=True)
    ]
    return Network(populations, projections, dt=DT, seed=5)


def events(batch=3, ticks=12, sources=6, rate=0.3, seed=0):
    counts = np.random.default_rng(seed).poisson(rate, (batch, ticks, sources))
    return Events.from_dense(counts, DT)


def pair(net, **options):
    options = {"learn": ("weights", "delays"), "dtype": "float64", "surrogate": ATan(2.0), **options}
    return TrainableNetwork(net, **options), TrainableNetwork(net, path="plain", **options)


def gradients(model, inputs, labels, **rule):
    outcome = BPTT(**rule).step(model, inputs, labels, "summed_softmax")
    return outcome, {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("kernel", KINDS)
@pytest.mark.parametrize("lengthen", ["end", "layer"])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_step_is_that_of_autograd(kernel, lengthen, reset):
    net = network(kernel=kernel, reset=reset)
    options = {"lengthen": lengthen, "batch_norm": ["hidden1", "hidden2"], "dropout": {"hidden1": 0.3}}
    fast, slow = pair(net, **options)
    labels = torch.tensor([0, 2, 1])
    for sharpness in (0.0, 0.7, 1.0):
        fast.sharpness = slow.sharpness = sharpness
        for keep in (True, False):
            fast.zero_grad()
            slow.zero_grad()
            one, mine = gradients(fast, events(), labels, detach_reset=not keep)
            other, theirs = gradients(slow, events(), labels, detach_reset=not keep)
            assert one.loss == pytest.approx(other.loss, rel=1e-9)
            assert mine.keys() == theirs.keys()
            assert any(name.startswith("delays") for name in mine)
            for name, gradient in mine.items():
                assert gradient.abs().max() > 0, name
                torch.testing.assert_close(gradient, theirs[name], rtol=1e-6, atol=1e-9)
    for name, value in fast.state_dict().items():
        torch.testing.assert_close(value, slow.state_dict()[name], rtol=1e-9, atol=1e-12)


CONVENTIONS = {
    "decay of the input": LIF(0.02, decay_input=True, threshold=0.2, rest=0.05, bias=0.1, reset="zero"),
    "reset to a value": LIF(0.015, reset=-0.3, strict=True, initial=0.4, threshold=np.linspace(0.4, 1.2, 8)),
    "exact": LIF(0.02, reset="subtract", rest=-0.1),
}


@pytest.mark.parametrize("neuron", CONVENTIONS.values(), ids=CONVENTIONS)
@pytest.mark.parametrize("delays", [(0.09, 0.05), (None, 0.05), (0.05, None)])
def test_every_convention_of_the_neurons_agrees_on_both_paths(neuron, delays):
    net = network(sizes=(6, 8, 3), delays=delays)
    readout = LI(0.03, decay_input=True, bias=0.2, rest=0.1)
    net = net.replaced(populations=[Population("hidden1", 8, neuron), Population("out", 3, readout)])
    labels, found = torch.tensor([0, 2, 1]), []
    for model in pair(net, learn=("weights", "delays", "bias")):
        outcome, mine = gradients(model, events(), labels)
        assert all(float(gradient.abs().max()) > 0 for gradient in mine.values())
        model.eval()
        longer = events().crop(events().n_ticks + model.extension)
        result = Simulation(model.network(), "reference", dtype="float64").run_samples(longer, record=["hidden1"])
        assert model.spikes(events())["hidden1"] == result.spikes["hidden1"]
        found.append((outcome.loss, mine))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-9)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("delays", [(0.09, None, 0.05), (None, 0.05, None), (None, None, 0.05)])
@pytest.mark.parametrize("lengthen", ["end", "layer"])
def test_what_earlier_calls_left_in_the_buffers_changes_nothing(delays, lengthen):
    """A step after others, of other lengths too, is that of a new model."""
    labels, net = torch.tensor([0, 2, 1]), network(delays=delays)
    used = TrainableNetwork(net, learn=("weights", "delays"), dtype="float64", lengthen=lengthen)
    for ticks in (20, 12, 5):
        BPTT().step(used, events(ticks=ticks, rate=0.8, seed=3), labels)
    fresh = TrainableNetwork(net, learn=("weights", "delays"), dtype="float64", lengthen=lengthen)
    found = []
    for model in (used, fresh):
        model.zero_grad()
        outcome, mine = gradients(model, events(), labels)
        found.append((outcome.loss, mine, model.readout(events()).detach()))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][2], found[1][2])
    for name, gradient in found[0][1].items():
        assert torch.equal(gradient, found[1][1][name]), name


def test_forward_is_differentiable():
    fast, slow = pair(network())
    labels = torch.tensor([0, 2, 1])
    for model in (fast, slow):
        torch.nn.functional.cross_entropy(model.readout(events()).sum(1), labels).backward()
    for (name, a), (_, b) in zip(fast.named_parameters(), slow.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_evaluation_is_what_the_network_does(backend, dtype):
    model = TrainableNetwork(network(), learn=("weights", "delays"), dtype=dtype, batch_norm=["hidden1"])
    inputs = events(batch=5)
    for labels in (torch.tensor([0, 2, 1, 0, 2]),) * 3:  # so that the running statistics are no longer those at rest
        BPTT().step(model, inputs, labels, "summed_softmax")
    model.eval()
    model.requires_grad_(False)
    found = model.spikes(inputs)
    longer = inputs.crop(inputs.n_ticks + model.extension)
    simulation = Simulation(model.network(), backend=backend, dtype=dtype)
    result = simulation.run_samples(longer, record=["hidden1", "hidden2", Trace("out", "membrane")])
    for name, mine in found.items():
        theirs = result.spikes[name]
        assert mine.n_ticks == theirs.n_ticks == longer.n_ticks
        assert mine.ticks.size > 30
        assert np.array_equal(mine.ticks, theirs.ticks)
        assert np.array_equal(mine.sources, theirs.sources)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(model.readout(inputs).numpy(), result.readout("out"), rtol=tolerance, atol=tolerance)


# -- the paper's numbers (arXiv:2306.17670 and its code) ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "hidden", "maximum", "count", "expected"),
    [
        (20, (256, 256), 0.25, 1, 214_016),
        (35, (512, 512), 0.3, 1, 705_536),
        (35, (512, 512), 0.3, 2, 1_409_024),
        (35, (512, 512, 512), 0.3, 1, 1_230_848),
        (35, (512, 512, 512), 0.3, 2, 2_458_624),
    ],
)
def test_parameter_counts_are_those_of_the_paper(classes, hidden, maximum, count, expected):
    net = delayed(140, classes, hidden=hidden, maximum_delay=maximum, kernel_count=count)
    names = [p.name for p in net.populations if p.name.startswith("hidden")]
    model = TrainableNetwork(net, learn=("weights", "delays"), batch_norm=names)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_kernels_and_lengths_are_those_of_the_paper():
    model = TrainableNetwork(delayed(140, 20), learn=("weights", "delays"))
    assert [Learnable(0.25).longest(0.01), Learnable(0.3).longest(0.01)] == [24, 30]
    assert model.extension == 36
    readout, _ = model(Events.from_dense(np.zeros((2, 10, 140), int), 0.01))
    assert readout.shape == (2, 46, 20)
    weights, delays = model.weights("input->hidden1"), model.delays("input->hidden1")
    assert 0.20 < weights.abs().max() <= 0.2071
    assert delays.min() >= 0
    assert (delays == 24).float().mean() == pytest.approx(1 / 25, abs=0.01)


def test_schedules_are_those_of_the_paper():
    widths = [kernel_width("gauss", 24, sharpness_at(epoch, 150)) - 0.27 for epoch in (0, 1, 18, 37, 149)]
    assert widths == pytest.approx([12.0, 10.784, 1.753, 0.23, 0.23], abs=1e-3)
    rates = [5e-3 * one_cycle(epoch, 150) for epoch in (0, 10, 44, 75, 100, 149)]
    assert rates == pytest.approx([2.0e-4, 7.862e-4, 5e-3, 4.0e-3, 2.239e-3, 2e-8], rel=1e-3)
    assert one_cycle_momentum(44, 150) == pytest.approx(0.85)
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], 1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=20)
    for epoch in range(20):
        group = optimiser.param_groups[0]
        assert group["lr"] == pytest.approx(5e-3 * one_cycle(epoch, 20), rel=1e-9)
        assert group["betas"][0] == pytest.approx(one_cycle_momentum(epoch, 20), rel=1e-9)
        optimiser.step()
        if epoch < 19:
            schedule.step()


# -- learning ----------------------------------------------------------------------------------------------------------


def order_network(maximum, seed=0):
    return delayed(4, 6, hidden=(32,), maximum_delay=maximum, dt=1e-3, time_constant=1.005e-3, seed=seed)


RECIPE = {
    "rule": BPTT(detach_reset=True),
    "loss": "summed_softmax",
    "learning_rate": 5e-3,
    "batch_size": 32,
    "validation": 0.0,
    "progress": False,
}


@pytest.mark.slow
def test_only_delays_tell_an_order():
    data, test = lag_patterns(1000, seed=1), lag_patterns(500, seed=2)
    options = {"surrogate": ATan(5.0), "batch_norm": ["hidden1"], "batch_norm_over": "sequence"}
    recipe = {**RECIPE, "batch_size": 50, "learning_rate": 0.02, "delay_learning_rate": 0.2}
    without = TrainableNetwork(order_network(0.0), **options)
    train(without, data, epochs=4, **recipe)
    assert evaluate(without, test, loss="summed_softmax") < 0.3

    model = TrainableNetwork(order_network(25e-3), learn=("weights", "delays"), **options)
    start = model.delays("input->hidden1").detach().clone()
    train(model, data, epochs=20, schedule="one_cycle", **recipe)
    assert model.sharpness == 1.0
    assert evaluate(model, test, loss="summed_softmax", soft_delays=True) > 0.95
    assert (model.delays("input->hidden1") - start).abs().mean() > 0.5
    model.harden()
    train(model, data, epochs=5, **{**recipe, "learning_rate": 0.01})
    assert model.delays("input->hidden1").frac().abs().max() == 0
    hard = evaluate(model, test, loss="summed_softmax")
    assert hard > 0.93

    result = Simulation(model.network()).run_samples(test.events)
    assert result.accuracy(test.labels) == pytest.approx(hard, abs=0.004)

    again = TrainableNetwork(order_network(25e-3), learn=("weights", "delays"), **options)
    again.load_state_dict(model.state_dict())
    assert again.hard
    assert not again.delays("input->hidden1").requires_grad


class Stops:
    """An augmentation that changes nothing, and breaks off in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, events, numbers, seed, epoch):
        if epoch == self.epoch:
            raise KeyboardInterrupt
        return events


def test_training_goes_on_bit_for_bit(tmp_path):
    data, options = lag_patterns(64, seed=1), {"epochs": 4, "schedule": "one_cycle", **RECIPE}

    def model():
        return TrainableNetwork(order_network(25e-3), learn=("weights", "delays"), batch_norm=["hidden1"])

    whole, broken, resumed = model(), model(), model()
    train(whole, data, augment=Stops(None), **options)
    with pytest.raises(KeyboardInterrupt):
        train(broken, data, checkpoint=tmp_path / "c.h5", augment=Stops(2), **options)
    train(resumed, data, resume=tmp_path / "c.h5", augment=Stops(None), **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_fixed_delays_stay_and_are_whole():
    model = TrainableNetwork(order_network(25e-3), learn=("weights",), batch_norm=["hidden1"])
    before = model.delays("input->hidden1").clone()
    train(model, lag_patterns(64), epochs=2, **RECIPE)
    assert torch.equal(before, model.delays("input->hidden1"))
    assert before.frac().abs().max() == 0
    drawn = order_network(25e-3)
    assert np.array_equal(before.numpy().reshape(-1), drawn.synapses(drawn.projections[0]).delays)
    assert model.hard


def test_threads_change_nothing():
    found = []
    count = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            model = TrainableNetwork(
                delayed(40, 5, hidden=(64, 64)), learn=("weights", "delays"), batch_norm=["hidden1"]
            )
            BPTT().step(model, events(batch=16, ticks=30, sources=40), torch.arange(16) % 5, "summed_softmax")
            found.append({name: p.grad.clone() for name, p in model.named_parameters()})
    finally:
        torch.set_num_threads(count)
    for other in found[1:]:
        for name, gradient in found[0].items():
            assert torch.equal(gradient, other[name]), name


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_refused():
    net = network()
    with pytest.raises(CapabilityError, match="SLTT drops every route through time"):
        SLTT().step(TrainableNetwork(net), events(), torch.tensor([0, 1, 2]))
    with pytest.raises(ParameterError, match="no projection has delay=Learnable"):
        TrainableNetwork(network(delays=(None, None, None)), learn=("weights", "delays"))
    with pytest.raises(CapabilityError, match="batch_norm_over='tick'"):
        TrainableNetwork(net, batch_norm=["hidden1"], batch_norm_over="tick")
    with pytest.raises(ParameterError, match="lengthen='middle'"):
        TrainableNetwork(net, lengthen="middle")
    model = TrainableNetwork(net)
    with pytest.raises(ParameterError, match="start from rest"):
        model(events(), model.initial_state(3))
    with pytest.raises(NetworkError, match="no projection 'x' with delays"):
        TrainableNetwork(net).delays("x")
    model = TrainableNetwork(net, learn=("weights", "delays"))
    with pytest.raises(ParameterError, match=r"sharpness=1\.5"):
        model.sharpness = 1.5
    for bad, message in (
        ({"sharpening": "slow"}, "sharpening='slow'"),
        ({"schedule": "line"}, "schedule='line'"),
        ({"delay_learning_rate": -1}, "delay_learning_rate=-1"),
    ):
        with pytest.raises(ParameterError, match=message):
            train(TrainableNetwork(order_network(0.025)), lag_patterns(8), **{**RECIPE, **bad})


def test_learnable_delays_are_checked():
    populations = [Population("a", 3, Input()), Population("b", 3, LIF())]
    with pytest.raises(ParameterError, match="Learnable maximum=0"):
        Learnable(0)
    with pytest.raises(ParameterError, match="Learnable kernel='sine'"):
        Learnable(0.1, "sine")
    with pytest.raises(ParameterError, match="delay is the class; write Learnable"):
        Projection("a", "b", Dense(1.0), delay=Learnable)
    with pytest.raises(NetworkError, match="OneToOne has no learnable delays"):
        Network(populations, [Projection("a", "b", OneToOne(1.0), delay=Learnable(0.1))], dt=0.01)
    with pytest.raises(ParameterError, match="one tick of dt"):
        Network(populations, [Projection("a", "b", Dense(1.0), delay=Learnable(0.001))], dt=0.01)


def test_learnable_delays_are_kept(tmp_path):
    net = network()
    net.save(tmp_path / "net.h5")
    loaded = Network.load(tmp_path / "net.h5")
    assert loaded.projections[0].delay == Learnable(0.09)
    assert np.array_equal(loaded.synapses(loaded.projections[0]).delays, net.synapses(net.projections[0]).delays)
    assert "learnable to 0.09 s" in str(loaded)


# -- corners -----------------------------------------------------------------------------------------------------------


def test_a_state_says_whether_delays_are_hard():
    def model():
        return TrainableNetwork(order_network(25e-3), learn=("weights", "delays"), batch_norm=["hidden1"])

    one = model()
    soft = copy.deepcopy(one.state_dict())
    one.harden()
    assert not one.delays("input->hidden1").requires_grad
    one.load_state_dict(soft)
    assert one.delays("input->hidden1").requires_grad
    assert one.delays("input->hidden1").frac().abs().max() > 0
    other = pickle.loads(pickle.dumps(one))
    assert torch.equal(other.delays("input->hidden1"), one.delays("input->hidden1"))


def test_a_soft_run_does_not_go_on_with_hard_delays(tmp_path):
    model = TrainableNetwork(order_network(25e-3), learn=("weights", "delays"), batch_norm=["hidden1"])
    train(model, lag_patterns(32), epochs=1, checkpoint=tmp_path / "c.h5", **RECIPE)
    model.harden()
    with pytest.raises(ParameterError, match="hard: begun with False, this call has True"):
        train(model, lag_patterns(32), epochs=2, resume=tmp_path / "c.h5", **RECIPE)


def test_delays_beyond_their_range_act_as_at_its_end():
    fast, slow = pair(network())
    with torch.no_grad():
        for model in (fast, slow):
            model.delays("in->hidden1").add_(4.0)
            model.delays("hidden2->out").sub_(3.0)
    labels = torch.tensor([0, 2, 1])
    for model in (fast, slow):
        BPTT().step(model, events(), labels, "summed_softmax")
    for (name, a), (_, b) in zip(fast.named_parameters(), slow.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-9, msg=name)
    fast.eval()
    with torch.no_grad():
        readout = fast.readout(events()).numpy()
    longer = events().crop(events().n_ticks + fast.extension)
    result = Simulation(fast.network(), dtype="float64").run_samples(longer)
    np.testing.assert_allclose(readout, result.readout(), atol=1e-12)


def test_dropout_of_a_spiking_readout_keeps_its_scale():
    net = network()
    last = Population("out", 3, LIF(0.015, reset="zero", integration="euler"))
    net = net.replaced(populations=[last])
    labels = torch.tensor([0, 2, 1])
    fast, slow = pair(net, dropout={"out": 0.5})
    outcomes = []
    for model in (fast, slow):
        model.sharpness = 0.5
        outcomes.append(gradients(model, events(rate=1.0), labels))
    assert outcomes[0][0].loss == pytest.approx(outcomes[1][0].loss, rel=1e-9)
    for name, gradient in outcomes[0][1].items():
        torch.testing.assert_close(gradient, outcomes[1][1][name], rtol=1e-6, atol=1e-9)
    assert set(fast.readout(events(rate=1.0)).unique().tolist()) == {0.0, 2.0}


def test_what_is_not_fully_connected_is_refused():
    net = network(sizes=(6, 7, 7, 3))
    between = Projection("hidden1", "hidden2", OneToOne(2.0))
    with pytest.raises(CapabilityError, match="OneToOne is not trained beside delays"):
        TrainableNetwork(net.replaced(projections=[between]))
    flat = network(delays=(None, None, None))
    model = TrainableNetwork(flat, batch_norm=["hidden1"], batch_norm_over="sequence")
    with pytest.raises(ParameterError, match="two ticks or two samples"):
        BPTT().step(model, events(batch=1, ticks=1), torch.tensor([0]), "summed_softmax")
    with pytest.raises(ParameterError, match="validation='x'"):
        train(TrainableNetwork(order_network(0.025)), lag_patterns(8), **{**RECIPE, "validation": "x"})


def test_lag_patterns_are_orders_of_four_channels():
    data = lag_patterns(60)
    frames = data.events.to_dense(int)
    assert frames.shape[2] == 4
    assert np.all(frames.sum(1) == 1)
    orders = {tuple(np.argsort(times)) for times in frames.argmax(1)}
    assert len(orders) == len(data.classes) == 6

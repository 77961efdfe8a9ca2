"""Networks with delays: the layer-at-a-time path against autograd, against the backends, and against the paper."""

import numpy as np
import pytest
import torch

from snnsim import LI, LIF, Dense, Events, Input, Kaiming, Learnable, Network, Population, Projection, Simulation, Trace
from snnsim.errors import CapabilityError, NetworkError, ParameterError
from snnsim.training import BPTT, SLTT, ATan, TrainableNetwork

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

"""SLTT to the letter, its memory, its limits."""

import itertools

import numpy as np
import pytest

from snnsim import LI, LIF, Dense, Events, Input, Learnable, Network, Normal, Population, Projection
from snnsim.errors import ParameterError, ResourceError

torch = pytest.importorskip("torch")

from snnsim.training import (
    BPTT,
    SLTT,
    MemoryReport,
    PerTickCrossEntropy,
    ScoreCrossEntropy,
    TrainableNetwork,
)

DT = 1e-3


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(time_constant=10e-3, sizes=(14, 12, 9, 5), readout=0.0, gain=0.7):
    populations = [Population("input", sizes[0], Input())]
    populations += [Population(f"h{i}", n, LIF(time_constant)) for i, n in enumerate(sizes[1:-1])]
    populations += [Population("out", sizes[-1], LI(readout))]
    projections = [Projection(a.name, b.name, Dense(Normal(0.1, gain))) for a, b in itertools.pairwise(populations)]
    return Network(populations, projections, dt=DT, seed=2)


def events(ticks, batch=6, size=14, density=0.3):
    random = np.random.default_rng(1)
    return Events.from_dense(random.random((batch, ticks, size)) < density, DT)


def labels(batch=6, classes=5):
    return torch.arange(batch) % classes


def gradients(net, rule, given, *, path="auto", dtype="float64", generator=None, **options):
    model = TrainableNetwork(net, dtype=dtype, path=path, **options)
    rule.step(model, given, labels(len(given)), generator=generator)
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_tick_makes_sltt_and_bptt_the_same_bit_for_bit(dtype):
    one, two = (gradients(network(), rule, events(1), dtype=dtype) for rule in (SLTT(), BPTT()))
    for name, gradient in one.items():
        assert bool(gradient.abs().sum() > 0)
        assert torch.equal(gradient, two[name])


def test_without_a_leak_route_they_are_the_same_for_any_number_of_ticks():
    one, two = (gradients(network(time_constant=0.0), rule, events(9)) for rule in (SLTT(chunk=4), BPTT()))
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, two[name], rtol=1e-12, atol=1e-15)
    leaky = [gradients(network(), rule, events(9)) for rule in (SLTT(), BPTT())]
    assert not torch.allclose(leaky[0]["weights:input->h0"], leaky[1]["weights:input->h0"], rtol=0.05)


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_gradients_are_the_published_equations_worked_out_by_hand(path):
    net, given, ticks, batch = network(), events(7), 7, 6
    found = gradients(net, SLTT(chunk=3), given, path=path)
    weights = [p.connectivity.weights for p in net.resolved().projections]
    x, decay = given.to_dense(np.float64), np.exp(-DT / 10e-3)
    u = [np.zeros((batch, 12)), np.zeros((batch, 9))]
    s = [np.zeros((batch, 12)), np.zeros((batch, 9))]
    expected = [np.zeros_like(w) for w in weights]
    one_hot = np.eye(5)[labels().numpy()]
    for t in range(ticks):
        below = x[:, t]
        for layer in range(2):
            u[layer] = decay * (u[layer] - s[layer]) + below @ weights[layer]
            s[layer] = (u[layer] >= 1).astype(float)
            below = s[layer]
        o = below @ weights[2]
        softmax = np.exp(o - o.max(1, keepdims=True))
        e = (softmax / softmax.sum(1, keepdims=True) - one_hot) / batch / ticks
        expected[2] += s[1].T @ e
        for layer in (1, 0):
            e = (e @ weights[layer + 1].T) * np.maximum(0, 1 - np.abs(u[layer] - 1))
            expected[layer] += (x[:, t] if layer == 0 else s[0]).T @ e
    for gradient, hand in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(gradient.numpy(), hand, rtol=1e-10, atol=1e-14)


def test_mean_over_all_subsets_of_ticks_is_k_over_t_of_sltt(monkeypatch):
    net, given, ticks, k = network(), events(5), 5, 2
    whole = gradients(net, SLTT(), given, dtype="float32")
    subsets = list(itertools.combinations(range(ticks), k))
    mean = {name: torch.zeros_like(gradient) for name, gradient in whole.items()}
    for subset in subsets:
        rest = [tick for tick in range(ticks) if tick not in subset]
        monkeypatch.setattr(torch, "randperm", lambda n, generator, s=subset, r=rest: torch.tensor([*s, *r]))
        for name, gradient in gradients(net, SLTT(k=k), given, dtype="float32").items():
            mean[name] += gradient / len(subsets)
    for name, gradient in whole.items():
        torch.testing.assert_close(mean[name], gradient * k / ticks, rtol=0, atol=1e-7)


def test_random_ticks_come_from_the_generator_and_all_of_them_is_sltt():
    net, given = network(), events(8)
    model = TrainableNetwork(net)
    same = [gradients(net, SLTT(k=2), given, generator=model.generator(1)) for _ in range(2)]
    other = gradients(net, SLTT(k=2), given, generator=model.generator(2))
    name = "weights:input->h0"
    assert torch.equal(same[0][name], same[1][name])
    assert not torch.equal(same[0][name], other[name])
    torch.testing.assert_close(
        gradients(net, SLTT(k=8), given)[name], gradients(net, SLTT(), given)[name], rtol=1e-12, atol=1e-15
    )


def test_batch_norm_sees_every_tick_also_without_a_backward_pass():
    found = []
    for rule in (SLTT(), SLTT(k=1), SLTT(chunk=3), BPTT()):
        model = TrainableNetwork(network(), batch_norm=["h0"], dtype="float64")
        rule.step(model, events(11), labels())
        found.append(model.norm("h0"))
    drive = events(11).to_dense(np.float64) @ network().resolved().projections[0].connectivity.weights
    rows = drive.reshape(-1, 12)
    for norm in found:
        np.testing.assert_allclose(norm.running_mean.numpy(), rows.mean(0), rtol=1e-12)
        np.testing.assert_allclose(norm.running_variance.numpy(), rows.var(0, ddof=1), rtol=1e-10)


def test_dropout_silences_the_same_neurons_at_all_ticks():
    from snnsim.training.compute.call import draw_masks

    model = TrainableNetwork(network(), dropout={"h0": 0.4})
    masks = draw_masks(model, 500, model.generator(3))
    assert masks["h0"].shape == (500, 12)
    assert float(masks["h0"].float().mean()) == pytest.approx(0.6, abs=0.03)
    assert torch.equal(masks["h0"], draw_masks(model, 500, model.generator(3))["h0"])
    assert draw_masks(model.eval(), 500, None) == {}


def saved_bytes(rule, ticks, **options):
    """Return the bytes of activations that a step holds: buffers on the fast path, saved tensors on the plain one."""
    model = TrainableNetwork(network(), **options)
    if model.path == "fused":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "snnsim.training.fused.projections.DENSE_ABOVE", 1.0
            )  # lists only, however many spikes a chunk has
            rule.step(model, events(ticks), labels())
        return model.workspace.nbytes, model
    sizes, ours = {}, {parameter.data_ptr() for parameter in model.parameters()}
    live = [0, 0]

    def pack(tensor):
        if tensor.data_ptr() not in ours:
            sizes[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    before = torch.Tensor.backward

    def backward(self, *arguments, **keywords):
        live[1] = max(live[1], sum(sizes.values()))
        before(self, *arguments, **keywords)
        sizes.clear()

    with pytest.MonkeyPatch.context() as patch, torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        patch.setattr(torch.Tensor, "backward", backward)
        rule.step(model, events(ticks), labels())
    return live[1], model


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_memory_is_constant_in_ticks_for_sltt_and_linear_for_bptt(path):
    sltt = [saved_bytes(SLTT(chunk=4), ticks, path=path)[0] for ticks in (4, 16, 64)]
    assert sltt[0] == sltt[1] == sltt[2]
    bptt = [saved_bytes(BPTT(), ticks, path=path)[0] for ticks in (16, 32, 64)]
    assert bptt[2] - bptt[1] == pytest.approx(2 * (bptt[1] - bptt[0]), rel=0.02)
    assert bptt[2] > 5 * sltt[0]


@pytest.mark.parametrize("rule", [SLTT(chunk=8), BPTT()], ids=str)
@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("normed", [(), ("h0",)])
def test_forecast_of_memory_is_what_a_step_takes(rule, path, normed):
    measured, model = saved_bytes(rule, 64, path=path, batch_norm=normed)
    forecast = model.memory_report(64, 6, rule)
    assert forecast.activations == pytest.approx(measured, rel=0.2)
    assert forecast.gradients == sum(4 * parameter.numel() for parameter in model.parameters())
    assert "total" in str(forecast)


def test_forecast_of_delays_on_the_plain_path_is_no_less_than_what_a_step_keeps_nor_far_above():
    populations = [Population("input", 14, Input()), Population("h", 60, LIF(10e-3)), Population("out", 5, LI(5e-3))]
    projections = [
        Projection("input", "h", Dense(Normal(0.1, 0.7)), delay=Learnable(6 * DT)),
        Projection("h", "out", Dense(Normal(0.1, 0.7))),
    ]
    net = Network(populations, projections, dt=DT)
    model = TrainableNetwork(net, learn=("weights", "delays"), path="plain")
    sizes, ours = {}, {parameter.data_ptr() for parameter in model.parameters()}

    def pack(tensor):
        if tensor.data_ptr() not in ours:
            sizes[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        readout = model.readout(events(64))
    measured = sum(sizes.values())
    assert readout.requires_grad
    assert 1.0 < model.memory_report(64, 6, BPTT()).kept / measured < 4.0


def test_a_step_that_cannot_fit_is_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr("snnsim.training.model.memory.available_memory", lambda: 10**8)
    with pytest.raises(ResourceError, match=r"BPTT: 1000 ticks at batch 64 need .* a batch of 32 would fit.*SLTT"):
        MemoryReport("BPTT", 1000, 64, 10, kept=2 * 10**8, working=0, gradients=0).require()
    monkeypatch.setattr("snnsim.training.model.memory.UNASKED", 0)
    monkeypatch.setattr("snnsim.training.model.memory.available_memory", lambda: 1000)
    model = TrainableNetwork(network())
    assert not model.memory_report(50, 6, BPTT()).fits
    with pytest.raises(ResourceError, match="SLTT"):
        BPTT().step(model, events(50), labels())


def test_input_before_the_tick_of_the_loss_gets_no_gradient_from_sltt():
    """The limit of the method: a reward that comes later teaches nothing."""
    given = events(6)
    early = Events(
        given.ticks[given.ticks == 0],
        given.sources[given.ticks == 0],
        np.searchsorted(np.flatnonzero(given.ticks == 0), given.offsets),
        14,
        6,
        DT,
    )
    net = network(time_constant=50e-3, sizes=(14, 9, 5), gain=0.4)

    class LastTick(PerTickCrossEntropy):
        def value(self, readout, labels, ends, first=0):
            assert readout.shape[0] == int(ends.max())  # one chunk holds all ticks
            return super().value(readout[-1:], labels, torch.ones_like(ends))

    found = {}
    for rule in (SLTT(chunk=6), BPTT()):
        model = TrainableNetwork(net, dtype="float64")
        rule.step(model, early, labels(), LastTick())
        found[type(rule)] = model.weights("input->h0").grad
    assert float(found[SLTT].abs().max()) == 0.0
    assert float(found[BPTT].abs().max()) > 0.0


def test_a_loss_of_the_sum_is_refused_by_sltt_and_taken_by_bptt():
    model = TrainableNetwork(network())
    with pytest.raises(ParameterError, match="couples all ticks"):
        SLTT().step(model, events(3), labels(), "summed_readout")
    assert BPTT().step(model, events(3), labels(), "summed_readout").loss > 0
    for wrong in (SLTT, BPTT):
        with pytest.raises(ParameterError, match="loss='hinge'"):
            wrong().step(model, events(3), labels(), "hinge")
    for options in ({"k": 0}, {"chunk": -1}, {"k": 1.5}):
        with pytest.raises(ParameterError, match="whole number"):
            SLTT(**options)
    with pytest.raises(ParameterError, match="mixing"):
        PerTickCrossEntropy(1.5)


@pytest.mark.parametrize("target", ["one_hot", "ones"])
@pytest.mark.parametrize("mixing", [0.0, 0.05, 0.7, 1.0])
def test_losses_are_the_published_formulas(target, mixing):
    random = np.random.default_rng(0)
    readout, classes = random.normal(size=(4, 6, 5)), labels().numpy()
    share = np.exp(readout) / np.exp(readout).sum(2, keepdims=True)
    entropy = -np.log(share[:, np.arange(6), classes])
    wanted = np.eye(5)[classes] if target == "one_hot" else np.ones((6, 5))
    error = ((readout - wanted) ** 2).mean(2)
    expected = ((1 - mixing) * entropy + mixing * error).mean(1).sum() / 9  # four of nine ticks
    loss, given = PerTickCrossEntropy(mixing, target), torch.from_numpy(readout)
    ends = torch.full((6,), 9)
    assert float(loss.value(given, labels(), ends)) == pytest.approx(expected, rel=1e-12)
    for score, summed in (("summed_readout", readout.sum(0)), ("summed_softmax", share.sum(0))):
        entropy = -np.log(np.exp(summed) / np.exp(summed).sum(1, keepdims=True))[np.arange(6), classes]
        found = ScoreCrossEntropy(score).value(given, labels(), torch.full((6,), 4))
        assert float(found) == pytest.approx(entropy.mean(), rel=1e-12)


def test_gradients_are_added_to_those_that_are_there():
    model = TrainableNetwork(network(), dtype="float64")
    SLTT().step(model, events(4), labels())
    first = [parameter.grad.clone() for parameter in model.parameters()]
    SLTT().step(model, events(4), labels())
    for parameter, once in zip(model.parameters(), first, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * once)

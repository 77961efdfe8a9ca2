"""What torch offers around parameters and modules does the same on the compiled path as on the plain one."""

import copy
import itertools

import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    Conv2d,
    Dense,
    Events,
    FixedProbability,
    Input,
    Kaiming,
    Learnable,
    Network,
    Normal,
    Population,
    Projection,
    Simulation,
)

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from snnsim.errors import CapabilityError, ParameterError
from snnsim.training import (
    BPTT,
    SLTT,
    ATan,
    ContrastiveProjection,
    EventProp,
    TrainableNetwork,
    train,
)
from snnsim.zero_shot import LabelledFeatures

DT = 1e-3
RULES = [BPTT(), SLTT(), SLTT(k=4, chunk=3)]


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(delays=False):
    delay = Learnable(4 * DT) if delays else 0.0
    populations = [
        Population("in", 6, Input()),
        Population("one", 8, LIF(8 * DT, threshold=0.6)),
        Population("two", 7, LIF(5 * DT, threshold=0.5)),
        Population("out", 3, LI(3 * DT)),
    ]
    rules = [Dense(Kaiming(1.5)), Dense(Kaiming(2.0)) if delays else FixedProbability(0.7, Normal(0.3, 0.6))]
    projections = [
        Projection(a, b, r, delay=delay) for (a, b), r in zip((("in", "one"), ("one", "two")), rules, strict=True)
    ]
    return Network(populations, [*projections, Projection("two", "out", Dense(Kaiming(1.0)))], dt=DT, seed=3)


def images():
    populations = [
        Population("in", (1, 6, 6), Input()),
        Population("conv", (3, 4, 4), LIF(8 * DT, threshold=0.5)),
        Population("out", 3, LI(0.0)),
    ]
    projections = [
        Projection("in", "conv", Conv2d(Normal(0.2, 0.4), kernel=3)),
        Projection("conv", "out", Dense(Kaiming(1.0))),
    ]
    return Network(populations, projections, dt=DT, seed=3)


def made(path, kind="layers", **options):
    options = {"learn": ("weights", "bias"), "dtype": "float64", "surrogate": ATan(2.0), "path": path, **options}
    if kind == "delays":
        options |= {"learn": ("weights", "delays"), "batch_norm": ["one"]}
        return TrainableNetwork(network(delays=True), **options)
    if kind == "images":
        return TrainableNetwork(images(), **options)
    return TrainableNetwork(network(), **({"batch_norm": ["one"]} | options))


def events(model, ticks=9, batch=5, seed=0):
    size = model.plan.network.inputs[0].size
    return Events.from_dense(np.random.default_rng(seed).random((batch, ticks, size)) < 0.4, DT)


LABELS = torch.tensor([0, 1, 2, 0, 1])


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(one, other, tolerance=1e-9):
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], rtol=tolerance, atol=tolerance, msg=name)


class Quantised(nn.Module):
    """Round to eighths, with the gradient passed straight through."""

    def forward(self, x):
        return x + ((8 * x).round() / 8 - x).detach()


class Doubled(nn.Module):
    """Twice the parameter, from half of it."""

    def forward(self, x):
        return 2 * x

    def right_inverse(self, x):
        return x / 2


def places(model):
    """Return (module, name) of every parameter."""
    for name, _ in list(model.named_parameters()):
        path, _, last = name.rpartition(".")
        yield (model.get_submodule(path) if path else model), last


def quantise(model):
    for module, name in places(model):
        parametrize.register_parametrization(module, name, Quantised())


def double(model):
    for module, name in places(model):
        parametrize.register_parametrization(module, name, Doubled())


def cut(model):
    for module, name in places(model):
        prune.l1_unstructured(module, name, amount=0.4)


def normalise(model):
    for module, name in list(places(model)):
        if name.startswith("weights:") and getattr(module, name).ndim > 1:
            parametrizations.weight_norm(module, name)


def share(model):
    """One scale on the weights of two projections: their graphs have a part in common."""
    scale = nn.Parameter(torch.tensor(1.2, dtype=torch.float64))

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = scale

        def forward(self, x):
            return self.scale.exp() * x

    for name in [name for name, _ in model.named_parameters() if name.startswith("weights:")][:2]:
        parametrize.register_parametrization(model, name, Scaled())


def hook(model):
    for i, (module, name) in enumerate(places(model)):
        getattr(module, name).register_hook(lambda g, i=i: g * (i + 2))


def hook_afterwards(model):
    def halve(parameter):
        parameter.grad.mul_(0.5)

    for module, name in places(model):
        getattr(module, name).register_post_accumulate_grad_hook(halve)


MEANS = (quantise, double, cut, normalise, share, hook, hook_afterwards)


@pytest.mark.parametrize("means", MEANS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ["layers", "delays", "images"])
def test_a_step_has_the_gradients_of_the_plain_path(means, kind):
    for rule in RULES if kind != "delays" else RULES[:1]:
        found = []
        for path in ("fused", "plain"):
            model = made(path, kind)
            means(model)
            for key in range(2):  # a second time, onto gradients that are there
                outcome = rule.step(model, events(model), LABELS, generator=model.generator(key))
            found.append((gradients(model), outcome.loss))
        assert found[0][1] == pytest.approx(found[1][1], rel=1e-9)
        assert len(found[0][0]) == len(dict(model.named_parameters()))
        assert all(float(g.abs().max()) > 0 for n, g in found[0][0].items() if "bias:out" not in n)
        assert_same(found[0][0], found[1][0], 1e-6 if kind == "delays" else 1e-9)


@pytest.mark.parametrize("means", MEANS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ["layers", "delays", "images"])
def test_a_graph_has_the_gradients_of_the_plain_path(means, kind):
    found = []
    for path in ("fused", "plain"):
        model = made(path, kind)
        means(model)
        for _ in range(2):
            model.readout(events(model)).sin().sum().backward()
        found.append(gradients(model))
    assert all(float(g.abs().max()) > 0 for g in found[0].values())
    assert_same(*found, 1e-6 if kind == "delays" else 1e-9)


@pytest.mark.parametrize("means", [quantise, cut, normalise], ids=lambda f: f.__name__)
@pytest.mark.parametrize("rule", [BPTT(), SLTT()], ids=repr)
def test_training_moves_what_stands_behind_the_weights_alike_on_both_paths(means, rule):
    found = []
    for path in ("fused", "plain"):
        model = made(path)
        means(model)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        data = type("Data", (), {"events": events(model, batch=30), "labels": np.arange(30) % 3})
        train(model, data, rule=rule, epochs=2, batch_size=10, validation=0, learning_rate=0.01, progress=False)
        assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())
        found.append({name: p.detach() for name, p in model.named_parameters()})
        model.eval()
        learned = model.network()  # of what stands there now, not before the last step
        fired = model.spikes(events(model))
        weights = model.weights("in->one").detach()
        original = dict(model.named_parameters())
        if means is cut:
            assert int((weights == 0).sum()) == round(0.4 * weights.numel())
            assert torch.equal(
                weights, original["weights:in->one_orig"].detach() * model.get_buffer("weights:in->one_mask")
            )
        if means is quantise:
            assert torch.equal(8 * weights, (8 * weights).round())
        factor = model.norm("one").folded()[0]
        np.testing.assert_allclose(learned.projection("in->one").connectivity.weights, weights * factor, rtol=1e-12)
        result = Simulation(learned, "reference", dtype="float64").run_samples(events(model), record=["one", "two"])
        assert fired == {name: result.spikes[name] for name in ("one", "two")}
    assert_same(*found, 1e-6)


def test_a_hook_may_take_a_gradient_away_and_step_by_itself():
    """Steps of an optimiser within the way back, which torch offers to save memory."""
    found = []
    for path in ("fused", "plain"):
        model = made(path)
        optimisers = {p: torch.optim.SGD([p], 0.1) for p in model.parameters()}

        def step(parameter, optimisers=optimisers):
            optimisers[parameter].step()
            optimisers[parameter].zero_grad()

        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(step)
        for rule in (BPTT(), SLTT()):
            rule.step(model, events(model), LABELS)
        assert all(p.grad is None for p in model.parameters())
        found.append({name: p.detach() for name, p in model.named_parameters()})
    assert_same(*found)


@pytest.mark.parametrize("kind", ["threshold", "time_constant"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_thresholds_and_time_constants_behind_a_parametrisation_learn(kind, rule):
    found = []
    for doubled in (False, True):
        model = made("plain", learn=("weights", kind))
        if doubled:
            double(model)
        rule.step(model, events(model), LABELS, generator=model.generator(0))
        found.append(gradients(model))
    for name, gradient in found[0].items():
        path, _, last = name.rpartition(".")
        behind = ".".join(part for part in (path, "parametrizations", last, "original") if part)
        assert float(gradient.abs().max()) > 0
        torch.testing.assert_close(found[1][behind], 2 * gradient, rtol=1e-9, atol=1e-12)


def test_in_place_gradients_stay_in_place_where_nothing_looks():
    model = made("fused")
    BPTT().step(model, events(model), LABELS)
    memory = {name: p.grad.data_ptr() for name, p in model.named_parameters()}
    BPTT().step(model, events(model), LABELS)
    dense = [name for name in memory if name != "weights:one->two"]  # of Sparse it is a matrix on the way
    assert all(model.get_parameter(name).grad.data_ptr() == memory[name] for name in dense)


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("kind", ["layers", "delays"])
def test_what_is_frozen_gets_no_gradient_and_the_rest_the_same(path, kind):
    whole = made(path, kind)
    BPTT().step(whole, events(whole), LABELS)
    names = [name for name, _ in whole.named_parameters()]
    for chosen in itertools.combinations(names, 2):
        model = made(path, kind)
        for name in chosen:
            model.get_parameter(name).requires_grad_(False)
        BPTT().step(model, events(model), LABELS)
        assert set(gradients(model)) == set(names) - set(chosen)
        assert_same(gradients(model), {n: g for n, g in gradients(whole).items() if n not in chosen})


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_functional_call_takes_the_given_parameters(path):
    model = made(path)
    other = {name: (p.detach() * 1.5).requires_grad_() for name, p in model.named_parameters()}
    readout, _ = torch.func.functional_call(model, other, (events(model),))
    readout.square().sum().backward()
    twin = made(path)
    twin.load_state_dict(model.state_dict() | {name: p.detach() for name, p in other.items()})
    twin.norm("one").running_mean.zero_()
    twin.norm("one").running_variance.fill_(1.0)
    twin.norm("one").batches.zero_()
    twin.readout(events(twin)).square().sum().backward()
    assert_same({name: p.grad for name, p in other.items()}, gradients(twin))
    assert not gradients(model)


# -- hooks of the module ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("kind", ["layers", "delays"])
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_hooks_of_the_network_are_called_by_bptt(path, kind):
    plain = made(path, kind)
    outcome = BPTT(detach_reset=True).step(plain, events(plain), LABELS)
    model, seen = made(path, kind), []
    model.register_forward_pre_hook(lambda module, inputs: seen.append("before"))
    model.register_forward_hook(lambda module, inputs, out: seen.append("after") or (3 * out[0], out[1]))
    model.register_full_backward_hook(lambda module, inputs, outs: seen.append("back"))
    found = BPTT(detach_reset=True).step(model, events(model), LABELS)
    assert seen == ["before", "after", "back"]
    torch.testing.assert_close(found.scores, 3 * outcome.scores, rtol=1e-12, atol=1e-12)
    assert found.loss != outcome.loss


def test_hooks_before_the_network_are_called_by_sltt_and_others_refused():
    model, calls = made("fused"), []

    def crop(module, inputs):
        calls.append(inputs[0])
        return inputs[0].crop(4)

    handle = model.register_forward_pre_hook(crop)
    twin = made("fused")
    one, two = SLTT().step(model, events(model), LABELS), SLTT().step(twin, events(twin).crop(4), LABELS)
    assert len(calls) == 1
    assert one.loss == two.loss
    handle.remove()
    model = made("fused")
    model.register_forward_pre_hook(lambda module, inputs, names: ((inputs[0].crop(4),), names), with_kwargs=True)
    assert (
        SLTT().step(made("fused"), events(model).crop(4), LABELS).loss
        == SLTT().step(copy.deepcopy(model), events(model), LABELS).loss
    )
    model.register_forward_hook(lambda *_: None)
    with pytest.raises(CapabilityError, match=r"SLTT: the network has forward or backward hooks.*BPTT"):
        SLTT().step(model, events(model), LABELS)
    normed = made("fused")
    normed.norm("one").register_forward_hook(lambda *_: None)
    for call in (lambda: BPTT().step(normed, events(normed), LABELS), lambda: normed.readout(events(normed))):
        with pytest.raises(CapabilityError, match="batch norm of 'one' has hooks of a forward or backward pass"):
            call()


# -- graphs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("kind", ["layers", "delays", "images"])
def test_a_graph_that_is_kept_gives_the_same_again(path, kind):
    model = made(path, kind)
    readout = model.readout(events(model))
    parameters = list(model.parameters())
    found = [torch.autograd.grad(readout[..., 1].sum(), parameters, retain_graph=i < 2) for i in range(3)]
    for again in found[1:]:
        for a, b in zip(found[0], again, strict=True):
            assert torch.equal(a, b)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(readout[..., 1].sum(), parameters)


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("kind", ["layers", "delays", "images"])
def test_weights_changed_before_the_way_back_are_the_error_of_torch(path, kind):
    model = made(path, kind)
    one, two = model.readout(events(model)), model.readout(events(model))
    one.sum().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        two.sum().backward()
    model.readout(events(model)).sum().backward()


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("batch", [1, 4])
def test_inputs_changed_before_the_way_back_are_the_error_of_torch(path, batch):
    model = made(path, batch_norm=())
    x = torch.rand(batch, 5, 6, dtype=torch.float64)
    readout = model.readout(x)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        readout.sum().backward()


def test_what_was_learned_in_inference_mode_and_after_it():
    model = made("fused", batch_norm=())
    with torch.inference_mode():
        before = model.readout(events(model))
        with pytest.raises(ParameterError, match="inference_mode"):
            BPTT().step(model, events(model), LABELS)
    BPTT().step(model, events(model), LABELS)
    assert torch.equal(model.readout(events(model)), before)
    model.readout(events(model)).sum().backward()
    plain = made("plain", batch_norm=(), learn=("weights",))
    with torch.inference_mode():
        plain.readout(events(plain))
    plain.readout(events(plain)).sum().backward()


# -- types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("kind", ["layers", "delays", "images"])
def test_double_and_float_change_what_it_computes_in(path, kind):
    model = made(path, kind, dtype="float32")
    wide = made(path, kind)
    narrow = model.readout(events(model))
    with torch.no_grad():
        for name, p in wide.named_parameters():
            p.copy_(model.get_parameter(name))
    for name, norm in model.named_buffers():  # not those that are moved by the call above
        if "norm:" in name:
            norm.copy_(wide.get_buffer(name))
    model.double()
    assert torch.equal(model.readout(events(model)), wide.readout(events(wide)))
    BPTT().step(model, events(model), LABELS)
    model.float()
    for name, norm in model.named_buffers():
        if "norm:" in name:
            norm.copy_(made(path, kind).get_buffer(name))
    assert torch.equal(model.readout(events(model)), narrow)
    for change in (lambda: model.half(), lambda: model.bfloat16(), lambda: model.to("meta")):
        with pytest.raises(CapabilityError, match="float32 or float64 on the cpu"):
            change()
    assert model.weights(model.plan.stages[0].links[0].name).dtype == torch.float32
    nn.Sequential(model).double()
    assert model.dtype == torch.float64


def test_values_of_another_shape_are_refused_before_a_kernel_reads_beyond_them():
    model = made("fused")
    model.weights("in->one").data = torch.zeros(2, 3, dtype=torch.float64)
    with pytest.raises(ParameterError, match=r"weights of 'in->one'.*\(2, 3\).*shape \(6, 8\)"):
        model.readout(events(made("fused")))
    model.weights("in->one").data = torch.zeros(6, 8, dtype=torch.float16)
    with pytest.raises(ParameterError, match="float16"):
        BPTT().step(model, events(made("fused")), LABELS)


def test_weights_that_lie_in_columns_are_read_in_rows():
    model, twin = made("fused", batch_norm=()), made("fused", batch_norm=())
    weights = model.weights("in->one")
    weights.data = weights.data.t().contiguous().t()
    assert not weights.is_contiguous()
    assert torch.equal(model.readout(events(model)), twin.readout(events(twin)))
    BPTT().step(model, events(model), LABELS)
    BPTT().step(twin, events(twin), LABELS)
    assert_same(gradients(model), gradients(twin))


def test_projections_of_pairs_take_torch_s_means_too():
    random = np.random.default_rng(0)
    sides = [LabelledFeatures(random.normal(size=(12, 4)), np.arange(12) % 3) for _ in range(2)]
    model = ContrastiveProjection(4, 4, 5)
    prune.l1_unstructured(model, "query_weight", amount=0.5)
    parametrizations.weight_norm(model, "gallery_weight")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.fit(*sides, epochs=3)
    assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())
    scores = model.scores(*sides)
    twin = ContrastiveProjection(4, 4, 5)
    twin.fit(*sides, epochs=1)  # for what features are standardised by
    with torch.no_grad():
        twin.query_weight.copy_(model.query_weight_orig * model.query_weight_mask)
        for name in ("gallery_weight", "query_bias", "gallery_bias"):
            getattr(twin, name).copy_(getattr(model, name))
    np.testing.assert_allclose(twin.scores(*sides), scores, rtol=1e-12)
    model.register_forward_pre_hook(lambda *_: None)
    with pytest.raises(CapabilityError, match="ContrastiveProjection has hooks"):
        model.scores(*sides)


def test_eventprop_takes_torch_s_means_too():
    from snnsim import Exponential
    from snnsim.training import EventPropNetwork

    synapse = Exponential(5 * DT)
    net = Network(
        [
            Population("in", 6, Input()),
            Population("hid", 8, LIF(10 * DT, reset="zero", receptors=synapse)),
            Population("out", 3, LI(10 * DT, receptors=synapse)),
        ],
        [Projection("in", "hid", Dense(Normal(0.6, 0.3)), delay=2 * DT), Projection("hid", "out", Dense(Kaiming(1.0)))],
        dt=DT,
    )

    def step(change=lambda model: None):
        model = EventPropNetwork(net, maximum_delay=5 * DT, dtype="float64")
        change(model)
        given = Events.from_dense(np.random.default_rng(0).random((5, 30, 6)) < 0.2, DT)
        for _ in range(2):
            EventProp().step(model, given, LABELS)
        return gradients(model)

    plain = step()
    assert all(float(g.abs().max()) > 0 for g in plain.values())
    doubled, hooked, cut_down = step(double), step(hook), step(cut)
    for i, (name, gradient) in enumerate(plain.items()):
        torch.testing.assert_close(doubled[f"parametrizations.{name}.original"], 2 * gradient)
        torch.testing.assert_close(hooked[name], (i + 2) * gradient)
        assert float(cut_down[f"{name}_orig"].abs().max()) > 0
    model = EventPropNetwork(net, dtype="float64")
    given = Events.from_dense(np.random.default_rng(0).random((5, 30, 6)) < 0.2, DT)
    readout = model.readout(given)
    with torch.no_grad():
        model.weights("in->hid").mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        readout.sum().backward()
    narrow = EventPropNetwork(net, dtype="float32").double()
    assert torch.equal(narrow.readout(given), narrow.float().double().readout(given))
    with pytest.raises(CapabilityError, match="EventPropNetwork computes in float32 or float64"):
        narrow.half()

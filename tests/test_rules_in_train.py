"""One argument swaps the learning rule: names, hooks around the optimiser's step, checkpoints under every rule."""

import dataclasses

import numpy as np
import pytest

import snnsim as sn
from snnsim import Events, Network, Population, Projection
from snnsim.errors import CapabilityError, ParameterError

torch = pytest.importorskip("torch")

from snnsim.training import (
    BPTT,
    DSR,
    OTTT,
    SLTT,
    EventProp,
    EventPropNetwork,
    SoftwareFabric,
    StepHooks,
    TrainableNetwork,
    evaluate,
    in_the_loop,
    train,
)

DT = 1e-3
RULES = [BPTT(), SLTT(), SLTT(k=3), OTTT(), OTTT(update="tick"), OTTT(traces="source"), DSR()]
SETTINGS = {"epochs": 4, "batch_size": 8, "learning_rate": 0.01, "validation": 0, "progress": False, "schedule": None}


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclasses.dataclass
class Data:
    events: Events
    labels: np.ndarray


def data(seed=0, recordings=48):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, recordings)
    counts = random.random((recordings, 10, 6)) < 0.3
    counts[np.arange(recordings), :, labels] = 1
    return Data(Events.from_dense(counts.astype(int), DT), labels)


def network(**neuron):
    return Network(
        [
            Population("in", 6, sn.Input()),
            Population("hid", 8, sn.LIF(5e-3, **neuron)),
            Population("out", 3, sn.LI(2e-3)),
        ],
        [Projection("in", "hid", sn.Dense(sn.Kaiming(1.5))), Projection("hid", "out", sn.Dense(sn.Kaiming()))],
        dt=DT,
    )


def made(path="auto", **options):
    return TrainableNetwork(network(), dropout={"hid": 0.2}, path=path, **options)


def trained(rule, model=None, **more):
    model = model or made()
    return model, train(model, data(), rule=rule, **(SETTINGS | more))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_rule_learns(rule):
    model, history = trained(rule, epochs=12, learning_rate=0.03)
    assert history.loss[-1] < 0.8 * history.loss[0]
    assert evaluate(model, data()) > 0.7


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_checkpoint_goes_on_bit_for_bit(rule, optimiser, tmp_path):
    whole, history = trained(rule, optimiser=optimiser)
    path = tmp_path / "c.h5"
    trained(rule, optimiser=optimiser, epochs=2, checkpoint=path)
    model, resumed = trained(rule, optimiser=optimiser, resume=path)
    assert resumed.loss == history.loss
    for one, other in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)
    other_rule = OTTT(update="tick") if rule != OTTT(update="tick") else OTTT()
    with pytest.raises(ParameterError, match="rule: begun with"):
        trained(other_rule, optimiser=optimiser, resume=path)


def test_a_name_is_the_rule_with_its_defaults(tmp_path):
    path = tmp_path / "c.h5"
    for name, rule in (("bptt", BPTT()), ("sltt", SLTT()), ("ottt", OTTT()), ("dsr", DSR())):
        one, history = trained(name, checkpoint=path, epochs=2)
        other, again = trained(rule, epochs=2)
        assert history.loss == again.loss
        assert torch.equal(one.weights("in->hid"), other.weights("in->hid"))
        assert len(trained(rule, resume=path, epochs=3)[1]) == 3  # the same training to a checkpoint, too
        assert str(one.memory_report(20, 8, name)) == str(one.memory_report(20, 8, rule))


def test_what_is_no_rule_is_told_which_there_are():
    for wrong, message in (
        ("backprop", r"rule='backprop' is not known; allowed: .*'bptt'"),
        ("BPTT", "rule='BPTT' is not known"),
        (SLTT, "expected a rule such as SLTT"),
        (3, "rule=3: expected a rule"),
        (0, "rule=0: expected a rule"),
    ):
        with pytest.raises(ParameterError, match=message) as caught:
            trained(wrong)
        for name in ("bptt", "sltt", "ottt", "dsr", "eventprop"):
            assert repr(name) in str(caught.value)
        with pytest.raises(ParameterError, match=message):
            made().memory_report(5, 5, wrong)


def test_eventprop_has_a_name_and_trains_its_own_network_only():
    receptors = [sn.Exponential(5e-3)]
    net = Network(
        [
            Population("in", 6, sn.Input()),
            Population("hid", 8, sn.LIF(20e-3, reset="zero", receptors=receptors)),
            Population("out", 3, sn.LI(20e-3, receptors=receptors)),
        ],
        [Projection("in", "hid", sn.Dense(sn.Normal(0.5, 0.2))), Projection("hid", "out", sn.Dense(sn.Normal(0, 0.5)))],
        dt=DT,
    )
    losses = [
        train(EventPropNetwork(net), data(), rule=rule, **SETTINGS).loss for rule in ("eventprop", EventProp(), None)
    ]
    assert losses[0] == losses[1] == losses[2]
    for name in ("bptt", "sltt", "ottt", "dsr"):
        with pytest.raises(ParameterError, match=rf"{name.upper()} trains a TrainableNetwork, got EventPropNetwork"):
            train(EventPropNetwork(net), data(), rule=name, **SETTINGS)
    with pytest.raises(ParameterError, match="EventProp trains an EventPropNetwork"):
        trained("eventprop")
    with pytest.raises(CapabilityError, match="presynaptic: EventProp makes its gradients of spike times"):
        train(EventPropNetwork(net), data(), hooks=StepHooks(), **SETTINGS)


# -- hooks -----------------------------------------------------------------------------------------------


class Recorder(StepHooks):
    """Writes down what is called, and how often."""

    def __init__(self):
        self.calls, self.rows = [], {}

    def presynaptic(self, projection, activity, sent):
        assert not activity.requires_grad
        assert activity.shape == sent.shape
        self.rows[projection] = self.rows.get(projection, 0) + len(activity)
        self.calls.append("presynaptic")
        return activity

    def before_update(self, model):
        assert float(model.weights("in->hid").grad.abs().sum()) > 0
        self.kept = model.weights("in->hid").detach().clone()
        self.calls.append("before")

    def after_update(self, model):
        assert not torch.equal(self.kept, model.weights("in->hid"))
        self.calls.append("after")


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_hooks_that_only_look_change_nothing_and_see_every_step(rule, path):
    plain, history = trained(rule, made(path), epochs=1)
    hooks = Recorder()
    model, same = trained(rule, made(path), epochs=1, hooks=hooks)
    assert same.loss == pytest.approx(history.loss, rel=1e-5)
    torch.testing.assert_close(model.weights("in->hid"), plain.weights("in->hid"), rtol=1e-4, atol=1e-5)
    updates = 60 if rule.updates_within else 6
    assert hooks.calls.count("before") == hooks.calls.count("after") == updates
    order = [call for call in hooks.calls if call != "presynaptic"]
    assert order == ["before", "after"] * updates
    assert hooks.calls[0] == "presynaptic"
    ticks = {SLTT(k=3): 3, DSR(): 1}.get(rule, 10)
    assert hooks.rows == {"in->hid": 48 * ticks, "hid->out": 48 * (10 if rule == DSR() else ticks)}


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("rule", [one for one in RULES if not one.updates_within], ids=str)
def test_projected_activity_gives_the_projected_gradient(rule, path):
    """dL/dW of x - x H^T H is (1 - H^T H) dL/dW, whatever the rule; other layers do not notice."""
    random = np.random.default_rng(0)
    basis = torch.from_numpy(np.linalg.qr(random.normal(size=(6, 2)))[0].T.copy())
    given, labels = data().events, torch.from_numpy(data().labels)

    def step(presynaptic=None):
        model = made(path, dtype="float64")
        outcome = rule.step(model, given, labels, generator=model.generator(1), presynaptic=presynaptic)
        return outcome.loss, model.weights("in->hid").grad, model.weights("hid->out").grad

    def project(projection, activity, sent):
        return activity if projection != "in->hid" else activity - activity @ basis.t() @ basis

    (loss, full, top), (same, projected, unmoved) = step(), step(project)
    assert loss == same
    torch.testing.assert_close(projected, full - basis.t() @ (basis @ full), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(unmoved, top, rtol=1e-12, atol=1e-14)
    assert float((basis @ projected).abs().max()) < 1e-13 < float((basis @ full).abs().max())


@pytest.mark.parametrize("rule", [OTTT(), DSR()], ids=str)
def test_hooks_see_what_was_sent_beside_what_is_learned_from(rule):
    seen = {}

    def look(projection, activity, sent):
        seen.setdefault(projection, []).append((activity.clone(), sent.clone()))
        return activity

    given = data().events
    x = torch.from_numpy(given.to_dense(np.float64))
    model = TrainableNetwork(network(), dtype="float64", path="plain")
    rule.step(model, given, torch.from_numpy(data().labels), presynaptic=look)
    decay = np.exp(-DT / 5e-3)
    if rule == DSR():
        ((activity, sent),) = seen["in->hid"]
        weights = torch.from_numpy(decay ** np.arange(9, -1, -1))
        torch.testing.assert_close(activity, x.mean(1))
        torch.testing.assert_close(sent, torch.einsum("t,btn->bn", weights / weights.sum(), x))
        return
    trace = torch.zeros_like(x[:, 0])
    for tick, (activity, sent) in enumerate(seen["in->hid"]):
        trace = decay * trace + x[:, tick]
        assert torch.equal(sent, x[:, tick])
        torch.testing.assert_close(activity, trace)


def test_what_hooks_change_counts():
    class Frozen(StepHooks):
        def before_update(self, model):
            model.weights("in->hid").grad.zero_()

        def after_update(self, model):
            with torch.no_grad():
                model.weights("hid->out").copy_(self.first)

    hooks, model = Frozen(), made()
    first = {name: one.detach().clone() for name, one in model.named_parameters()}
    hooks.first = model.weights("hid->out").detach().clone()
    trained("sltt", model, epochs=1, hooks=hooks)
    for name, one in model.named_parameters():
        assert torch.equal(one, first[name]), name
    with pytest.raises(ParameterError, match="hooks=3: expected StepHooks"):
        trained("sltt", hooks=3)


def test_hooks_are_refused_where_no_activity_of_a_tick_is_learned_from():
    model = TrainableNetwork(network(), batch_norm=["hid"], batch_norm_over="sequence")
    with pytest.raises(CapabilityError, match="presynaptic: with delays or batch norm over the sequence"):
        trained("bptt", model, hooks=StepHooks())
    model = made()
    model.register_forward_hook(lambda *_: None)
    with pytest.raises(CapabilityError, match="BPTT: with forward or backward hooks"):
        trained("bptt", model, hooks=StepHooks())


@pytest.mark.parametrize("rule", ["ottt", "dsr"])
def test_a_chip_in_the_loop_is_refused_by_rules_that_would_pass_it_by(rule):
    model = made()
    with (
        in_the_loop(model, SoftwareFabric(model)),
        pytest.raises(CapabilityError, match=f"{rule.upper()} does not learn"),
    ):
        trained(rule, model)
    trained(rule, model, epochs=1)

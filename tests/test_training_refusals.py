"""Nothing wrong in silence: numbers that are not finite, labels of no class, layers that say nothing."""

import itertools
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    Dense,
    Events,
    Exponential,
    Input,
    Kaiming,
    Learnable,
    Network,
    Normal,
    Population,
    Projection,
    Simulation,
)
from snnsim.errors import CapabilityError, DataError, DivergenceError, ParameterError, ResourceError
from snnsim.zero_shot import LabelledFeatures

torch = pytest.importorskip("torch")

from snnsim.training import (
    BPTT,
    SLTT,
    ContrastiveProjection,
    EventProp,
    EventPropNetwork,
    PrototypeProjection,
    TrainableNetwork,
    evaluate,
    train,
)
from snnsim.training.contrastive.contrastive import contrastive_loss

DT = 1e-3
LABELS = torch.arange(6) % 3


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(kind="dense", dt=DT, **neuron):
    delay = Learnable(5 * DT) if kind == "delays" else 0.0
    hidden = LIF(6 * DT, **({"threshold": 0.5} | neuron))
    populations = [Population("in", 6, Input()), Population("hid", 8, hidden), Population("out", 3, LI(2 * DT))]
    projections = [
        Projection("in", "hid", Dense(Kaiming(1.5)), delay=delay),
        Projection("hid", "out", Dense(Kaiming(1.0)), delay=delay),
    ]
    return Network(populations, projections, dt=dt)


KINDS = {
    "fused": {},
    "plain": {"path": "plain", "learn": ("weights", "bias", "threshold", "time_constant")},
    "normed": {"batch_norm": ["hid"], "learn": ("weights", "bias")},
    "delays": {"learn": ("weights", "delays"), "batch_norm": ["hid"]},
    "delays, plain": {"learn": ("weights", "delays"), "path": "plain"},
    "fixed": {"learn": ("bias",)},
}


def made(kind="fused", **options):
    return TrainableNetwork(network("delays" if "delays" in kind else "dense"), **(KINDS[kind] | options))


def events(batch=6, ticks=7, seed=0, dt=DT):
    return Events.from_dense(np.random.default_rng(seed).random((batch, ticks, 6)) < 0.4, dt)


def data(count=30, seed=0, **options):
    return SimpleNamespace(events=events(count, seed=seed, **options), labels=np.arange(count) % 3)


RULES = (BPTT(), SLTT())


def entries(model, inputs):
    """Yield every way into a model."""
    yield "readout", lambda: model.readout(inputs)
    yield "call", lambda: model(inputs)
    yield "spikes", lambda: model.spikes(inputs)
    for rule in RULES if not model.whole_samples else RULES[:1]:
        yield repr(rule), lambda rule=rule: rule.step(model, inputs, LABELS)


# -- numbers that are not finite -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_inputs_that_are_not_finite_are_refused_with_their_place(kind, value):
    model = made(kind)
    for place in ((0, 0, 0), (4, 3, 2), (5, 6, 5)):
        x = torch.rand(6, 7, 6)
        x[place] = value
        sample, tick, source = place
        for name, call in entries(model, x):
            with pytest.raises(ParameterError) as caught:
                call()
            message = f"input of 'in': sample {sample}, tick {tick}, source {source} is {value}"
            assert message in str(caught.value), name
        with pytest.raises(ParameterError, match="input of 'in'"):
            evaluate(model, SimpleNamespace(events=x, labels=LABELS.numpy()))


def test_values_that_are_finite_are_taken_however_large_and_those_beyond_the_type_are_not():
    model = made(batch_norm=())
    x = torch.full((6, 7, 6), 2e38)  # whose sum is not finite
    x[0, 0, 0] = -2e38
    with torch.no_grad():
        for weights in (model.weights("in->hid"), model.weights("hid->out")):
            weights.zero_()
    assert torch.equal(model.readout(x), torch.zeros(6, 7, 3))
    wide = torch.zeros(6, 7, 6, dtype=torch.float64)
    wide[1, 2, 3] = 1e300
    with pytest.raises(ParameterError, match=r"sample 1, tick 2, source 3 is inf in torch\.float32"):
        model.readout(wide)


def holders(model):
    """Yield every tensor that a result depends on, with how messages call it."""
    for key, kept in model.kept.items():
        kind, _, name = key.partition(":")
        yield getattr(model, kept.attribute), f"{kind} of '{name}'"
    for name in ("weight", "bias", "running_mean", "running_variance") if "hid" in str(model) else ():
        yield getattr(model.norm("hid"), name), f"{name} of the batch norm of 'hid'"


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_with_a_number_that_is_not_finite_gives_no_answer(kind, value):
    count = len(list(holders(made(kind))))
    for i in range(count):
        model = made(kind)
        tensor, said = list(holders(model))[i]
        if value == math.inf and said.startswith(("delays", "time_constant", "threshold")):
            continue  # brought back to the end of its range, see below
        with torch.no_grad():
            tensor.view(-1)[-1] = value
        for name, call in [*entries(model, events()), ("evaluate", lambda model=model: evaluate(model, data()))]:
            with pytest.raises(ParameterError) as caught:
                call()
            assert said in str(caught.value), name
            assert "must be finite" in str(caught.value)
        rule = BPTT() if "delays" in kind else SLTT()
        with pytest.raises(ParameterError, match="epoch 1, minibatch 1"):
            train(model, data(), rule=rule, epochs=2, progress=False)


@pytest.mark.parametrize("kind", ["fused", "normed", "delays", "plain"])
def test_a_gradient_that_is_not_finite_is_named_with_epoch_and_minibatch(kind):
    names = [name for name, _ in made(kind).named_parameters()]
    for name in names:
        model, calls = made(kind), []

        def spoil(gradient, calls=calls):
            calls.append(1)
            return gradient * math.nan if len(calls) == 5 else gradient

        model.get_parameter(name).register_hook(spoil)
        before = None
        with pytest.raises(ParameterError) as caught:
            train(model, data(), rule=BPTT(), epochs=3, batch_size=10, validation=0, progress=False)
        assert f"epoch 2, minibatch 2: gradient of '{name}'" in str(caught.value)
        assert all(bool(p.isfinite().all()) for p in model.parameters()), before


def test_weights_that_a_step_makes_infinite_are_refused_at_once_and_after_the_last():
    for epochs in (1, 2):
        model = made()
        with pytest.raises(ParameterError, match=r"epoch 1.*weights.*must be finite"):
            train(
                model,
                data(10),
                rule=BPTT(),
                epochs=epochs,
                batch_size=10,
                validation=0,
                optimiser="sgd",
                learning_rate=3e38,
                weight_decay=1e3,
                progress=False,
            )


def test_states_that_are_not_finite_are_refused():
    model = made()
    _, state = model(events())
    state["hid"]["membrane"][2, 3] = math.nan
    with pytest.raises(ParameterError, match=r"state of 'hid', membrane: nan at \(2, 3\)"):
        model(events(), state)


def test_infinite_delays_act_as_the_longest():
    model, twin = made("delays"), made("delays")
    with torch.no_grad():
        model.delays("in->hid").fill_(math.inf)
        twin.delays("in->hid").fill_(4.0)
    assert torch.equal(model.readout(events()), twin.readout(events()))


# -- labels ----------------------------------------------------------------------------------------------


def eventprop(dtype="float32", weights=0.6):
    synapse = Exponential(5 * DT)
    net = Network(
        [
            Population("in", 6, Input()),
            Population("hid", 8, LIF(10 * DT, reset="zero", receptors=synapse)),
            Population("out", 3, LI(10 * DT, receptors=synapse)),
        ],
        [Projection("in", "hid", Dense(Normal(weights, 0.1))), Projection("hid", "out", Dense(Kaiming(1.0)))],
        dt=DT,
    )
    return EventPropNetwork(net, dtype=dtype)


STEPS = [
    ("BPTT", lambda labels: BPTT().step(made(), events(), labels)),
    ("BPTT, plain", lambda labels: BPTT().step(made("plain"), events(), labels)),
    ("BPTT, delays", lambda labels: BPTT().step(made("delays"), events(), labels)),
    ("SLTT", lambda labels: SLTT().step(made(), events(), labels)),
    ("SLTT, plain", lambda labels: SLTT().step(made("plain"), events(), labels)),
    ("EventProp", lambda labels: EventProp().step(eventprop(), events(), labels)),
]


@pytest.mark.parametrize("step", [step for _, step in STEPS], ids=[name for name, _ in STEPS])
def test_labels_are_classes(step):
    assert math.isfinite(step(LABELS).loss)
    for place, value in ((0, -100), (3, -1), (5, 3), (2, 2**40)):
        labels = LABELS.clone()
        labels[place] = value
        with pytest.raises(ParameterError, match=rf"labels: sample {place} has {value}; .* classes 0 \.\.\. 2"):
            step(labels)
    for labels in (
        LABELS.float(),
        LABELS.float() * math.nan,
        LABELS > 0,
        LABELS.int(),
        LABELS[:2],
        LABELS.numpy(),
        None,
    ):
        with pytest.raises(ParameterError, match="labels: expected a Tensor of int64"):
            step(labels)


# -- EventProp and pairs ---------------------------------------------------------------------------------


def test_eventprop_refuses_what_is_not_finite_or_says_nothing():
    for kind in ("weights", "delays"):
        model = eventprop()
        with torch.no_grad():
            getattr(model, kind)("in->hid")[1, 2] = math.nan
        for call in (
            lambda model=model: model.readout(events()),
            lambda model=model: model.spikes(events()),
            lambda model=model: EventProp().step(model, events(), LABELS),
            lambda model=model: evaluate(model, data()),
        ):
            with pytest.raises(ParameterError, match=rf"{kind} of 'in->hid': nan at \(1, 2\)"):
                call()
    model = eventprop()
    model.weights("in->hid").register_hook(lambda g: g * math.inf)
    with pytest.raises(ParameterError, match="epoch 1, minibatch 1: gradient of 'weights:in->hid'"):
        train(model, data(), epochs=1, progress=False)
    with pytest.warns(UserWarning, match=r"epoch 1 'hid' never fired"):
        train(eventprop(weights=-0.5), data(), epochs=2, progress=False)
    model.requires_grad_(False)
    with pytest.raises(ParameterError, match="nothing to learn"):
        EventProp().step(model, events(), LABELS)
    for wrong in (torch.rand(6, 7, 6), np.ones((6, 7, 6))):
        with pytest.raises(ParameterError, match="EventProp takes Events"):
            model.readout(wrong)


@pytest.mark.parametrize("kind", [ContrastiveProjection, PrototypeProjection])
def test_projections_of_pairs_refuse_what_is_not_finite_or_of_another_kind(kind):
    random = np.random.default_rng(0)
    sides = [LabelledFeatures(random.normal(size=(12, 4)), np.arange(12) % 3) for _ in range(2)]
    model = kind(4, 4, 5)
    model.fit(*sides, epochs=np.int64(2), batch_size=np.array(6), learning_rate=np.float32(0.01), seed=np.array(3))
    again = kind(np.int32(4), 4, np.array(5))
    again.fit(*sides, epochs=2, batch_size=6, learning_rate=float(np.float32(0.01)), seed=3)
    assert np.array_equal(model.scores(*sides), again.scores(*sides))
    features = torch.from_numpy(sides[0].values)
    assert torch.equal(model.project_queries(features.float()), model.project_queries(features.float().double()))
    for wrong, message in (
        (features * math.nan, "query features: nan"),
        (features[:, :3], r"expected a Tensor of shape \(recordings, 4\)"),
        (features.numpy(), "got ndarray"),
    ):
        with pytest.raises((DataError, ParameterError), match=message):
            model.project_queries(wrong)
    for labels in (LABELS.float(), LABELS[None], [0, 1]):
        with pytest.raises(ParameterError, match="labels: expected a Tensor of int64, one a pair"):
            model.loss(features[:6], features[:6], labels)
    with pytest.raises(CapabilityError, match="computes in float64"):
        model.float()
    with torch.no_grad():
        model.gallery_bias[1] = math.nan
    for call in (lambda: model.scores(*sides), lambda: model.fit(*sides, epochs=1)):
        with pytest.raises(ParameterError, match=r"gallery_bias: nan at \(1,\)"):
            call()


def test_a_learned_temperature_stays_above_its_lowest_in_a_loop_of_ones_own():
    model = ContrastiveProjection(4, 4, 5, temperature=0.02, learn_temperature=True)
    features = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.log_temperature.fill_(-30.0)
    loss = model.loss(features, features, LABELS)
    near = model.similarity(model.project_queries(features), model.project_gallery(features))
    assert loss.item() == pytest.approx(contrastive_loss(near, LABELS, 0.01, "label_aware").item(), rel=1e-12)
    assert model.current_temperature == pytest.approx(0.01)


# -- layers that say nothing -----------------------------------------------------------------------------


def deep(gain, count=4, kind="dense"):
    delay = Learnable(4 * DT) if kind == "delays" else 0.0
    populations = [Population("in", 6, Input())]
    populations += [Population(f"h{i}", 8, LIF(5 * DT)) for i in range(count)]
    populations += [Population("out", 3, LI(0.0))]
    names = [p.name for p in populations]
    projections = [Projection(a, b, Dense(gain), delay=delay) for a, b in itertools.pairwise(names)]
    return Network(populations, projections, dt=DT)


@pytest.mark.parametrize("kind", ["dense", "delays"])
@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("dropout", [None, {"h0": 0.3, "h1": 0.3}])
def test_layers_that_never_fire_are_named_once(kind, path, dropout):
    """The first layer gets events, the second a weight that cannot reach its threshold."""
    net = deep(0.3, kind=kind).replaced(projections=[])
    first = Projection("in", "h0", Dense(0.6), delay=net.projection("in->h0").delay)
    net = net.replaced(projections=[first])
    second = Projection("h0", "h1", Dense(-0.2), delay=net.projection("h0->h1").delay)
    net = net.replaced(projections=[second])
    rules = [BPTT()] if kind == "delays" else [BPTT(), SLTT(), SLTT(k=3, chunk=2)]
    for rule in rules:
        model = TrainableNetwork(net, path=path, dropout=dropout)
        with pytest.warns(UserWarning, match="never fired") as caught:
            train(model, data(), rule=rule, epochs=3, batch_size=10, progress=False)
        (warning,) = caught
        message = str(warning.message)
        assert "in epoch 1 'h1', 'h2', 'h3' never fired" in message
        assert "lower threshold" in message
        assert "beginning with 'h1'" in message
        assert warning.filename == __file__


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("dropout", [None, {"hid": 0.5}])
def test_layers_that_fire_always_are_named(path, dropout):
    model = TrainableNetwork(network(bias=5.0), path=path, dropout=dropout)
    with pytest.warns(UserWarning, match="all neurons of 'hid' fired at every tick"):
        train(model, data(), epochs=2, progress=False)


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_one_spike_in_an_epoch_is_word_enough(path):
    """A layer that fires once, and one that is silent for one tick of one neuron, are no reason to warn."""
    counts = np.zeros((30, 7, 6), int)
    counts[7, 2, 0] = 1
    one = SimpleNamespace(events=Events.from_dense(counts, DT), labels=np.arange(30) % 3)
    net = network(threshold=1.0).replaced(projections=[Projection("in", "hid", Dense(1.5))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(TrainableNetwork(net, path=path), one, epochs=1, batch_size=10, validation=0, progress=False)
    counts = np.ones((30, 7, 6), int)
    counts[7, 2] = 0
    most = SimpleNamespace(events=Events.from_dense(counts, DT), labels=np.arange(30) % 3)
    net = network(threshold=1.0).replaced(projections=[Projection("in", "hid", Dense(1.5))])
    net = net.replaced(populations=[Population("hid", 8, LIF(0.0))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(TrainableNetwork(net, path=path), most, epochs=1, batch_size=10, validation=0, progress=False)


@pytest.mark.parametrize("kind", ["fused", "plain", "delays", "delays, plain"])
def test_rates_of_a_step_are_those_of_the_spikes(kind):
    model = made(kind, batch_norm=())
    rule = BPTT() if "delays" in kind else SLTT(chunk=3)
    fired = model.train().spikes(events())["hid"] if "delays" not in kind else None
    outcome = rule.step(model, events(), LABELS)
    if fired is None:
        model.soft_delays = True
        fired = model.spikes(events())["hid"]
    assert outcome.rates == {"hid": pytest.approx(fired.ticks.size / (6 * fired.n_ticks * 8), rel=1e-12)}


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_membranes_that_mean_nothing_stop_training_and_evaluation_as_they_stop_backends(path):
    """From 2 / eps of the threshold on, here 1.7e7, nothing of it is left when it is subtracted."""
    events = Events.from_dense((np.random.default_rng(0).random((6, 8, 4)) < 0.4).astype(int), DT)
    given = SimpleNamespace(events=events, labels=np.arange(6) % 3)

    def model(bias, threshold=1.0):
        net = Network(
            [
                Population("in", 4, Input()),
                Population("hid", 5, LIF(4e-3, threshold, bias=bias)),
                Population("out", 3, LI(0.0)),
            ],
            [Projection("in", "hid", Dense(Kaiming())), Projection("hid", "out", Dense(Kaiming()))],
            dt=DT,
        )
        return TrainableNetwork(net, path=path)

    for one in (model(1e9), model(1e30), model(0.5, threshold=1e-30)):
        with pytest.raises(DivergenceError, match=r"population 'hid': the membrane of neuron \d in sample \d is"):
            evaluate(one, given)
        with pytest.raises(DivergenceError, match="'hid'"):
            one.scores(events)
        for rule in (BPTT(), SLTT()):
            with pytest.raises(DivergenceError, match="'hid'"):
                train(one, given, rule=rule, epochs=1, validation=0, progress=False)
        with pytest.raises(DivergenceError, match="'hid'"):
            Simulation(one.network()).run_samples(events)
    evaluate(model(0.5), given)


def test_a_network_that_has_no_room_is_refused_before_its_weights_are_drawn():
    populations = [Population("in", 10**6, Input()), Population("out", 10**6, LI())]
    with pytest.raises(ResourceError, match=r"TrainableNetwork needs 12 TB \(weights 12 TB\)"):
        TrainableNetwork(Network(populations, [Projection("in", "out", Dense(Kaiming()))], dt=DT))


@pytest.mark.parametrize("name", ["resume", "checkpoint"])
def test_what_is_no_path_is_said_so(name):
    events = Events.from_dense(np.ones((6, 4, 4), int), DT)
    given = SimpleNamespace(events=events, labels=np.arange(6) % 3)
    populations = [Population("in", 4, Input()), Population("out", 3, LI(0.0))]
    model = TrainableNetwork(Network(populations, [Projection("in", "out", Dense(Kaiming()))], dt=DT))
    with pytest.raises(ParameterError, match="path=3: expected a path"):
        train(model, given, epochs=1, progress=False, **{name: 3})

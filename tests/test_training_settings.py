"""Nothing wrong in silence: numbers that are not finite, labels of no class, layers that say nothing."""

import math
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
)
from snnsim.datasets import EventDataset, RandomShift
from snnsim.errors import NetworkError, ParameterError

torch = pytest.importorskip("torch")

from snnsim.training import (
    BPTT,
    SLTT,
    ATan,
    EventProp,
    EventPropNetwork,
    PerTickCrossEntropy,
    SoftwareFabric,
    TrainableNetwork,
    Triangle,
    evaluate,
    in_the_loop,
    noise_aware,
    train,
)
from snnsim.training.loop.train import stratified_split

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


# -- random numbers in a loop of one's own ---------------------------------------------------------------


def dropped(model):
    """Return what is random in a call of the readout: a model without noise gives the same at every call."""
    return model.readout(events()).detach()


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_dropout_is_new_at_every_call_and_the_same_from_the_same_seed(path):
    def run(seed, **options):
        model = made("fused", path=path, dropout={"hid": 0.5}, seed=seed, **options)
        return [dropped(model) for _ in range(4)]

    first, again, other = run(1), run(1), run(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    everything = [tuple(one.flatten().tolist()) for one in (*first, *other)]
    assert len(set(everything)) == 8
    quiet = made("fused", path=path, dropout={"hid": 0.5}).eval()
    assert torch.equal(dropped(quiet), dropped(quiet))


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_random_ticks_and_masks_are_new_at_every_step(path):
    def run(steps, model=None, optimiser=None):
        model = model or made("fused", path=path, dropout={"hid": 0.4}, dtype="float64")
        optimiser = optimiser or torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        seen = []
        for _ in range(steps):
            optimiser.zero_grad()
            SLTT(k=2).step(model, events(), LABELS)
            seen.append(model.weights("in->hid").grad.clone())
            optimiser.step()
        return model, optimiser, seen

    model, optimiser, seen = run(3)
    assert len({tuple(g.flatten().tolist()) for g in seen}) == 3
    whole = run(6)[2]
    assert all(torch.equal(a, b) for a, b in zip(seen, whole, strict=False))
    # Gone on from what was saved: bit for bit as without a break.
    later = made("fused", path=path, dropout={"hid": 0.4}, dtype="float64")
    later.load_state_dict(model.state_dict())
    steps = torch.optim.SGD(later.parameters(), 0.1, momentum=0.9)
    steps.load_state_dict(optimiser.state_dict())
    _, _, rest = run(3, later, steps)
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[3:], strict=True))


def test_random_ticks_differ_with_weights_that_do_not_move():
    """The ticks themselves: with the same weights every step would have the same gradient."""
    model = made(dtype="float64")
    seen = []
    for _ in range(5):
        x = torch.rand(6, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        SLTT(k=2).step(model, x, LABELS)
        seen.append(tuple((x.grad.abs().amax((0, 2)) > 0).tolist()))
    assert len(set(seen)) > 1
    model.eval()  # where dropout is off, ticks are drawn all the same
    assert [sum(one) for one in seen] == [2] * 5


def test_noise_on_weights_is_new_at_every_step_and_a_given_generator_decides():
    model = made()
    with noise_aware(model, 0.2):
        found = [model.readout(events()).detach() for _ in range(3)]
        assert not torch.equal(found[0], found[1])
        assert not torch.equal(found[1], found[2])
        before = int(model.draws)
        same = [model.readout(events(), generator=model.generator(5)).detach() for _ in range(2)]
        assert torch.equal(*same)
        assert int(model.draws) == before
    with in_the_loop(model, SoftwareFabric(model, read_noise=0.2)):
        found = [model.readout(events()).detach() for _ in range(2)]
    assert not torch.equal(*found)


def test_training_draws_what_it_drew_before():
    """Keyed by seed, epoch and minibatch, whatever was drawn in between."""
    histories = []
    for calls in (0, 3):
        model = made(dropout={"hid": 0.4})
        for _ in range(calls):
            model.readout(events())
        histories.append(train(model, data(), epochs=2, rule=SLTT(k=2), progress=False).loss)
    assert histories[0] == histories[1]


# -- settings --------------------------------------------------------------------------------------------

QUICK = {"epochs": 2, "batch_size": 10, "progress": False}


@pytest.mark.parametrize(
    ("name", "plain", "others"),
    [
        ("epochs", 2, [np.int64(2), np.uint8(2), np.array(2), torch.tensor(2)]),
        ("batch_size", 8, [np.int32(8), np.array(8), torch.tensor(8)]),
        ("seed", 3, [np.int64(3), np.array(3), torch.tensor(3)]),
        ("validation", 0.25, [np.float32(0.25), np.array(0.25), torch.tensor(0.25)]),
        ("learning_rate", 0.5, [np.float32(0.5), np.array(0.5), torch.tensor(0.5)]),
        ("weight_decay", 0.25, [np.float32(0.25), np.array(0.25)]),
        ("rule", SLTT(k=2, chunk=3), [SLTT(k=np.int64(2), chunk=np.array(3))]),
        (
            "loss",
            PerTickCrossEntropy(0.25),
            [PerTickCrossEntropy(np.float32(0.25)), PerTickCrossEntropy(np.array(0.25))],
        ),
    ],
)
def test_numbers_of_numpy_and_torch_are_numbers(name, plain, others):
    expected = train(made(), data(), **(QUICK | {name: plain}))
    for other in others:
        found = train(made(), data(), **(QUICK | {name: other}))
        assert (found.loss, found.validation_accuracy) == (expected.loss, expected.validation_accuracy), repr(other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1.5}, r"seed=1\.5: must be a whole number"),
        ({"seed": None}, "seed=None"),
        ({"seed": "7"}, "seed='7'"),
        ({"seed": True}, "seed=True"),
        ({"seed": [1]}, r"seed=\[1\]"),
        ({"epochs": 2.5}, r"epochs=2\.5"),
        ({"epochs": "2"}, "epochs='2'"),
        ({"epochs": np.array([2])}, "epochs="),
        ({"epochs": np.float64(math.nan)}, "epochs="),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": -1}, "batch_size=-1"),
        ({"learning_rate": "fast"}, "learning_rate='fast'"),
        ({"learning_rate": math.nan}, "learning_rate=nan"),
        ({"learning_rate": math.inf}, "learning_rate=inf"),
        ({"learning_rate": np.array([0.1])}, "learning_rate="),
        ({"learning_rate": [0.1]}, "learning_rate="),
        ({"learning_rate": True}, "learning_rate=True"),
        ({"weight_decay": -1.0}, r"weight_decay=-1\.0"),
        ({"delay_learning_rate": "x"}, "delay_learning_rate='x'"),
        ({"validation": "half"}, "validation='half'"),
        ({"validation": [0.1]}, "validation="),
        ({"validation": -0.1}, "validation="),
        ({"validation": math.nan}, "validation=nan"),
        ({"validation": (None, None)}, "validation="),
        ({"augment": 3}, "augment=3: expected a callable"),
        ({"optimiser": 3}, "optimiser=3"),
        ({"loss": 3}, "loss=3"),
        ({"loss": None}, "loss=None"),
        ({"rule": SLTT}, "rule="),
        ({"sharpening": None}, "sharpening=None"),
    ],
)
def test_settings_of_training_that_mean_nothing_are_named(options, message):
    with pytest.raises(ParameterError, match=message):
        train(made(), data(), **(QUICK | options))


def test_what_is_no_data_set_is_told_what_one_is():
    good = data()
    model, loader = made(), torch.utils.data.DataLoader([1, 2, 3])
    for wrong in ((good.events, good.labels), loader, good.events, None, np.ones(3)):
        with pytest.raises(ParameterError, match=r"train_set=.*expected an EventDataset"):
            train(model, wrong, **QUICK)
        with pytest.raises(ParameterError, match=r"data=.*expected an EventDataset"):
            evaluate(model, wrong)
    empty = SimpleNamespace(events=good.events[:0], labels=good.labels[:0])
    with pytest.raises(ParameterError, match="train_set: has no samples"):
        train(model, empty, **QUICK)
    with pytest.raises(ParameterError, match="validation: has no samples"):
        train(model, good, validation=empty, **QUICK)
    with pytest.raises(ParameterError, match="data: has no samples"):
        evaluate(model, empty)
    real = SimpleNamespace(events=torch.rand(30, 7, 6), labels=good.labels)
    with pytest.raises(ParameterError, match=r"events are a Tensor.*Frames of real values"):
        train(model, real, **QUICK)
    assert 0.0 <= evaluate(model, real) <= 1.0
    for labels in (good.labels.astype(float), good.labels[:-1], good.labels > 0, [None] * 30):
        with pytest.raises(ParameterError, match="train_set, labels"):
            train(model, SimpleNamespace(events=good.events, labels=labels), **QUICK)
    for low, high in ((-1, 1), (0, 3)):
        labels = np.where(np.arange(30) == 3, low if low < 0 else high, 0)
        with pytest.raises(NetworkError, match="validation: labels lie in"):
            train(model, good, validation=SimpleNamespace(events=good.events, labels=labels), **QUICK)
    with pytest.raises(ParameterError, match="expected a TrainableNetwork or an EventPropNetwork"):
        train(torch.nn.Linear(2, 2), good, **QUICK)
    # Data that do not fit are known before the first epoch, those to judge by too.
    narrow = SimpleNamespace(events=Events.from_dense(np.ones((30, 7, 5)), DT), labels=good.labels)
    with pytest.raises(NetworkError, match="has 5 sources, the population 6"):
        train(model, good, validation=narrow, **QUICK)


def test_batch_sizes_of_evaluation_are_checked_and_change_nothing():
    model, good = made(), data()
    for wrong in (-1, 0, 2.5, "8", None):
        with pytest.raises(ParameterError, match="batch_size="):
            evaluate(model, good, batch_size=wrong)
    assert len({evaluate(model, good, batch_size=size) for size in (1, 7, np.int64(30), 1000)}) == 1


def test_ticks_that_differ_by_rounding_are_the_same_and_others_are_shown_in_full():
    model = TrainableNetwork(network(dt=3e-4))
    assert 3 * 1e-4 != 3e-4
    model.readout(events(dt=3 * 1e-4))
    train(model, data(dt=3 * 1e-4), epochs=1, progress=False)
    with pytest.raises(ParameterError, match=r"ticks of 0\.00030001 s, the network has dt=0\.0003 s"):
        model.readout(events(dt=3.0001e-4))


def test_a_share_to_judge_by_is_taken_of_every_class():
    for sizes in ([5, 5, 5], [2, 9, 40], [1, 30, 3]):
        labels = np.repeat(np.arange(3), sizes)
        learn, held_out = stratified_split(labels, 0.1, seed=0)
        counts = np.bincount(labels[held_out], minlength=3)
        assert counts.tolist() == [max(round(0.1 * n), int(n > 1)) for n in sizes]
        assert np.array_equal(np.sort(np.concatenate([learn, held_out])), np.arange(labels.size))
        assert np.all(np.bincount(labels[learn], minlength=3) > 0)
    few = SimpleNamespace(events=events(15), labels=np.repeat(np.arange(3), 5))
    history = train(made(), few, epochs=2, progress=False)
    assert all(math.isfinite(x) for x in history.validation_accuracy)
    with pytest.raises(ParameterError, match="leaves one of the two parts empty; give a larger share"):
        stratified_split(np.repeat(np.arange(3), 5), 0.01, 0)
    with pytest.raises(ParameterError, match="leaves one of the two parts empty; give other recordings"):
        stratified_split(np.arange(15), 0.1, 0)
    assert stratified_split(np.arange(15), 0.0, 0)[1].size == 0


def test_networks_take_one_name_for_several_and_refuse_what_is_no_name():
    assert made(batch_norm="hid").plan.stage("hid").batch_norm
    assert made(batch_norm=("hid", "hid")).norm("hid")
    for options, message in (
        ({"batch_norm": 3}, "batch_norm=3: expected a name"),
        ({"batch_norm": [3]}, "batch_norm="),
        ({"batch_norm": None}, "batch_norm=None"),
        ({"learn": None}, "learn=None"),
        ({"learn": 3}, "learn=3"),
        ({"learn": ["weights", 3]}, "learn="),
        ({"dropout": 0.5}, r"dropout=0\.5: expected a dict"),
        ({"dropout": {"hid": "half"}}, "dropout of 'hid' is 'half'"),
        ({"dropout": {"hid": math.nan}}, "dropout of 'hid' is nan"),
        ({"dropout": {"hid": 1.0}}, "dropout of 'hid'"),
        ({"seed": 1.5}, r"seed=1\.5"),
        ({"seed": "x"}, "seed='x'"),
        ({"surrogate": Triangle}, "surrogate="),
    ):
        with pytest.raises(ParameterError, match=message):
            made(**options)
    assert made(dropout={"hid": np.float32(0.5)}, seed=np.array(4)).seed == 4
    populations = [Population("a", 3, Input()), Population("b.c", 3, LIF()), Population("b_c", 3, LI(0.0))]
    projections = [Projection("a", "b.c", Dense(1.0)), Projection("b.c", "b_c", Dense(1.0))]
    alike = Network(populations, projections, dt=DT)
    with pytest.raises(NetworkError, match="two parameters would be named"):
        TrainableNetwork(alike, batch_norm=["b.c", "b_c"])


def test_numbers_of_surrogates_losses_and_devices_are_checked():
    assert ATan(np.float32(2.0)) == ATan(2.0)
    for wrong in (
        lambda: ATan("steep"),
        lambda: Triangle(np.array([1.0])),
        lambda: PerTickCrossEntropy("half"),
        lambda: PerTickCrossEntropy(math.nan),
        lambda: BPTT(detach_reset="no"),
        lambda: BPTT(detach_reset=1),
        lambda: made()(events(), detach_reset="no"),
        lambda: evaluate(made(), data(), soft_delays="no"),
        lambda: train(made(), data(), epochs=1, progress="no"),
        lambda: made().spikes(events(), 3),
        lambda: made().spikes(events(), ["hid", "out"]),
        lambda: SLTT(k="2"),
        lambda: SLTT(chunk=True),
        lambda: EventProp(strength="x"),
        lambda: SoftwareFabric(made(), spread="x"),
        lambda: SoftwareFabric(made(), seed=1.5),
        lambda: noise_aware(made(), "much").__enter__(),
        lambda: EventPropNetwork(eventprop().plan.network, delay_scale="x"),
        lambda: setattr(made("delays"), "sharpness", "x"),
    ):
        with pytest.raises(ParameterError):
            wrong()


def two_ends():
    populations = [
        Population("in", 6, Input()),
        Population("hid", 8, LIF(6 * DT, threshold=0.5)),
        Population("a", 3, LI(0.0)),
        Population("side", 4, LIF(6 * DT, threshold=0.5)),
        Population("b", 2, LI(0.0)),
    ]
    ends = [("in", "hid"), ("hid", "a"), ("hid", "side"), ("side", "b")]
    return Network(populations, [Projection(*e, Dense(Kaiming(1.5))) for e in ends], dt=DT)


def test_of_two_outputs_one_is_named():
    with pytest.raises(NetworkError, match=r"ends: 'a', 'b'.*output=\.\.\."):
        TrainableNetwork(two_ends())
    model = TrainableNetwork(two_ends(), output="a", batch_norm=["hid"])
    assert {name for name, _ in model.named_parameters() if name.startswith("weights")} == {
        "weights:in->hid",
        "weights:hid->a",
    }
    train(model, data(), **QUICK)
    kept = {p.name: p.connectivity for p in two_ends().resolved().projections}
    learned = model.network()
    for name in ("hid->side", "side->b"):
        assert np.array_equal(learned.projection(name).connectivity.weights, kept[name].weights)
    assert not np.array_equal(learned.projection("hid->a").connectivity.weights, kept["hid->a"].weights)
    assert TrainableNetwork(two_ends(), output="b").plan.output.name == "b"
    for options, message in (
        ({"output": "in"}, "output='in': is an input"),
        ({"output": "a", "batch_norm": ["side"]}, "'side' does not lead to the output 'a'"),
    ):
        with pytest.raises(ParameterError, match=message):
            TrainableNetwork(two_ends(), **options)
    with pytest.raises(NetworkError, match="nothing"):
        TrainableNetwork(two_ends(), output="nothing")


def test_shifts_are_whole_pixels_of_a_sensor():
    given = Events.from_ticks([0], [10 * 34 + 10], n_sources=2312, dt=DT)
    one = RandomShift((2, 34, 34), np.int64(3))(given, np.arange(1), 0, 0)
    assert one == RandomShift(np.array([2, 34, 34]), 3)(given, np.arange(1), 0, 0)
    for shape, pixels, message in (
        ((2, 34, 34), 1.5, r"pixels=1\.5"),
        ((2, 34, 34), "2", "pixels='2'"),
        ((2, 34, 34), -1, "pixels=-1"),
        ((2, 34, 34), 34, r"pixels=34: must lie in 0 \.\.\. 33"),
        ((2, 34, 34), True, "pixels=True"),
        ((2, 34), 1, "sensor_shape="),
        (34, 1, "sensor_shape=34"),
        ("abc", 1, "sensor_shape='abc'"),
        ((2, 34.5, 34), 1, r"sensor_shape=34\.5"),
        ((2, 0, 34), 0, "sensor_shape=0"),
    ):
        with pytest.raises(ParameterError, match=message):
            RandomShift(shape, pixels)


def test_data_sets_of_the_library_are_taken():
    good = data()
    dataset = EventDataset(good.events, good.labels, ("a", "b", "c"), (6,), "x", "made up")
    assert train(made(), dataset, **QUICK).loss == train(made(), good, **QUICK).loss

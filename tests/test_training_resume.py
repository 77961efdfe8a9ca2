"""Checkpoints of a training: what must be the same to go on, state by name, and files of earlier runs."""

import dataclasses

import numpy as np
import pytest

import snnsim as sn
from snnsim import Events, Network, Population, Projection
from snnsim.errors import ParameterError

torch = pytest.importorskip("torch")

from snnsim.training import (
    BPTT,
    SLTT,
    ATan,
    EventProp,
    EventPropNetwork,
    TrainableNetwork,
    Triangle,
    train,
)
from snnsim.training.loop.checkpoint import Checkpoint, optimiser_state, restore_optimiser
from snnsim.training.loop.schedules import make_optimiser

DT = 1e-3


@dataclasses.dataclass
class Data:
    events: Events
    labels: np.ndarray


def data(seed=0, dt=DT, recordings=48):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, recordings)
    counts = (random.random((recordings, 10, 6)) < 0.3).astype(int)
    counts[np.arange(recordings), :, labels] = 1
    return Data(Events.from_dense(counts, dt), labels)


def network(tau=5e-3, delay=0.0, seed=0, dt=DT, hidden=8, out=None, scale=1.5, **neuron):
    return Network(
        [
            Population("in", 6, sn.Input()),
            Population("hid", hidden, sn.LIF(tau, **neuron)),
            Population("out", 3, out or sn.LI(0.0)),
        ],
        [
            Projection("in", "hid", sn.Dense(sn.Kaiming(scale)), delay=delay),
            Projection("hid", "out", sn.Dense(sn.Kaiming()), delay=delay),
        ],
        dt=dt,
        seed=seed,
    )


SETTINGS = {"epochs": 4, "batch_size": 8, "learning_rate": 0.01, "validation": 0, "progress": False}


def begun(path, model=None, given=None, **more):
    train(model or TrainableNetwork(network()), given or data(), checkpoint=path, **(SETTINGS | {"epochs": 2} | more))
    return path


CHANGES = {
    "time constant": (lambda: TrainableNetwork(network(tau=50e-3)), {}, "population 'hid': begun with"),
    "threshold": (lambda: TrainableNetwork(network(threshold=5.0)), {}, "population 'hid'"),
    "reset": (lambda: TrainableNetwork(network(reset="zero")), {}, "population 'hid'"),
    "readout": (lambda: TrainableNetwork(network(out=sn.LI(3e-3))), {}, "population 'out'"),
    "surrogate": (lambda: TrainableNetwork(network(), surrogate=ATan(5.0)), {}, r"surrogate: begun with Triangle"),
    "width": (lambda: TrainableNetwork(network(), surrogate=Triangle(2.0)), {}, r"surrogate: begun with Triangle"),
    "dropout": (lambda: TrainableNetwork(network(), dropout={"hid": 0.5}), {}, r"dropout: begun with \{\}, this call"),
    "batch norm": (lambda: TrainableNetwork(network(), batch_norm=["hid"]), {}, "parameters"),
    "path": (lambda: TrainableNetwork(network(), path="plain"), {}, "path: begun with 'fused', this call has 'plain'"),
    "precision": (lambda: TrainableNetwork(network(), dtype="float64"), {}, "dtype"),
    "learned": (lambda: TrainableNetwork(network(), learn=("weights", "bias")), {}, "parameters"),
    "delay": (lambda: TrainableNetwork(network(delay=2e-3)), {"rule": BPTT()}, "extension"),
    "recordings": (None, {"given": data(seed=5)}, "recordings of the training data"),
    "labels": (None, {"given": Data(data().events, (data().labels + 1) % 3)}, "labels of the training data"),
    "lengths": (
        None,
        {"given": Data(data().events.with_lengths(12), data().labels)},
        "recordings of the training data",
    ),
    "rule": (None, {"rule": SLTT(k=3)}, r"rule: begun with SLTT\(k=None, chunk=None\), this call has SLTT\(k=3"),
    "learning rate": (None, {"learning_rate": 0.02}, "learning_rate: begun with 0.01, this call has 0.02"),
    "seed": (None, {"seed": 1}, "seed: begun with 0, this call has 1"),
    "validation": (None, {"validation": data(seed=3)}, "validation: begun with 0.0"),
}


@pytest.mark.parametrize(("make", "more", "message"), CHANGES.values(), ids=CHANGES)
def test_another_training_is_refused_by_name(tmp_path, make, more, message):
    path = begun(tmp_path / "c.h5")
    before = path.read_bytes()
    model = TrainableNetwork(network()) if make is None else make()
    weights = model.weights("in->hid").detach().clone()
    more = dict(more)
    given = more.pop("given", data())
    with pytest.raises(ParameterError, match=r"c\.h5' is of another training: .*" + message):
        train(model, given, resume=path, **(SETTINGS | more))
    assert torch.equal(model.weights("in->hid"), weights)
    assert path.read_bytes() == before


def test_ticks_of_another_length_are_refused(tmp_path):
    path = begun(tmp_path / "c.h5")
    with pytest.raises(ParameterError, match=r"dt of the training data: begun with 0\.001 s, this call has 0\.002 s"):
        train(TrainableNetwork(network(dt=2e-3)), data(dt=2e-3), resume=path, **SETTINGS)


def test_what_does_not_differ_goes_on_bit_for_bit(tmp_path):
    """Other first weights do not matter: a checkpoint holds the ones that were learned."""
    whole = TrainableNetwork(network())
    history = train(whole, data(), **SETTINGS, schedule=None)
    path = begun(tmp_path / "c.h5", schedule=None)
    for first in (network(), network(seed=7), network(scale=0.3)):
        model = TrainableNetwork(first)
        assert train(model, data(), resume=path, **SETTINGS, schedule=None).loss == history.loss
        for one, other in zip(model.parameters(), whole.parameters(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("frozen", ["in->hid", "hid->out"])
def test_a_frozen_layer_is_named(tmp_path, frozen):
    path = begun(tmp_path / "c.h5", TrainableNetwork(network(hidden=4)))
    model = TrainableNetwork(network(hidden=4))
    model.weights(frozen).requires_grad_(False)
    with pytest.raises(ParameterError, match=rf"parameters: .*weights:{frozen} .*\(frozen\)"):
        train(model, data(), resume=path, **SETTINGS)


def test_a_training_with_a_frozen_layer_goes_on(tmp_path):
    def half():
        model = TrainableNetwork(network())
        model.weights("in->hid").requires_grad_(False)
        return model

    whole = half()
    history = train(whole, data(), **SETTINGS, schedule=None)
    path = begun(tmp_path / "c.h5", half(), schedule=None)
    model = half()
    assert train(model, data(), resume=path, **SETTINGS, schedule=None).loss == history.loss
    assert torch.equal(model.weights("hid->out"), whole.weights("hid->out"))


def test_the_optimiser_is_put_back_by_name():
    model, other = TrainableNetwork(network(hidden=6)), TrainableNetwork(network(hidden=6))
    steps = make_optimiser(model, "adam", 0.01, 0.0, 0.1)
    SLTT().step(model, data().events, torch.from_numpy(data().labels))
    steps.step()
    state = optimiser_state(model, steps)
    assert set(state) == {"weights:in->hid", "weights:hid->out"}
    other.weights("in->hid").requires_grad_(False)
    fewer = make_optimiser(other, "adam", 0.01, 0.0, 0.1)
    restore_optimiser(other, fewer, {"weights:hid->out": state["weights:hid->out"]})
    moved = fewer.state[other.weights("hid->out")]
    assert torch.equal(moved["exp_avg"], state["weights:hid->out"]["exp_avg"])
    with pytest.raises(ParameterError, match="the optimiser was begun with 'weights:in->hid', which is not trained"):
        restore_optimiser(other, fewer, state)
    wrong = {"weights:hid->out": {"exp_avg": torch.zeros(3, 2)}}
    with pytest.raises(ParameterError, match="begun with 'weights:hid->out'"):
        restore_optimiser(other, fewer, wrong)


def fixed(seed, maximum=8e-3):
    return TrainableNetwork(network(seed=seed, delay=sn.Learnable(maximum)), learn=("weights",))


def test_other_drawn_delays_are_refused(tmp_path):
    recipe = {"rule": BPTT(), "loss": "summed_readout"}
    path = begun(tmp_path / "c.h5", fixed(0), **recipe)
    with pytest.raises(ParameterError, match=r"fixed delays:in->hid: begun with [0-9a-f]{32}, this call has"):
        train(fixed(1), data(), resume=path, **SETTINGS, **recipe)
    assert len(train(fixed(0), data(), resume=path, **SETTINGS, **recipe)) == 4


def test_a_state_of_torch_holds_what_is_not_learned_too():
    one, other = fixed(0), fixed(1)
    assert not torch.equal(one.readout(data().events), other.readout(data().events))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.readout(data().events), other.readout(data().events))
    with pytest.raises(ParameterError, match=r"load_state_dict: delays of 'in->hid' go from \d to \d+, beyond what"):
        fixed(0, 2e-3).load_state_dict(fixed(0, 20e-3).state_dict())


def test_eventprop_is_held_to_its_network_too(tmp_path):
    def made(tau=20e-3, seed=0, learn=("weights", "delays")):
        receptors = [sn.Exponential(5e-3)]
        net = Network(
            [
                Population("in", 6, sn.Input()),
                Population("hid", 8, sn.LIF(tau, reset="zero", receptors=receptors)),
                Population("out", 3, sn.LI(20e-3, receptors=receptors)),
            ],
            [
                Projection("in", "hid", sn.Dense(sn.Normal(1.0, 0.8)), delay=sn.Uniform(1e-3, 4e-3)),
                Projection("hid", "out", sn.Dense(sn.Normal(0.0, 0.5)), delay=1e-3),
            ],
            dt=DT,
            seed=seed,
        )
        return EventPropNetwork(net, learn=learn)

    recipe = {"rule": EventProp(), **SETTINGS}
    path = tmp_path / "c.h5"
    train(made(), data(), checkpoint=path, **(recipe | {"epochs": 2}))
    with pytest.raises(ParameterError, match="population 'hid'"):
        train(made(tau=10e-3), data(), resume=path, **recipe)
    with pytest.raises(ParameterError, match="parameters"):
        train(made(learn=("weights",)), data(), resume=path, **recipe)
    assert len(train(made(), data(), resume=path, **recipe)) == 4


# -- files of earlier runs -------------------------------------------------------------------------------


class Fails:
    """An augmentation that ends the training in a minibatch."""

    def __init__(self, epoch, error):
        self.epoch, self.error = epoch, error

    def __repr__(self):
        return "Fails"

    def __call__(self, events, numbers, seed, epoch):
        if epoch == self.epoch:
            raise self.error
        return events


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_an_earlier_checkpoint_stays_until_an_epoch_is_done(tmp_path, error):
    path = begun(tmp_path / "c.h5")
    before = path.read_bytes()
    for settings in ({"learning_rate": -1.0}, {"loss": "none"}, {"augment": Fails(0, error)}):
        with pytest.raises((ParameterError, type(error))):
            train(TrainableNetwork(network(seed=1)), data(), checkpoint=path, **(SETTINGS | settings))
        assert path.read_bytes() == before
    with pytest.raises(type(error)):
        train(TrainableNetwork(network()), data(), checkpoint=path, **(SETTINGS | {"augment": Fails(1, error)}))
    assert Checkpoint.load(path).epoch == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.h5"]


def test_a_first_checkpoint_is_there_before_the_first_epoch(tmp_path):
    with pytest.raises(RuntimeError, match="broken"):
        train(
            TrainableNetwork(network()),
            data(),
            checkpoint=tmp_path / "c.h5",
            **(SETTINGS | {"augment": Fails(0, RuntimeError("broken"))}),
        )
    assert Checkpoint.load(tmp_path / "c.h5").epoch == 0
    assert (
        len(train(TrainableNetwork(network()), data(), resume=tmp_path / "c.h5", augment=Fails(9, None), **SETTINGS))
        == 4
    )


def test_a_training_that_goes_on_replaces_its_own_checkpoint(tmp_path):
    path = begun(tmp_path / "c.h5")
    train(TrainableNetwork(network()), data(), checkpoint=path, resume=path, **SETTINGS)
    assert Checkpoint.load(path).epoch == 4


def test_a_place_that_is_none_is_known_before_the_first_epoch(tmp_path):
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", tmp_path / "no" / "such" / "c.h5"):
        model = TrainableNetwork(network())
        weights = model.weights("in->hid").detach().clone()
        with pytest.raises(ParameterError, match=r"is a folder|there is no folder"):
            train(model, data(), checkpoint=place, **SETTINGS)
        assert torch.equal(model.weights("in->hid"), weights)


def test_fewer_epochs_than_are_done_are_refused(tmp_path):
    path = begun(tmp_path / "c.h5")
    done = Checkpoint.load(path).epoch
    assert done > 1
    with pytest.raises(ParameterError, match=rf"epochs=1: {done} are done in resume="):
        train(TrainableNetwork(network()), data(), **{**SETTINGS, "epochs": 1}, resume=path)


def test_silence_after_the_longest_recording_is_no_other_training(tmp_path):
    path = begun(tmp_path / "c.h5")
    given, longer = data(), data()
    events = given.events
    longer.events = Events(events.ticks, events.sources, events.offsets, 6, 25, DT, events.lengths)
    losses = [train(TrainableNetwork(network()), one, **SETTINGS, resume=path).loss for one in (given, longer)]
    assert losses[0] == losses[1]

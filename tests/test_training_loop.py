"""The training loop: learning, history, checkpoints that go on bit for bit."""

import os
import signal
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from snnsim import LI, LIF, Dense, Events, Input, Kaiming, Learnable, Network, Population, Projection, Simulation
from snnsim.errors import DataError, NetworkError, ParameterError

torch = pytest.importorskip("torch")

from snnsim.training import BPTT, SLTT, History, TrainableNetwork, evaluate, train
from snnsim.training.loop.schedules import cosine, make_optimiser, one_cycle, set_rates
from snnsim.training.loop.train import stratified_split

DT = 1e-3


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits(share=slice(None), ticks=6):
    """8x8 digits as events: a pixel of brightness p fires with probability p in each tick."""
    data = pytest.importorskip("sklearn.datasets").load_digits()
    random = np.random.default_rng(0)
    images = data.data[share] / 16.0
    counts = random.random((len(images), ticks, 64)) < images[:, None]
    return SimpleNamespace(events=Events.from_dense(counts, DT), labels=data.target[share].astype(np.int64))


def network(hidden=100, decay=0.5):
    populations = [
        Population("input", 64, Input()),
        Population("hidden", hidden, LIF(-DT / np.log(decay))),
        Population("out", 10, LI(0.0)),
    ]
    projections = [Projection("input", "hidden", Dense(Kaiming(1.2))), Projection("hidden", "out", Dense(Kaiming(0.6)))]
    return Network(populations, projections, dt=DT, seed=1)


QUICK = {"epochs": 6, "batch_size": 32, "progress": False, "learning_rate": 5e-3, "validation": 0.2}


@pytest.fixture(scope="module")
def small():
    return digits(slice(0, 160))


def trained(data, model=None, **options):
    model = model or TrainableNetwork(network(30), batch_norm=["hidden"], dropout={"hidden": 0.2})
    history = train(model, data, **(QUICK | options))
    return model, history


def assert_same(one, other):
    for name, tensor in one[0].state_dict().items():
        assert torch.equal(tensor, other[0].state_dict()[name]), name
    for name in ("loss", "train_accuracy", "validation_accuracy", "learning_rate"):
        assert getattr(one[1], name) == getattr(other[1], name), name


def test_sltt_learns_digits_as_well_as_bptt_and_runs_as_trained():
    data = digits()
    learn = SimpleNamespace(events=data.events[:1400], labels=data.labels[:1400])
    test = SimpleNamespace(events=data.events[1400:], labels=data.labels[1400:])
    accuracy = {}
    for name, rule in (("sltt", SLTT()), ("sltt2", SLTT(k=2)), ("bptt", BPTT())):
        model = TrainableNetwork(network())
        history = train(model, learn, rule=rule, epochs=8, batch_size=64, learning_rate=5e-3, progress=False)
        accuracy[name] = evaluate(model, test)
        assert len(history) == 8
        assert history.loss[-1] < 0.5 * history.loss[0]
    assert accuracy["bptt"] > 0.85
    assert accuracy["sltt"] >= accuracy["bptt"] - 0.02
    assert accuracy["sltt2"] >= accuracy["bptt"] - 0.03
    result = Simulation(model.network(), "reference").run_samples(test.events[:60])
    assert result.accuracy(test.labels[:60]) == evaluate(
        model, SimpleNamespace(events=test.events[:60], labels=test.labels[:60])
    )


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("rule", [SLTT(k=3), BPTT()], ids=str)
def test_resumed_training_is_that_without_a_break_bit_for_bit(small, tmp_path, optimiser, rule):
    options = {"rule": rule, "optimiser": optimiser, "schedule": None}
    straight = trained(small, **options)
    trained(small, **options, epochs=3, checkpoint=tmp_path / "a.h5")
    resumed = trained(small, **options, resume=tmp_path / "a.h5", checkpoint=tmp_path / "a.h5")
    assert_same(straight, resumed)
    assert len(resumed[1]) == 6


def test_interrupted_training_leaves_a_checkpoint_and_goes_on(small, tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    straight = trained(small)
    batches = -(-stratified_split(small.labels, 0.2, 0)[0].size // 32)
    calls = []
    step, handler = SLTT.step, signal.getsignal(signal.SIGINT)

    def interrupting(self, *arguments, **keywords):
        calls.append(1)
        if len(calls) == 14:  # in the middle of an epoch
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *arguments, **keywords)

    monkeypatch.setattr(SLTT, "step", interrupting)
    with pytest.raises(KeyboardInterrupt):
        trained(small, checkpoint=path)
    assert len(calls) == 14
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.undo()
    with h5py.File(path) as file:
        assert file.attrs["kind"] == "snnsim.training"
        assert file.attrs["epoch"] == 13 // batches > 0
    assert_same(straight, trained(small, resume=path))


def test_the_best_epoch_on_validation_data_is_kept(small):
    model, history = trained(small, epochs=5)
    learn, held_out = stratified_split(small.labels, 0.2, 0)
    part = SimpleNamespace(events=small.events[held_out], labels=small.labels[held_out])
    assert (
        evaluate(model, part) == max(history.validation_accuracy) == history.validation_accuracy[history.best_epoch - 1]
    )
    assert np.intersect1d(learn, held_out).size == 0
    assert np.array_equal(np.sort(np.concatenate([learn, held_out])), np.arange(160))
    counts = np.bincount(small.labels[held_out], minlength=10) / np.bincount(small.labels)
    assert np.all(np.abs(counts - 0.2) < 0.07)


def test_without_validation_the_last_epoch_is_kept(small):
    _, history = trained(small, epochs=2, validation=0.0)
    assert np.all(np.isnan(history.validation_accuracy))
    assert history.best_epoch == 2


def test_history_is_a_table_and_a_file(small, tmp_path):
    _, history = trained(small, epochs=2)
    text = str(history)
    assert "validation" in text
    assert len(text.splitlines()) == 5
    history.save(tmp_path / "history.h5")
    assert History.load(tmp_path / "history.h5") == history
    assert history.learning_rate == [5e-3, pytest.approx(2.5e-3)]


def test_seeds_decide_everything(small):
    assert_same(trained(small, epochs=2), trained(small, epochs=2))
    one, other = trained(small, epochs=2), trained(small, epochs=2, seed=1)
    assert one[1].loss != other[1].loss


def test_augmentation_gets_the_numbers_of_the_recordings(small):
    seen = []

    def augment(events, recordings, seed, epoch):
        assert events == small.events[recordings]
        seen.append((epoch, recordings))
        return events

    plain, changed = trained(small, epochs=2), trained(small, epochs=2, augment=augment)
    assert plain[1].loss == changed[1].loss
    first = np.concatenate([numbers for epoch, numbers in seen if epoch == 0])
    second = np.concatenate([numbers for epoch, numbers in seen if epoch == 1])
    assert np.array_equal(np.sort(first), np.sort(second))
    assert not np.array_equal(first, second)


def test_a_damaged_or_foreign_checkpoint_is_a_clear_error(small, tmp_path):
    path = tmp_path / "run.h5"
    trained(small, epochs=1, checkpoint=path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut short") as caught:
        trained(small, resume=path)
    assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    with pytest.raises(ParameterError, match="batch_size: begun with 32, this call has 16"):
        trained(small, resume=path, batch_size=16)
    with pytest.raises(ParameterError, match="rule: begun with SLTT"):
        trained(small, resume=path, rule=BPTT())
    with pytest.raises(DataError, match="no such file"):
        trained(small, resume=tmp_path / "nothing.h5")
    small.events.save(tmp_path / "events.h5")
    with pytest.raises(DataError, match=r"expected a file of kind 'snnsim\.training'"):
        trained(small, resume=tmp_path / "events.h5")
    with h5py.File(path, "a") as file:
        del file["model/0000"].attrs["name"]
    with pytest.raises(DataError, match="damaged"):
        trained(small, resume=path)


def test_wrong_settings_are_named(small):
    for options, message in (
        ({"optimiser": "lion"}, "optimiser='lion'"),
        ({"schedule": "steps"}, "schedule='steps'"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"validation": 1.0}, "validation=1.0"),
        ({"validation": 0.001}, "leaves one of the two parts empty"),
        ({"rule": "hebbian"}, "rule='hebbian'"),
        ({"loss": "summed_readout"}, "couples all ticks"),
        ({"model": TrainableNetwork(network(), learn=())}, "no parameters"),
    ):
        with pytest.raises(ParameterError, match=message):
            trained(small, **options)
    with pytest.raises(NetworkError, match="the readout has 10 neurons"):
        trained(SimpleNamespace(events=small.events, labels=small.labels + 5))
    with pytest.raises(ParameterError, match="expected whole numbers"):
        trained(SimpleNamespace(events=small.events, labels=small.labels[:3]))


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples(small):
    """Batches of different sizes, weights that do not move: the same as all samples at once."""
    part = SimpleNamespace(events=small.events[:23], labels=small.labels[:23])
    model = TrainableNetwork(network(30), dtype="float64")
    options = {"batch_size": 10, "learning_rate": 1e-300, "optimiser": "sgd", "validation": 0, "epochs": 1}
    history = train(model, part, progress=False, **options)
    whole = SLTT().step(model, part.events, torch.from_numpy(part.labels))
    assert history.loss[0] == pytest.approx(whole.loss, rel=1e-12)
    assert history.train_accuracy[0] == whole.correct(torch.from_numpy(part.labels)) / 23


def test_every_minibatch_of_every_epoch_has_random_numbers_of_its_own(small, monkeypatch):
    seeds, step = [], SLTT.step

    def noting(self, model, inputs, labels, loss, generator):
        seeds.append(generator.initial_seed())
        return step(self, model, inputs, labels, loss, generator)

    monkeypatch.setattr(SLTT, "step", noting)
    trained(small, epochs=3)
    first = list(seeds)
    assert len(set(first)) == len(first) == 3 * 5
    trained(small, epochs=3)
    assert seeds == first * 2
    trained(small, epochs=3, seed=1)
    assert not set(seeds[30:]) & set(first)


def test_optimisers_have_the_groups_and_rates_that_are_documented():
    """Decay of weights alone where samples are computed whole; delays have a rate of their own, along a cosine."""
    populations = [Population("a", 3, Input()), Population("b", 4, LIF(5e-3)), Population("c", 2, LI(5e-3))]
    projections = [
        Projection("a", "b", Dense(1.0), delay=Learnable(5e-3)),
        Projection("b", "c", Dense(1.0)),
    ]
    delayed = Network(populations, projections, dt=DT)
    model = TrainableNetwork(delayed, learn=("weights", "delays", "bias"), batch_norm=["b"])
    names = {id(p): name for name, p in model.named_parameters()}
    for kind in ("adam", "sgd"):
        steps = make_optimiser(model, kind, 0.1, 0.01, 0.5)
        found = {
            names[id(p)]: (group["highest"], group["weight_decay"])
            for group in steps.param_groups
            for p in group["params"]
        }
        assert found.pop("delays:a->b") == (0.5, 0.0)
        assert found == {
            name: (0.1, 0.01 if name.startswith("weights") else 0.0) for name in names.values() if name in found
        }
        assert len(found) == len(names) - 1
        assert all(group.get("momentum", 0.9) == 0.9 for group in steps.param_groups)
        for schedule in (None, "cosine", "one_cycle"):
            for epoch in range(7):
                share = {None: 1.0, "cosine": cosine(epoch, 7), "one_cycle": one_cycle(epoch, 7)}[schedule]
                assert set_rates(steps, schedule, epoch, 7) == pytest.approx(0.1 * share, rel=1e-12)
                for group in steps.param_groups:
                    wanted = 0.5 * cosine(epoch, 7) if group["moves_delays"] else 0.1 * share
                    assert group["lr"] == pytest.approx(wanted, rel=1e-12)
    plain = TrainableNetwork(network(30), learn=("weights", "bias"), batch_norm=["hidden"])
    assert {group["weight_decay"] for group in make_optimiser(plain, "adam", 0.1, 0.01, 0.5).param_groups} == {0.01}

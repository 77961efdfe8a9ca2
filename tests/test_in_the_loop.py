"""Training with a chip in the loop: exact gradients, devices that die, noise that is learned with."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    AdaptiveLIF,
    Conv2d,
    Dense,
    Events,
    FixedProbability,
    Input,
    Kaiming,
    Network,
    Normal,
    Population,
    Projection,
    SumPool2d,
)
from snnsim.backends.crossbar import Chip as SimulatedChip
from snnsim.backends.crossbar import ChipFabric, Mapping
from snnsim.backends.crossbar.loop import DeviceServer, Recorder, Replay, Status, TcpDevice
from snnsim.errors import CapabilityError, DeviceError, NetworkError, ParameterError
from snnsim.numerics import rng

torch = pytest.importorskip("torch")

from snnsim.training import (
    BPTT,
    SLTT,
    Fabric,
    SoftwareFabric,
    TrainableNetwork,
    evaluate,
    in_the_loop,
    noise_aware,
    programming_noise,
    train,
)
from snnsim.training.compute.call import Call

DT = 1e-3


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from a second thread, and wait for it where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits(share=slice(None), ticks=5):
    """8x8 digits as events: a pixel of brightness p fires with probability p in each tick."""
    data = pytest.importorskip("sklearn.datasets").load_digits()
    random = np.random.default_rng(0)
    images = data.data[share] / 16.0
    counts = (random.random((len(images), ticks, 64)) < 0.6 * images[:, None]).astype(np.int64)
    counts[:, 0, 3] *= 2  # two spikes of a source in a tick
    return SimpleNamespace(events=Events.from_dense(counts, DT), labels=data.target[share].astype(np.int64))


def dense(hidden=30, rule=None, seed=1, neuron=None):
    populations = [
        Population("input", 64, Input()),
        Population("hidden", hidden, neuron or LIF(2e-3)),
        Population("out", 10, LI(0.0)),
    ]
    projections = [
        Projection("input", "hidden", rule or Dense(Kaiming(1.2))),
        Projection("hidden", "out", Dense(Kaiming(0.6))),
    ]
    return Network(populations, projections, dt=DT, seed=seed)


def convolution():
    populations = [
        Population("input", (1, 8, 8), Input()),
        Population("maps", (3, 8, 8), LIF(2e-3)),
        Population("pooled", (3, 4, 4), LIF(2e-3, threshold=0.6)),
        Population("out", 10, LI(0.0)),
    ]
    projections = [
        Projection("input", "maps", Conv2d(Kaiming(2.0), kernel=3, padding=1)),
        Projection("maps", "pooled", SumPool2d(2, weights=0.3)),
        Projection("pooled", "out", Dense(Kaiming(0.6))),
    ]
    return Network(populations, projections, dt=DT, seed=1)


@pytest.fixture(scope="module")
def small():
    return digits(slice(0, 120))


MODELS = {
    "dense": lambda **o: TrainableNetwork(dense(), batch_norm=["hidden"], dropout={"hidden": 0.25}, **o),
    "sparse": lambda **o: TrainableNetwork(
        dense(rule=FixedProbability(0.3, Normal(0.1, 0.3))), ("weights", "bias"), **o
    ),
    "convolution": lambda **o: TrainableNetwork(convolution(), batch_norm=["maps"], **o),
    "adaptive": lambda **o: TrainableNetwork(dense(neuron=AdaptiveLIF(4e-3)), ("weights", "threshold"), **o),
}


def gradients(model, data, rule, fabric=None):
    model.zero_grad()
    labels = torch.from_numpy(data.labels[:16])
    loss = {} if isinstance(rule, SLTT) else {"loss": "summed_readout"}
    if fabric is None:
        outcome = rule.step(model, data.events[:16], labels, generator=model.generator(3), **loss)
    else:
        with in_the_loop(model, fabric) as chip:
            outcome = rule.step(model, data.events[:16], labels, generator=model.generator(3), **loss)
        assert chip.programmings == 1
        assert chip.vectors == 16 * 5 * len(chip.names)
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    return outcome.loss, found, {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("rule", [SLTT(), SLTT(k=2), SLTT(chunk=2), BPTT()], ids=repr)
@pytest.mark.parametrize("kind", MODELS)
def test_an_exact_fabric_gives_the_ordinary_gradients(kind, rule, small):
    """With weights that are few bits long, no sum is rounded, and every bit is the same."""

    def model():
        made = MODELS[kind](dtype="float32")
        with torch.no_grad():
            for name, link in made.links.items():
                if link.has_weights:
                    weights = made.weights(name)
                    weights.copy_(torch.round(weights * 64) / 64)
        return made

    plain, looped = model(), model()
    one = gradients(plain, small, rule)
    other = gradients(looped, small, rule, SoftwareFabric(looped))
    assert any(bool(g.abs().sum() > 0) for g in one[1].values())
    for name, tensor in one[2].items():  # running statistics too
        torch.testing.assert_close(other[2][name], tensor, rtol=1e-6, atol=1e-7)
    # Dropout scales by 4/3 before the sum, or after it.
    exact = kind != "dense"
    for name, gradient in one[1].items():
        if exact:
            assert torch.equal(other[1][name], gradient), name
        else:
            torch.testing.assert_close(other[1][name], gradient, rtol=1e-4, atol=1e-6)


class Through:
    """A matrix that forwards with other weights than it goes back with, for autograd."""

    def __init__(self, clean, used):
        self.clean, self.used = clean, used

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        values, self = arguments
        out = values @ self.clean
        return out + (values @ self.used - out).detach()


@pytest.mark.parametrize("rule", [SLTT(), BPTT()], ids=repr)
def test_the_way_back_is_that_of_the_description(rule, small, monkeypatch):
    """Forward with the chip's weights, back with ours: held to autograd on the plain path."""
    looped = TrainableNetwork(dense(), dtype="float64")
    fabric = SoftwareFabric(looped, spread=0.4, seed=5)
    found = gradients(looped, small, rule, fabric)
    plain = TrainableNetwork(dense(), dtype="float64", path="plain")
    ordinary = Call.weights

    def through(call):
        return {
            name: Through(w, w.detach() * torch.from_numpy(fabric.gains(name, tuple(w.shape))))
            for name, w in ordinary(call).items()
        }

    plain.memory_report(5, 16, rule)  # runs a tick, before the weights are exchanged
    plain.memory_report = lambda *_: SimpleNamespace(require=lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(Call, "weights", through)
        expected = gradients(plain, small, rule)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-10, atol=1e-14)
    assert found[0] != pytest.approx(gradients(TrainableNetwork(dense(), dtype="float64"), small, rule)[0], rel=1e-3)


def test_evaluation_and_spikes_are_those_of_the_chip(small):
    model = TrainableNetwork(dense())
    software, spikes = model.readout(small.events), model.spikes(small.events)["hidden"]
    with in_the_loop(model, SoftwareFabric(model, spread=0.5)) as chip:
        on_chip = model.readout(small.events)
        assert not torch.equal(on_chip, software)
        assert len(model.spikes(small.events)["hidden"].sources) != len(spikes.sources)
        assert torch.equal(model.readout(small.events), on_chip)
        assert chip.programmings == 1  # the weights are what they were
    assert model.chip is None
    assert torch.equal(model.readout(small.events), software)
    # Of two projections one on the chip; real values that are whole numbers are spikes.
    with in_the_loop(model, SoftwareFabric(model, ["input->hidden"])) as chip:
        values = torch.from_numpy(small.events.to_dense().astype(np.float32))
        torch.testing.assert_close(model.readout(values), software, rtol=1e-4, atol=1e-5)
        assert chip.names == ("input->hidden",)


@pytest.mark.parametrize("ticks", [1, 2, 3])
def test_noise_of_reading_does_not_depend_on_how_ticks_are_cut(small, monkeypatch, ticks):
    """The noise of a vector belongs to its sample and tick; no two are the same."""
    model = TrainableNetwork(dense(), dtype="float64").eval()
    silent = Events.from_dense(np.ones((2, 5, 64)), small.events.dt)
    with in_the_loop(model, SoftwareFabric(model, ["input->hidden"], read_noise=0.3)):
        whole = model.readout(small.events)
        monkeypatch.setattr("snnsim.training.fused.chunks.chunk_ticks", lambda *_: ticks)
        model.chip.restore({})
        assert torch.equal(model.readout(small.events), whole)
        seen, drive = [], model.chip.fabric.drive
        model.chip.fabric.drive = lambda *given: seen.append(drive(*given)) or seen[-1]
        model.readout(silent)
    rows = np.concatenate(seen)
    assert rows.shape[0] == 2 * 5
    assert len(np.unique(rows[:, 0])) == 10


@pytest.mark.parametrize("active", [1, 4, 25, 64])
def test_noise_of_reading_grows_with_the_root_of_the_rows_that_are_on(active):
    """Each cell adds a normal number of `read_noise` times the largest weight by size."""
    model = TrainableNetwork(dense(), dtype="float64")
    exact, noisy = SoftwareFabric(model, ["input->hidden"]), SoftwareFabric(model, ["input->hidden"], read_noise=0.2)
    weights = {"input->hidden": model.weights("input->hidden").detach().numpy()}
    begin = np.arange(400, dtype=np.int64) * active
    lists = begin, begin + active, np.tile(np.arange(active), 400)
    drives = []
    for fabric in (exact, noisy):
        fabric.program(weights)
        drives.append(fabric.drive("input->hidden", *lists, np.arange(400, dtype=np.uint64)))
    noise = drives[1] - drives[0]
    wanted = 0.2 * np.abs(weights["input->hidden"]).max() * np.sqrt(active)
    assert noise.std() == pytest.approx(wanted, rel=0.03)
    assert abs(noise.mean()) < 4 * wanted / np.sqrt(noise.size)


QUICK = {"epochs": 2, "batch_size": 20, "progress": False, "learning_rate": 5e-3, "validation": 0.2}


class Dying(SoftwareFabric):
    """Fails at one of its calls, and at all that follow."""

    def __init__(self, *arguments, at=None, **options):
        super().__init__(*arguments, **options)
        self.calls, self.at, self.programmings = 0, at, 0

    def _live(self):
        self.calls += 1
        if self.at is not None and self.calls >= self.at:
            raise DeviceError("no answer from the chip", kind="timeout")

    def program(self, weights):
        self._live()
        self.programmings += 1
        super().program(weights)

    def drive(self, *arguments):
        self._live()
        return super().drive(*arguments)


def model_with_all():
    return TrainableNetwork(dense(), batch_norm=["hidden"], dropout={"hidden": 0.2})


def looped(data, at=None, program_every=1, model=None, **options):
    model = model or model_with_all()
    fabric = Dying(model, spread=0.3, read_noise=0.05, seed=2, at=at)
    with in_the_loop(model, fabric, program_every=program_every):
        history = train(model, data, **(QUICK | options))
    return model, history, fabric


def assert_same(one, other):
    for name, tensor in one[0].state_dict().items():
        assert torch.equal(tensor, other[0].state_dict()[name]), name
    for name in ("loss", "train_accuracy", "validation_accuracy", "learning_rate"):
        assert getattr(one[1], name) == getattr(other[1], name), name


@pytest.mark.parametrize("program_every", [1, 3])
def test_a_device_that_dies_costs_no_finished_work(small, tmp_path, program_every):
    """Wherever it dies, what was finished is kept, and going on gives the same bits."""
    whole = looped(small, program_every=program_every)
    calls = whole[2].calls
    assert whole[2].programmings == {1: 11, 3: 5}[program_every]  # a validation leaves the weights of the next step
    # In programming, in reading, in the last call of an epoch, in a validation, in the last call of all.
    for at in (1, 6, calls // 2 - 1, calls // 2, calls // 2 + 1, calls - 1, calls):
        path = str(tmp_path / f"{at}.h5")
        with pytest.raises(DeviceError, match=r"failed in epoch [12], after \d of 5 minibatches: no answer") as caught:
            looped(small, at=at, program_every=program_every, checkpoint=path)
        assert f"resume={path!r}" in str(caught.value)
        assert caught.value.kind == "timeout"
        again = looped(small, program_every=program_every, checkpoint=path, resume=path)
        assert_same(whole, again)
        # Nothing but the minibatch at work is computed twice; the chip is programmed once more.
        assert again[2].calls <= calls - at + 8


def test_a_device_that_dies_twice(small, tmp_path):
    whole, path = looped(small), tmp_path / "twice.h5"
    with pytest.raises(DeviceError, match="epoch 1, after 2 of"):
        looped(small, at=9, checkpoint=path)
    with pytest.raises(DeviceError, match="epoch 1, after 4 of"):
        looped(small, at=8, checkpoint=path, resume=path)
    with pytest.raises(DeviceError, match="epoch 1, after 4 of"):  # at once
        looped(small, at=1, checkpoint=path, resume=path)
    assert_same(whole, looped(small, resume=path))


def test_without_a_checkpoint_the_weights_stay(small):
    model, twin = model_with_all(), model_with_all()
    with pytest.raises(DeviceError, match=r"after 2 of 5 minibatches.*checkpoint=FILE"):
        looped(small, at=8, model=model)
    with pytest.raises(DeviceError, match="after 2 of 5 minibatches"):
        looped(small, at=9, model=twin)  # one call later, in the middle of a step that has moved running statistics
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name]), name
    assert not torch.equal(model.weights("hidden->out"), model_with_all().weights("hidden->out"))


def test_going_on_takes_the_same_settings(small, tmp_path):
    path = tmp_path / "chip.h5"
    looped(small, checkpoint=path, epochs=1)
    with pytest.raises(ParameterError, match=r"chip: begun with OnChip\(.*program_every=1\), this call has nothing"):
        train(model_with_all(), small, **QUICK, resume=path)
    with pytest.raises(ParameterError, match=r"program_every=1\), this call has .*program_every=2"):
        looped(small, program_every=2, resume=path)
    model = model_with_all()
    other = SoftwareFabric(model, spread=0.3, read_noise=0.05, seed=4)
    differ = r"seed=2\); program_every=1\), this call has .*seed=4\); program"
    with pytest.raises(ParameterError, match=differ), in_the_loop(model, other):
        train(model, small, **QUICK, resume=path)
    model = model_with_all()
    with noise_aware(model, 0.1):
        train(model, small, **(QUICK | {"epochs": 1}), checkpoint=path)
        train(model, small, **QUICK, resume=path)
    with pytest.raises(ParameterError, match=r"weight_noise: begun with WeightNoise\(0.1"):
        train(model_with_all(), small, **QUICK, resume=path)


def test_another_chip_or_mapping_does_not_go_on_with_a_training_in_the_loop(small, tmp_path):
    path = tmp_path / "chip.h5"

    def on_chip(seed, mapping, **options):
        model = model_with_all()
        with in_the_loop(model, ChipFabric(model.network(), SimulatedChip(seed=seed), mapping)):
            return model, train(model, small, **(QUICK | options))

    whole = on_chip(1, Mapping(clip=99))
    on_chip(1, Mapping(clip=99), epochs=1, checkpoint=path)
    for seed, mapping in ((2, Mapping(clip=99)), (1, Mapping(clip=98))):
        with pytest.raises(ParameterError, match=r"chip: begun with OnChip\(.*ChipFabric\(.*, this call has OnChip\("):
            on_chip(seed, mapping, resume=path)
    assert_same(whole, on_chip(1, Mapping(clip=99), resume=path))


# -- over a socket -----------------------------------------------------------------------------------------


class Chip:
    """Conductances in memory; noise of reading by key."""

    def __init__(self, rows=64, columns=60, tiles=2):
        self.shape, self.tiles = (rows, columns), tiles
        self.cells = {}
        self.reads, self.at = 0, None

    def status(self):
        return Status("memory", *self.shape, self.tiles, 0.0, 32.0, 0.25, capabilities=("keys",))

    def program(self, tile, targets, full_scale=None):
        self.cells[tile] = np.array(targets)

    def read(self, tile, offsets, rows, keys=None):
        self.reads += 1
        if self.at is not None and self.reads == self.at:
            threading.Event().wait(0.2)  # while this goes on, the test cuts the line
        pairs = self.cells[tile][:, 0::2] - self.cells[tile][:, 1::2]
        active = np.zeros((len(keys), len(pairs)))
        np.add.at(active, (np.repeat(np.arange(len(keys)), np.diff(offsets)), rows), 1.0)
        noise = rng.normal(0, 1, keys[:, None], np.arange(pairs.shape[1]))
        return 0.25 * active @ pairs + 0.1 * noise


class TiledFabric:
    """One tile a projection; weights of up to 4 on pairs of cells of up to 32 uS."""

    def __init__(self, device):
        self.device, self.projections = device, ("input->hidden", "hidden->out")

    def program(self, weights):
        for tile, name in enumerate(self.projections):
            cells = np.zeros((weights[name].shape[0], 2 * weights[name].shape[1]))
            cells[:, 0::2], cells[:, 1::2] = np.maximum(weights[name], 0) * 8, np.maximum(-weights[name], 0) * 8
            self.device.program(tile, cells)

    def drive(self, projection, begin, end, indices, keys):
        rows = [indices[a:b] for a, b in zip(begin, end, strict=True)]
        offsets = np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64)
        rows = np.concatenate(rows).astype(np.int64)
        return self.device.read(self.projections.index(projection), offsets, rows, keys) / (8 * 0.25)


def on_device(data, device, **options):
    model = model_with_all()
    with in_the_loop(model, TiledFabric(device)):
        return model, train(model, data, **(QUICK | options))


class Serving:
    """A server in a thread that can be cut off as a killed one is."""

    def __init__(self, device, port=0):
        self.server = DeviceServer(device, port=port)
        self.port = self.server.address[1]
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def close(self):
        self.server.stop()
        self.thread.join(10)

    def client(self, **options):
        return TcpDevice("127.0.0.1", self.port, timeout=10, backoff=0.01, **options)


def test_training_on_a_remote_chip_that_dies(small, tmp_path):
    """The server is gone in the middle of an epoch; another one, which knows nothing, goes on with the same bits."""
    whole = on_device(small, Chip())
    path, chip = tmp_path / "remote.h5", Chip()
    chip.at = 5
    first = Serving(chip)
    with first.client(retries=1) as remote:
        killer = threading.Thread(target=lambda: (wait_for(chip, 5), first.close()))
        killer.start()
        with pytest.raises(DeviceError, match=r"in epoch 1, after \d of 5 minibatches: device at 127.0.0.1"):
            on_device(small, remote, checkpoint=path)
        killer.join()
        second = Serving(Chip(), first.port)
        # The client of old learns that its chip has lost its memory; nothing is lost by asking once more.
        with pytest.raises(DeviceError, match="started anew") as caught:
            on_device(small, remote, checkpoint=path, resume=path)
        assert caught.value.kind == "restarted"
        again = on_device(small, remote, checkpoint=path, resume=path)
    second.close()
    assert_same(whole, again)


def wait_for(chip, reads):
    while chip.reads < reads:
        threading.Event().wait(0.005)


def test_a_training_is_replayed_without_the_chip(small, tmp_path):
    with Recorder(Chip(), tmp_path / "trace.h5") as recorder:
        recorded = on_device(small, recorder)
    with Replay(tmp_path / "trace.h5") as replay:
        assert_same(recorded, on_device(small, replay))
        assert replay.finished
        replay.rewind()
        with pytest.raises(DeviceError, match=r"call \d+: (rows|offsets|targets) ") as caught:
            on_device(small, replay, seed=1)
        assert caught.value.kind == "trace"


# -- what it is good for -----------------------------------------------------------------------------------


def test_training_in_the_loop_recovers_what_a_chip_loses():
    data = digits(ticks=4)
    learn = SimpleNamespace(events=data.events[:1200], labels=data.labels[:1200])
    test = SimpleNamespace(events=data.events[1200:], labels=data.labels[1200:])
    options = {"batch_size": 60, "progress": False, "validation": 0, "learning_rate": 5e-3}
    model = TrainableNetwork(dense(60))
    train(model, learn, **options, epochs=6)
    clean = evaluate(model, test)
    fabric = SoftwareFabric(model, spread=1.0, read_noise=0.02, seed=7)
    with in_the_loop(model, fabric):
        before = evaluate(model, test)
        train(model, learn, **options, epochs=2)
        after = evaluate(model, test)
    assert clean - before > 0.05
    assert after > before + 0.5 * (clean - before)


# -- noise-aware training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("rule", [SLTT(), BPTT()], ids=repr)
def test_noise_is_in_the_forward_and_gradients_go_to_clean_weights(rule, path, small):
    """The gradient is that of a network whose weights are the disturbed ones."""
    model = TrainableNetwork(dense(rule=FixedProbability(0.3, Normal(0.1, 0.3))), dtype="float64", path=path)
    clean = {name: value.detach().clone() for name, value in model.named_parameters()}
    with noise_aware(model, 0.2) as noise:
        found = gradients(model, small, rule)
        disturbed = TrainableNetwork(model.plan.network, dtype="float64", path=path)
        with torch.no_grad():
            for name in noise.names:
                disturbed.weights(name).copy_(noise.added(name, model.weights(name)))
        readouts = [model.readout(small.events, generator=model.generator(key)).detach() for key in (1, 1, 2)]
        assert torch.equal(readouts[0], readouts[1])
        assert not torch.equal(readouts[0], readouts[2])
    for name, value in model.named_parameters():
        assert torch.equal(value, clean[name])
    expected = gradients(disturbed, small, rule)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-10, atol=1e-14)


def test_noise_has_the_size_that_is_asked_for_and_changes_with_the_minibatch():
    model = TrainableNetwork(dense(400))
    weights = model.weights("input->hidden").detach()
    with noise_aware(model, 0.1, projections=["input->hidden"]) as noise:
        draws = []
        for key in (1, 2, 1):
            noise.draw(model.training, model.weights, key)
            draws.append(
                (noise.added("input->hidden", weights) - weights).double().numpy() / float(weights.abs().max())
            )
        assert torch.equal(noise.added("hidden->out", model.weights("hidden->out")), model.weights("hidden->out"))
        model.eval()
        noise.draw(model.training, model.weights, 1)
        assert torch.equal(noise.added("input->hidden", weights), weights)
    np.testing.assert_array_equal(draws[0], draws[2])
    assert abs(np.corrcoef(draws[0].ravel(), draws[1].ravel())[0, 1]) < 0.03
    for drawn in draws:
        assert drawn.std() == pytest.approx(0.1, rel=0.03)
        assert abs(drawn.mean()) < 0.003
    model.train()
    with noise_aware(model, lambda w: 0.5 * np.abs(w)) as noise:
        noise.draw(model.training, model.weights, 4)
        relative = ((noise.added("input->hidden", weights) - weights) / weights).double().numpy()
    assert np.std(relative) == pytest.approx(0.5, rel=0.03)


def test_noise_is_relative_to_the_largest_weight_by_size():
    model = TrainableNetwork(dense(400))
    weights = model.weights("input->hidden")
    with torch.no_grad():
        weights.clamp_(-0.5, 0.5)
        weights[3, 7] = -4.0
    with noise_aware(model, 0.1) as noise:
        noise.draw(model.training, model.weights, 1)
        drawn = (noise.added("input->hidden", weights) - weights).detach()
    assert float(drawn.std()) == pytest.approx(0.1 * 4.0, rel=0.03)


def test_no_noise_changes_nothing_and_noise_resumes(small, tmp_path):
    ordinary = model_with_all()
    history = train(ordinary, small, **QUICK)

    def noisy(sigma, **options):
        model = model_with_all()
        with noise_aware(model, sigma):
            return model, train(model, small, **(QUICK | options))

    assert_same((ordinary, history), noisy(0.0))
    whole, path = noisy(0.1), tmp_path / "noise.h5"
    assert whole[1].loss != history.loss
    noisy(0.1, epochs=2, checkpoint=path)
    short = noisy(0.1, epochs=1, schedule=None, checkpoint=path)
    assert len(short[1]) == 1
    assert_same(noisy(0.1, schedule=None), noisy(0.1, schedule=None, resume=path))


def test_programming_noise_of_a_device():
    device = SimpleNamespace(
        g_min=2.0, g_max=22.0, programming=SimpleNamespace(sigma=lambda target: 0.1 + 0.02 * np.asarray(target))
    )
    weights = np.array([[0.5, -2.0], [0.0, 1.0]])
    cells = 2.0 + 20.0 * np.abs(weights) / 2.0
    expected = np.hypot(0.1 + 0.02 * cells, 0.1 + 0.02 * 2.0) * 2.0 / 20.0
    np.testing.assert_allclose(programming_noise(device)(weights), expected)
    # Both cells drawn, one weight at a time.
    random, count = np.random.default_rng(0), 200_000
    plus = 22.0 + random.normal(0, 0.1 + 0.02 * 22.0, count)
    minus = 2.0 + random.normal(0, 0.1 + 0.02 * 2.0, count)
    assert np.std((plus - minus) * 2.0 / 20.0) == pytest.approx(expected[0, 1], rel=0.01)
    device.programming = None
    with pytest.raises(ParameterError, match="no noise of programming"):
        programming_noise(device)


# -- what is refused ---------------------------------------------------------------------------------------


class Lying(SoftwareFabric):
    def __init__(self, model, change):
        super().__init__(model)
        self.change = change

    def drive(self, *arguments):
        return self.change(super().drive(*arguments))


def test_drives_that_cannot_be_true(small):
    model = TrainableNetwork(dense())
    for change, message in (
        (lambda d: d[:, 1:], r"'input->hidden': asked .* shape \(80, 30\); got float64 \(80, 29\)"),
        (lambda d: np.where(np.arange(30) == 4, np.nan, d), "vector 0, target 4 has the drive nan, one of 80"),
        (lambda d: d.astype(str), "got <U"),
    ):
        with in_the_loop(model, Lying(model, change)), pytest.raises(DeviceError, match=message) as caught:
            model.readout(small.events[:16])
        assert caught.value.kind == "answer"


def test_what_is_refused(small):
    model = TrainableNetwork(dense())
    exact = SoftwareFabric(model)
    assert isinstance(exact, Fabric)

    def refused(error, message, model=model, fabric=exact, **options):
        with pytest.raises(error, match=message), in_the_loop(model, fabric, **options):
            pass
        assert model.chip is None

    refused(ParameterError, "program_every=0", program_every=0)
    refused(ParameterError, "expected a Fabric", fabric=3)
    refused(CapabilityError, "plain path", model=TrainableNetwork(dense(), path="plain"))
    whole = TrainableNetwork(dense(), batch_norm=["hidden"], batch_norm_over="sequence")
    refused(CapabilityError, "no delays", model=whole)
    refused(NetworkError, "no projection 'input->maps'", fabric=SoftwareFabric(TrainableNetwork(convolution())))
    pooled = TrainableNetwork(convolution())
    with pytest.raises(CapabilityError, match="SumPool2d, not a matrix"):
        SoftwareFabric(pooled, ["maps->pooled"])
    with in_the_loop(model, exact):
        with pytest.raises(ParameterError, match="attached to it already"), in_the_loop(model, exact):
            pass
        with pytest.raises(ParameterError, match="attached to it already"), noise_aware(model):
            pass
        with pytest.raises(CapabilityError, match=r"'input' sends -?0.5; .* whole numbers of spikes"):
            model.readout(torch.full((2, 3, 64), 0.5))
    for sigma, message in ((-1.0, "sigma=-1.0"), (float("nan"), "sigma=nan")):
        with pytest.raises(ParameterError, match=message), noise_aware(model, sigma):
            pass
    with pytest.raises(NetworkError, match="no projection 'x'"), noise_aware(model, projections=["x"]):
        pass
    for sigma, message in ((lambda w: np.ones(3), r"shape \(3,\)"), (lambda w: -np.abs(w), "finite numbers")):
        with noise_aware(model, sigma), pytest.raises(ParameterError, match=message):
            model.readout(small.events[:4])

"""One model in several threads: every call gives what it gives alone."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    Conv2d,
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

torch = pytest.importorskip("torch")

from snnsim.training import (
    BPTT,
    SLTT,
    EventProp,
    EventPropNetwork,
    PerTickCrossEntropy,
    SoftwareFabric,
    TrainableNetwork,
    evaluate,
    in_the_loop,
    noise_aware,
    train,
)

DT = 1e-3


@pytest.fixture(autouse=True)
def one_thread():
    """The threads are those of the tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(kind="dense", sizes=(30, 40, 3)):
    if kind == "images":
        populations = [
            Population("in", (1, 6, 5), Input()),
            Population("hid", (4, 4, 3), LIF(6 * DT, threshold=0.5)),
            Population("out", 3, LI(0.0)),
        ]
        first = Conv2d(Normal(0.2, 0.4), kernel=3)
    else:
        populations = [Population("in", sizes[0], Input()), Population("hid", sizes[1], LIF(6 * DT, threshold=0.5))]
        populations += [Population("out", sizes[2], LI(0.0))]
        first = Dense(Kaiming(1.5))
    delay = Learnable(6 * DT) if kind == "delays" else 0.0
    projections = [
        Projection("in", "hid", first, delay=delay),
        Projection("hid", "out", Dense(Kaiming(1.0)), delay=delay),
    ]
    return Network(populations, projections, dt=DT)


def made(kind="dense", **options):
    learn = ("weights", "delays") if kind == "delays" else ("weights",)
    return TrainableNetwork(network(kind), learn=learn, **options)


def events(batch=8, ticks=20, seed=0):
    return Events.from_dense(np.random.default_rng(seed).random((batch, ticks, 30)) < 0.25, DT)


def together(function, count=4, repeats=15):
    """Call a function of the thread's number in all threads at once; return the lists of what it gave."""
    barrier = threading.Barrier(count)

    def work(i):
        barrier.wait()
        return [function(i) for _ in range(repeats)]

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


@pytest.mark.parametrize("kind", ["dense", "delays", "images"])
@pytest.mark.parametrize("path", ["fused", "plain"])
@pytest.mark.parametrize("graph", [False, True])
def test_readouts_of_threads_are_those_of_one(kind, path, graph):
    model = made(kind, path=path).eval()
    parts = [events(seed=i, batch=4 + i) for i in range(4)]
    alone = [model.readout(part).detach().clone() for part in parts]

    def ask(i):
        with torch.set_grad_enabled(graph):
            return model.readout(parts[i]).detach()

    repeats = 12 if path == "fused" else 3
    for i, found in enumerate(together(ask, repeats=repeats)):
        assert all(torch.equal(one, alone[i]) for one in found)


@pytest.mark.parametrize("kind", ["dense", "delays", "images"])
def test_graphs_made_and_gone_back_through_by_threads(kind):
    model = made(kind)
    parts = [events(seed=i) for i in range(4)]

    def gradients(i):
        return torch.autograd.grad(model.readout(parts[i]).square().sum(), list(model.parameters()))

    alone = [gradients(i) for i in range(4)]
    for i, found in enumerate(together(gradients)):
        for one in found:
            assert all(torch.equal(a, b) for a, b in zip(one, alone[i], strict=True))


@pytest.mark.parametrize("rule", [SLTT(), BPTT()], ids=repr)
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_steps_of_threads_add_up(rule, path):
    model = made(path=path, dtype="float64")
    labels = torch.arange(8) % 3
    for i in range(4):
        rule.step(model, events(seed=i), labels)
    once = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    repeats = 10 if path == "fused" else 2
    losses = together(lambda i: rule.step(model, events(seed=i), labels).loss, repeats=repeats)
    assert all(len(set(own)) == 1 for own in losses)
    for p, total in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(p.grad, repeats * total, rtol=1e-10, atol=1e-12)


def test_evaluation_and_spikes_in_one_thread_leave_steps_in_another_in_training():
    """Dropout and batch norm stay as they are for the thread that trains; evaluation has neither."""
    model = made(dropout={"hid": 0.5}, batch_norm=["hid"])
    data = SimpleNamespace(events=events(), labels=np.arange(8) % 3)
    labels = torch.from_numpy(data.labels)

    def steps(model, count):
        return [BPTT().step(model, data.events, labels, generator=model.generator(i)).loss for i in range(count)]

    alone, stop = steps(copy.deepcopy(model), 30), threading.Event()
    seen = []

    def look():
        while not stop.is_set():
            seen.append(evaluate(model, data))
            seen.append(model.spikes(data.events)["hid"].ticks.size)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        together_found = steps(model, 30)
    finally:
        stop.set()
        looker.join()
    assert together_found == alone
    assert len(seen) > 1
    assert model.training


def test_training_beside_readers_learns_what_it_learns_alone():
    data = SimpleNamespace(events=events(batch=30), labels=np.arange(30) % 3)
    options = {"epochs": 3, "batch_size": 10, "validation": 0.3, "progress": False}

    def model():
        return made(dropout={"hid": 0.3}, batch_norm=["hid"])

    alone, beside = model(), model()
    train(alone, data, **options)
    stop = threading.Event()

    def look():
        while not stop.is_set():
            evaluate(beside, data)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        train(beside, data, **options)
    finally:
        stop.set()
        looker.join()
    for name, value in alone.state_dict().items():
        assert torch.equal(value, beside.state_dict()[name]), name


def test_evaluation_in_threads_with_soft_and_rounded_delays():
    model = made("delays")
    data = SimpleNamespace(events=events(batch=200), labels=np.arange(200) % 3)
    alone = [evaluate(model, data, loss="summed_readout", soft_delays=soft) for soft in (False, True)]
    assert alone[0] != alone[1]
    found = together(lambda i: evaluate(model, data, loss="summed_readout", soft_delays=bool(i % 2)), repeats=5)
    for i, own in enumerate(found):
        assert own == [alone[i % 2]] * 5
    assert model.training
    assert not model.soft_delays


def test_a_chip_and_noise_serve_one_call_at_a_time():
    model = made()
    parts = [events(seed=i, batch=3 + i) for i in range(4)]
    model.eval()
    with in_the_loop(model, SoftwareFabric(model, spread=0.3)), torch.no_grad():
        alone = [model.readout(part) for part in parts]
        for i, found in enumerate(together(lambda i: model.readout(parts[i]))):
            assert all(torch.equal(one, alone[i]) for one in found)
    model.train()
    with noise_aware(model, 0.3):

        def noisy(i):
            return model.readout(parts[i], generator=model.generator(i)).detach()

        alone = [noisy(i) for i in range(4)]
        for i, found in enumerate(together(noisy)):
            assert all(torch.equal(one, alone[i]) for one in found)


def test_a_loss_may_ask_the_model():
    """A call within a call has buffers of its own."""
    model, other = made(dtype="float64"), events(seed=9)

    class Asking(PerTickCrossEntropy):
        def value(self, readout, labels, ends, first=0):
            model.readout(other)
            model.spikes(other)
            return super().value(readout, labels, ends, first)

    for rule in (SLTT(), BPTT()):
        found = []
        for loss in (Asking(), PerTickCrossEntropy()):
            model.zero_grad()
            rule.step(model, events(), torch.arange(8) % 3, loss)
            found.append([p.grad.clone() for p in model.parameters()])
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_random_numbers_of_threads_are_all_different():
    model = made(dropout={"hid": 0.5})
    given = events()
    found = [one for own in together(lambda _: model.readout(given).detach(), repeats=5) for one in own]
    assert len({tuple(one.flatten().tolist()) for one in found}) == len(found)
    assert int(model.draws) == len(found)


def test_eventprop_networks_serve_threads():
    synapse = Exponential(5 * DT)
    net = Network(
        [
            Population("in", 30, Input()),
            Population("hid", 12, LIF(10 * DT, reset="zero", receptors=synapse)),
            Population("out", 3, LI(10 * DT, receptors=synapse)),
        ],
        [Projection("in", "hid", Dense(Normal(0.2, 0.2))), Projection("hid", "out", Dense(Kaiming(1.0)))],
        dt=DT,
    )
    model = EventPropNetwork(net, dtype="float64")
    parts, labels = [events(seed=i) for i in range(4)], torch.arange(8) % 3
    alone = [model.readout(part).detach() for part in parts]
    for i, found in enumerate(together(lambda i: model.readout(parts[i]).detach())):
        assert all(torch.equal(one, alone[i]) for one in found)
    for part in parts:
        EventProp().step(model, part, labels)
    once = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    together(lambda i: EventProp().step(model, parts[i], labels), repeats=5)
    for p, total in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(p.grad, 5 * total, rtol=1e-10, atol=1e-12)


def test_copies_have_locks_of_their_own():
    model = made()
    with model.workspace.claimed():
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            done = threading.Thread(target=lambda other=other: other.readout(events()))
            done.start()
            done.join(20)
            assert not done.is_alive()

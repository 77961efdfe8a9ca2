"""Chips in the loop: recorded, replayed, at the other end of a socket, and under a network that learns."""

import subprocess
import sys

import numpy as np
import pytest

from snnsim import LI, LIF, Conv2d, Dense, Events, Input, Network, Population, Projection, Simulation, Trace
from snnsim.backends.crossbar import ADC, Chip, ChipConfig, ChipFabric, Device, Mapping, realistic_rram
from snnsim.backends.crossbar.loop import Recorder, Replay, TcpDevice
from snnsim.errors import CapabilityError, DeviceError, ParameterError

DT = 1e-3
PLAIN = ChipConfig(Device("plain", 1.0, 33.0))  # read like any other: training asks for currents
NOISY = ChipConfig(realistic_rram(), adc=ADC(8))


def events(n=20, recordings=4, most=1):
    counts = np.random.default_rng(0).binomial(most, 0.2, (recordings, 10, n))
    return Events.from_dense(counts, DT)


def network(delay=0.0):
    random = np.random.default_rng(1)
    return Network(
        [Population("in", 20, Input()), Population("hidden", 12, LIF(5e-3)), Population("out", 3, LI(5e-3))],
        [
            Projection("in", "hidden", Dense(random.normal(0.2, 0.5, (20, 12))), delay=delay),
            Projection("hidden", "out", Dense(random.normal(0, 0.5, (12, 3)))),
        ],
        dt=DT,
    )


def readout(device, given=None, **options):
    sim = Simulation(network(), "crossbar", chip=device, **options)
    return next(iter(sim.run_samples(events() if given is None else given, record=Trace("out")).traces.values()))


def test_a_replayed_trace_gives_the_run_again(tmp_path):
    with Recorder(Chip(NOISY, 3), tmp_path / "trace.h5") as recorder:
        first = readout(recorder)
    assert np.array_equal(first, readout(Chip(NOISY, 3)))
    with Replay(tmp_path / "trace.h5") as replay:
        assert np.array_equal(readout(replay), first)
    with Replay(tmp_path / "trace.h5") as replay, pytest.raises(DeviceError, match="call"):
        readout(replay, events(most=2))


def test_a_served_chip_gives_the_same_bits(tmp_path):
    Chip(NOISY, 3).save(tmp_path / "chip.h5")
    command = [sys.executable, "-m", "snnsim.commands.cli", "serve-device", "--chip", str(tmp_path / "chip.h5")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline()
        port = int(line.split(";")[0].rsplit(":", 1)[1])
        with TcpDevice("127.0.0.1", port, timeout=20.0) as device:
            assert np.array_equal(readout(device), readout(Chip(NOISY, 3)))
    finally:
        server.terminate()
        assert server.wait(20) == 0
        server.stdout.close()


def lists(dense):
    """Return spikes of shape (vectors, sources) as lists."""
    vectors, sources = np.nonzero(dense)
    repeats = dense[vectors, sources]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(vectors, repeats, len(dense)).astype(int))])
    return bounds[:-1], bounds[1:], np.repeat(sources, repeats)


def test_a_fabric_gives_sums_of_weights_programmed_later():
    fabric = ChipFabric(network(), Chip(PLAIN))
    assert fabric.projections == ("in->hidden", "hidden->out")
    random = np.random.default_rng(2)
    weights = {"in->hidden": random.normal(size=(20, 12)), "hidden->out": random.normal(size=(12, 3))}
    fabric.program(weights)
    dense = random.binomial(2, 0.3, (7, 20))
    found = fabric.drive("in->hidden", *lists(dense), np.arange(7, dtype=np.uint64))
    np.testing.assert_allclose(found, dense @ weights["in->hidden"], atol=1e-9)


def test_a_fabric_reads_convolutions():
    random = np.random.default_rng(3)
    net = Network(
        [Population("in", (2, 6, 6), Input()), Population("out", (3, 4, 4), LIF(5e-3))],
        [Projection("in", "out", Conv2d(random.normal(size=(3, 2, 3, 3))))],
        dt=DT,
    )
    fabric = ChipFabric(net, Chip(PLAIN))
    kernels = random.normal(size=(3, 2, 3, 3))
    fabric.program({"in->out": kernels})
    dense = random.binomial(1, 0.2, (5, 72))
    found = fabric.drive("in->out", *lists(dense), np.arange(5, dtype=np.uint64)).reshape(5, 3, 4, 4)
    image = dense.reshape(5, 2, 6, 6)
    wanted = np.zeros_like(found)
    for y in range(4):
        for x in range(4):
            wanted[:, :, y, x] = np.einsum("bcij,ocij->bo", image[:, :, y : y + 3, x : x + 3], kernels)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_learning_on_exact_cells_is_learning_without_a_chip():
    torch = pytest.importorskip("torch")
    from snnsim.training import SLTT, TrainableNetwork, in_the_loop

    labels = torch.tensor([0, 1, 2, 1])
    gradients = []
    for on_chip in (False, True):
        model = TrainableNetwork(network(), dtype="float64")
        if on_chip:
            with in_the_loop(model, ChipFabric(network(), Chip(PLAIN))) as state:
                loss = SLTT().step(model, events(), labels).loss
                assert state.programmings == 1
        else:
            loss = SLTT().step(model, events(), labels).loss
        gradients.append([loss] + [p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-9)
    for one, other in zip(gradients[0][1:], gradients[1][1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_learning_sees_what_the_chip_does():
    torch = pytest.importorskip("torch")
    from snnsim.training import SLTT, TrainableNetwork, in_the_loop

    model = TrainableNetwork(network(), dtype="float64")
    stuck = ChipConfig(Device("broken", 1.0, 33.0, stuck_off=1.0))
    with in_the_loop(model, ChipFabric(network(), Chip(stuck))):
        outcome = SLTT().step(model, events(), torch.tensor([0, 1, 2, 1]))
    assert outcome.loss == pytest.approx(np.log(3))  # no current at all: every class is as likely
    assert torch.equal(outcome.scores, torch.zeros_like(outcome.scores))


def test_what_a_fabric_does_not_take():
    with pytest.raises(CapabilityError, match="'in->hidden' has delays"):
        ChipFabric(network(delay=2e-3), Chip(PLAIN))
    with pytest.raises(ParameterError, match="device=3: expected a Chip"):
        ChipFabric(network(), 3)
    with pytest.raises(ParameterError, match="network=3: expected a Network"):
        ChipFabric(3, Chip(PLAIN))
    fabric, weights = ChipFabric(network(), Chip(PLAIN)), {"in->hidden": np.zeros((20, 12))}
    with pytest.raises(ParameterError, match=r"'hidden->out' have shape \(3, 12\), expected \(12, 3\)"):
        fabric.program(weights | {"hidden->out": np.zeros((3, 12))})
    diverged = np.zeros((12, 3))
    diverged[4, 1] = np.nan
    with pytest.raises(ParameterError, match=r"'hidden->out': nan at \(4, 1\), one of 1 that are not finite"):
        fabric.program(weights | {"hidden->out": diverged})
    with pytest.raises(ParameterError, match=r"weights of \['in->hidden'\]: expected those of"):
        ChipFabric(network(), Chip(PLAIN)).program({"in->hidden": np.zeros((20, 12))})


def test_a_network_larger_than_the_device_is_refused():
    class Small(Chip):
        def status(self):
            import dataclasses

            return dataclasses.replace(super().status(), tiles=1)

    with pytest.raises(ParameterError, match="the network needs 2 arrays; chip has 1"):
        Simulation(network(), "crossbar", chip=Small(PLAIN))
    narrow = Chip(ChipConfig(PLAIN.device, columns=24))
    with pytest.raises(ParameterError, match="slices=20: an array of 24 columns has no room for one output"):
        Simulation(network(), "crossbar", chip=narrow, mapping=Mapping(slices=20, slice_bits=1))

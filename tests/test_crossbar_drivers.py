"""Drivers of one's own that fail: what happened, in which call, where, and how the run goes on."""

import dataclasses

import numpy as np
import pytest

from snnsim import LI, LIF, Dense, Events, Input, Network, Population, Projection, Simulation, Trace
from snnsim.backends.crossbar import Chip, ChipConfig, ChipFabric, Device, Mapping, Status, realistic_rram
from snnsim.backends.crossbar.loop import Checked, Recorder, Replay, compare_currents
from snnsim.errors import DeviceError, ParameterError

DT = 1e-3
PLAIN = ChipConfig(Device("plain", 1.0, 33.0))


class Driver:
    """A driver of a chip that does something else at one of its calls."""

    def __init__(self, config=PLAIN, *, call="read", at=1, does=None):
        self.chip, self.call, self.at, self.does = Chip(config, name="bench 3"), call, at, does
        self.calls = 0

    def _now(self, call):
        if call != self.call:
            return False
        self.calls += 1
        return self.calls == self.at

    def status(self):
        if self._now("status"):
            return self.does(self.chip.status())
        return self.chip.status()

    def program(self, tile, targets, full_scale=None):
        if self._now("program"):
            self.does(None)
        self.chip.program(tile, targets, full_scale)

    def read(self, tile, offsets, rows, keys=None):
        if self._now("read"):
            return self.does(self.chip.read(tile, offsets, rows, keys))
        return self.chip.read(tile, offsets, rows, keys)


def use(device):
    device.program(0, np.full((20, 24), 3.0))
    device.read(0, np.array([0, 2, 3]), np.array([0, 3, 5]))


def raising(error):
    def does(_):
        raise error

    return does


def network():
    random = np.random.default_rng(1)
    return Network(
        [Population("in", 20, Input()), Population("hidden", 12, LIF(5e-3)), Population("out", 3, LI(5e-3))],
        [
            Projection("in", "hidden", Dense(random.normal(0.4, 0.5, (20, 12)))),
            Projection("hidden", "out", Dense(random.normal(0, 0.5, (12, 3)))),
        ],
        dt=DT,
    )


def events(recordings=4, ticks=10):
    return Events.from_dense(np.random.default_rng(0).binomial(1, 0.4, (recordings, ticks, 20)), DT)


RAISED = [
    (TimeoutError("no answer in 3 s"), "timeout", "TimeoutError: no answer in 3 s"),
    (ConnectionResetError("reset by peer"), "lost", "ConnectionResetError: reset by peer"),
    (EOFError("end of stream"), "lost", "EOFError"),
    (FileNotFoundError(2, "No such file", "/dev/ttyUSB0"), "lost", "FileNotFoundError"),
    (ZeroDivisionError("division by zero"), "refused", "ZeroDivisionError: division by zero"),
    (KeyError("tile"), "refused", "KeyError: 'tile'"),
    (RuntimeError("too hot"), "refused", "RuntimeError: too hot"),
    (DeviceError("cells are gone", kind="restarted"), "restarted", "cells are gone"),
]
ANSWERS = [
    (lambda currents: None, r"a read gave nothing \(None\)"),
    (lambda currents: currents[:, :-1], r"asked for \d+ vectors of 12 currents"),
    (lambda currents: currents.T, "asked for"),
    (lambda currents: currents * np.nan, "reads nan uA"),
    (lambda currents: np.where(currents == currents.max(), np.inf, currents), "reads inf uA"),
    (lambda currents: currents * 1j, r"got complex128"),
    (lambda currents: "fine", r"got <U4 \(\)"),
    (lambda currents: [[1.0], [2.0, 3.0]], "got object"),
    (lambda currents: currents * 1e9, r"column \d+ reads .* uA, where all 512 rows of 33 uS at 0.2 V give 3379"),
]


@pytest.mark.parametrize(("error", "kind", "said"), RAISED)
@pytest.mark.parametrize(("call", "at"), [("status", 1), ("program", 2), ("read", 1)])
def test_what_a_driver_raises_while_a_simulation_is_made_is_named(call, at, error, kind, said):
    driver = Driver(call=call, at=at, does=raising(error))
    with pytest.raises(DeviceError) as caught:
        Simulation(network(), "crossbar", chip=driver, mapping=Mapping(compensate="tile"))
    where = {
        "status": "" if isinstance(error, DeviceError) else "Driver.status(): ",
        "program": "projection 'hidden->out', programming of tile 1 on Driver 'bench 3': ",
        "read": "projection 'in->hidden', reading 64 vectors of tile 0 on Driver 'bench 3': ",
    }[call]
    assert str(caught.value).startswith(f"{where}{said}")
    assert caught.value.kind == kind
    causes, cause = [], caught.value
    while cause is not None:
        causes, cause = [*causes, cause], cause.__cause__
    assert error in causes


@pytest.mark.parametrize(("error", "kind", "said"), RAISED)
def test_what_a_driver_raises_in_a_run_says_tick_and_recordings(error, kind, said):
    driver = Driver(at=7, does=raising(error))
    sim = Simulation(network(), "crossbar", chip=driver)
    with pytest.raises(DeviceError, match="nothing of this call is kept; the same call begins it again") as caught:
        sim.run_samples(events(), batch_size=3)
    assert caught.value.kind == kind
    text = str(caught.value)
    assert text.startswith("tick 3, recordings 0 to 2: projection 'in->hidden', reading 3 vectors of tile 0 on Driver")
    assert said in text
    right = Simulation(network(), "crossbar", chip=Driver(at=0)).run_samples(events(), record=Trace("out"))
    again = sim.run_samples(events(), record=Trace("out"))
    assert np.array_equal(*(next(iter(one.traces.values())) for one in (right, again)))


def test_the_second_batch_says_which_recordings():
    driver = Driver(at=30, does=raising(RuntimeError("too hot")))
    with pytest.raises(DeviceError, match=r"tick \d, recordings 3 to 3: projection"):
        Simulation(network(), "crossbar", chip=driver).run_samples(events(), batch_size=3)


@pytest.mark.parametrize(("does", "words"), ANSWERS)
def test_answers_that_cannot_be_true_are_named(does, words, tmp_path):
    sim = Simulation(network(), "crossbar", chip=Driver(at=3, does=does))
    with pytest.raises(DeviceError, match=words) as caught:
        sim.run_samples(events())
    assert caught.value.kind == "answer"
    assert str(caught.value).startswith(
        "tick 1, recordings 0 to 3: projection 'in->hidden', reading 4 vectors of tile 0"
    )
    lists = np.array([0, 2, 3]), np.array([0, 3, 5])
    for name, make in (("checked", Checked), ("recorder", lambda driver: Recorder(driver, tmp_path / "trace.h5"))):
        device = make(Driver(does=does))
        device.program(0, np.random.default_rng(0).uniform(1.0, 33.0, (20, 24)))
        with pytest.raises(DeviceError, match=words.replace(r"asked for \d+", "asked for 2")) as caught:
            device.read(0, *lists)
        assert caught.value.kind == "answer", name
        if name == "recorder":
            device.close()


@pytest.mark.parametrize(
    ("does", "words"),
    [
        (lambda status: None, r"Driver.status\(\) gave NoneType; expected a Status"),
        (lambda status: {"rows": 3}, "gave dict"),
        (lambda status: dataclasses.replace(status, units={}), "gives conductance in None; expected 'uS'"),
        (lambda status: dataclasses.replace(status, protocol=7), "speaks version 7"),
    ],
)
def test_what_a_driver_says_of_itself_is_held_to_the_protocol(does, words, tmp_path):
    for use in (
        lambda driver: Simulation(network(), "crossbar", chip=driver),
        lambda driver: ChipFabric(network(), driver),
        Checked,
        lambda driver: Recorder(driver, tmp_path / "trace.h5"),
        lambda driver: compare_currents(driver, Chip(PLAIN), 0),
    ):
        with pytest.raises(DeviceError, match=words):
            use(Driver(call="status", does=does))


@pytest.mark.parametrize(("error", "kind", "said"), RAISED[:6])
def test_checked_and_recorded_drivers_say_the_call(error, kind, said, tmp_path):
    for make in (Checked, lambda driver: Recorder(driver, tmp_path / f"{kind}.h5")):
        for call, words in (("program", "program of tile 0"), ("read", "read of tile 0 with 2 vectors")):
            (tmp_path / f"{kind}.h5").unlink(missing_ok=True)
            device = make(Driver(call=call, does=raising(error)))
            with pytest.raises(DeviceError, match=f"Driver 'bench 3', {words}: ") as caught:
                use(device)
            assert said in str(caught.value)
            assert (caught.value.kind, caught.value.__cause__) == (kind, error)
            if isinstance(device, Recorder):
                device.close()
                with Replay(tmp_path / f"{kind}.h5") as replay, pytest.raises(DeviceError, match="recorded error"):
                    use(replay)


# -- going on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 9, 30])
def test_a_long_run_goes_on_from_before_the_block(at):
    given = events(1, 40)
    right = Simulation(network(), "crossbar", chip=Driver(at=0))
    first = right.run(inputs=given.crop(20))
    whole = right.run(inputs=given.crop(20, 20), record=["hidden", Trace("out")])
    sim = Simulation(network(), "crossbar", chip=Driver(at=10**9, does=raising(TimeoutError("slow"))))
    sim.run(inputs=given.crop(20))
    driver = sim.program.chip
    driver.at = driver.calls + at
    before = sim.state.floats.copy()
    with pytest.raises(DeviceError, match=r"Once it works: the state of the network is that of tick 20; ") as caught:
        sim.run(inputs=given.crop(20, 20))
    assert caught.value.kind == "timeout"
    assert str(caught.value).startswith("tick ")
    assert np.array_equal(sim.state.floats, before)
    again = sim.run(inputs=given.crop(20, 20), record=["hidden", Trace("out")])
    assert again.spikes["hidden"] == whole.spikes["hidden"]
    assert np.array_equal(again.traces["out.membrane"], whole.traces["out.membrane"])
    assert again.chip.projection("in->hidden").reads == whole.chip.projection("in->hidden").reads
    assert first.chip.projection("in->hidden").reads > 0


@pytest.mark.parametrize("anew", [False, True])
def test_a_run_into_a_stream_keeps_what_was_done(tmp_path, anew):
    given, config = events(1, 40), ChipConfig(realistic_rram())
    right = Simulation(network(), "crossbar", chip=Chip(config)).run(inputs=given, record=["hidden", Trace("out")])
    call = {
        "inputs": given,
        "record": ["hidden", Trace("out")],
        "stream": tmp_path / "out.h5",
        "checkpoint": tmp_path / "run.h5",
        "checkpoint_every": 8 * DT,
    }
    driver = Driver(config, at=45, does=raising(ConnectionResetError("reset")))
    sim = Simulation(network(), "crossbar", chip=driver)
    with pytest.raises(
        DeviceError, match=r"all up to tick (\d+) of the network is kept, and the same call goes on"
    ) as e:
        sim.run(**call)
    assert e.value.kind == "lost"
    assert sim.tick > 0
    assert sim.tick % 8 == 0
    assert f"tick {sim.tick} of the network" in str(e.value)
    assert f"Simulation.resume({str(tmp_path / 'run.h5')!r})" in str(e.value)
    if anew:  # in another process, the cells of the same device are programmed once more: here they come out the same
        sim = Simulation.resume(tmp_path / "run.h5", chip=Driver(config, at=0))
    found = sim.run(**call)
    assert found.spikes["hidden"] == right.spikes["hidden"]
    assert np.array_equal(found.traces["out.membrane"], right.traces["out.membrane"])
    if not anew:
        assert found.chip.projections[0].reads == right.chip.projections[0].reads


def test_blocks_before_the_one_that_failed_are_kept_though_no_checkpoint_was_due(tmp_path, monkeypatch):
    from snnsim.simulation import long_run

    monkeypatch.setattr(long_run, "_FIRST_BLOCK", 15 * 4)  # blocks of four ticks, and longer ones
    given = events(1, 40)
    right = Simulation(network(), "crossbar", chip=Driver(at=0)).run(inputs=given)
    call = {"inputs": given, "stream": tmp_path / "out.h5", "checkpoint": tmp_path / "run.h5"}
    sim = Simulation(network(), "crossbar", chip=Driver(at=9, does=raising(TimeoutError("slow"))))
    with pytest.raises(DeviceError, match="all up to tick 4 of the network is kept"):
        sim.run(**call)
    again = Simulation.resume(tmp_path / "run.h5", chip=Driver(at=0))
    assert again.tick == 4
    assert np.array_equal(again.run(**call).traces["out.membrane"], right.traces["out.membrane"])


def test_ctrl_c_in_a_driver_is_ctrl_c():
    sim = Simulation(network(), "crossbar", chip=Driver(at=3, does=raising(KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        sim.run_samples(events())


# -- learning ---------------------------------------------------------------------------------------------


class Data:
    def __init__(self):
        self.events, self.labels = events(12), np.arange(12) % 3


@pytest.mark.parametrize(("call", "at"), [("program", 5), ("read", 5)])
@pytest.mark.parametrize(("error", "kind", "said"), RAISED[:6])
def test_training_keeps_what_was_done_whatever_a_driver_raises(error, kind, said, call, at, tmp_path):
    pytest.importorskip("torch")
    from snnsim.training import TrainableNetwork, in_the_loop, train

    settings = {"epochs": 2, "batch_size": 4, "validation": 0.0, "progress": False}

    def learned(driver, **more):
        model = TrainableNetwork(network())
        with in_the_loop(model, ChipFabric(network(), driver)):
            train(model, Data(), **settings, **more)
        return model.weights("in->hidden").detach().numpy()

    right = learned(Driver(at=0))
    path = tmp_path / "learn.h5"
    with pytest.raises(DeviceError, match=r"failed in epoch \d, after \d of 3 minibatches: projection '") as caught:
        learned(Driver(call=call, at=at, does=raising(error)), checkpoint=path)
    assert caught.value.kind == kind
    assert said in str(caught.value)
    assert {"program": "programming of tile ", "read": "reading "}[call] in str(caught.value)
    assert f"resume={str(path)!r}" in str(caught.value)
    assert np.array_equal(learned(Driver(at=0), resume=path), right)


@pytest.mark.parametrize("call", ["program", "drive"])
def test_fabrics_of_ones_own_may_raise_anything(call, tmp_path):
    pytest.importorskip("torch")
    from snnsim.training import SoftwareFabric, TrainableNetwork, in_the_loop, train

    class Mine(SoftwareFabric):
        calls = 0

        def _count(self, name):
            self.calls += name == call
            if name == call and self.calls == 3:
                raise KeyError("row 7")

        def program(self, weights):
            self._count("program")
            super().program(weights)

        def drive(self, *arguments):
            self._count("drive")
            return super().drive(*arguments)

    model = TrainableNetwork(network())
    with (
        in_the_loop(model, Mine(model)),
        pytest.raises(DeviceError, match=rf"minibatches: .*Mine.{call}.*KeyError: 'row 7'") as caught,
    ):
        train(model, Data(), epochs=1, batch_size=4, validation=0.0, progress=False, checkpoint=tmp_path / "c.h5")
    assert caught.value.kind == "refused"
    assert (tmp_path / "c.h5").exists()


# -- what a device says of itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": 0}, "Status: rows=0"),
        ({"columns": 1}, "Status: columns=1"),
        ({"tiles": 0}, "Status: tiles=0"),
        ({"g_min": -1.0}, r"Status: g_min=-1\.0"),
        ({"g_max": np.nan}, "Status: g_max=nan"),
        ({"g_min": 2.0, "g_max": 2.0}, r"Status: g_min=2\.0: must be below"),
        ({"read_voltage": 0.0}, r"Status: read_voltage=0\.0"),
        ({"name": 3}, "Status: name=3"),
        ({"units": "uS"}, "Status: units='uS'"),
        ({"capabilities": "keys"}, "Status: capabilities='keys'"),
        ({"protocol": 0}, "Status: protocol=0"),
    ],
)
def test_a_status_that_cannot_be_is_refused(change, words):
    with pytest.raises(ParameterError, match=words):
        Status(**{"name": "x", "rows": 4, "columns": 4, **change})

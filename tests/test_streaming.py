"""Runs into a stream: the file of a run in memory, bounded memory, and nothing lost however a run ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    Dense,
    Events,
    FixedProbability,
    Input,
    Network,
    Normal,
    Poisson,
    Population,
    Projection,
    Result,
    Simulation,
    Trace,
    Uniform,
)
from snnsim.backends.reference.program import ReferenceProgram
from snnsim.errors import DataError, ParameterError, SnnsimError
from snnsim.simulation import long_run, recorders

DT = 1e-3
NEURONS = 14  # that are stepped at every tick
RECORD = ["noise", "in", "cells", Trace("cells", every=3, neurons=[4, 1]), Trace("out")]


def network(seed=0):
    return Network(
        [
            Population("in", 3, Input()),
            Population("noise", 8, Poisson(200.0)),
            Population("cells", 10, LIF(refractory=2e-3)),
            Population("silent", 2, LIF()),
            Population("out", 2, LI()),
        ],
        [
            Projection("in", "cells", Dense(0.5)),
            Projection("noise", "cells", FixedProbability(0.6, Uniform(0.0, 0.8)), delay=Uniform(1e-3, 9e-3)),
            Projection("cells", "cells", FixedProbability(0.3, Normal(0.0, 0.3)), delay=4e-3),
            Projection("cells", "out", Dense(0.1)),
        ],
        dt=DT,
        seed=seed,
    )


def inputs(n_ticks=300):
    counts = np.random.default_rng(1).poisson(0.1, (1, n_ticks, 3))
    return Events.from_dense(counts, DT)


def arguments(folder, every=None):
    place = {"stream": folder / "out.h5", "checkpoint": folder / "run.h5"}
    return {"inputs": inputs(), "record": RECORD, **place, "checkpoint_every": every}


def assert_same(first, second):
    assert list(first.spikes) == list(second.spikes)
    assert first.spikes == second.spikes
    assert list(first.traces) == list(second.traces)
    for key in first.traces:
        assert first.traces[key].dtype == second.traces[key].dtype
        assert np.array_equal(first.traces[key], second.traces[key]), key
    for name in ("spikes", "membrane_updates", "synaptic_operations", "exit_ticks"):
        assert np.array_equal(getattr(first.counters, name), getattr(second.counters, name)), name
    for name in ("populations", "projections", "sources"):
        assert getattr(first.counters, name) == getattr(second.counters, name)
    assert (first.n_ticks, first.start_tick, first.dt) == (second.n_ticks, second.start_tick, second.dt)


@pytest.fixture(params=["whole", "cut"])
def blocks(request, monkeypatch):
    """Run in blocks as they come, or in very short ones with a segment after each few of them."""
    if request.param == "cut":
        monkeypatch.setattr(long_run, "_FIRST_BLOCK", 7 * NEURONS)
        monkeypatch.setattr(long_run, "_GROWTH", 1)
        monkeypatch.setattr(recorders, "SEGMENT_BYTES", 500)


class Stop(BaseException):
    """What a test throws to end a run at some point."""


def stop_after(monkeypatch, n_blocks):
    """Let a backend fail before its block number `n_blocks`."""
    whole, count = ReferenceProgram.run, iter(range(10**9))

    def run(self, state, request):
        if next(count) == n_blocks:
            raise Stop
        return whole(self, state, request)

    monkeypatch.setattr(ReferenceProgram, "run", run)


# -- one run without disturbance -----------------------------------------------------------------------------


@pytest.mark.parametrize("every", [None, 0.05, 0.037, 1.0])
def test_a_stream_is_the_run_in_memory(backend, blocks, every, tmp_path):
    expected = Simulation(network(), backend)
    expected.run(0.1, inputs().crop(100))
    memory = expected.run(0.3, inputs(), record=RECORD)
    assert memory.spikes["cells"].ticks.size > 100
    sim = Simulation(network(), backend)
    sim.run(0.1, inputs().crop(100))
    result = sim.run(0.3, **arguments(tmp_path, every))
    assert_same(memory, result)
    assert_same(memory, Result.load(tmp_path / "out.h5"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "run.h5"]
    assert sim.tick == expected.tick == 400
    after = sim.run(0.05, inputs().crop(50), record=RECORD)
    assert_same(expected.run(0.05, inputs().crop(50), record=RECORD), after)


def layout(path):
    """Return shape, type, chunks and filters of everything in a file."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape, item.dtype, item.chunks, item.compression, item.shuffle)
        else:
            found[name] = dict(item.attrs)

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_the_file_is_that_of_a_saved_result(blocks, tmp_path):
    memory = Simulation(network(), "reference").run(0.3, inputs(), record=RECORD)
    memory.save(tmp_path / "saved.h5")
    Simulation(network(), "reference").run(0.3, inputs(), record=RECORD, stream=tmp_path / "out.h5")
    assert layout(tmp_path / "saved.h5") == layout(tmp_path / "out.h5")


def test_a_run_in_short_blocks_is_one_run(backend, monkeypatch):
    whole = Simulation(network(), backend).run(0.3, inputs(), record=RECORD)
    monkeypatch.setattr(long_run, "_FIRST_BLOCK", 7 * NEURONS)
    monkeypatch.setattr(long_run, "_GROWTH", 1)
    assert_same(whole, Simulation(network(), backend).run(0.3, inputs(), record=RECORD))


def test_nothing_recorded_is_a_stream_too(tmp_path):
    result = Simulation(network(), "reference").run(0.3, inputs(), record=(), stream=tmp_path / "out.h5")
    assert (dict(result.spikes), dict(result.traces), result.n_ticks) == ({}, {}, 300)
    assert result.counters.spikes.sum() > 0


# -- runs that end before their time ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_blocks", [0, 1, 4, 11, 42])
def test_a_run_that_was_broken_off_goes_on(blocks, n_blocks, monkeypatch, tmp_path):
    expected = Simulation(network(), "reference").run(0.3, inputs(), record=RECORD)
    call, path = arguments(tmp_path, 0.02), tmp_path / "run.h5"
    for attempt in range(3):
        with monkeypatch.context() as patch:
            if attempt < 2:
                stop_after(patch, n_blocks)
            sim = Simulation.resume(path, network(), "reference")
            try:
                result = sim.run(0.3, **call)
                break
            except Stop:
                with pytest.raises(SnnsimError, match="broken off within a block of ticks"):
                    sim.run(0.3, **call)
    assert_same(expected, result)
    assert_same(expected, Simulation.resume(path).run(0.3, **call))
    assert Simulation.resume(path).tick == 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "run.h5"]


def test_ctrl_c_stops_between_blocks_and_the_same_call_goes_on(blocks, monkeypatch, tmp_path):
    monkeypatch.setattr(long_run, "_FIRST_BLOCK", 7 * NEURONS)
    expected = Simulation(network(), "reference").run(0.3, inputs(), record=RECORD)
    whole, count = ReferenceProgram.run, iter(range(10**9))

    def run(self, state, request):
        if next(count) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(self, state, request)

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(ReferenceProgram, "run", run)
        sim = Simulation(network(), "reference")
        with pytest.raises(KeyboardInterrupt, match=r"stopped at tick \d+ of 300; the same call goes on"):
            sim.run(0.3, **arguments(tmp_path))
        assert 0 < sim.tick < 300
        part = Result.recover(tmp_path / "out.h5")
        assert part.n_ticks == sim.tick
        assert part.spikes["cells"].ticks.tolist() == expected.spikes["cells"].crop(sim.tick).ticks.tolist()
        assert np.array_equal(part.traces["out.membrane"], expected.traces["out.membrane"][:, : sim.tick])
    assert signal.getsignal(signal.SIGINT) is handler
    other = Simulation.resume(tmp_path / "run.h5", backend="cpu")  # the last block is in the checkpoint
    assert other.tick == sim.tick
    assert_same(expected, sim.run(0.3, **arguments(tmp_path)))


def test_ctrl_c_in_memory_leaves_the_state_of_the_last_block(backend, monkeypatch):
    monkeypatch.setattr(long_run, "_FIRST_BLOCK", 20 * NEURONS)
    sim = Simulation(network(), backend)
    whole = type(sim.program).run_long

    def run_long(self, state, request):
        os.kill(os.getpid(), signal.SIGINT)
        return whole(self, state, request)

    with monkeypatch.context() as patch:
        patch.setattr(type(sim.program), "run_long", run_long)
        with pytest.raises(KeyboardInterrupt, match="stopped at tick 20 of the network"):
            sim.run(0.3, inputs(), record=RECORD)
    rest = sim.run(0.28, inputs().crop(280, 20), record="cells")
    expected = Simulation(network(), backend).run(0.3, inputs(), record="cells")
    assert rest.spikes["cells"] == expected.spikes["cells"].crop(280, 20)


def test_a_checkpoint_of_a_stream_may_also_begin_something_new(tmp_path):
    sim = Simulation(network(), "reference")
    sim.run(0.3, **arguments(tmp_path))
    rest = sim.run(0.05, inputs().crop(50), record=RECORD)
    other = Simulation.from_checkpoint(tmp_path / "run.h5", "cpu")
    assert_same(rest, other.run(0.05, inputs().crop(50), record=RECORD))
    begun = Simulation.resume(tmp_path / "run.h5")
    begun.abandon()
    assert_same(rest, begun.run(0.05, inputs().crop(50), record=RECORD))


# -- every step of writing -------------------------------------------------------------------------------------

CRASH = """
import os, pathlib, shutil, sys
sys.path[:0] = [{tests!r}]
import test_streaming as t
from snnsim import LIF, Network, Population, Simulation, Trace
from snnsim.simulation import long_run, recorders
long_run._FIRST_BLOCK, long_run._GROWTH, recorders.SEGMENT_BYTES = 15, 1, 50
folder = pathlib.Path({folder!r})
network = Network([Population("cells", 3, LIF(bias=[0.3, 0.4, 0.5]))], [], dt=1e-3)
record = ["cells", Trace("cells", every=3)]
expected = Simulation(network, "reference").run(0.03, record=record)
os.fsync = lambda file: None  # a killed process does not need it, and it takes most of the time

def run():
    sim = Simulation.resume(folder / "run.h5", network, "reference")
    place = dict(stream=folder / "out.h5", checkpoint=folder / "run.h5", checkpoint_every=0.02)
    return sim.run(0.03, record=record, **place)

def in_child(work):
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def dying(at):
    count = 0
    def counted(whole):
        def call(*arguments, **more):
            nonlocal count
            count += 1
            if count == at:
                os._exit(9)
            return whole(*arguments, **more)
        return call
    for module, names in (
        (os, ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "open")),
        (pathlib.Path, ("replace", "rename", "unlink", "rmdir", "mkdir", "open", "read_text", "write_text")),
    ):
        for name in names:
            setattr(module, name, counted(getattr(module, name)))
    run()

def check():
    t.assert_same(expected, run())
    assert sorted(path.name for path in folder.iterdir()) == ["out.h5", "run.h5"], list(folder.iterdir())

steps, code = 1, 9
while code == 9:
    steps += 3  # every third: all of them take a minute
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    code = in_child(lambda: dying(steps))
    assert code in (0, 9), (steps, code)
    # What goes on dies as well, somewhere else.
    assert in_child(lambda: dying(1 + 7 * steps % 60)) in (0, 9), steps
    assert in_child(check) == 0, steps
print("steps", steps)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_may_die_at_any_step_of_writing(tmp_path):
    code = CRASH.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split("steps")[1]) > 50


# -- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"checkpoint": "run.h5"}, "checkpoint: needs a stream"),
        ({"checkpoint_every": 0.1}, "checkpoint_every: needs a stream"),
        ({"stream": "out.h5", "checkpoint_every": 0.1}, "checkpoint_every: needs checkpoint"),
        ({"stream": 3}, "stream=3: expected the name of a file"),
        ({"stream": "."}, r"stream='\.': is a folder"),
        ({"stream": "out.h5", "checkpoint": "."}, r"checkpoint='\.': is a folder"),
        ({"stream": "out.h5", "checkpoint": "out.h5"}, "checkpoint='out.h5': is the stream"),
        ({"stream": "out.h5", "checkpoint": "run.h5", "checkpoint_every": 0.0}, "checkpoint_every=0.0: must be a tick"),
        ({"stream": "out.h5", "checkpoint": "run.h5", "checkpoint_every": 1e-4}, "checkpoint_every=0.0001 s is not"),
    ],
)
def test_places_that_make_no_sense_are_refused(more, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError, match=message):
        Simulation(network(), "reference").run(0.3, inputs(), **more)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def broken_off(tmp_path, monkeypatch):
    """Return arguments of a run that has ended at tick 60 of 300, 20 ticks after its last checkpoint."""
    call = arguments(tmp_path, 0.04)
    with monkeypatch.context() as patch:
        patch.setattr(long_run, "_FIRST_BLOCK", 20 * NEURONS)
        patch.setattr(long_run, "_GROWTH", 1)
        patch.setattr(recorders, "SEGMENT_BYTES", 0)
        stop_after(patch, 3)
        with pytest.raises(Stop):
            Simulation(network(), "reference").run(0.3, **call)
    return call


def test_a_new_run_does_not_take_the_place_of_one_that_is_not_finished(broken_off, tmp_path):
    with pytest.raises(ParameterError, match=r"holds 60 ticks of a run that was not finished; go on with Simulation\."):
        Simulation(network(), "reference").run(0.3, **broken_off)
    assert Result.recover(tmp_path / "out.h5").n_ticks == 60
    assert Simulation.resume(tmp_path / "run.h5", network()).tick == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration": 0.31}, r"duration: was 0\.3 s \(300 ticks\), is now 0\.31 s"),
        ({"record": ["cells"]}, "record: was 3 populations and 2 traces, .* is now 1 populations and 0 traces"),
        ({"record": [*RECORD[:3], Trace("cells", every=3), RECORD[4]]}, "record: was 3 populations and 2 traces"),
        ({"inputs": inputs(200)}, "inputs: was 1 recordings"),
        ({"stream": None, "checkpoint": None, "checkpoint_every": None}, "stream: is missing, but a run into"),
    ],
)
def test_a_run_goes_on_as_it_was_begun(broken_off, change, message, tmp_path):
    call = {"duration": 0.3, **broken_off, **change}
    with pytest.raises(ParameterError, match=message):
        Simulation.resume(tmp_path / "run.h5", network(), "reference").run(**call)


def test_a_checkpoint_goes_on_with_its_own_network_and_precision(broken_off, tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(ParameterError, match=r"is of another network; different are: seed$"):
        Simulation.resume(path, network(seed=1))
    other = network().replaced(projections=[Projection("cells", "out", Dense(0.2))])
    with pytest.raises(ParameterError, match=r"different are: projection 'cells->out'$"):
        Simulation.resume(path, other)
    with pytest.raises(ParameterError, match=r"dtype='float64': the checkpoint .* is in float32"):
        Simulation.resume(path, network(), dtype="float64")
    with pytest.raises(ParameterError, match="network='net': expected a Network"):
        Simulation.resume(path, "net")
    with pytest.raises(DataError, match="no such file"):
        Simulation.resume(tmp_path / "none.h5")


def test_segments_that_are_missing_are_said(broken_off, tmp_path):
    folder = tmp_path / "out.h5.segments"
    first = min(folder.glob("0*.h5"))
    content = first.read_bytes()
    first.unlink()
    sim = Simulation.resume(tmp_path / "run.h5", network(), "reference")
    with pytest.raises(DataError, match="the segments end at tick 0 of the run, the state is at tick 40"):
        sim.run(0.3, **broken_off)
    with pytest.raises(DataError, match="no segments of an unfinished run"):
        Result.recover(tmp_path / "out.h5")
    first.write_bytes(content)
    with pytest.raises(DataError, match="stopped at tick 40 of 300, but no segments are in"):
        sim.run(0.3, **broken_off | {"stream": tmp_path / "other.h5"})
    (folder / "run.json").write_text("{}")
    with pytest.raises(DataError, match=r"run\.json: the file is damaged"):
        sim.run(0.3, **broken_off)
    assert not (tmp_path / "other.h5.segments").exists()


def test_two_runs_do_not_write_to_one_stream(monkeypatch, tmp_path):
    sim, second = Simulation(network(), "reference"), Simulation(network(), "reference")
    whole = ReferenceProgram.run

    def run(self, state, request):
        if self is sim.program:
            with pytest.raises(DataError, match="another run is writing to this stream now"):
                second.run(0.3, **arguments(tmp_path))
        return whole(self, state, request)

    monkeypatch.setattr(ReferenceProgram, "run", run)
    sim.run(0.3, **arguments(tmp_path))


def test_memory_is_bounded(monkeypatch, tmp_path):
    """A stream holds no more than a segment, and a run in memory 12 bytes a spike."""
    import tracemalloc

    net = Network([Population("noise", 300, Poisson(400.0))], [], dt=DT)
    monkeypatch.setattr(recorders, "SEGMENT_BYTES", 2**19)
    monkeypatch.setattr(long_run, "_MOST_BYTES", 2**18)
    peaks = {}
    for name, stream in (("stream", tmp_path / "out.h5"), ("memory", None)):
        for seconds in (2.0, 16.0):
            sim = Simulation(net)
            sim.run(0.1, record="noise")
            tracemalloc.start()
            result = sim.run(seconds, record="noise", stream=stream)
            peaks[name, seconds] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    spikes = int(result.counters.spikes.sum())
    assert spikes > 1_500_000
    assert peaks["stream", 16.0] < 1.5 * peaks["stream", 2.0]
    assert (peaks["memory", 16.0] - peaks["memory", 2.0]) / (spikes * 14 / 16) < 22  # 8 in the log, 12 in the result
    assert sum(part.ticks.nbytes + part.sources.nbytes for part in result.spikes.values()) == 12 * spikes


RANKS = """
import pathlib, sys
sys.path[:0] = [{tests!r}]
import test_streaming as t
from snnsim import Simulation
from snnsim.simulation import long_run
long_run._FIRST_BLOCK, long_run._GROWTH = 17 * t.NEURONS, 2
folder = pathlib.Path({folder!r})
simulation = Simulation.resume(folder / "run.h5", t.network(), threads=1)
result = simulation.run(0.3, **t.arguments(folder, 0.05))
sys.stdout.write(f"{{result.spikes['cells'].ticks.size}} {{simulation.tick}}\\n")  # a line at once: two ranks write
"""


@pytest.mark.slow
def test_ranks_write_one_stream(tmp_path):
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else "mpiexec"
    code = RANKS.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    expected = Simulation(network()).run(0.3, inputs(), record=RECORD)
    for _ in range(2):  # the second time it is finished already
        command = [launcher, "-n", "2", sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split("\n")[:2] == [f"{expected.spikes['cells'].ticks.size} 300"] * 2
    assert_same(expected, Result.load(tmp_path / "out.h5"))

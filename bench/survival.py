"""Kill -9 a long run at random moments, again and again, and see that nothing is lost.

A balanced network whose synapses learn runs into a stream with checkpoints. A process that does so is killed at a
random moment of its work; the next one goes on from what is on the disk. After each kill the checkpoint must open, no
earlier than the one before, and what the stream holds must be the beginning of the undisturbed run. In the end spikes,
counters, membranes, traces of plasticity and weights must be those of the undisturbed run, bit for bit. No peer.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np

import snnsim as sn
from snnsim import circuits
from snnsim.system.machine import cores

EXCITATORY, INHIBITORY, LEARNED = "excitatory", "inhibitory", "excitatory->excitatory"


def network() -> sn.Network:
    """Return the network: spikes on their way, Poisson drives, plasticity."""
    return circuits.brunel_stdp(order=200, weight=0.3)


def work(folder: Path, duration: float, every: float) -> None:
    """Run, or go on with the run, in a folder."""
    simulation = sn.Simulation.resume(folder / "run.h5", network(), threads=cores())
    simulation.run(
        duration,
        record=[EXCITATORY, INHIBITORY],
        stream=folder / "out.h5",
        checkpoint=folder / "run.h5",
        checkpoint_every=every,
    )


def killed(folder: Path, duration: float, every: float, seconds: float) -> bool:
    """Fork a process that works in the folder, kill it after so many seconds; return False where it was done first."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(folder, duration, every)
            status = 0
        finally:
            os._exit(status)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"a process failed by itself with status {os.WEXITSTATUS(status)}; what it printed is above")
    return os.WIFSIGNALED(status)


def check_beginning(folder: Path, expected: sn.Result) -> int:
    """Check what the stream of a killed process holds; return its ticks, -1 where nothing is there yet."""
    try:
        found = sn.Result.recover(folder / "out.h5")
    except sn.errors.DataError:
        if not (folder / "out.h5").exists():
            return -1
        found = sn.Result.open(folder / "out.h5")  # killed when all was done
    for name, events in found.spikes.items():
        whole = expected.spikes[name]
        kept = whole.ticks < found.n_ticks
        same = np.array_equal(events.ticks, whole.ticks[kept]) and np.array_equal(events.sources, whole.sources[kept])
        if not same:
            raise SystemExit(f"{folder}: the stream of {name} is not the beginning of the undisturbed run")
    return found.n_ticks


def check_whole(folder: Path, expected: sn.Result, undisturbed: sn.Simulation) -> None:
    """Check a finished run."""
    found, end = sn.Result.open(folder / "out.h5"), sn.Simulation.resume(folder / "run.h5", network())
    end.abandon()  # the run is finished; what comes is a new one
    same = {
        "spikes": all(found.spikes[name] == events for name, events in expected.spikes.items()),
        "counters": all(
            np.array_equal(getattr(found.counters, name), getattr(expected.counters, name))
            for name in ("spikes", "membrane_updates", "synaptic_operations")
        ),
        "membranes": np.array_equal(end.state.floats, undisturbed.state.floats),
        "weights": np.array_equal(end.weights(LEARNED), undisturbed.weights(LEARNED)),
        "what comes next": end.run(0.05, record=EXCITATORY).spikes == undisturbed.run(0.05, record=EXCITATORY).spikes,
    }
    wrong = [name for name, equal in same.items() if not equal]
    if wrong:
        raise SystemExit(f"{folder}: {', '.join(wrong)} differ from the undisturbed run")


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, help="default 100, 5 with --quick")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments; default the clock")
    options = parser.parse_args(arguments)
    kills = options.kills or (5 if options.quick else 100)
    duration, every = (0.2, 0.01) if options.quick else (1.0, 0.01)
    chance = random.Random(options.seed)
    begin = time.perf_counter()
    undisturbed = sn.Simulation(network(), threads=1)
    expected = undisturbed.run(duration, record=[EXCITATORY, INHIBITORY])
    print(f"undisturbed: {expected.counters.spikes.sum():,} spikes; seed of the moments {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "probe"
        folder.mkdir()
        whole = time.perf_counter()
        work(folder, duration, every)
        whole = time.perf_counter() - whole
        after = sn.Simulation(network(), threads=1)
        after.run(duration, record=())
        check_whole(folder, expected, after)
        done = finished = writing = 0
        ticks: list[int] = []
        while done < kills:
            folder = Path(place) / f"run{finished}"
            folder.mkdir()
            tick = -1
            # Some kills strike before anything is written, most in the middle, some when all but the end is done.
            while killed(folder, duration, every, chance.uniform(0.0, 0.5 * whole)):
                done += 1
                writing += any(entry.name.endswith(".partial") for entry in folder.rglob("*"))
                if (folder / "run.h5").exists():
                    now = sn.Simulation.resume(folder / "run.h5", network()).tick
                    if now < tick:
                        raise SystemExit(f"{folder}: the checkpoint went back from tick {tick} to {now}")
                    tick = now
                # It may be shorter than before: a run that goes on discards what lies after its checkpoint, to compute
                # it anew, and may be killed in between.
                held = check_beginning(folder, expected)
                if max(held, 0) < tick:
                    raise SystemExit(f"{folder}: the stream ends at tick {held}, before the checkpoint at {tick}")
                ticks.append(tick)
            after.reset()
            after.run(duration, record=())
            check_whole(folder, expected, after)
            finished += 1
            shutil.rmtree(folder)
            print(f"{done} kills, {writing} while a file was being written; {finished} runs finished", flush=True)
    rows = [
        harness.row("kill -9", "kills survived", "", done),
        harness.row("kill -9", "while a file was being written", "", writing),
        harness.row("kill -9", "runs that went on to their end, bit for bit", "", finished),
        harness.row("kill -9", "different ticks that processes went on from", "", len(set(ticks))),
    ]
    settings = {"quick": options.quick, "kills": kills, "seed": options.seed, "duration": duration, "every": every}
    print(f"{time.perf_counter() - begin:.0f} s")
    return harness.finish("survival", settings, rows, options.json)


if __name__ == "__main__":
    main()

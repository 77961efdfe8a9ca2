"""Processes of MPI that go apart: all of them say how, none waits for ever; and processes that run on their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import dataclasses, os, sys
import numpy as np
{first}
from mpi4py import MPI
import snnsim as sn

rank = MPI.COMM_WORLD.rank
DT = 1e-4

def network(n=20, seed=1, rule=None, dt=DT, bias=0.0, rate=200.0, plasticity=None, inputs=False, **changes):
    source = sn.Input() if inputs else sn.Poisson(rate)
    populations = [sn.Population("p", n, source), sn.Population("o", 11, sn.LIF(20e-3, bias=bias))]
    rule = sn.FixedProbability(0.4, 0.3) if rule is None else rule
    projections = [sn.Projection("p", "o", rule, delay=1e-3, plasticity=plasticity)]
    return sn.Network(populations, projections, dt=dt, seed=seed, **changes)

def attempt(name, work):
    try:
        outcome = work()
        text = "fine" if outcome is None or isinstance(outcome, sn.Simulation) else str(outcome)
    except Exception as error:
        text = f"{{type(error).__name__}}: {{error}}"
    sys.stdout.write(f"{{name}}|{{rank}}|{{text}}\\n")
    sys.stdout.flush()

def spikes(simulation, seconds=0.02, **options):
    result = simulation.run(seconds, **options)
    return int(result.counters.spikes[0, 1])
"""


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Return a function that runs a script on two ranks and gives what each said of each attempt, and the exit code."""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    assert launcher, "no mpiexec: the tests need the extra 'mpi' (pip install 'snnsim[dev]')"

    def run(script, *, first="", n=2, timeout=60):
        folder = tmp_path_factory.mktemp("ranks")
        code = PRELUDE.format(first=first) + script
        done = subprocess.run(
            [launcher, "-n", str(n), sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=folder,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
        said = {}
        for line in done.stdout.splitlines():
            name, rank, text = line.split("|", 2)
            said.setdefault(name, {})[int(rank)] = text
        return said, done

    return run


DESCRIPTIONS = {
    "seed": ("network(seed=rank)", r"in seed (0 on rank 0, 1 on rank 1)"),
    "size": ("network(n=20 + rank)", "in shape of population 'p' ((20,) on rank 0, (21,) on rank 1)"),
    "unseeded": (
        "network(rule=sn.Dense(np.random.default_rng().random((20, 11))))",
        "connectivity of projection 'p->o'",
    ),
    "one weight": ("network(rule=sn.Dense(np.eye(20, 11) * (1 + 1e-12 * rank)))", "connectivity of projection 'p->o'"),
    "bias": ("network(bias=0.01 * rank)", "in model of population 'o'"),
    "rate": ("network(rate=200.0 + rank)", "in model of population 'p'"),
    "dt": ("network(dt=DT / (1 + rank))", "in dt (0.0001 on rank 0, 5e-05 on rank 1)"),
}


def test_ranks_that_describe_different_networks_all_say_in_what(launch):
    lines = [f"attempt({name!r}, lambda: sn.Simulation({code}))" for name, (code, _) in DESCRIPTIONS.items()]
    lines += [
        "attempt('dtype', lambda: sn.Simulation(network(), dtype=('float32', 'float64')[rank]))",
        "attempt('visit', lambda: sn.Simulation(network(), visit=('ticks', 'auto')[rank]))",
        # Weights beyond the bounds on one part alone, that of rank 1.
        "weights = np.full((20, 11), 0.5); weights[:, 10] = 7.0",
        "attempt('bounds', lambda: sn.Simulation(network(rule=sn.Dense(weights), plasticity=sn.STDP())))",
        "attempt('memory', lambda: sn.Simulation(network(), memory_limit=(10**9, 1000)[rank]))",
        "attempt('alike', lambda: spikes(sn.Simulation(network())))",
    ]
    said, done = launch("\n".join(lines))
    assert done.returncode == 0, done.stderr
    for name, (_, expected) in DESCRIPTIONS.items():
        assert said[name][0] == said[name][1]
        assert said[name][0].startswith("RanksError: ranks go apart in the call Simulation(...): they differ in")
        assert expected in said[name][0]
        assert "ranks='separate'" in said[name][0]
    assert "dtype (float32 on rank 0, float64 on rank 1)" in said["dtype"][0] == said["dtype"][1]
    assert "visit ('ticks' on rank 0, 'auto' on rank 1)" in said["visit"][0] == said["visit"][1]
    assert said["bounds"][1].startswith("NetworkError: projection 'p->o': weights from 0.5 to 7 leave the bounds")
    assert said["bounds"][0].startswith(
        "RanksError: Simulation(...) has failed on rank 1: NetworkError: projection 'p->o'"
    )
    assert said["memory"][1].startswith("ResourceError: network 'network' needs")
    assert said["memory"][0].startswith("RanksError: Simulation(...) has failed on rank 1: ResourceError")
    assert said["alike"][0] == said["alike"][1]
    assert int(said["alike"][0]) > 0


CALLS = """
plastic = sn.RewardModulatedSTDP(maximum=5.0)
sim = sn.Simulation(network(plasticity=plastic))
events = sn.Events.from_ticks([3, 9 + rank], [0, 1], n_sources=20, n_ticks=50, dt=DT)
listening = sn.Simulation(network(inputs=True))
attempt("duration", lambda: sim.run(0.01 * (1 + rank)))
attempt("record", lambda: sim.run(0.01, record=("o", "p")[rank]))
attempt("trace", lambda: sim.run(0.01, record=sn.Trace("o", every=1 + rank)))
attempt("inputs", lambda: listening.run(inputs=events))
attempt("stream", lambda: sim.run(0.01, stream=f"{rank}.h5"))
attempt("checkpoint", lambda: sim.run(0.01, stream="s.h5", checkpoint=f"c{rank}.h5"))
attempt("every", lambda: sim.run(0.01, stream="s.h5", checkpoint="c.h5", checkpoint_every=1e-3 * (1 + rank)))
attempt("reward", lambda: sim.reward("p->o", 0.5 * rank))
attempt("path", lambda: sim.save_checkpoint(f"{rank}.h5"))
attempt("calls", lambda: sim.run(0.01) if rank else sim.weights("p->o"))
attempt("change", lambda: sim.change(network(plasticity=plastic, bias=0.1 * rank)))
attempt("still fine", lambda: spikes(sim))
if rank: sim.reset()
attempt("reset", lambda: sim.run(0.01))
sim.reset()
sim.run(0.01)
if rank: sim.state.floats[0, 0] += 1e-3
attempt("state", lambda: sim.run(0.01))
attempt("state of weights", lambda: sim.weights("p->o"))
sim.reset()
open("taken.h5.segments", "w") if not rank else None
attempt("one fails", lambda: sim.run(0.01, stream="taken.h5"))
attempt("one cannot write", lambda: sim.save_checkpoint("/proc/nothing.h5"))
attempt("all again", lambda: spikes(sim))
"""


@pytest.mark.slow
def test_ranks_that_call_differently_all_say_in_what_and_go_on(launch):
    said, done = launch(CALLS)
    assert done.returncode == 0, done.stderr
    expected = {
        "duration": "in the call Simulation.run: they differ in duration (0.01 s (100 ticks) on rank 0, 0.02 s (200",
        "record": "they differ in record (1 populations and 0 traces",
        "trace": "they differ in record (0 populations and 1 traces",
        "inputs": "they differ in inputs (1 recordings",
        "stream": "they differ in stream (",
        "checkpoint": "they differ in checkpoint (",
        "every": "they differ in every (10 on rank 0, 20 on rank 1)",
        "reward": "in the call Simulation.reward: they differ in value (0.0 on rank 0, 0.5 on rank 1)",
        "path": "in the call Simulation.save_checkpoint: they differ in path (0.h5 on rank 0, 1.h5 on rank 1)",
        "calls": "ranks go apart in what they call: rank 0 Simulation.weights, rank 1 Simulation.run;",
        "change": "in the call Simulation.change: they differ in model of population 'o'",
        "reset": "they differ in tick (200 on rank 0, 0 on rank 1); state",
        "state": "in the call Simulation.run: they differ in state.",
        "state of weights": "in the call Simulation.weights: they differ in state.",
    }
    for name, text in expected.items():
        assert said[name][0] == said[name][1]
        assert said[name][0].startswith("RanksError: ranks go apart")
        assert text in said[name][0], name
    for name in ("still fine", "all again"):
        assert said[name][0] == said[name][1]
        assert said[name][0].isdigit()
    assert said["one fails"][0].startswith("DataError: ")
    assert said["one fails"][1].startswith("RanksError: Simulation.run has failed on rank 0: DataError: ")
    assert "Error: " in said["one cannot write"][0]
    assert said["one cannot write"][1].startswith("RanksError: Simulation.save_checkpoint has failed on rank 0: ")


ENDS = {
    "fails before it makes a simulation": "if rank: raise ValueError('mine')\n"
    "attempt('it', lambda: sn.Simulation(network()))",
    "ends before it makes a simulation": "if rank: sys.exit(0)\nattempt('it', lambda: sn.Simulation(network()))",
    "fails in its description": "attempt('it', lambda: sn.Simulation(network(n=20 if not rank else -1)))",
    "fails between runs": "sim = sn.Simulation(network()); sim.run(0.01)\nif rank: raise ValueError('mine')\n"
    "attempt('it', lambda: sim.run(0.01)); attempt('it', lambda: sim.run(0.01))",
    "asks for less": "sim = sn.Simulation(network())\nfor _ in range(3 - rank): attempt('it', lambda: spikes(sim))",
    "is refused a run": "sim = sn.Simulation(network())\nattempt('it', lambda: sim.run(-1.0 if rank else 0.01))",
    "is refused a plastic run": "sim = sn.Simulation(network(plasticity=sn.STDP(maximum=5.0)))\nsim.run(0.01)\n"
    "attempt('it', lambda: sim.weights('p->o' if not rank else 5 / 0) is None)",
    "abandons": "sim = sn.Simulation(network())\n"
    "import snnsim.simulation.long_run as l; l.LongRun.run = lambda *_: False\n"
    "try: sim.run(0.01, stream='s.h5')\nexcept KeyboardInterrupt: pass\n"
    "if rank: sim.abandon()\nattempt('it', lambda: sim.run(0.01, stream='s.h5'))",
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("first", ["import snnsim", ""])
def test_no_rank_waits_for_ever_for_one_that_ends(launch, how, first):
    """Whichever of mpi4py and snnsim is imported first."""
    if first and how not in ("fails between runs", "fails before it makes a simulation"):
        return
    said, done = launch(ENDS[how], first=first)
    text = said["it"][0]
    assert text.startswith("RanksError: ranks go apart"), (text, done.stderr)
    if how == "abandons":
        assert "they differ in unfinished run (of 100 ticks from 0 on rank 0, none on rank 1)" in text
    else:
        assert ": rank 1 reached the end of its script, while others make the call Simulation" in text
    if "fails" in how and "description" not in how:
        assert done.returncode != 0
        assert "ValueError: mine" in done.stderr


def test_processes_run_on_their_own_where_they_say_so(launch):
    script = """
sim = sn.Simulation(network(seed=rank), ranks="separate")
result = sim.run(0.02 * (1 + rank), record=("o", "p")[rank], stream=f"{rank}.h5")
attempt("spikes", lambda: f"{int(result.counters.spikes[0, 1])} {list(result.spikes)} {sim.tick}")
sim.save_checkpoint(f"c{rank}.h5")
again = sn.Simulation.from_checkpoint(f"c{rank}.h5", ranks="separate")
attempt("again", lambda: f"{again.tick} {spikes(again)} {spikes(sim)}")
attempt("nonsense", lambda: sn.Simulation(network(), ranks="apart"))
attempt("reference", lambda: sn.Simulation(network(), "reference").run(0.01 * (1 + rank)).n_ticks)
recordings = sn.Events.from_dense(np.ones((2 + rank, 5, 20), int), DT)
attempt("samples", lambda: len(sn.Simulation(network(inputs=True, seed=rank)).run_samples(recordings)))
"""
    said, done = launch(script)
    assert done.returncode == 0, done.stderr
    import snnsim as sn

    for rank in (0, 1):
        populations = [sn.Population("p", 20, sn.Poisson(200.0)), sn.Population("o", 11, sn.LIF(20e-3, bias=0.0))]
        projections = [sn.Projection("p", "o", sn.FixedProbability(0.4, 0.3), delay=1e-3)]
        alone = sn.Simulation(sn.Network(populations, projections, dt=1e-4, seed=rank))
        count = int(alone.run(0.02 * (1 + rank)).counters.spikes[0, 1])
        assert said["spikes"][rank] == f"{count} {[('o', 'p')[rank]]} {200 * (1 + rank)}"
        further = int(alone.run(0.02).counters.spikes[0, 1])
        assert said["again"][rank] == f"{200 * (1 + rank)} {further} {further}"
        assert said["nonsense"][rank].startswith("ParameterError: ranks='apart' is not known; allowed: 'together'")
        assert said["reference"][rank] == str(100 * (1 + rank))
        assert said["samples"][rank] == str(2 + rank)


@pytest.mark.slow
def test_a_change_of_a_running_network_is_that_of_one_process(launch):
    script = """
import hashlib
sim = sn.Simulation(network(plasticity=sn.STDP(maximum=5.0)), threads=1)
sim.run(0.02)
sim.change(network(plasticity=sn.STDP(0.1, maximum=5.0), bias=0.02, rate=300.0))
result = sim.run(0.02, record=["o", sn.Trace("o")])
digest = hashlib.sha256(result.spikes["o"].ticks.tobytes() + (result.traces["o.membrane"] + 0.0).tobytes())
digest.update(sim.weights("p->o").tobytes() + (sim.state.floats + 0.0).tobytes())
attempt("digest", digest.hexdigest)
"""
    two, done = launch(script)
    assert done.returncode == 0, done.stderr
    one, done = launch(script, n=1)
    assert done.returncode == 0, done.stderr
    assert {*two["digest"].values()} == {*one["digest"].values()}


def test_processes_that_do_not_see_each_other_say_so(launch):
    """The launcher of another MPI: each process would take itself for all there is, and write the same files."""
    script = """
os.environ["SLURM_STEP_NUM_TASKS"] = "3"
attempt("together", lambda: sn.Simulation(network()))
attempt("separate", lambda: sn.Simulation(network(), ranks="separate"))
attempt("samples", lambda: sn.Simulation(network(inputs=True)))
"""
    said, done = launch(script, n=1)
    assert done.returncode == 0, done.stderr
    assert "RanksError: a launcher started 3 processes, but mpi4py sees one" in said["together"][0]
    assert said["separate"] == said["samples"] == {0: "fine"}

"""`snnsim train`: trains, resumes, leaves a usable checkpoint when interrupted, and refuses a damaged one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import snnsim as sn
from snnsim.cli import main
from snnsim.datasets import EventDataset

DT = 10e-3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return the path of a small data set: two classes that differ in which half of the sensor is active."""
    generator = np.random.default_rng(0)
    labels = np.arange(80) % 2
    counts = generator.random((80, 10, 2, 8, 8)) < 0.03
    for i, label in enumerate(labels):
        counts[i, :, :, :, 4 * label : 4 * label + 4] |= generator.random((10, 2, 8, 4)) < 0.2
    events = sn.Events.from_dense(counts.reshape(80, 10, -1).astype(np.int64), DT)
    path = tmp_path_factory.mktemp("data") / "halves.h5"
    EventDataset(events, labels, ("left", "right"), (2, 8, 8), "halves", "made for a test").save(path)
    return path


def command(data, out, *more):
    fixed = ["train", "--data", str(data), "--hidden", "16", "--batch", "16", "--learning-rate", "0.01"]
    return [*fixed, "--out", str(out), *more]


def test_trains_and_saves_what_runs_elsewhere(data, tmp_path, capsys):
    out = tmp_path / "model.h5"
    assert main(command(data, out, "--epochs", "5", "--figure", str(tmp_path / "curve.png"))) == 0
    printed = capsys.readouterr().out
    accuracy = float(printed.split("test accuracy ")[1].split(" %")[0])
    assert accuracy > 90
    # One file has no test split: the accuracy is that of recordings that were not learned from.
    assert "no test split: 16 of its recordings are held out to test" in printed
    assert f"test accuracy {accuracy:.1f} % of 16 recordings" in printed
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert main(["run", str(out), "--data", str(data)]) == 0
    assert "% of 80 recordings" in capsys.readouterr().out


def test_what_cannot_be_trained_is_refused_before_the_training(data, tmp_path, capsys):
    alone = tmp_path / "alone.h5"
    sn.Network([sn.Population("a", 2, sn.LIF())], [], dt=DT).save(alone)
    for more, message in (
        (("--network", str(alone)), "has 0 Input populations; needs one"),
        (("--dt", "0"), "dt=0.0: must be a finite number above zero"),
        (("--out", str(tmp_path)), "is a folder; give the name of a file"),
        (("--figure", "curve.xyz"), "'xyz' is not known"),
    ):
        assert main([*command(data, tmp_path / "model.h5"), *more]) == 1
        printed = capsys.readouterr()
        assert message in printed.err
        assert not printed.out


@pytest.mark.parametrize("keep", [10, 2000, -100])
def test_checkpoint_cut_short(data, tmp_path, capsys, keep):
    checkpoint = tmp_path / "cut.h5"
    assert main(command(data, tmp_path / "model.h5", "--epochs", "1", "--checkpoint", str(checkpoint))) == 0
    capsys.readouterr()
    checkpoint.write_bytes(checkpoint.read_bytes()[:keep])
    before = checkpoint.read_bytes()
    assert main(command(data, tmp_path / "other.h5", "--epochs", "2", "--resume", str(checkpoint))) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("snnsim: error:")]
    assert len(lines) == 1
    assert "cut.h5" in lines[0]
    assert checkpoint.read_bytes() == before
    assert not (tmp_path / "other.h5").exists()


def test_interrupt_leaves_a_usable_checkpoint(data, tmp_path):
    out, checkpoint = tmp_path / "model.h5", tmp_path / "model.checkpoint.h5"
    arguments = command(data, out, "--epochs", "100000")
    process = subprocess.Popen(
        [sys.executable, "-m", "snnsim.cli", *arguments],
        env={**os.environ, "MPLBACKEND": "Agg"},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 120
    first = None
    while time.monotonic() < deadline:  # wait until the checkpoint has been written anew at least once
        if checkpoint.exists():
            stamp = checkpoint.stat().st_mtime_ns
            first = first or stamp
            if stamp != first:
                break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.rstrip().endswith("snnsim: interrupted")
    assert not out.exists()
    assert not list(tmp_path.glob(".*partial"))
    from snnsim.training.checkpoint import Checkpoint

    assert Checkpoint.load(checkpoint).epoch >= 1

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
from snnsim.commands.cli import main
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
    hidden = () if "--network" in more else ("--hidden", "16")
    fixed = ["train", "--data", str(data), *hidden, "--batch", "16", "--learning-rate", "0.01"]
    return [*fixed, "--out", str(out), *more]


def made_up(shape, classes, path, seed=0, recordings=60):
    """Save recordings of noise and return where."""
    labels = np.arange(recordings) % classes
    counts = np.random.default_rng(seed).random((recordings, 6, int(np.prod(shape)))) < 0.1
    events = sn.Events.from_dense(counts.astype(np.int64), DT)
    names = tuple(f"class {i}" for i in range(classes))
    EventDataset(events, labels, names, shape, path.stem, "made for a test").save(path)
    return path


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
    # The file knows which recordings these were.
    for split, count in ((), 16), (("--split", "test"), 16), (("--split", "train"), 64), (("--split", "all"), 80):
        assert main(["run", str(out), "--data", str(data), *split]) == 0
        printed = capsys.readouterr().out
        assert f"% of {count} recordings" in printed
        if count == 16:
            assert f"accuracy {accuracy:.1f} % of 16" in printed


@pytest.mark.parametrize("rule", ["bptt", "ottt", "dsr"])
def test_the_learning_rule_is_one_option(data, tmp_path, capsys, rule):
    assert main(command(data, tmp_path / "model.h5", "--epochs", "4", "--rule", rule)) == 0
    printed = capsys.readouterr().out
    assert f"{rule.upper()}, 10 ticks, batch 16" in printed
    assert float(printed.split("test accuracy ")[1].split(" %")[0]) > 85


def test_a_split_that_there_is_not_is_refused(data, tmp_path, capsys):
    out = tmp_path / "model.h5"
    assert main(command(data, out, "--epochs", "1")) == 0
    other = made_up((2, 8, 8), 2, tmp_path / "other.h5")
    assert main(["run", str(out), "--data", str(other), "--split", "test"]) == 1
    assert "other.h5 has no splits, and" in capsys.readouterr().err
    assert main(["run", str(out), "--data", str(other)]) == 0
    assert "% of 60 recordings" in capsys.readouterr().out
    for arguments, message in (
        (["run", str(out), "--data", "digits", "--split", "all"], "--split all: digits comes in splits"),
        (["run", str(out), "--split", "test"], "--split: has no effect without --data"),
        (["data", "show", str(data), "--split", "train"], "--split: has no effect on"),
    ):
        assert main(arguments) == 1
        assert message in capsys.readouterr().err


def test_networks_are_made_for_the_sensor_and_the_classes_of_the_data(tmp_path, capsys):
    for number, (shape, classes, more) in enumerate(
        (
            ((2, 34, 34), 12, ("--network", "fc", "--hidden", "8")),
            ((2, 34, 34), 12, ("--network", "conv", "--channels", "4")),
            ((2, 17, 68), 3, ("--network", "conv", "--channels", "4")),
            ((70,), 3, ("--network", "fc", "--hidden", "8")),
        )
    ):
        data = made_up(shape, classes, tmp_path / f"{number}.h5")
        out = tmp_path / f"model{number}.h5"
        assert main(["train", "--data", str(data), "--epochs", "1", "--validation", "0", "--out", str(out), *more]) == 0
        network = sn.Network.load(out)
        assert network.inputs[0].shape == shape
        assert network.output.size == classes
    capsys.readouterr()
    flat = made_up((70,), 3, tmp_path / "flat.h5")
    assert main(["train", "--data", str(flat), "--network", "conv", "--out", str(tmp_path / "m.h5")]) == 1
    assert "--network conv: flat has 70 sources in a row and no image to convolve" in capsys.readouterr().err
    wide = made_up((2, 34, 34), 2, tmp_path / "wide.h5")
    tall = made_up((2, 68, 17), 3, tmp_path / "tall.h5")
    model = str(tmp_path / "model2.h5")
    for how in (["run", model], ["train", "--network", model, "--out", str(tmp_path / "n.h5")]):
        for data, message in (
            (flat, "was made for a sensor of 2x17x68, flat has 70"),
            (tall, "was made for a sensor of 2x17x68, tall has 2x68x17"),
        ):
            assert main([*how, "--data", str(data)]) == 1
            assert message in capsys.readouterr().err
    assert main(["run", str(tmp_path / "model0.h5"), "--data", str(wide)]) == 1
    assert "tells 12 classes apart, wide has 2" in capsys.readouterr().err


def test_files_of_an_earlier_run_are_not_overwritten_unasked(data, tmp_path, capsys):
    out, checkpoint = tmp_path / "model.h5", tmp_path / "model.checkpoint.h5"
    assert main(command(data, out, "--epochs", "2")) == 0
    before = out.read_bytes(), checkpoint.read_bytes()
    capsys.readouterr()
    for name, path in (("--out", out), ("--checkpoint", checkpoint)):
        assert main(command(data, tmp_path / "new.h5", name, str(path))) == 1
        assert f"{name} {path}: is there, from an earlier run" in capsys.readouterr().err
    # Asked for, but failing before there is anything new.
    assert main(command(data, out, "--overwrite", "--learning-rate", "-1")) == 1
    assert (out.read_bytes(), checkpoint.read_bytes()) == before
    assert main(command(data, out, "--overwrite", "--epochs", "3")) == 0
    assert checkpoint.read_bytes() != before[1]
    assert main(command(data, out, "--resume", str(checkpoint), "--epochs", "4")) == 0


def test_options_that_would_do_nothing_are_refused(data, tmp_path, capsys):
    for more, message in (
        (("--network", "fc", "--hidden", "8", "--channels", "4"), "--channels: has no effect with --network fc"),
        (("--network", "conv", "--hidden", "8"), "--hidden: has no effect with --network conv"),
        (("--rule", "bptt", "--k", "3"), "--k belongs to --rule sltt"),
    ):
        assert main(["train", "--data", str(data), "--out", str(tmp_path / "m.h5"), *more]) == 1
        assert message in capsys.readouterr().err


def test_what_cannot_be_trained_is_refused_before_the_training(data, tmp_path, capsys):
    alone = tmp_path / "alone.h5"
    sn.Network([sn.Population("a", 2, sn.LIF())], [], dt=DT).save(alone)
    for more, message in (
        (("--network", str(alone)), "has 0 Input populations; needs one"),
        (("--dt", "0"), "dt=0.0: must be a finite number above zero"),
        (("--out", str(tmp_path)), "is a folder; give the name of a file"),
        (("--figure", "curve.xyz"), "'xyz' is not known"),
    ):
        assert main(command(data, tmp_path / "model.h5", *more)) == 1
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


@pytest.mark.slow
def test_interrupt_leaves_a_usable_checkpoint(data, tmp_path):
    out, checkpoint = tmp_path / "model.h5", tmp_path / "model.checkpoint.h5"
    arguments = command(data, out, "--epochs", "100000")
    process = subprocess.Popen(
        [sys.executable, "-m", "snnsim.commands.cli", *arguments],
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
    from snnsim.training.loop.checkpoint import Checkpoint

    assert Checkpoint.load(checkpoint).epoch >= 1

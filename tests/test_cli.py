"""The command: what it prints, its exit codes, and one line for every kind of bad input."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import snnsim as sn
from snnsim.architectures import fully_connected
from snnsim.commands.cli import main, parser

DT = 10e-3


@pytest.fixture
def network(tmp_path):
    """Return the path of a small saved network for N-MNIST input."""
    path = tmp_path / "network.h5"
    fully_connected((2, 34, 34), 10, hidden=(20,), dt=DT).save(path)
    return path


def recording(path, events):
    """Write events (x, y, polarity, microseconds) as an N-MNIST file and return its path."""
    data = bytearray()
    for x, y, p, t in events:
        data += bytes([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255])
    path.write_bytes(bytes(data))
    return path


GOOD = [(x % 34, x % 30, x % 2, 1000 * x) for x in range(1, 200)]


def run(*arguments):
    return main([str(argument) for argument in arguments])


def error_line(capsys):
    """Return the one line on standard error."""
    text = capsys.readouterr().err
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    assert lines[0].startswith("snnsim: error: ")
    assert "Traceback" not in text
    return lines[0]


def test_run_prints_costs_and_saves(network, tmp_path, capfd):
    path = recording(tmp_path / "good.bin", GOOD)
    out = tmp_path / "result.h5"
    assert run("run", network, "--data", path, "--record", "hidden1", "--out", out) == 0
    printed = capfd.readouterr().out
    assert "synaptic operations" in printed
    assert "accuracy" not in printed  # of one recording without a label there is none
    result = sn.Result.load(out)
    assert result.counters.events_in.sum() == len(GOOD)
    assert result.counters.synaptic_operations[0, 0] == 20 * len(GOOD)


def test_a_single_recording_has_its_pixels_where_a_data_set_has_them(tmp_path):
    from snnsim.commands.common import _one_recording

    given = _one_recording(recording(tmp_path / "good.bin", [(3, 5, 1, 10), (33, 0, 0, 20), (0, 33, 1, 30)]), 1e-5)
    frames = given.events.to_dense(int).reshape(-1, 2, 34, 34)
    assert np.argwhere(frames).tolist() == [[1, 1, 5, 3], [2, 0, 0, 33], [3, 1, 33, 0]]


def test_backends_answer_alike(network, tmp_path):
    path = recording(tmp_path / "good.bin", GOOD)
    results = []
    for backend in ("reference", "cpu"):
        out = tmp_path / f"{backend}.h5"
        assert run("run", network, "--data", path, "--backend", backend, "--record", "hidden1", "--out", out) == 0
        results.append(sn.Result.load(out))
    assert results[0].spikes["hidden1"] == results[1].spikes["hidden1"]


def test_truncated_recording(network, tmp_path, capsys):
    path = recording(tmp_path / "cut.bin", GOOD)
    path.write_bytes(path.read_bytes()[:-2])
    assert run("run", network, "--data", path) == 1
    assert "cut.bin" in error_line(capsys)


def test_wrong_sensor(network, tmp_path, capsys):
    path = recording(tmp_path / "large.bin", [*GOOD, (120, 5, 1, 300_000)])
    assert run("run", network, "--data", path) == 1
    assert "34" in error_line(capsys)


def test_shuffled_times(network, tmp_path, capsys):
    path = recording(tmp_path / "shuffled.bin", [GOOD[5], *GOOD[:5], *GOOD[6:]])
    assert run("run", network, "--data", path) == 1
    assert "shuffled.bin" in error_line(capsys)


def test_nan_weight(tmp_path, capsys):
    resolved = tmp_path / "resolved.h5"
    fully_connected((2, 34, 34), 10, hidden=(20,), dt=DT).resolved().save(resolved)
    with h5py.File(resolved, "r+") as file:
        file["projections/000000/connectivity/weights"][3, 4] = np.nan
    assert run("info", resolved) == 1
    assert "NaN" in error_line(capsys)


def test_unknown_backend(network, tmp_path, capsys):
    path = recording(tmp_path / "good.bin", GOOD)
    assert run("run", network, "--data", path, "--backend", "abacus") == 1
    line = error_line(capsys)
    assert "abacus" in line
    assert "cpu" in line


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_network_file_cut_short(network, capsys, keep):
    network.write_bytes(network.read_bytes()[:keep])
    assert run("info", network) == 1
    assert network.name in error_line(capsys)


def test_missing_files(tmp_path, capsys, network):
    assert run("info", tmp_path / "nothing.h5") == 1
    assert "no such file" in error_line(capsys)
    assert run("run", network, "--data", tmp_path / "nothing.zip") == 1
    assert "no such file" in error_line(capsys)


def test_another_tick_length(network, tmp_path, capsys):
    path = recording(tmp_path / "good.bin", GOOD)
    assert run("run", network, "--data", path, "--dt", "0.001") == 1
    assert "0.01" in error_line(capsys)


def test_a_file_of_another_kind(network, tmp_path, capsys):
    events = tmp_path / "events.h5"
    sn.Events.from_ticks([1], [2], n_sources=3, dt=DT).save(events)
    assert run("run", events, "--duration", "0.1") == 1
    assert "snnsim.events" in error_line(capsys)


def test_info_shows_versions_and_files(network, capsys):
    assert run("info") == 0
    assert "numba" in capsys.readouterr().out
    assert run("info", network) == 0
    assert "integrate, fire, reset" in capsys.readouterr().out


def test_data_list(capsys):
    assert run("data", "list") == 0
    out = capsys.readouterr().out
    for part in ("nmnist", "shd", "8,156 train, 2,264 test", "ssc", "75,466 train, 9,981 validation, 20,382 test"):
        assert part in out


def test_data_show_of_spike_trains(tmp_path, capsys, write_spikes):
    write_spikes(tmp_path / "words.h5")
    picture = tmp_path / "words.png"
    assert run("data", "show", tmp_path / "words.h5", "--sample", 3, "--figure", picture) == 0
    out = capsys.readouterr().out
    assert "'file-words': 12 samples, 20 classes, sensor 700" in out
    assert "groups   4" in out
    assert picture.stat().st_size > 1000
    (tmp_path / "words.h5").write_bytes((tmp_path / "words.h5").read_bytes()[:3000])
    assert run("data", "show", tmp_path / "words.h5") == 1
    assert "words.h5" in error_line(capsys)


@pytest.mark.parametrize("name", ["shd", "ssc"])
def test_spoken_sets_that_are_not_there(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SNNSIM_DATA", str(tmp_path))
    monkeypatch.setenv("SNNSIM_OFFLINE", "1")
    for command in (("data", "fetch", name), ("data", "show", name)):
        assert run(*command) == 1
        assert f"{name}_t" in error_line(capsys)
    assert run("data", "show", "shd", "--split", "validation") == 1
    assert "split='validation'" in error_line(capsys)


def test_usage_errors_exit_with_two(capsys):
    with pytest.raises(SystemExit) as caught:
        run("fly")
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_every_command_and_option_says_what_it_does():
    top = parser()
    commands = next(action for action in top._actions if isinstance(action.choices, dict))
    for child in commands.choices.values():
        assert len(child.description) > 60, child.prog
        options = [action for action in child._actions if not isinstance(action.choices, dict)]
        assert all(action.help for action in options), child.prog


def test_interrupt_has_its_own_code(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("snnsim.commands.info.main", interrupted)
    assert run("info") == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--duration", "1", "--samples", "3"), "--samples: has no effect without --data"),
        (("--data", "digits", "--duration", "1"), "--duration: has no effect with --data"),
        (("--data", "digits", "--figure", "raster.xyz"), "'xyz' is not known"),
        (("--data", "digits", "--out", "."), "--out .: is a folder"),
    ],
)
def test_what_would_be_ignored_or_lost_is_refused_before_the_run(network, capsys, arguments, message):
    assert run("run", network, *arguments) == 1
    assert message in error_line(capsys)


def test_a_network_too_large_for_memory_is_one_line(monkeypatch, capsys):
    def hungry(options):
        raise MemoryError("unable to allocate 8 EiB")

    monkeypatch.setattr("snnsim.commands.info.main", hungry)
    assert run("info") == 1
    assert "not enough memory: unable to allocate" in error_line(capsys)

"""Devices from tables of measurements: what went in comes out, and what is wrong with a table is said."""

import math
from pathlib import Path

import numpy as np
import pytest

from snnsim.backends.crossbar import presets
from snnsim.backends.crossbar.cells import conductance_at, effective_conductance, program, read_variance
from snnsim.backends.crossbar.device import Device
from snnsim.errors import DataError, ParameterError

TARGETS = (1.0, 2.5, 5.0, 9.0, 13.0, 17.0, 21.0, 25.0)
HOUR, DAY = 3600.0, 86400.0


def write(path: Path, header: str, columns: list[np.ndarray]) -> Path:
    rows = [",".join(f"{value:.10g}" for value in row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_the_programming_error_of_pcm_is_read_back(tmp_path):
    cells = 4000
    targets = np.repeat(TARGETS, cells).reshape(len(TARGETS), cells)
    device = presets.pcm().only("programming")
    measured = program(device, targets, seed=11, tile=0).conductance
    path = write(tmp_path / "mine.csv", "target_uS,measured_uS", [targets.ravel(), measured.ravel()])
    found = Device.from_measurements(path)
    assert (found.name, found.g_min, found.g_max) == ("mine", 1.0, 25.0)
    assert found.stages == ("programming",)
    own = found.programming.sigma(np.array(TARGETS))
    true = presets.pcm().programming.sigma(np.array(TARGETS))
    # Sampling error of a sd of 4,000 cells: 1.1 %.
    assert np.allclose(own, true, rtol=0.045)
    assert np.abs(found.programming.mean(np.array(TARGETS))).max() < 4 * 1.06 / math.sqrt(cells)
    # Straight lines between the targets, and the ends held beyond.
    middle = found.programming.sigma(np.array([7.0, 0.0, 40.0]))
    assert middle[0] == pytest.approx((own[2] + own[3]) / 2)
    assert middle[1:].tolist() == [own[0], own[-1]]
    assert "mine.csv: programming error of 32000 cells in 8 ranges of targets" in found.source
    assert found.source in found.describe()
    # A chip of such cells errs as the measured ones did.
    again = program(found, targets, seed=1, tile=0).conductance
    assert np.allclose((again - targets).std(axis=1), (measured - targets).std(axis=1), rtol=0.05)


@pytest.mark.parametrize("named", [True, False])
def test_drift_and_read_noise_of_pcm_are_read_back(tmp_path, named):
    cells, reads, times = 400, 4, (0.0, HOUR, 30 * DAY)
    targets = np.repeat(TARGETS, cells).reshape(len(TARGETS), cells)
    device, chance = presets.pcm(), np.random.default_rng(0)
    state = program(device, targets, seed=12, tile=0)
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    for time in times:
        now = conductance_at(device, state, time)
        sigma = 0.2 * np.sqrt(read_variance(device, now, time, state.conductance))
        for read in range(reads):
            seen = now + sigma * chance.standard_normal(now.shape)
            label = np.arange(seen.size)
            rows = (targets, seen, np.full(seen.shape, time), np.full(seen.shape, read), label)
            for column, values in zip(columns, rows, strict=True):
                column.append(values.ravel())
    table = [np.concatenate(column) for column in columns]
    header = "target_uS,measured_uS,time_s,read,device"
    if named:
        # With names, rows may stand in any order.
        order = chance.permutation(table[0].size)
        table = [column[order] for column in table]
    else:
        table, header = table[:4], "target_uS,measured_uS,time_s,read"
    path = write(tmp_path / "aged.csv", header, table)
    found = Device.from_measurements(path, reference_time=20.0, name="aged")
    assert found.stages == ("programming", "read_noise", "drift")
    places = np.array(TARGETS)
    assert np.allclose(found.programming.sigma(places), device.programming.sigma(places), rtol=0.12)
    # Targets of 2.5 uS and above, where no exponent is folded at zero.
    mean, deviation = found.drift.mean(places)[1:], found.drift.deviation(places)[1:]
    assert np.allclose(mean, device.drift.mean(places)[1:], atol=0.004)
    assert np.allclose(deviation, device.drift.deviation(places)[1:], rtol=0.15, atol=5e-4)
    # Reads at all ages go into one curve, so its value lies between that of the first and of the last.
    late = 30 * DAY
    for g in (5.0, 12.0, 20.0):
        own = found.read_noise.sigma(np.array([g * 0.75]))[0]
        first = 0.2 * math.sqrt(read_variance(device, np.array([[g * 0.75]]), 0.0, np.array([[g]]))[0, 0])
        last = 0.2 * math.sqrt(read_variance(device, np.array([[g * 0.75]]), late, np.array([[g]]))[0, 0])
        assert 0.8 * first < own < 1.25 * last
    assert "drift from 3" in found.source
    assert "38400 reads" in found.source


def test_read_noise_is_taken_off_the_programming_error(tmp_path):
    chance = np.random.default_rng(1)
    cells, reads, sigma, noise = 5000, 2, 0.3, 0.6
    own = 10.0 + sigma * chance.standard_normal(cells)
    seen = own[None] + noise * chance.standard_normal((reads, cells))
    numbers = np.repeat(np.arange(reads), cells)
    path = write(
        tmp_path / "noisy.csv", "target_uS,measured_uS,read", [np.full(seen.size, 10.0), seen.ravel(), numbers]
    )
    found = Device.from_measurements(path, g_min=0.0, g_max=20.0)
    assert found.read_noise.sigma(np.array([10.0]))[0] == pytest.approx(noise, rel=0.03)
    assert found.programming.sigma(np.array([10.0]))[0] == pytest.approx(sigma, rel=0.1)


def test_times_that_count_from_programming_need_no_more(tmp_path):
    times, exponents = np.array([1.0, 10.0, 1e3, 1e5]), np.linspace(0.04, 0.06, 21)
    grid, power = np.meshgrid(times, exponents)
    columns = [np.full(grid.size, 10.0), (9.0 * grid**-power).ravel(), grid.ravel(), np.repeat(np.arange(21), 4)]
    path = write(tmp_path / "power.csv", "target_uS,measured_uS,time_s,device", columns)
    found = Device.from_measurements(path, g_min=0.0, g_max=20.0)
    assert found.drift.reference_time == 1.0
    assert found.drift.mean(np.array([10.0]))[0] == pytest.approx(0.05, rel=1e-6)
    assert found.drift.deviation(np.array([10.0]))[0] == pytest.approx(np.std(exponents, ddof=1), rel=1e-6)
    assert found.programming.mean(np.array([10.0]))[0] == pytest.approx(-1.0, rel=1e-6)


def test_targets_that_never_repeat_are_put_into_ranges(tmp_path):
    chance = np.random.default_rng(2)
    targets = chance.uniform(1.0, 25.0, 20000)
    measured = targets + presets.pcm().programming.sigma(targets) * chance.standard_normal(targets.size)
    path = write(tmp_path / "many.csv", "target_uS,measured_uS", [targets, measured])
    found = Device.from_measurements(path, bins=10)
    places = np.array([3.0, 10.0, 20.0])
    assert "20000 cells in 10 ranges" in found.source
    assert np.allclose(found.programming.sigma(places), presets.pcm().programming.sigma(places), rtol=0.07)


def test_a_sweep_gives_shape_and_range_back(tmp_path):
    voltage = np.linspace(-0.5, 0.5, 21)
    conductance = np.array([5.0, 12.0, 40.0])
    current = conductance[:, None] * (voltage + 0.1 * voltage**2 - 0.25 * voltage**3)
    columns = [np.tile(voltage, 3), current.ravel(), np.repeat([0, 1, 2], 21)]
    path = write(tmp_path / "sweep.csv", "voltage_V,current_uA,device", columns)
    found = Device.from_measurements(path, read_voltage=0.3)
    assert found.current_voltage.coefficients == pytest.approx((0.1, -0.25))
    assert found.current_voltage.highest_voltage == 0.5
    assert (found.g_min, found.g_max) == pytest.approx((5.0, 40.0))
    seen = effective_conductance(found, np.array([[20.0]]))
    assert seen[0, 0] == pytest.approx(20.0 * (1 + 0.03 - 0.25 * 0.09))
    assert "3 devices, 63 rows" in found.source


def test_both_kinds_of_table_make_one_device(tmp_path):
    voltage = np.linspace(-0.4, 0.4, 9)
    sweep = write(tmp_path / "sweep.csv", "voltage_V,current_uA", [voltage, 10 * (voltage - 0.25 * voltage**3)])
    assert Device.from_measurements(sweep).g_min == 0.0
    measured = np.repeat([2.0, 30.0], 10) + np.tile([-0.1, 0.1], 10)
    errors = write(tmp_path / "errors.csv", "target_uS,measured_uS", [np.repeat([2.0, 30.0], 10), measured])
    for paths in ([sweep, errors], [errors, sweep]):
        found = Device.from_measurements(paths, stuck_on=0.01)
        assert found.stages == ("programming", "stuck", "current_voltage")
        assert (found.g_min, found.g_max) == (2.0, 30.0)
        assert "sweep.csv" in found.source
        assert "errors.csv" in found.source
    with pytest.raises(DataError, match=r"errors\.csv: there is another table of that kind"):
        Device.from_measurements([errors, errors])


def test_names_of_devices_may_be_words_and_lines_may_be_blank(tmp_path):
    path = tmp_path / "words.csv"
    rows = [f" 5.0 , {5 + 0.1 * k} , cell {k}" for k in range(4)] + ["", " 8, 8.5, cell 0", "8,8.1,x", "8,7.9,y"]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["target_uS, measured_uS, device", *rows]).encode())
    found = Device.from_measurements(path)
    assert found.programming.mean(np.array([5.0, 8.0])) == pytest.approx([0.15, 0.5 / 3])


P = "target_uS,measured_uS"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (P + "\n", "no rows below its header"),
        ("g,h\n1,2\n", r"line 1: columns 'g, h'.*known are target_uS,measured_uS.*voltage_V,current_uA"),
        ("target_uS;measured_uS\n1;2\n", "separated by commas"),
        (P + ",tims_s\n1,2,3\n", r"line 1: column 'tims_s' is not known.*time_s, read, device"),
        (P + ",read,read\n1,2,3,3\n", "column 'read' is there 2 times"),
        (P + "\n1,2\n1\n", "line 3: 1 values, but the header names 2 columns"),
        (P + "\n1,2\n1,x\n", "line 3, column measured_uS: 'x' is not a finite number"),
        (P + "\n1,2\n\n1,nan\n", "line 4, column measured_uS: 'nan' is not a finite number"),
        (P + "\n-1,2\n", "line 2, column target_uS: '-1' is below zero"),
        (P + ",time_s\n1,2,-5\n", "line 2, column time_s: '-5' is below zero"),
        (P + ",read\n1,2,1.5\n", "line 2, column read: '1.5' is not a whole number"),
        (P + "\n1,2\n1,2\n", "column target_uS: 1 has 2 cells; at least 3"),
        (P + ",device\n1,2,a\n1,3,a\n", "line 3: this device was measured before.*column 'read'"),
        (
            P + ",time_s\n" + "1,2,1\n" * 4 + "1,2,9\n" * 3,
            "column target_uS: 1 has 3 rows at one time and read and 4 at another",
        ),
        (P + "\n" + "5,5\n" * 4, "conductances from 5 to 5 uS are no range; give g_min and g_max"),
        (P + ",time_s\n" + "1,2,0\n" * 4 + "9,2,0\n" * 4 + "1,2,9\n" * 4 + "9,2,9\n" * 4, "the first time is 0"),
        (
            P + ",time_s\n" + "1,2,1\n" * 4 + "9,2,1\n" * 4 + "1,2.5,9\n" * 4 + "9,2,9\n" * 4,
            r"column time_s: conductances about target 1 uS rise with time \(exponent -0\.1",
        ),
        (P + ",time_s\n" + "1,-2,1\n" * 4 + "1,-1,9\n" * 4, "no cell has two times with conductances above zero"),
        ("voltage_V,current_uA\n0.1,1\n0.2,2\n0.2,2\n0,0\n", "line 2, column voltage_V.*2 voltages.*3 are needed"),
        (
            "voltage_V,current_uA,device\n0.1,-1,q\n0.2,-2,q\n0.3,-3,q\n",
            "line 2, column current_uA: the conductance of q.*-10 uS",
        ),
    ],
)
def test_bad_tables_are_refused_by_file_line_column_and_value(tmp_path, text, words):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        Device.from_measurements(path)
    assert str(path) in str(caught.value)


def test_bad_arguments_are_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(P + "\n" + "1,1\n2,2\n" * 4)
    with pytest.raises(DataError, match=r"absent\.csv: cannot be read"):
        Device.from_measurements(tmp_path / "absent.csv")
    with pytest.raises(ParameterError, match="bins=0"):
        Device.from_measurements(path, bins=0)
    with pytest.raises(ParameterError, match=r"reference_time=-1\.0"):
        Device.from_measurements(path, reference_time=-1.0)
    with pytest.raises(ParameterError, match=r"colour='red': a device has no such field"):
        Device.from_measurements(path, colour="red")
    with pytest.raises(ParameterError, match=r"path=\[\]"):
        Device.from_measurements([])
    with pytest.raises(ParameterError, match=r"spread=-1\.0"):
        Device.from_measurements(path, spread=-1.0)


def test_sweeps_that_end_below_the_read_voltage_are_refused_at_once(tmp_path):
    voltage = np.linspace(-0.1, 0.1, 9)
    path = write(tmp_path / "sweep.csv", "voltage_V,current_uA", [voltage, 10 * voltage])
    with pytest.raises(ParameterError, match=r"read_voltage=0.2: the current-voltage model holds up to 0.1 V"):
        Device.from_measurements(path)
    assert Device.from_measurements(path, read_voltage=0.1).read_voltage == 0.1


@pytest.mark.parametrize("path", [None, 3, [3]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ParameterError, match="expected the path of a table, or a list of paths"):
        Device.from_measurements(path)

"""Devices from tables of measurements: what went in comes out, and what is wrong with a table is said."""

import math
from pathlib import Path

import numpy as np
import pytest

from snnsim.backends.crossbar import Device
from snnsim.backends.crossbar.cells import conductance_at, effective_conductance, program, read_variance
from snnsim.backends.crossbar.device import presets
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


# -- rows that would count twice --------------------------------------------------------------------------


def cells_table(path: Path, rows: list[tuple[object, ...]], header: str = P + ",read,device") -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_rows_that_stand_twice_are_refused_by_both_lines(tmp_path):
    random = np.random.default_rng(0)
    rows = [
        (target, target * time**-0.1 + 0.01 * random.standard_normal(), time, read, f"c{cell}")
        for target in (2.0, 20.0)
        for cell in range(4)
        for time in (10.0, 1e3)
        for read in (1, 2)
    ]
    header = P + ",time_s,read,device"
    assert Device.from_measurements(cells_table(tmp_path / "once.csv", rows, header)).read_noise is not None
    for place in (0, 7, len(rows) - 1):
        for value, words in ((rows[place][1], "with the same value"), (5.25, "with another value, .* for 5.25 uS")):
            twice = [*rows, (f"{rows[place][0]:.2f}", value, *rows[place][2:])]  # 2.00 is the same target as 2.0
            path = cells_table(tmp_path / "twice.csv", twice, header)
            with pytest.raises(DataError, match=words) as caught:
                Device.from_measurements(path)
            assert f"line {len(rows) + 2}: target_uS {rows[place][0]:g}, time_s" in str(caught.value)
            assert f"device {rows[place][4]} stands in line {place + 2} already" in str(caught.value)
    # Neither another target, time, read or device is the same measurement.
    more = [(30.0, 30.0 + cell, 10.0, 1, f"c{cell}") for cell in range(3)]
    assert Device.from_measurements(cells_table(tmp_path / "more.csv", rows + more, header)).g_max == 30.0


def test_without_numbers_of_reads_both_lines_are_named_too(tmp_path):
    path = cells_table(tmp_path / "t.csv", [(1, 1, "a"), (1, 2, "b"), (9, 9, "a"), (1, 3, "b")], P + ",device")
    with pytest.raises(DataError, match=r"line 5: this device was measured before .*, in line 3; a column 'read'"):
        Device.from_measurements(path)


@pytest.mark.parametrize("copies", [2, 3])
def test_tables_without_names_that_were_put_together_of_copies_are_refused(tmp_path, copies):
    values = np.round(np.random.default_rng(0).normal(10.0, 1.0, 40), 2)  # as a meter of four digits shows them
    once = [(10.0, value) for value in values] + [(20.0, 2 * value) for value in values]
    assert "80 cells" in Device.from_measurements(cells_table(tmp_path / "once.csv", once, P)).source
    for rows in (once * copies, [row for row in once for _ in range(copies)]):
        with pytest.raises(DataError, match=f"each row is there {copies} times"):
            Device.from_measurements(cells_table(tmp_path / "copies.csv", rows, P))


def test_coarse_and_perfect_cells_repeat_by_right(tmp_path):
    perfect = [(target, target) for target in (5.0, 10.0) for _ in range(40)]
    assert Device.from_measurements(cells_table(tmp_path / "perfect.csv", perfect, P)).g_max == 10.0
    random = np.random.default_rng(1)
    for seed in range(20):
        random = np.random.default_rng(seed)
        coarse = [(10.0 * (k % 2 + 1), round(10.0 * (k % 2 + 1) + random.normal(0, 0.3), 1)) for k in range(2000)]
        Device.from_measurements(cells_table(tmp_path / "coarse.csv", coarse, P))


def sweep_rows(conductance, name, state=None, read=None, voltages=None):
    voltages = np.linspace(-0.5, 0.5, 21) if voltages is None else voltages
    more = (*(() if state is None else (state,)), *(() if read is None else (read,)))
    return [(f"{v:.6g}", f"{conductance * (v - 0.25 * v**3):.9g}", name, *more) for v in voltages]


SWEEPS = "voltage_V,current_uA,device"


def test_a_voltage_twice_in_a_sweep_is_refused_by_both_lines(tmp_path):
    rows = sweep_rows(10.0, "a") + sweep_rows(20.0, "b")
    path = cells_table(tmp_path / "sweep.csv", [*rows, rows[25]], SWEEPS)
    with pytest.raises(DataError, match=r"line 44: voltage_V -0.3, device b stands in line 27 already; .* 'state'"):
        Device.from_measurements(path)
    for column in ("state", "read"):
        names = {"state": ("up", "down"), "read": (1, 2)}[column]
        rows = sweep_rows(10.0, "a", **{column: names[0]}) + sweep_rows(10.0, "a", **{column: names[1]})
        path = cells_table(tmp_path / f"{column}.csv", rows, f"{SWEEPS},{column}")
        assert Device.from_measurements(path, g_min=0.0).g_max == pytest.approx(10.0)


def test_a_range_that_is_hardly_one_is_questioned(tmp_path):
    rows = sweep_rows(22.6, "a") + sweep_rows(22.8, "b")
    path = cells_table(tmp_path / "one_state.csv", rows, SWEEPS)
    with pytest.raises(DataError, match=r"from 22\.6 to 22\.8 uS are hardly a range; were cells measured in one state"):
        Device.from_measurements(path)
    with pytest.raises(DataError, match="hardly a range"):
        Device.from_measurements(path, g_max=23.0)
    assert Device.from_measurements(path, g_min=0.0, g_max=23.0).g_max == 23.0
    assert Device.from_measurements(path, unusual=True).g_max == pytest.approx(22.8)
    wide = cells_table(tmp_path / "wide.csv", sweep_rows(20.0, "a") + sweep_rows(25.0, "b"), SWEEPS)
    assert Device.from_measurements(wide).g_min == pytest.approx(20.0)


# -- states, and units that no cell has -------------------------------------------------------------------


def test_the_states_of_a_loop_are_told_apart(tmp_path):
    up = np.concatenate([np.linspace(0.0, 0.5, 11), np.linspace(0.5, -0.5, 21), np.linspace(-0.5, 0.0, 11)])
    low = (np.arange(up.size) < 11) | (np.arange(up.size) >= 32)
    random = np.random.default_rng(0)
    loop = [
        (v + random.normal(0, 1e-4), (g if there else 20 * g) * v, name)
        for name, g in (("a", 2.0), ("b", 2.1))
        for v, there in zip(up, low, strict=True)
    ]
    path = cells_table(tmp_path / "loop.csv", loop, SWEEPS)
    with pytest.raises(DataError, match=r"line 2, column current_uA: a strays from one curve by \d+% .* 'state'"):
        Device.from_measurements(path)
    rows = [row for name, g in (("a", 2.0), ("b", 2.1)) for state, k in (("low", 1), ("high", 20))
            for row in sweep_rows(k * g, name, state)]  # fmt: skip
    found = Device.from_measurements(cells_table(tmp_path / "told.csv", rows, SWEEPS + ",state"))
    assert (found.g_min, found.g_max) == pytest.approx((2.0, 42.0))
    assert found.current_voltage.coefficients == pytest.approx((0.0, -0.25), abs=1e-6)
    assert "2 devices in 4 states, 84 rows" in found.source
    one = [row for state, g in (("low", 2.0), ("high", 40.0)) for row in sweep_rows(g, "a", state)]
    found = Device.from_measurements(cells_table(tmp_path / "one.csv", one, SWEEPS + ",state"))
    assert (found.g_min, found.g_max) == pytest.approx((2.0, 40.0))  # one device in two states is a range


@pytest.mark.parametrize(("stray", "good"), [(0.05, True), (0.2, False)])
def test_noise_of_a_sweep_is_no_loop(tmp_path, stray, good):
    voltages, random = np.linspace(-0.5, 0.5, 201), np.random.default_rng(0)
    noise = stray * 10.0 * np.sqrt(np.mean(voltages**2)) * random.standard_normal(voltages.size)
    path = cells_table(tmp_path / "s.csv", list(zip(voltages, 10.0 * voltages + noise, strict=True)), SWEEPS[:20])
    if good:
        assert Device.from_measurements(path).g_max == pytest.approx(10.0, rel=0.1)
    else:
        with pytest.raises(DataError, match="strays from one curve"):
            Device.from_measurements(path)
        assert Device.from_measurements(path, unusual=True).g_max == pytest.approx(10.0, rel=0.3)


def shifted(rows, **factors):
    """Return a table of target, measured, time in which columns are in other units."""
    names = ("target", "measured", "time")
    return [tuple(value * factors.get(name, 1.0) for name, value in zip(names, row, strict=True)) for row in rows]


CELLS = [(g, g + 0.1 * (k % 5 - 2), t) for t in (10.0, 1e3) for g in (2.0, 20.0) for k in range(10)]


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ({"target": 1e-6, "measured": 1e-6}, r"line 12, column target_uS: 2e-05 is .* column target_uS in S\?"),
        ({"target": 1e3, "measured": 1e3}, r"column target_uS: 20000 .* in nS\?"),
        ({"measured": 1e-6}, r"line 16, column measured_uS: 2.02e-05 .* column measured_uS in S\?"),
        ({"measured": 1e3}, r"column measured_uS: .* in nS\?"),
        ({"measured": 1e-3}, r"columns target_uS and measured_uS: cells read 0\.001 times their targets .* both in uS"),
        ({"time": 1e9}, r"column time_s: 1e\+12 .* column time_s in ms\?"),
    ],
)
def test_units_other_than_the_headers_are_questioned(tmp_path, factors, words):
    header = P + ",time_s"
    assert Device.from_measurements(cells_table(tmp_path / "right.csv", CELLS, header)).g_max == 20.0
    path = cells_table(tmp_path / "wrong.csv", shifted(CELLS, **factors), header)
    with pytest.raises(DataError, match=words) as caught:
        Device.from_measurements(path)
    assert str(caught.value).endswith("If it is meant, say so: unusual=True")
    assert Device.from_measurements(path, unusual=True).g_max == pytest.approx(20.0 * factors.get("target", 1.0))


@pytest.mark.parametrize(
    ("of_voltage", "of_current", "words"),
    [
        (1.0, 1e-6, r"line 2, column current_uA: of a, a conductance of 1e-05 uS .* is the column in A\?"),
        (1.0, 1e4, r"column current_uA: of a, .* is the column in nA\?"),
        (1e3, 1.0, r"line 2, column voltage_V: -500 is its largest; .* column voltage_V in mV\?"),
        (1e-4, 1.0, r"column voltage_V: "),
    ],
)
def test_units_of_sweeps_are_questioned(tmp_path, of_voltage, of_current, words):
    rows = [(float(v) * of_voltage, float(i) * of_current, name) for v, i, name in sweep_rows(10.0, "a")]
    path = cells_table(tmp_path / "s.csv", rows, SWEEPS)
    with pytest.raises(DataError, match=words):
        Device.from_measurements(path)
    found = Device.from_measurements(path, unusual=True, read_voltage=5e-5)
    assert found.g_max == pytest.approx(10.0 * of_current / of_voltage)
    assert found.unusual


def test_tables_of_one_device_have_conductances_of_one_size(tmp_path):
    cells = cells_table(tmp_path / "cells.csv", CELLS, P + ",time_s")
    sweeps = cells_table(tmp_path / "s.csv", sweep_rows(0.02, "a"), SWEEPS)  # mA, said to be uA
    with pytest.raises(DataError, match=r"conductances up to 20 and 0.02 uS are not of one device"):
        Device.from_measurements([cells, sweeps])
    assert Device.from_measurements([cells, sweeps], unusual=True).g_max == 20.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (P + ",device\n1,1,a\n1,1,\n", "line 3, column device: is empty"),
        (P + "\n1_0,1\n", "line 2, column target_uS: '1_0' is not a finite number"),
        (P + "\n1," + "9" * 200_000 + "\n", "line 2: cannot be read as values with commas"),
        ("voltage_V,current_uA\n0.1,0\n0.2,0\n0.3,0\n", "the conductance of the device about zero volt comes out as 0"),
    ],
)
def test_odd_tables_end_in_errors_of_their_own(tmp_path, text, words):
    path = tmp_path / "odd.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        Device.from_measurements(path)


def test_what_is_meant_is_said_with_true_or_false(tmp_path):
    path = cells_table(tmp_path / "t.csv", CELLS, P + ",time_s")
    with pytest.raises(ParameterError, match="unusual=1: must be True or False"):
        Device.from_measurements(path, unusual=1)


# -- drift out of noise -----------------------------------------------------------------------------------


def noisy_drift(path, mean, deviation, noise, cells=4000, seed=0):
    """Write conductances of a power law whose reads are off by a relative noise, at five times."""
    random, times = np.random.default_rng(seed), np.array([1.0, 10.0, 100.0, 1e3, 1e4])
    exponent = mean + deviation * random.standard_normal(cells)
    grid = 10.0 * times[:, None] ** -exponent * np.exp(noise * random.standard_normal((times.size, cells)))
    columns = [np.full(grid.size, 10.0), grid.ravel(), np.repeat(times, cells), np.tile(np.arange(cells), times.size)]
    return write(path, P + ",time_s,device", columns)


@pytest.mark.parametrize("deviation", [0.0, 0.02])
def test_noise_of_reads_is_taken_off_the_spread_of_exponents(tmp_path, deviation):
    noise = 0.2
    path = noisy_drift(tmp_path / "t.csv", 0.1, deviation, noise)
    found = Device.from_measurements(path, g_min=0.0, g_max=20.0).drift
    x = np.log(np.array([1.0, 10.0, 100.0, 1e3, 1e4]))
    of_noise = noise / math.sqrt(((x - x.mean()) ** 2).sum())  # sd of a slope
    assert found.mean(np.array([10.0]))[0] == pytest.approx(0.1, abs=0.002)
    assert found.deviation(np.array([10.0]))[0] == pytest.approx(deviation, abs=0.006)
    assert of_noise > 0.025  # what would be left in


@pytest.mark.parametrize(("mean", "good"), [(0.0, True), (-0.0005, True), (-0.01, False)])
def test_conductances_that_rise_by_no_more_than_noise_do_not_rise(tmp_path, mean, good):
    # Three standard errors of the mean of 4,000 slopes are 0.0013.
    path = noisy_drift(tmp_path / "t.csv", mean, 0.0, 0.2)
    if good:
        found = Device.from_measurements(path, g_min=0.0, g_max=20.0).drift.mean(np.array([10.0]))[0]
        assert 0.0 <= found < 0.0013
    else:
        with pytest.raises(DataError, match="rise with time"):
            Device.from_measurements(path, g_min=0.0, g_max=20.0)

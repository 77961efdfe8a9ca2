"""Energy: counts times costs worked out by hand, one assumption one line, and chips in numbers."""

import json
import math
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from snnsim import LI, LIF, Dense, Events, Input, Network, Population, Projection, Simulation
from snnsim.backends.contract.activity import ChipActivity, ProjectionActivity
from snnsim.energy import (
    Cost,
    CostTable,
    EnergyReport,
    compare,
    digital_45nm,
    digital_45nm_integer,
    energy_report,
    loihi,
    rram_crossbar,
)
from snnsim.energy.costs import MEANINGS
from snnsim.errors import DataError, ParameterError
from snnsim.monte_carlo import MonteCarlo, chip_seeds, monte_carlo, student_quantile
from snnsim.storage.hdf5 import SCHEMA
from snnsim.system.progress import interruptible
from snnsim.system.tables import in_unit

DT = 1e-3
#: Joules of an operation are near 1e-13: an absolute tolerance, as `approx` has by itself, would let anything pass.
close = partial(pytest.approx, rel=1e-12, abs=0)
PRESETS = [digital_45nm, digital_45nm_integer, loihi, rram_crossbar]


@pytest.fixture(scope="module")
def result():
    generator = np.random.default_rng(0)
    net = Network(
        [Population("input", 30, Input()), Population("hidden", 12, LIF(10e-3)), Population("out", 4, LI(10e-3))],
        [
            Projection("input", "hidden", Dense(generator.normal(0, 0.6, (30, 12)))),
            Projection("hidden", "out", Dense(generator.normal(0, 0.3, (12, 4)))),
        ],
        dt=DT,
    )
    spikes = generator.random((3, 20, 30)) < 0.1
    return Simulation(net, "reference").run_samples(Events.from_dense(spikes, dt=DT), progress=False)


def activity(**changes):
    first = ProjectionActivity(
        "input->hidden",
        1,
        55,
        180,
        4320,
        660,
        8,
        read_watts=3e-3,
        busiest_reads=55,
        programming_pulses=900,
        drives=180,
        dac_bits=6,
    )
    second = ProjectionActivity("hidden->out", 2, 40, 60, 480, 160, 6, additions=80)
    return replace(ChipActivity((first, second), 3, 64, 128, 0.2, "made up for a test"), **changes)


# -- software ----------------------------------------------------------------------------------------------


def test_digital_lines_are_counts_times_published_costs(result):
    report, counters = energy_report(result, digital_45nm()), result.counters
    operations = counters.synaptic_operations[:, 0].sum() / 3
    assert counters.spikes[:, 0].sum() * 12 == counters.synaptic_operations[:, 0].sum()
    line = report.line("input->hidden", "weights added")
    assert line.count == operations
    # Horowitz 2014: 0.9 pJ an addition of 32-bit floats, 5 pJ for 32 bits of a small memory.
    assert line.energy == close(operations * 0.9e-12)
    assert report.line("input->hidden", "weights read").energy == close(operations * 5e-12)
    assert report.line("hidden", "neurons updated").energy == close(20 * 12 * 5.5e-12)
    assert report.line("input", "spikes routed").energy == close(counters.spikes[:, 0].mean() * 10e-12)
    with pytest.raises(ParameterError, match="no line 'input', 'neurons updated'"):
        report.line("input", "neurons updated")
    assert report.energy == close(sum(report.by_part().values()))
    assert report.energy == close(sum(report.by_operation().values()))
    assert set(report.parts) == {"input", "hidden", "out", "input->hidden", "hidden->out"}


def test_digital_latency_is_rounds_of_lanes(result):
    report = energy_report(result, digital_45nm().replaced(update_lanes=5, operation_lanes=math.inf))
    times = {line.part: line.seconds for line in report.latencies}
    assert times["hidden"] == close(20 * 12 / 5 * 1e-9)
    assert times["input->hidden"] == close(1e-9)  # all at the same time
    assert report.latency == close(sum(times.values()))
    assert report.interval == max(times.values())


def test_what_does_nothing_takes_no_time(result):
    # All lanes at the same time: a round where something is done, none where nothing is.
    still = replace(result.counters, synaptic_operations=np.zeros_like(result.counters.synaptic_operations))
    for lanes in (1, math.inf):
        report = energy_report(still, digital_45nm().replaced(operation_lanes=lanes))
        times = {line.part: line.seconds for line in report.latencies}
        assert times["input->hidden"] == times["hidden->out"] == 0.0
        assert times["hidden"] > 0


def test_a_chip_by_hand():
    """One projection on one tile, every line in numbers: V, F, s and J of the table multiplied out."""
    one = ProjectionActivity("p", 1, 3, 5, 40, 12, 4, additions=12, busiest_reads=3, programming_pulses=64, saturated=0)
    costs = rram_crossbar().replaced(
        read_pulse=50e-9, cell_conductance=20e-6, row_capacitance=0.5e-15, row_voltage=1.5, adc_step=10e-15,
        addition=0.2e-12, programming_pulse=3e-12, conversion_time=2e-9, pairs_per_adc=2,
    )  # fmt: skip
    report = energy_report(ChipActivity((one,), 2, 8, 8, 0.3), costs)
    found = {line.operation: (line.count, line.each, line.energy) for line in report.lines}
    assert found == {
        "cells read, V²·G": (20, close(0.3 * 0.3 * 20e-6 * 50e-9), close(20 * 9e-14)),
        "rows switched on": (2.5, close(8 * 0.5e-15 * 2.25), close(2.5 * 9e-15)),
        "conversions of 4 bits": (6, close(160e-15), close(6 * 160e-15)),
        "partial sums added": (6, close(0.2e-12), close(1.2e-12)),
    }
    assert report.energy == close(20 * 9e-14 + 2.5 * 9e-15 + 6 * 160e-15 + 1.2e-12)
    assert [(line.count, line.energy) for line in report.once] == [(64, close(64 * 3e-12))]
    # Three reads of two inferences, each a pulse and two conversions one after the other.
    assert report.latency == close(1.5 * (50e-9 + 2 * 2e-9))


def test_loihi_has_energy_and_no_latency(result):
    report = energy_report(result, loihi())
    operations = result.counters.synaptic_operations.sum() / 3
    updates, spikes = result.counters.membrane_updates.sum() / 3, result.counters.spikes.sum() / 3
    assert report.energy == close(operations * 23.6e-12 + updates * 81e-12 + spikes * 1.7e-12)
    assert report.latency is None
    assert report.interval is None


# -- chip --------------------------------------------------------------------------------------------------


def test_reading_takes_what_every_active_cell_takes():
    generator = np.random.default_rng(5)
    conductance = generator.uniform(1e-6, 40e-6, (16, 10))
    joule, watts, rows, cells = 0.0, 0.0, 0, 0
    for _ in range(7):
        active = np.flatnonzero(generator.random(16) < 0.3)
        rows, cells = rows + active.size, cells + active.size * 10
        watts += 0.2 * np.sum(0.2 * conductance[active])
        for row in active:
            for column in range(10):
                joule += 0.2**2 * conductance[row, column] * 100e-9
    one = ProjectionActivity("p", 1, 7, rows, cells, 35, None, read_watts=watts)
    report = energy_report(ChipActivity((one,), 1, 16, 10, 0.2), rram_crossbar())
    assert report.line("p", "cells read, V·I of each").energy == close(joule)
    assert report.line("p", "rows switched on").energy == close(rows * 10 * 0.2e-15 * 1.1**2)
    assert not any("conversions" in line.operation for line in report.lines)  # an ideal chip has no converters
    assert [line.seconds for line in report.latencies] == [close(7 * 100e-9)]
    # Without currents, the same with the mean conductance.
    costs = rram_crossbar().replaced(cell_conductance=watts / (0.2**2 * cells))
    blind = energy_report(ChipActivity((replace(one, read_watts=None),), 1, 16, 10, 0.2), costs)
    assert blind.line("p", "cells read, V²·G").energy == close(joule)


def test_a_conversion_takes_the_published_energy_and_twice_as_much_a_bit(result):
    report = energy_report(result, rram_crossbar(), activity=activity())
    line = report.line("input->hidden", "conversions of 8 bits")
    assert line.each == close(3.1e-3 / 1.2e9)
    assert line.count == 220
    assert report.line("hidden->out", "conversions of 6 bits").each == close(line.each / 4)


def test_latency_of_a_chip_shares_converters_and_reads_tiles_together(result):
    def seconds(costs=None, **changes):
        report = energy_report(result, costs or rram_crossbar(), activity=activity(**changes))
        return {line.part: line.seconds for line in report.latencies}

    conversion = 1 / 1.2e9
    # 55 reads of one tile in 3 recordings, 12 pairs in use: fewer than the 16 that share a converter.
    assert seconds()["input->hidden"] == close(55 / 3 * (100e-9 + 12 * conversion))
    assert seconds(rram_crossbar().replaced(pairs_per_adc=4))["input->hidden"] == close(
        55 / 3 * (100e-9 + 4 * conversion)
    )
    # 40 reads of two tiles: 20 rounds at the same time, 40 one after the other.
    assert seconds()["hidden->out"] == close(20 / 3 * (100e-9 + 4 * conversion))
    assert seconds(rram_crossbar().replaced(parallel_tiles=1))["hidden->out"] == close(
        40 / 3 * (100e-9 + 4 * conversion)
    )
    first, second = activity().projections
    uneven = (first, replace(second, busiest_reads=30))
    assert seconds(projections=uneven)["hidden->out"] == close(30 / 3 * (100e-9 + 4 * conversion))


def test_programming_stands_beside_the_inference(result):
    report = energy_report(result, rram_crossbar(), activity=activity())
    (once,) = report.once
    assert (once.part, once.count, once.energy) == ("input->hidden", 900, close(9e-9))
    assert not any(line.operation == "programming pulses" for line in report.lines)
    assert "programming_pulse" in report.used


def test_chip_alone_and_projections_that_it_does_not_hold(result):
    alone = energy_report(activity(), rram_crossbar())
    assert alone.parts == ("input->hidden", "hidden->out")
    part = energy_report(result, rram_crossbar(), activity=activity(projections=activity().projections[:1]))
    assert {line.operation for line in part.lines if line.part == "hidden->out"} == {
        "weights added",
        "weights read",
        "inputs read and written",
    }


# -- assumptions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in MEANINGS if getattr(rram_crossbar(), name) is not None])
def test_changing_an_assumption_changes_its_lines_and_no_other(result, name):
    # One projection on the chip, one with currents unknown, and the rest in digital logic: every assumption is used.
    first, second = activity().projections
    counters = result.counters
    result = replace(counters, multiply_accumulates=counters.synaptic_operations // 2)
    runs = [energy_report(result, costs, activity=activity(projections=(first,))) for costs in _two_tables(name)]
    runs += [
        energy_report(result, costs, activity=activity(projections=(first, second))) for costs in _two_tables(name)
    ]
    seen = False
    for before, after in zip(runs[::2], runs[1::2], strict=True):
        for group in ("lines", "latencies", "once"):
            for old, new in zip(getattr(before, group), getattr(after, group), strict=True):
                named = name in old.assumptions
                seen |= named
                value = "seconds" if group == "latencies" else "energy"
                if not named:
                    assert old == new
                elif getattr(old, value):
                    assert getattr(old, value) != getattr(new, value), old
                    if hasattr(old, "count"):
                        assert old.count == new.count
    assert seen


def _two_tables(name):
    before = rram_crossbar().replaced(parallel_tiles=2)
    factor = 0.5 if name in ("parallel_tiles", "pairs_per_adc") else 2.0
    if name == "pairs_per_adc":
        before = before.replaced(pairs_per_adc=4)
    return before, before.replaced(**{name: getattr(before, name).value * factor})


@pytest.mark.parametrize("preset", PRESETS)
def test_every_figure_has_a_publication_or_says_that_it_is_assumed(preset):
    for name, cost in preset().costs.items():
        assert "doi:10." in cost.source or cost.source.startswith("assumption"), name
        assert cost.unit == MEANINGS[name][0]
    assert "Left out" in preset().note


def test_text_prints_every_assumption_that_entered_with_its_source(result):
    report = energy_report(result, rram_crossbar(), activity=activity())
    text = str(report)
    assert all(line.assumptions for line in report.lines)
    for name in report.used:
        assert name in text
        assert report.table.costs[name].source in text
    assert report.table.note in text
    assert "made up for a test" in text
    assert "weight_read" not in report.used  # nothing was counted that takes it
    changed = energy_report(result, rram_crossbar().replaced(adc_step=1e-15), activity=activity())
    assert "set by hand, before 10.1 fJ" in str(changed)


def test_table_refuses_what_is_no_assumption():
    costs = rram_crossbar()
    with pytest.raises(ParameterError, match="'adc' is no assumption"):
        costs.replaced(adc=1.0)
    with pytest.raises(ParameterError, match="is in 's', expected 'J'"):
        costs.replaced(adc_step=Cost(1.0, "s", "assumption"))
    with pytest.raises(ParameterError, match="source is empty"):
        Cost(1.0, "J", " ")
    with pytest.raises(ParameterError, match=r"value=-1.*zero or above"):
        costs.replaced(adc_step=-1)
    with pytest.raises(ParameterError, match=r"pairs_per_adc=0.5: must be 1 or above"):
        costs.replaced(pairs_per_adc=0.5)
    with pytest.raises(ParameterError, match="unit='pJ'"):
        Cost(1.0, "pJ", "assumption")
    with pytest.raises(ParameterError, match="must be a finite number"):
        Cost(math.inf, "J", "assumption")


@pytest.mark.parametrize(
    ("name", "slip", "words"),
    [
        ("read_pulse", 100.0, "read_pulse=100 s: no one operation .* such as ns"),
        ("adc_step", 10.0, "adc_step=10 J: .* pJ or fJ"),
        ("row_capacitance", 0.2, "row_capacitance=0.2 F: .* fF"),
        ("row_voltage", 1100.0, "row_voltage=1100 V: .* mV"),
        ("cell_conductance", 10.0, "cell_conductance=10 S: .* uS"),
    ],
)
def test_costs_in_other_units_are_questioned(name, slip, words):
    with pytest.raises(ParameterError, match=words):
        rram_crossbar().replaced(**{name: slip})


def test_report_says_what_it_lacks(result):
    with pytest.raises(ParameterError, match=r"read_pulse is not given .*in s.*replaced\(read_pulse"):
        energy_report(result, digital_45nm(), activity=activity())
    with pytest.raises(ParameterError, match="accumulate is not given"):
        energy_report(result, CostTable("nothing"))
    with pytest.raises(ParameterError, match="of 4 recordings, the run of 3"):
        energy_report(result, rram_crossbar(), activity=activity(inferences=4))
    one = ProjectionActivity("elsewhere", 1, 1, 1, 1, 1, 8)
    with pytest.raises(ParameterError, match="no projection 'elsewhere'"):
        energy_report(result, rram_crossbar(), activity=activity(projections=(one,)))
    with pytest.raises(ParameterError, match="expected a CostTable"):
        energy_report(result, {"adc_step": 1})
    with pytest.raises(ParameterError, match="expected a Result"):
        energy_report("result", loihi())


def test_activity_refuses_counts_that_do_not_fit():
    good = {"name": "p", "tiles": 2, "reads": 10, "active_rows": 5, "cell_reads": 50, "conversions": 5, "adc_bits": 8}
    for change, message in [
        ({"reads": -1}, "reads=-1"),
        ({"tiles": 0}, "tiles=0"),
        ({"cell_reads": 4}, "below active_rows=5"),
        ({"busiest_reads": 4}, "does not fit 10 reads of 2 tiles"),
        ({"busiest_reads": 11}, "does not fit"),
        ({"read_watts": math.nan}, "read_watts=nan"),
        ({"name": ""}, "name=''"),
    ]:
        with pytest.raises(ParameterError, match=message):
            ProjectionActivity(**{**good, **change})
    with pytest.raises(ParameterError, match="two projections have one name"):
        ChipActivity((ProjectionActivity(**good),) * 2, 1, 8, 8, 0.2)


def test_activities_of_two_runs_add_to_that_of_both():
    once, twice = activity(), activity() + activity()
    assert twice.inferences == 6
    assert twice.projections[0].reads == 110
    assert twice.projections[0].programming_pulses == 900  # of the chip, which both saw
    report, both = (energy_report(one, rram_crossbar()) for one in (once, twice))
    assert both.energy == close(report.energy)
    assert both.latency == close(report.latency)
    with pytest.raises(ParameterError, match="rows differs, 64 and 32"):
        _ = activity() + activity(rows=32)


# -- keeping, comparing ----------------------------------------------------------------------------------


def test_report_is_kept_whole(result, tmp_path):
    report = energy_report(result, rram_crossbar(), activity=activity())
    report.save(tmp_path / "energy.json")
    loaded = EnergyReport.load(tmp_path / "energy.json")
    assert loaded == report
    assert str(loaded) == str(report)
    assert ChipActivity.from_dict(json.loads(json.dumps(activity().to_dict()))) == activity()


def test_damaged_files_are_named(result, tmp_path):
    path = tmp_path / "energy.json"
    energy_report(result, loihi()).save(path)
    text = path.read_text(encoding="utf-8")
    for spoilt, message in [
        (text[: len(text) // 2], "not a readable JSON file"),
        (text.replace("energy_report", "monte_carlo"), "expected a file of kind 'snnsim.energy_report'"),
        (text.replace('"count"', '"counts"'), "damaged or not complete"),
        (text.replace(f'"schema": {SCHEMA}', '"schema": 99'), "schema 99"),
        (text.replace('"accumulate"', '"accumulation"', 1), "accumulation"),
    ]:
        path.write_text(spoilt, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            EnergyReport.load(path)
    with pytest.raises(DataError, match="no such file"):
        EnergyReport.load(tmp_path / "none.json")


def test_comparison_of_digital_logic_and_a_chip(result):
    digital = energy_report(result, digital_45nm_integer())
    chip = energy_report(result, rram_crossbar(), activity=activity())
    both = compare(digital, chip)
    assert both.energy_ratio == close(digital.energy / chip.energy)
    assert both.latency_ratio == close(digital.latency / chip.latency)
    # Their digital neurons are the same.
    _, rows = both.rows()
    assert next(row for row in rows if row[0] == "hidden")[3] == "1"
    assert "Left out" in str(both)
    assert compare(energy_report(result, loihi()), chip).latency_ratio is None
    other = energy_report(replace_names(activity()), rram_crossbar())
    with pytest.raises(ParameterError, match="no part in common"):
        compare(digital, other)


def replace_names(given):
    return replace(given, projections=tuple(replace(one, name=f"other {one.name}") for one in given.projections))


def test_quantities_have_three_digits_and_a_prefix():
    shown = [in_unit(value, "J") for value in (0, 9.994e-13, 9.996e-13, 1e-12, 123.4e-9, 0.9996, 2.5e3)]
    assert shown == ["0 J", "999 fJ", "1 pJ", "1 pJ", "123 nJ", "1 J", "2.5 kJ"]


# -- many chips --------------------------------------------------------------------------------------------


def outcome_of(seed):
    generator = np.random.default_rng(seed)
    return {"accuracy": 0.9 + 0.02 * generator.normal(), "energy": generator.uniform(1, 2)}


def test_distribution_over_chips():
    found = monte_carlo(outcome_of, 40, seed=3, progress=False)
    values = np.array([outcome_of(seed)["accuracy"] for seed in chip_seeds(3, 40)])
    np.testing.assert_array_equal(found.of("accuracy"), values)
    assert found.mean("accuracy") == pytest.approx(values.mean())
    assert found.sd("accuracy") == pytest.approx(values.std(ddof=1))
    assert found.percentile("accuracy", 5) == pytest.approx(np.percentile(values, 5))
    low, high = found.confidence("accuracy")
    assert high - low == pytest.approx(2 * 2.0227 * values.std(ddof=1) / math.sqrt(40), rel=1e-4)  # t of 39
    assert found.complete
    assert "40 chips, seed 3" in str(found)
    with pytest.raises(ParameterError, match="'loss' was not measured"):
        found.of("loss")


def test_the_first_chips_are_the_same_whatever_their_number():
    assert chip_seeds(7, 5) == chip_seeds(7, 50)[:5]
    assert len(set(chip_seeds(7, 1000))) == 1000
    assert chip_seeds(7, 5) != chip_seeds(8, 5)


@pytest.mark.parametrize(
    ("level", "freedom", "expected"),
    [(0.95, 1, 12.7062), (0.95, 2, 4.30265), (0.95, 4, 2.77645), (0.95, 19, 2.09302), (0.99, 9, 3.24984)],
)
def test_quantiles_of_student_are_those_of_printed_tables(level, freedom, expected):
    assert student_quantile(level, freedom) == pytest.approx(expected, rel=2e-6)


def test_confidence_holds_the_mean_as_often_as_it_says():
    generator, held = np.random.default_rng(11), 0
    for _ in range(400):
        sample = MonteCarlo({"x": generator.normal(5, 2, 6)}, tuple(range(6)), 0, 6)
        low, high = sample.confidence("x", 0.8)
        held += low < 5 < high
    assert held / 400 == pytest.approx(0.8, abs=0.06)  # three standard errors


def test_ctrl_c_keeps_what_is_done_and_the_rest_is_run_later(tmp_path):
    path, ran = tmp_path / "chips.json", []

    def stopping(seed):
        ran.append(seed)
        if len(ran) == 3:
            signal.raise_signal(signal.SIGINT)
        return outcome_of(seed)

    stopped = monte_carlo(stopping, 8, seed=1, progress=False, path=path)
    assert (len(stopped), stopped.complete) == (3, False)
    assert "3 chips of 8 asked for (stopped)" in str(stopped)
    assert len(MonteCarlo.load(path)) == 3
    rest = monte_carlo(stopping, 8, seed=1, progress=False, path=path)
    assert rest.complete
    assert len(ran) == 9  # the first once more, to see that it is the same that runs
    assert ran[3] == ran[0]
    whole = monte_carlo(outcome_of, 8, seed=1, progress=False)
    for name in ("accuracy", "energy"):
        np.testing.assert_array_equal(rest.of(name), whole.of(name))
    with pytest.raises(DataError, match="seed 1, not 2"):
        monte_carlo(outcome_of, 8, seed=2, progress=False, path=path)


def test_chips_of_another_outcome_are_not_joined_to_those_of_a_file(tmp_path):
    path = tmp_path / "chips.json"
    monte_carlo(outcome_of, 3, seed=1, progress=False, path=path)
    kept = path.read_bytes()

    def other(seed):
        return {name: value * (1 + 1e-8) for name, value in outcome_of(seed).items()}

    with pytest.raises(DataError, match=r"the first chip gave accuracy=.* and gives .* now: network, chip or data"):
        monte_carlo(other, 5, seed=1, progress=False, path=path)
    with pytest.raises(DataError, match="holds accuracy, energy, run_one returns loss"):
        monte_carlo(lambda seed: {"loss": 1.0}, 5, seed=1, progress=False, path=path)
    assert path.read_bytes() == kept
    assert len(monte_carlo(outcome_of, 5, seed=1, progress=False, path=path)) == 5


def test_a_chip_whose_own_work_was_cut_short_does_not_count():
    ran = []

    def training(seed):
        ran.append(seed)
        with interruptible() as stop:
            if len(ran) == 3:
                signal.raise_signal(signal.SIGINT)
            # As training does, it returns what it has.
            return {"epochs": 1.0 if stop.is_set() else 9.0}

    before = signal.getsignal(signal.SIGINT)
    found = monte_carlo(training, 8, progress=False)
    assert len(ran) == 3
    assert found.of("epochs").tolist() == [9.0, 9.0]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_chip_that_fails_leaves_those_before_it_on_the_disk(tmp_path):
    def failing(seed):
        if seed == chip_seeds(0, 3)[2]:
            raise RuntimeError("device lost")
        return outcome_of(seed)

    with pytest.raises(RuntimeError, match="device lost"):
        monte_carlo(failing, 5, progress=False, path=tmp_path / "chips.json")
    assert len(MonteCarlo.load(tmp_path / "chips.json")) == 2


def test_outcomes_that_are_no_numbers_are_refused():
    for outcome, message in [
        ({"accuracy": math.nan}, "accuracy=nan: must be finite"),
        ({"accuracy": "high"}, "must be a number"),
        ({}, "expected numbers by name"),
        (0.9, "expected numbers by name"),
    ]:
        with pytest.raises(ParameterError, match=message):
            monte_carlo(lambda seed, outcome=outcome: outcome, 2, progress=False)
    names = iter([{"a": 1.0}, {"b": 1.0}])
    with pytest.raises(ParameterError, match="returned b; chips before it a"):
        monte_carlo(lambda seed: next(names), 2, progress=False)
    with pytest.raises(ParameterError, match="chips=0"):
        monte_carlo(outcome_of, 0)


def test_one_chip_tells_no_spread():
    found = monte_carlo(outcome_of, 1, progress=False)
    assert math.isnan(found.sd("accuracy"))
    assert found.confidence("accuracy") == (-math.inf, math.inf)
    assert "nan" not in str(found)


# -- the guide ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [digital_45nm, loihi, rram_crossbar])
def test_the_guide_lists_the_assumptions_as_they_are(preset):
    guide = (Path(__file__).resolve().parent.parent / "docs" / "energy.md").read_text(encoding="utf-8")
    for name, cost in preset().costs.items():
        assert f"| `{name}` | {cost} | {MEANINGS[name][1]} | {cost.source} |" in guide

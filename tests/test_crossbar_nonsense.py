"""Whatever nonsense is given to what is public of chips and energy, the error is the library's own, or it is taken."""

import dataclasses

import numpy as np
import pytest

from snnsim.backends.contract.activity import ChipActivity, ProjectionActivity
from snnsim.backends.crossbar import (
    ADC,
    Chip,
    ChipConfig,
    ChipFabric,
    Device,
    Flicker,
    Mapping,
    ProgrammingNoise,
    ReadNoise,
    Status,
    Wires,
    WriteVerify,
    cells,
    crosssim_rram,
    moment,
    pcm,
)
from snnsim.backends.crossbar.array_read import converter, sums
from snnsim.backends.crossbar.array_read.prepared_array import PreparedArray
from snnsim.backends.crossbar.device import current_voltage, curves, drift, presets, programming
from snnsim.backends.crossbar.loop import Checked, Recorder, TcpDevice, compare_currents
from snnsim.backends.crossbar.wires.currents import (
    apply_transfer,
    cell_voltages,
    exact_currents,
    fast_currents,
    transfer_matrix,
)
from snnsim.energy import Cost, CostTable, EnergyLine, LatencyLine, compare
from snnsim.errors import SnnsimError
from snnsim.reservoir import BreakdownPairs, NormalPairs

NONSENSE = [
    None, np.nan, np.inf, -np.inf, -1, -1.5, 1e308, 10**30, True, "x", "", b"x", [], (), [1, 2], {}, {"a": 1}, object(),
    np.zeros(3), np.array([np.nan]), np.array([2.0]), 3 + 4j, np.datetime64("2020"), float, (np.nan,), (1.0, "x"),
    [[1, 2], [3]],
]  # fmt: skip
LINE, PLAIN, ONES = curves.Polynomial((0.1,)), Device("plain", 1.0, 33.0), np.ones((3, 4))
READ = {"offsets": [0, 2], "rows_active": [0, 1]}
CIRCUIT = {"conductance": ONES, **READ, "voltage": 0.2, "wires": Wires(1.0, 1.0)}
CELLS = cells.program(pcm(), np.full((2, 2), 3.0), seed=0, tile=0)


def chip(adc=None):
    made = Chip(ChipConfig(pcm(), rows=4, columns=4, adc=adc))
    made.program(0, np.full((2, 2), 3.0), 1.0 if adc else None)
    return made


def on(adc, name):
    return lambda **given: getattr(chip(adc), name)(**given)


#: What is called, and arguments of which one at a time is replaced.
CALLS = {
    "Device": (
        Device,
        {"name": "d", "g_min": 1.0, "g_max": 33.0, "read_voltage": 0.2, "levels": 4, "programming": None,
         "verify": None,
         "spread": 0.1, "stuck_on": 0.1, "stuck_off": 0.1, "read_noise": None, "flicker": None, "drift": None,
         "current_voltage": None, "source": "s", "unusual": False},
    ),
    "unusual Device": (Device, {"name": "d", "g_min": 1.0, "g_max": 33.0, "read_voltage": 0.2, "unusual": True}),
    "ProgrammingNoise": (ProgrammingNoise, {"deviation": LINE, "offset": None}),
    "FormedNoise": (programming.FormedNoise, {"average": 12.0, "deviation": 1.0}),
    "WriteVerify": (WriteVerify, {"tolerance": 0.1, "iterations": 3, "correction": 0.5}),
    "ReadNoise": (
        ReadNoise,
        {"curve": LINE, "relative": True, "state": "now", "read_time": 1.0, "reference_time": 0.0},
    ),
    "Flicker": (Flicker, {"deviation": 0.1, "octaves": 4}),
    "PowerLawDrift": (
        drift.PowerLawDrift,
        {"mean": LINE, "deviation": LINE, "reference_time": 1.0, "activation_energy": 1.0},
    ),
    "LogarithmicDrift": (drift.LogarithmicDrift, {"slope": 0.1, "spread_slope": 0.1, "spread": 0.1}),
    "RelativePolynomial": (current_voltage.RelativePolynomial, {"coefficients": (0.1,), "highest_voltage": 0.5}),
    "LogarithmicPolynomial": (
        current_voltage.LogarithmicPolynomial,
        {"second": (0.1,), "third": (0.1,), "low": 1.0, "high": 33.0, "highest_voltage": 0.5},
    ),
    "Polynomial": (curves.Polynomial, {"coefficients": (1.0,), "reference": 1.0}),
    "ClippedLogarithm": (
        curves.ClippedLogarithm,
        {"slope": 0.1, "offset": 0.1, "low": 0.0, "high": 1.0, "reference": 1.0, "split": 0.5, "beyond": (1.0,)},
    ),
    "ClippedPower": (curves.ClippedPower, {"scale": 0.1, "exponent": 0.1, "floor": 0.1, "high": 0.1, "reference": 1.0}),
    "Saturation": (curves.Saturation, {"height": 1.0, "scale": 1.0}),
    "Table": (curves.Table, {"conductances": (1.0, 2.0), "values": (1.0, 2.0)}),
    "Wires": (Wires, {"row": 1.0, "column": 1.0, "driver": 0.0, "sink": 0.0, "unselected": "gated", "solver": "fast"}),
    "ADC": (ADC, {"bits": 8, "full_scale": 1.0, "offset_spread": 0.1, "gain_spread": 0.1, "calibrated": False}),
    "converters": (ADC(8).converters, {"full_scale": 1.0, "columns": 3, "seed": 0, "tile": 0}),
    "Converters": (
        converter.Converters,
        {"bits": 8, "full_scale": 1.0, "offset": [0.0], "gain": [1.0], "correction_offset": [0.0],
         "correction_gain": [1.0]},
    ),
    "calibrated": (ADC(8, 1.0).converters().calibrated, {"points": 8, "repeats": 1, "noise": 0.0, "seed": 0}),
    "codes": (ADC(8, 1.0).converters(columns=2).codes, {"currents": [1.0, 2.0]}),
    "range_for": (converter.range_for, {"currents": [1.0, 2.0], "percentile": 99.0}),
    "ChipConfig": (ChipConfig, {"device": PLAIN, "wires": None, "adc": None, "rows": 16, "columns": 16}),
    "only": (lambda stage: ChipConfig().only(stage), {"stage": "adc"}),
    "Device.without": (lambda stage: PLAIN.without(stage), {"stage": "drift"}),
    "Mapping": (
        Mapping,
        {"slices": 1, "slice_bits": 2, "clip": 99.0, "per_output": False, "compensate": None, "calibration": None,
         "percentile": 99.0, "activity": 0.1, "digital": ()},
    ),
    "Chip": (Chip, {"config": ChipConfig(PLAIN), "seed": 0, "read_seed": 0, "name": "x"}),
    "Chip.program": (on(None, "program"), {"tile": 0, "targets": np.full((2, 2), 3.0)}),
    "Chip.program, ADC": (on(ADC(8), "program"), {"tile": 0, "targets": np.full((2, 2), 3.0), "full_scale": 2.0}),
    "Chip.read": (
        on(None, "read"),
        {"tile": 0, "offsets": np.array([0, 1]), "rows": np.array([0]), "keys": np.array([1], np.uint64)},
    ),
    "Chip.age": (on(None, "age"), {"seconds": 1.0, "temperature": 300.0}),
    "Chip.set_range": (on(ADC(8), "set_range"), {"tile": 0, "full_scale": 2.0}),
    "Chip.targets": (on(None, "targets"), {"tile": 0}),
    "Chip.holds": (on(None, "holds"), {"tile": 0, "targets": np.ones((2, 2)), "full_scale": None}),
    "Chip.load": (Chip.load, {"path": 3}),
    "ChipFabric": (ChipFabric, {"network": 3, "device": chip(), "mapping": None}),
    "from_measurements": (
        Device.from_measurements,
        {"path": "none.csv", "g_min": None, "g_max": None, "reference_time": None, "bins": 3, "unusual": False},
    ),
    "Status": (
        Status,
        {"name": "x", "rows": 4, "columns": 4, "tiles": None, "g_min": 0.0, "g_max": 1.0, "read_voltage": 1.0,
         "protocol": 1, "units": {}, "capabilities": ()},
    ),
    "compare_currents": (
        lambda **given: compare_currents(chip(), chip(), **given),
        {"tile": 0, "vectors": 3, "activity": 0.5, "rows": 2, "repeats": 1, "seed": 0},
    ),
    "Checked": (lambda **given: Checked(chip()).program(**given), {"tile": 0, "targets": np.full((2, 2), 3.0)}),
    "TcpDevice": (
        lambda **given: TcpDevice("127.0.0.1", retries=0, **given),
        {"port": 1, "timeout": 0.1, "backoff": 0.0, "limit": 2**26},
    ),
    "Recorder": (lambda **given: Recorder(chip(), "none.h5", **given).close(), {"buffer": -1}),
    "exact_currents": (exact_currents, {**CIRCUIT, "threads": 1}),
    "fast_currents": (fast_currents, {**CIRCUIT, "tolerance": 1e-4, "transfer": None, "threads": 1}),
    "transfer_matrix": (transfer_matrix, {"conductance": ONES, "wires": Wires(1.0, 1.0, unselected="grounded")}),
    "apply_transfer": (apply_transfer, {"transfer": ONES, **READ, "voltage": 0.2}),
    "cell_voltages": (
        cell_voltages,
        {"conductance": ONES, "rows_active": [0, 1], "voltage": 0.2, "wires": Wires(1.0, 1.0)},
    ),
    "read_sums": (
        sums.read_sums,
        {"mean": ONES, "variance": ONES, **READ, "keys": [1], "converters": None, "threads": 1},
    ),
    "finish": (sums.finish, {"currents": np.ones((1, 4)), "variance": ONES, **READ, "keys": [1]}),
    "PreparedArray": (PreparedArray, {"mean": ONES, "variance": ONES, "converters": None, "precision": None}),
    "PreparedArray.read": (PreparedArray(ONES, ONES).read, {**READ, "keys": [1], "out": None, "threads": 1}),
    "PreparedArray.finish": (PreparedArray(ONES, ONES).finish, {"currents": np.ones((1, 4)), **READ, "keys": [1]}),
    "program": (
        cells.program,
        {"device": PLAIN, "targets": np.full((2, 2), 3.0), "seed": 0, "tile": 0, "cycle": 0, "before": None},
    ),
    "conductance_at": (cells.conductance_at, {"device": pcm(), "state": CELLS, "seconds": 1.0, "temperature": 300.0}),
    "read_variance": (
        cells.read_variance,
        {"device": pcm(), "conductance": np.ones((2, 2)), "seconds": 0.0, "programmed": None},
    ),
    "effective_conductance": (
        cells.effective_conductance,
        {"device": crosssim_rram(), "conductance": np.full((2, 2), 60.0), "voltage": None},
    ),
    "flicker": (
        cells.flicker,
        {"device": Device("f", 1.0, 3.0, flicker=Flicker(0.1)), "conductance": np.ones((2, 2)), "seed": 0, "tile": 0,
         "tick": 0, "rows": np.arange(2)},
    ),
    "moment": (moment, {"recording": 0, "tick": 0}),
    "BreakdownPairs": (
        BreakdownPairs,
        {"voltage": 3.4, "breakdown_mean": 3.4, "breakdown_sd": 0.1, "mean": 12.0, "sd": 2.0},
    ),
    "with_formed": (BreakdownPairs.with_formed, {"share": 0.5}),
    "NormalPairs": (NormalPairs, {"mean": 0.0, "sd": 1.0}),
    **{
        name: (getattr(presets, name), {argument: good})
        for name, argument, good in (
            ("ideal", "g_max", 64.0), ("pcm", "g_max", 25.0), ("hermes", "devices", 2), ("reram_wan", "seconds", 1.0),
            ("reram_cmo", "acceptance", 2.0), ("state_independent", "g_max", 25.0), ("crosssim_sonos", "days", 0),
        )
    },
    "ProjectionActivity": (
        ProjectionActivity,
        {"name": "p", "tiles": 1, "reads": 1, "active_rows": 1, "cell_reads": 2, "conversions": 1, "adc_bits": 8,
         "additions": 0, "read_watts": None, "busiest_reads": 1, "programming_pulses": 0, "saturated": 0,
         "of_tiles": ()},
    ),
    "ChipActivity": (
        ChipActivity,
        {"projections": (), "inferences": 1, "rows": 4, "columns": 4, "read_voltage": 0.2, "device": ""},
    ),
    "Cost": (Cost, {"value": 1.0, "unit": "J", "source": "assumption"}),
    "CostTable": (CostTable, {"name": "x", "accumulate": None, "note": ""}),
    "EnergyLine": (
        EnergyLine,
        {"part": "p", "operation": "o", "count": 1.0, "each": 1.0, "assumptions": ("accumulate",)},
    ),
    "LatencyLine": (LatencyLine, {"part": "p", "seconds": 1.0, "parallelism": "all", "assumptions": ("read_pulse",)}),
    "compare": (compare, {"first": 3, "second": 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_nonsense_is_named_or_taken(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, good = CALLS[name]
    refused = 0
    for argument in good:
        for nonsense in NONSENSE:
            try:
                with np.errstate(all="ignore"):
                    call(**{**good, argument: nonsense})
            except SnnsimError:
                refused += 1
    assert refused >= (len(good) - (name == "Chip.holds") * 2) * len(NONSENSE) // 2  # which is a question


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int8, np.int64])
def test_numpy_numbers_are_taken_as_numbers(kind, tmp_path):
    device = Device(
        "d", kind(2), kind(100), read_voltage=kind(1), verify=WriteVerify(kind(3), 3, kind(1)),
        read_noise=ReadNoise(curves.Polynomial((kind(1),), kind(2)), read_time=kind(1), reference_time=kind(4)),
        drift=drift.PowerLawDrift(curves.Table((kind(2), kind(9)), (kind(0), kind(1))), LINE, kind(20)),
        flicker=Flicker(kind(1), np.int8(3)),
    )  # fmt: skip
    config = ChipConfig(device, Wires(kind(1), kind(2)), ADC(np.int8(8), kind(100)), np.int16(8), np.int16(4))
    python = Device(
        "d", 2.0, 100.0, read_voltage=1.0, verify=WriteVerify(3.0, 3, 1.0),
        read_noise=ReadNoise(curves.Polynomial((1.0,), 2.0), read_time=1.0, reference_time=4.0),
        drift=drift.PowerLawDrift(curves.Table((2.0, 9.0), (0.0, 1.0)), LINE, 20.0),
        flicker=Flicker(1.0, 3),
    )  # fmt: skip
    assert config == ChipConfig(python, Wires(1.0, 2.0), ADC(8, 100.0), 8, 4)
    assert not any(isinstance(getattr(device, field.name), np.generic) for field in dataclasses.fields(device))
    given = Chip(config, np.int64(3))
    given.program(np.int64(0), np.full((4, 4), 50.0))
    given.save(tmp_path / "chip.h5")
    again = Chip.load(tmp_path / "chip.h5")
    assert again.config == given.config
    other = Chip(ChipConfig(python, Wires(1.0, 2.0), ADC(8, 100.0), 8, 4), 3)
    other.program(0, np.full((4, 4), 50.0))
    for one in (again, other):
        assert np.array_equal(one.conductances(0), given.conductances(0))
        assert one.describe() == given.describe()

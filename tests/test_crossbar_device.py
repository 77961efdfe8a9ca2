"""Devices as values: stages one by one, presets, currents, breakdown, and what is refused."""

import dataclasses
import json
import math

import numpy as np
import pytest

from snnsim.backends.crossbar import Device, Flicker, ProgrammingNoise, WriteVerify
from snnsim.backends.crossbar.cells import conductance_at, effective_conductance, flicker, program, read_variance
from snnsim.backends.crossbar.chip.part_storage import from_dictionary, to_dictionary
from snnsim.backends.crossbar.device import presets
from snnsim.backends.crossbar.device.current_voltage import LogarithmicPolynomial, RelativePolynomial
from snnsim.backends.crossbar.device.curves import ClippedLogarithm, ClippedPower, Polynomial, Saturation, Table
from snnsim.backends.crossbar.device.device import STAGES
from snnsim.backends.crossbar.device.programming import FormedNoise
from snnsim.errors import DataError, ParameterError
from snnsim.reservoir import BreakdownPairs

PRESETS = {
    "ideal": presets.ideal,
    "pcm": presets.pcm,
    "hermes 1": lambda: presets.hermes(1),
    "hermes 2": presets.hermes,
    "wan": presets.reram_wan,
    "realistic": presets.realistic_rram,
    "cmo": presets.reram_cmo,
    "independent": presets.state_independent,
    "joshi": presets.crosssim_pcm,
    "milo": presets.crosssim_rram,
    "wan, cubic": presets.crosssim_rram_wan,
    "sonos": presets.crosssim_sonos,
    "breakdown": presets.resistive_switching,
}


def everything() -> Device:
    return dataclasses.replace(
        presets.pcm(),
        levels=16,
        verify=WriteVerify(0.5, 4),
        spread=0.05,
        stuck_on=0.02,
        stuck_off=0.02,
        flicker=Flicker(0.01),
        current_voltage=RelativePolynomial((0.0, -0.25), 0.5),
    )


def imperfections(device: Device) -> set[str]:
    """Return which stages show in what the functions of a cell return."""
    targets = np.full((60, 60), 10.3)
    state = program(device, targets, seed=1, tile=0)
    seen = set()
    values = np.unique(state.conductance[state.stuck == 0])
    if values.size > 2 and not (state.gain != 1.0).any():
        seen.add("programming")
    if (state.gain != 1.0).any():
        seen.add("spread")
    if state.stuck.any():
        seen.add("stuck")
    if state.iterations.max() > 1:
        seen.add("verify")
    if values.size == 1 and values[0] != 10.3:
        seen.add("levels")
    if read_variance(device, state.conductance).any():
        seen.add("read_noise")
    if flicker(device, state.conductance, seed=1, tile=0, tick=0).any():
        seen.add("flicker")
    if not np.array_equal(conductance_at(device, state, 1e5), state.conductance):
        seen.add("drift")
    if not np.array_equal(effective_conductance(device, state.conductance, 0.4), state.conductance):
        seen.add("current_voltage")
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_can_be_had_alone(stage):
    device = everything().only(stage)
    assert device.stages == (stage,)
    # A loop has nothing to correct where nothing else is wrong.
    assert imperfections(device) == ({stage} if stage != "verify" else set())


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_can_be_left_out(stage):
    device = everything().without(stage)
    assert set(device.stages) == set(STAGES) - {stage}
    assert everything().without(*STAGES).stages == ()


def test_all_off_is_ideal():
    device = everything().only()
    targets = np.random.default_rng(0).uniform(0, 25, (30, 40))
    state = program(device, targets, seed=0, tile=0)
    assert np.array_equal(conductance_at(device, state, 1e9), targets)
    assert imperfections(device) == set()


def test_an_unknown_stage_is_refused():
    with pytest.raises(ParameterError, match=r"stage='noise'.*'levels', 'programming'"):
        presets.pcm().only("noise")
    with pytest.raises(ParameterError, match="stage='stuck_on'"):
        presets.pcm().without("stuck_on")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_describe_themselves_and_can_be_programmed(name):
    device = PRESETS[name]()
    text = device.describe()
    assert device.name in text
    assert f"source: {device.source}" in text
    assert len(text.splitlines()) == 2 + len(STAGES)
    for stage in STAGES:
        line = next(line for line in text.splitlines() if line.strip().startswith(stage.replace("_", " ") + ":"))
        assert line.endswith(": off") == (stage not in device.stages)
    if name != "ideal":
        assert "doi:" in device.source or "github.com" in device.source
    targets = np.linspace(device.g_min, device.g_max, 400).reshape(20, 20)
    state = program(device, targets, seed=0, tile=0)
    now = conductance_at(device, state, 1e6)
    for values in (state.conductance, now, read_variance(device, now, 1e6, state.conductance)):
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    assert hash(device) == hash(PRESETS[name]())


@pytest.mark.parametrize("name", PRESETS)
def test_devices_can_be_stored_as_text(name):
    device = PRESETS[name]()
    assert from_dictionary(json.loads(json.dumps(to_dictionary(device)))) == device


def test_what_is_no_stored_device_is_refused():
    stored = to_dictionary(everything())
    assert from_dictionary(stored) == everything()
    with pytest.raises(DataError, match="'kind' must be one of Device"):
        from_dictionary({**stored, "kind": "Transistor"})
    with pytest.raises(DataError, match=r"stored Device cannot be read: g_max=-1"):
        from_dictionary({**stored, "g_max": -1})
    with pytest.raises(DataError, match=r"stored Device cannot be read.*colour"):
        from_dictionary({**stored, "colour": "red"})

    @dataclasses.dataclass(frozen=True)
    class Own(Polynomial):
        """A curve that nobody else has."""

    with pytest.raises(ParameterError, match="only the models of snnsim"):
        to_dictionary(ProgrammingNoise(Own((1.0,))))


def test_the_assumptions_of_the_realistic_device_are_said():
    assert (
        "our assumptions: spread 0.02, 0.1 % of cells stuck on and 0.1 % stuck off" in presets.realistic_rram().source
    )


def test_the_ideal_range_is_a_power_of_two():
    assert presets.ideal().g_min == 0.0
    assert math.log2(presets.ideal().g_max).is_integer()
    with pytest.raises(ParameterError, match=r"g_max=25\.0"):
        presets.ideal(25.0)


def test_the_polynomial_of_a_current():
    device = Device("bent", 0.0, 100.0, current_voltage=RelativePolynomial((0.0, -0.25), 0.5))
    g = np.array([[10.0, 40.0]])
    # I = G (V - 0.25 V^3), so I / V = G (1 - 0.25 V^2).
    assert np.allclose(effective_conductance(device, g, 0.4), g * (1 - 0.25 * 0.16), rtol=1e-14)
    assert np.allclose(effective_conductance(device, g), g * (1 - 0.25 * 0.04), rtol=1e-14)
    with pytest.raises(ParameterError, match=r"voltage=0\.6.*0\.5 V"):
        effective_conductance(device, g, 0.6)
    with pytest.raises(ParameterError, match=r"voltage=0\.0"):
        effective_conductance(device, g, 0.0)


def test_the_current_of_milo_cells_is_that_of_its_formula():
    device = presets.crosssim_rram()
    for g in (50.0, 100.0, 225.0):
        siemens, volt = g * 1e-6, 0.3
        x = math.log10(siemens)
        n2 = 0.0001388 * x**3 + 0.001541 * x**2 + 0.005711 * x + 0.007063
        n3 = 8.871e-5 * x**2 + 6.7919e-4 * x + 1.2968e-3
        ampere = siemens * volt + n2 * volt**2 + n3 * volt**3
        found = effective_conductance(device, np.array([[g]]), volt)[0, 0]
        assert found == pytest.approx(ampere / volt * 1e6, rel=1e-10)
    assert effective_conductance(device, np.zeros((1, 1)))[0, 0] == 0.0


def test_cells_formed_on_the_chip_are_those_formed_in_software():
    software = BreakdownPairs(voltage=3.433).cells((200, 300), 1, "cells")
    formed = software > 0
    state = program(presets.resistive_switching(), np.where(formed, 12.35, 0.0), seed=1, tile=0)
    assert (state.conductance[~formed] == 0.0).all()
    for cells in (state.conductance[formed], software[formed]):
        assert cells.mean() == pytest.approx(12.35, abs=0.05)
        assert cells.std() == pytest.approx(1.86, rel=0.02)
    # Two percent of each cell from read to read.
    variance = read_variance(presets.resistive_switching(), state.conductance)
    assert np.allclose(np.sqrt(variance), 0.02 * state.conductance)


def test_a_device_without_a_source_says_so():
    assert "source: not stated" in Device(**GOOD).describe()


GOOD = {"name": "device", "g_min": 1.0, "g_max": 10.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "name=''"),
        ({"g_min": -1.0}, r"g_min=-1\.0"),
        ({"g_min": 10.0}, r"g_min=10\.0.*g_max=10\.0"),
        ({"g_max": math.inf}, "g_max=inf"),
        ({"g_max": None}, "g_max=None"),
        ({"read_voltage": 0.0}, r"read_voltage=0\.0"),
        ({"levels": 1}, "levels=1"),
        ({"levels": 2.5}, r"levels=2\.5"),
        ({"programming": 0.2}, r"programming=0\.2.*ProgrammingNoise or FormedNoise"),
        ({"verify": 3}, "verify=3.*WriteVerify"),
        ({"spread": -0.1}, r"spread=-0\.1"),
        ({"stuck_on": math.nan}, "stuck_on=nan"),
        ({"stuck_on": 0.6, "stuck_off": 0.6}, r"stuck_on=0\.6 and stuck_off=0\.6"),
        ({"read_noise": 0.1}, r"read_noise=0\.1.*ReadNoise"),
        ({"flicker": 0.1}, r"flicker=0\.1.*Flicker"),
        ({"drift": 0.05}, r"drift=0\.05.*Drift"),
        ({"current_voltage": (1, 2)}, r"current_voltage=\(1, 2\)"),
        ({"source": None}, "source=None"),
    ],
)
def test_bad_devices_are_refused(change, words):
    with pytest.raises(ParameterError, match=words):
        Device(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WriteVerify(0.0, 3), r"tolerance=0\.0"),
        (lambda: WriteVerify(0.1, 0), "iterations=0"),
        (lambda: WriteVerify(0.1, 3, 1.5), r"correction=1\.5"),
        (lambda: ProgrammingNoise(0.2), r"deviation=0\.2"),
        (lambda: ProgrammingNoise(Polynomial((0.2,)), offset=1), "offset=1"),
        (lambda: FormedNoise(0.0, 1.0), r"average=0\.0"),
        (lambda: Polynomial(()), r"coefficients=\(\)"),
        (lambda: Polynomial((1.0, math.nan)), r"coefficients\[1\]=nan"),
        (lambda: Polynomial((1.0,), 0.0), r"reference=0\.0"),
        (lambda: ClippedLogarithm(1.0, 0.0, 2.0, 1.0, 1.0), r"low=2\.0.*high=1\.0"),
        (lambda: ClippedLogarithm(1.0, 0.0, 1.0, 2.0, 1.0, 0.5), r"beyond=\(\)"),
        (lambda: ClippedPower(-1.0, 0.5, 0.1, 1.0, 1.0), r"scale=-1\.0"),
        (lambda: Saturation(1.0, 0.0), r"scale=0\.0"),
        (lambda: RelativePolynomial((), 0.5), r"coefficients=\(\)"),
        (lambda: RelativePolynomial((0.1,), 0.0), r"highest_voltage=0\.0"),
        (lambda: LogarithmicPolynomial((1.0,), (1.0,), 5.0, 2.0, 0.5), r"low=5\.0.*high=2\.0"),
        (lambda: presets.hermes(3), "devices=3"),
        (lambda: presets.reram_wan(60.0), r"seconds=60\.0.*86400"),
        (lambda: presets.reram_cmo(1.0), r"acceptance=1\.0"),
        (lambda: presets.crosssim_sonos(6), "days=6"),
        (lambda: presets.pcm(-1.0), r"g_max=-1\.0"),
    ],
)
def test_bad_parts_are_refused(make, words):
    with pytest.raises(ParameterError, match=words):
        make()


def test_curves_hold_their_ends():
    table = Table((2.0, 4.0), (1.0, 3.0))
    assert table(np.array([0.0, 2.0, 3.0, 4.0, 9.0])).tolist() == [1.0, 1.0, 2.0, 3.0, 3.0]
    assert Polynomial((1.0, -1.0))(np.array([0.5, 2.0])).tolist() == [0.5, 0.0]
    assert ClippedPower(0.0088, 0.65, 1e-3, 0.2, 25.0)(np.array([0.0]))[0] == 0.2

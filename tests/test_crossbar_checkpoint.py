"""A run on a chip goes on on that chip: it is in the checkpoint, and nothing else is taken in silence."""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnsim import (
    LIF,
    Dense,
    Events,
    Input,
    Network,
    Normal,
    Poisson,
    Population,
    Projection,
    Result,
    Simulation,
    Trace,
)
from snnsim.backends.crossbar import (
    ADC,
    Chip,
    ChipConfig,
    Device,
    Mapping,
    ProgrammingNoise,
    Wires,
    pcm,
    realistic_rram,
)
from snnsim.backends.crossbar.device.curves import Curve
from snnsim.backends.crossbar.loop import Recorder, Replay
from snnsim.errors import DataError, DeviceError, ParameterError

DT = 1e-3
CONFIGS = {
    "noisy": ChipConfig(dataclasses.replace(realistic_rram(), stuck_on=0.1), rows=16, columns=16),
    "converters": ChipConfig(pcm(), adc=ADC(6, offset_spread=0.3, gain_spread=0.1)),
    "wires": ChipConfig(realistic_rram(), wires=Wires(2.0, 2.0, unselected="grounded"), adc=ADC(8)),
    "ideal": ChipConfig(),
}


def network(seed=1):
    return Network(
        [
            Population("in", 20, Poisson(100.0)),
            Population("more", 4, Input()),
            Population("out", 10, LIF(20e-3, reset="zero")),
        ],
        [
            Projection("in", "out", Dense(Normal(0.05, 0.05)), delay=1e-3),
            Projection("more", "out", Dense(Normal(0.1, 0.1))),
            Projection("out", "out", Dense(Normal(0.0, 0.05)), delay=3e-3),
        ],
        dt=DT,
        seed=seed,
    )


def given(ticks=40, seed=0):
    return Events.from_dense(np.random.default_rng(seed).binomial(1, 0.2, (1, ticks, 4)), DT)


def go_on(sim, ticks=40):
    return sim.run(inputs=given(ticks, 1), record=["out", Trace("out")])


def assert_same(one, other):
    assert one.spikes["out"] == other.spikes["out"]
    for key, values in one.traces.items():
        assert np.array_equal(values, other.traces[key])


def begun(tmp_path, config, *, mapping=None, age=0.0, seed=1):
    """Return a simulation after 40 ticks, on a chip that has aged since it was programmed, and its checkpoint."""
    sim = Simulation(network(), "crossbar", chip=Chip(config, seed), mapping=mapping)
    if age:
        sim.program.chip.age(age)
    sim.run(inputs=given())
    sim.save_checkpoint(tmp_path / "run.h5")
    return sim, tmp_path / "run.h5"


MAPPINGS = {
    "plain": Mapping(),
    "all of it": Mapping(
        slices=2, slice_bits=2, clip=90.0, per_output=True, compensate="output", digital=("out->out",)
    ),
}


@pytest.mark.parametrize("age", [0.0, 3600.0])
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_goes_on_bit_for_bit_without_anything_given(tmp_path, name, mapping, age):
    sim, path = begun(tmp_path, CONFIGS[name], mapping=MAPPINGS[mapping], age=age)
    again = Simulation.from_checkpoint(path)
    assert again.backend == "crossbar"
    assert again.program.chip is not sim.program.chip
    assert again.program.chip.config == CONFIGS[name]
    right, found = go_on(sim), go_on(again)
    assert_same(right, found)
    assert found.provenance["chip"] == right.provenance["chip"]
    assert "moves" not in found.provenance
    assert again.program.chip.programming_pulses == sim.program.chip.programming_pulses
    other = go_on(Simulation.from_checkpoint(path, "cpu"))
    if name != "ideal" or mapping != "plain":
        assert other.spikes["out"] != right.spikes["out"]


def test_ranges_that_were_calibrated_and_gains_measured_young_stay(tmp_path):
    net = Network(
        [Population("in", 20, Input()), Population("out", 10, LIF(20e-3, reset="zero"))],
        [Projection("in", "out", Dense(Normal(0.05, 0.1)))],
        dt=DT,
    )
    random = np.random.default_rng(0)
    given = Events.from_dense(random.binomial(1, 0.3, (1, 40, 20)), DT)
    mapping = Mapping(calibration=given, compensate="tile")
    sim = Simulation(net, "crossbar", chip=Chip(CONFIGS["converters"], 1), mapping=mapping)
    sim.program.chip.age(86400.0)  # the gains stay those of the day of programming
    sim.run(inputs=given)
    sim.save_checkpoint(tmp_path / "run.h5")
    again = Simulation.from_checkpoint(tmp_path / "run.h5")
    assert again.program.chip.tiles[0].full_scale == sim.program.chip.tiles[0].full_scale
    assert np.array_equal(again.program.fabric.gains()[0], sim.program.fabric.gains()[0])
    assert_same(*(one.run(inputs=given, record=["out", Trace("out")]) for one in (sim, again)))
    # With the recordings given again, all the same.
    twice = Simulation.from_checkpoint(tmp_path / "run.h5", mapping=mapping)
    sim = Simulation.from_checkpoint(tmp_path / "run.h5")
    assert_same(*(one.run(inputs=given, record=["out", Trace("out")]) for one in (sim, twice)))


def test_the_same_chip_may_be_given_again_and_another_is_said(tmp_path):
    config, path = CONFIGS["noisy"], tmp_path / "run.h5"
    sim, _ = begun(tmp_path, config)
    right = go_on(Simulation.from_checkpoint(path))
    for chip in (Chip(config, 1), sim.program.chip):  # as it was made, or as it is
        same = go_on(Simulation.from_checkpoint(path, chip=chip))
        assert_same(right, same)
        assert "moves" not in same.provenance
    for chip in (Chip(config, 2), Chip(config, 1, read_seed=5), Chip(ChipConfig(pcm()), 1), Chip()):
        other = go_on(Simulation.from_checkpoint(path, chip=chip))
        assert other.spikes["out"] != right.spikes["out"]
        moves = other.provenance["moves"]
        assert moves.startswith("at tick 40 from chip: realistic RRAM, programming, ")
        assert moves.endswith(f" to {chip.describe()}")


def test_the_chip_of_the_checkpoint_in_another_state_is_refused(tmp_path):
    config = CONFIGS["noisy"]
    _, path = begun(tmp_path, config, age=0.0)
    aged = Chip(config, 1)
    Simulation(network(), "crossbar", chip=aged).program.chip.reprogram()
    before = aged.conductances(0).copy()
    with pytest.raises(
        ParameterError, match=r"tile 0 was programmed 1 times and is 0 s old, and is programmed 2 times"
    ):
        Simulation.from_checkpoint(path, chip=aged)
    assert np.array_equal(aged.conductances(0), before)  # nothing was done to it
    drifting = ChipConfig(pcm())
    _, path = begun(tmp_path, drifting, age=3600.0)
    with pytest.raises(
        ParameterError, match=r"was programmed 1 times and is 3600 s old, and is not programmed\. Leave"
    ):
        Simulation.from_checkpoint(path, chip=Chip(drifting, 1))
    with pytest.raises(ParameterError, match="is 3600 s old, and is not programmed"):
        Simulation.from_checkpoint(path, chip=Chip(drifting, 1), mapping=Mapping())


def test_a_chip_that_was_programmed_twice_is_not_one_programmed_once(tmp_path):
    sim, path = begun(tmp_path, CONFIGS["noisy"])
    sim.program.chip.reprogram()
    sim.save_checkpoint(path)
    with pytest.raises(ParameterError, match="was programmed 2 times and is 0 s old, and is not programmed"):
        Simulation.from_checkpoint(path, chip=Chip(CONFIGS["noisy"], 1))
    assert_same(go_on(sim), go_on(Simulation.from_checkpoint(path)))


def test_the_same_cells_behind_other_converters_get_their_ranges_back(tmp_path):
    sim, path = begun(tmp_path, CONFIGS["converters"])
    scale = sim.program.chip.tiles[0].full_scale
    sim.program.chip.save(tmp_path / "chip.h5")
    chip = Chip.load(tmp_path / "chip.h5")
    chip.set_range(0, 10 * scale)
    again = Simulation.from_checkpoint(path, chip=chip)
    assert chip.tiles[0].full_scale == scale
    assert_same(go_on(sim), go_on(again))


def test_another_mapping_programs_the_chip_of_the_checkpoint_anew(tmp_path):
    sim, path = begun(tmp_path, CONFIGS["noisy"])
    again = Simulation.from_checkpoint(path, mapping=Mapping(clip=80.0))
    assert again.program.chip.tiles[0].cycle == 1
    assert "moves" in go_on(again).provenance
    same = Simulation.from_checkpoint(path, mapping=Mapping())
    assert same.program.chip.tiles[0].cycle == 0
    assert_same(go_on(sim), go_on(same))


def test_another_compensation_is_measured(tmp_path):
    sim, path = begun(tmp_path, ChipConfig(pcm()), age=86400.0)
    assert np.array_equal(sim.program.fabric.gains()[0], np.ones(10))
    again = Simulation.from_checkpoint(path, mapping=Mapping(compensate="tile"))
    assert again.program.fabric.gains()[0] == pytest.approx(np.full(10, 0.66), abs=0.08)
    assert again.program.chip.tiles[0].cycle == 0
    assert np.array_equal(again.program.chip.conductances(0), sim.program.chip.conductances(0))


def test_cells_that_were_written_by_hand_stay_as_they_are(tmp_path):
    sim, path = begun(tmp_path, CONFIGS["noisy"])
    sim.program.chip.program(0, np.full(sim.program.chip.targets(0).shape, 5.0))
    sim.save_checkpoint(path)
    again = Simulation.from_checkpoint(path)
    assert np.array_equal(again.program.chip.conductances(0), sim.program.chip.conductances(0))
    assert_same(go_on(sim), go_on(again))
    with pytest.raises(ParameterError, match="is not as that one was"):
        Simulation.from_checkpoint(path, chip=Chip(CONFIGS["noisy"], 1))


def test_moves_are_kept_from_checkpoint_to_checkpoint(tmp_path):
    sim, path = begun(tmp_path, CONFIGS["noisy"])
    for target in ("cpu", "crossbar", "reference"):
        sim = Simulation.from_checkpoint(path, target)
        result = sim.run(inputs=given())
        sim.save_checkpoint(path)
    moves = result.provenance["moves"].split("; at tick ")
    assert len(moves) == 3
    assert moves[0].endswith(" to cpu")
    assert moves[1].startswith("80 from cpu to chip: ideal, all stages off")
    assert moves[2].endswith(" to reference")
    assert "chip" not in result.provenance
    sim.reset()
    assert "moves" not in sim.run(inputs=given()).provenance
    result.save(tmp_path / "result.h5")
    assert Result.load(tmp_path / "result.h5").provenance == result.provenance


def test_ranges_of_another_kind_of_chip_are_not_those_of_the_recordings(tmp_path):
    populations = [Population("in", 20, Input()), Population("out", 10, LIF())]
    net = Network(populations, [Projection("in", "out", Dense(Normal(0.0, 0.1)))], dt=DT)
    recordings = Events.from_dense(np.eye(20, dtype=int)[None], net.dt)  # one row at a time
    mapping = Mapping(calibration=recordings)
    sim = Simulation(net, "crossbar", chip=Chip(CONFIGS["converters"], 1), mapping=mapping)
    sim.run(inputs=recordings)
    sim.save_checkpoint(tmp_path / "run.h5")
    other = ChipConfig(Device("other", 1.0, 33.0), adc=ADC(8))
    with pytest.raises(ParameterError, match=r"mapping: the ranges .* found with recordings, for another kind of chip"):
        Simulation.from_checkpoint(tmp_path / "run.h5", chip=Chip(other))
    Simulation.from_checkpoint(tmp_path / "run.h5", chip=Chip(other), mapping=mapping)
    twin = Simulation.from_checkpoint(tmp_path / "run.h5", chip=Chip(CONFIGS["converters"], 9))
    assert twin.program.chip.tiles[0].full_scale == sim.program.chip.tiles[0].full_scale


# -- devices that no file can hold ------------------------------------------------------------------------


class Mine(Chip):
    """A chip that does something of its own."""


@dataclasses.dataclass(frozen=True)
class OwnCurve(Curve):
    def __call__(self, conductance):
        return 0.05 * conductance

    def describe(self):
        return "mine"


OWN = ChipConfig(Device("own", 1.0, 33.0, programming=ProgrammingNoise(OwnCurve())))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: Recorder(Chip(CONFIGS["noisy"], 1, name="bench 3"), path), "Recorder: bench 3, tiles of 16 x 16"),
        (lambda path: Mine(CONFIGS["noisy"], 1), "Mine: chip, tiles of 16 x 16"),
        (lambda path: Chip(OWN), "chip: own, programming; seed 0"),
    ],
)
def test_a_device_that_no_file_can_hold_is_asked_for(tmp_path, make, words):
    sim = Simulation(network(), "crossbar", chip=make(tmp_path / "trace.h5"))
    sim.run(inputs=given())
    sim.save_checkpoint(tmp_path / "run.h5")
    with pytest.raises(ParameterError, match=r"chip: is missing; .*run\.h5 is of a run on ") as caught:
        Simulation.from_checkpoint(tmp_path / "run.h5")
    assert words in str(caught.value)
    assert "which no file can hold: give it again, chip=..., or say backend='cpu'" in str(caught.value)
    for call in (Simulation.from_checkpoint, Simulation.resume):
        with pytest.raises(ParameterError, match="chip: is missing"):
            call(tmp_path / "run.h5")
    right = go_on(sim)
    again = Simulation.from_checkpoint(tmp_path / "run.h5", chip=make(tmp_path / "again.h5"))
    assert_same(go_on(again), right)
    assert again.program.hardware == sim.program.hardware
    go_on(Simulation.from_checkpoint(tmp_path / "run.h5", backend="cpu"))


def test_a_trace_that_is_played_is_asked_for_too(tmp_path):
    with Recorder(Chip(CONFIGS["noisy"], 1), tmp_path / "trace.h5") as recorder:
        Simulation(network(), "crossbar", chip=recorder).run(inputs=given())
    with Replay(tmp_path / "trace.h5") as replay:
        sim = Simulation(network(), "crossbar", chip=replay)
        sim.run(inputs=given())
        sim.save_checkpoint(tmp_path / "run.h5")
    with pytest.raises(ParameterError, match="is of a run on 'Replay: chip, "):
        Simulation.from_checkpoint(tmp_path / "run.h5")


def test_a_chip_that_was_given_to_another_network_is_not_kept_for_this_one(tmp_path):
    sim, path = begun(tmp_path, CONFIGS["noisy"])
    before = path.read_bytes()
    Simulation(network(seed=2), "crossbar", chip=sim.program.chip)
    with pytest.raises(DeviceError, match="was programmed for another network"):
        sim.save_checkpoint(path)
    assert path.read_bytes() == before


# -- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda group: group.__delitem__("chip/tiles/0"), "the chip in it does not hold the network in it"),
        (lambda group: group.__delitem__("tiles/0"), "the chip in it does not hold the network in it"),
        (lambda group: group.__delitem__("mapping"), "how the network lay on its chip cannot be read"),
        (lambda group: group["mapping"].__setitem__((), '{"clip": -3}'), "how the network lay on its chip cannot be"),
        (lambda group: group["chip/config"].__setitem__((), "[" * 9000), "what the chip is made of cannot be read"),
        (
            lambda group: group["chip/tiles/0/conductance"].__setitem__((2, 3), 9.2e18),
            r"tile 0 .* cell \(2, 3\) is 9.2e",
        ),
        (lambda group: group["chip/tiles/0/conductance"].__setitem__((2, 3), np.nan), r"cell \(2, 3\) is nan"),
        (lambda group: group["chip/tiles/0/target"].__setitem__((2, 3), -1.0), r"target of cell \(2, 3\) is -1 uS"),
        (lambda group: group["chip/tiles/0/stuck"].__setitem__((2, 3), 7), r"stuck of cell \(2, 3\) is 7"),
        (lambda group: group["chip/tiles/0"].attrs.__setitem__("cycle", -2), r"tile 0 .*cycle=-2"),
        (lambda group: group["chip/tiles"].move("0", "x"), "tile x of the chip cannot be read"),
        (lambda group: group["chip/tiles/0"].__delitem__("gain"), "tile 0 of the chip cannot be read"),
        (lambda group: group["chip/tiles/0/seconds"].__setitem__((), -5.0), r"tile 0 .*seconds"),
    ],
)
def test_damaged_hardware_is_refused_by_file_and_place(tmp_path, damage, words):
    _, path = begun(tmp_path, CONFIGS["noisy"])
    with h5py.File(path, "r+") as file:
        damage(file["hardware"])
    with pytest.raises(DataError, match=words) as caught:
        Simulation.from_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_checkpoint_that_does_not_say_what_it_was_on_asks_for_a_chip(tmp_path):
    _, path = begun(tmp_path, CONFIGS["noisy"])
    with h5py.File(path, "r+") as file:
        del file["hardware"]
    with pytest.raises(ParameterError, match=r"chip: is missing; .* does not say what the run was on"):
        Simulation.from_checkpoint(path)
    Simulation.from_checkpoint(path, chip=Chip(CONFIGS["noisy"], 1))


def test_lasting_numbers_that_are_all_alike_take_little_room(tmp_path):
    net = Network([Population("in", 400, Poisson(1.0)), Population("out", 200, LIF())],
                  [Projection("in", "out", Dense(Normal(0.0, 1.0)))], dt=DT)  # fmt: skip
    sizes = []
    for config in (ChipConfig(), ChipConfig(pcm())):
        sim = Simulation(net, "crossbar", chip=Chip(config))
        sim.save_checkpoint(tmp_path / "run.h5")
        sizes.append((tmp_path / "run.h5").stat().st_size / (400 * 400))
    assert sizes[0] < 18  # bytes a cell: conductance and target
    assert sizes[1] < 27  # and the exponent of drift


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_crossbar_checkpoint as t
from snnsim import Simulation
folder = Path({folder!r})
chip = {{}} if (folder / "run.h5").exists() else {{"chip": t.Chip(t.CONFIGS["noisy"], 1)}}
sim = Simulation.resume(folder / "run.h5", t.network(), "crossbar", **chip)
print("at", sim.tick, flush=True)
if "chip" in chip:
    sim.program.chip.age(60.0)
places = dict(stream=folder / "out.h5", checkpoint=folder / "run.h5")
sim.run(inputs=t.given(1500), record="out", checkpoint_every=0.1, **places)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_on_its_chip(tmp_path):
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if (tmp_path / "run.h5").exists() and h5py_tick(tmp_path / "run.h5") >= 200:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    process.wait(30)
    process.stdout.close()
    stopped = h5py_tick(tmp_path / "run.h5")
    assert stopped >= 200
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout == f"at {stopped}\n"
    sim = Simulation(network(), "crossbar", chip=Chip(CONFIGS["noisy"], 1))
    sim.program.chip.age(60.0)
    right, found = sim.run(inputs=given(1500), record="out"), Result.load(tmp_path / "out.h5")
    assert found.spikes["out"] == right.spikes["out"]
    assert found.provenance["chip"] == right.provenance["chip"]


def h5py_tick(path):
    try:
        with h5py.File(path, "r") as file:
            return int(file.attrs["tick"])
    except OSError:
        return -1

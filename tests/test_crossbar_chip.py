"""A chip over its life: programmed in part, aged, read without moments, shared by networks, given other ranges."""

import numpy as np
import pytest

from snnsim import LI, LIF, Dense, Events, Input, Network, Population, Projection, Simulation, Trace
from snnsim.backends.crossbar import (
    ADC,
    Chip,
    ChipConfig,
    ChipFabric,
    Device,
    Flicker,
    Mapping,
    crosssim_rram,
    pcm,
    realistic_rram,
)
from snnsim.early_exit import DynamicConfidence
from snnsim.errors import DeviceError, ParameterError

DT = 1e-3


def network(seed=0):
    random = np.random.default_rng(seed)
    return Network(
        [Population("in", 20, Input()), Population("hidden", 12, LIF(5e-3)), Population("out", 3, LI(5e-3))],
        [
            Projection("in", "hidden", Dense(random.normal(0.2, 0.5, (20, 12)))),
            Projection("hidden", "out", Dense(random.normal(0, 0.5, (12, 3)))),
        ],
        dt=DT,
    )


def events(recordings=4, p=0.2, seed=0):
    return Events.from_dense(np.random.default_rng(seed).binomial(1, p, (recordings, 20, 20)), DT)


def readout(sim, given=None):
    return next(iter(sim.run_samples(events() if given is None else given, record=Trace("out")).traces.values()))


# -- cells over time --------------------------------------------------------------------------------------


def test_cells_that_programming_leaves_alone_keep_their_age(tmp_path):
    chip = Chip(ChipConfig(pcm().only("drift", "read_noise")))
    targets = np.full((6, 4), 20.0)
    chip.program(0, targets)
    chip.age(86400.0)
    before, noise = chip.conductances(0), chip.tiles[0].array._variance
    targets[:3] = np.nan
    chip.program(0, targets)
    assert np.array_equal(chip.conductances(0)[:3], before[:3])
    assert np.array_equal(chip.conductances(0)[3:], np.full((3, 4), 20.0))
    assert np.array_equal(chip.tiles[0].array._variance[:3], noise[:3])
    chip.age(86400.0)
    chip.save(tmp_path / "chip.h5")
    loaded = Chip.load(tmp_path / "chip.h5")
    for one in (chip, loaded):
        days = np.repeat([2.0, 1.0], 3)[:, None] * 86400.0
        expected = 20.0 * ((days + 20.0) / 20.0) ** -chip.state(0).exponent
        np.testing.assert_allclose(one.conductances(0), expected, rtol=1e-12)


def test_warm_time_counts_for_drift_and_not_for_the_noise_of_reading():
    device = pcm().only("drift", "read_noise")
    drift = type(device.drift)(device.drift.mean, device.drift.deviation, 20.0, activation_energy=0.5)
    chips = [Chip(ChipConfig(Device("warm", 0.0, 25.0, drift=drift, read_noise=device.read_noise))) for _ in range(2)]
    for chip, kelvin in zip(chips, (300.0, 350.0), strict=True):
        chip.program(0, np.full((50, 4), 20.0))
        chip.age(3600.0, kelvin)
    hastened = 3600.0 * np.exp(0.5 / 8.617333262e-5 * (1 / 300 - 1 / 350))
    exponent = chips[1].state(0).exponent
    np.testing.assert_allclose(chips[1].conductances(0), 20.0 * ((hastened + 20) / 20) ** -exponent, rtol=1e-9)
    one, other = (chip.tiles[0].array._variance / (chip.conductances(0)[:, 0::2] ** 2).mean() for chip in chips)
    assert one.mean() == pytest.approx(other.mean(), rel=0.01)  # relative to the conductance, both are an hour old
    with pytest.raises(ParameterError, match="temperature=-5"):
        Chip().age(1.0, temperature=-5.0)


def test_reads_without_a_moment_never_see_the_same_noise():
    chip = Chip(ChipConfig(realistic_rram().only("read_noise")))
    chip.program(0, np.full((5, 2), [20.0, 0.0]))
    read = lambda count: chip.read(0, 5 * np.arange(count + 1), np.tile(np.arange(5), count))[:, 0]  # noqa: E731
    found = [*read(3), *read(2)]
    chip.reprogram()
    found += [*read(2)]
    chip.program(0, np.full((5, 4), 20.0))
    found += [*(read(2) + 20.0)]
    assert np.unique(np.round(found, 9)).size == len(found)


def test_reads_without_a_moment_are_ticks_of_their_own():
    chip = Chip(ChipConfig(Device("flickering", 1.0, 33.0, flicker=Flicker(0.1, octaves=4))))
    chip.program(0, np.full((1, 2), [33.0, 1.0]))
    found = chip.read(0, np.arange(65), np.zeros(64, int))[:, 0]
    assert np.unique(found).size == 64  # the fastest octave is another one at each tick


def test_programming_pulses_are_counted_since_the_chip_was_new():
    chip = Chip(ChipConfig(Device("plain", 1.0, 33.0)))
    targets = np.full((5, 2), 20.0)
    chip.program(0, targets)
    chip.reprogram()
    assert chip.programming_pulses == 20
    targets[1:] = np.nan
    chip.program(0, targets)
    assert chip.programming_pulses == 22
    chip.program(0, np.full((3, 4), 20.0))
    assert chip.programming_pulses == 34


def test_saturated_conversions_are_counted_on():
    chip = Chip(ChipConfig(Device("plain", 1.0, 33.0), adc=ADC(8, full_scale=1.0)))
    chip.program(0, np.full((5, 2), [33.0, 1.0]))
    for _ in range(2):
        chip.read(0, np.array([0, 5]), np.arange(5))
        chip.reprogram()
    assert chip.saturated == 2


# -- networks on one chip ---------------------------------------------------------------------------------


def test_a_network_whose_chip_was_given_to_another_one_is_refused():
    chip = Chip(ChipConfig(pcm()))
    first = Simulation(network(0), "crossbar", chip=chip)
    alone = readout(first)
    again = Simulation(network(0), "crossbar", chip=chip)  # the same weights: both may go on
    assert np.array_equal(readout(first), alone)
    assert np.array_equal(readout(again), alone)
    second = Simulation(network(1), "crossbar", chip=chip)
    for sim in (first, again):
        with pytest.raises(DeviceError, match="tile 0 of 'chip' was programmed for another network"):
            readout(sim)
    with pytest.raises(DeviceError, match="another network"):
        first.run(inputs=events(1))
    readout(second)
    chip.erase()
    with pytest.raises(DeviceError, match="or erased"):
        readout(second)


def test_a_fabric_whose_chip_was_given_to_another_network_is_refused():
    chip = Chip(ChipConfig(pcm()))
    fabric = ChipFabric(network(0), chip)
    weights = {"in->hidden": np.ones((20, 12)), "hidden->out": np.ones((12, 3))}
    given = np.array([0]), np.array([2]), np.array([0, 1]), np.zeros(1, np.uint64)
    fabric.program(weights)
    fabric.drive("in->hidden", *given)
    Simulation(network(1), "crossbar", chip=chip)
    with pytest.raises(DeviceError, match="another network"):
        fabric.drive("in->hidden", *given)
    fabric.program(weights)
    fabric.drive("in->hidden", *given)


def test_ones_own_conductances_and_reprogramming_are_no_other_network():
    chip = Chip(ChipConfig(pcm()))
    sim = Simulation(network(), "crossbar", chip=chip)
    before = readout(sim)
    chip.reprogram()
    assert not np.array_equal(readout(sim), before)
    chip.program(0, np.zeros((20, 24)))
    assert np.abs(readout(sim)).max() < np.abs(before).max()


def test_another_range_of_the_converters_makes_no_cell_young():
    chip = Chip(ChipConfig(pcm(), adc=ADC(8)))
    net = network()
    Simulation(net, "crossbar", chip=chip)
    chip.age(86400.0)
    cells, scale = chip.conductances(0), chip.tiles[0].full_scale
    sim = Simulation(net, "crossbar", chip=chip, mapping=Mapping(calibration=events()))
    assert np.array_equal(chip.conductances(0), cells)
    assert chip.tiles[0].full_scale != scale
    assert chip.tiles[0].converters.full_scale[0] == chip.tiles[0].full_scale
    # and reads go by the new range: codes are whole steps of it
    drive = chip.read(0, np.array([0, 3]), np.arange(3))[0] / chip.tiles[0].converters.step[0]
    assert np.allclose(drive, np.rint(drive), atol=1e-3)
    readout(sim)


# -- runs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [pcm, crosssim_rram, realistic_rram])
def test_every_preset_with_all_stages_off_is_the_reference_bit_for_bit(make, dtype):
    net, given = network(), events()
    results = [
        Simulation(net, backend, dtype=dtype, **options).run_samples(given, record=["hidden", Trace("out")])
        for backend, options in (
            ("crossbar", {"chip": Chip(ChipConfig(make(), adc=ADC(4), columns=16).only(), 3)}),
            ("reference", {}),
        )
    ]
    assert results[0].spikes["hidden"] == results[1].spikes["hidden"]
    assert np.array_equal(*(next(iter(one.traces.values())) for one in results))
    assert results[0].chip.projection("in->hidden").reads > 0


def test_weights_that_are_cut_are_cut_on_an_ideal_chip_too():
    net = network()
    sim = Simulation(net, "crossbar", chip=Chip(), mapping=Mapping(clip=50.0))
    weights = net.projections[0].connectivity.weights
    cut = np.median(np.abs(weights))
    drive = sim.program.fabric.deliver(0, np.zeros(20, int), np.arange(20), np.zeros(1, np.uint64))[0].values[0]
    np.testing.assert_allclose(drive, np.clip(weights, -cut, cut).sum(0), rtol=1e-9)
    given = Events.from_dense(np.ones((1, 1, 20), int), DT)
    hidden = sim.run_samples(given, record=Trace("hidden"))
    assert not np.array_equal(
        next(iter(hidden.traces.values())),
        next(iter(Simulation(net, "reference").run_samples(given, record=Trace("hidden")).traces.values())),
    )


@pytest.mark.parametrize("ideal", [True, False])
def test_recordings_that_are_sure_leave_as_on_the_reference(ideal):
    net, given = network(), events(12)
    device = pcm().only() if ideal else pcm().only("read_noise", "drift")
    rule = DynamicConfidence(smoothing=2.0, threshold=0.6)
    sim = Simulation(net, "crossbar", dtype="float64", chip=Chip(ChipConfig(device)))
    whole = sim.run_samples(given, record=["hidden", Trace("out")])
    left = sim.run_samples(given, record=["hidden", Trace("out")], early_exit=rule, batch_size=5)
    ticks = left.counters.exit_ticks
    assert np.unique(ticks).size > 2
    assert np.array_equal(ticks, rule.exit_ticks(next(iter(whole.traces.values()))))
    for one, many in zip(left.traces.values(), whole.traces.values(), strict=True):
        for recording, n in enumerate(ticks):  # what a recording does depends on no other one's leaving
            assert np.array_equal(one[recording, :n], many[recording, :n])
            assert np.isnan(one[recording, n:]).all()
    if ideal:
        other = Simulation(net, "reference", dtype="float64").run_samples(
            given, record=["hidden", Trace("out")], early_exit=rule
        )
        assert np.array_equal(ticks, other.counters.exit_ticks)
        assert left.spikes["hidden"] == other.spikes["hidden"]
        assert np.array_equal(left.counters.synaptic_operations, other.counters.synaptic_operations)
        assert np.array_equal(left.counters.membrane_updates, other.counters.membrane_updates)


def test_a_long_run_in_parts_is_the_run_in_one_and_one_inference(tmp_path, monkeypatch):
    from snnsim.simulation import long_run

    net, given = network(), events(1)
    config = ChipConfig(pcm())
    one = Simulation(net, "crossbar", chip=Chip(config)).run(inputs=given, record=Trace("out"))
    sim = Simulation(net, "crossbar", chip=Chip(config))
    parts = [sim.run(n * DT, given.crop(n, first), record=Trace("out")) for n, first in ((7, 0), (13, 7))]
    whole = np.concatenate([next(iter(part.traces.values())) for part in parts], axis=1)
    assert np.array_equal(next(iter(one.traces.values())), whole)
    monkeypatch.setattr(long_run, "_FIRST_BLOCK", 15 * 3)  # blocks of three ticks
    sim.reset()
    sim.run(inputs=given, stream=tmp_path / "stream.h5")
    sim.reset()
    blocks = sim.run(inputs=given, record=Trace("out"))
    assert np.array_equal(next(iter(one.traces.values())), next(iter(blocks.traces.values())))
    assert blocks.chip == one.chip  # one inference, and nothing of the run into a stream
    assert one.chip.inferences == 1


def test_a_checkpoint_goes_on_with_the_same_chip(tmp_path):
    net, given = network(), events(1)
    whole = Simulation(net, "crossbar", chip=Chip(ChipConfig(pcm()), 4)).run(inputs=given, record=Trace("out"))
    sim = Simulation(net, "crossbar", chip=Chip(ChipConfig(pcm()), 4))
    sim.run(7 * DT, given.crop(7))
    sim.save_checkpoint(tmp_path / "run.h5")
    again = Simulation.from_checkpoint(tmp_path / "run.h5", chip=Chip(ChipConfig(pcm()), 4))
    assert again.backend == "crossbar"
    rest = again.run(13 * DT, given.crop(13, 7), record=Trace("out"))
    assert np.array_equal(next(iter(rest.traces.values()))[0], next(iter(whole.traces.values()))[0, 7:])


def test_events_of_another_tick_set_no_range():
    with pytest.raises(ParameterError, match=r"calibration: .*ticks of"):
        Simulation(
            network(),
            "crossbar",
            chip=Chip(ChipConfig(pcm(), adc=ADC(8))),
            mapping=Mapping(calibration=events().with_dt(2e-3)),
        )

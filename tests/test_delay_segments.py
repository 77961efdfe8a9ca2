"""Delays as run lengths: as many segments as were counted, for every gap and run, and the right spikes out of them."""

import itertools

import numpy as np
import pytest

from snnsim import (
    IF,
    STDP,
    FixedTotalNumber,
    Input,
    Network,
    OneToOne,
    Population,
    Projection,
    Scripted,
    Simulation,
    Sparse,
    Trace,
    Uniform,
)
from snnsim.backends.cpu.parts import memory
from snnsim.backends.cpu.parts import part as long_tables
from snnsim.backends.cpu.parts.delay_run_lengths import count_segments, write_segments
from snnsim.circuits import potjans_diesmann
from snnsim.errors import InternalError
from snnsim.events import Events

DT = 1e-4
#: 511, 766 and 1021 ticks are the first gaps of two, three and four segments without synapses; 65,025 is 255 * 255.
GAPS = [1, 254, 255, 256, 510, 511, 512, 766, 1021, 65_025, 65_026, 70_000, 200_000]


def written(delays, rows):
    """Return the segments of rows, where those of each row begin, and how many were counted."""
    counted = count_segments(delays, rows)
    segments, segment_rows = np.full(counted + 1, 7, np.uint16), np.zeros(rows.size, np.int64)
    end = write_segments(delays, rows, segments, 0, segment_rows)
    assert end == segment_rows[-1] == counted
    assert segments[-1] == 7
    return segments[:-1], segment_rows, counted


def unpacked(segments, segment_rows):
    """Return the delays that segments stand for, row after row."""
    ticks, counts = segments & 255, segments >> 8
    due = np.cumsum(ticks, dtype=np.int64)
    before = np.concatenate(([0], due))[segment_rows[:-1]]
    return np.repeat(due - np.repeat(before, np.diff(segment_rows)), counts)


def test_as_many_are_written_as_counted_for_every_gap():
    """A segment spans at most 255 ticks, so a gap takes a 255th of it, rounded up, and never less than one."""
    for first in range(0, 200_001, 10_000):
        delays = np.arange(first, min(first + 10_000, 200_001), dtype=np.int32)
        segments, segment_rows, _ = written(delays, np.arange(delays.size + 1))
        assert np.array_equal(np.diff(segment_rows), np.maximum(-(-delays // 255), 1))
        assert np.array_equal(unpacked(segments, segment_rows), delays)
    one = np.array([0, 1])
    for gap in range(200_001):
        assert count_segments(np.array([gap], np.int32), one) == max(-(-gap // 255), 1)


@pytest.mark.parametrize("gap", GAPS)
def test_as_many_are_written_as_counted_for_every_run(gap):
    for count in range(1, 1200):
        delays = np.full(count, gap, np.int32)
        segments, segment_rows, counted = written(delays, np.array([0, count]))
        assert counted == -(-gap // 255) - 1 + -(-count // 255)
        assert np.array_equal(unpacked(segments, segment_rows), delays)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_rows_of_any_gaps_and_runs_come_back(dtype):
    generator = np.random.default_rng(1)
    for _ in range(200):
        n_rows, longest = int(generator.integers(1, 8)), int(generator.choice([0, 3, 255, 600, 65_535, 200_000]))
        longest = min(longest, np.iinfo(dtype).max)
        rows = np.concatenate(([0], np.cumsum(generator.integers(0, 700, n_rows))))
        values = generator.integers(0, longest + 1, rows[-1])
        values[generator.random(rows[-1]) < 0.5] = generator.integers(0, longest + 1)
        delays = np.concatenate([np.sort(values[a:b]) for a, b in itertools.pairwise(rows)]).astype(dtype)
        segments, segment_rows, _ = written(delays, rows)
        assert np.array_equal(unpacked(segments, segment_rows), delays)


def test_nothing_is_written_beyond_the_room_there_is():
    """Every shortage is noticed at the run that would not fit; so are delays that are not in order."""
    delays, rows = np.array([3, 3, 600, 600, 2000], np.int32), np.array([0, 2, 5])
    counted = count_segments(delays, rows)
    for room in range(counted):
        segments = np.full(counted + 10, 7, np.uint16)
        with pytest.raises(InternalError, match="take more segments than were counted"):
            write_segments(delays, rows, segments[:room], 0, np.zeros(3, np.int64))
        assert np.all(segments[room:] == 7)
    with pytest.raises(InternalError, match="are not in order"):
        write_segments(np.array([5, 4], np.int32), np.array([0, 2]), np.zeros(9, np.uint16), 0, rows.copy())


@pytest.mark.parametrize(
    ("error", "message"), [(-1, "more segments than were counted"), (1, r"segments, and \d+ were")]
)
def test_a_count_that_is_wrong_is_an_error_of_the_library(monkeypatch, error, message):
    monkeypatch.setattr(long_tables, "count_segments", lambda *given: count_segments(*given) + error)
    net = Network(
        [Population("in", 2, Input()), Population("out", 2, IF())],
        [Projection("in", "out", OneToOne(), delay=np.array([DT, 2 * DT]))],
        dt=DT,
    )
    with pytest.raises(InternalError, match=rf"{message}.*please report"):
        Simulation(net, threads=1).run(DT, Events.from_ticks([0], [0], n_sources=2, n_ticks=1, dt=DT))


# -- the spikes that come of it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("gap", GAPS)
def test_every_synapse_acts_at_its_delay(gap, threads, tmp_path):
    """Neuron i hears of one spike, once, after its own delay; the run is cut, saved, and goes on."""
    n = 9
    delays = gap * np.array([1, 1, 2, 1, 2, 1, 2, 2, 1]) + np.array([0, 1, 0, 0, 1, 0, 0, 0, 1])
    net = Network(
        [Population("in", 2, Scripted(np.zeros(1), np.zeros(1, int))), Population("out", n, IF(threshold=0.75))],
        [Projection("in", "out", Sparse(np.zeros(n, int), np.arange(n), 1.0), delay=delays * DT)],
        dt=DT,
    )
    sim = Simulation(net, threads=threads)
    first = sim.run((gap // 2 + 1) * DT, record="out")
    assert first.spikes["out"].ticks.size == 0 or gap <= 2
    sim.save_checkpoint(tmp_path / "state.h5")
    sim = Simulation.from_checkpoint(tmp_path / "state.h5")
    second = sim.run((2 * gap + 2 - gap // 2) * DT, record="out")
    ticks = np.concatenate([first.spikes["out"].ticks, second.spikes["out"].ticks + second.start_tick])
    sources = np.concatenate([first.spikes["out"].sources, second.spikes["out"].sources])
    assert np.array_equal(ticks[np.argsort(sources)], delays)


@pytest.mark.parametrize("gap", GAPS)
def test_plastic_synapses_learn_at_their_delay(gap):
    """One arrival at the delay, one postsynaptic spike 20 ticks later: A exp(-20 dt / tau) more, by the pair rule."""
    delays = np.array([gap, gap, 2 * gap, 2 * gap])
    rule = STDP(0.125, 0.125, 2e-3, 2e-3, maximum=10.0)
    net = Network(
        [Population("in", 1, Input()), Population("drive", 4, Input()), Population("out", 4, IF(threshold=1e3))],
        [
            Projection("in", "out", Sparse(np.zeros(4, int), np.arange(4), 1.0), delay=delays * DT, plasticity=rule),
            Projection("drive", "out", OneToOne(1e3)),
        ],
        dt=DT,
    )
    n_ticks = 2 * gap + 30
    inputs = {
        "in": Events.from_ticks([0], [0], n_sources=1, n_ticks=n_ticks, dt=DT),
        "drive": Events.from_ticks(delays + 20, np.arange(4), n_sources=4, n_ticks=n_ticks, dt=DT),
    }
    for threads in (1, 2):
        sim = Simulation(net, threads=threads, dtype="float64")
        sim.run(inputs=inputs, record="out")
        assert sim.weights("in->out") == pytest.approx(1.0 + 0.125 * np.exp(-20 * DT / 2e-3), abs=0, rel=1e-14)


@pytest.mark.parametrize("plastic", [False, True])
def test_rows_with_gaps_agree_with_the_reference(plastic):
    """Random rows of the gaps that took one segment too many, two spikes a source, bit for bit."""
    generator = np.random.default_rng(4)
    n, m, synapses = 5, 7, 300
    delays = generator.choice([1, 2, 255, 256, 511, 512, 767, 1021, 1022, 1533], synapses)
    rule = STDP(0.1, 0.1, 30e-3, 30e-3, minimum=-1.0, maximum=2.0) if plastic else None
    sparse = Sparse(generator.integers(0, n, synapses), generator.integers(0, m, synapses), generator.random(synapses))
    net = Network(
        [Population("in", n, Input()), Population("out", m, IF(threshold=2.0))],
        [Projection("in", "out", sparse, delay=delays * DT, plasticity=rule)],
        dt=DT,
    )
    events = Events.from_ticks(generator.integers(0, 700, 3 * n), np.tile(np.arange(n), 3), n_sources=n, dt=DT)
    inputs = events.crop(2300)
    probes = ["out", Trace("out", every=10)]
    reference = Simulation(net, "reference")
    expected = reference.run(inputs=inputs, record=probes)
    for threads in (1, 3):
        sim = Simulation(net, threads=threads)
        result = sim.run(inputs=inputs, record=probes)
        assert result.spikes["out"] == expected.spikes["out"]
        assert result.spikes["out"].ticks.size > 20
        assert np.array_equal(result.traces["out.membrane"], expected.traces["out.membrane"])
        if plastic:
            assert np.array_equal(sim.weights("in->out"), reference.weights("in->out"))


@pytest.mark.parametrize(("synapses", "longest"), [(15_000, 0.2), (1_500, 0.2), (30_000, 20e-3), (150, 0.2)])
def test_segments_are_foreseen(synapses, longest):
    net = Network(
        [Population("in", 300, Input()), Population("out", 20, IF())],
        [Projection("in", "out", FixedTotalNumber(synapses), delay=Uniform(0.0, longest))],
        dt=1e-6,
    )
    for threads in (1, 3):
        parts = Simulation(net, threads=threads, visit="ticks").program._long.parts.values()
        foreseen = memory._segments(synapses, 300 * threads, net.connection(net.projections[0]).longest_delay)
        assert foreseen == pytest.approx(sum(part.segments.size for part in parts), rel=0.15)


def test_the_microcircuit_in_ticks_of_a_microsecond():
    """Its delays of 0.1 to 6 ms are up to 6,000 ticks apart: rows of all parts hold the synapses that were drawn."""
    net = potjans_diesmann(scale=0.01, dt=1e-6)
    sim = Simulation(net, threads=2, visit="ticks")
    synapses = 0
    for part in sim.program._long.parts.values():
        assert part.segment_rows.max() == part.segments.size
        assert int((part.segments >> 8).sum()) == part.targets.size
        synapses += part.targets.size
    assert synapses == sum(net.synapses(projection).targets.size for projection in net.projections)

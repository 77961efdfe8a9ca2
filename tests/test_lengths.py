"""Lengths of recordings, the extension that delays need, the score of an answer: silence changes nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim as sn
from snnsim import Events, Network, Population, Projection, Simulation, Trace
from snnsim.dynamic_confidence import predictions
from snnsim.early_exit import DynamicConfidence, accuracy_latency_curve, calibrate, measure_early_exit, oracle_curve
from snnsim.errors import DataError, NetworkError, ParameterError
from snnsim.scores import SCORES, RunningScore, final_scores, running_scores

DT = 1e-3


def ragged(recordings=12, ticks=30, sources=6, seed=0, density=0.2):
    """Return recordings of different lengths, the longest of `ticks`."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, ticks + 1, recordings)
    lengths[0] = ticks
    counts = (random.random((recordings, ticks, sources)) < density).astype(int)
    counts *= (np.arange(ticks) < lengths[:, None])[..., None]
    return Events.from_dense(counts, DT, lengths=lengths)


def layered(delay=0.0, seed=1, bias=0.03, **more):
    """Return a feed-forward network whose hidden layer speaks in silence too."""
    return Network(
        [
            Population("in", 6, sn.Input()),
            Population("hidden", 20, sn.LIF(10e-3, bias=bias)),
            Population("out", 4, sn.LI(5e-3)),
        ],
        [
            Projection("in", "hidden", sn.Dense(sn.Normal(0.2, 0.4)), delay=delay),
            Projection("hidden", "out", sn.Dense(sn.Normal(0.0, 0.5)), delay=delay),
        ],
        dt=DT,
        seed=seed,
        **more,
    )


def padded(events, n_ticks):
    """Return the same recordings in a longer array."""
    return events.crop(n_ticks)


def same_counts(first, second):
    for name in ("spikes", "membrane_updates", "synaptic_operations", "exit_ticks"):
        np.testing.assert_array_equal(getattr(first.counters, name), getattr(second.counters, name), name)


# -- events ----------------------------------------------------------------------------------------------


def test_lengths_follow_every_change_of_a_batch():
    events = ragged()
    assert events.crop(50).lengths.tolist() == events.lengths.tolist()
    assert events.crop(10).lengths.tolist() == np.minimum(events.lengths, 10).tolist()
    assert events.crop(10, 5).lengths.tolist() == np.clip(events.lengths - 5, 0, 10).tolist()
    assert events.with_dt(4e-3).lengths.tolist() == [-(-length // 4) for length in events.lengths]
    assert events[[3, 0]].lengths.tolist() == events.lengths[[3, 0]].tolist()
    assert events[2:5].lengths.tolist() == events.lengths[2:5].tolist()
    assert events[7].lengths.tolist() == [events.lengths[7]]
    assert events.binarised().lengths.tolist() == events.lengths.tolist()
    joined = Events.concatenate([events, events.crop(9)])
    assert joined.lengths.tolist() == [*events.lengths, *np.minimum(events.lengths, 9)]
    assert events.density == pytest.approx(events.ticks.size / (events.lengths.sum() * 6))
    assert events.crop(100).density == events.density
    assert events.duration == events.crop(100).duration == pytest.approx(0.03)


def test_lengths_are_saved_and_compared(tmp_path):
    events = ragged()
    events.save(tmp_path / "events.h5")
    assert Events.load(tmp_path / "events.h5") == events
    assert events != events.with_lengths(30)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 2], r"tick 2 lies after the end of recording 1, which has 2 ticks"),
        ([4, -1], r"a length of -1 ticks lies outside 0 \.\.\. 5"),
        ([6, 3], r"a length of 6 ticks lies outside 0 \.\.\. 5"),
        ([3], r"lengths have shape \(1,\); 2 recordings have one each"),
        ([3.5, 3], "lengths must be whole numbers"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(lengths, message):
    with pytest.raises(DataError, match=message):
        Events([0, 2], [0, 0], [0, 1, 2], 1, 5, DT, lengths)


def test_with_lengths_makes_silence_a_part_of_the_recording():
    events = ragged()
    longer = events.with_lengths(events.lengths + 5)
    assert (longer.n_ticks, longer.lengths.tolist()) == (35, (events.lengths + 5).tolist())
    assert events.with_lengths(40).lengths.tolist() == [40] * 12
    with pytest.raises(DataError, match=r"lies outside 0 \.\.\. 1"):
        events.with_lengths(2)
    assert "3 to 30 ticks" in repr(events) or f"{events.lengths.min()} to 30 ticks" in repr(events)


# -- binning ---------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2999), min_size=1, max_size=30))
def test_times_between_ticks_go_down_to_their_tick(tenths):
    times = np.array(tenths) * 1e-4
    events = Events.from_times(times, np.zeros(times.size, int), n_sources=1, dt=DT, duration=0.3, round=True)
    assert sorted(events.ticks.tolist()) == sorted(tenth // 10 for tenth in tenths)
    assert events.n_ticks == 300


def test_single_precision_times_are_taken_for_what_they_were_before():
    seconds = np.arange(1, 2000) / 1000
    for times in (seconds, seconds.astype(np.float32)):
        for how in (False, True):
            events = Events.from_times(times, np.zeros(times.size, int), n_sources=1, dt=DT, round=how)
            assert events.ticks.tolist() == list(range(1, 2000))


def test_a_duration_between_ticks_holds_all_that_comes_before_its_end():
    events = Events.from_times([0.2991], [0], n_sources=1, dt=DT, duration=0.2992, round=True)
    assert (events.ticks.tolist(), events.n_ticks) == ([299], 300)
    with pytest.raises(DataError, match=r"tick 300 lies outside 0 \.\.\. 299"):
        Events.from_times([0.3], [0], n_sources=1, dt=DT, duration=0.3, round=True)


def test_microseconds_given_as_seconds_are_questioned():
    with pytest.raises(ParameterError, match=r"335000 s \(3\.88 days\) make 335,000,001 ticks.*microseconds"):
        Events.from_times([0, 1000, 335000], [0, 1, 2], n_sources=3, dt=DT)
    assert Events.from_times([0, 9999.0], [0, 1], n_sources=3, dt=DT).n_ticks == 9_999_001
    assert Events.from_times([0, 335000], [0, 1], n_sources=3, dt=DT, duration=335001).n_ticks == 335_001_000


# -- running ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0, 4e-3])
def test_silence_after_a_recording_changes_nothing(backend, delay):
    net, events = layered(delay), ragged()
    record = ["in", "hidden", Trace("hidden"), Trace("out")]
    alone = Simulation(net, backend).run_samples(events, record=record)
    longer = Simulation(net, backend).run_samples(padded(events, 90), record=record)
    same_counts(alone, longer)
    assert alone.exit_ticks.tolist() == (events.lengths + net.extension_ticks).tolist()
    assert alone.n_ticks == longer.n_ticks == 30 + net.extension_ticks
    for key in alone.traces:
        np.testing.assert_array_equal(alone.traces[key], longer.traces[key])
    for name in alone.spikes:
        assert alone.spikes[name] == longer.spikes[name]
        assert alone.spikes[name].lengths.tolist() == alone.exit_ticks.tolist()
    assert alone.predictions().tolist() == longer.predictions().tolist()
    past = np.arange(alone.n_ticks) >= alone.exit_ticks[:, None]
    assert np.array_equal(np.isnan(alone.traces["out.membrane"]).all(axis=2), past)


@pytest.mark.parametrize("size", [1, 5, 1024])
def test_a_recording_answers_as_it_does_alone(backend, size):
    net, events = layered(3e-3), ragged()
    together = Simulation(net, backend).run_samples(events, record="hidden", batch_size=size)
    for i in range(len(events)):
        length = int(events.lengths[i])
        one = Simulation(net, backend).run_samples(events[i].crop(length), record="hidden")
        assert one.predictions().tolist() == [together.predictions()[i]]
        assert one.spikes["hidden"].ticks.tolist() == together.spikes["hidden"][i].ticks.tolist()
        assert one.counters.synaptic_operations[0].tolist() == together.counters.synaptic_operations[i].tolist()


def test_backends_agree_on_recordings_of_different_lengths(other_backend):
    net, events = layered(sn.Uniform(1e-3, 6e-3)), ragged(20)
    rule = DynamicConfidence(1.0, 0.6)
    for how in ({}, {"early_exit": rule}):
        first, second = (
            Simulation(net, name).run_samples(events, record=["hidden", Trace("out")], **how)
            for name in ("reference", other_backend)
        )
        same_counts(first, second)
        assert first.spikes["hidden"] == second.spikes["hidden"]
        np.testing.assert_array_equal(first.traces["out.membrane"], second.traces["out.membrane"])


def test_of_several_inputs_the_longest_counts(backend):
    net = Network(
        [Population("a", 1, sn.Input()), Population("b", 1, sn.Input()), Population("out", 1, sn.LI(0.0))],
        [Projection("a", "out", sn.Dense(1.0)), Projection("b", "out", sn.Dense(2.0))],
        dt=DT,
    )
    short = Events([0], [0], [0, 1, 1], 1, 5, DT, [3, 2])
    long = Events([], [], [0, 0, 0], 1, 7, DT, [2, 6])
    assert Simulation(net, backend).run_samples({"a": short, "b": long}).exit_ticks.tolist() == [3, 6]


def test_a_long_run_lasts_as_long_as_its_recording():
    events = ragged()[3]
    assert Simulation(layered(4e-3), "reference").run(inputs=events).n_ticks == events.lengths[0]
    assert Simulation(layered(), "reference").run(0.05, events).n_ticks == 50


def test_a_recording_without_ticks_is_refused():
    events = ragged().with_lengths(30)
    empty = Events.concatenate([events, Events([], [], [0, 0], 6, 30, DT, [0])])
    with pytest.raises(ParameterError, match=r"inputs of 'in': recording 12 has no ticks"):
        Simulation(layered(2e-3)).run_samples(empty)


# -- extension -------------------------------------------------------------------------------------------


def two_layers(first, second, **more):
    return Network(
        [Population("in", 1, sn.Input()), Population("mid", 1, sn.IF()), Population("out", 1, sn.LI(0.0))],
        [
            Projection("in", "mid", sn.Dense(np.array([[1.0]])), delay=first),
            Projection("mid", "out", sn.Dense(np.array([[1.0]])), delay=second),
        ],
        dt=DT,
        **more,
    )


def test_the_last_spike_arrives(backend):
    net = two_layers(5e-3, 7e-3)
    last = Events.from_ticks([9], [0], n_sources=1, n_ticks=10, dt=DT)
    result = Simulation(net, backend).run_samples(last)
    assert net.extension_ticks == 12
    assert np.flatnonzero(result.traces["out.membrane"][0, :, 0]).tolist() == [21]


def test_an_extension_that_is_given_is_taken(backend, tmp_path):
    last = Events.from_ticks([9], [0], n_sources=1, n_ticks=10, dt=DT)
    for extension in (0.0, 6e-3, 20e-3):
        net = two_layers(5e-3, 7e-3, extension=extension)
        net.save(tmp_path / "net.h5")
        result = Simulation(Network.load(tmp_path / "net.h5"), backend).run_samples(last)
        assert result.exit_ticks.tolist() == [10 + round(extension / DT)]


def test_what_the_longest_way_adds_up_to():
    def net(projections, populations=("a", "b", "c")):
        neurons = [Population(name, 2, sn.LIF(10e-3)) for name in populations]
        return Network([Population("in", 2, sn.Input()), *neurons], projections, dt=DT, seed=3)

    def link(source, target, delay):
        return Projection(source, target, sn.Dense(0.1), delay=delay)

    ways = net([link("in", "a", 5e-3), link("a", "c", 1e-3), link("in", "b", 2e-3), link("b", "c", 8e-3)])
    assert ways.extension_ticks == 10
    assert net([link("in", "a", 0.0), link("in", "b", 0.0), link("b", "c", 0.0)]).extension_ticks == 0
    assert net([link("in", "a", 5e-3), link("a", "b", 1e-3), link("b", "a", 1e-3)]).extension_ticks == 0  # a cycle
    assert net([link("in", "a", 5e-3), link("b", "c", 30e-3)]).extension_ticks == 5  # not reached by the input
    drawn = net([link("in", "a", sn.Uniform(2e-3, 9e-3))])
    assert drawn.extension_ticks == drawn.connection(drawn.projections[0]).longest_delay
    assert net([link("in", "a", sn.Learnable(20e-3))]).extension_ticks == 10
    chain = Network(
        [Population("p0", 1, sn.Input()), *(Population(f"p{i}", 1, sn.IF()) for i in range(1, 2000))],
        [Projection(f"p{i}", f"p{i + 1}", sn.Dense(1.0), delay=DT) for i in range(1999)],
        dt=DT,
    )
    assert chain.extension_ticks == 1999


@pytest.mark.parametrize("extension", [-1e-3, 1.5e-3, np.nan, "long"])
def test_an_extension_that_is_no_time_is_refused(extension):
    with pytest.raises(ParameterError, match="network: extension"):
        layered(extension=extension)


# -- scores ----------------------------------------------------------------------------------------------


def by_hand(score, readout, tick, length):
    seen = readout[: tick + 1].astype(float)
    if score == "summed_softmax":
        powers = np.exp(seen - seen.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).sum(axis=0)
    return {
        "summed_readout": lambda: seen.sum(axis=0),
        "mean_readout": lambda: seen.mean(axis=0),
        "last_readout": lambda: seen[-1],
        "largest_readout": lambda: seen.max(axis=0),
        "exponential_readout": lambda: (np.exp(-np.arange(tick + 1) / length)[:, None] * seen).sum(axis=0) / length,
    }[score]()


@pytest.mark.parametrize("score", SCORES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_scores_are_those_worked_out_by_hand(score, seed):
    random = np.random.default_rng(seed)
    readout = random.normal(0, 2, (4, 9, 3))
    lengths = random.integers(1, 10, 4)
    readout[np.arange(9) >= lengths[:, None]] = np.nan  # never looked at
    scores = running_scores(readout, score, lengths)
    for i, length in enumerate(lengths):
        for tick in range(9):
            expected = by_hand(score, readout[i], min(tick, length - 1), length)
            assert scores[i, tick] == pytest.approx(expected, rel=1e-12)
    assert np.array_equal(final_scores(readout, score, lengths), scores[:, -1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("score", SCORES)
def test_every_backend_exits_by_the_score_of_its_network(backend, score, dtype):
    net, events = layered(2e-3, score=score), ragged(20, seed=5)
    full = Simulation(net, backend, dtype=dtype).run_samples(events)
    scores = running_scores(full.readout(), score, full.exit_ticks)
    rule = DynamicConfidence(0.3 * float(scores.std()), 0.7, 2, score)
    early = Simulation(net, backend, dtype=dtype).run_samples(events, early_exit=rule)
    expected = rule.exit_ticks(full)
    assert len(set(expected.tolist())) > 3
    assert early.exit_ticks.tolist() == expected.tolist()
    answers = predictions(full)[np.arange(20), expected - 1]
    assert early.predictions().tolist() == answers.tolist()
    assert early.lengths.tolist() == full.lengths.tolist() == full.exit_ticks.tolist()


def test_answers_of_recordings_that_were_stopped_are_those_of_the_rule(tmp_path):
    """exp(-u / T) is of the whole recording, however early it was stopped; the file keeps how long it was."""
    differ_if_short = 0
    for seed in range(30):
        net, events = layered(2e-3, score="exponential_readout", seed=seed), ragged(40, seed=seed)
        full = Simulation(net).run_samples(events)
        scores = running_scores(full.readout(), "exponential_readout", full.lengths)
        rule = DynamicConfidence(0.2 * float(scores.std()), 0.5, 1, "exponential_readout")
        early = Simulation(net).run_samples(events, early_exit=rule)
        early.save(tmp_path / "early.h5")
        report = rule.evaluate(full, np.zeros(40, int))
        for result in (early, sn.Result.load(tmp_path / "early.h5")):
            assert result.predictions().tolist() == report.predictions.tolist()
            assert result.lengths.tolist() == full.lengths.tolist()
        short = final_scores(early.readout(), "exponential_readout", early.exit_ticks).argmax(axis=1)
        differ_if_short += int((short != report.predictions).sum())
    assert differ_if_short > 0  # or this test could not fail


def test_rules_are_not_chosen_on_recordings_that_were_stopped():
    net, events = layered(2e-3), ragged(40, seed=1)
    full = Simulation(net).run_samples(events)
    early = Simulation(net).run_samples(events, early_exit=DynamicConfidence(0.1, 0.3))
    assert (early.exit_ticks < full.lengths).sum() > 0
    for look in (
        lambda: calibrate(early, np.zeros(40, int)),
        lambda: oracle_curve(early, np.zeros(40, int)),
        lambda: predictions(early),
    ):
        with pytest.raises(ParameterError, match=r"of 40 recordings of this result were stopped before their end"):
            look()


def test_a_result_answers_by_the_score_of_its_network(tmp_path):
    events = ragged(40, seed=2)
    answers = {}
    for score in SCORES:
        layered(score=score).save(tmp_path / "net.h5")
        result = Simulation(Network.load(tmp_path / "net.h5")).run_samples(events)
        result.save(tmp_path / "result.h5")
        answers[score] = sn.Result.load(tmp_path / "result.h5").predictions().tolist()
        assert result.score == score
        assert answers[score] == final_scores(result.readout(), score, result.exit_ticks).argmax(axis=1).tolist()
        labels = np.zeros(40, int)
        assert result.accuracy(labels) == np.mean(np.array(answers[score]) == 0)
        assert result.accuracy(labels, score="last_readout") == np.mean(result.predictions(score="last_readout") == 0)
    assert len({json.dumps(one) for one in answers.values()}) >= 4


def test_a_score_that_is_not_known_is_refused():
    with pytest.raises(ParameterError, match=r"network: score='sum' is not known; allowed: 'summed_readout'"):
        layered(score="sum")
    with pytest.raises(ParameterError, match="score='best' is not known"):
        running_scores(np.zeros((1, 1, 1)), "best")
    with pytest.raises(ParameterError, match=r"lengths: 0 \.\.\. 1 of shape \(2,\)"):
        running_scores(np.zeros((2, 3, 1)), lengths=[0, 1])
    with pytest.raises(ParameterError, match="NaN or infinity within a sample"):
        running_scores(np.full((2, 3, 1), np.nan))


def test_running_scores_go_on_with_some_of_the_recordings():
    values, lengths = np.random.default_rng(0).normal(size=(5, 6, 3)), np.array([6, 5, 4, 3, 6])
    running = RunningScore("exponential_readout", lengths)
    running.add(values[:, 0])
    keep = np.array([True, False, True, True, False])
    running.keep(keep)
    expected = running_scores(values, "exponential_readout", lengths)[keep, 1]
    assert np.array_equal(running.add(values[keep, 1]), expected)


# -- the answer, whatever is recorded ----------------------------------------------------------------------


def test_the_answer_is_the_output_whatever_is_recorded(backend):
    net, events = layered(), ragged()
    right = Simulation(net, backend).run_samples(events)
    for record in ("hidden", ["in"], Trace("hidden"), [Trace("hidden"), "in", Trace("out")]):
        result = Simulation(net, backend).run_samples(events, record=record)
        assert result.predictions().tolist() == right.predictions().tolist()
    nothing = Simulation(net, backend).run_samples(events, record=())
    assert (dict(nothing.traces), dict(nothing.spikes)) == ({}, {})
    with pytest.raises(ParameterError, match="readout: 'out' was not recorded; recorded are: nothing"):
        nothing.accuracy(np.zeros(12, int))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 12, "labels has type <U1; expected whole numbers, 0"),
        (np.full(12, np.nan), "labels has type float64"),
        (np.ones(12, bool), "labels has type bool"),
        (np.full(12, 99), r"labels span 99 \.\.\. 99; allowed: 0"),
        (np.arange(12) - 1, r"labels span -1 \.\.\. 10"),
        (np.zeros(3, int), r"labels has shape \(3,\); 12 samples have one each"),
        ([[1], [2, 3]], "labels: "),
    ],
)
def test_labels_of_no_class_have_no_accuracy(labels, message):
    result = Simulation(layered()).run_samples(ragged())
    with pytest.raises(ParameterError, match=message):
        result.accuracy(labels)


@pytest.mark.parametrize("part", [Trace("out", every=2), Trace("out", neurons=[1, 2])])
def test_part_of_the_output_does_not_pass_for_the_answer(part):
    result = Simulation(layered()).run_samples(ragged(), record=["hidden", part])
    with pytest.raises(ParameterError, match=r"of 'out' only some neurons or ticks were recorded; record Trace"):
        result.predictions()


def test_without_a_single_output_the_population_is_named():
    net = layered()
    two = Network(
        [*net.populations, Population("more", 2, sn.LI())],
        [*net.projections, Projection("hidden", "more", sn.Dense(0.1))],
        dt=DT,
    )
    result = Simulation(two).run_samples(ragged())
    assert result.answer is None
    with pytest.raises(ParameterError, match="the network has no single output; name the population"):
        result.predictions()
    assert result.predictions("more").shape == (12,)


# -- early exit ------------------------------------------------------------------------------------------


def test_calibration_heeds_lengths_and_score():
    random = np.random.default_rng(4)
    labels = random.integers(0, 3, 200)
    lengths = random.integers(5, 16, 200)
    readout = random.normal(0, 1, (200, 15, 3))
    readout[np.arange(200), :, labels] += 0.7
    for score in SCORES:
        short = calibrate(readout, labels, score=score, lengths=lengths, bootstrap=0)
        beyond = readout.copy()
        beyond[np.arange(15) >= lengths[:, None]] = random.normal(0, 100)
        long = calibrate(np.pad(beyond, ((0, 0), (0, 9), (0, 0))), labels, score=score, lengths=lengths, bootstrap=0)
        assert short.rule == long.rule
        assert (short.ece, short.accuracy, short.mean_ticks) == (long.ece, long.accuracy, long.mean_ticks)
        assert short.rule.score == score
        report = short.rule.evaluate(readout, labels, lengths=lengths)
        assert np.all(report.exit_ticks <= lengths)
        assert report.full_ticks == pytest.approx(lengths.mean())
        full = final_scores(readout, score, lengths).argmax(axis=1)
        assert report.full_accuracy == np.mean(full == labels)


def test_the_oracle_never_runs_past_the_end():
    readout = np.zeros((2, 4, 2))
    readout[0, 3, 1] = readout[1, 0, 1] = 1.0  # the first would be right at tick 4, after its end
    curve = oracle_curve(readout, [1, 1], lengths=[2, 4])
    assert curve.first_correct.tolist() == [0, 1]
    assert curve.mean_ticks_wrong_as_cap.tolist() == [1.0, 1.5, 1.5, 1.5]
    latency = accuracy_latency_curve(readout, [1, 1], 1.0, [1.0], lengths=[2, 4])
    assert latency.mean_ticks.tolist() == [3.0]


def test_a_rule_for_another_score_is_refused(tmp_path):
    events = ragged()
    simulation = Simulation(layered(score="summed_softmax"))
    with pytest.raises(ParameterError, match="for the score 'summed_readout', the network answers by 'summed_softmax'"):
        simulation.run_samples(events, early_exit=DynamicConfidence(1.0, 0.9))
    result = simulation.run_samples(events)
    with pytest.raises(ParameterError, match="chosen for the score 'last_readout'"):
        DynamicConfidence(1.0, 0.9, score="last_readout").evaluate(result, np.zeros(12, int))
    with pytest.raises(ParameterError, match="lengths: a result knows its own"):
        predictions(result, lengths=events.lengths)
    DynamicConfidence(1.0, 0.9, score="last_readout").save(tmp_path / "rule.h5")
    assert DynamicConfidence.load(tmp_path / "rule.h5").score == "last_readout"


@pytest.mark.filterwarnings("ignore:calibrated on")
def test_measuring_early_exit_is_the_same_with_silence_after_the_recordings():
    net, events = layered(3e-3, score="summed_softmax"), ragged(30, seed=9)
    labels = Simulation(net).run_samples(events).predictions()
    labels[::3] = (labels[::3] + 1) % 4
    rule = calibrate(Simulation(net).run_samples(events), labels, bootstrap=0).rule
    first, second = (measure_early_exit(net, one, labels, rule, repeats=1) for one in (events, padded(events, 70)))
    assert first.accuracy == second.accuracy
    assert first.mean_ticks == second.mean_ticks
    assert first.synaptic_operations == second.synaptic_operations
    assert np.array_equal(first.oracle.first_correct, second.oracle.first_correct)


def test_a_checkpoint_is_of_a_network_with_its_score_and_extension(tmp_path):
    net = layered(score="last_readout", extension=3e-3)
    sim = Simulation(net, "reference")
    sim.run(0.01, ragged()[0].crop(10))
    sim.save_checkpoint(tmp_path / "c.h5")
    back = Simulation.from_checkpoint(tmp_path / "c.h5").network
    assert (back.score, back.extension) == ("last_readout", 3e-3)
    for change in ({"score": "summed_readout"}, {"extension": 4e-3}):
        with pytest.raises(ParameterError, match=f"different are: {next(iter(change))}"):
            Simulation.resume(tmp_path / "c.h5", replace(net, **change))


def test_the_output_of_nothing_is_no_answer():
    with pytest.raises(NetworkError, match="no single output"):
        _ = Network([Population("in", 1, sn.Input())], [], dt=DT).output

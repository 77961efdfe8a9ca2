"""Dynamic Confidence: the rule, its evaluation, calibration, and the oracle's bound."""

import warnings

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snnsim.dynamic_confidence import confidence, predictions, softmax_maximum
from snnsim.early_exit import (
    DynamicConfidence,
    accuracy_latency_curve,
    calibrate,
    expected_calibration_error,
    oracle_curve,
    reliability,
)
from snnsim.early_exit.calibration import default_thresholds
from snnsim.errors import DataError, ParameterError
from snnsim.scores import running_scores

readouts = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(2, 5)),
    elements=st.floats(-50, 50, width=32),
)


@pytest.fixture(scope="module")
def noisy():
    """A readout whose evidence for the label grows slowly through noise, and labels."""
    generator = np.random.default_rng(7)
    labels = generator.integers(0, 5, 400)
    readout = generator.normal(0, 4, (400, 20, 5))
    readout[np.arange(400), :, labels] += 2.0
    return readout, labels


# -- the arithmetic ----------------------------------------------------------------------------------------


def test_confidence_of_a_case_worked_by_hand():
    readout = np.log([[[2.0, 1.0, 1.0], [4.0, 1.0, 1.0]]])
    assert confidence(readout, 1.0) == pytest.approx(np.array([[0.5, 0.8]]))
    assert confidence(readout, 3.0)[0, 1] == pytest.approx(0.5)  # (2 * 4) ** (1 / 3) = 2
    assert predictions(readout).tolist() == [[0, 0]]


def test_sums_are_float64_in_order_of_ticks():
    readout = np.random.default_rng(0).normal(0, 1, (3, 50, 4)).astype(np.float32)
    running = np.zeros((3, 4))
    for tick in range(50):
        running += readout[:, tick]
        assert np.array_equal(running_scores(readout)[:, tick], running)


@settings(max_examples=60, deadline=None)
@given(readouts, st.floats(0.01, 100))
def test_confidence_is_the_softmax_and_smoothing_never_changes_the_answer(readout, smoothing):
    sums = running_scores(readout)
    scaled = (sums - sums.max(axis=2, keepdims=True)) / smoothing
    softmax = np.exp(scaled) / np.exp(scaled).sum(axis=2, keepdims=True)
    sure = confidence(readout, smoothing)
    assert sure == pytest.approx(softmax.max(axis=2), rel=1e-12)
    assert np.all((sure >= (1 - 1e-12) / readout.shape[2]) & (sure <= 1))
    assert np.array_equal(predictions(readout), np.argmax(sums / 1.0, axis=2))
    # Whatever the smoothing, a rule that never stops answers what the last sum says.
    report = DynamicConfidence(smoothing, 1.0).evaluate(readout, np.zeros(len(readout), int))
    assert np.array_equal(report.predictions, np.argmax(sums[:, -1], axis=1))


def test_a_compiled_scalar_loop_repeats_the_rule():
    @numba.njit
    def engine(readout, smoothing, threshold, minimum_ticks):
        exits = np.full(readout.shape[0], readout.shape[1])
        for sample in range(readout.shape[0]):
            sums = np.zeros(readout.shape[2])
            for tick in range(readout.shape[1]):
                sums += readout[sample, tick]
                total = 0.0
                for k in range(sums.size):
                    total += np.exp((sums[k] - sums.max()) / smoothing)
                if tick + 1 >= minimum_ticks and 1.0 / total > threshold:
                    exits[sample] = tick + 1
                    break
        return exits

    readout = np.random.default_rng(3).normal(0, 1, (200, 15, 10))
    rule = DynamicConfidence(2.0, 0.7, 3)
    assert np.array_equal(rule.exit_ticks(readout), engine(readout, 2.0, 0.7, 3))


# -- the rule ----------------------------------------------------------------------------------------------


def test_threshold_ends_and_monotone_latency(noisy):
    readout, labels = noisy
    accuracy = np.mean(predictions(readout) == labels[:, None], axis=0)
    for minimum in (1, 4):
        first = DynamicConfidence(8.0, 0.0, minimum).evaluate(readout, labels)
        assert set(first.exit_ticks) == {minimum}
        assert first.accuracy == pytest.approx(accuracy[minimum - 1])
    for threshold in (1.0, 1.5, np.inf):
        last = DynamicConfidence(8.0, threshold).evaluate(readout, labels)
        assert set(last.exit_ticks) == {20}
        assert last.accuracy == last.full_accuracy == pytest.approx(accuracy[-1])
        assert last.ticks_saved == 0
    latencies = [DynamicConfidence(8.0, theta).evaluate(readout, labels).mean_ticks for theta in np.linspace(0, 1, 41)]
    assert np.all(np.diff(latencies) >= 0)
    assert latencies[0] < latencies[20] < latencies[-1]


def test_the_test_is_strict_and_saturation_is_not_certainty():
    readout = np.zeros((1, 3, 4))  # confidence is 1/4 exactly, at every tick
    assert DynamicConfidence(1.0, 0.25).exit_ticks(readout).tolist() == [3]
    assert DynamicConfidence(1.0, np.nextafter(0.25, 0)).exit_ticks(readout).tolist() == [1]
    readout[..., 0] = 1e6  # confidence rounds to 1, which does not pass a threshold of 1
    assert DynamicConfidence(1.0, 1.0).exit_ticks(readout).tolist() == [3]


def test_a_threshold_for_every_tick(noisy):
    readout, labels = noisy
    never_early = np.full(20, 0.6)
    never_early[:5] = 1.0
    rule = DynamicConfidence(8.0, never_early)
    assert np.array_equal(rule.exit_ticks(readout), DynamicConfidence(8.0, 0.6, 6).exit_ticks(readout))
    assert rule.evaluate(readout[:, :12], labels).full_ticks == 12
    with pytest.raises(ParameterError, match=r"threshold has 20 values.*21"):
        rule.exit_ticks(np.zeros((1, 21, 2)))


@pytest.mark.parametrize("minimum", [1, 3, 50])
def test_stopping_for_real_with_a_shrinking_batch_equals_hindsight(noisy, minimum):
    readout, labels = noisy
    rule = DynamicConfidence(8.0, 0.7, minimum)
    alive, sums = np.arange(len(labels)), np.zeros((len(labels), 5))
    exits, answers = np.zeros(len(labels), int), np.zeros(len(labels), int)
    for tick in range(1, 21):
        sums += readout[alive, tick - 1]
        stop = rule.stops(sums, tick) | (tick == 20)
        exits[alive[stop]], answers[alive[stop]] = tick, np.argmax(sums[stop], axis=1)
        alive, sums = alive[~stop], sums[~stop]
    report = rule.evaluate(readout, labels)
    assert np.array_equal(report.exit_ticks, exits)
    assert np.array_equal(report.predictions, answers)
    assert report.mean_ticks == pytest.approx(exits.mean())


def test_the_published_log_is_reproduced():
    """The caps, mean latencies and accuracies of the authors' CIFAR-10 log (ResNet-18, alpha 30, theta 0.6).

    Their readouts are not published, so 10,000 synthetic samples are built that have the log's fixed-T accuracies
    and a number of survivors that sums to its mean latencies. This checks the evaluation, not the network.
    """
    fixed = {1: 78.76, 2: 84.28, 3: 87.07, 4: 88.89, 5: 90.11, 8: 92.17, 10: 92.79, 15: 93.63, 20: 94.01, 25: 94.21}
    fixed[27] = 94.27
    accuracy = np.interp(np.arange(1, 28), list(fixed), list(fixed.values()))
    late = [0.98, 0.9, 0.773, 0.45, 0.27, 0.18, 0.13, 0.107, 0.1, 0.09, 0.08, 0.073, 0.067, 0.06, 0.054, 0.048, 0.042]
    running = np.array([1.0] * 6 + [*late, 0.036, 0.0355, 0.0345])  # after 1 ... 26 ticks; nobody leaves before 7
    number = np.arange(10_000)
    right = number[:, None] < np.rint(accuracy * 100)
    # Quick ones first, then those that are never right; the ones that come right late stay longest.
    rank = np.empty(10_000, int)
    rank[np.r_[0:9200, 9500:10_000, 9200:9500]] = number
    sure = rank[:, None] < np.rint((1 - np.append(running, 0.0345)) * 10_000)
    sums = np.zeros((10_000, 27, 3))
    height = 30 * np.log(np.where(sure, 8.0, 2.0))  # confidence 0.8 or 0.5
    np.put_along_axis(sums, np.where(right, 0, 1)[..., None], height[..., None], axis=2)
    readout = np.diff(sums, axis=1, prepend=0.0)
    labels = np.zeros(10_000, int)
    assert np.mean(predictions(readout) == 0, axis=0)[[0, 4, 9, 26]] == pytest.approx([0.7876, 0.9011, 0.9279, 0.9427])
    for cap, mean_ticks, percent in ((10, 9.653, 92.79), (15, 10.79, 93.63), (20, 11.20, 94.01), (25, 11.44, 94.21)):
        report = DynamicConfidence(30.0, 0.6).evaluate(readout[:, :cap], labels)
        assert (report.mean_ticks, 100 * report.accuracy) == (pytest.approx(mean_ticks), pytest.approx(percent))
    report = DynamicConfidence(30.0, 0.6).evaluate(readout, labels)
    assert str(report) == "94.27% at 11.51 ticks of 27 (57.4% saved; 94.27% without stopping)"
    assert report.exit_ticks.min() == 7


def test_a_rule_is_saved_and_loaded(tmp_path):
    for rule in (DynamicConfidence(30.0, 0.6, 2), DynamicConfidence(1.5, np.linspace(0.9, 0.5, 7))):
        rule.save(tmp_path / "rule.h5")
        assert DynamicConfidence.load(tmp_path / "rule.h5") == rule
    assert rule != DynamicConfidence(1.5, 0.9)
    with pytest.raises(ValueError, match="read-only"):
        rule.threshold[0] = 0.0
    with pytest.raises(DataError, match="no such file"):
        DynamicConfidence.load(tmp_path / "absent.h5")


# -- curves ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(readouts, st.floats(0, 1.1), st.integers(1, 4))
def test_the_oracle_bounds_every_rule(readout, threshold, minimum):
    labels = np.arange(len(readout)) % readout.shape[2]
    oracle = oracle_curve(readout, labels)
    accuracy = np.mean(predictions(readout) == labels[:, None], axis=0)
    assert np.all(oracle.accuracy >= np.maximum.accumulate(accuracy) - 1e-12)
    assert oracle.accuracy[-1] >= DynamicConfidence(5.0, threshold, minimum).evaluate(readout, labels).accuracy
    assert np.all(oracle.mean_ticks_wrong_as_one <= oracle.mean_ticks_wrong_as_cap)


def test_the_oracle_by_hand():
    sums = np.zeros((3, 4, 2))
    sums[0, :, 0] = 1  # right from the start
    sums[1, :, 1], sums[1, 2, 0] = 1, 2  # right at tick 3 only
    sums[2, :, 1] = 1  # never right
    oracle = oracle_curve(np.diff(sums, axis=1, prepend=0.0), [0, 0, 0])
    assert oracle.first_correct.tolist() == [1, 3, 0]
    assert oracle.accuracy == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert oracle.mean_ticks_wrong_as_cap == pytest.approx([1, 5 / 3, 7 / 3, 8 / 3])
    assert oracle.mean_ticks_wrong_as_one == pytest.approx([1, 1, 5 / 3, 5 / 3])


def test_curve_agrees_with_the_rule_and_marks_the_pareto_front(noisy):
    readout, labels = noisy
    curve = accuracy_latency_curve(readout, labels, 8.0, [1.0, 0.9, 0.3, 0.6], minimum_ticks=2)
    assert curve.thresholds.tolist() == [0.3, 0.6, 0.9, 1.0]
    for i, threshold in enumerate(curve.thresholds):
        report = DynamicConfidence(8.0, threshold, 2).evaluate(readout, labels)
        assert curve.accuracy[i] == pytest.approx(report.accuracy)
        assert curve.mean_ticks[i] == pytest.approx(report.mean_ticks)
        assert curve.drop[i] == pytest.approx(report.full_accuracy - report.accuracy)
    fine = accuracy_latency_curve(readout, labels, 8.0, default_thresholds())
    front = np.flatnonzero(fine.pareto)
    assert np.all(np.diff(fine.accuracy[front]) >= 0)
    for i in np.flatnonzero(~fine.pareto):  # something on the front beats it
        beats = (fine.mean_ticks[front] <= fine.mean_ticks[i]) & (fine.accuracy[front] >= fine.accuracy[i])
        assert beats.any()


def test_reliability_and_calibration_error():
    table = reliability([0.1, 0.2, 0.9, 1.0], [False, True, True, True], bins=2)
    assert table.counts.tolist() == [2, 2]
    assert table.confidence == pytest.approx([0.15, 0.95])
    assert table.accuracy == pytest.approx([0.5, 1.0])
    assert table.expected_error == pytest.approx((0.35 + 0.05) / 2)
    assert reliability([0.5], [True], bins=2).counts.tolist() == [1, 0]  # right-closed
    assert np.isnan(reliability([0.9], [True], bins=2).accuracy[0])
    generator = np.random.default_rng(1)
    honest = generator.uniform(0, 1, 200_000)
    assert expected_calibration_error(honest, generator.uniform(0, 1, honest.size) < honest) < 0.01


# -- calibration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["ece", "nll"])
def test_calibration_finds_the_true_temperature(criterion):
    generator = np.random.default_rng(5)
    logits = generator.normal(0, 2, (6000, 1, 4))
    probability = np.exp(logits[:, 0]) / np.exp(logits[:, 0]).sum(axis=1, keepdims=True)
    labels = (generator.uniform(0, 1, (6000, 1)) > np.cumsum(probability, axis=1)[:, :3]).sum(axis=1)
    found = calibrate(logits * 12.0, labels, criterion=criterion, bootstrap=0)
    assert found.rule.smoothing == pytest.approx(12.0, rel=0.3)
    assert found.ece < 0.03
    assert found.drop_interval is None


def test_calibration_keeps_its_promises(noisy):
    readout, labels = noisy
    plain = calibrate(readout, labels, margin=0.0, minimum_ticks=2, bootstrap=200)
    careful = calibrate(readout, labels, minimum_ticks=2, bootstrap=200)
    loose = calibrate(readout, labels, margin=0.0, minimum_ticks=2, allowed_drop=0.1, bootstrap=0)
    assert plain.pareto[plain.chosen]
    assert plain.accuracy >= plain.full_accuracy - 1e-12
    assert loose.accuracy >= loose.full_accuracy - 0.1 - 1e-12
    assert 2 <= loose.mean_ticks <= plain.mean_ticks <= careful.mean_ticks <= 20
    quicker = plain.curve.mean_ticks < plain.mean_ticks
    assert np.all(plain.curve.accuracy[quicker] < plain.full_accuracy)
    assert np.all(careful.acceptable[careful.chosen :])
    for found in (plain, careful):
        assert found.rule.evaluate(readout, labels).mean_ticks == found.mean_ticks
        assert found.accuracy_interval[0] <= found.accuracy <= found.accuracy_interval[1]
        assert found.mean_ticks_interval[0] < found.mean_ticks < found.mean_ticks_interval[1]
    assert (found.n_samples, found.note) == (400, "")
    assert calibrate(readout, labels, minimum_ticks=2, bootstrap=200).accuracy_interval == careful.accuracy_interval
    assert calibrate(readout, labels, grid=[], bootstrap=0).mean_ticks == 20  # never stopping is always a choice


def test_few_samples_warn(noisy):
    readout, labels = noisy
    with pytest.warns(UserWarning, match="calibrated on 60 samples"):
        found = calibrate(readout[:60], labels[:60], smoothing=8.0, bootstrap=10)
    assert "60 samples" in found.note
    assert found.rule.smoothing == 8.0


def test_digits_network_of_integrate_and_fire_neurons():
    """A converted 64-64-64-64-10 network on digits: over 40 % of the ticks saved, under 2 points lost, on test data."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    order = np.random.default_rng(0).permutation(len(labels))
    train, held_out, test = np.split(order, [700, 1000])
    model = MLPClassifier((64, 64, 64), alpha=1e-3, max_iter=60, learning_rate_init=3e-3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(images[train], labels[train])
    layers = list(zip(model.coefs_, model.intercepts_, strict=True))
    activation, firing = images[train], []
    for weight, bias in layers[:-1]:
        activation = np.maximum(activation @ weight + bias, 0)
        firing.append(np.percentile(activation, 99.5))
    membrane = [np.full((len(labels), 64), threshold / 2) for threshold in firing]
    readout = []
    for _ in range(32):
        spikes = images
        for (weight, bias), state, threshold in zip(layers, membrane, firing, strict=False):
            state += spikes @ weight + bias
            spikes = (state >= threshold) * threshold
            state -= spikes
        readout.append(spikes @ layers[-1][0] + layers[-1][1])
    readout = np.stack(readout, axis=1)
    found = calibrate(readout[held_out], labels[held_out], bootstrap=50)
    report = found.rule.evaluate(readout[test], labels[test])
    assert report.full_accuracy > 0.95
    assert report.ticks_saved > 0.4
    assert report.full_accuracy - report.accuracy < 0.02
    oracle = oracle_curve(readout[test], labels[test])
    assert oracle.accuracy[-1] >= report.full_accuracy
    # The range of thresholds that lose nothing grows with the smoothing.
    ranges = []
    for smoothing in (1.0, 6.0, 20.0):
        curve = accuracy_latency_curve(readout[held_out], labels[held_out], smoothing, np.linspace(0, 1, 101))
        ranges.append(np.mean(curve.drop <= 1e-12))
    assert ranges[0] < ranges[1] < ranges[2]


# -- nonsense ----------------------------------------------------------------------------------------------

good = {"readout": np.random.default_rng(0).normal(size=(120, 4, 3)), "labels": np.arange(120) % 3}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"readout": np.zeros((2, 3))}, "readout has shape"),
        ({"readout": np.zeros((120, 0, 3))}, "readout has shape"),
        ({"readout": np.full((120, 4, 3), np.nan)}, "readout holds NaN"),
        ({"readout": np.full((120, 4, 3), 1e308)}, "too large"),
        ({"readout": np.full((120, 4, 3), "a")}, "readout has shape"),
        ({"readout": np.zeros((120, 4, 3))}, "same value for every class"),
        ({"labels": np.arange(5)}, "labels has shape"),
        ({"labels": np.zeros(120)}, "labels has type float64"),
        ({"labels": np.full(120, 3)}, r"labels span 3 ... 3; allowed: 0 ... 2"),
        ({"smoothing": 0.0}, "smoothing=0.0"),
        ({"smoothing": np.nan}, "smoothing=nan"),
        ({"criterion": "mse"}, "criterion='mse'.*'ece', 'nll'"),
        ({"allowed_drop": -0.1}, "allowed_drop=-0.1"),
        ({"minimum_ticks": 5}, "minimum_ticks=5.*4 ticks"),
        ({"grid": [-1.0]}, "thresholds must be"),
        ({"margin": -1.0}, "margin=-1.0"),
        ({"bootstrap": -1}, "bootstrap=-1"),
    ],
)
def test_calibrate_refuses_nonsense(change, words):
    with pytest.raises(ParameterError, match=words):
        calibrate(**(good | change))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0, 0.5), "smoothing=0.0"),
        (("a", 0.5), "smoothing='a'"),
        ((1.0, -0.5), "threshold=-0.5"),
        ((1.0, np.nan), "threshold=nan"),
        ((1.0, "x"), "threshold='x'"),
        ((1.0, []), "threshold="),
        ((1.0, np.zeros((2, 2))), "threshold="),
        ((1.0, 0.5, 0), "minimum_ticks=0"),
        ((1.0, 0.5, 1.5), "minimum_ticks=1.5"),
        ((1.0, 0.5, True), "minimum_ticks=True"),
    ],
)
def test_the_rule_refuses_nonsense(arguments, words):
    with pytest.raises(ParameterError, match=words):
        DynamicConfidence(*arguments)


def test_curves_refuse_nonsense():
    with pytest.raises(ParameterError, match="tick=0"):
        DynamicConfidence(1.0, 0.5).stops(np.zeros((1, 2)), 0)
    with pytest.raises(ParameterError, match="correct has shape"):
        reliability([0.5, 0.5], [True])
    with pytest.raises(ParameterError, match="between 0 and 1"):
        reliability([1.5], [True])
    with pytest.raises(ParameterError, match="expected bool"):
        reliability([0.5], [1])
    with pytest.raises(ParameterError, match="bins=0"):
        reliability([0.5], [True], bins=0)
    with pytest.raises(ParameterError, match="smoothing=-1"):
        softmax_maximum(np.zeros(3), -1)


# -- calibration, by hand --------------------------------------------------------------------------------


def confident(samples=150, ticks=12, classes=3, seed=6):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, samples)
    readout = random.normal(0, 1, (samples, ticks, classes))
    readout[np.arange(samples), :, labels] += 0.6
    return readout, labels


@pytest.mark.parametrize("criterion", ["ece", "nll"])
def test_ticks_before_the_minimum_have_no_say(criterion):
    readout, labels = confident()
    readout[:, :2] = 0.0
    spoilt = readout.copy()
    spoilt[:, 0] = np.random.default_rng(1).normal(0, 30, spoilt[:, 0].shape)
    spoilt[:, 1] = -spoilt[:, 0]  # from the third tick on the sums are as if nothing had been
    first, second = (
        calibrate(one, labels, criterion=criterion, minimum_ticks=3, bootstrap=0) for one in (readout, spoilt)
    )
    assert second.rule.smoothing == pytest.approx(first.rule.smoothing, rel=1e-6)
    assert second.ece == pytest.approx(first.ece, abs=1e-9)
    assert (second.rule.threshold, second.mean_ticks) == (first.rule.threshold, first.mean_ticks)
    assert second.mean_ticks >= 3


def test_of_thresholds_that_stop_alike_the_most_cautious_is_taken():
    # Two classes: the confidence is 1 / (1 + exp(-sum / smoothing)), and every sample is sure at tick 2, not before.
    readout = np.zeros((120, 4, 2))
    readout[:, 0, 0], readout[:, 1, 0] = 0.5, 2.5
    after = 1 / (1 + np.exp(-np.array([0.5, 3.0])))
    grid = np.array([0.1, 0.5, 0.7, 0.8, 0.9, 0.94, 0.96])
    result = calibrate(readout, np.zeros(120, int), smoothing=1.0, grid=grid, minimum_ticks=2, bootstrap=0)
    alike = grid[grid < after[1]]
    assert result.mean_ticks == 2
    assert result.rule.threshold == alike.max() == 0.94


def test_intervals_are_those_of_95_per_cent():
    readout = np.zeros((400, 1, 2))
    labels = np.arange(400) % 2  # half are right
    result = calibrate(readout + np.array([1.0, 0.0]), labels, smoothing=1.0, bootstrap=4000)
    low, high = result.accuracy_interval
    expected = 2 * 1.95996 * np.sqrt(0.25 / 400)
    assert high - low == pytest.approx(expected, rel=0.07)  # 90 % would be 16 % less
    assert (low + high) / 2 == pytest.approx(0.5, abs=0.01)
    assert result.mean_ticks_interval == (1.0, 1.0)

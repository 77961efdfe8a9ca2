"""Features against slow twins, readouts against closed forms, and no look at what is tested."""

from __future__ import annotations

import numpy as np
import pytest

import snnsim as sn
from snnsim.errors import DataError, ParameterError
from snnsim.reservoir import (
    LinearProbe,
    Ridge,
    RidgeClassifier,
    compare,
    filtered_membranes,
    filtered_spikes,
    liquid_state_machine,
    membranes,
    spike_counts,
)

GENERATOR = np.random.default_rng(0)
DENSE = (GENERATOR.random((3, 41, 5)) < 0.2).astype(int)
DENSE[1, :] = 0  # a silent recording
EVENTS = sn.Events.from_dense(DENSE, 1e-3)


def blobs(samples=300, classes=3, spread=1.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, samples)
    centres = 3.0 * np.eye(classes, 6)
    return 5.0 + 2.0 * (centres[labels] + spread * generator.standard_normal((samples, 6))), labels + 4


def test_counts_of_a_recording_and_of_its_windows():
    np.testing.assert_array_equal(spike_counts(EVENTS), DENSE.sum(axis=1))
    windows = spike_counts(EVENTS, windows=4).reshape(3, 4, 5)
    edges = [0, 11, 21, 31, 41]
    for number in range(4):
        np.testing.assert_array_equal(windows[:, number], DENSE[:, edges[number] : edges[number + 1]].sum(axis=1))


def test_filtered_spikes_are_the_sum_over_past_spikes():
    ticks = [40, 3, 17, 17]
    slow = np.zeros((3, 4, 5))
    for recording, tick, source in zip(*np.nonzero(DENSE), strict=True):
        for place, now in enumerate(ticks):
            if tick <= now:
                slow[recording, place, source] += np.exp(-(now - tick) * 1e-3 / 7e-3)
    np.testing.assert_allclose(filtered_spikes(EVENTS, 7e-3, ticks=ticks), slow, atol=1e-12)
    np.testing.assert_allclose(filtered_spikes(EVENTS, 7e-3), slow[:, 0], atol=1e-12)


def test_membranes_and_their_filter(backend):
    network = liquid_state_machine(5, 8, gain=0.3)
    sim = sn.Simulation(network, backend)
    trace = sim.run_samples(EVENTS, record=sn.Trace("reservoir")).traces["reservoir.membrane"]
    np.testing.assert_array_equal(membranes(trace), trace[:, -1])
    np.testing.assert_array_equal(membranes(trace, ticks=[3, 5]), trace[:, [3, 5]])
    keep, state = np.exp(-1 / 9), 0.0
    for tick in range(41):
        state = keep * state + (1 - keep) * trace[:, tick].astype(float)
    np.testing.assert_allclose(filtered_membranes(trace, 9e-3, 1e-3), state, atol=1e-12)
    assert np.abs(trace[0]).max() > 0


@pytest.mark.parametrize("shape", [(50, 4), (6, 20)])
def test_ridge_is_its_closed_form(shape):
    generator = np.random.default_rng(1)
    x, y = 3 + 2 * generator.standard_normal(shape), generator.standard_normal((shape[0], 2))
    fitted = Ridge((7.0,)).fit(x, y)
    z = (x - x.mean(0)) / x.std(0)
    slopes = np.linalg.solve(z.T @ z + 7.0 * np.eye(shape[1]), z.T @ (y - y.mean(0)))
    np.testing.assert_allclose(fitted.outputs(x), z @ slopes + y.mean(0), atol=1e-10)
    weak = Ridge((1e-9,)).fit(np.arange(10.0)[:, None], 3 * np.arange(10.0) - 1)
    assert weak.score(np.arange(20.0, 30.0)[:, None], 3 * np.arange(20.0, 30.0) - 1) == pytest.approx(1.0)


def test_ridge_divides_time_in_order():
    """A trend that only the last fifth lacks makes the strongest regularisation best there."""
    x = np.random.default_rng(2).standard_normal((100, 3))
    y = np.where(np.arange(100) < 80, x[:, 0], -x[:, 0])
    assert Ridge((1e-3, 1e6)).fit(x, y).strength == 1e6
    assert Ridge((1e-3, 1e6)).fit(x, x[:, 0]).strength == 1e-3


@pytest.mark.parametrize("kind", [LinearProbe, RidgeClassifier])
def test_a_probe_tells_classes_apart_and_is_kept(kind, tmp_path):
    x, labels = blobs()
    other, expected = blobs(seed=1)
    fitted = kind(strengths=(0.1, 10.0, 1e5)).fit(x, labels)
    assert fitted.score(other, expected) > 0.95
    assert set(fitted.predict(other)) == {4, 5, 6}
    fitted.save(tmp_path / "probe.h5")
    again = kind.load(tmp_path / "probe.h5")
    np.testing.assert_array_equal(again.predict(other), fitted.predict(other))
    assert again.strength == fitted.strength
    with pytest.raises(DataError, match="kind"):
        Ridge.load(tmp_path / "probe.h5")
    two = kind(strengths=(1.0,)).fit(x[labels < 6], labels[labels < 6])
    assert two.score(other[expected < 6], expected[expected < 6]) > 0.95


def test_the_linear_probe_minimises_what_it_says():
    x, labels = blobs(80, spread=3.0)
    fitted = LinearProbe((5.0,)).fit(x, labels)
    scale = x.std(axis=0)

    def loss(weights):
        logits = (x - x.mean(0)) @ weights + fitted.bias + x.mean(0) @ fitted.weights
        logs = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
        return (logs - logits[np.arange(80), labels - 4]).mean() + 5.0 / 160 * ((weights * scale[:, None]) ** 2).sum()

    best = loss(fitted.weights)
    for seed in range(20):
        step = np.random.default_rng(seed).standard_normal(fitted.weights.shape) / scale[:, None]
        assert loss(fitted.weights + 1e-2 * step) > best


@pytest.mark.parametrize("strength", [0.1, 5.0, 300.0])
def test_two_classes_are_as_far_apart_as_the_decision_function_says(strength):
    """scikit-learn has one output for two classes; the difference of ours is that output."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, labels = blobs(120, classes=2, spread=2.0)
    outputs = LinearProbe((strength,)).fit(x, labels).outputs(x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    expected = linear_model.LogisticRegression(C=1 / strength, max_iter=1000).fit(z, labels).decision_function(z)
    np.testing.assert_allclose(outputs[:, 1] - outputs[:, 0], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(outputs.sum(axis=1), 0.0, atol=1e-9)
    assert np.ptp(expected) > 0.5


@pytest.mark.parametrize("kind", [LinearProbe, RidgeClassifier])
def test_strength_is_chosen_on_validation_samples(kind):
    x, labels = blobs(90, spread=4.0)
    fitted = kind(strengths=(1e-3, 1e2, 1e9), validation=0.3, seed=2).fit(x, labels)
    assert fitted.validation_scores.shape == (3,)
    assert fitted.strength == (1e-3, 1e2, 1e9)[2 - int(np.argmax(fitted.validation_scores[::-1]))]
    # Given samples to choose on, it is chosen on these and fitted to the others alone.
    given = kind(strengths=(1e-3, 1e2, 1e9)).fit(x[:60], labels[:60], validation=(x[60:], labels[60:]))
    alone = kind(strengths=(given.strength,)).fit(x[:60], labels[:60])
    np.testing.assert_allclose(given.weights, alone.weights, atol=1e-3)
    scores = [kind(strengths=(s,)).fit(x[:60], labels[:60]).score(x[60:], labels[60:]) for s in (1e-3, 1e2, 1e9)]
    np.testing.assert_allclose(given.validation_scores, scores, atol=0.034)


def test_a_comparison_shows_both():
    x, labels = blobs()
    other, expected = blobs(seed=1)
    noise = [np.random.default_rng(seed).standard_normal((300, 4)) for seed in (5, 6)]
    found = compare((x, noise[0]), (other, noise[1]), (labels, expected), readout=RidgeClassifier)
    assert found.reservoir > 0.95
    assert found.inputs < 0.5
    assert "counts of the input" in str(found)


def test_errors_name_the_argument():
    x, labels = blobs()
    for call, word in (
        (lambda: RidgeClassifier(()), "strengths"),
        (lambda: RidgeClassifier((1.0, -1.0)), "strengths"),
        (lambda: RidgeClassifier(validation=1.0), "validation"),
        (lambda: RidgeClassifier().fit(x, labels.astype(float)), "labels"),
        (lambda: RidgeClassifier().fit(x[:10], labels), "samples"),
        (lambda: RidgeClassifier().fit(x, np.zeros(300, int)), "class"),
        (lambda: RidgeClassifier().fit(x * np.nan, labels), "finite"),
        (lambda: RidgeClassifier().score(x, labels), "fitted"),
        (lambda: RidgeClassifier((1.0,)).fit(x, labels).predict(x[:, :3]), "columns"),
        (lambda: spike_counts(EVENTS, windows=50), "windows"),
        (lambda: filtered_spikes(EVENTS, -1.0), "time_constant"),
        (lambda: filtered_spikes(EVENTS, 1e-3, ticks=[41]), "ticks"),
        (lambda: membranes(np.zeros((3, 4))), "trace"),
    ):
        with pytest.raises(ParameterError, match=word):
            call()

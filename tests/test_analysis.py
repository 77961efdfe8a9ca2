"""Measures of spike trains against processes whose measures are known."""

from __future__ import annotations

import numpy as np
import pytest

import snnsim as sn
from snnsim import analysis
from snnsim.errors import ParameterError


def renewal(shape: float, rate: float, neurons: int, seconds: float, seed: int = 0) -> sn.Events:
    """Gamma renewal processes: shape 1 is Poisson, and the CV is 1/sqrt(shape)."""
    rng = np.random.default_rng(seed)
    waits = rng.gamma(shape, 1 / (shape * rate), (neurons, int(3 * rate * seconds) + 20))
    times = np.cumsum(waits, axis=1)
    source = np.broadcast_to(np.arange(neurons)[:, None], times.shape)
    keep = times < seconds
    ticks = np.floor(times[keep] / 1e-4).astype(np.int64)
    return sn.Events.from_ticks(ticks, source[keep], n_sources=neurons, n_ticks=round(seconds / 1e-4), dt=1e-4)


@pytest.mark.parametrize("shape", [1.0, 4.0])
def test_intervals_of_gamma_processes(shape):
    events = renewal(shape, 20.0, 200, 20.0)
    assert analysis.firing_rates(events).mean() == pytest.approx(20.0, rel=0.02)
    seconds, neurons = analysis.intervals(events)
    assert seconds.size == events.ticks.size - 200
    assert seconds.mean() == pytest.approx(0.05, rel=0.02)
    assert np.all(np.diff(neurons) >= 0)
    assert np.nanmean(analysis.interval_variation(events)) == pytest.approx(shape**-0.5, rel=0.03)
    # Shinomoto, Shima and Tanji 2003: 3 / (2 shape + 1) for gamma processes.
    assert np.nanmean(analysis.local_variation(events)) == pytest.approx(3 / (2 * shape + 1), rel=0.03)


@pytest.mark.parametrize("minimum", [2, 3, 5, 8])
def test_as_many_intervals_as_asked_for_are_enough(minimum):
    """Neurons with one interval fewer than `minimum`, with just as many, and with one more; each value by hand."""
    lengths = [minimum - 1, minimum, minimum + 1]
    gaps = [np.array([3, 9, 4, 4, 10, 2, 7, 6, 5])[:count] for count in lengths]
    ticks = np.concatenate([np.cumsum([0, *some]) for some in gaps])
    sources = np.repeat(np.arange(3), [count + 1 for count in lengths])
    events = sn.Events.from_ticks(ticks, sources, n_sources=3, n_ticks=100, dt=1e-3)
    variation = analysis.interval_variation(events, minimum=minimum)
    local = analysis.local_variation(events, minimum=minimum)
    assert np.isnan([variation[0], local[0]]).all()
    for neuron in (1, 2):
        some = gaps[neuron]
        assert variation[neuron] == pytest.approx(some.std() / some.mean(), rel=1e-12)
        terms = ((some[:-1] - some[1:]) / (some[:-1] + some[1:])) ** 2
        assert local[neuron] == pytest.approx(3 * terms.mean(), rel=1e-12)


def test_a_clock_has_no_variation_and_few_spikes_have_none_at_all():
    ticks = np.concatenate([np.arange(0, 1000, 100), [5, 60]])
    sources = np.concatenate([np.zeros(10, int), [1, 1]])
    events = sn.Events.from_ticks(ticks, sources, n_sources=3, n_ticks=1000, dt=1e-3)
    variation = analysis.interval_variation(events)
    assert variation[0] == pytest.approx(0, abs=1e-12)
    assert np.isnan(variation[1:]).all()
    assert analysis.local_variation(events)[0] == pytest.approx(0, abs=1e-12)
    assert analysis.active_share(events) == pytest.approx(2 / 3)
    times, rates = analysis.population_activity(events, 0.1)
    assert times[0] == pytest.approx(0.05)
    assert rates[0] == pytest.approx(3 / (0.1 * 3))
    assert rates[1:] == pytest.approx(1 / (0.1 * 3))


def test_poisson_counts_and_spectrum_are_flat():
    events = renewal(1.0, 20.0, 100, 50.0)
    assert analysis.fano_factor(events, 0.01) == pytest.approx(1.0, abs=0.05)
    frequencies, power = analysis.power_spectrum(events, 1e-3, segments=50)
    assert power.mean() == pytest.approx(100 * 20.0, rel=0.03)
    assert frequencies[0] == pytest.approx(1.0)


def test_common_input_gives_the_correlation_that_was_put_in():
    # Each neuron keeps spikes of one mother process with probability p: correlation p of counts.
    rng = np.random.default_rng(3)
    share, neurons, bins = 0.3, 40, 20_000
    mother = rng.random(bins) < 0.2
    counts = mother & (rng.random((neurons, bins)) < share)
    source, tick = np.nonzero(counts)
    events = sn.Events.from_ticks(tick, source, n_sources=neurons, n_ticks=bins, dt=1e-3)
    # Bernoulli counts: covariance p²q(1-q), variance pq(1-pq) with q the mother's chance.
    q = 0.2
    expected = share**2 * q * (1 - q) / (share * q * (1 - share * q))
    values = analysis.count_correlations(events, 1e-3)
    assert values.size == neurons * (neurons - 1) // 2
    assert values.mean() == pytest.approx(expected, rel=0.03)
    independent = analysis.count_correlations(renewal(1.0, 20.0, 40, 50.0), 5e-3)
    assert abs(independent.mean()) < 0.003
    few = analysis.count_correlations(events, 1e-3, neurons=10, seed=4)
    assert few.size == 45
    assert np.array_equal(few, analysis.count_correlations(events, 1e-3, neurons=10, seed=4))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e: analysis.population_activity(e, 0.0), "bin_width"),
        (lambda e: analysis.population_activity(e, 1.5e-4), "bin_width"),
        (lambda e: analysis.population_activity(e, 100.0), "bin_width=100 s"),
        (lambda e: analysis.firing_rates(e, 3), "recording=3"),
        (lambda e: analysis.firing_rates("spikes"), "expected Events"),
        (lambda e: analysis.power_spectrum(e, 0.1, segments=50), "segments=50"),
        (lambda e: analysis.interval_variation(e, minimum=1), "minimum"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ParameterError, match=words):
        call(renewal(1.0, 20.0, 5, 1.0))

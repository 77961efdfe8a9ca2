"""Measures of spike trains: rates, irregularity, correlation, activity. Plain NumPy on `Events`.

All functions take `Events` (of one population, as `Result.spikes` holds them) and one recording of it; neurons are its
sources.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError, exactly, positive, whole
from snnsim.events import Events
from snnsim.numerics import rng
from snnsim.timebase import tick_count

Floats = NDArray[np.float64]


def firing_rates(events: Events, recording: int = 0) -> Floats:
    """Return spikes a second of each neuron, shape (neurons,)."""
    one = _one(events, recording)
    return np.asarray(np.bincount(one.sources, minlength=one.n_sources) / max(one.duration, one.dt))


def intervals(events: Events, recording: int = 0) -> tuple[Floats, NDArray[np.int32]]:
    """Return the intervals between successive spikes of each neuron.

    Returns
    -------
    seconds : ndarray, shape (intervals,)
        Neuron by neuron, in order of time.
    neurons : ndarray of int32, shape (intervals,)
    """
    one = _one(events, recording)
    order = np.argsort(one.sources, kind="stable")  # time stays in order within a neuron
    neurons, ticks = one.sources[order], one.ticks[order]
    same = neurons[1:] == neurons[:-1]
    return np.asarray(np.diff(ticks)[same] * one.dt, np.float64), neurons[1:][same]


def interval_variation(events: Events, recording: int = 0, *, minimum: int = 2) -> Floats:
    """Return the coefficient of variation of the intervals of each neuron: 1 for a Poisson process, 0 for a clock.

    Parameters
    ----------
    events : Events
    recording : int
    minimum : int
        Neurons with fewer intervals have NaN.

    Returns
    -------
    ndarray, shape (neurons,)
    """
    whole("minimum", minimum, at_least=2)
    seconds, neurons = intervals(events, recording)
    count = np.bincount(neurons, minlength=events.n_sources)
    enough = count >= minimum
    safe = np.maximum(count, 1)
    mean = np.bincount(neurons, seconds, events.n_sources) / safe
    squares = np.bincount(neurons, (seconds - mean[neurons]) ** 2, events.n_sources) / safe
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(enough & (mean > 0), np.sqrt(squares) / mean, np.nan)


def local_variation(events: Events, recording: int = 0, *, minimum: int = 2) -> Floats:
    r"""Return the local variation of each neuron, which slow changes of the rate do not raise.

    .. math:: L_V = \frac{3}{n-1} \sum_i \left(\frac{I_i - I_{i+1}}{I_i + I_{i+1}}\right)^2

    of its n intervals (Shinomoto, Shima and Tanji 2003, doi:10.1162/089976603322518759): 1 for a Poisson process.

    Parameters
    ----------
    events : Events
    recording : int
    minimum : int
        Neurons with fewer intervals have NaN.

    Returns
    -------
    ndarray, shape (neurons,)
    """
    whole("minimum", minimum, at_least=2)
    seconds, neurons = intervals(events, recording)
    same = neurons[1:] == neurons[:-1]
    first, second, neuron = seconds[:-1][same], seconds[1:][same], neurons[1:][same]
    total = first + second
    terms = np.where(total > 0, ((first - second) / np.where(total > 0, total, 1.0)) ** 2, 0.0)
    pairs = np.bincount(neuron, minlength=events.n_sources)
    value = 3 * np.bincount(neuron, terms, events.n_sources) / np.maximum(pairs, 1)
    return np.where(pairs >= minimum - 1, value, np.nan)


def population_activity(events: Events, bin_width: float, recording: int = 0) -> tuple[Floats, Floats]:
    """Return spikes a second and neuron in successive bins.

    Parameters
    ----------
    events : Events
    bin_width : float
        Seconds, whole ticks; a bin that the recording's end cuts is left out.
    recording : int

    Returns
    -------
    times : ndarray, shape (bins,)
        Centres, in seconds.
    rates : ndarray, shape (bins,)
    """
    one = _one(events, recording)
    counts, width = _binned(one, bin_width)
    times = np.asarray((np.arange(counts.size) + 0.5) * width, np.float64)
    return times, counts / (width * one.n_sources)


def count_correlations(
    events: Events, bin_width: float, recording: int = 0, *, neurons: int = 200, seed: int = 0
) -> Floats:
    """Return the correlation coefficients of binned spike counts of pairs of neurons.

    Parameters
    ----------
    events : Events
    bin_width : float
        Seconds, whole ticks.
    recording : int
    neurons : int
        Neurons that fire, drawn without replacement, all pairs of which are taken.
    seed : int

    Returns
    -------
    ndarray, shape (pairs,)
    """
    whole("neurons", neurons, at_least=2)
    one = _one(events, recording)
    ticks = _width(bin_width, one)
    bins = one.n_ticks // ticks
    inside = one.ticks < bins * ticks
    ticks_of, sources = one.ticks[inside], one.sources[inside]
    active = np.unique(sources)
    chosen = active[rng.permutation(seed, rng.stream_number("count correlations"), active.size)[:neurons]]
    place = np.full(one.n_sources, -1)
    place[chosen] = np.arange(chosen.size)
    mine = place[sources] >= 0
    counts = np.zeros((chosen.size, bins))
    np.add.at(counts, (place[sources[mine]], ticks_of[mine] // ticks), 1)
    counts = counts[counts.std(axis=1) > 0]
    if counts.shape[0] < 2:
        return np.zeros(0)
    return np.asarray(np.corrcoef(counts)[np.triu_indices(counts.shape[0], 1)])


def fano_factor(events: Events, bin_width: float, recording: int = 0) -> float:
    """Return variance over mean of the population's spike count in bins: 1 for independent Poisson neurons."""
    counts, _ = _binned(_one(events, recording), bin_width)
    return float(counts.var() / counts.mean()) if counts.size and counts.mean() > 0 else float("nan")


def power_spectrum(events: Events, bin_width: float, recording: int = 0, *, segments: int = 8) -> tuple[Floats, Floats]:
    """Return the power of the population's activity by frequency, averaged over segments (Welch 1967).

    Parameters
    ----------
    events : Events
    bin_width : float
        Seconds, whole ticks.
    recording : int
    segments : int
        Pieces of equal length, without overlap and without a window.

    Returns
    -------
    frequencies : ndarray
        Hz, above zero.
    power : ndarray
        In spikes²/s² per Hz; for independent Poisson neurons the summed rate at every frequency (two-sided density).
    """
    whole("segments", segments, at_least=1)
    counts, width = _binned(_one(events, recording), bin_width)
    length = counts.size // segments
    if length < 2:
        raise ParameterError(f"segments={segments}: the recording has {counts.size} bins, two or more a segment needed")
    pieces = counts[: length * segments].reshape(segments, length)
    rates = (pieces - pieces.mean(axis=1, keepdims=True)) / width
    power = np.mean(np.abs(np.fft.rfft(rates, axis=1)) ** 2, axis=0) * width / length
    return np.asarray(np.fft.rfftfreq(length, width)[1:], np.float64), np.asarray(power[1:], np.float64)


def active_share(events: Events, recording: int = 0) -> float:
    """Return which share of the neurons fires at all."""
    return np.unique(_one(events, recording).sources).size / events.n_sources


def _one(events: Events, recording: int) -> Events:
    if not isinstance(events, Events):
        raise ParameterError(f"events={events!r}: expected Events, such as result.spikes['name']")
    if not 0 <= recording < len(events):
        raise ParameterError(f"recording={recording}: there are {len(events)}, numbered from 0")
    one = events[recording]
    return one.crop(max(int(one.lengths[0]), 1))


def _width(bin_width: float, events: Events) -> int:
    positive("bin_width", bin_width)
    ticks = tick_count(bin_width, events.dt, name="bin_width")
    if not 1 <= ticks <= events.n_ticks:
        raise ParameterError(
            f"bin_width={exactly(bin_width)} s: from a tick of {exactly(events.dt)} s up to "
            f"{exactly(events.duration)} s"
        )
    return ticks


def _binned(events: Events, bin_width: float) -> tuple[Floats, float]:
    ticks = _width(bin_width, events)
    bins = events.n_ticks // ticks
    counts = np.bincount(events.ticks // ticks, minlength=bins)[:bins]
    return counts.astype(np.float64), ticks * events.dt

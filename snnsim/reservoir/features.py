"""What a readout sees of a reservoir: counts of spikes, filtered spikes, membranes, at some ticks or over a recording.

Plain NumPy on `Events` (``result.spikes["reservoir"]``) and on recorded traces
(``result.traces["reservoir.membrane"]``), so that they hold for every backend. Every function returns one row a
recording, shape (recordings, features), or with `ticks` one a recording and tick.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import ParameterError, positive
from snnsim.events import Events

Floats = NDArray[np.float64]


def spike_counts(events: Events, *, windows: int = 1) -> Floats:
    """Return how often each source spikes, shape (recordings, windows * sources).

    Of the recordings that go in it is the control beside every reservoir: what a linear readout knows without one.

    Parameters
    ----------
    events : Events
    windows : int
        Count apart in so many parts of the recording, equally long to within a tick; the first part comes first.
    """
    return events.counts(windows).astype(np.float64)


def filtered_spikes(events: Events, time_constant: float, *, ticks: ArrayLike | None = None) -> Floats:
    r"""Return exponentially filtered spikes, :math:`\sum_k \exp(-(t - t_k)/\tau)` over the spikes up to tick t.

    Parameters
    ----------
    events : Events
    time_constant : float
        Seconds.
    ticks : array_like of int, optional
        Where to look; default the last tick of each recording.

    Returns
    -------
    ndarray, shape (recordings, sources), with `ticks` (recordings, len(ticks), sources)
    """
    positive("time_constant", time_constant)
    recordings, cells = events.recordings, events.n_sources
    if ticks is None:
        age = (events.lengths[recordings] - 1 - events.ticks) * events.dt
        weights = np.exp(-age / time_constant)
        left = np.zeros(len(events) * cells)
        np.add.at(left, recordings * cells + events.sources, weights)
        return left.reshape(len(events), cells)
    chosen = _ticks(ticks, events.n_ticks)
    out = np.zeros((len(events), chosen.size, events.n_sources))
    order = np.argsort(chosen, kind="stable")
    state, before = np.zeros((len(events), cells)), -1
    for place in order:
        now = int(chosen[place])
        if now > before:
            state *= np.exp(-(now - before) * events.dt / time_constant)
            new = (events.ticks > before) & (events.ticks <= now)
            age = (now - events.ticks[new]) * events.dt
            flat = recordings[new] * cells + events.sources[new]
            state += np.bincount(flat, np.exp(-age / time_constant), state.size).reshape(state.shape)
            before = now
        out[:, place] = state
    return out


def membranes(trace: ArrayLike, *, ticks: ArrayLike | None = None) -> Floats:
    """Return the membranes at some ticks of a trace of every tick; a membrane that has just fired is at its reset.

    Parameters
    ----------
    trace : array_like, shape (recordings, ticks, neurons)
    ticks : array_like of int, optional
        Default the last tick of each recording that was computed.

    Returns
    -------
    ndarray, shape (recordings, neurons), with `ticks` (recordings, len(ticks), neurons)
    """
    return _picked(_trace(trace), ticks)


def filtered_membranes(trace: ArrayLike, time_constant: float, dt: float, *, ticks: ArrayLike | None = None) -> Floats:
    r"""Return low-passed membranes, :math:`y_t = a y_{t-1} + (1 - a) V_t` with :math:`a = \exp(-dt/\tau)`, from zero.

    Parameters
    ----------
    trace : array_like, shape (recordings, ticks, neurons)
        Membranes of every tick.
    time_constant, dt : float
        Seconds.
    ticks : array_like of int, optional
        Where to look; default the last tick of each recording that was computed.

    Returns
    -------
    ndarray, shape (recordings, neurons), with `ticks` (recordings, len(ticks), neurons)
    """
    positive("time_constant", time_constant)
    positive("dt", dt)
    values = _trace(trace)
    keep = np.exp(-dt / time_constant)
    filtered = np.empty_like(values)
    state = np.zeros((values.shape[0], values.shape[2]))
    for tick in range(values.shape[1]):
        state = keep * state + (1.0 - keep) * values[:, tick]
        filtered[:, tick] = state
    return _picked(filtered, ticks)


def _picked(values: Floats, ticks: ArrayLike | None) -> Floats:
    if ticks is not None:
        return values[:, _ticks(ticks, values.shape[1])]
    # What comes after the end of a recording is NaN.
    last = np.maximum(np.sum(~np.isnan(values).all(axis=2), axis=1) - 1, 0)
    found: Floats = values[np.arange(len(values)), last]
    return found


def _trace(trace: ArrayLike) -> Floats:
    values = np.asarray(trace, np.float64)
    if values.ndim != 3:
        raise ParameterError(f"trace has shape {values.shape}, expected (recordings, ticks, neurons)")
    return values


def _ticks(ticks: ArrayLike, n_ticks: int) -> NDArray[np.int64]:
    chosen = np.atleast_1d(np.asarray(ticks))
    if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu":
        raise ParameterError(f"ticks={ticks!r}: must be a list of whole numbers")
    if chosen.min() < 0 or chosen.max() >= n_ticks:
        raise ParameterError(f"ticks must lie in 0 ... {n_ticks - 1}, got {chosen.min()} to {chosen.max()}")
    return chosen.astype(np.int64)

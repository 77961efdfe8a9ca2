"""Compiled stages of the inner ear: the spectrum at each place of the membrane, hair cells, bushy cells.

Imported inside the functions that need them. Serial kernels, so that the compiled code can be kept; threads work on
channels of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.errors import InternalError
from snnsim.numerics import elementary, rng
from snnsim.numerics.compilation import kernel_with, leaf

_GOLDEN, _S11 = rng.GOLDEN, np.uint64(11)
_TO_UNIT = 2.0**-53
_HALF_PI = 0.5 * np.pi
_mix: Any = leaf(rng.mix)
_log: Any = leaf(elementary.log)
_exp: Any = leaf(elementary.exp)
_kernel: Any = kernel_with(elementary, rng)
_COSINE = (1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600, -1 / 87178291200)
_SINE = (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800)


@leaf
def _hazard(p):
    """Return -log(1 - p): the rate, a sample, of a process that fires with probability p in a sample."""
    if p < 0.03:  # the first term left out is below 1e-16 of the sum
        return p * (1 + p * (1 / 2 + p * (1 / 3 + p * (1 / 4 + p * (1 / 5 + p * (1 / 6 + p * (1 / 7 + p * 0.125)))))))
    if p < 1.0:
        return -_log(1.0 - p)
    return np.inf


@leaf
def _waiting(key, number):
    """Return an exponential number of mean 1."""
    bits = _mix(key + np.uint64(number) * _GOLDEN + _GOLDEN) >> _S11
    return -_log(1.0 - np.float64(bits) * _TO_UNIT)


@_kernel
def membrane_spectra(amplitude, turns, first, weights, sound, quiet, floor, whole, folded):
    """Fill the spectrum of the velocity of each channel.

    The velocity is the real part of the inverse transform of the product of sound and response, of which there is one
    half of a spectrum: so it is sampled at half the rate. The inverse transform to real numbers that is to follow wants
    the product with its mirror image added, as far as the middle.

    Parameters
    ----------
    amplitude, turns : ndarray of float64, shape (channels, nodes)
        Table of the response (see `snnsim.datasets.inner_ear.basilar_membrane.MembraneTable`).
    first : ndarray of int64, shape (bins,)
        First of the four nodes about each frequency, not falling.
    weights : ndarray of float64, shape (4, bins)
    sound : ndarray of complex128, shape (bins,)
    quiet : float
        Share of the loudest frequency up to which the highest frequencies count as silent.
    floor : float
        Logarithm of the amplitude, relative to the largest of the channel, below which the response counts as zero.
    whole : ndarray of complex128, shape (bins,)
        Room to work in.
    folded : ndarray of complex128, shape (channels, bins // 2 + 1)
        Filled.
    """
    bins = sound.size
    loudest = 0.0
    for j in range(bins):
        loudest = max(loudest, abs(sound[j]))
    last = bins
    while last > 0 and abs(sound[last - 1]) <= quiet * loudest:
        last -= 1
    for channel in range(amplitude.shape[0]):
        low, high = amplitude[channel], turns[channel]
        largest = low[0]
        for node in range(low.size):
            largest = max(largest, low[node])
        limit = largest + floor
        whole[:] = 0.0
        start = 0
        while start < last:
            node = first[start]
            stop = start + 1
            while stop < last and first[stop] == node:
                stop += 1
            a0, a1, a2, a3 = low[node], low[node + 1], low[node + 2], low[node + 3]
            p0, p1, p2, p3 = high[node], high[node + 1], high[node + 2], high[node + 3]
            if max(a1, a2) > limit:
                for j in range(start, stop):
                    w0, w1, w2, w3 = weights[0, j], weights[1, j], weights[2, j], weights[3, j]
                    size = _exp(w0 * a0 + w1 * a1 + w2 * a2 + w3 * a3)
                    turn = 4.0 * (w0 * p0 + w1 * p1 + w2 * p2 + w3 * p3)
                    quarter = np.floor(turn + 0.5)
                    x = (turn - quarter) * _HALF_PI
                    z = x * x
                    c = z * (_COSINE[0] + z * (_COSINE[1] + z * (_COSINE[2] + z * (_COSINE[3] + z * _COSINE[4]))))
                    c = 1.0 - z * (0.5 - c)
                    s = z * (
                        _SINE[0] + z * (_SINE[1] + z * (_SINE[2] + z * (_SINE[3] + z * (_SINE[4] + z * _SINE[5]))))
                    )
                    s = x + x * s
                    odd = quarter - 2.0 * np.floor(0.5 * quarter)
                    halves = np.floor(0.5 * quarter)
                    sign = size * (1.0 - 2.0 * (halves - 2.0 * np.floor(0.5 * halves)))
                    whole[j] = sound[j] * complex(sign * (c - odd * (c + s)), sign * (s + odd * (c - s)))
            start = stop
        row = folded[channel]
        row[0] = whole[0].real
        for k in range(1, bins // 2 + 1):
            row[k] = 0.5 * (whole[k] + whole[bins - k].conjugate())


@leaf
def _rest(rates):
    """Return the transmitter that is free, in the cleft and in the store in silence."""
    opening, half, most, release, make, lose, take, reprocess, _ = rates
    k = release * opening / (opening + half)
    cleft = most * make * k / (lose * k + make * (lose + take))
    return cleft * (lose + take) / k, cleft, cleft * take / reprocess


@leaf
def _advance(velocity, transmitter, rates):
    """Return the transmitter in the three places a sample later."""
    opening, half, most, release, make, lose, take, reprocess, _ = rates
    free, cleft, store = transmitter
    driven = max(velocity + opening, 0.0)
    released = release * driven / (driven + half) * free
    made = make * max(most - free, 0.0)
    back = reprocess * store
    return (
        max(free + made - released + back, 0.0),
        max(cleft + released - (lose + take) * cleft, 0.0),
        max(store + take * cleft - back, 0.0),
    )


@_kernel
def hair_cells(velocity, rates, probability):
    """Fill the probability, a sample, that a fibre fires, from the velocity of the membrane (Meddis 1986, 1988).

    Transmitter is free in the cell, in the cleft, or in the store from which it comes back; it enters the cleft as fast
    as the membrane moves. All three start as they are in silence.

    Parameters
    ----------
    velocity : ndarray of float64, shape (channels, samples)
    rates : tuple of float
        See `snnsim.datasets.inner_ear.inner_ear.HairCell.a_sample`.
    probability : ndarray of float64, shape (channels, samples)
        Filled; may be `velocity` itself. A probability above 1 counts as 1.
    """
    fire, last = rates[8], velocity.shape[0] - 1
    rest = _rest(rates)
    # Each sample waits for the one before: four channels side by side take hardly longer than one.
    for channel in range(0, last + 1, 4):
        one, two = channel, min(channel + 1, last)
        three, four = min(channel + 2, last), min(channel + 3, last)
        a = b = c = d = rest
        for j in range(velocity.shape[1]):
            u, v, w, x = velocity[one, j], velocity[two, j], velocity[three, j], velocity[four, j]
            a, b, c, d = _advance(u, a, rates), _advance(v, b, rates), _advance(w, c, rates), _advance(x, d, rates)
            probability[one, j], probability[two, j] = fire * a[1], fire * b[1]
            probability[three, j], probability[four, j] = fire * c[1], fire * d[1]


@_kernel
def bushy_cells(probability, keys, cell, ticks, counts):
    """Draw the spikes of the fibres of each channel, and find those of the bushy cell on which they converge.

    The fibres of a channel are alike, so only the number of those that fire matters, and of those that can. Each waits
    for an amount of hazard that is exponentially distributed; so does the next of n of them, for hazard n times as
    large. That is the process of one draw a fibre and sample, with one draw a spike.

    Parameters
    ----------
    probability : ndarray of float64, shape (channels, samples)
        That a fibre fires in a sample in which it can.
    keys : ndarray of uint64, shape (channels,)
        Keys of the random numbers of a channel.
    cell : tuple
        Number of fibres (int); for how many samples a spike keeps a fibre from the next, and for how many the bushy
        cell is closed (int); factors by which synapse and membrane decay in a sample, and what a unit of synaptic
        current adds to the membrane (float). The threshold is 1.
    ticks : ndarray of int32, shape (channels, room)
        Receives the samples in which each bushy cell spikes. No cell spikes twice in ``pause + 1`` samples.
    counts : ndarray of int64, shape (channels,)
        Receives how many they are.
    """
    fibres, pause, synapse_decay, membrane_decay, weight = cell
    fired_before = np.empty(pause, np.int64)
    for channel in range(probability.shape[0]):
        row, key, spikes = probability[channel], keys[channel], 0
        fired_before[:] = 0
        ready, place, closed, drawn = fibres, 0, 0, 1
        current, membrane, waiting = 0.0, 0.0, _waiting(key, 0)
        for j in range(row.size):
            ready += fired_before[place]
            fired, left = 0, _hazard(row[j])
            while ready > 0 and waiting <= ready * left:
                left -= waiting / ready
                waiting = _waiting(key, drawn)
                drawn += 1
                fired += 1
                ready -= 1
            if ready > 0:
                waiting -= ready * left
            fired_before[place] = fired
            place = place + 1 if place + 1 < pause else 0
            current = current * synapse_decay + fired
            if closed > 0:
                closed -= 1
                continue
            membrane = membrane * membrane_decay + current * weight
            if membrane >= 1.0:
                membrane, closed = 0.0, pause
                if j + 1 < row.size:  # one in the last sample would be seen a sample later
                    if spikes >= ticks.shape[1]:
                        raise InternalError("a bushy cell spikes more often than its pauses allow")
                    ticks[channel, spikes] = j
                    spikes += 1
        counts[channel] = spikes

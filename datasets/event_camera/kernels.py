"""The compiled inner loops of the simulated camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnsim.datasets.event_kernels import kernel


@kernel
def log_light(
    picture: NDArray[np.float64], vertical: NDArray[np.float64], horizontal: NDArray[np.float64], contrast: float
) -> NDArray[np.float64]:
    """Return ``log(1 + contrast * light)`` of each pixel at each instant, shape (pixels, instants).

    `vertical` (instants, height, rows) and `horizontal` (instants, width, columns) interpolate the picture.
    """
    n_times, height, rows = vertical.shape
    width, columns = horizontal.shape[1:]
    result = np.zeros((height * width, n_times), np.float64)
    line = np.empty(columns, np.float64)
    for time in range(n_times):
        for y in range(height):
            line[:] = 0.0
            lit = False
            for row in range(rows):
                weight = vertical[time, y, row]
                if weight > 0.0:
                    lit = True
                    for column in range(columns):
                        line[column] += weight * picture[row, column]
            if not lit:
                continue
            for x in range(width):
                light = 0.0
                for column in range(columns):
                    light += horizontal[time, x, column] * line[column]
                if light > 0.0:
                    result[y * width + x, time] = np.log1p(contrast * light)
    return result


@kernel
def threshold_crossings(
    logarithm: NDArray[np.float64], thresholds: NDArray[np.float64], step: float, refractory: float
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return seconds and sources of the events of pixels whose log light is given at every `step` seconds.

    `logarithm` has shape (pixels, steps + 1) and is taken as linear in between; `thresholds` has shape (2, pixels)
    for OFF and ON. Events come pixel by pixel.
    """
    n_pixels, n_times = logarithm.shape
    room = 8192
    seconds = np.empty(room, np.float64)
    sources = np.empty(room, np.int32)
    count = 0
    for pixel in range(n_pixels):
        off, on = thresholds[0, pixel], thresholds[1, pixel]
        trace = logarithm[pixel]
        level = trace[0]
        earliest = -np.inf
        for time in range(1, n_times):
            after = trace[time]
            while after - level >= on or level - after >= off:
                polarity = 1 if after > level else 0
                crossed = level + (on if polarity else -off)
                before = trace[time - 1]
                # A level passed while the pixel was silent lies behind already: such an event comes at once.
                ahead = before < crossed if polarity else before > crossed
                share = (crossed - before) / (after - before) if ahead else 0.0
                at = max((time - 1 + share) * step, earliest)
                if at > time * step:
                    break  # still refractory: look again in the next step
                if count == room:
                    seconds = np.concatenate((seconds, np.empty(room, np.float64)))
                    sources = np.concatenate((sources, np.empty(room, np.int32)))
                    room *= 2
                seconds[count] = at
                sources[count] = polarity * n_pixels + pixel
                count += 1
                level = crossed
                earliest = at + refractory
    return seconds[:count], sources[:count]

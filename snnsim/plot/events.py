"""Pictures of recordings: events of a camera as frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.plot.style import BLUE, LIGHT, VERMILION, check_recording, milliseconds, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def events_frames(events: Events, sensor_shape: Sequence[int], n: int = 6, recording: int = 0) -> Figure:
    """Draw a recording of an event camera as frames of equal duration.

    Parameters
    ----------
    events : Events
    sensor_shape : (2, height, width) or (height, width)
        With polarities, channel 0 is OFF (darker) and channel 1 ON (brighter).
    n : int
        Number of frames.
    recording : int
        Which recording of the batch.

    Returns
    -------
    Figure
    """
    shape = tuple(int(extent) for extent in sensor_shape)
    polarities = shape[0] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or polarities not in (1, 2) or int(np.prod(shape)) != events.n_sources:
        raise ParameterError(
            f"sensor_shape={shape}: expected (2, height, width) or (height, width) of {events.n_sources} sources"
        )
    check_recording(recording, len(events))
    one = events[recording]
    if n < 1 or n > one.n_ticks:
        raise ParameterError(f"n={n}: must lie in 1 ... {one.n_ticks}, the ticks of the recording")
    edges = np.linspace(0, one.n_ticks, n + 1).astype(np.int64)
    place = (np.searchsorted(edges, one.ticks, side="right") - 1) * one.n_sources + one.sources
    counts = np.bincount(place, minlength=n * one.n_sources).reshape(n, polarities, *shape[-2:])
    # The busiest hundredth of the pixels is drawn full; one hot pixel must not darken the rest.
    full = max(1.0, float(np.percentile(counts[counts > 0], 99)) if counts.any() else 1.0)
    strength = np.minimum(counts / full, 1.0)
    with style() as plt:
        to_rgb = plt.matplotlib.colors.to_rgb
        colours = [to_rgb(VERMILION), to_rgb(BLUE)][-polarities:]
        columns = min(n, 6)
        rows = -(-n // columns)
        size = (1.5 * columns, (1.5 * shape[-2] / shape[-1] + 0.3) * rows + (0.35 if polarities == 2 else 0.1))
        figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        for panel in grid.flat[n:]:
            panel.set_axis_off()
        for i, panel in enumerate(grid.flat[:n]):
            # White paper, from which each polarity takes away what its own colour lacks.
            picture = np.ones((*shape[-2:], 3))
            for channel, colour in enumerate(colours):
                picture -= strength[i, channel][..., None] * (1 - np.array(colour))
            panel.imshow(np.clip(picture, 0, 1), interpolation="nearest")
            low, high = milliseconds(edges[i : i + 2], one.dt)
            panel.set_title(f"{low:.4g}–{high:.4g} ms", fontsize=9)
            panel.set(xticks=[], yticks=[])
            for spine in panel.spines.values():
                spine.set(visible=True, color=LIGHT)
        if polarities == 2:
            patch = plt.matplotlib.patches.Patch
            figure.legend(
                handles=[patch(color=BLUE, label="ON"), patch(color=VERMILION, label="OFF")],
                loc="outside lower center",
                ncols=2,
            )
    made: Figure = figure
    return made

"""Pictures of delays: how they are distributed, and which synapse has which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError
from snnsim.network.network import Network
from snnsim.network.projection import Projection
from snnsim.plot.style import BLUE, GREY, VERMILION, one_axes, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def delay_histogram(
    network: Network, projection: str, *, before: Network | None = None, axes: Axes | None = None
) -> Axes:
    """Draw how many synapses of a projection have which delay.

    Parameters
    ----------
    network : Network
    projection : str
    before : Network, optional
        The same network before learning, drawn as an outline.
    axes : Axes, optional
    """
    ticks = _ticks(network, network.projection(projection))
    earlier = None if before is None else _ticks(before, before.projection(projection))
    last = int(max(ticks.max(), 0 if earlier is None else earlier.max()))
    edges = [(tick - 0.5) * network.dt * 1e3 for tick in range(last + 2)]
    with style() as plt:
        axes = one_axes(plt, axes, (4.0, 2.6))
        axes.hist(ticks * network.dt * 1e3, edges, color=BLUE, label="delays" if earlier is None else "after")
        if earlier is not None:
            axes.hist(earlier * network.dt * 1e3, edges, histtype="step", color=VERMILION, label="before")
            axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
            axes.legend(ncols=2, loc="upper left")
        whole_numbers(axes.yaxis)
        axes.set(xlabel="delay (ms)", ylabel="synapses", xlim=(edges[0], edges[-1]))
    return axes


def distributions(network: Network, *, before: Network | None = None) -> Figure:
    """Draw the delays of every projection that has some: how many are how long, and how long with how much weight.

    Parameters
    ----------
    network : Network
    before : Network, optional
        The same network before learning.

    Raises
    ------
    ParameterError
        No projection has delays.
    """
    named = [p for p in network.projections if network.connection(p).longest_delay > 0]
    if not named:
        raise ParameterError(f"network {network.name!r}: no projection has a delay")
    with style() as plt:
        figure, rows = plt.subplots(
            2, len(named), figsize=(3.4 * len(named), 4.6), layout="constrained", squeeze=False, sharex="col"
        )
        for i, projection in enumerate(named):
            top, bottom = rows[0, i], rows[1, i]
            delay_histogram(network, projection.name, before=before, axes=top)
            top.set(title=projection.name, xlabel="")
            _weight_at_delay(network, projection, bottom)
            if i:
                top.set_ylabel("")
                bottom.set_ylabel("")
                if before is not None:
                    top.get_legend().remove()
    return figure  # type: ignore[no-any-return]


def _weight_at_delay(network: Network, projection: Projection, axes: Axes) -> None:
    """Draw the sum of positive and of negative weights of the synapses of each delay."""
    ticks, weights = _ticks(network, projection), network.synapses(projection).weights
    n = int(ticks.max()) + 1
    milliseconds = np.arange(n) * network.dt * 1e3
    width = 0.9 * network.dt * 1e3
    for sign, colour, label in ((1, BLUE, "positive"), (-1, GREY, "negative")):
        chosen = np.sign(weights) == sign
        axes.bar(milliseconds, np.bincount(ticks[chosen], weights[chosen], n), width, color=colour, label=label)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set(xlabel="delay (ms)", ylabel="sum of weights")


def _ticks(network: Network, projection: Projection) -> NDArray[np.int64]:
    synapses = network.synapses(projection)
    if synapses.delays is None:
        return np.full(synapses.targets.size, network.connection(projection).minimum_delay, np.int64)
    return synapses.delays.astype(np.int64)

"""The graph of a network: populations as boxes in columns, projections as arrows that bend where they go back.

Everything is laid out in inches, so that sizes of text are known; a projection is a quadratic curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.plot.style import BLUE, GREEN, GREY, ORANGE, VERMILION, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = NDArray[np.float64]

#: Inches: width of a letter and height of a line of the texts, height of a box, distance of rows.
_LETTER, _LINE, _HEIGHT, _ROW = 0.078, 0.17, 0.62, 1.5


@dataclass
class _Label:
    text: str
    centre: Point

    @property
    def size(self) -> Point:
        lines = self.text.split("\n")
        return np.array([_LETTER * 0.92 * max(map(len, lines)) + 0.06, _LINE * len(lines) + 0.04])

    def overlaps(self, centre: Point, size: Point) -> bool:
        return bool(np.all(2 * np.abs(self.centre - centre) < self.size + size))


def network(net: Network, *, axes: Axes | None = None) -> Axes:
    """Draw the graph of a network.

    Populations stand in columns, each to the right of those that project to it; an arrow that goes back, or to
    its own population, is dashed and bends around. A label says rule, number of synapses, and delay.

    Parameters
    ----------
    net : Network
    axes : Axes, optional
        Where to draw; by default in a new figure of fitting size.

    Returns
    -------
    Axes
    """
    columns, back = _columns(net)
    texts = {p.name: f"{p.name}\n{'×'.join(map(str, p.shape))} {type(p.model).__name__}" for p in net.populations}
    labels = {p.name: _text(net, p) for p in net.projections}
    width = max(1.1, _LETTER * max(len(line) for text in texts.values() for line in text.split("\n")) + 0.3)
    loops = {p.source for p in net.projections if p.source == p.target}
    across = [labels[p.name] for p in net.projections if p.source != p.target]
    gap = max([1.2, *(_Label(text, np.zeros(2)).size[0] + 0.75 for text in across)])
    places = {
        name: np.array([i * (width + gap), ((len(column) - 1) / 2 - j) * _ROW])
        for i, column in enumerate(columns)
        for j, name in enumerate(column)
    }
    with style() as plt:
        from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
        from matplotlib.path import Path

        placed: list[_Label] = []
        paths: list[tuple[Projection, Point, _Label]] = []
        # Loops first: their labels have the fewest places to go.
        for projection in sorted(net.projections, key=lambda p: p.source != p.target):
            number = [(other.source, other.target) for other, _, _ in paths].count(_ends(projection))
            curve = _curve(projection, places, width, gap, projection.name in back, loops, number)
            paths.append((projection, curve, _place(labels[projection.name], curve, placed, places, width)))
        corners = np.array(
            [place + sign * np.array([width, _HEIGHT]) / 2 for place in places.values() for sign in (-1, 1)]
            + [label.centre + sign * label.size / 2 for label in placed for sign in (-1, 1)]
            + [_at(curve, t) for _, curve, _ in paths for t in np.linspace(0, 1, 9)]
        )
        low, high = corners.min(axis=0) - 0.12, corners.max(axis=0) + 0.12
        if axes is None:
            extent = high - low
            axes = plt.subplots(figsize=(max(extent[0], 2.0), max(extent[1] + 0.35, 1.2)), layout="constrained")[1]
        for projection, curve, label in paths:
            colour = GREY if projection.name not in back else VERMILION
            axes.add_patch(
                FancyArrowPatch(
                    path=Path(curve, [Path.MOVETO, Path.CURVE3, Path.CURVE3]),
                    arrowstyle="-|>",
                    mutation_scale=11,
                    color=colour,
                    linewidth=1.3,
                    linestyle="--" if projection.name in back else "-",
                    fill=False,
                    zorder=1,
                )
            )
            axes.text(
                float(label.centre[0]),
                float(label.centre[1]),
                label.text,
                ha="center",
                va="center",
                fontsize=8.5,
                color="#303030",
                linespacing=1.15,
                zorder=3,
                bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"},
            )
        for population in net.populations:
            colour = _colour(population)
            x, y = places[population.name]
            axes.add_patch(
                FancyBboxPatch(
                    (x - width / 2 + 0.06, y - _HEIGHT / 2 + 0.06),
                    width - 0.12,
                    _HEIGHT - 0.12,
                    boxstyle="round,pad=0.06",
                    facecolor=(*plt.matplotlib.colors.to_rgb(colour), 0.13),
                    edgecolor=colour,
                    linewidth=1.5,
                    zorder=2,
                )
            )
            name, _, kind = texts[population.name].partition("\n")
            axes.text(x, y + 0.11, name, ha="center", va="center", fontsize=10, fontweight="bold", zorder=4)
            axes.text(x, y - 0.12, kind, ha="center", va="center", fontsize=8.5, color="#303030", zorder=4)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", title=net.name)
        axes.set_axis_off()
    return axes


def _ends(projection: Projection) -> tuple[str, str]:
    return projection.source, projection.target


def _colour(population: Population) -> str:
    if population.is_source:
        return ORANGE
    return BLUE if getattr(population.model, "spiking", True) else GREEN


def _text(net: Network, projection: Projection) -> str:
    source, target = net.population(projection.source), net.population(projection.target)
    rule = projection.rule
    count = rule.count(source.shape, target.shape)
    if count is None:
        count = round(rule.expected(source.shape, target.shape))
        number = f"≈ {count:,}"
    else:
        number = f"{count:,}"
    text = f"{type(rule).__name__}\n{number} synapse{'' if count == 1 else 's'}"
    if isinstance(projection.delay, float):
        return text if projection.delay == 0 else f"{text}\ndelay {projection.delay * 1e3:g} ms"
    return f"{text}\ndelay each"


def _columns(net: Network) -> tuple[list[list[str]], set[str]]:
    """Return the populations of each column from the top, and the names of the projections that go back."""
    forward: dict[str, list[str]] = {p.name: [] for p in net.populations}
    before: dict[str, list[str]] = {p.name: [] for p in net.populations}
    back: set[str] = set()

    def reaches(start: str, goal: str) -> bool:
        seen, waiting = {start}, [start]
        while waiting:
            for name in forward[waiting.pop()]:
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
        return goal in seen

    # Each projection goes forward unless it closes a circle of those before it. Zero-delay ones, which close none
    # among themselves, come first.
    for projection in sorted(net.projections, key=lambda p: net.connection(p).minimum_delay > 0):
        if reaches(projection.target, projection.source):
            back.add(projection.name)
        else:
            forward[projection.source].append(projection.target)
            before[projection.target].append(projection.source)
    column = dict.fromkeys(forward, 0)
    waiting = list(forward)
    while waiting:
        # A population that has moved to the right pushes those that it projects to.
        name = waiting.pop()
        for target in forward[name]:
            if column[target] <= column[name]:
                column[target] = column[name] + 1
                waiting.append(target)
    # A source with nothing before it stands next to what it feeds.
    for name in (p.name for p in net.populations if not before[p.name]):
        ahead = [column[target] for target in forward[name]]
        column[name] = min(ahead, default=1) - 1
    returning = {p.source for p in net.projections if p.name in back and p.source != p.target}
    columns: list[list[str]] = [[] for _ in range(max(column.values()) + 1)]
    for name, number in column.items():
        columns[number].append(name)
    for i in range(1, len(columns)):
        # A population stands at the mean height of those that project to it: fewer arrows cross. Those that
        # project back stand lowest, where nothing is in the way of an arrow below.
        height = {name: j for j, name in enumerate(columns[i - 1])}
        mean = {name: float(np.mean([height.get(s, 0) for s in before[name]] or [0])) for name in columns[i]}
        columns[i].sort(key=lambda name: (name in returning, mean[name]))
    return columns, back


def _curve(
    projection: Projection, places: dict[str, Point], width: float, gap: float, back: bool, loops: set[str], number: int
) -> Point:
    """Return start, control point and end of the curve of a projection, shape (3, 2)."""
    start, end = places[projection.source], places[projection.target]
    side, half, lift = np.array([width / 2, 0.0]), np.array([0.0, _HEIGHT / 2]), 0.35 * number
    if projection.source == projection.target:
        shoulder = np.array([0.26 * width, 0.0])
        top = start + half
        return np.array([top + shoulder, top + half * (3.5 + 6 * number), top - shoulder])
    if back and start[0] - end[0] < 1.5 * (width + gap) and start[0] > end[0] and not _lowest(places, start, end):
        # To the next column, where another box stands below: through the gap, bent away from the arrow there.
        first, last = start - side - half / 3, end + side - half / 3
        along = last - first
        away = np.array([along[1], -along[0]]) * np.sign(-along[0]) / np.hypot(*along)
        return np.array([first, (first + last) / 2 - np.abs(away) * (0.0, 0.9 + lift), last])
    if back:
        # Below everything on the way.
        low, high = sorted((start[0], end[0]))
        lowest = min(y for x, y in places.values() if low <= x <= high)
        first, last = start - half, end - half
        depth = 2 * (lowest - _HEIGHT / 2 - 0.45 - lift) - (first[1] + last[1]) / 2
        return np.array([first, [(first[0] + last[0]) / 2, depth], last])
    first, last = start + side, end - side
    middle = (first + last) / 2 + (0.0, lift * 2)
    # Past other columns, where the straight line would meet a box: above it, or below where it has a loop on top or the
    # arrow goes down.
    between = {name: p for name, p in places.items() if start[0] + 0.1 < p[0] < end[0] - 0.1}
    close = {name: p[1] for name, p in between.items() if abs(p[1] - middle[1]) < _HEIGHT}
    if close:
        around = _HEIGHT / 2 + 0.42
        down = bool(loops & close.keys()) or end[1] < start[1] - 0.1
        height = min(close.values()) - around if down else max(close.values()) + around
        middle[1] += 2 * (height - middle[1])
    return np.array([first, middle, last])


def _lowest(places: dict[str, Point], *ends: Point) -> bool:
    """Whether no box stands below one of the ends in its column."""
    return not any(abs(x - end[0]) < 0.1 and y < end[1] - 0.1 for x, y in places.values() for end in ends)


def _at(curve: Point, t: float) -> Point:
    """Return a point of a quadratic Bézier curve."""
    point: Point = (1 - t) ** 2 * curve[0] + 2 * t * (1 - t) * curve[1] + t**2 * curve[2]
    return point


def _place(text: str, curve: Point, placed: list[_Label], places: dict[str, Point], width: float) -> _Label:
    """Put a label on its curve, where it meets no box and no other label if there is such a place."""
    box = np.array([width, _HEIGHT])

    def meets(t: float) -> int:
        label = _Label(text, _at(curve, t))
        return sum(label.overlaps(other.centre, other.size) for other in placed) + sum(
            label.overlaps(place, box) for place in places.values()
        )

    best = min((0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73, 0.2, 0.8), key=meets)
    label = _Label(text, _at(curve, best))
    placed.append(label)
    return label

"""How plots look, and how they are kept: one style, one palette, files that are whole or not there.

Matplotlib is imported inside the functions, so that `import snnsim` does without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnsim.errors import ParameterError, missing_dependency, one_of
from snnsim.storage.hdf5 import replacing
from snnsim.timebase import to_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: Colours that readers with any colour vision tell apart (Okabe and Ito 2008), the dark ones first.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
GREY, LIGHT = "#5F6368", "#D5D8DC"

_STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "figure.dpi": 110,
    "pdf.fonttype": 42,  # text stays text, not outlines
    "svg.hashsalt": "snnsim",  # the same picture is the same file
}
#: What a file must not say, so that the same picture is the same file.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


@contextlib.contextmanager
def style() -> Iterator[Any]:
    """Give `matplotlib.pyplot` with the style of snnsim for the length of a block.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
        from cycler import cycler
    except ImportError as error:
        raise missing_dependency("matplotlib", "plot", "drawing") from error
    settings: Any = {**_STYLE, "axes.prop_cycle": cycler(color=PALETTE)}
    with plt.rc_context(settings):
        yield plt


def one_axes(plt: Any, axes: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the given axes, or those of a new figure of that size in inches."""
    if axes is not None:
        return axes
    made: Axes = plt.subplots(figsize=size, layout="constrained")[1]
    return made


def whole_numbers(axis: Axis) -> None:
    """Put marks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def milliseconds(ticks: Any, dt: float) -> Any:
    """Return where ticks stand on the time axis of every picture: tick k, its spikes and its state at its end, at k dt.

    Parameters
    ----------
    ticks : int or array of int
        Counted from the start of the network: those of a result begin at its `start_tick`.
    dt : float
        Seconds a tick.
    """
    return 1e3 * to_seconds(ticks, dt)


def time_axis(axes: Axes, start: int, n_ticks: int, dt: float) -> None:
    """Make the horizontal axis that of time, from tick `start` on; the same for every picture of one run."""
    axes.set(xlabel="time (ms)", xlim=(milliseconds(start, dt), milliseconds(start + n_ticks, dt)))


def file_kind(path: str | Path) -> str:
    """Return png, pdf or svg, as the name of a file ends, or raise `ParameterError`."""
    kind = Path(path).suffix.lower().removeprefix(".")
    one_of("ending of the file name", kind, _METADATA)
    return kind


def save(figure: Figure | Axes, path: str | Path, *, dpi: int = 200) -> Path:
    """Save a figure, or the figure of some axes, as PNG, PDF or SVG by the end of the name.

    The file is complete or not there at all, and the same picture gives the same bytes.

    Parameters
    ----------
    figure : Figure or Axes
    path : str or Path
        Folders that are missing are made.
    dpi : int
        Dots an inch of a PNG.

    Returns
    -------
    Path

    Raises
    ------
    ParameterError
        The name ends otherwise, or `figure` is no figure.
    """
    target, kind = Path(path), file_kind(path)
    whole: Any = getattr(figure, "figure", figure)
    if not hasattr(whole, "savefig"):
        raise ParameterError(f"figure={figure!r}: expected a matplotlib Figure or Axes")
    with style(), replacing(target) as temporary:
        whole.savefig(temporary, format=kind, dpi=dpi, metadata=_METADATA[kind])
    return target


def check_recording(recording: int, count: int) -> None:
    """Raise `ParameterError` unless there is a recording of that number."""
    if not 0 <= recording < count:
        raise ParameterError(f"recording={recording}: there are recordings 0 ... {count - 1}")

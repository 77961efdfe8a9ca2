"""Pictures of learning: loss and accuracy over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnsim.errors import ParameterError
from snnsim.plot.style import BLUE, VERMILION, style, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def learning_curve(history: Any, *, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw loss and accuracy over the epochs.

    Parameters
    ----------
    history : object or mapping
        With lists `loss`, `train_accuracy` and `validation_accuracy` (shares from 0 to 1); any may be missing or
        empty, not all.
    axes : two Axes, optional
        For the loss and for the accuracy.

    Returns
    -------
    Figure
    """
    curves: dict[str, NDArray[np.float64]] = {}
    for name in ("loss", "train_accuracy", "validation_accuracy"):
        given = history.get(name) if isinstance(history, Mapping) else getattr(history, name, None)
        values = np.asarray([] if given is None else given, np.float64)
        if values.ndim != 1:
            raise ParameterError(f"history: {name} has shape {values.shape}; expected one number an epoch")
        # A training without validation data has NaN there: no curve, and no line in the legend.
        curves[name] = values if not np.all(np.isnan(values)) else values[:0]
    if not any(values.size for values in curves.values()):
        raise ParameterError("history: holds no loss, train_accuracy or validation_accuracy")
    if axes is not None and len(axes) != 2:
        raise ParameterError(f"axes: learning_curve draws into two, got {len(axes)}")
    with style() as plt:
        left, right = plt.subplots(1, 2, figsize=(7.6, 3.0), layout="constrained")[1] if axes is None else axes
        _epochs(left, curves["loss"], BLUE, "training", "o")
        left.set(xlabel="epoch", ylabel="loss")
        _epochs(right, 100 * curves["train_accuracy"], BLUE, "training", "o")
        validation = 100 * curves["validation_accuracy"]
        _epochs(right, validation, VERMILION, "validation", "s")
        right.set(xlabel="epoch", ylabel="accuracy (%)")
        if validation.size:
            best = int(np.nanargmax(validation))
            right.axhline(validation[best], color=VERMILION, linewidth=0.8, linestyle=":", zorder=0)
            right.set_title(f"best validation {validation[best]:.1f} % in epoch {best + 1}", fontsize=9.5)
        if curves["train_accuracy"].size and validation.size:
            right.legend(loc="lower right")
        for panel in (left, right):
            whole_numbers(panel.xaxis)
        made: Any = left.figure
    figure: Figure = made
    return figure


def _epochs(axes: Axes, values: NDArray[np.float64], colour: str, label: str, marker: str) -> None:
    if values.size:
        # Marks show the epochs while there are few of them.
        shape = marker if values.size <= 30 else None
        axes.plot(np.arange(1, values.size + 1), values, color=colour, label=label, marker=shape, markersize=3.5)

"""Currents that a device measures against those that a model of it gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnsim.backends.crossbar.chip.protocol import Integers, LoopDevice
from snnsim.backends.crossbar.loop.checked import Checked
from snnsim.backends.crossbar.number_checks import Floats
from snnsim.errors import ParameterError, positive, whole
from snnsim.numerics import rng
from snnsim.system.tables import table

#: Rows of all vectors and repeats.
MOST_ACTIVE = 2**28


@dataclass(frozen=True, eq=False)
class CurrentComparison:
    """Measured against modelled currents of a tile.

    Parameters
    ----------
    device, model : str
        Names of the two.
    tile, repeats : int
    measured, modelled : ndarray of float64, shape (vectors, outputs)
        Means of the repeats, in uA: the two axes of a plot.
    noise : ndarray of float64, shape (outputs,)
        Standard deviation of one measured read from repeat to repeat, in uA; NaN where each was read once.

    Attributes
    ----------
    slope, offset, r2 : float
        Of the straight line ``measured = slope * modelled + offset`` through all currents, by least squares; the share
        of the variance that it explains.
    column_slope, column_offset, column_error : ndarray, shape (outputs,)
        The same lines for each output, and the root mean square of what measurement and model differ by, in uA.
    """

    device: str
    model: str
    tile: int
    repeats: int
    measured: Floats
    modelled: Floats
    noise: Floats

    @property
    def slope(self) -> float:
        """Slope of the line through all currents."""
        return float(_line(self.modelled.reshape(-1, 1), self.measured.reshape(-1, 1))[0][0])

    @property
    def offset(self) -> float:
        """Offset of the line through all currents, in uA."""
        return float(_line(self.modelled.reshape(-1, 1), self.measured.reshape(-1, 1))[1][0])

    @property
    def r2(self) -> float:
        """Share of the variance of the measured currents that the line explains."""
        rest = self.measured - (self.slope * self.modelled + self.offset)
        total = float(np.sum((self.measured - self.measured.mean()) ** 2))
        return 1.0 - float(np.sum(rest**2)) / total if total > 0 else float("nan")

    @property
    def error(self) -> float:
        """Root mean square of the difference, in uA."""
        return float(np.sqrt(np.mean((self.measured - self.modelled) ** 2)))

    @property
    def column_slope(self) -> Floats:
        """Slope of the line of each output; NaN where the model gives one current only."""
        return _line(self.modelled, self.measured)[0]

    @property
    def column_offset(self) -> Floats:
        """Offset of the line of each output, in uA."""
        return _line(self.modelled, self.measured)[1]

    @property
    def column_error(self) -> Floats:
        """Root mean square of the difference of each output, in uA."""
        return np.asarray(np.sqrt(np.mean((self.measured - self.modelled) ** 2, axis=0)))

    def worst(self, count: int = 5) -> Integers:
        """Return the outputs with the largest errors, worst first."""
        return np.argsort(-self.column_error, kind="stable")[:count].astype(np.int64)

    def __str__(self) -> str:
        vectors, outputs = self.measured.shape
        lines = [
            f"tile {self.tile}: {self.device} (measured) against {self.model} (modelled), {vectors} vectors of "
            f"{outputs} outputs, each read {self.repeats} times",
            f"measured = {self.slope:.5g} * modelled {self.offset:+.4g} uA, R2 {self.r2:.6f}, RMS difference "
            f"{self.error:.4g} uA",
            "",
            "worst outputs",
        ]
        rows = [
            (
                str(output),
                f"{2 * output}, {2 * output + 1}",
                f"{self.column_slope[output]:.4f}",
                f"{self.column_offset[output]:+.4g}",
                f"{self.column_error[output]:.4g}",
                "" if np.isnan(self.noise[output]) else f"{self.noise[output]:.3g}",
            )
            for output in self.worst()
        ]
        header = ("output", "columns", "slope", "offset (uA)", "RMS difference (uA)", "noise of a read (uA)")
        return "\n".join(lines) + "\n" + table(header, rows, right=range(6))


def _line(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return slope and offset of each column by least squares."""
    away = x - x.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.sum(away * (y - y.mean(0)), axis=0) / np.sum(away**2, axis=0)
    slope[np.isinf(slope)] = np.nan
    return slope, y.mean(0) - np.where(np.isnan(slope), 1.0, slope) * x.mean(0)


def compare_currents(
    device: LoopDevice,
    model_device: LoopDevice,
    tile: int,
    *,
    vectors: int = 256,
    activity: float = 0.1,
    rows: int | None = None,
    repeats: int = 1,
    seed: int = 0,
) -> CurrentComparison:
    """Read a tile of two devices that were programmed alike with the same random vectors, and compare.

    Parameters
    ----------
    device : LoopDevice
        That is measured.
    model_device : LoopDevice
        That it is compared with, such as a `Chip` without read noise.
    tile : int
    vectors : int
    activity : float
        Share of the rows that are on; one at least is.
    rows : int, optional
        Rows that were programmed; default all of a tile.
    repeats : int
        Reads of each vector; two or more tell noise from lasting differences.
    seed : int
        Of the vectors, and of the keys of the noise.

    Returns
    -------
    CurrentComparison
        ``print(...)`` shows it.

    Raises
    ------
    DeviceError
        An answer cannot be true.
    """
    vectors, repeats = whole("vectors", vectors, at_least=1), whole("repeats", repeats, at_least=1)
    positive("activity", activity)
    if activity > 1:
        raise ParameterError(f"activity={activity!r}: must be above 0, and 1 at most")
    measuring, modelling = Checked(device), Checked(model_device)
    status = measuring.status()
    height = status.rows if rows is None else whole("rows", rows, at_least=1)
    if height > status.rows:
        raise ParameterError(f"rows={height}: a tile of {status.name!r} has {status.rows}")
    if vectors * height * repeats > MOST_ACTIVE:
        raise ParameterError(
            f"vectors={vectors}, repeats={repeats}, {height} rows: their product must be at most {MOST_ACTIVE}"
        )
    seed = whole("seed", seed)
    stream = rng.stream_number("compare currents", tile)
    order = rng.bits(seed, stream, np.arange(vectors)[:, None], np.arange(height)[None, :])
    active = rng.uniform(seed, stream + 1, np.arange(vectors)[:, None], np.arange(height)[None, :]) < activity
    active[np.arange(vectors), order.argmin(1)] = True
    offsets = np.concatenate([[0], np.cumsum(active.sum(1))]).astype(np.int64)
    listed = np.nonzero(active)[1].astype(np.int64)
    reads, models = [], []
    for repeat in range(repeats):
        keys = rng.bits(seed, stream + 2, np.arange(vectors), repeat)
        reads.append(measuring.read(tile, offsets, listed, keys if "keys" in status.capabilities else None))
        models.append(modelling.read(tile, offsets, listed, keys))
    if reads[0].shape != models[0].shape:
        raise ParameterError(
            f"tile {tile}: the device gives {reads[0].shape[1]} currents a vector, the model {models[0].shape[1]}; "
            "program both alike"
        )
    noise = np.full(reads[0].shape[1], np.nan)
    if repeats > 1:
        noise = np.sqrt(np.mean(np.var(np.stack(reads), axis=0, ddof=1), axis=0))
    return CurrentComparison(
        status.name,
        modelling.status().name,
        int(tile),
        repeats,
        np.mean(reads, axis=0),
        np.mean(models, axis=0),
        noise,
    )

"""Statistics of repeatedly measured cells: programming error, read noise, and drift, by target.

A cell is a row of the column `device` under a target; without that column, the k-th row of a target is cell k, at each
time and read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.device.curves import Table
from snnsim.backends.crossbar.device.drift import PowerLawDrift
from snnsim.backends.crossbar.device.measurement_tables import MeasurementTable
from snnsim.backends.crossbar.device.programming import ProgrammingNoise
from snnsim.backends.crossbar.device.read_noise import ReadNoise
from snnsim.backends.crossbar.number_checks import Floats
from snnsim.errors import DataError

#: Fewest cells from which a standard deviation is taken.
FEWEST = 3
#: Where targets do not repeat, they are cut into ranges of at least this many cells.
CELLS_A_BIN = 50
#: Standard errors by which an exponent may be below zero before it counts as growth.
SIGNIFICANT = 3.0
_Index = NDArray[np.int64]


@dataclass(frozen=True)
class CellTable:
    """Measurements sorted out by cell and moment; one entry for each (cell, time).

    Parameters
    ----------
    cell : ndarray of int64
    target : ndarray of float64, shape (cells,)
        uS, for each cell.
    time : ndarray of float64
        Seconds; zero without that column.
    mean, variance : ndarray of float64
        Over the reads at that moment (uS, uS^2); the variance is of one read, NaN with a single one.
    reads : ndarray of int64
    bins : ndarray of int64, shape (cells,)
        Range of targets that each cell belongs to.
    """

    cell: _Index
    target: Floats
    time: Floats
    mean: Floats
    variance: Floats
    reads: _Index
    bins: _Index

    def by_bin(self, values: Floats, bins: _Index) -> Floats:
        """Return the mean of values in each bin."""
        n_bins = int(self.bins.max()) + 1
        count = np.bincount(bins, minlength=n_bins)
        return np.asarray(np.bincount(bins, values, n_bins) / np.maximum(count, 1))


def sort_out(table: MeasurementTable, n_bins: int) -> CellTable:
    """Return the measurements of a table by cell and moment."""
    target, measured = table.numbers["target_uS"], table.numbers["measured_uS"]
    time = table.numbers.get("time_s", np.zeros(target.size))
    read = table.numbers.get("read", np.zeros(target.size))
    label = table.labels.get("device")
    if label is None:
        label = _order(target, time, read, table)
    _refuse_repeated(table)
    targets, of_target = np.unique(target, return_inverse=True)
    times, of_time = np.unique(time, return_inverse=True)
    n_labels = int(label.max()) + 1
    keys, cell = np.unique(of_target * n_labels + label, return_inverse=True)
    moments, moment = np.unique(cell * times.size + of_time, return_inverse=True)
    reads = np.bincount(moment)
    mean = np.bincount(moment, measured) / reads
    squares = np.bincount(moment, (measured - mean[moment]) ** 2)
    variance = np.where(reads > 1, squares / np.maximum(reads - 1, 1), np.nan)
    cell_target = targets[keys // n_labels]
    bins = _bins(table, cell_target, n_bins)
    return CellTable(moments // times.size, cell_target, times[moments % times.size], mean, variance, reads, bins)


def _refuse_repeated(table: MeasurementTable) -> None:
    """Raise `DataError` where rows would count as more measurements than were made."""
    if "device" not in table.labels:
        copies = table.copies()
        if copies > 1:
            raise DataError(
                f"{table.path}: each row is there {copies} times, as if tables had been put together that hold the "
                "same; take the copies out, or name the cells in a column 'device'"
            )
        return
    key = ("target_uS", "time_s", "read", "device")
    twice = table.twice(key)
    if twice is None:
        return
    row, first = twice
    line, before = int(table.lines[row]), int(table.lines[first])
    if "read" not in table.numbers:
        raise DataError(
            f"{table.path}, line {line}: this device was measured before under the same target and time, in line "
            f"{before}; a column 'read' must number repeated reads"
        )
    values = table.value(first, "measured_uS"), table.value(row, "measured_uS")
    other = "with the same value" if values[0] == values[1] else f"with another value, {values[0]} for {values[1]} uS"
    raise DataError(
        f"{table.path}, line {line}: {table.row(row, key)} stands in line {before} already, {other}; take one of them "
        "out, or give the second read a number of its own"
    )


def _order(target: Floats, time: Floats, read: Floats, table: MeasurementTable) -> _Index:
    """Return the number of each row among those of its target, time and read; all must have the same cells."""
    block = np.zeros(target.size, np.int64)
    for column in (target, time, read):
        values, index = np.unique(column, return_inverse=True)
        block = np.unique(block * values.size + index, return_inverse=True)[1]
    order = np.argsort(block, kind="stable")
    sizes = np.bincount(block)
    number = np.empty(target.size, np.int64)
    number[order] = np.arange(target.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # Rows of one block share their target: the first row of each block tells it.
    values, of_block = np.unique(target[order[np.cumsum(sizes) - sizes]], return_inverse=True)
    fewest, most = np.full(values.size, target.size), np.zeros(values.size, np.int64)
    np.minimum.at(fewest, of_block, sizes)
    np.maximum.at(most, of_block, sizes)
    if (fewest < most).any():
        worst = int(np.nonzero(fewest < most)[0][0])
        raise DataError(
            f"{table.path}, column target_uS: {values[worst]:g} has {fewest[worst]} rows at one time and read and "
            f"{most[worst]} at another; without a column 'device' each must list the same cells in the same order"
        )
    return number


def _bins(table: MeasurementTable, target: Floats, n_bins: int) -> _Index:
    values, index, count = np.unique(target, return_inverse=True, return_counts=True)
    if values.size <= n_bins and count.min() >= FEWEST:
        return index.astype(np.int64)
    n_bins = min(n_bins, target.size // CELLS_A_BIN)
    if n_bins < 1:
        worst = int(count.argmin())
        raise DataError(
            f"{table.path}, column target_uS: {values[worst]:g} has {count[worst]} cells; at least {FEWEST} of each "
            f"target are needed, or {CELLS_A_BIN} cells in all"
        )
    # Equal targets stay together.
    edges = np.unique(np.quantile(target, np.linspace(0, 1, n_bins + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, target, side="right"), return_inverse=True)[1].astype(np.int64)


def read_noise(cells: CellTable) -> ReadNoise | None:
    """Return the noise of a read against the conductance read; None where nothing was read twice."""
    several = cells.reads > 1
    if not several.any():
        return None
    bins = cells.bins[cells.cell[several]]
    weight = (cells.reads[several] - 1).astype(np.float64)
    size = int(cells.bins.max()) + 1
    total = np.bincount(bins, weight, size)
    full = total > 0
    sigma = np.sqrt(np.bincount(bins, weight * cells.variance[several], size)[full] / total[full])
    place = np.bincount(bins, weight * cells.mean[several], size)[full] / total[full]
    return ReadNoise(_table(np.maximum(place, 0.0), sigma), relative=False)


def programming_noise(cells: CellTable) -> ProgrammingNoise:
    """Return the error at the first moment against the target, the noise of the reads taken off."""
    first = cells.time == cells.time.min()
    cell, bins = cells.cell[first], cells.bins[cells.cell[first]]
    error = cells.mean[first] - cells.target[cell]
    count = np.bincount(bins, minlength=int(cells.bins.max()) + 1)
    full = count >= FEWEST
    mean = cells.by_bin(error, bins)
    variance = np.bincount(bins, (error - mean[bins]) ** 2, count.size) / np.maximum(count - 1, 1)
    known = ~np.isnan(cells.variance[first])
    of_reads = np.where(known, cells.variance[first] / cells.reads[first], 0.0)
    variance = np.maximum(variance - cells.by_bin(of_reads, bins), 0.0)
    place = cells.by_bin(cells.target[cell], bins)
    return ProgrammingNoise(_table(place[full], np.sqrt(variance[full])), _table(place[full], mean[full]))


@dataclass(frozen=True)
class DriftFit:
    """A fitted drift: the model, the cells it is from, and the rms deviation of ln g from the power laws."""

    model: PowerLawDrift
    cells: int
    left_out: int
    residual: float


def power_law(table: MeasurementTable, cells: CellTable, reference_time: float) -> DriftFit:
    """Fit ``ln g = a - nu * ln((t + t0) / t0)`` to each cell; t counts from the first moment of the table."""
    n_cells = cells.target.size
    lowest = np.full(n_cells, np.inf)
    np.minimum.at(lowest, cells.cell, cells.mean)
    fitted = (lowest > 0) & (np.bincount(cells.cell, minlength=n_cells) > 1)
    use = fitted[cells.cell]
    cell = cells.cell[use]
    if cell.size == 0:
        raise DataError(f"{table.path}, column time_s: no cell has two times with conductances above zero")
    x = np.log1p((cells.time[use] - cells.time.min()) / reference_time)
    y = np.log(cells.mean[use])
    count = np.maximum(np.bincount(cell, minlength=n_cells), 1)
    x = x - (np.bincount(cell, x, n_cells) / count)[cell]
    y = y - (np.bincount(cell, y, n_cells) / count)[cell]
    width = np.bincount(cell, x * x, n_cells)
    exponent = -np.bincount(cell, x * y, n_cells) / np.where(width > 0, width, 1.0)
    squares = np.bincount(cell, (y + exponent[cell] * x) ** 2, n_cells)
    freedom = np.maximum(count - 2, 0)
    bins, which = cells.bins[fitted], exponent[fitted]
    size = int(cells.bins.max()) + 1
    number = np.bincount(bins, minlength=size)
    full = number >= FEWEST
    if not full.any():
        raise DataError(f"{table.path}, column time_s: no target has {FEWEST} cells with conductances above zero")
    mean = cells.by_bin(which, bins)
    variance = np.bincount(bins, (which - mean[bins]) ** 2, size) / np.maximum(number - 1, 1)
    # What noise about the lines adds to the spread of their slopes.
    noise = np.bincount(bins, squares[fitted], size) / np.maximum(np.bincount(bins, freedom[fitted], size), 1)
    added = noise * cells.by_bin(1.0 / width[fitted], bins)
    place = cells.by_bin(cells.target[fitted], bins)
    error = np.sqrt(variance / np.maximum(number, 1))
    rising = full & (mean < -SIGNIFICANT * error)
    if rising.any():
        worst = int(np.nonzero(rising)[0][0])
        raise DataError(
            f"{table.path}, column time_s: conductances about target {place[worst]:g} uS rise with time (exponent "
            f"{mean[worst]:g}), which no power-law drift describes; leave the later times out"
        )
    deviation = np.sqrt(np.maximum(variance - added, 0.0))
    model = PowerLawDrift(
        _table(place[full], np.maximum(mean[full], 0.0)), _table(place[full], deviation[full]), reference_time
    )
    residual = float(np.sqrt(squares.sum() / max(int(freedom[fitted].sum()), 1)))
    return DriftFit(model, int(fitted.sum()), int(n_cells - fitted.sum()), residual)


def _table(place: Floats, values: Floats) -> Table:
    order = np.argsort(place, kind="stable")
    places, first = np.unique(place[order], return_index=True)
    return Table(tuple(map(float, places)), tuple(map(float, values[order][first])))

"""The fields of a device from tables of one's own measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snnsim.backends.crossbar.device.measurement_statistics import power_law, programming_noise, read_noise, sort_out
from snnsim.backends.crossbar.device.measurement_sweeps import DEGREE, fit_sweeps
from snnsim.backends.crossbar.device.measurement_tables import FARTHEST, SWEEP, MeasurementTable, read_table
from snnsim.backends.crossbar.device.plausible_ranges import MEANT
from snnsim.errors import DataError, ParameterError, positive, whole

#: Highest over lowest conductance below which cells were hardly measured over their range.
NARROWEST = 1.2


def measured_fields(
    path: str | Path | Sequence[str | Path],
    *,
    name: str | None,
    g_min: float | None,
    g_max: float | None,
    reference_time: float | None,
    bins: int,
    unusual: bool,
) -> dict[str, Any]:
    """Return the fields of a device that follow from tables; see `Device.from_measurements`."""
    paths = [path] if isinstance(path, str | Path) else path
    if not isinstance(paths, Sequence) or not all(isinstance(one, str | Path) for one in paths):
        raise ParameterError(f"path={path!r}: expected the path of a table, or a list of paths")
    whole("bins", bins, at_least=1)
    if reference_time is not None:
        positive("reference_time", reference_time)
    if not isinstance(unusual, bool):
        raise ParameterError(f"unusual={unusual!r}: must be True or False")
    if not paths:
        raise ParameterError(f"path={path!r}: must name at least one table")
    tables = [read_table(one, unusual=unusual) for one in paths]
    fields: dict[str, Any] = {}
    notes: list[str] = []
    highest = []
    for number, table in enumerate(tables):
        sweeps = table.kind == SWEEP
        found = _from_sweeps(table, unusual) if sweeps else _from_programming(table, reference_time, bins)
        note = found.pop("source")
        highest.append(found["g_max"])
        if any(earlier.kind == table.kind for earlier in tables[:number]):
            raise DataError(f"{table.path}: there is another table of that kind before it ({', '.join(table.kind)})")
        # Programmed targets say more about the range than the cells that happened to be swept.
        fields = {**found, **fields} if sweeps else {**fields, **found}
        notes.append(note)
    if not unusual and not max(highest) <= FARTHEST * min(highest):
        raise DataError(
            f"{tables[0].path} and {tables[1].path}: conductances up to {highest[0]:.3g} and {highest[1]:.3g} uS are "
            f"not of one device; are the columns in the units of their names? {MEANT}"
        )
    fields["source"] = "; ".join(notes)
    fields["unusual"] = unusual
    fields |= {key: value for key, value in (("g_min", g_min), ("g_max", g_max)) if value is not None}
    if not 0 <= fields["g_min"] < fields["g_max"]:
        raise DataError(
            f"{tables[0].path}: conductances from {fields['g_min']:g} to {fields['g_max']:g} uS are no range; give "
            "g_min and g_max"
        )
    if not unusual and None in (g_min, g_max) and fields["g_max"] < NARROWEST * fields["g_min"]:
        raise DataError(
            f"{tables[0].path}: conductances from {fields['g_min']:g} to {fields['g_max']:g} uS are hardly a range; "
            "were cells measured in one state only? Give g_min and g_max"
        )
    return {"name": name or tables[0].path.stem, **fields}


def _from_programming(table: MeasurementTable, reference_time: float | None, bins: int) -> dict[str, Any]:
    cells = sort_out(table, bins)
    first = float(cells.time.min())
    n_bins = int(cells.bins.max()) + 1
    fields: dict[str, Any] = {
        "g_min": float(cells.target.min()),
        "g_max": float(cells.target.max()),
        "programming": programming_noise(cells),
        "read_noise": read_noise(cells),
    }
    n_reads = int(cells.reads.sum())
    note = f"{table.path.name}: programming error of {cells.target.size} cells in {n_bins} ranges of targets"
    if "time_s" in table.numbers:
        note += f", measured at {first:g} s"
    if fields["read_noise"] is not None:
        note += f"; read noise from {n_reads} reads (of programming error taken off)"
    else:
        note += "; no repeated reads: the noise of the read is in the programming error"
    if float(cells.time.max()) > first:
        if reference_time is None and first == 0:
            raise DataError(
                f"{table.path}, column time_s: the first time is 0, from which no power law can start; give "
                "reference_time, the seconds between programming and the first read"
            )
        fit = power_law(table, cells, first if reference_time is None else reference_time)
        fields["drift"] = fit.model
        note += (
            f"; drift from {fit.cells} cells up to {float(cells.time.max()):g} s, rms deviation of ln g "
            f"{fit.residual:.3g}, {fit.left_out} cells left out (not above zero, or seen once)"
        )
    return {**fields, "source": note}


def _from_sweeps(table: MeasurementTable, unusual: bool) -> dict[str, Any]:
    fit = fit_sweeps(table, unusual=unusual)
    states = f" in {fit.sweeps} states" if fit.sweeps > fit.devices else ""
    note = (
        f"{table.path.name}: current of {fit.devices} devices{states}, {fit.rows} rows, as a polynomial of degree "
        f"{DEGREE}; rms deviation {fit.residual:.3g} of the largest current; conductances {fit.low:g} to {fit.high:g} "
        "uS"
    )
    low = fit.low if fit.sweeps > 1 else 0.0
    return {"g_min": low, "g_max": fit.high, "current_voltage": fit.model, "source": note}

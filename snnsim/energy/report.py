"""Energy and latency of an inference: counted operations times a table of costs, every assumption printed.

Nothing here is measured in joule. A backend counts what it did; a `CostTable` says what one of each would take in some
hardware, and from where it has the figure. A line of the report is one count times one cost, so that changing an
assumption changes the lines that name it and no others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from snnsim.backends.contract.activity import ChipActivity, ProjectionActivity
from snnsim.energy.costs import CostTable
from snnsim.energy.lines import EnergyLine, EnergyReport, LatencyLine
from snnsim.errors import ParameterError
from snnsim.simulation.counters import Counters
from snnsim.simulation.result import Result


def energy_report(
    run: Result | Counters | ChipActivity, costs: CostTable, *, activity: ChipActivity | None = None
) -> EnergyReport:
    """Return energy and latency of an inference.

    Parameters
    ----------
    run : Result, Counters or ChipActivity
        What was counted. With a `ChipActivity` alone, only the chip is in the report, without its digital neurons.
    costs : CostTable
        What one of each takes; for instance `digital_45nm()` or `rram_crossbar()`.
    activity : ChipActivity, optional
        What the chip did in this run; default what the `Result` tells, where the table has a `read_pulse`. Its
        projections are counted in reads, rows and conversions; projections that it does not hold, in synaptic
        operations, and multiply-accumulates where they are given real values.
        A table without `read_pulse` knows no chips: it prices the run as if all of it were digital.

    Returns
    -------
    EnergyReport

    Raises
    ------
    ParameterError
        The table lacks an assumption that a count needs, or run and activity are not of the same recordings.
    """
    if not isinstance(costs, CostTable):
        raise ParameterError(f"costs={costs!r}: expected a CostTable, for instance digital_45nm()")
    if isinstance(run, ChipActivity):
        if activity is not None:
            raise ParameterError("activity: is given twice")
        activity, counters = run, None
    elif isinstance(run, (Result, Counters)):
        counters = run.counters if isinstance(run, Result) else run
        if isinstance(run, Result) and activity is None and costs.read_pulse is not None:
            activity = run.chip
    else:
        raise ParameterError(f"run={run!r}: expected a Result, its counters, or a ChipActivity")
    book = _Book(costs, _inferences(counters, activity))
    if activity is not None:
        for one in activity.projections:
            book.chip_projection(one, activity)
    if counters is not None:
        on_chip = {one.name for one in activity.projections} if activity is not None else set[str]()
        _check_names(on_chip, counters)
        for i, name in enumerate(counters.projections):
            if name not in on_chip:
                counts = (counters.synaptic_operations[:, i].sum(), counters.multiply_accumulates[:, i].sum())
                book.digital_projection(name, *map(float, counts))
        for i, name in enumerate(counters.populations):
            updates = None if counters.sources[i] else float(counters.membrane_updates[:, i].sum())
            book.population(name, float(counters.spikes[:, i].sum()), updates)
    facts = {}
    if isinstance(run, Result):
        facts["counted by"] = (
            f"backend {run.provenance.get('backend', '?')}, snnsim {run.provenance.get('snnsim', '?')}"
        )
        facts["ticks"] = f"{run.exit_ticks.mean():.1f} computed in a recording on average, {run.dt:g} s each"
    if activity is not None:
        facts["chip"] = (
            f"{sum(one.tiles for one in activity.projections)} tiles of {activity.rows} × {activity.columns} cells, "
            f"read at {activity.read_voltage:g} V{f'; {activity.device}' if activity.device else ''}"
        )
    return EnergyReport(costs, tuple(book.lines), tuple(book.latencies), book.inferences, tuple(book.once), facts)


class _Book:
    """Lines as they are written, each count divided by the number of inferences."""

    def __init__(self, costs: CostTable, inferences: int) -> None:
        self.costs, self.inferences = costs, inferences
        self.lines: list[EnergyLine] = []
        self.latencies: list[LatencyLine] = []
        self.once: list[EnergyLine] = []

    def energy(self, part: str, operation: str, count: float, each: float, *assumptions: str) -> None:
        self.lines.append(EnergyLine(part, operation, count / self.inferences, each, assumptions))

    def priced(self, part: str, operation: str, count: float, name: str) -> None:
        """Write a line of one assumption, where the table makes it."""
        if getattr(self.costs, name) is not None:
            self.energy(part, operation, count, self.costs.value(name), name)

    def digital_projection(self, name: str, additions: float, products: float) -> None:
        # Without these the synapses would cost nothing.
        self.costs.value("accumulate")
        self.priced(name, "weights added", additions, "accumulate")
        if products:
            self.costs.value("multiply_accumulate")
            self.priced(name, "values times weights added", products, "multiply_accumulate")
        operations = additions + products
        self.priced(name, "weights read", operations, "weight_read")
        self.priced(name, "inputs read and written", operations, "input_update")
        self.lanes(name, operations, "operation", "weights")

    def population(self, name: str, spikes: float, updates: float | None) -> None:
        if updates is not None:
            self.costs.value("neuron_update")
            self.priced(name, "neurons updated", updates, "neuron_update")
            self.priced(name, "states read and written", updates, "state_update")
            self.lanes(name, updates, "update", "neurons")
        self.priced(name, "spikes routed", spikes, "spike_route")

    def lanes(self, part: str, count: float, kind: str, what: str) -> None:
        """Write the time of operations in lanes, where the table gives times."""
        time, lanes = f"{kind}_time", f"{kind}_lanes"
        if getattr(self.costs, time) is None:
            return
        width = self.costs.value(lanes) if getattr(self.costs, lanes) is not None else 1.0
        rounds = count / self.inferences / width if math.isfinite(width) else float(count > 0)
        shown = f"all {what}" if math.isinf(width) else f"{what} in {width:g} lane{'s' if width > 1 else ''}"
        used = (time, lanes) if getattr(self.costs, lanes) is not None else (time,)
        self.latencies.append(LatencyLine(part, rounds * self.costs.value(time), shown, used))

    def chip_projection(self, one: ProjectionActivity, activity: ChipActivity) -> None:
        value, name = self.costs.value, one.name
        pulse = value("read_pulse")
        if one.read_watts is not None:
            each = one.read_watts * pulse / one.cell_reads if one.cell_reads else 0.0
            self.energy(name, "cells read, V·I of each", one.cell_reads, each, "read_pulse")
        else:
            each = activity.read_voltage**2 * value("cell_conductance") * pulse
            self.energy(name, "cells read, V²·G", one.cell_reads, each, "cell_conductance", "read_pulse")
        each = activity.columns * value("row_capacitance") * value("row_voltage") ** 2
        self.energy(name, "rows switched on", one.active_rows, each, "row_capacitance", "row_voltage")
        if one.adc_bits is not None:
            each = value("adc_step") * 2.0**one.adc_bits
            self.energy(name, f"conversions of {one.adc_bits} bits", one.conversions, each, "adc_step")
        if one.dac_bits is not None:
            each = value("dac_step") * 2.0**one.dac_bits
            self.energy(name, f"rows driven with {one.dac_bits} bits", one.drives, each, "dac_step")
        if one.additions:
            self.energy(name, "partial sums added", one.additions, value("addition"), "addition")
        if one.programming_pulses and self.costs.programming_pulse is not None:
            cost = value("programming_pulse")
            self.once.append(
                EnergyLine(name, "programming pulses", one.programming_pulses, cost, ("programming_pulse",))
            )
        self.chip_latency(one)

    def chip_latency(self, one: ProjectionActivity) -> None:
        """Write the time of reads: pulse and conversions, one read after the other, tiles at the same time."""
        value = self.costs.value
        at_once = value("parallel_tiles") if self.costs.parallel_tiles is not None else math.inf
        rounds = max(one.sequential_reads, one.reads / at_once) / self.inferences
        used = ["read_pulse"]
        if one.tiles > 1 and self.costs.parallel_tiles is not None:
            used.append("parallel_tiles")
        tiles = f"{one.tiles if math.isinf(at_once) else min(one.tiles, int(at_once))} of {one.tiles} tiles"
        a_read, shown = value("read_pulse"), tiles
        if one.adc_bits is not None and one.reads:
            shared = value("pairs_per_adc")
            # A tile of few columns in use keeps its converters busy for less long.
            a_read += min(shared, one.conversions / one.reads) * value("conversion_time")
            used += ["conversion_time", "pairs_per_adc"]
            shown += f", an ADC for {shared:g} pairs" if math.isfinite(shared) else ", one ADC a tile"
        self.latencies.append(LatencyLine(one.name, rounds * a_read, shown, tuple(used)))


# -- helping ---------------------------------------------------------------------------------------------


def _inferences(counters: Counters | None, activity: ChipActivity | None) -> int:
    counted = None if counters is None else int(counters.exit_ticks.size)
    if counted is None:
        assert activity is not None
        return activity.inferences
    if counted == 0:
        raise ParameterError("run: holds no recording")
    if activity is not None and activity.inferences != counted:
        raise ParameterError(f"activity: is of {activity.inferences} recordings, the run of {counted}")
    return counted


def _check_names(on_chip: Iterable[str], counters: Counters) -> None:
    unknown = [name for name in on_chip if name not in counters.projections]
    if unknown:
        raise ParameterError(
            f"activity: the run has no projection {', '.join(map(repr, unknown))}; there are: "
            f"{', '.join(counters.projections)}"
        )

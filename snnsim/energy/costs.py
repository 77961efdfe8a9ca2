"""What one operation costs: tables of named assumptions, each with its unit and where it is from.

A figure without a published source says "assumption". `CostTable.replaced` changes one of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from snnsim.errors import DataError, ParameterError, one_of, positive
from snnsim.system.tables import in_unit, table

#: What every assumption is, and in which unit.
MEANINGS: dict[str, tuple[str, str]] = {
    "accumulate": ("J", "one weight added to the input of a neuron"),
    "multiply_accumulate": ("J", "one value times a weight, added to the input of a neuron"),
    "weight_read": ("J", "one weight read from memory"),
    "input_update": ("J", "the input of a neuron read, and written back"),
    "neuron_update": ("J", "arithmetic of one neuron in one tick"),
    "state_update": ("J", "state of one neuron read, and written back"),
    "spike_route": ("J", "one spike brought to its projections"),
    "addition": ("J", "one partial sum of a tile or bit slice added"),
    "read_pulse": ("s", "length of a read pulse on a row"),
    "cell_conductance": ("S", "mean conductance of a cell, where the chip does not tell its currents"),
    "adc_step": ("J", "one conversion, divided by 2 to the power of its bits (Walden's figure of merit)"),
    "dac_step": ("J", "one drive of a row for a value, divided by 2 to the power of the converter's bits"),
    "row_capacitance": ("F", "one cell's part of a row wire and its gate"),
    "row_voltage": ("V", "swing of a row when it is switched on"),
    "programming_pulse": ("J", "one pulse that writes a cell"),
    "conversion_time": ("s", "one conversion of an ADC"),
    "pairs_per_adc": ("", "differential pairs that share an ADC, one after the other"),
    "parallel_tiles": ("", "tiles of a projection that are read at the same time"),
    "operation_time": ("s", "one weight added, in one lane"),
    "operation_lanes": ("", "weights added at the same time"),
    "update_time": ("s", "one neuron updated, in one lane"),
    "update_lanes": ("", "neurons updated at the same time"),
}

#: The most of each unit that anything of a chip may have, and in which units it is usually written.
MOST = {"J": 1e-3, "s": 1.0, "F": 1e-6, "V": 100.0, "S": 0.1}
SMALL = {"J": "pJ or fJ", "s": "ns", "F": "fF", "V": "mV", "S": "uS"}


@dataclass(frozen=True)
class Cost:
    """One assumption.

    Parameters
    ----------
    value : float
        In `unit`; zero or above. Infinite only where a number of things at the same time is meant: all of them.
    unit : str
        ``"J"``, ``"s"``, ``"F"``, ``"V"``, ``"S"`` (siemens), or ``""`` for a number.
    source : str
        Citation with its DOI, or what is assumed, beginning with ``"assumption"``.
    """

    value: float
    unit: str
    source: str

    def __post_init__(self) -> None:
        one_of("Cost: unit", self.unit, ("J", "s", "F", "V", "S", ""))
        if not (self.unit == "" and self.value == math.inf):
            positive("Cost: value", self.value, zero=True)
        object.__setattr__(self, "value", float(self.value))
        if not isinstance(self.source, str) or not self.source.strip():
            raise ParameterError("Cost: source is empty; give a citation, or write 'assumption: ...'")

    def __str__(self) -> str:
        if self.value == math.inf:
            return "all"
        return f"{self.value:g}" if self.unit == "" else in_unit(self.value, self.unit)


@dataclass(frozen=True)
class CostTable:
    """Assumptions about one kind of hardware; what is None costs nothing there, or is inside another figure.

    Parameters
    ----------
    name : str
    accumulate, weight_read, input_update : Cost or None
        Of a synaptic operation in digital logic, in joule: the addition, the weight from memory, the neuron's input
        from memory and back.
    multiply_accumulate : Cost or None
        Of a real value times a weight, added up, in joule; weights and inputs are read as for a synaptic operation.
    neuron_update, state_update : Cost or None
        Of a neuron in a tick, in joule: arithmetic, and its state from memory and back.
    spike_route : Cost or None
        Of a spike, in joule.
    addition : Cost or None
        Of adding one partial sum in the digital fabric around a chip, in joule.
    read_pulse : Cost or None
        Seconds that a row is on. A chip's energy of reading is voltage times current of every cell times this.
    cell_conductance : Cost or None
        Siemens; used only where a chip does not tell its currents.
    adc_step : Cost or None
        Joule a conversion step: a conversion of b bits takes 2^b of them (Walden 1999, doi:10.1109/49.761034).
    dac_step : Cost or None
        Joule a step of the converters that drive rows for real values: b bits take 2^b of them.
    row_capacitance, row_voltage : Cost or None
        Farad a cell, and volt: switching a row on charges C V^2 for every cell along it.
    programming_pulse : Cost or None
        Joule a pulse; shown beside the energy of inference.
    conversion_time, pairs_per_adc, parallel_tiles : Cost or None
        Seconds, and numbers, for the latency of a read.
    operation_time, operation_lanes, update_time, update_lanes : Cost or None
        Seconds, and numbers at the same time, for the latency of digital logic.
    note : str
        What the figures include and leave out.
    """

    name: str
    accumulate: Cost | None = None
    weight_read: Cost | None = None
    input_update: Cost | None = None
    neuron_update: Cost | None = None
    state_update: Cost | None = None
    spike_route: Cost | None = None
    addition: Cost | None = None
    read_pulse: Cost | None = None
    cell_conductance: Cost | None = None
    adc_step: Cost | None = None
    row_capacitance: Cost | None = None
    row_voltage: Cost | None = None
    programming_pulse: Cost | None = None
    conversion_time: Cost | None = None
    pairs_per_adc: Cost | None = None
    parallel_tiles: Cost | None = None
    operation_time: Cost | None = None
    operation_lanes: Cost | None = None
    update_time: Cost | None = None
    update_lanes: Cost | None = None
    multiply_accumulate: Cost | None = None
    dac_step: Cost | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ParameterError(f"CostTable: name={self.name!r}: must be a text")
        if not isinstance(self.note, str):
            raise ParameterError(f"CostTable: note={self.note!r}: must be a text")
        for name, (unit, _) in MEANINGS.items():
            cost = getattr(self, name)
            if cost is None:
                continue
            if not isinstance(cost, Cost):
                raise ParameterError(f"CostTable: {name}={cost!r}: expected Cost(value, unit, source) or None")
            if cost.unit != unit:
                raise ParameterError(f"CostTable: {name} is in {cost.unit!r}, expected {unit!r}")
            if cost.value > MOST.get(unit, math.inf):
                raise ParameterError(
                    f"CostTable: {name}={cost.value:g} {unit}: no one operation on a chip takes so much (at most "
                    f"{MOST[unit]:g} {unit}); is it in another unit, such as {SMALL[unit]}?"
                )
            if unit == "" and cost.value < 1:
                raise ParameterError(f"CostTable: {name}={cost.value:g}: must be 1 or above")

    @property
    def costs(self) -> dict[str, Cost]:
        """All assumptions that are made, by name."""
        return {name: cost for name in MEANINGS if (cost := getattr(self, name)) is not None}

    def value(self, name: str) -> float:
        """Return the value of an assumption, in its unit.

        Raises
        ------
        ParameterError
            The table does not make it.
        """
        cost = getattr(self, name, None) if name in MEANINGS else None
        if cost is None:
            unit, meaning = MEANINGS.get(name, ("", "not known"))
            raise ParameterError(
                f"cost table {self.name!r}: {name} is not given ({meaning}{f', in {unit}' if unit else ''}); "
                f"it is needed here: table.replaced({name}=...)"
            )
        return float(cost.value)

    def replaced(self, *, name: str = "", note: str = "", **changes: Cost | float | None) -> CostTable:
        """Return the table with some assumptions changed.

        Parameters
        ----------
        name, note : str
            Default: as before.
        **changes : Cost, float or None
            By name. A number keeps the unit, and its source says that it was set by hand; None takes the assumption
            out.
        """
        for key, text in (("name", name), ("note", note)):
            if not isinstance(text, str):
                raise ParameterError(f"{key}={text!r}: must be a text")
        new: dict[str, Any] = {"name": name or self.name, "note": note or self.note}
        for which, change in changes.items():
            if which not in MEANINGS:
                raise ParameterError(f"{which!r} is no assumption of a cost table; there are: {', '.join(MEANINGS)}")
            if change is None or isinstance(change, Cost):
                new[which] = change
            else:
                before = getattr(self, which)
                was = "" if before is None else f", before {before}"
                new[which] = Cost(change, MEANINGS[which][0], f"assumption: set by hand{was}")
        return replace(self, **new)

    def __str__(self) -> str:
        rows = [(name, str(cost), MEANINGS[name][1], cost.source) for name, cost in self.costs.items()]
        text = f"{self.name}\n\n" + table(("assumption", "value", "of", "source"), rows, right=(1,))
        return f"{text}\n\n{self.note}" if self.note else text

    # -- keeping -----------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain numbers and texts, for JSON."""
        costs = {
            name: {"value": "all" if cost.value == math.inf else cost.value, "unit": cost.unit, "source": cost.source}
            for name, cost in self.costs.items()
        }
        return {"name": self.name, "note": self.note, "costs": costs}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> CostTable:
        """Return the table that `to_dict` gave."""
        known = {field.name for field in fields(cls)}
        try:
            costs = {
                name: Cost(math.inf if cost["value"] == "all" else cost["value"], cost["unit"], cost["source"])
                for name, cost in given["costs"].items()
            }
            if unknown := sorted(set(costs) - known):
                raise DataError(f"cost table: assumptions that are not known: {', '.join(unknown)}")
            return cls(name=given["name"], note=given.get("note", ""), **costs)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"cost table: expected name, note and costs of value, unit, source ({error!r})") from error

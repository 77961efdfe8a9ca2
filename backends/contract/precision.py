"""Whether a network is what its parameters say once its numbers are rounded to the precision of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnsim.errors import ParameterError
from snnsim.network.connection import Connection
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.neurons import NeuronModel


def check_precision(network: Network, dtype: str) -> None:
    """Raise `ParameterError` where a model is not what its parameters say once its coefficients are in `dtype`."""
    largest = float(np.finfo(dtype).max)  # infinity times zero would be NaN
    for population, own in zip(network.populations, network.coefficients, strict=True):
        model = population.model
        if isinstance(model, NeuronModel):
            try:
                model.check_dtype(network.dt, dtype)
            except ParameterError as error:
                raise ParameterError(f"population {population.name!r}: {error}") from error
            coefficients = _named_coefficients(population, own, network.dt)
            states = zip(model.arithmetic.states, model.initial_states(), strict=True)
            initial = {f"initial {name}": value for name, value in states}
            drives = {f"weight of drive {i}": drive.weight for i, drive in enumerate(population.drive)}
            for name, value in (coefficients | initial | drives).items():
                if not np.max(np.abs(value)) <= largest:  # NaN is no number that fits
                    raise ParameterError(
                        f"population {population.name!r}: {name} does not fit in {dtype}; "
                        f"stay below {largest:.2g}, or use dtype='float64'"
                    )
            for name, value in coefficients.items():
                if name.endswith("decay") and _lost(value, dtype) > 0.01:
                    raise ParameterError(
                        f"population {population.name!r}: in {dtype} a {name} of {np.max(value):.9g} a tick of "
                        f"{network.dt:g} s is wrong by {100 * _lost(value, dtype):.2g} % of the leak; use "
                        "dtype='float64', or a coarser dt"
                    )
            if not model.is_strict and _meet(coefficients, dtype):
                raise ParameterError(
                    f"population {population.name!r}: in {dtype} the membrane lands at its threshold after a spike, "
                    "and fires for ever; use dtype='float64', or a lower reset"
                )

    for connection in network.connections:
        _check_weights(connection, dtype, largest)


def _check_weights(connection: Connection, dtype: str, largest: float) -> None:
    """Raise `ParameterError` where weights, or the numbers of a rule that changes them, are others in `dtype`."""
    where = f"projection {connection.name!r}"
    lowest, highest = connection.weight_range
    most = max(abs(lowest), abs(highest)) if lowest <= highest else 0.0
    if most > largest or (most > 0 and np.dtype(dtype).type(most) == 0):
        raise ParameterError(
            f"{where}: weights of {most:.3g} do not fit in {dtype}, which holds {np.finfo(dtype).tiny:.2g} to "
            f"{largest:.2g}; choose other units, or dtype='float64'"
        )
    plasticity = connection.projection.plasticity
    if plasticity is None:
        return
    for name, value in plasticity.coefficients._asdict().items():
        if (largest < abs(value) < np.inf) or (value != 0 and np.dtype(dtype).type(value) == 0):
            raise ParameterError(
                f"{where}: {name}={value:.3g} of its rule does not fit in {dtype}; use dtype='float64'"
            )


def _meet(coefficients: Mapping[str, Any], dtype: str) -> bool:
    """Return whether a reset below the threshold is at the threshold once both are rounded."""
    if "reset_value" not in coefficients or "threshold" not in coefficients:
        return False
    level, landing = (np.asarray(coefficients[name]) for name in ("threshold", "reset_value"))
    return bool(np.any((landing < level) & (landing.astype(dtype) >= level.astype(dtype))))


def _named_coefficients(population: Population, own: Any, dt: float) -> dict[str, Any]:
    """Return the coefficients of a model and of its receptors by name."""
    model = population.model
    assert isinstance(model, NeuronModel)
    named: dict[str, Any] = own._asdict()
    for receptor in population.receptors:
        if receptor.arithmetic is not None:
            more: Any = model.receptor_coefficients(receptor, dt)
            named |= {f"{receptor.name}.{name}": value for name, value in more._asdict().items()}
    return named


def _lost(decay: Any, dtype: str) -> float:
    """Return by which share the logarithm of a decay changes when it is rounded."""
    exact = np.atleast_1d(np.asarray(decay, np.float64))
    exact = exact[(exact > 0) & (exact < 1)]
    with np.errstate(divide="ignore"):
        rounded = np.log(exact.astype(dtype).astype(np.float64))
    return float(np.max(np.abs(rounded / np.log(exact) - 1), initial=0.0))

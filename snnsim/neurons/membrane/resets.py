"""What happens to a membrane after a spike, as the two numbers of a branch-free expression."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.errors import ParameterError, exactly, one_of
from snnsim.neurons.parameters import Parameter, as_parameter


def check_reset(reset: Any) -> str | Parameter:
    """Return a reset rule as the user gave it, or raise `ParameterError`."""
    if isinstance(reset, str):
        one_of("reset", reset, ("subtract", "zero"))
        return reset
    return as_parameter("reset", reset)


def check_landing(
    reset: str | Parameter, threshold: Parameter, strict: bool, *, fall: Parameter = 0.0, forgets: Any = False
) -> None:
    """Raise `ParameterError` where a neuron that has just reached its threshold is still there after the reset.

    It would fire at every tick for ever, whatever it receives.

    Parameters
    ----------
    reset : str, float or array
        As `check_reset` returns it.
    threshold : float or array
    strict : bool
        Whether a neuron exactly at threshold stays silent.
    fall : float or array
        How far a spike lowers the threshold.
    forgets : bool or array of bool
        Where the membrane keeps nothing from tick to tick, so that a reset has no effect.
    """
    value: Parameter = 0.0 if isinstance(reset, str) else reset
    try:
        level, landing, silent = np.broadcast_arrays(np.asarray(threshold) - fall, value, forgets)
    except ValueError:
        shapes = ", ".join(str(np.shape(part)) for part in (threshold, fall, value, forgets) if np.ndim(part))
        raise ParameterError(f"parameters of one neuron each differ in shape: {shapes}") from None
    # What lies above threshold by however little is above it again once a threshold of zero is subtracted.
    subtracts = isinstance(reset, str) and reset == "subtract"
    fires = landing > level if strict and not subtracts else landing >= level
    again = np.atleast_1d(fires & ~silent)
    if np.any(again):
        first = int(np.argmax(again))
        lands, from_level = (exactly(np.atleast_1d(part)[first]) for part in (landing, level))
        rule = repr(reset) if isinstance(reset, str) else lands
        which = f" (neuron {first})" if again.size > 1 else ""
        raise ParameterError(
            f"reset={rule}: from a threshold of {from_level}{which} the membrane lands at {lands}, where it fires "
            "again, at every tick for ever; give reset a value below the threshold, for instance that of rest"
        )


def reset_coefficients(reset: str | Parameter) -> tuple[float, Parameter]:
    """Return (subtract, reset_value) for the branch-free reset."""
    if isinstance(reset, str):
        return (1.0, 0.0) if reset == "subtract" else (0.0, 0.0)
    return 0.0, reset

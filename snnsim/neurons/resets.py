"""What happens to a membrane after a spike, as the two numbers of a branch-free expression."""

from __future__ import annotations

from typing import Any

from snnsim.errors import one_of
from snnsim.neurons.parameters import Parameter, as_parameter


def check_reset(reset: Any) -> str | Parameter:
    """Return a reset rule as the user gave it, or raise `ParameterError`."""
    if isinstance(reset, str):
        one_of("reset", reset, ("subtract", "zero"))
        return reset
    return as_parameter("reset", reset)


def reset_coefficients(reset: str | Parameter) -> tuple[float, Parameter]:
    """Return (subtract, reset_value) for the branch-free reset."""
    if isinstance(reset, str):
        return (1.0, 0.0) if reset == "subtract" else (0.0, 0.0)
    return 0.0, reset

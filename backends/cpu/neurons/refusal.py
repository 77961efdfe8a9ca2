"""Which function of a model does not compile, and in which line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numba.core import types
from numba.core.errors import NumbaError

from snnsim.errors import ParameterError
from snnsim.neurons import Arithmetic
from snnsim.numerics.specialise import in_precision


def refuse(model: str, arithmetic: Arithmetic, dtype: str, error: NumbaError) -> None:
    """Raise `ParameterError` that names the function of a model at which compiling failed; return where it is none."""
    number, kind = getattr(types, dtype), arithmetic.coefficients
    record: Any = types.NamedUniTuple
    coefficients = record(number, len(kind._fields), kind)  # type: ignore[attr-defined]
    counts = {"integrate": len(arithmetic.inputs), "distance": 0, "reset": 1}
    for name, more in counts.items():
        function = getattr(arithmetic, name)
        if function is None:
            continue
        try:
            in_precision(function, getattr(np, dtype)).compile(
                (*(number,) * (len(arithmetic.states) + more), coefficients)
            )
        except NumbaError as own:
            places = re.findall(r'File "([^"]*)", line (\d+)', str(own))
            place = f", line {places[-1][1]} of {Path(places[-1][0]).name}" if places else ""
            lines = [line for line in str(own).splitlines() if line.strip() and not line.startswith("Failed in")]
            raise ParameterError(
                f"{model}.{name}{place} does not compile, so backend 'cpu' cannot run it: {lines[0] if lines else own}"
            ) from error

"""Where a result comes from: versions of what computed it, and further facts."""

from __future__ import annotations

import functools
import platform

import numpy as np

from snnsim.version import __version__


def provenance(**facts: object) -> dict[str, str]:
    """Return versions of what computes here, with further facts."""
    return {**_versions(), **{key: str(value) for key, value in facts.items()}}


@functools.cache
def _versions() -> dict[str, str]:
    import numba

    return {
        "snnsim": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
    }

"""What the machine offers to this process."""

from __future__ import annotations

import os


def cores() -> int:
    """Return the number of cores this process may use."""
    # Only Linux tells which cores a process is bound to.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""What the machine offers to this process."""

from __future__ import annotations

import os
from pathlib import Path


def cores() -> int:
    """Return the number of cores this process may use."""
    # Only Linux tells which cores a process is bound to.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still take, or None where the system does not tell.

    It is what Linux says is available, or less where a control group of the process has a limit.
    """
    found = [_of_machine(root / "proc/meminfo"), *_of_groups(root)]
    known = [size for size in found if size is not None]
    return max(0, min(known)) if known else None


def _of_machine(path: Path) -> int | None:
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _of_groups(root: Path) -> list[int | None]:
    """Return what each control group of this process leaves, in both versions of Linux's control groups."""
    left: list[int | None] = []
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return left
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = base / path.lstrip("/")
        # A container may see its own group as the root, under a path that is not there.
        left += [_of_group(folder, *names) for folder in (group, *group.parents) if folder.is_relative_to(base)]
    return left


def _of_group(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    try:
        allowed = int((folder / limit).read_text(encoding="ascii"))  # "max" is no number
        used = int((folder / usage).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    try:
        counts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        used -= int(counts[cache])  # files that are given up when memory is needed
    except (OSError, ValueError, KeyError):
        pass
    return allowed - used

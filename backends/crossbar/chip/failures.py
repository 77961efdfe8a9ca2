"""What a driver raises or answers, as a `DeviceError` whose kind says what happened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from snnsim.backends.crossbar.chip.protocol import LoopDevice, Status
from snnsim.errors import DeviceError, SnnsimError


def kind_of(error: Exception) -> str:
    """Return the kind (see `DeviceError`) of what a driver raised."""
    if isinstance(error, DeviceError):
        return error.kind
    if isinstance(error, TimeoutError):
        return "timeout"
    return "lost" if isinstance(error, OSError | EOFError) else "refused"


def failure(error: Exception, where: str) -> DeviceError:
    """Return what a driver raised as a `DeviceError` that says where that was."""
    said = str(error) if isinstance(error, SnnsimError) else f"{type(error).__name__}: {error}"
    return DeviceError(f"{where}: {said}", kind=kind_of(error))


@contextlib.contextmanager
def asking(where: str) -> Iterator[None]:
    """Turn what a driver raises within into a `DeviceError` that says where; errors of snnsim say so themselves."""
    try:
        yield
    except SnnsimError:
        raise
    except Exception as error:  # a driver may raise anything
        raise failure(error, where) from error


def status_of(device: LoopDevice) -> Status:
    """Return what a device says of itself.

    Raises
    ------
    DeviceError
        It fails, says nothing, or what it says cannot be true.
    """
    name = type(device).__name__
    with asking(f"{name}.status()"):
        found: Any = device.status()
    if not isinstance(found, Status):
        raise DeviceError(f"{name}.status() gave {type(found).__name__}; expected a Status", kind="answer")
    try:
        return Status.from_dict(found.as_dict())
    except (TypeError, ValueError, AttributeError) as error:
        raise DeviceError(f"{name}.status() cannot be read: {error}", kind="answer") from error

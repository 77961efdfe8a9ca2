"""The errors of snnsim.

A message says what is wrong, where (parameter and value), and what to do about it.
Each kind also derives from the built-in error a Python user would expect to catch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral


class SnnsimError(Exception):
    """Base of every error that snnsim raises on purpose."""


class ParameterError(SnnsimError, ValueError):
    """An argument has a value that is not allowed."""


class NetworkError(SnnsimError, ValueError):
    """A network description does not fit together (unknown name, wrong shape, zero-delay cycle)."""


class CapabilityError(SnnsimError, NotImplementedError):
    """The chosen backend cannot do what the network or the run asks for."""


class BackendError(SnnsimError, LookupError):
    """No backend of that name can be used here."""


class DataError(SnnsimError, ValueError):
    """A file or a recording is damaged, or is not what it was said to be."""


class ResourceError(SnnsimError, MemoryError):
    """The machine has not what the work needs; the message says how much, how much there is, and what to do."""


class DivergenceError(SnnsimError, ArithmeticError):
    """The numbers of a run have left the range in which they mean something; the message names where and when."""


class RanksError(SnnsimError, RuntimeError):
    """Processes that run one network together do not do the same; the message says in what they differ."""


class DeviceError(SnnsimError, OSError):
    """A device in the loop did not answer, or not as it should.

    Parameters
    ----------
    message : str
    kind : {"timeout", "lost", "restarted", "answer", "refused", "version", "trace"}
        It was silent for too long; the connection broke; it came back without its memory; its answer cannot be true;
        it said no; it speaks another version; a recorded trace does not hold what is asked.
    """

    #: What can go wrong.
    KINDS = ("timeout", "lost", "restarted", "answer", "refused", "version", "trace")

    def __init__(self, message: str, *, kind: str = "lost") -> None:
        super().__init__(message)
        one_of("kind", kind, self.KINDS)
        self.kind = kind


class InternalError(SnnsimError, RuntimeError):
    """Two parts of snnsim disagree: a fault of its own, found before anything wrong was computed with.

    Parameters
    ----------
    what : str
        What disagrees, where, and by how much.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}; this is a fault of snnsim, not of what it was given: please report it with the script and the "
            "version (snnsim doctor)"
        )


class MissingDependencyError(SnnsimError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class SaturationWarning(UserWarning):
    """Converters of a chip went beyond their range, in more than a few conversions."""


def missing_dependency(package: str, extra: str, purpose: str) -> MissingDependencyError:
    """Return the error for an optional package that is not installed."""
    return MissingDependencyError(
        f"{purpose} needs the package {package!r}, which is not installed: pip install 'snnsim[{extra}]'"
    )


def exactly(value: float) -> str:
    """Return a number in as few digits as tell it from every other one: two that differ never read the same."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """Raise `ParameterError` unless `value` is one of `allowed`."""
    choices = list(allowed)
    if getattr(value, "ndim", 0) or value not in choices:  # an array is no choice
        listed = ", ".join(repr(choice) for choice in choices)
        raise ParameterError(f"{name}={value!r} is not known; allowed: {listed}")


def positive(name: str, value: float, *, zero: bool = False) -> None:
    """Raise `ParameterError` unless `value` is a finite number above zero (or zero, if allowed)."""
    try:
        good = value >= 0 if zero else value > 0
        acceptable = bool(good and math.isfinite(value)) and not getattr(value, "ndim", 0)
    except (TypeError, ValueError, OverflowError):  # no number, an array of them, or one beyond all floats
        acceptable = False
    if not acceptable:
        bound = "zero or above" if zero else "above zero"
        raise ParameterError(f"{name}={value!r}: must be a finite number {bound}")


def whole(name: str, value: object, *, at_least: int = 0) -> int:
    """Return `value` as an int, or raise `ParameterError` unless it is a whole number from `at_least` up."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        bound = "zero or above" if at_least == 0 else f"{at_least} or above"
        raise ParameterError(f"{name}={value!r}: must be a whole number, {bound}")
    return int(value)

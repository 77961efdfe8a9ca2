"""Settings as they are given: numbers of NumPy or torch, one name or several; and as they are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from snnsim.errors import ParameterError, positive, whole


def plain_number(value: Any) -> Any:
    """Return the number that an array or tensor without dimensions holds; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def whole_number(name: str, value: object, *, at_least: int = 1) -> int:
    """Return a whole number, 1 or above unless said otherwise."""
    return whole(name, plain_number(value), at_least=at_least)


def number(name: str, value: object, *, zero: bool = False) -> float:
    """Return a finite number above zero, or zero where that is allowed."""
    found = plain_number(value)
    if isinstance(found, bool) or not isinstance(found, Real):
        bound = "zero or above" if zero else "above zero"
        raise ParameterError(f"{name}={value!r}: must be a finite number {bound}")
    positive(name, float(found), zero=zero)
    return float(found)


def flag(name: str, value: object) -> bool:
    """Return True or False; text and numbers are neither."""
    found = plain_number(value)
    if not isinstance(found, bool):
        raise ParameterError(f"{name}={value!r}: must be True or False")
    return found


def seed_of(name: str, value: object) -> int:
    """Return a seed, which is any whole number."""
    found = plain_number(value)
    if isinstance(found, bool) or not isinstance(found, Integral):
        raise ParameterError(f"{name}={value!r}: must be a whole number")
    return int(found)


def names(name: str, given: object) -> tuple[str, ...]:
    """Return one name or several as a tuple without repetitions."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise ParameterError(f"{name}={given!r}: expected a name, or a sequence of names")
    found = tuple(given)
    if not all(isinstance(one, str) for one in found):
        raise ParameterError(f"{name}={given!r}: expected a name, or a sequence of names")
    return tuple(dict.fromkeys(found))


def shares(name: str, given: object) -> dict[str, float]:
    """Return shares by population, each 0 or above and below 1."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ParameterError(f"{name}={given!r}: expected a dict of population to share")
    result = {}
    for key, value in given.items():
        found = plain_number(value)
        if not isinstance(found, Real) or not 0.0 <= float(found) < 1.0:
            raise ParameterError(f"{name} of {key!r} is {value!r}: must be 0 or above and below 1")
        result[key] = float(found)
    return result

"""The arithmetic of a model, looked through before any backend has it: what it names, takes, does and returns."""

from __future__ import annotations

import builtins
import dis
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CellType, CodeType, FunctionType
from typing import Any, NoReturn

import numpy as np

from snnsim.errors import ParameterError
from snnsim.neurons.arithmetic.functions import exp, maximum, minimum, where
from snnsim.neurons.arithmetic.symbols import Symbol, UnknownNumberError

#: What arithmetic may call beside functions of its own.
_FUNCTIONS = (exp, minimum, maximum, where)


def frozen(model: str, function: Any, seen: tuple[str, ...] = ()) -> FunctionType:
    """Return a copy of a function of arithmetic that keeps the numbers it names, and the functions it calls.

    Later changes of them would reach NumPy and not what is compiled.

    Raises
    ------
    ParameterError
        It is no plain function, or names something that is neither a number nor such a function.
    """
    function = function.__func__ if isinstance(function, staticmethod) else function
    if not isinstance(function, FunctionType):
        raise ParameterError(f"{model}: {function!r} is no function written with def or lambda")
    code = function.__code__
    where_it_is = f"{model}.{function.__name__}"
    variadic = code.co_flags & 0x0C
    if variadic or code.co_kwonlyargcount or function.__defaults__:
        raise ParameterError(f"{where_it_is}: takes plain arguments only, without *, ** and defaults")
    if any(isinstance(value, CodeType) for value in code.co_consts):
        raise ParameterError(f"{where_it_is}: holds a function or a comprehension of its own; define it outside")
    kept: dict[str, Any] = {"__builtins__": function.__globals__.get("__builtins__", builtins)}
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            name, line = str(instruction.argval), instruction.positions.lineno if instruction.positions else None
            at = f"{where_it_is}{_line(function, line)}"
            if name in function.__globals__:
                kept[name] = _kept(model, at, name, function.__globals__[name], (*seen, function.__name__))
            elif hasattr(builtins, name) and name != "abs":
                raise ParameterError(
                    f"{at}: arithmetic cannot use {name}; it may call abs, and exp, minimum, maximum and where of "
                    "snnsim.neurons"
                )
            elif name != "abs":
                raise ParameterError(f"{at}: there is no {name!r}")
    cells = []
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:
            raise ParameterError(f"{where_it_is}: {name!r} has no value yet") from None
        cells.append(CellType(_kept(model, where_it_is, name, value, (*seen, function.__name__))))
    copy = FunctionType(code, kept, function.__name__, None, tuple(cells) or None)
    copy.__module__, copy.__doc__ = function.__module__, function.__doc__
    copy.__qualname__ = function.__qualname__
    return copy


def _kept(model: str, at: str, name: str, value: Any, seen: tuple[str, ...]) -> Any:
    if isinstance(value, (int, float, np.floating, np.integer)) and not isinstance(value, bool):
        if not np.isfinite(value):
            raise ParameterError(f"{at}: {name}={value!r}: must be finite")
        return float(value)
    if any(value is known for known in _FUNCTIONS):
        return value
    if isinstance(value, FunctionType):
        if value.__name__ in seen:
            raise ParameterError(f"{at}: {name} calls itself")
        return frozen(model, value, seen)
    what = f"the module {value.__name__}" if hasattr(value, "__spec__") else f"of type {type(value).__name__}"
    raise ParameterError(
        f"{at}: {name} is {what}; arithmetic may name numbers, functions like itself, and exp, minimum, maximum and "
        "where of snnsim.neurons"
    )


def check_arguments(model: str, function: FunctionType, names: Sequence[str]) -> None:
    """Raise `ParameterError` unless a function takes arguments of the given names, and one more."""
    code = function.__code__
    given = code.co_varnames[: code.co_argcount]
    if given[:-1] != tuple(names):
        raise ParameterError(
            f"{model}.{function.__name__} takes ({', '.join(given)}); write "
            f"def {function.__name__}({', '.join(names)}, p): what it is given, in this order, and then the parameters"
        )


def check_function(
    model: str, function: Callable[..., Any], given: int, kind: type[Any], states: tuple[str, ...] | None
) -> None:
    """Raise `ParameterError` where one function of it does.

    Parameters
    ----------
    model : str
    function : function
    given : int
        How many numbers it is given before the coefficients.
    kind : NamedTuple type
        Of the coefficients.
    states : tuple of str, optional
        What it returns; a distance returns one number.
    """
    found = _tried(model, function, [Symbol() for _ in range(given)], kind)
    here, count = f"{model}.{function.__name__}", len(found) if isinstance(found, tuple) else int(found is not None)
    if states is None and (isinstance(found, tuple) or found is None):
        raise ParameterError(f"{here} returns {count} numbers; must be one, zero or above where the neuron fires")
    if states is not None and (not isinstance(found, tuple) or count != len(states)):
        comma = "; write a comma behind it, for a tuple" if len(states) == count == 1 else ""
        raise ParameterError(f"{here} returns {count} number(s); must be one for each of {', '.join(states)}{comma}")
    for value in found if isinstance(found, tuple) else (found,):
        if isinstance(value, Symbol) and value.truth:
            raise ParameterError(f"{here} returns a truth value; must be a number (a distance: zero or above to fire)")
        if isinstance(value, bool) or not isinstance(value, (Symbol, int, float)):
            raise ParameterError(f"{here} returns {value!r}, which is no number")


def _tried(model: str, function: Callable[..., Any], arguments: list[Any], kind: Any) -> Any:
    """Return what a function makes of symbols."""
    fields = kind._fields
    try:
        return function(*arguments, kind(*(Symbol() for _ in fields)))
    except AttributeError as error:
        if getattr(error, "obj", None) is None or type(error.obj) is not kind:
            _refuse(model, function, error)
        raise ParameterError(
            f"{_place(model, function, error)}: reads {error.name!r}, which is no parameter; there are: "
            f"{', '.join(fields)}"
        ) from None
    except Exception as error:
        _refuse(model, function, error)


def _refuse(model: str, function: Callable[..., Any], error: Exception) -> NoReturn:
    text = str(error)
    if isinstance(error, TypeError) and "__array_ufunc__" in text:
        text = (
            "hands a number to a function of NumPy, which differs from one engine to the next; exp, minimum, maximum "
            "and where are in snnsim.neurons"
        )
    elif not isinstance(error, UnknownNumberError):
        text = f"{type(error).__name__}: {text}"
    raise ParameterError(f"{_place(model, function, error)}: {text}") from None


def _place(model: str, function: Callable[..., Any], error: Exception) -> str:
    """Return the last place of an error that is not in the files that try the arithmetic."""
    own = (__file__, Symbol.__init__.__code__.co_filename, exp.__code__.co_filename)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in own]
    if not frames:
        return f"{model}.{function.__name__}"
    return f"{model}.{frames[-1].name}, line {frames[-1].lineno} of {Path(frames[-1].filename).name}"


def _line(function: FunctionType, line: int | None) -> str:
    return f", line {line} of {Path(function.__code__.co_filename).name}" if line else ""

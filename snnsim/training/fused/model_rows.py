"""A model's own arithmetic as loops over the neurons of one sample at one tick, forwards and backwards.

The way forward is the model's functions as they are, compiled as the cpu engine compiles them, in the same bits. The
way back is written out from a tape of the same functions (`snnsim.neurons.arithmetic.tape`): what the states after a
tick and the spikes are worth becomes what the states before it, the drive and the coefficients are worth.
"""

from __future__ import annotations

import functools
import hashlib
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from snnsim.neurons import Arithmetic
from snnsim.neurons.arithmetic import functions
from snnsim.neurons.arithmetic.symbols import UnknownNumberError
from snnsim.neurons.arithmetic.tape import HALF, ONE, ZERO, Tape
from snnsim.numerics.specialise import in_precision, mark, specialised

_SPIKE = "spike({a})"


class Rows(NamedTuple):
    """Compiled loops; `name` tells them from those of all other models.

    `states` and `after` have the shape (states, neurons), `coefficients` (fields, neurons), everything else (neurons,).

    Parameters
    ----------
    name : str
    fire : function (states, x, factor, shift, coefficients, strict, out)
        Advance states by a tick, and write which neurons fire, or the first state where the model never does.
    advance : function (states, x, factor, shift, coefficients, strict)
        The same without writing.
    back : function (states, x, factor, shift, coefficients, strict, route, parameter, after, g, total)
        Turn dL/dspike (dL/dstate of a readout) in `g` into that of the drive, dL/dstates after the tick into that
        before it, and add that of the coefficients to `total`; `states` are those before the tick.
    back_within : function
        The same without any route through time: `after` is neither read nor written.
    """

    name: str
    fire: Any
    advance: Any
    back: Any
    back_within: Any


@functools.cache
def rows_of(arithmetic: Arithmetic, number: type[Any], surrogate: Any, wanted: tuple[str, ...]) -> Rows:
    """Compile the loops of a model.

    Parameters
    ----------
    arithmetic : Arithmetic
    number : type
        Of all values, ``np.float32`` or ``np.float64``.
    surrogate : function (distance, parameter)
    wanted : tuple of str
        Fields of the coefficients whose derivatives are taken.
    """
    tape, outputs = record(arithmetic)
    texts = {
        "fire_row": _forwards(arithmetic, "out"),
        "advance_row": _forwards(arithmetic, None),
        "back_row": _backwards(arithmetic, tape, outputs, wanted, through_time=True),
        "back_row_within": _backwards(arithmetic, tape, outputs, wanted, through_time=False),
    }
    used = [one for one in (arithmetic.integrate, arithmetic.distance, arithmetic.reset) if one is not None]
    more = hashlib.sha256("".join(texts.values()).encode()).hexdigest()
    version = mark([*used, surrogate], f"{more}{number.__name__}")
    names: dict[str, Any] = {key: number(value) for key, value in tape.constants.items() if not isinstance(value, bool)}
    names |= {key: value for key, value in tape.constants.items() if isinstance(value, bool)}
    names |= {
        ZERO: number(0),
        HALF: number(0.5),
        ONE: number(1),
        "number": number,
        "Coefficients": arithmetic.coefficients,
    }
    names |= {"surrogate": in_precision(surrogate, number)}
    known = functions.exp, functions.minimum, functions.maximum, functions.where, functions.landed
    names |= {one.__name__: in_precision(one, number) for one in known}
    own = ("integrate", "distance", "reset")
    names |= {key: in_precision(one, number) for key in own if (one := getattr(arithmetic, key)) is not None}
    made = [_made(text, f"{key}_{version}", key, names) for key, text in texts.items()]
    return Rows(version, *made)


def record(arithmetic: Arithmetic) -> tuple[Tape, list[str]]:
    """Return one tick of a model on a tape, and the names of the states after it.

    Given numbers are ``s_0``, ``s_1`` ... for the states before the tick, `drive`, and ``c_<field>``.
    """
    tape = Tape()
    c = arithmetic.coefficients(*(tape.number(f"c_{field}") for field in _fields(arithmetic)))
    states = [tape.number(f"s_{i}") for i in range(len(arithmetic.states))]
    after = arithmetic.integrate(*states, tape.number("drive"), c)
    if arithmetic.distance is None or arithmetic.reset is None:
        return tape, [tape.name(one) for one in after]
    distance = arithmetic.distance(*after, c)
    spike = tape.add(_SPIKE, distance)
    return tape, [tape.name(one) for one in arithmetic.reset(*after, spike, c)]


@functools.cache
def why_no_rows(arithmetic: Arithmetic) -> str | None:
    """Return what the arithmetic of a model does that could not be compiled, or None where it is."""
    try:
        record(arithmetic)
    except Exception as error:  # whatever it does with a number that it cannot
        return str(error) if isinstance(error, UnknownNumberError) else f"raises {type(error).__name__}: {error}"
    return None


def _fields(arithmetic: Arithmetic) -> Sequence[str]:
    fields: Sequence[str] = arithmetic.coefficients._fields  # type: ignore[attr-defined]
    return fields


def _forwards(arithmetic: Arithmetic, out: str | None) -> str:
    n = len(arithmetic.states)
    made = ", ".join(f"u_{i}" for i in range(n))
    given = ", ".join(f"states[{i}, j]" for i in range(n))
    lines = [
        f"c = Coefficients({', '.join(f'coefficients[{i}, j]' for i in range(len(_fields(arithmetic))))})",
        f"{made}, = integrate({given}, x[j] * factor[j] + shift[j], c)",
    ]
    if arithmetic.distance is None or arithmetic.reset is None:
        lines += [f"{out}[j] = u_0"] if out else []
        lines += [f"states[{i}, j] = u_{i}" for i in range(n)]
    else:
        lines += [f"above = distance({made}, c)", "fires = above > zero if strict else above >= zero"]
        lines += [f"{out}[j] = fires"] if out else []
        lines += [f"{given}, = reset({made}, number(fires), c)"]
    head = f"def row(states, x, factor, shift, coefficients, strict{f', {out}' if out else ''}):"
    return _function(head, lines)


def _backwards(
    arithmetic: Arithmetic, tape: Tape, outputs: list[str], wanted: tuple[str, ...], *, through_time: bool
) -> str:
    n = len(arithmetic.states)
    lines = [f"s_{i} = states[{i}, j]" for i in range(n)]
    lines += ["drive = x[j] * factor[j] + shift[j]"]
    lines += [f"c_{field} = coefficients[{i}, j]" for i, field in enumerate(_fields(arithmetic))]
    for step in tape.forwards():
        lines += _threshold(step) if " = spike(" in step else [step]
    seeds: dict[str, str] = {}
    for i, name in enumerate(outputs if through_time else []):
        seeds[name] = f"{seeds[name]} + after[{i}, j]" if name in seeds else f"after[{i}, j]"
    if arithmetic.distance is None:
        seeds[outputs[0]] = f"{seeds[outputs[0]]} + g[j]" if outputs[0] in seeds else "g[j]"
    states = [f"s_{i}" for i in range(n)] if through_time else []
    fields = [f"c_{field}" for field in wanted]
    more, found = tape.backwards(seeds, [*states, "drive", *fields], {_SPIKE: _at_threshold})
    lines += more
    lines += [f"g[j] = {found.get('drive', ZERO)}"]
    lines += [f"after[{i}, j] = {found.get(name, ZERO)}" for i, name in enumerate(states)]
    lines += [f"total[{i}, j] += {found[name]}" for i, name in enumerate(fields) if name in found]
    return _function(
        "def row(states, x, factor, shift, coefficients, strict, route, parameter, after, g, total):", lines
    )


def _threshold(step: str) -> list[str]:
    """Return the lines of a spike and of the surrogate at its distance."""
    out, _, rest = step.partition(" = spike(")
    distance = rest.rstrip(")")
    return [
        f"{out} = one if ({distance} > zero if strict else {distance} >= zero) else zero",
        f"slope = number(surrogate({distance}, parameter))",
    ]


def _at_threshold(bar: str | None) -> tuple[list[str], str]:
    """Return what the distance is worth: the spike that leaves, and the one in the reset where that route is taken."""
    return ["bar_spike = g[j]" if bar is None else f"bar_spike = g[j] + route * {bar}"], "bar_spike * slope"


def _function(head: str, lines: list[str]) -> str:
    return f"{head}\n    for j in range(x.shape[0]):\n{textwrap.indent(chr(10).join(lines), '        ')}\n"


def _made(text: str, name: str, file: str, names: dict[str, Any]) -> Any:
    """Compile a text; its arrays never overlap, which is what makes vectors of its loop."""
    space: dict[str, Any] = {"__name__": __name__}
    exec(compile(text, f"<{file}>", "exec"), space)
    row: Callable[..., Any] = space["row"]
    return specialised(row, name, distinct=True, **names)

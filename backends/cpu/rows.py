"""Small tuples of arrays and of numbers: the states of a model, its inputs, its coefficients.

Numba compiles a tuple for its length, so each length has its functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from snnsim.backends.cpu._jit import jit
from snnsim.backends.cpu.pointers import view


@jit
def _rows_of_one(pointer, first, stride, length):
    return (view(pointer, first, length),)


@jit
def _rows_of_two(pointer, first, stride, length):
    return view(pointer, first, length), view(pointer, first + stride, length)


@jit
def _read_one(rows, j):
    return (rows[0][j],)


@jit
def _read_two(rows, j):
    return rows[0][j], rows[1][j]


@jit
def _write_one(rows, j, values):
    rows[0][j] = values[0]


@jit
def _write_two(rows, j, values):
    rows[0][j], rows[1][j] = values[0], values[1]


@jit
def _add_one(rows, j, values):
    rows[0][j] += values[0]


@jit
def _add_two(rows, j, values):
    rows[0][j] += values[0]
    rows[1][j] += values[1]


@jit
def _empty_one(rows, j, zero):
    rows[0][j] = zero


@jit
def _empty_two(rows, j, zero):
    rows[0][j], rows[1][j] = zero, zero


@jit
def _choose_one(first, yes, no):
    return (yes[0] if first else no[0],)


@jit
def _choose_two(first, yes, no):
    return yes[0] if first else no[0], yes[1] if first else no[1]


#: By the number of rows: arrays `stride` apart, and what is read, written, added, emptied or chosen at a place of them.
ROWS, READ, WRITE, ADD, EMPTY, CHOOSE = (
    dict(enumerate(pair, start=1))
    for pair in (
        (_rows_of_one, _rows_of_two),
        (_read_one, _read_two),
        (_write_one, _write_two),
        (_add_one, _add_two),
        (_empty_one, _empty_two),
        (_choose_one, _choose_two),
    )
)


def record_at(kind: type[tuple[Any, ...]], *, each: bool) -> Any:
    """Return a compiled function that reads the NamedTuple of coefficients of a neuron.

    Parameters
    ----------
    kind : NamedTuple type
    each : bool
        Whether each neuron has coefficients of its own, ``table[i * step + j]`` for coefficient i, or all the same.
    """
    fields = kind._fields  # type: ignore[attr-defined]
    # Unsigned, so that no index is tested for counting from the end and loops stay vectors.
    places: dict[str, Any] = {f"place{i}": np.uint64(i) for i in range(len(fields))}
    place = "unsigned(j) + place{} * unsigned(step)" if each else "place{}"
    entries = [f"table[{place.format(i)}]" for i in range(len(fields))]
    function: Callable[..., Any] = eval(
        f"lambda table, j, step: record({', '.join(entries)})", {"record": kind, "unsigned": np.uint64, **places}
    )
    return jit(function)

"""Small tuples of pointers and of numbers: the states of a model, its inputs, its coefficients.

They are written as instructions, for tuples of any length: Numba would compile a function for each of them and for
each length.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.extending import intrinsic

from snnsim.backends.cpu.compiler.pointers import element, rest


def rows_of(count: int) -> Any:
    """Return a function ``rows(pointer, first, stride)`` that gives `count` pointers, `stride` elements apart."""

    def rows(typing_context: Any, pointer: Any, first: Any, stride: Any) -> Any:
        del typing_context, first, stride

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pointers, place = [], values[1]
            for _ in range(count):
                pointers.append(rest(context, builder, pointer, values[0], place))
                place = builder.add(place, values[2])
            return context.make_tuple(builder, signature.return_type, pointers)

        return types.UniTuple(pointer, count)(pointer, types.int64, types.int64), code

    return intrinsic(rows)


def record_at(kind: type[tuple[Any, ...]], *, each: bool) -> Any:
    """Return a function ``record(table, j, step)`` that reads the coefficients of a neuron.

    Parameters
    ----------
    kind : NamedTuple type
    each : bool
        Whether each neuron has coefficients of its own, at place ``i * step + j`` for coefficient i, or all the same.
    """
    count = len(kind._fields)  # type: ignore[attr-defined]

    def record(typing_context: Any, table: Any, j: Any, step: Any) -> Any:
        del typing_context, j, step

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            place = values[1] if each else context.get_constant(types.int64, 0)
            step = values[2] if each else context.get_constant(types.int64, 1)
            numbers = []
            for _ in range(count):
                numbers.append(builder.load(element(context, builder, table, values[0], place)))
                place = builder.add(place, step)
            return context.make_tuple(builder, signature.return_type, numbers)

        return types.NamedUniTuple(table.dtype, count, kind)(table, types.int64, types.int64), code

    return intrinsic(record)


@intrinsic
def read(typing_context: Any, rows: Any, place: Any) -> Any:
    """Return what stands at a place of each row."""
    del typing_context, place

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        numbers = [builder.load(address) for address in _addresses(context, builder, rows, values)]
        return context.make_tuple(builder, signature.return_type, numbers)

    return types.UniTuple(rows.dtype.dtype, rows.count)(rows, types.int64), code


@intrinsic
def write(typing_context: Any, rows: Any, place: Any, numbers: Any) -> Any:
    """Put a number at a place of each row."""
    del typing_context, place
    _check(rows, numbers)

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del signature
        for i, address in enumerate(_addresses(context, builder, rows, values)):
            builder.store(builder.extract_value(values[2], i), address)
        return context.get_dummy_value()

    return types.void(rows, types.int64, numbers), code


@intrinsic
def plus(typing_context: Any, numbers: Any, more: Any) -> Any:
    """Return the sums of the numbers of two tuples, place by place."""
    del typing_context
    if not isinstance(more, types.UniTuple) or more != numbers:
        raise TypeError(f"{numbers} cannot be added to {more}")

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pairs = [[builder.extract_value(value, i) for value in values] for i in range(numbers.count)]
        return context.make_tuple(builder, signature.return_type, [builder.fadd(*pair) for pair in pairs])

    return numbers(numbers, more), code


@intrinsic
def choose(typing_context: Any, condition: Any, yes: Any, no: Any) -> Any:
    """Return the numbers of `yes` where the condition holds, else those of `no`, without a branch."""
    del typing_context, condition

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pairs = [[builder.extract_value(values[k], i) for k in (1, 2)] for i in range(yes.count)]
        chosen = [builder.select(values[0], *pair) for pair in pairs]
        return context.make_tuple(builder, signature.return_type, chosen)

    return yes(types.boolean, yes, no), code


def _addresses(context: Any, builder: Any, rows: Any, values: Any) -> list[Any]:
    pointers = [builder.extract_value(values[0], i) for i in range(rows.count)]
    return [element(context, builder, rows.dtype, pointer, values[1]) for pointer in pointers]


def _check(rows: Any, numbers: Any) -> None:
    """Raise `TypeError` unless there is one number of the right type for each row."""
    if not isinstance(numbers, types.UniTuple) or (numbers.count, numbers.dtype) != (rows.count, rows.dtype.dtype):
        raise TypeError(f"{rows.count} rows of {rows.dtype.dtype} take as many of these numbers, not {numbers}")

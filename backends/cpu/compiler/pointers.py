"""Memory by raw pointers, and calls by address, inside compiled functions.

Step kernels use pointers in place of arrays: they are called for a few hundred neurons at a time, where counting the
references to arrays and slicing them would cost as much as the neurons. Nothing checks an index, unless
`snnsim.numerics.compilation.CHECKED`: then what goes for a pointer is an array, which knows where its memory ends, and
a call by address passes the lengths of arrays along.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from snnsim.numerics.compilation import CHECKED, compiled_c
from snnsim.numerics.pointer_checks import check_inside
from snnsim.numerics.specialise import OPTIONS, copied, jit, specialised

_WORD = ir.IntType(64)


def pointer_to(number: Any) -> Any:
    """Return the type of a pointer to numbers of a type."""
    return types.Array(number, 1, "C") if CHECKED else types.CPointer(number)


def element(context: Any, builder: Any, kind: Any, pointer: Any, place: Any, count: int = 1) -> Any:
    """Return the address of a place, from which on there are `count` elements."""
    if isinstance(kind, types.CPointer):
        return builder.gep(pointer, [place], inbounds=True)
    array = context.make_array(kind)(context, builder, pointer)
    check_inside(context, builder, array, place, count)
    return builder.gep(array.data, [place])


def pointer_from(context: Any, builder: Any, kind: Any, address: Any, count: Any) -> Any:
    """Return the pointer to an address; `count` is how many elements there are, for a type that knows it."""
    if isinstance(kind, types.CPointer):
        return address
    array = context.make_array(kind)(context, builder)
    step = _WORD(context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    context.populate_array(array, data=address, shape=[count], strides=[step], itemsize=step, meminfo=None)
    return array._getvalue()


def rest(context: Any, builder: Any, kind: Any, pointer: Any, place: Any) -> Any:
    """Return the pointer to a place, which may be the end."""
    address = element(context, builder, kind, pointer, place, count=0)
    return pointer_from(context, builder, kind, address, _less(context, builder, kind, pointer, place))


def _less(context: Any, builder: Any, kind: Any, pointer: Any, place: Any) -> Any:
    if isinstance(kind, types.CPointer):
        return None
    return builder.sub(context.make_array(kind)(context, builder, pointer).nitems, place)


@intrinsic
def moved(typing_context: Any, pointer: Any, count: Any) -> Any:
    """Return the pointer `count` elements further on."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del signature
        return rest(context, builder, pointer, *values)

    return pointer(pointer, _index(count)), code


@intrinsic
def at(typing_context: Any, pointer: Any, place: Any) -> Any:
    """Return the element at a place."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del signature
        return builder.load(element(context, builder, pointer, *values))

    return pointer.dtype(pointer, _index(place)), code


@intrinsic
def put(typing_context: Any, pointer: Any, place: Any, value: Any) -> Any:
    """Store a value, in the type of the pointer's elements, at a place."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        stored = context.cast(builder, values[2], signature.args[2], pointer.dtype)
        builder.store(stored, element(context, builder, pointer, *values[:2]))
        return context.get_dummy_value()

    return types.void(pointer, _index(place), value), code


@intrinsic
def like(typing_context: Any, pointer: Any, value: Any) -> Any:
    """Return a number in the type of the pointer's elements."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return context.cast(builder, values[1], signature.args[1], pointer.dtype)

    return pointer.dtype(pointer, value), code


#: Elements that are compared at once.
BLOCK = 32


@intrinsic
def equal_bits(typing_context: Any, pointer: Any, wanted: Any) -> Any:
    """Return which of the first `BLOCK` elements are equal to a number, a bit each."""
    del typing_context, wanted

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del signature
        kind = ir.VectorType(context.get_value_type(pointer.dtype), BLOCK)
        first = element(context, builder, pointer, values[0], _WORD(0), count=BLOCK)
        elements = builder.load(builder.bitcast(first, kind.as_pointer()), align=4)
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), values[1], ir.IntType(32)(0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK)
        same = builder.icmp_signed("==", elements, builder.shuffle_vector(one, one, places))
        return builder.zext(builder.bitcast(same, ir.IntType(BLOCK)), ir.IntType(64))

    return types.int64(pointer, pointer.dtype), code


@intrinsic
def lowest_bit(typing_context: Any, number: Any) -> Any:
    """Return the place of the lowest bit that is set; the number must not be zero."""
    del typing_context, number

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del context, signature
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), code


def _pointer_as(number: Any, name: str) -> Any:
    def typed(typing_context: Any, pointer: Any) -> Any:
        del typing_context
        kind = pointer_to(number)

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            del signature
            start, before, after = _WORD(0), pointer.dtype.bitwidth, number.bitwidth
            address = element(context, builder, pointer, values[0], start, count=0)
            count = _less(context, builder, pointer, values[0], start)
            if count is not None:
                count = builder.sdiv(builder.mul(count, _WORD(before)), _WORD(after))
            address = builder.bitcast(address, context.get_data_type(number).as_pointer())
            return pointer_from(context, builder, kind, address, count)

        return kind(pointer), code

    typed.__name__ = name
    return intrinsic(typed)


#: The same address as a pointer to elements of another type.
as_int32, as_uint64 = _pointer_as(types.int32, "as_int32"), _pointer_as(types.uint64, "as_uint64")


def _index(kind: Any) -> Any:
    """Return the type of an index: unsigned where it is given so."""
    return kind if kind in (types.int64, types.uint64) else types.int64


@jit
def _view_of_memory(pointer, start, length):
    """Return the array of `length` elements that begins `start` elements after the pointer."""
    return numba.carray(moved(pointer, start), length)


@jit
def _view_of_array(pointer, start, length):
    """Return as much of that as there is."""
    whole = moved(pointer, start)
    return whole[: min(length, whole.size)]


view = _view_of_array if CHECKED else _view_of_memory

# What `through_table` names.
body: Any = None
arguments: Any = None


def through_table(table):
    """Call a function whose pointers know their ends; see `caller`."""
    return body(*arguments(table))


def c_function(template: Any, name: str, kinds: tuple[Any, ...], **names: Any) -> Any:
    """Compile a copy of `template` at once as a C function with an `address`, kept on disk under `name`.

    Parameters
    ----------
    template : function
    name : str
        See `snnsim.numerics.specialise.specialised`.
    kinds : tuple of types
        Of its arguments, `pointer_to` a type or int64; it returns an int64.
    **names
        What some of the template's global names stand for.
    """
    if not CHECKED:
        return compiled_c(copied(template, name, names), types.int64(*kinds), **OPTIONS)
    inside = {"body": specialised(template, f"{name}_body", **names), "arguments": _unpacked(kinds)}
    return compiled_c(copied(through_table, name, inside), types.int64(types.CPointer(types.int64)), **OPTIONS)


def _unpacked(kinds: tuple[Any, ...]) -> Any:
    def from_table(typing_context: Any, table: Any) -> Any:
        del typing_context

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            found = []
            for i, kind in enumerate(kinds):
                word, count = (builder.load(builder.gep(values[0], [_WORD(2 * i + k)])) for k in (0, 1))
                if isinstance(kind, types.Array):
                    address = builder.inttoptr(word, context.get_data_type(kind.dtype).as_pointer())
                    word = pointer_from(context, builder, kind, address, count)
                found.append(word)
            return context.make_tuple(builder, signature.return_type, found)

        return types.Tuple(kinds)(table), code

    return intrinsic(from_table)


def caller(name: str, n_arguments: int, *, foreign: bool = False) -> Any:
    """Return a function ``call(address, *arguments) -> int64`` for compiled code that calls a C function.

    In a checked build the functions of `c_function` are given a table in place of their arguments: two words each, the
    address of an array and how many elements it has, or a number and a zero.

    Parameters
    ----------
    name : str
        For error messages.
    n_arguments : int
        How many arguments the function takes. An array is passed as a pointer to its first element, and an integer as
        an int64.
    foreign : bool
        Whether the function is not one of `c_function`.
    """

    def typed(typing_context: Any, address: Any, *arguments: Any) -> Any:
        del typing_context, address
        if len(arguments) != n_arguments:
            raise TypeError(f"{name}: {len(arguments)} arguments, expected {n_arguments}")
        for number, kind in enumerate(arguments):
            if not isinstance(kind, (types.Array, types.Integer)):
                raise TypeError(f"{name}: argument {number} is {kind}, expected an array or an integer")

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            del signature
            given, lengths = [], []
            for i, kind in enumerate(arguments):
                value = builder.extract_value(values[1], i)
                if isinstance(kind, types.Array):
                    array = context.make_array(kind)(context, builder, value)
                    given.append(array.data)
                    lengths.append(array.nitems)
                else:
                    given.append(context.cast(builder, value, kind, types.int64))
                    lengths.append(_WORD(0))
            if CHECKED and not foreign:
                table = cgutils.alloca_once(builder, _WORD, size=2 * n_arguments)
                for i, (value, length) in enumerate(zip(given, lengths, strict=True)):
                    word = value if value.type == _WORD else builder.ptrtoint(value, _WORD)
                    builder.store(word, builder.gep(table, [_WORD(2 * i)]))
                    builder.store(length, builder.gep(table, [_WORD(2 * i + 1)]))
                given = [table]
            function = ir.FunctionType(_WORD, [value.type for value in given])
            return builder.call(builder.inttoptr(values[0], function.as_pointer()), given)

        return types.int64(types.int64, types.BaseTuple.from_types(arguments)), code

    typed.__name__ = name
    return intrinsic(typed)

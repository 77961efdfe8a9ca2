"""Memory by raw pointers, and calls by address, inside compiled functions.

Step kernels use pointers in place of arrays: they are called for a few hundred neurons at a time, where counting the
references to arrays and slicing them would cost as much as the neurons. Nothing checks an index.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from snnsim.backends.cpu._jit import jit


@intrinsic
def moved(typing_context: Any, pointer: Any, count: Any) -> Any:
    """Return the pointer `count` elements further on."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del context, signature
        return builder.gep(values[0], [values[1]], inbounds=True)

    return pointer(pointer, _index(count)), code


@intrinsic
def at(typing_context: Any, pointer: Any, place: Any) -> Any:
    """Return the element at a place."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del context, signature
        return builder.load(builder.gep(values[0], [values[1]], inbounds=True))

    return pointer.dtype(pointer, _index(place)), code


@intrinsic
def put(typing_context: Any, pointer: Any, place: Any, value: Any) -> Any:
    """Store a value, in the type of the pointer's elements, at a place."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        element = context.cast(builder, values[2], signature.args[2], pointer.dtype)
        builder.store(element, builder.gep(values[0], [values[1]], inbounds=True))
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
        elements = builder.load(builder.bitcast(values[0], kind.as_pointer()), align=4)
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


def _pointer_to(element: Any, name: str) -> Any:
    def typed(typing_context: Any, pointer: Any) -> Any:
        del typing_context
        kind = types.CPointer(element)

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            del signature
            return builder.bitcast(values[0], context.get_value_type(kind))

        return kind(pointer), code

    typed.__name__ = name
    return intrinsic(typed)


#: The same address as a pointer to elements of another type.
as_int32, as_uint64 = _pointer_to(types.int32, "as_int32"), _pointer_to(types.uint64, "as_uint64")


def _index(kind: Any) -> Any:
    """Return the type of an index: unsigned where it is given so."""
    return kind if kind in (types.int64, types.uint64) else types.int64


@jit
def view(pointer, start, length):
    """Return the array of `length` elements that begins `start` elements after the pointer."""
    return numba.carray(moved(pointer, start), length)


def caller(name: str, n_arguments: int) -> Any:
    """Return a function ``call(address, *arguments) -> int64`` for compiled code that calls a C function.

    Parameters
    ----------
    name : str
        For error messages.
    n_arguments : int
        How many arguments the function takes. An array is passed as a pointer to its first element, and an integer as
        an int64, which may be an address.
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
            given = []
            for i, kind in enumerate(arguments):
                value = builder.extract_value(values[1], i)
                if isinstance(kind, types.Array):
                    given.append(context.make_array(kind)(context, builder, value).data)
                else:
                    given.append(context.cast(builder, value, kind, types.int64))
            function = ir.FunctionType(ir.IntType(64), [value.type for value in given])
            return builder.call(builder.inttoptr(values[0], function.as_pointer()), given)

        return types.int64(types.int64, types.BaseTuple.from_types(arguments)), code

    typed.__name__ = name
    return intrinsic(typed)

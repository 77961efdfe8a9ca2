"""Arrays at raw pointers, and calls by address, inside compiled functions."""

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

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.int64), code


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
        del typing_context
        if len(arguments) != n_arguments:
            raise TypeError(f"{name}: {len(arguments)} arguments, expected {n_arguments}")
        for number, kind in enumerate(arguments):
            if not isinstance(kind, (types.Array, types.Integer)):
                raise TypeError(f"{name}: argument {number} is {kind}, expected an array or an integer")

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
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

"""A look at an index where compiled code goes past Numba's own: in the checked build (`compilation.CHECKED`)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

_WORD = ir.IntType(64)


def check_inside(context: Any, builder: Any, array: Any, place: Any, count: int) -> None:
    """Raise `IndexError` in the compiled function unless an array holds `count` elements from a place on.

    Parameters
    ----------
    context, builder
        Those of a Numba intrinsic.
    array
        What ``context.make_array(kind)(context, builder, value)`` gives.
    place
        An int64 of LLVM.
    count : int
    """
    within = builder.icmp_signed("<=", builder.add(place, _WORD(count)), array.nitems)
    inside = builder.and_(builder.icmp_signed(">=", place, _WORD(0)), within)
    with builder.if_then(builder.not_(inside), likely=False):
        context.call_conv.return_user_exc(builder, IndexError, ("beyond the memory of a pointer",))

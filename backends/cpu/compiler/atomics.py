"""What threads of one run need and Numba does not offer on the CPU: atomic words, a barrier, prefetching."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from snnsim.numerics.specialise import bare

#: Words of the array that a barrier works on; arrivals and rounds lie on cache lines of their own. One that is not zero
#: at STOPPED tells those who wait that another thread will not come.
BARRIER_WORDS, STOPPED = 32, 24
_ARRIVALS, _ROUND = 8, 16
#: How often a waiting thread looks before it lets another one have the core: about 50 microseconds.
_LOOKS = 10_000

_yield_core = types.ExternalFunction("sched_yield", types.int32())


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


@intrinsic
def atomic_add(typingctx, array, index, value):
    """Add to a word and return what it was."""

    def generate(context, builder, signature, arguments):
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.atomic_rmw("add", place, arguments[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), generate


@intrinsic
def atomic_load(typingctx, array, index):
    """Read a word; what was written before it was stored is seen after."""

    def generate(context, builder, signature, arguments):
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def atomic_store(typingctx, array, index, value):
    """Write a word after everything that was written before."""

    def generate(context, builder, signature, arguments):
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store_atomic(arguments[2], place, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the cache line of an element that will be read soon; an index past the end does no harm."""

    def generate(context, builder, signature, arguments):
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(place, byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@bare
def wait_for_all(words, threads):
    """Return True when all threads have come here, False where one will not; `words` are zero before the first time."""
    if threads == 1:
        return True
    now = atomic_load(words, _ROUND)
    if atomic_add(words, _ARRIVALS, np.int64(1)) == threads - 1:
        atomic_store(words, _ARRIVALS, np.int64(0))
        atomic_store(words, _ROUND, now + 1)
        return True
    looks = 0
    while atomic_load(words, _ROUND) == now:
        looks += 1
        if looks > _LOOKS:
            if atomic_load(words, STOPPED) != 0:
                return False
            _yield_core()
    return True

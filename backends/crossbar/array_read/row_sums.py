"""Sum rows of a strip of columns with the sums held in registers: what LLVM does not make of a loop by itself.

A strip has STRIP columns, and of each row a record: the means as int32, then the variances as uint16. A record is three
cache lines, and the sums of a strip fit in the vector registers, so that a row costs little more than its loads.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from snnsim.numerics.compilation import CHECKED
from snnsim.numerics.pointer_checks import check_inside

#: Columns of a strip, and the int32 words of a record.
STRIP, RECORD = 32, 48


@intrinsic
def sum_records(typing_context: Any, records: Any, rows: Any, low: Any, high: Any, means: Any, variances: Any) -> Any:
    """Write the sums of the records of rows ``rows[low:high]`` into ``means`` and ``variances`` (STRIP int32 each).

    All arrays are contiguous; `records` is of int32 and shape (rows, RECORD), `rows` of int64. An
    index is only checked in the checked build.
    """
    del typing_context

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        arrays = {
            place: context.make_array(signature.args[place])(context, builder, values[place]) for place in (0, 1, 4, 5)
        }

        def look(array: int, place: Any, count: int) -> None:
            if CHECKED:
                check_inside(context, builder, arrays[array], place, count)

        index, word = ir.IntType(64), ir.IntType(32)
        wide, narrow = ir.VectorType(word, STRIP), ir.VectorType(ir.IntType(16), STRIP)
        for total in (4, 5):
            look(total, ir.Constant(index, 0), STRIP)
        first, numbers = arrays[0].data, arrays[1].data
        before = builder.basic_block
        test, body, after = (builder.append_basic_block(name) for name in ("test", "body", "after"))
        builder.branch(test)
        builder.position_at_end(test)
        at = builder.phi(index)
        mean, variance = builder.phi(wide), builder.phi(wide)
        builder.cbranch(builder.icmp_signed("<", at, values[3]), body, after)
        builder.position_at_end(body)
        look(1, at, 1)
        record = builder.mul(builder.load(builder.gep(numbers, [at], inbounds=True)), ir.Constant(index, RECORD))
        look(0, record, RECORD)
        record = builder.gep(first, [record], inbounds=True)
        more_mean = builder.load(builder.bitcast(record, wide.as_pointer()), align=4)
        second = builder.gep(record, [ir.Constant(index, STRIP)], inbounds=True)
        more_variance = builder.zext(builder.load(builder.bitcast(second, narrow.as_pointer()), align=4), wide)
        next_mean, next_variance = builder.add(mean, more_mean), builder.add(variance, more_variance)
        following, body = builder.add(at, ir.Constant(index, 1)), builder.basic_block
        builder.branch(test)
        nothing = ir.Constant(wide, [0] * STRIP)
        for phi, start, following_value in (
            (at, values[2], following),
            (mean, nothing, next_mean),
            (variance, nothing, next_variance),
        ):
            phi.add_incoming(start, before)
            phi.add_incoming(following_value, body)
        builder.position_at_end(after)
        for total, place in ((mean, 4), (variance, 5)):
            builder.store(total, builder.bitcast(arrays[place].data, wide.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(records, rows, types.int64, types.int64, means, variances), code

"""A sum of many stretches of memory, each times a number, that stays in vector registers until it is complete.

Written in LLVM's own terms, because a loop over an array ends every pass by storing the sum and begins the next by
loading it, which is as much traffic as the stretches themselves.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from snnsim.numerics.compilation import CHECKED
from snnsim.numerics.pointer_checks import check_inside

#: Bytes of a vector register, and registers that hold the sum: sixteen are there, some for the factor and a stretch.
REGISTER, REGISTERS = 32, 8
#: Bytes of a stretch.
STRETCH = REGISTER * REGISTERS


def _added(
    typing_context: Any, total: Any, at: Any, rows: Any, base: Any, places: Any, values: Any, start: Any, stop: Any
) -> Any:
    del typing_context

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def array(which: int) -> Any:
            return context.make_array(signature.args[which])(context, builder, arguments[which])

        arrays = array(0), array(2), array(4), array(5)
        sums, stretches, begins, factors = (one.data for one in arrays)
        first, base, low, high = arguments[1], arguments[3], arguments[6], arguments[7]
        number = context.get_value_type(rows.dtype)
        size = rows.dtype.bitwidth // 8
        lanes = REGISTER // size
        vector, index = ir.VectorType(number, lanes), ir.IntType(64)

        def registers(where: Any) -> list[Any]:
            parts = [builder.gep(where, [ir.Constant(index, lanes * r)], inbounds=True) for r in range(REGISTERS)]
            return [builder.bitcast(part, vector.as_pointer()) for part in parts]

        def look(which: int, place: Any, count: int) -> None:
            if CHECKED:
                check_inside(context, builder, arrays[which], place, count)

        look(0, first, lanes * REGISTERS)
        own = registers(builder.gep(sums, [first], inbounds=True))
        loaded = [builder.load(part, align=size) for part in own]
        before = builder.block
        head, body, end = (builder.append_basic_block(name) for name in ("stretches", "stretch", "stretches.end"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(index)
        k.add_incoming(low, before)
        held = [builder.phi(vector) for _ in range(REGISTERS)]
        for phi, value in zip(held, loaded, strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", k, high), body, end)
        builder.position_at_end(body)
        look(2, k, 1)
        look(3, k, 1)
        place = builder.add(builder.sext(builder.load(builder.gep(begins, [k], inbounds=True)), index), base)
        look(1, place, lanes * REGISTERS)
        stretch = registers(builder.gep(stretches, [place], inbounds=True))
        factor = builder.load(builder.gep(factors, [k], inbounds=True))
        undefined = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(undefined, factor, ir.Constant(ir.IntType(32), 0))
        all_lanes = builder.shuffle_vector(
            one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        )
        for phi, part in zip(held, stretch, strict=True):
            # "contract": a product and a sum may become one instruction, with one rounding.
            term = builder.fmul(builder.load(part, align=size), all_lanes, flags=["contract"])
            phi.add_incoming(builder.fadd(phi, term, flags=["contract"]), builder.block)
        k.add_incoming(builder.add(k, ir.Constant(index, 1)), builder.block)
        builder.branch(head)
        builder.position_at_end(end)
        for phi, part in zip(held, own, strict=True):
            builder.store(phi, part, align=size)
        return context.get_dummy_value()

    number = types.intp
    return types.void(total, number, rows, number, places, values, number, number), code


#: ``add_stretches(total, at, rows, base, places, values, start, stop)`` adds ``values[k] * rows[places[k] + base :]``
#: to ``total[at:]`` for ``k = start ... stop - 1``, in this order. Each is `STRETCH` bytes long; an index is only
#: checked in the checked build.
add_stretches: Any = intrinsic(_added)


def _turned(adding: bool) -> Any:
    def turn(
        typing_context: Any, source: Any, at: Any, step: Any, target: Any, place: Any, stride: Any, factor: Any
    ) -> Any:
        del typing_context

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def array(which: int) -> Any:
                return context.make_array(signature.args[which])(context, builder, arguments[which])

            number, held = context.get_value_type(target.dtype), context.get_value_type(source.dtype)
            size, taken = target.dtype.bitwidth // 8, source.dtype.bitwidth // 8
            lanes = REGISTER // size
            index, short = ir.IntType(64), ir.IntType(32)
            vector, raw = ir.VectorType(number, lanes), ir.VectorType(held, lanes)

            def lines(memory: Any, first: Any, apart: Any, kind: Any) -> list[Any]:
                places = [builder.add(first, builder.mul(apart, ir.Constant(index, r))) for r in range(lanes)]
                for one in places if CHECKED else ():
                    check_inside(context, builder, memory, one, lanes)
                return [builder.bitcast(builder.gep(memory.data, [one]), kind.as_pointer()) for one in places]

            values = [builder.load(one, align=taken) for one in lines(array(0), arguments[1], arguments[2], raw)]
            if isinstance(source.dtype, types.Integer):
                values = [builder.uitofp(value, vector) for value in values]
            half = lanes // 2
            low = [lane // 2 + lanes * (lane % 2) for lane in range(lanes)]
            # Element (row, column) has the number `row * lanes + column`; dealing two rows out in turn moves the
            # highest bit of the number to the end, so doing that for each bit of the row exchanges row and column.
            for _ in range(half.bit_length()):
                dealt = []
                for one, other in zip(values[:half], values[half:], strict=True):
                    for start in (0, half):
                        mask = ir.Constant(ir.VectorType(short, lanes), [start + lane for lane in low])
                        dealt.append(builder.shuffle_vector(one, other, mask))
                values = dealt
            nothing = ir.Constant(vector, ir.Undefined)
            one = builder.insert_element(nothing, arguments[6], ir.Constant(short, 0))
            factors = builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(short, lanes), [0] * lanes))
            for value, to in zip(values, lines(array(3), arguments[4], arguments[5], vector), strict=True):
                scaled = builder.fmul(value, factors)
                if adding:
                    scaled = builder.fadd(builder.load(to, align=size), scaled)
                builder.store(scaled, to, align=size)
            return context.get_dummy_value()

        number = types.intp
        return types.void(source, number, number, target, number, number, target.dtype), code

    return turn


#: ``write_turned(source, at, step, target, place, stride, factor)`` writes the transpose of a square of `source`, whose
#: rows begin at ``at``, ``at + step`` and so on and have as many numbers as a register, times `factor`, into `target`.
write_turned: Any = intrinsic(_turned(adding=False))
#: As `write_turned`, but adds.
add_turned: Any = intrinsic(_turned(adding=True))

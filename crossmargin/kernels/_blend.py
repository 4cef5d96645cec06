"""Cubics out of a table for four scenarios at once, in vectors asked for by name.

Use `blend(table, rows, f, out, s)` inside kernels. It gives the same bits whichever scenarios stand beside one
another. Interpreted (`NUMBA_DISABLE_JIT=1`) its multiplications and additions round apart.
"""

from __future__ import annotations

from typing import Any

import numba
from numba import extending, types
from numba.core import cgutils

from crossmargin.kernels._fma import fma

tools: Any = cgutils  # numba's own way to write machine code, without types
ir = tools.ir


def blend(table: Any, rows: Any, f: Any, out: Any, s: int) -> None:  # noqa: PLR0917 - compiled code
    """Set out[:, s : s + 4] to cubics in f[s : s + 4] whose coefficients, four by four, stand in table[rows[s ..]].

    `table` [n, 16] holds four numbers for each power, lowest first; the four are the rows of `out`. Each four are one
    vector, asked for by name: left alone, the compiler gathers all sixteen numbers one by one, which takes thrice as
    long. Indices are not checked, whatever the build: `rows` must hold good ones up to the next multiple of four.
    """
    for at in range(s, s + 4):
        for lane in range(4):
            row = table[rows[at]]
            third = fma(f[at], row[12 + lane], row[8 + lane])
            out[lane, at] = fma(f[at], fma(f[at], third, row[4 + lane]), row[lane])


@extending.type_callable(blend)
def _type_of_blend(_: Any) -> Any:
    d = numba.float64
    given = (d[:, ::1], numba.int32[::1], d[::1], d[:, ::1])
    return lambda table, rows, f, out, s: numba.void if (table, rows, f, out, s) == (*given, s) else None


@extending.lower_builtin(blend, *[types.Array] * 4, types.Integer)  # type: ignore[no-untyped-call]
def _code_of_blend(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    long, four = ir.IntType(64), ir.VectorType(ir.DoubleType(), 4)
    table, rows, f, out = (
        context.make_array(kind)(context, builder, array)
        for kind, array in zip(signature.args[:4], arguments[:4], strict=True)
    )
    s = context.cast(builder, arguments[4], signature.args[4], types.int64)
    fused = tools.get_or_insert_function(builder.module, ir.FunctionType(four, [four] * 3), "llvm.fma.v4f64")

    def shuffled(left: Any, right: Any, *lanes: int) -> Any:
        return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), 4), lanes))

    mixed = []
    for n in range(4):
        at = builder.add(s, ir.Constant(long, n))
        row = builder.sext(builder.load(builder.gep(rows.data, [at])), long)
        start = builder.gep(table.data, [builder.mul(row, ir.Constant(long, 16))])
        start = builder.bitcast(start, four.as_pointer())
        *lower, value = (builder.load(builder.gep(start, [ir.Constant(long, power)]), align=8) for power in range(4))
        lone = builder.load(builder.gep(f.data, [at]))
        lone = builder.insert_element(ir.Constant(four, ir.Undefined), lone, ir.Constant(ir.IntType(32), 0))
        spread = shuffled(lone, lone, 0, 0, 0, 0)
        for coefficient in reversed(lower):
            value = builder.call(fused, [spread, value, coefficient])
        mixed.append(value)
    a, b, c, d = mixed  # by scenario; turned, by lane
    low, high = (
        (shuffled(a, b, 0, 4, 2, 6), shuffled(a, b, 1, 5, 3, 7)),
        (shuffled(c, d, 0, 4, 2, 6), shuffled(c, d, 1, 5, 3, 7)),
    )
    width = tools.unpack_tuple(builder, out.shape)[1]
    for lane in range(4):
        turned = shuffled(low[lane % 2], high[lane % 2], *((0, 1, 4, 5) if lane < 2 else (2, 3, 6, 7)))
        to = builder.gep(out.data, [builder.add(builder.mul(width, ir.Constant(long, lane)), s)])
        builder.store(turned, builder.bitcast(to, four.as_pointer()), align=8)
    return context.get_dummy_value()

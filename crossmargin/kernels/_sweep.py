"""Four steps back through eight lattices at once, in vectors asked for by name.

Use `sweep(values, paid, odds, back, count)` inside kernels. A vector is one node of eight options, so that nothing is
loaded across cache lines, and what the four steps hand on stays in registers: a pass over the nodes loads each value
once and stores it once. Multiplications and additions round apart, as in the lattice of a single option.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import extending, types
from numba.core import cgutils

tools: Any = cgutils  # numba's own way to write machine code, without types
ir = tools.ir

OPTIONS = 8  # side by side
STEPS = 4  # in one pass
ROOM = 4  # rows before the first node, and before the first price, which a pass may touch


def sweep(values: Any, paid: Any, odds: Any, back: int, count: int) -> None:  # noqa: PLR0917 - compiled code
    """Take nodes 0 .. count of `values` from `back` steps before expiry to `STEPS` more.

    `values` [ROOM + n_nodes, 8] hold count + STEPS nodes or more; `paid` [ROOM + n, 8] is what exercise pays at price k
    (of node n: k = 2 n + steps back); `odds` [2, 8] are the discounted probabilities of the successor of the
    same number and of the next. Nodes beyond are left alone, rows of `values` before ROOM are not.
    """
    for step in range(1, STEPS + 1):
        for node in range(count + STEPS - step):
            held = odds[0] * values[ROOM + node] + odds[1] * values[ROOM + node + 1]
            kept = values[ROOM + node].copy()
            values[ROOM + node] = np.maximum(paid[ROOM + 2 * node + back + step], held)
            if step == STEPS and node >= count:
                values[ROOM + node] = kept


@extending.type_callable(sweep)
def _type_of_sweep(_: Any) -> Any:
    rows = numba.float64[:, ::1]
    return lambda values, paid, odds, back, count: (
        numba.void if (values, paid, odds) == (rows,) * 3 and (back, count) == (numba.int64,) * 2 else None
    )


@extending.lower_builtin(sweep, *[types.Array] * 3, types.Integer, types.Integer)  # type: ignore[no-untyped-call]
def _code_of_sweep(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    long, eight = ir.IntType(64), ir.VectorType(ir.DoubleType(), OPTIONS)
    *arrays, back, count = arguments
    values, paid, odds = (
        builder.bitcast(context.make_array(kind)(context, builder, array).data, eight.as_pointer())
        for kind, array in zip(signature.args[:3], arrays, strict=True)
    )

    def load(rows: Any, at: Any) -> Any:
        return builder.load(builder.gep(rows, [at]), align=8)

    def number(n: int) -> Any:
        return ir.Constant(long, n)

    near, far = load(odds, number(0)), load(odds, number(1))
    # handed on from node to node: the value, what the first three steps made of it, the two payments before
    carried = [tools.alloca_once_value(builder, ir.Constant(eight, [0.0] * OPTIONS)) for _ in range(STEPS + 2)]
    for place in carried:
        builder.store(ir.Constant(eight, [0.0] * OPTIONS), place)
    builder.store(load(values, number(ROOM)), carried[0])
    with tools.for_range(builder, builder.add(count, number(STEPS - 1))) as loop:
        *before, first, second = (builder.load(place) for place in carried)
        price = builder.add(builder.add(loop.index, loop.index), back)
        now = load(values, builder.add(loop.index, number(ROOM + 1)))
        later, odd, even = [now], *(load(paid, builder.add(price, number(ROOM + n))) for n in (1, 0))
        for held_before, pays in zip(before, (odd, even, first, second), strict=True):
            held = builder.fadd(builder.fmul(near, held_before), builder.fmul(far, later[-1]))
            later.append(builder.select(builder.fcmp_ordered(">", held, pays), held, pays))
        done = builder.gep(values, [builder.add(loop.index, number(ROOM + 1 - STEPS))])
        builder.store(later.pop(), done, align=8)
        for place, value in zip(carried, (*later, odd, even), strict=True):
            builder.store(value, place)
    return context.get_dummy_value()

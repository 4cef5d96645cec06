"""Two loops in vectors asked for by name: rows added into one account, and values below a bound gathered.

Use `add_rows` and `gather_below` inside kernels. The compiler would keep the sums of an account in memory and load and
store them for every position; here they stay in registers. Additions are fused multiply-adds in double precision, in
the order of the positions, whatever the width of the processor's vectors: the same bits everywhere.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import extending, types
from numba.core import cgutils
from numba.core.registry import cpu_target

tools: Any = cgutils  # numba's own way to write machine code, without types
ir = tools.ir

CHUNK = 256  # bytes of a row that are added at a time: 64 scenarios in single precision, 32 in double
VECTOR = 64  # bytes compared at a time
EIGHT = 8  # sums in a register
AHEAD = 12  # positions between what is added and what is fetched from memory


def add_rows(  # noqa: PLR0917
    rows: Any, base: int, row_ids: Any, quantities: Any, first: int, last: int, sums: Any, at: int
) -> None:
    """Set sums[at + s] to the sum over positions first .. last of quantity * rows[base + row_id, s], s over a chunk.

    `rows` [n_rows, CHUNK bytes]; `row_ids` int32 has AHEAD more entries than there are positions.
    """
    width = rows.shape[1]
    sums[at : at + width] = 0.0
    for position in range(first, last):
        sums[at : at + width] += quantities[position] * rows[base + row_ids[position]]


def gather_below(values: Any, start: int, count: int, bound: float, kept: Any, held: int) -> int:  # noqa: PLR0917
    """Append to `kept`, from `held` on, what of `count` values from `start` is at most `bound`; return the next place.

    `count` is a multiple of VECTOR bytes. `kept` has VECTOR bytes to spare behind what it may come to hold.
    """
    for place in range(start, start + count):
        if values[place] <= bound:
            kept[held] = values[place]
            held += 1
    return held


def group_minima(values: Any, count: int, minima: Any) -> None:
    """Set `minima` [8 VECTOR bytes] to the smallest of every so-manieth of values[:count], a multiple of its length."""
    width = len(minima)
    minima[:] = values[:width]
    for start in range(width, count, width):
        np.minimum(minima, values[start : start + width], out=minima)


def count_below(values: Any, count: int, bound: float) -> int:
    """Return how many of values[:count], a multiple of VECTOR bytes, are less than `bound`."""
    return int((values[:count] < bound).sum())


def bound_by_rank(values: Any, count: int, k: int) -> Any:
    """Return the k-th smallest of values[:count], a multiple of 2 VECTOR bytes."""
    return np.sort(values[:count])[k - 1]


def _has_compress() -> bool:
    """Whether the processor packs the chosen numbers of a vector in one instruction."""
    magic: Any = cpu_target.target_context.codegen().magic_tuple()
    return "+avx512f" in str(magic[2])


def _pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _vector_of(number: Any) -> tuple[Any, int]:
    """Return the vector of one data type and how many numbers it has."""
    lanes = VECTOR // (4 if number == numba.float32 else 8)
    return ir.VectorType(ir.FloatType() if number == numba.float32 else ir.DoubleType(), lanes), lanes


def _spread(builder: Any, value: Any, vector: Any, lanes: int) -> Any:
    """Return a vector of one number."""
    index, undefined = ir.IntType(32), ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(index, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, lanes), [0] * lanes))


def _called(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(tools.get_or_insert_function(builder.module, kind, name), arguments)


@extending.type_callable(add_rows)
def _type_of_add_rows(_: Any) -> Any:
    def typed(  # noqa: PLR0917
        rows: Any, base: Any, row_ids: Any, quantities: Any, first: Any, last: Any, sums: Any, at: Any
    ) -> Any:
        known = rows in {numba.float64[:, ::1], numba.float32[:, ::1]} and row_ids == numba.int32[::1]
        good = known and quantities == sums == numba.float64[::1] and base == first == last == at == numba.int64
        return numba.void if good else None

    return typed


@extending.lower_builtin(  # type: ignore[no-untyped-call]
    add_rows, types.Array, types.Integer, *[types.Array] * 2, *[types.Integer] * 2, types.Array, types.Integer
)
def _code_of_add_rows(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    _, base_row, _, _, first, last, _, at = arguments
    single = signature.args[0].dtype == numba.float32
    width = CHUNK // (4 if single else 8)
    long, double = ir.IntType(64), ir.VectorType(ir.DoubleType(), EIGHT)
    stored = ir.VectorType(ir.FloatType() if single else ir.DoubleType(), EIGHT)
    base, ids, held, out = (_pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 2, 3, 6))
    base = builder.gep(base, [builder.mul(base_row, ir.Constant(long, width))])
    out = builder.gep(out, [at])
    zero = ir.Constant(double, [0.0] * EIGHT)
    totals = [tools.alloca_once_value(builder, zero) for _ in range(width // EIGHT)]
    for each in totals:
        builder.store(zero, each)

    def row_of(position: Any) -> Any:
        row = builder.sext(builder.load(builder.gep(ids, [position])), long)
        return builder.gep(base, [builder.mul(row, ir.Constant(long, width))])

    with tools.for_range_slice(builder, first, last, ir.Constant(long, 1), long) as (position, _):
        later = builder.bitcast(row_of(builder.add(position, ir.Constant(long, AHEAD))), ir.IntType(8).as_pointer())
        for line in range(0, CHUNK, 64):
            where = builder.gep(later, [ir.Constant(long, line)])
            flags = [ir.Constant(ir.IntType(32), n) for n in (0, 3, 1)]
            _called(builder, "llvm.prefetch.p0", ir.VoidType(), [where, *flags])
        quantity = builder.load(builder.gep(held, [position]))
        spread = _spread(builder, quantity, double, EIGHT)
        row = builder.bitcast(row_of(position), stored.as_pointer())
        for n, each in enumerate(totals):
            value = builder.load(builder.gep(row, [ir.Constant(long, n)]), align=4)
            value = builder.fpext(value, double) if single else value
            builder.store(_called(builder, "llvm.fma.v8f64", double, [spread, value, builder.load(each)]), each)
    place = builder.bitcast(out, double.as_pointer())
    for n, each in enumerate(totals):
        builder.store(builder.load(each), builder.gep(place, [ir.Constant(long, n)]), align=8)
    return context.get_dummy_value()


@extending.type_callable(gather_below)
def _type_of_gather_below(_: Any) -> Any:
    def typed(values: Any, start: Any, count: Any, bound: Any, kept: Any, held: Any) -> Any:  # noqa: PLR0917
        known = values == kept and values in {numba.float64[::1], numba.float32[::1]} and bound == values.dtype
        return numba.int64 if known and start == count == held == numba.int64 else None

    return typed


@extending.lower_builtin(  # type: ignore[no-untyped-call]
    gather_below, types.Array, *[types.Integer] * 2, types.Float, types.Array, types.Integer
)
def _code_of_gather_below(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    _, start, count, bound, _, held = arguments
    vector, lanes = _vector_of(signature.args[0].dtype)
    long, index, bits = ir.IntType(64), ir.IntType(32), ir.IntType(lanes)
    from_, to = (_pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 4))
    from_ = builder.gep(from_, [start])
    limits = _spread(builder, bound, vector, lanes)
    now = tools.alloca_once_value(builder, held)
    builder.store(held, now)
    packs = _has_compress()
    with tools.for_range_slice(builder, ir.Constant(long, 0), count, ir.Constant(long, lanes), long) as (at, _):
        pack = builder.load(builder.bitcast(builder.gep(from_, [at]), vector.as_pointer()), align=4)
        mask = builder.fcmp_ordered("<=", pack, limits)
        chosen = builder.bitcast(mask, bits)
        if packs:
            name = f"llvm.x86.avx512.mask.compress.v{lanes}f{512 // lanes}"
            packed = _called(builder, name, vector, [pack, pack, mask])
            place = builder.load(now)
            builder.store(packed, builder.bitcast(builder.gep(to, [place]), vector.as_pointer()), align=4)
            many = builder.zext(_called(builder, f"llvm.ctpop.i{lanes}", bits, [chosen]), long)
            builder.store(builder.add(place, many), now)
        else:
            with builder.if_then(builder.icmp_unsigned("!=", chosen, ir.Constant(bits, 0)), likely=False):
                for lane in range(lanes):
                    place = builder.load(now)
                    which = ir.Constant(index, lane)
                    builder.store(builder.extract_element(pack, which), builder.gep(to, [place]))
                    one = builder.zext(builder.extract_element(mask, which), long)
                    builder.store(builder.add(place, one), now)
    return builder.load(now)


@extending.type_callable(group_minima)
def _type_of_group_minima(_: Any) -> Any:
    def typed(values: Any, count: Any, minima: Any) -> Any:
        known = values == minima and values in {numba.float64[::1], numba.float32[::1]}
        return numba.void if known and count == numba.int64 else None

    return typed


@extending.lower_builtin(group_minima, types.Array, types.Integer, types.Array)  # type: ignore[no-untyped-call]
def _code_of_group_minima(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    count = arguments[1]
    vector, lanes = _vector_of(signature.args[0].dtype)
    long = ir.IntType(64)
    from_, to = (
        builder.bitcast(_pointer(context, builder, signature.args[n], arguments[n]), vector.as_pointer())
        for n in (0, 2)
    )

    def load(at: Any, n: int) -> Any:
        return builder.load(builder.gep(from_, [builder.add(at, ir.Constant(long, n))]), align=4)

    least = [tools.alloca_once_value(builder, load(ir.Constant(long, 0), n)) for n in range(EIGHT)]
    for n, each in enumerate(least):
        builder.store(load(ir.Constant(long, 0), n), each)
    vectors = builder.udiv(count, ir.Constant(long, lanes))
    eight = ir.Constant(long, EIGHT)
    with tools.for_range_slice(builder, eight, vectors, eight, long) as (at, _):
        for n, each in enumerate(least):
            value, before = load(at, n), builder.load(each)
            builder.store(builder.select(builder.fcmp_ordered("<", value, before), value, before), each)
    for n, each in enumerate(least):
        builder.store(builder.load(each), builder.gep(to, [ir.Constant(long, n)]), align=4)
    return context.get_dummy_value()


@extending.type_callable(count_below)
def _type_of_count_below(_: Any) -> Any:
    def typed(values: Any, count: Any, bound: Any) -> Any:
        known = values in {numba.float64[::1], numba.float32[::1]} and bound == values.dtype
        return numba.int64 if known and count == numba.int64 else None

    return typed


@extending.lower_builtin(count_below, types.Array, types.Integer, types.Float)  # type: ignore[no-untyped-call]
def _code_of_count_below(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    values, count, bound = arguments
    vector, lanes = _vector_of(signature.args[0].dtype)
    long, bits = ir.IntType(64), ir.IntType(lanes)
    from_ = _pointer(context, builder, signature.args[0], values)
    limits = _spread(builder, bound, vector, lanes)
    found = tools.alloca_once_value(builder, ir.Constant(long, 0))
    builder.store(ir.Constant(long, 0), found)
    with tools.for_range_slice(builder, ir.Constant(long, 0), count, ir.Constant(long, lanes), long) as (at, _):
        pack = builder.load(builder.bitcast(builder.gep(from_, [at]), vector.as_pointer()), align=4)
        mask = builder.bitcast(builder.fcmp_ordered("<", pack, limits), bits)
        many = builder.zext(_called(builder, f"llvm.ctpop.i{lanes}", bits, [mask]), long)
        builder.store(builder.add(builder.load(found), many), found)
    return builder.load(found)


@extending.type_callable(bound_by_rank)
def _type_of_bound_by_rank(_: Any) -> Any:
    def typed(values: Any, count: Any, k: Any) -> Any:
        known = values in {numba.float64[::1], numba.float32[::1]} and count == k == numba.int64
        return values.dtype if known else None

    return typed


@extending.lower_builtin(bound_by_rank, types.Array, types.Integer, types.Integer)  # type: ignore[no-untyped-call]
def _code_of_bound_by_rank(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Count in each lane what is smaller than its number; the largest with fewer than k is the k-th smallest."""
    values, count, k = arguments
    vector, lanes = _vector_of(signature.args[0].dtype)
    long, whole = ir.IntType(64), ir.VectorType(ir.IntType(512 // lanes), lanes)
    from_ = _pointer(context, builder, signature.args[0], values)
    limits = _spread(builder, builder.trunc(k, whole.element) if lanes == 16 else k, whole, lanes)
    least, nothing = ir.Constant(vector, [float("-inf")] * lanes), ir.Constant(whole, [0] * lanes)
    best = tools.alloca_once_value(builder, least)
    builder.store(least, best)
    ranks = [tools.alloca_once_value(builder, nothing) for _ in range(2)]
    zero, eight = ir.Constant(long, 0), ir.Constant(long, EIGHT)
    with tools.for_range_slice(builder, zero, count, ir.Constant(long, 2 * lanes), long) as (at, _):
        places = [builder.add(at, ir.Constant(long, n * lanes)) for n in range(2)]
        mine = [
            builder.load(builder.bitcast(builder.gep(from_, [place]), vector.as_pointer()), align=4) for place in places
        ]
        for each in ranks:
            builder.store(nothing, each)
        with tools.for_range_slice(builder, zero, count, eight, long) as (other, _):
            for n in range(EIGHT):
                place = builder.add(other, ir.Constant(long, n))
                value = _spread(builder, builder.load(builder.gep(from_, [place])), vector, lanes)
                for each, rank in zip(mine, ranks, strict=True):
                    smaller = builder.sext(builder.fcmp_ordered("<", value, each), whole)
                    builder.store(builder.sub(builder.load(rank), smaller), rank)
        for each, rank in zip(mine, ranks, strict=True):
            found = builder.icmp_signed("<", builder.load(rank), limits)
            within = builder.select(found, each, least)
            before = builder.load(best)
            builder.store(builder.select(builder.fcmp_ordered(">", within, before), within, before), best)
    name = f"llvm.vector.reduce.fmax.v{lanes}f{512 // lanes}"
    return _called(builder, name, vector.element, [builder.load(best)])

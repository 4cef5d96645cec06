"""Loops in vectors asked for by name: rows added into one account, its silos pooled, the least of many numbers.

Use `add_rows`, `pool_below`, `gather_below`, `group_minima` and `sort_least` inside kernels. The compiler would keep
the sums of an account in memory and load and store them for every position; here they stay in registers. Additions are
fused multiply-adds in double precision, in the order of the positions, whatever the width of the processor's vectors:
the same bits everywhere.
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
SHORT, SHORTER = 64, 32  # what is sorted in registers, and how many of its smallest are wanted
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

    NaN is not appended. `kept` has VECTOR bytes to spare behind what it may come to hold.
    """
    for place in range(start, start + count):
        if values[place] <= bound:
            kept[held] = values[place]
            held += 1
    return held


def pool_below(  # noqa: PLR0917
    sums: Any, silos: Any, first: int, last: int, valid: int, bound: float, kept: Any, held: int
) -> int:
    """Append to `kept`, from `held` on, what is at most `bound` of the sum of a few silos; return the next place.

    Silo silos[n], first <= n < last, begins at sums[silos[n] * width], `width` being CHUNK bytes of numbers like those
    of `kept`; the first `valid` numbers count. The sum is made in double precision and rounded once. NaN is not
    appended. `kept` has CHUNK bytes to spare behind what it may come to hold.
    """
    width = CHUNK // kept.itemsize
    pooled = np.zeros(width)
    for silo in silos[first:last]:
        pooled += sums[silo * width : (silo + 1) * width]
    return gather_below(pooled.astype(kept.dtype), 0, valid, bound, kept, held)


def group_minima(values: Any, count: int, minima: Any, width: int) -> None:
    """Set minima[:width] to the smallest of each group of values[:count], every `width`-th; infinity where it is empty.

    `width` is 2, 4 or 8 VECTORs of numbers.
    """
    minima[:width] = np.inf
    for start in range(0, count, width):
        part = values[start : min(start + width, count)]
        minima[: len(part)] = np.minimum(minima[: len(part)], part)


def sort_least(values: Any, count: int) -> None:
    """Set values[:SHORTER] to the smallest of values[:count], up to SHORT, in order; infinity where there are fewer."""
    found = np.sort(values[:count])[:SHORTER]
    values[:SHORTER] = np.inf
    values[: len(found)] = found


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
    long = ir.IntType(64)
    from_, to = (_pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 4))
    from_ = builder.gep(from_, [start])
    limits = _spread(builder, bound, vector, lanes)
    now = tools.alloca_once_value(builder, held)
    builder.store(held, now)
    rest = builder.urem(count, ir.Constant(long, lanes))
    whole = builder.sub(count, rest)

    def pack_at(at: Any) -> Any:
        return builder.load(builder.bitcast(builder.gep(from_, [at]), vector.as_pointer()), align=4)

    with tools.for_range_slice(builder, ir.Constant(long, 0), whole, ir.Constant(long, lanes), long) as (at, _):
        pack = pack_at(at)
        _append(builder, pack, builder.fcmp_ordered("<=", pack, limits), to=to, now=now)
    few = _spread(builder, builder.trunc(rest, ir.IntType(32)), ir.VectorType(ir.IntType(32), lanes), lanes)
    pack = _first_of(
        builder, builder.gep(from_, [whole]), few, number=0, nothing=ir.Constant(vector, [float("nan")] * lanes)
    )
    _append(builder, pack, builder.fcmp_ordered("<=", pack, limits), to=to, now=now)
    return builder.load(now)


def _append(builder: Any, pack: Any, mask: Any, *, to: Any, now: Any) -> None:
    """Store what `mask` chooses of a vector at to[now] and move `now` on."""
    lanes, long, index = pack.type.count, ir.IntType(64), ir.IntType(32)
    bits = ir.IntType(lanes)
    chosen = builder.bitcast(mask, bits)
    if _has_compress():
        name = f"llvm.x86.avx512.mask.compress.v{lanes}f{512 // lanes}"
        packed = _called(builder, name, pack.type, [pack, pack, mask])
        place = builder.load(now)
        builder.store(packed, builder.bitcast(builder.gep(to, [place]), pack.type.as_pointer()), align=4)
        many = builder.zext(_called(builder, f"llvm.ctpop.i{lanes}", bits, [chosen]), long)
        builder.store(builder.add(place, many), now)
        return
    with builder.if_then(builder.icmp_unsigned("!=", chosen, ir.Constant(bits, 0)), likely=False):
        for lane in range(lanes):
            place = builder.load(now)
            which = ir.Constant(index, lane)
            builder.store(builder.extract_element(pack, which), builder.gep(to, [place]))
            one = builder.zext(builder.extract_element(mask, which), long)
            builder.store(builder.add(place, one), now)


@extending.type_callable(pool_below)
def _type_of_pool_below(_: Any) -> Any:
    def typed(  # noqa: PLR0917
        sums: Any, silos: Any, first: Any, last: Any, valid: Any, bound: Any, kept: Any, held: Any
    ) -> Any:
        known = kept in {numba.float64[::1], numba.float32[::1]} and bound == kept.dtype
        good = known and sums == numba.float64[::1] and silos == numba.int64[::1]
        return numba.int64 if good and first == last == valid == held == numba.int64 else None

    return typed


@extending.lower_builtin(  # type: ignore[no-untyped-call]
    pool_below, *[types.Array] * 2, *[types.Integer] * 3, types.Float, types.Array, types.Integer
)
def _code_of_pool_below(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    _, _, first, last, valid, bound, _, held = arguments
    vector, lanes = _vector_of(signature.args[6].dtype)
    width = CHUNK // (VECTOR // lanes)
    long, double = ir.IntType(64), ir.VectorType(ir.DoubleType(), EIGHT)
    sums, silos, to = (_pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 1, 6))
    zero = ir.Constant(double, [0.0] * EIGHT)
    totals = [tools.alloca_once_value(builder, zero) for _ in range(width // EIGHT)]
    for each in totals:
        builder.store(zero, each)
    with tools.for_range_slice(builder, first, last, ir.Constant(long, 1), long) as (n, _):
        begin = builder.mul(builder.load(builder.gep(silos, [n])), ir.Constant(long, width))
        silo = builder.bitcast(builder.gep(sums, [begin]), double.as_pointer())
        for place, each in enumerate(totals):
            value = builder.load(builder.gep(silo, [ir.Constant(long, place)]), align=8)
            builder.store(builder.fadd(builder.load(each), value), each)
    limits = _spread(builder, bound, vector, lanes)
    now = tools.alloca_once_value(builder, held)
    builder.store(held, now)
    packs = [builder.load(each) for each in totals]
    if lanes > EIGHT:
        halves = [builder.fptrunc(each, ir.VectorType(ir.FloatType(), EIGHT)) for each in packs]
        both = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
        packs = [builder.shuffle_vector(*pair, both) for pair in zip(halves[::2], halves[1::2], strict=True)]
    few = _spread(builder, builder.trunc(valid, ir.IntType(32)), ir.VectorType(ir.IntType(32), lanes), lanes)
    for n, pack in enumerate(packs):
        mask = builder.and_(_is_among(builder, few, n), builder.fcmp_ordered("<=", pack, limits))
        _append(builder, pack, mask, to=to, now=now)
    return builder.load(now)


@extending.type_callable(group_minima)
def _type_of_group_minima(_: Any) -> Any:
    def typed(values: Any, count: Any, minima: Any, width: Any) -> Any:
        known = values == minima and values in {numba.float64[::1], numba.float32[::1]}
        return numba.void if known and count == width == numba.int64 else None

    return typed


@extending.lower_builtin(  # type: ignore[no-untyped-call]
    group_minima, types.Array, types.Integer, types.Array, types.Integer
)
def _code_of_group_minima(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    _, count, _, width = arguments
    vector, lanes = _vector_of(signature.args[0].dtype)
    long = ir.IntType(64)
    from_, to = (_pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 2))
    nothing = ir.Constant(vector, [float("inf")] * lanes)
    least = [tools.alloca_once_value(builder, nothing) for _ in range(EIGHT)]
    for each in least:
        builder.store(nothing, each)
    step = ir.Constant(long, EIGHT * lanes)
    rest = builder.urem(count, step)
    whole = builder.sub(count, rest)
    with tools.for_range_slice(builder, ir.Constant(long, 0), whole, step, long) as (at, _):
        for n, each in enumerate(least):
            place = builder.gep(from_, [builder.add(at, ir.Constant(long, n * lanes))])
            value = builder.load(builder.bitcast(place, vector.as_pointer()), align=4)
            builder.store(_least_and_most(builder, value, builder.load(each))[0], each)
    few = _spread(builder, builder.trunc(rest, ir.IntType(32)), ir.VectorType(ir.IntType(32), lanes), lanes)
    for n, each in enumerate(least):
        place = builder.gep(from_, [builder.add(whole, ir.Constant(long, n * lanes))])
        value = _first_of(builder, place, few, number=n, nothing=nothing)
        builder.store(_least_and_most(builder, value, builder.load(each))[0], each)
    packs = [builder.load(each) for each in least]
    while len(packs) > 1:
        with builder.if_then(builder.icmp_signed("==", width, ir.Constant(long, len(packs) * lanes))):
            for n, pack in enumerate(packs):
                place = builder.gep(to, [ir.Constant(long, n * lanes)])
                builder.store(pack, builder.bitcast(place, vector.as_pointer()), align=4)
        half = len(packs) // 2
        packs = [_least_and_most(builder, *pair)[0] for pair in zip(packs[:half], packs[half:], strict=True)]
    return context.get_dummy_value()


def _is_among(builder: Any, few: Any, number: int) -> Any:
    """Return which lanes of the vector of this number are among the first `few`."""
    lanes = few.type.count
    places = ir.Constant(few.type, [number * lanes + lane for lane in range(lanes)])
    return builder.icmp_signed("<", places, few)


def _first_of(builder: Any, from_: Any, few: Any, *, number: int, nothing: Any) -> Any:
    """Return the vector of this number where its lanes are among the first `few`, `nothing` elsewhere."""
    lanes = nothing.type.count
    there = builder.bitcast(from_, nothing.type.as_pointer())
    name, align = f"llvm.masked.load.v{lanes}f{512 // lanes}.p0", ir.Constant(ir.IntType(32), 4)
    return _called(builder, name, nothing.type, [there, align, _is_among(builder, few, number), nothing])


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


@extending.type_callable(sort_least)
def _type_of_sort_least(_: Any) -> Any:
    def typed(values: Any, count: Any) -> Any:
        known = values in {numba.float64[::1], numba.float32[::1]}
        return numba.void if known and count == numba.int64 else None

    return typed


@extending.lower_builtin(sort_least, types.Array, types.Integer)  # type: ignore[no-untyped-call]
def _code_of_sort_least(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Merge what is sorted, registers at first, two and two; what does not reach the smallest is never computed."""
    values, count = arguments
    vector, lanes = _vector_of(signature.args[0].dtype)
    from_ = _pointer(context, builder, signature.args[0], values)
    few = _spread(builder, builder.trunc(count, ir.IntType(32)), ir.VectorType(ir.IntType(32), lanes), lanes)
    nothing = ir.Constant(vector, [float("inf")] * lanes)
    shorter = builder.icmp_signed("<=", count, ir.Constant(count.type, SHORTER))
    for size, right in ((SHORTER, shorter), (SHORT, builder.not_(shorter))):
        with builder.if_then(right):
            places = [builder.gep(from_, [ir.Constant(count.type, n * lanes)]) for n in range(size // lanes)]
            packs = [_first_of(builder, place, few, number=n, nothing=nothing) for n, place in enumerate(places)]
            for place, pack in zip(places, _sorted(builder, packs, SHORTER // lanes), strict=False):
                builder.store(pack, builder.bitcast(place, vector.as_pointer()), align=4)
    return context.get_dummy_value()


def _sorted(builder: Any, packs: list[Any], most: int) -> list[Any]:
    """Return the smallest numbers of vectors, in order, `most` vectors of them."""
    ordered = [[_sorted_lanes(builder, pack)] for pack in packs]
    while len(ordered) > 1:
        pairs = zip(ordered[::2], ordered[1::2], strict=True)
        ordered = [_merged(builder, *pair, most=most) for pair in pairs]
    return ordered[0]


def _least_and_most(builder: Any, one: Any, other: Any) -> tuple[Any, Any]:
    first = builder.fcmp_ordered("<", one, other)
    return builder.select(first, one, other), builder.select(first, other, one)


def _shuffled(builder: Any, pack: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(pack, pack, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


def _exchanged(builder: Any, pack: Any, partners: int, upper: int) -> Any:
    """Return a vector, each lane compared with lane ^ partners; the larger goes to the lanes that have bit `upper`."""
    lanes = pack.type.count
    least, most = _least_and_most(builder, pack, _shuffled(builder, pack, [lane ^ partners for lane in range(lanes)]))
    high = ir.Constant(ir.VectorType(ir.IntType(1), lanes), [int(bool(lane & upper)) for lane in range(lanes)])
    return builder.select(high, most, least)


def _sorted_lanes(builder: Any, pack: Any) -> Any:
    size = 2
    while size <= pack.type.count:
        pack = _exchanged(builder, pack, size - 1, size // 2)
        pack = _cleaned(builder, pack, size // 4)
        size *= 2
    return pack


def _cleaned(builder: Any, pack: Any, step: int) -> Any:
    """Return a vector sorted that rises and then falls in every 2 * step lanes."""
    while step:
        pack = _exchanged(builder, pack, step, step)
        step //= 2
    return pack


def _merged(builder: Any, one: list[Any], other: list[Any], *, most: int) -> list[Any]:
    """Return the first `most` vectors of two sorted lists of vectors, sorted."""
    lanes = one[0].type.count
    back = [_shuffled(builder, pack, list(range(lanes - 1, -1, -1))) for pack in reversed(other)]
    pairs = [_least_and_most(builder, *pair) for pair in zip(one, back, strict=True)]
    halves = [[low for low, _ in pairs], [high for _, high in pairs]][: 1 + (most > len(one))]
    found = []
    for packs in halves:
        span = len(packs) // 2
        while span:
            for first in range(len(packs)):
                if not first & span:
                    packs[first], packs[first + span] = _least_and_most(builder, packs[first], packs[first + span])
            span //= 2
        found += [_cleaned(builder, pack, lanes // 2) for pack in packs]
    return found[:most]

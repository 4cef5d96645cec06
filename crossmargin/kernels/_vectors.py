"""Loops in vectors asked for by name: rows added into one account, its silos pooled, few of many numbers picked.

Use `add_rows`, `pool_below`, `gather_below` and `copy_few` inside kernels; `_ranks.py` has more. The compiler would
keep the sums of an account in memory and load and store them for every position; here they stay in registers. Additions
are fused multiply-adds in double precision, in the order of the positions, whatever the width of the processor's
vectors: the same bits everywhere.
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
AHEAD = 16  # positions between what is added and what is fetched from memory
FURTHER = 8  # vectors between what is copied and what is fetched


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


def copy_few(values: Any, start: int, count: int, kept: Any, held: int) -> int:  # noqa: PLR0917
    """Copy `count` of `values` from `start` on to `kept`, from `held` on; return the next place.

    Both have VECTOR bytes to spare behind.
    """
    kept[held : held + count] = values[start : start + count]
    return held + count


def has_compress() -> bool:
    """Whether the processor packs the chosen numbers of a vector in one instruction."""
    magic: Any = cpu_target.target_context.codegen().magic_tuple()
    return "+avx512f" in str(magic[2])


def pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def vector_of(number: Any) -> tuple[Any, int]:
    """Return the vector of one data type and how many numbers it has."""
    lanes = VECTOR // (4 if number == numba.float32 else 8)
    return ir.VectorType(ir.FloatType() if number == numba.float32 else ir.DoubleType(), lanes), lanes


def spread(builder: Any, value: Any, vector: Any, lanes: int) -> Any:
    """Return a vector of one number."""
    index, undefined = ir.IntType(32), ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(index, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, lanes), [0] * lanes))


def called(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(tools.get_or_insert_function(builder.module, kind, name), arguments)


def _fetch(builder: Any, where: Any) -> None:
    """Bring a line of memory into the cache, to be read soon."""
    flags = [ir.Constant(ir.IntType(32), n) for n in (0, 3, 1)]
    called(builder, "llvm.prefetch.p0", ir.VoidType(), [builder.bitcast(where, ir.IntType(8).as_pointer()), *flags])


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
    base, ids, held, out = (pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 2, 3, 6))
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
        later = row_of(builder.add(position, ir.Constant(long, AHEAD)))
        for line in range(0, width, VECTOR * width // CHUNK):
            _fetch(builder, builder.gep(later, [ir.Constant(long, line)]))
        quantity = builder.load(builder.gep(held, [position]))
        many = spread(builder, quantity, double, EIGHT)
        row = builder.bitcast(row_of(position), stored.as_pointer())
        for n, each in enumerate(totals):
            value = builder.load(builder.gep(row, [ir.Constant(long, n)]), align=4)
            value = builder.fpext(value, double) if single else value
            builder.store(called(builder, "llvm.fma.v8f64", double, [many, value, builder.load(each)]), each)
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
    vector, lanes = vector_of(signature.args[0].dtype)
    long = ir.IntType(64)
    from_, to = (pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 4))
    from_ = builder.gep(from_, [start])
    limits = spread(builder, bound, vector, lanes)
    now = tools.alloca_once_value(builder, held)
    builder.store(held, now)
    rest = builder.urem(count, ir.Constant(long, lanes))
    whole = builder.sub(count, rest)

    def pack_at(at: Any) -> Any:
        return builder.load(builder.bitcast(builder.gep(from_, [at]), vector.as_pointer()), align=4)

    with tools.for_range_slice(builder, ir.Constant(long, 0), whole, ir.Constant(long, lanes), long) as (at, _):
        pack = pack_at(at)
        _append(builder, pack, builder.fcmp_ordered("<=", pack, limits), to=to, now=now)
    few = spread(builder, builder.trunc(rest, ir.IntType(32)), ir.VectorType(ir.IntType(32), lanes), lanes)
    pack = first_of(
        builder, builder.gep(from_, [whole]), few, number=0, nothing=ir.Constant(vector, [float("nan")] * lanes)
    )
    _append(builder, pack, builder.fcmp_ordered("<=", pack, limits), to=to, now=now)
    return builder.load(now)


def _append(builder: Any, pack: Any, mask: Any, *, to: Any, now: Any) -> None:
    """Store what `mask` chooses of a vector at to[now] and move `now` on."""
    lanes, long, index = pack.type.count, ir.IntType(64), ir.IntType(32)
    bits = ir.IntType(lanes)
    chosen = builder.bitcast(mask, bits)
    if has_compress():
        name = f"llvm.x86.avx512.mask.compress.v{lanes}f{512 // lanes}"
        packed = called(builder, name, pack.type, [pack, pack, mask])
        place = builder.load(now)
        builder.store(packed, builder.bitcast(builder.gep(to, [place]), pack.type.as_pointer()), align=4)
        many = builder.zext(called(builder, f"llvm.ctpop.i{lanes}", bits, [chosen]), long)
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
    vector, lanes = vector_of(signature.args[6].dtype)
    width = CHUNK // (VECTOR // lanes)
    long, double = ir.IntType(64), ir.VectorType(ir.DoubleType(), EIGHT)
    sums, silos, to = (pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 1, 6))
    zero = ir.Constant(double, [0.0] * EIGHT)
    totals = [tools.alloca_once_value(builder, zero) for _ in range(width // EIGHT)]

    def silo_at(n: Any) -> list[Any]:
        begin = builder.mul(builder.load(builder.gep(silos, [n])), ir.Constant(long, width))
        silo = builder.bitcast(builder.gep(sums, [begin]), double.as_pointer())
        places = [builder.gep(silo, [ir.Constant(long, place)]) for place in range(len(totals))]
        return [builder.load(place, align=8) for place in places]

    with builder.if_else(builder.icmp_signed("<", first, last), likely=True) as (some, none):
        with some:
            for value, each in zip(silo_at(first), totals, strict=True):
                builder.store(value, each)
        with none:
            for each in totals:
                builder.store(zero, each)
    second, one = builder.add(first, ir.Constant(long, 1)), ir.Constant(long, 1)
    with tools.for_range_slice(builder, second, last, one, long) as (n, _):
        for value, each in zip(silo_at(n), totals, strict=True):
            builder.store(builder.fadd(builder.load(each), value), each)
    limits = spread(builder, bound, vector, lanes)
    now = tools.alloca_once_value(builder, held)
    builder.store(held, now)
    packs = [builder.load(each) for each in totals]
    if lanes > EIGHT:
        halves = [builder.fptrunc(each, ir.VectorType(ir.FloatType(), EIGHT)) for each in packs]
        both = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
        packs = [builder.shuffle_vector(*pair, both) for pair in zip(halves[::2], halves[1::2], strict=True)]
    few = spread(builder, builder.trunc(valid, ir.IntType(32)), ir.VectorType(ir.IntType(32), lanes), lanes)
    for n, pack in enumerate(packs):
        mask = builder.and_(_is_among(builder, few, n), builder.fcmp_ordered("<=", pack, limits))
        _append(builder, pack, mask, to=to, now=now)
    return builder.load(now)


def _is_among(builder: Any, few: Any, number: int) -> Any:
    """Return which lanes of the vector of this number are among the first `few`."""
    lanes = few.type.count
    places = ir.Constant(few.type, [number * lanes + lane for lane in range(lanes)])
    return builder.icmp_signed("<", places, few)


def first_of(builder: Any, from_: Any, few: Any, *, number: int, nothing: Any) -> Any:
    """Return the vector of this number where its lanes are among the first `few`, `nothing` elsewhere."""
    lanes = nothing.type.count
    there = builder.bitcast(from_, nothing.type.as_pointer())
    name, align = f"llvm.masked.load.v{lanes}f{512 // lanes}.p0", ir.Constant(ir.IntType(32), 4)
    return called(builder, name, nothing.type, [there, align, _is_among(builder, few, number), nothing])


@extending.type_callable(copy_few)
def _type_of_copy_few(_: Any) -> Any:
    def typed(values: Any, start: Any, count: Any, kept: Any, held: Any) -> Any:  # noqa: PLR0917
        known = values == kept and values in {numba.float64[::1], numba.float32[::1]}
        return numba.int64 if known and start == count == held == numba.int64 else None

    return typed


@extending.lower_builtin(  # type: ignore[no-untyped-call]
    copy_few, types.Array, *[types.Integer] * 2, types.Array, types.Integer
)
def _code_of_copy_few(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Copy one vector whatever the count, which is seldom larger and never foretold, and then the others."""
    _, start, count, _, held = arguments
    vector, lanes = vector_of(signature.args[0].dtype)
    long = ir.IntType(64)
    from_, to = (pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 3))
    from_, to = builder.gep(from_, [start]), builder.gep(to, [held])

    def copy(at: Any) -> None:
        there, here = (builder.bitcast(builder.gep(each, [at]), vector.as_pointer()) for each in (from_, to))
        builder.store(builder.load(there, align=4), here, align=4)

    copy(ir.Constant(long, 0))
    _fetch(builder, builder.gep(from_, [ir.Constant(long, FURTHER * lanes)]))
    step = ir.Constant(long, lanes)
    with tools.for_range_slice(builder, step, count, step, long) as (at, _):
        copy(at)
    return builder.add(held, count)

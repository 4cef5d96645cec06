"""Ranks among many numbers in vectors asked for by name: minima of groups, a sort in registers, a count, a rank.

Use `group_minima`, `sort_least`, `count_below` and `bound_by_rank` inside kernels.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import extending, types

from crossmargin.kernels._vectors import EIGHT, called, first_of, ir, pointer, spread, tools, vector_of

SHORT, SHORTER = 64, 32  # what is sorted in registers, and how many of its smallest are wanted


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
    vector, lanes = vector_of(signature.args[0].dtype)
    long = ir.IntType(64)
    from_, to = (pointer(context, builder, signature.args[n], arguments[n]) for n in (0, 2))
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
    few = spread(builder, builder.trunc(rest, ir.IntType(32)), ir.VectorType(ir.IntType(32), lanes), lanes)
    for n, each in enumerate(least):
        place = builder.gep(from_, [builder.add(whole, ir.Constant(long, n * lanes))])
        value = first_of(builder, place, few, number=n, nothing=nothing)
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


@extending.type_callable(count_below)
def _type_of_count_below(_: Any) -> Any:
    def typed(values: Any, count: Any, bound: Any) -> Any:
        known = values in {numba.float64[::1], numba.float32[::1]} and bound == values.dtype
        return numba.int64 if known and count == numba.int64 else None

    return typed


@extending.lower_builtin(count_below, types.Array, types.Integer, types.Float)  # type: ignore[no-untyped-call]
def _code_of_count_below(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    values, count, bound = arguments
    vector, lanes = vector_of(signature.args[0].dtype)
    long, bits = ir.IntType(64), ir.IntType(lanes)
    from_ = pointer(context, builder, signature.args[0], values)
    limits = spread(builder, bound, vector, lanes)
    found = tools.alloca_once_value(builder, ir.Constant(long, 0))
    builder.store(ir.Constant(long, 0), found)
    with tools.for_range_slice(builder, ir.Constant(long, 0), count, ir.Constant(long, lanes), long) as (at, _):
        pack = builder.load(builder.bitcast(builder.gep(from_, [at]), vector.as_pointer()), align=4)
        mask = builder.bitcast(builder.fcmp_ordered("<", pack, limits), bits)
        many = builder.zext(called(builder, f"llvm.ctpop.i{lanes}", bits, [mask]), long)
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
    vector, lanes = vector_of(signature.args[0].dtype)
    long, whole = ir.IntType(64), ir.VectorType(ir.IntType(512 // lanes), lanes)
    from_ = pointer(context, builder, signature.args[0], values)
    limits = spread(builder, builder.trunc(k, whole.element) if lanes == 16 else k, whole, lanes)
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
                value = spread(builder, builder.load(builder.gep(from_, [place])), vector, lanes)
                for each, rank in zip(mine, ranks, strict=True):
                    smaller = builder.sext(builder.fcmp_ordered("<", value, each), whole)
                    builder.store(builder.sub(builder.load(rank), smaller), rank)
        for each, rank in zip(mine, ranks, strict=True):
            found = builder.icmp_signed("<", builder.load(rank), limits)
            within = builder.select(found, each, least)
            before = builder.load(best)
            builder.store(builder.select(builder.fcmp_ordered(">", within, before), within, before), best)
    name = f"llvm.vector.reduce.fmax.v{lanes}f{512 // lanes}"
    return called(builder, name, vector.element, [builder.load(best)])


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
    vector, lanes = vector_of(signature.args[0].dtype)
    from_ = pointer(context, builder, signature.args[0], values)
    few = spread(builder, builder.trunc(count, ir.IntType(32)), ir.VectorType(ir.IntType(32), lanes), lanes)
    nothing = ir.Constant(vector, [float("inf")] * lanes)
    shorter = builder.icmp_signed("<=", count, ir.Constant(count.type, SHORTER))
    for size, right in ((SHORTER, shorter), (SHORT, builder.not_(shorter))):
        with builder.if_then(right):
            places = [builder.gep(from_, [ir.Constant(count.type, n * lanes)]) for n in range(size // lanes)]
            packs = [first_of(builder, place, few, number=n, nothing=nothing) for n, place in enumerate(places)]
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

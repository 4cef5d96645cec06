"""The arithmetic of terms for one book: of amounts, and of ranges of amounts, which hold every amount between.

`OPERATIONS[how]` is a pair of functions of the parts and the factor of a term: the amount, and the range of it. They
are those of `batch.terms` for single numbers; the tests hold them to one another. A range is a pair, the lower end
first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

Range: TypeAlias = tuple[float, float]
Amounts: TypeAlias = Sequence[float]
Ranges: TypeAlias = Sequence[Range]
Of: TypeAlias = Callable[[Amounts, float], float]
Over: TypeAlias = Callable[[Ranges, float], Range]


def _sum(parts: Amounts, _: float) -> float:
    return sum(parts)


def _max(parts: Amounts, _: float) -> float:
    return max(parts)


def _minimum(parts: Amounts, _: float) -> float:
    return min(parts)


def _scaled(parts: Amounts, factor: float) -> float:
    return factor * parts[0]


def _at_least(parts: Amounts, factor: float) -> float:
    return parts[0] if parts[0] >= factor else 0.0


def _unless(parts: Amounts, _: float) -> float:
    return 0.0 if parts[0] else parts[1]


def _where(parts: Amounts, _: float) -> float:
    return parts[1] if parts[0] else parts[2]


def _root_sum_square(parts: Amounts, _: float) -> float:
    return math.hypot(*parts)


def _product(parts: Amounts, factor: float) -> float:
    return factor * parts[0] * parts[1]


def _reduction(parts: Amounts, _: float) -> float:
    combined, standalone = parts
    return max(0.0, 1.0 - combined / standalone) if standalone else 0.0


def _diversified(parts: Amounts, factor: float) -> float:
    loss, alone = parts
    return min(1.0, max(factor, loss / alone)) if alone else 1.0


def _sum_over(parts: Ranges, _: float) -> Range:
    return sum(low for low, _ in parts), sum(high for _, high in parts)


def _max_over(parts: Ranges, _: float) -> Range:
    return max(low for low, _ in parts), max(high for _, high in parts)


def _minimum_over(parts: Ranges, _: float) -> Range:
    return min(low for low, _ in parts), min(high for _, high in parts)


def _root_sum_square_over(parts: Ranges, _: float) -> Range:
    nearest = [0.0 if low <= 0.0 <= high else min(abs(low), abs(high)) for low, high in parts]
    return math.hypot(*nearest), math.hypot(*(max(abs(low), abs(high)) for low, high in parts))


def _scaled_over(parts: Ranges, factor: float) -> Range:
    ((low, high),) = parts
    return (factor * low, factor * high) if factor >= 0.0 else (factor * high, factor * low)


def _product_over(parts: Ranges, factor: float) -> Range:
    first, second = parts
    corners = [factor * a * b for a in first for b in second]
    return min(corners), max(corners)


def _reduction_over(parts: Ranges, _: float) -> Range:
    combined, standalone = parts
    least = max(0.0, 1.0 - combined[1] / standalone[0]) if standalone[0] > 0.0 else 0.0
    most = max(0.0, 1.0 - combined[0] / standalone[1]) if standalone[1] > 0.0 else 0.0
    return least, most


def _diversified_over(parts: Ranges, factor: float) -> Range:
    loss, alone = parts
    least = min(1.0, max(factor, loss[0] / alone[1])) if alone[1] > 0.0 else 1.0
    most = min(1.0, max(factor, loss[1] / alone[0])) if alone[0] > 0.0 else 1.0
    return least, most


def _at_least_over(parts: Ranges, factor: float) -> Range:
    ((low, high),) = parts
    passing = [0.0] * (low < factor) + [max(low, factor), high] * (high >= factor)
    return min(passing), max(passing)


def _unless_over(parts: Ranges, _: float) -> Range:
    return (0.0, 0.0) if parts[0][0] else parts[1]


def _where_over(parts: Ranges, _: float) -> Range:
    """Return the range of the part that the flag chooses: a flag does not change along a trade."""
    return parts[1] if parts[0][0] else parts[2]


OPERATIONS: Mapping[str, tuple[Of, Over]] = MappingProxyType(
    {
        "sum": (_sum, _sum_over),
        "max": (_max, _max_over),
        "minimum": (_minimum, _minimum_over),
        "root_sum_square": (_root_sum_square, _root_sum_square_over),
        "scaled": (_scaled, _scaled_over),
        "product": (_product, _product_over),
        "reduction": (_reduction, _reduction_over),
        "diversified": (_diversified, _diversified_over),
        "at_least": (_at_least, _at_least_over),
        "unless": (_unless, _unless_over),
        "where": (_where, _where_over),
    }
)

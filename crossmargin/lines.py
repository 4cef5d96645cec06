"""Lines: figures that check their own arithmetic and remember the parameters they read.

Build them with `total`, `largest`, `smallest`, `scaled` and their kin, so that the calculation *is* the explanation;
`not_modelled` says what is left out. What a margin run makes of them is `results`. Nothing here knows a rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

from attrs import field, frozen

from crossmargin.errors import InputError, NumericalError, Problem, kind_given
from crossmargin.parameters import Read
from crossmargin.records import as_tuple

How = Literal["input", "sum", "max", "minimum", "root_sum_square", "scaled", "product", "reduction", "not_modelled"]
_HOLDS_TO = 1e-9  # relative agreement of a line with its parts; addition order may cost the last bits


@frozen
class Line:
    """One figure, how it follows from its parts, and the parameters it read.

    `amount` is in `unit` (USD unless stated), None exactly when the figure is not modelled. A part that is not
    modelled takes no part in the arithmetic and marks every line above it as partial.

    ================  =====================================================
    how               amount
    ================  =====================================================
    input             given
    sum               the parts added
    max, minimum      the largest, the smallest part
    root_sum_square   the square root of the sum of squared parts
    scaled            `factor` times the only part
    product           `factor` times the product of the parts
    reduction         max(0, 1 - first part / second part), 0 when that is 0
    not_modelled      None
    ================  =====================================================

    Raises
    ------
    InputError
        The amount is no number.
    NumericalError
        It is not finite, or does not follow from the parts.
    """

    TERSE: ClassVar[bool] = True
    name: str
    amount: float | None
    how: How = "input"
    parts: tuple[Line, ...] = field(default=(), converter=as_tuple, repr=False)
    factor: float = 1.0
    unit: str = "USD"
    reads: tuple[Read, ...] = field(default=(), converter=as_tuple, repr=False)
    note: str = ""
    memo: tuple[Line, ...] = field(default=(), converter=as_tuple, repr=False)

    def __attrs_post_init__(self) -> None:
        try:
            finite = self.amount is None or math.isfinite(self.amount)
        except TypeError:
            what = f"the amount is {kind_given(self.amount)}."
            raise InputError([Problem(what, f"line {self.name!r}", "Give a number, or None.")]) from None
        if not finite:
            raise NumericalError(f"Line {self.name!r} is {self.amount}.")
        if self.how == "input":
            return
        expected = _arithmetic(self.how, self.parts, self.factor)
        if not _agree(self.amount, expected):
            message = f"Line {self.name!r} says {self.amount} but {self.how} of its parts is {expected}."
            raise NumericalError(message)

    @property
    def partial(self) -> bool:
        """Whether something below is not modelled."""
        return any(line.how == "not_modelled" for line in self.walk())

    def walk(self) -> Iterator[Line]:
        """Yield this line and everything below it, top down."""
        left = [self]
        while left:
            line = left.pop()
            yield line
            left += line.parts[::-1]

    def all_reads(self) -> tuple[Read, ...]:
        """Return every distinct parameter read at or below this line, and for what is shown beside."""
        reads = [read for line in self.walk() for read in line.reads]
        reads += [read for line in self.walk() for beside in line.memo for read in beside.all_reads()]
        return tuple({(read.rule, read.name): read for read in reads}.values())

    def part(self, name: str) -> Line:
        """Return the first line of this name at or below this one.

        Raises
        ------
        InputError
            No line has the name.
        """
        for line in self.walk():
            if line.name == name:
                return line
        raise InputError([Problem(f"no line named {name!r}.", f"line {self.name!r}")])

    def _repr_html_(self) -> str:
        from crossmargin.tables import line_html  # printing is needed only when asked for

        return line_html(self)

    @property
    def value(self) -> float:
        """The amount as a number: what is not modelled contributes nothing to figures that say they are partial."""
        return 0.0 if self.amount is None else self.amount


def total(name: str, parts: Iterable[Line], **more: Any) -> Line:
    """Return the sum of the parts as a line."""
    return _combined(name, "sum", parts, **more)


def largest(name: str, parts: Iterable[Line], **more: Any) -> Line:
    """Return the largest of the parts as a line."""
    return _combined(name, "max", parts, **more)


def smallest(name: str, parts: Iterable[Line], **more: Any) -> Line:
    """Return the smallest of the parts as a line."""
    return _combined(name, "minimum", parts, **more)


def root_sum_square(name: str, parts: Iterable[Line], **more: Any) -> Line:
    """Return the root of the sum of squares of the parts as a line."""
    return _combined(name, "root_sum_square", parts, **more)


def scaled(name: str, factor: float, part: Line, **more: Any) -> Line:
    """Return `factor` times one part as a line."""
    return _combined(name, "scaled", (part,), factor=factor, **more)


def product(name: str, parts: Iterable[Line], **more: Any) -> Line:
    """Return `factor` (1 unless given) times the product of the parts as a line."""
    return _combined(name, "product", parts, **more)


def reduction(name: str, combined: Line, standalone: Line, **more: Any) -> Line:
    """Return the share of `standalone` that `combined` saves, never negative, as a line of unit 1."""
    return _combined(name, "reduction", (combined, standalone), unit="1", **more)


def known_sum(amounts: Iterable[float | None]) -> float | None:
    """Return the sum of what is known: None where there are amounts and none of them is, 0 where there are none.

    The rule of every total: a number only where some part of it is modelled, or where nothing is asked for.

    Examples
    --------
    >>> known_sum([60.0, None, 40.0]), known_sum([None, None]), known_sum([])
    (100.0, None, 0.0)
    """
    told = tuple(amounts)
    known = [amount for amount in told if amount is not None]
    return _added(known) if known or not told else None


def not_modelled(name: str, why: str, **more: Any) -> Line:
    """Return a line for what is known to exist but not calculated, saying why."""
    return Line(name, None, "not_modelled", note=why, **more)


def _combined(name: str, how: How, parts: Iterable[Line], **more: Any) -> Line:
    parts = tuple(parts)
    amount = _arithmetic(how, parts, more.get("factor", 1.0))
    return Line(name, amount, how, parts, **more)


def _arithmetic(how: How, parts: tuple[Line, ...], factor: float) -> float | None:
    amounts = [part.amount for part in parts if part.amount is not None]
    needs_all = how in ("reduction", "scaled", "product")  # a factor that is unknown leaves the result unknown
    if how == "not_modelled" or (parts and not amounts) or (needs_all and len(amounts) < len(parts)):
        return None
    if how == "sum":
        return _added(amounts)
    if how == "root_sum_square":
        return math.hypot(*amounts)
    if how == "reduction":
        combined, standalone = amounts
        return max(0.0, 1.0 - combined / standalone) if standalone else 0.0
    if needs_all:
        return factor * math.prod(amounts)
    return (max if how == "max" else min)(amounts, default=0.0)


def _added(amounts: Iterable[float]) -> float:
    try:
        return math.fsum(amounts)
    except OverflowError:
        raise NumericalError("Amounts are too large to be added.") from None


def _agree(amount: float | None, expected: float | None) -> bool:
    if amount is None or expected is None:
        return amount is expected
    return math.isclose(amount, expected, rel_tol=_HOLDS_TO, abs_tol=1e-9)

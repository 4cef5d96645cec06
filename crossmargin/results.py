"""What a margin run returns: lines that check their own arithmetic, requirements, reports, comparisons.

`Report.explain()` prints the calculation, `sources()` and `assumptions()` what it rests on, `to_json()` and
`from_json` carry it elsewhere. Build lines with `total`, `largest`, `smallest`, `scaled` and their kin, so that the
calculation *is* the explanation. Nothing here knows a rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import date
from importlib import import_module
from typing import Any, ClassVar, Literal, Self

from attrs import field, frozen

from crossmargin.eligibility import Decision, Decisions, refusals
from crossmargin.errors import InputError, NumericalError, Problem, suggestion
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
    NumericalError
        The amount does not follow from the parts.
    """

    TERSE: ClassVar[bool] = True
    name: str
    amount: float | None
    how: How = "input"
    parts: tuple[Line, ...] = field(default=(), converter=as_tuple)
    factor: float = 1.0
    unit: str = "USD"
    reads: tuple[Read, ...] = field(default=(), converter=as_tuple)
    note: str = ""
    memo: tuple[Line, ...] = field(default=(), converter=as_tuple)

    def __attrs_post_init__(self) -> None:
        if self.amount is not None and not math.isfinite(self.amount):
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


@frozen
class Requirement:
    """What one pool must post, at one level (`customer`: to its broker; `clearing`: at the clearing house).

    `firm` carries the positions, `account_class` is the segregation class in which they lie: both as in the pool.
    """

    pool: str
    owner: str
    pot: str
    level: str
    ruleset: str
    positions: tuple[str, ...]
    line: Line
    firm: str = ""
    account_class: str = ""


@frozen
class Credit:
    """What an arrangement takes off one pot of one owner: a line whose amount is never positive."""

    arrangement: str
    pool: str
    owner: str
    pot: str
    line: Line
    level: str = "clearing"
    firm: str = ""
    account_class: str = ""


LEVELS = ("clearing", "customer")


def _refuse_unknown_level(level: str) -> None:
    if level not in LEVELS:
        raise InputError([Problem(f"unknown level {level!r}.", "level", suggestion(str(level), LEVELS))])


@frozen(repr=False)
class Report:
    """The margin of a portfolio under one regime. Levels never add: totals are per level.

    `status` travels with every figure: a `proposed` regime is not in force and says so wherever it is printed.
    """

    SCHEMA: ClassVar[str] = "crossmargin/report/1"  # of its JSON
    regime: str
    title: str
    status: str
    as_of: date
    requirements: tuple[Requirement, ...] = ()
    credits: tuple[Credit, ...] = ()
    decisions: tuple[Decision, ...] = field(default=(), converter=Decisions)
    notes: tuple[str, ...] = ()
    owners: dict[str, str] = field(factory=dict)

    def __repr__(self) -> str:
        """Return what it asks for, in one line; `print` and `explain` show the rest."""
        from crossmargin.tables import money

        told = ", ".join(f"{level} {money(_known_total(self, level))}" for level in self.levels)
        return f"<Report: {self.regime} ({self.status}), {self.as_of}; USD {told}; {len(self.entries):,} entries>"

    def gross(self, level: str = "clearing") -> float:
        """Return the requirements of one level before credit, USD."""
        _refuse_unknown_level(level)
        return math.fsum(r.line.value for r in self.requirements if r.level == level)

    def credit(self, level: str = "clearing") -> float:
        """Return the credits of one level, USD, never positive."""
        _refuse_unknown_level(level)
        return math.fsum(c.line.value for c in self.credits if c.level == level)

    def total(self, level: str = "clearing") -> float:
        """Return requirements less credits of one level, USD; what is not modelled counts nothing: ask `partial`."""
        _refuse_unknown_level(level)
        return math.fsum(entry.line.value for entry in self.entries if entry.level == level)

    @property
    def entries(self) -> tuple[Requirement | Credit, ...]:
        """Requirements, then credits."""
        return (*self.requirements, *self.credits)

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that occur, clearing first."""
        found = {requirement.level for requirement in self.requirements}
        return tuple(level for level in LEVELS if level in found) or LEVELS[:1]

    def line(self, level: str = "clearing") -> Line:
        """Return the whole calculation of one level as a tree: owners, pots, requirements and credits."""
        _refuse_unknown_level(level)
        entries = [entry for entry in self.entries if entry.level == level]
        note = "" if self.status == "in_force" else f"{self.status}: no such rule is in force"
        owners = [
            total(self.owners.get(owner, owner), [_pot_line(pot, held) for pot, held in _grouped(mine, "pot")])
            for owner, mine in _grouped(entries, "owner")
        ]
        return total(f"{self.regime} {level} requirement", owners, note=note)

    @property
    def partial(self) -> bool:
        """Whether any figure leaves something out."""
        return any(requirement.line.partial for requirement in self.requirements)

    def not_modelled(self) -> tuple[tuple[str, Line], ...]:
        """Return every (pool, line) that is known to exist but not calculated."""
        lines = ((r.pool, line) for r in self.requirements for line in r.line.walk())
        return tuple((pool, line) for pool, line in lines if line.how == "not_modelled")

    def reads(self) -> tuple[Read, ...]:
        """Return every distinct parameter read behind the figures."""
        return total("", [entry.line for entry in self.entries]).all_reads()

    def sources(self) -> tuple[str, ...]:
        """Return the documents behind the figures and decisions, each once."""
        cited = [f"{read.source.title} {read.source.url}".strip() for read in self.reads()]
        cited += [reason.citation for decision in self.decisions for reason in decision.because]
        return tuple(dict.fromkeys(cited))

    def assumptions(self) -> tuple[Read, ...]:
        """Return every parameter read that no published text states: assumed, calibrated or proposed values."""
        return tuple(read for read in self.reads() if read.grade not in ("rule", "disclosure"))

    def assumed_share(self, level: str = "clearing") -> float:
        """Return the share in [0, 1] of the gross requirement whose calculation read an assumed or proposed value."""
        gross = self.gross(level)
        resting = math.fsum(_resting(r.line) for r in self.requirements if r.level == level)
        return min(1.0, resting / gross) if gross else 0.0

    def refused(self) -> Decisions:
        """Return what keeps each position out of the programmes that its account asks for.

        A position that is directed nowhere shows the first programme that has its product on the list, or the first of
        all; `decisions` holds what every programme says of every position.
        """
        return Decisions(refusals(self.decisions))

    def explain(self, depth: int = 9, *, level: str = "clearing") -> str:
        """Return the calculation as an indented tree down to `depth`."""
        from crossmargin.tables import tree  # printing is needed only when asked for

        return tree(self.line(level), depth)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record per requirement and credit."""
        found: list[dict[str, Any]] = _documents().records_of(self)
        return found

    def to_frame(self) -> Any:
        """Return the records as a pandas DataFrame (extra `frames`)."""
        return _documents().data_frame(self.to_records())

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Return the records as an Arrow stream: `polars.DataFrame(report)` and the like (extra `frames`)."""
        return _documents().arrow_table(self.to_records()).__arrow_c_stream__(requested_schema)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the whole report as JSON that `from_json` reads back."""
        text: str = _documents().document_text(self, indent=indent)
        return text

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the report that `to_json` wrote; every line checks its arithmetic again."""
        read: Self = _documents().from_document(cls, text)
        return read

    def __str__(self) -> str:
        """Return the report as an aligned table."""
        from crossmargin.tables import report_text

        return report_text(self)

    def plot(self) -> Any:
        """Return a picture of the requirement, pot by pot (extra `plots`): `crossmargin.plots.regimes`."""
        return Comparison((self,)).plot()

    def _repr_html_(self) -> str:
        from crossmargin.tables import report_html

        return report_html(self)


@frozen(repr=False)
class Comparison:
    """Reports of one portfolio under several regimes, the first one being what the others are measured against."""

    SCHEMA: ClassVar[str] = "crossmargin/comparison/1"
    reports: tuple[Report, ...] = field(converter=as_tuple)

    def __repr__(self) -> str:
        """Return what was compared, in one line."""
        names = ", ".join(f"{report.regime} ({report.status})" for report in self.reports)
        return f"<Comparison: {names or 'nothing'}{''.join(f', {each.as_of}' for each in self.reports[:1])}>"

    def __getitem__(self, regime: Any) -> Report:
        """Return the report of a regime, by name or the `Regime` itself."""
        name = str(getattr(regime, "name", regime))
        for report in self.reports:
            if report.regime.lower() == name.lower():
                return report
        known = ", ".join(report.regime for report in self.reports)
        raise InputError([Problem(f"no regime {name!r}; compared were {known}.", "comparison")])

    def _ipython_key_completions_(self) -> list[str]:
        return [report.regime for report in self.reports]

    def totals(self, level: str = "clearing") -> dict[str, float | None]:
        """Return the total of each regime, USD; None where nothing that it asks for is modelled."""
        return {report.regime: _known_total(report, level) for report in self.reports}

    def benefit(self, regime: str, level: str = "clearing") -> float | None:
        """Return the first regime's total minus this regime's, USD; negative when the regime asks for more.

        None where nothing of one of the two is modelled.
        """
        other, base = (_known_total(each, level) for each in (self[regime], self.reports[0]))
        return None if base is None or other is None else base - other

    def benefit_share(self, regime: str, level: str = "clearing") -> float | None:
        """Return the benefit as a share of the first regime's total (0 when that is 0), None where there is none."""
        benefit, base = self.benefit(regime, level), self.reports[0].total(level)
        return None if benefit is None else benefit / base if base else 0.0

    def bridge(self, regime: str, level: str = "clearing") -> Line:
        """Return what changes between the first regime's total and this one's, before credit and in credit, USD.

        Two differences of printed figures, not their causes: for those `analysis.attribution.attribute`.
        """
        base, other = self.reports[0], self[regime]
        start = Line(f"{base.regime} total", base.total(level))
        before = Line("change before credit", other.gross(level) - base.gross(level))
        credit = Line("change in credit", other.credit(level) - base.credit(level))
        return total(f"{other.regime} total", (start, before, credit))

    def to_records(self) -> list[dict[str, Any]]:
        """Return the records of every report, each naming its regime and status."""
        return [record for report in self.reports for record in report.to_records()]

    def to_frame(self) -> Any:
        """Return the records as a pandas DataFrame (extra `frames`)."""
        return _documents().data_frame(self.to_records())

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Return the records as an Arrow stream: `polars.DataFrame(report)` and the like (extra `frames`)."""
        return _documents().arrow_table(self.to_records()).__arrow_c_stream__(requested_schema)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the whole comparison as JSON, totals and their status first; `from_json` reads it back."""
        text: str = _documents().document_text(self, indent=indent)
        return text

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the comparison that `to_json` wrote."""
        read: Self = _documents().from_document(cls, text)
        return read

    def __str__(self) -> str:
        """Return the regimes side by side as an aligned table."""
        from crossmargin.tables import comparison_text

        return comparison_text(self)

    def plot(self) -> Any:
        """Return a picture of the regimes side by side (extra `plots`): `crossmargin.plots.regimes`."""
        return import_module("crossmargin.plots").regimes(self)  # a layer above, and an extra

    def _repr_html_(self) -> str:
        from crossmargin.tables import comparison_html

        return comparison_html(self)


def _known_total(report: Report, level: str) -> float | None:
    """Return the total of a level, None where nothing of it is modelled, as `report.line(level)` has it."""
    owed = report.total(level)
    amounts = [entry.line.amount for entry in report.entries if entry.level == level]
    return None if amounts and all(amount is None for amount in amounts) else owed


def _pot_line(pot: str, entries: list[Requirement | Credit]) -> Line:
    return total(pot, [total(pool, [entry.line for entry in held]) for pool, held in _grouped(entries, "pool")])


def _grouped(entries: list[Requirement | Credit], key: str) -> Iterable[tuple[str, list[Requirement | Credit]]]:
    groups: dict[str, list[Requirement | Credit]] = {}
    for entry in entries:
        groups.setdefault(getattr(entry, key), []).append(entry)
    return groups.items()


def _resting(line: Line) -> float:
    if any(read.grade in ("assumed", "proposed") for read in line.reads):
        return line.value
    if line.how == "sum":
        return math.fsum(_resting(part) for part in line.parts)
    return line.value if any(_resting(part) for part in line.parts) else 0.0


def _documents() -> Any:
    """Return the module that writes results and reads them back: it is needed only when asked for."""
    from crossmargin import documents

    return documents

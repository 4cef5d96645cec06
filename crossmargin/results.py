"""What a margin run returns: requirements, credits, reports, comparisons, all of them trees of lines.

`Report.explain()` prints the calculation, `sources()` and `assumptions()` what it rests on, `to_json()` and
`from_json` carry it elsewhere. Lines and what builds them are those of `lines`, handed on here. Nothing here knows a
rule.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from datetime import date
from importlib import import_module
from typing import Any, ClassVar, Self

from attrs import evolve, field, frozen

from crossmargin.eligibility import Decision, Decisions, refusals
from crossmargin.errors import InputError, Problem, several, suggestion
from crossmargin.lines import (
    How,
    Line,
    known_sum,
    largest,
    not_modelled,
    product,
    reduction,
    root_sum_square,
    scaled,
    smallest,
    total,
)
from crossmargin.parameters import Read

__all__ = [
    "LEVELS",
    "Comparison",
    "Credit",
    "How",
    "Line",
    "Report",
    "Requirement",
    "bridged",
    "known_sum",
    "largest",
    "not_modelled",
    "product",
    "reduction",
    "root_sum_square",
    "scaled",
    "smallest",
    "total",
    "total_line",
]


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

        told = ", ".join(f"{level} {money(self.total(level))}" for level in self.levels)
        return f"<Report: {self.regime} ({self.status}), {self.as_of}; USD {told}; {len(self.entries):,} entries>"

    def gross(self, level: str = "clearing") -> float | None:
        """Return the requirements of one level before credit, USD; None where nothing of them is modelled."""
        _refuse_unknown_level(level)
        return known_sum(r.line.amount for r in self.requirements if r.level == level)

    def credit(self, level: str = "clearing") -> float | None:
        """Return the credits of one level, USD, never positive; None where nothing of them is modelled."""
        _refuse_unknown_level(level)
        return known_sum(c.line.amount for c in self.credits if c.level == level)

    def total(self, level: str = "clearing") -> float | None:
        """Return requirements less credits of one level, USD; None where nothing that it asks for is modelled.

        What is modelled in part has a total that leaves the rest out: ask `partial`.
        """
        return known_sum(line.amount for line in _lines_at(self, level))

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

    def assumed_share(self, level: str = "clearing") -> float | None:
        """Return the share in [0, 1] of the gross requirement whose calculation read an assumed or proposed value.

        None where nothing of that requirement is modelled.
        """
        gross = self.gross(level)
        resting = math.fsum(_resting(r.line) for r in self.requirements if r.level == level)
        return None if gross is None else min(1.0, resting / gross) if gross else 0.0

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


def _reports(given: Any) -> tuple[Report, ...]:
    return several("reports", given, Report, "Give reports in a list, each as margin returned it.")


@frozen(repr=False)
class Comparison:
    """Reports of one portfolio under several regimes, the first one being what the others are measured against."""

    SCHEMA: ClassVar[str] = "crossmargin/comparison/1"
    reports: tuple[Report, ...] = field(converter=_reports)

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
        return {report.regime: report.total(level) for report in self.reports}

    def benefit(self, regime: str, level: str = "clearing") -> float | None:
        """Return the first regime's total minus this regime's, USD; negative when the regime asks for more.

        None where nothing of one of the two is modelled.
        """
        other, base = (each.total(level) for each in (self[regime], self.reports[0]))
        return None if base is None or other is None else base - other

    def benefit_share(self, regime: str, level: str = "clearing") -> float | None:
        """Return the benefit as a share of the first regime's total (0 when that is 0), None where there is none."""
        benefit, base = self.benefit(regime, level), self.reports[0].total(level)
        return None if benefit is None else benefit / base if base else 0.0

    def bridge(self, regime: str, level: str = "clearing") -> Line:
        """Return what changes between the first regime's total and this one's, before credit and in credit, USD.

        Two differences of printed figures, not their causes: for those `analysis.attribution.attribute`. Changes are
        not modelled where nothing of one of the two totals is; a total that leaves something out names it.
        """
        base, other = self.reports[0], self[regime]
        before = Line("change before credit", _less(other.gross(level), base.gross(level)))
        credit = Line("change in credit", _less(other.credit(level), base.credit(level)))
        start, end = (total_line(f"{each.regime} total", _lines_at(each, level)) for each in (base, other))
        return bridged(start, (before, credit), end)

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


def total_line(name: str, lines: Iterable[Line]) -> Line:
    """Return the sum of lines as one figure and what it leaves out; not modelled where that is everything."""
    whole = total(name, lines)
    gaps = tuple(_gaps(whole).values())
    if whole.amount is None:
        return not_modelled(name, "nothing of it is modelled", parts=gaps)
    return total(name, (Line("what is modelled", whole.amount), *gaps)) if gaps else Line(name, whole.amount)


def bridged(start: Line, steps: Iterable[Line], end: Line) -> Line:
    """Return a total as another one and the steps from there to here.

    No step has a figure where one of the two totals or another step has none; a step is partial where one total leaves
    out what the other does not.
    """
    steps = tuple(steps)
    if start.amount is None or end.amount is None or any(step.amount is None for step in steps):
        why = "nothing is modelled at one end"
        unknown = [step if step.amount is None else not_modelled(step.name, why) for step in steps]
        how = end.how if end.amount is None else "input"
        return evolve(end, parts=(start, *unknown), how=how, memo=end.parts)
    base, other = _gaps(start), _gaps(end)
    apart = [gap for key, gap in (base | other).items() if key not in base or key not in other]
    return total(end.name, (start, *(_leaving_out(step, apart) for step in steps)))


def _leaving_out(step: Line, gaps: Collection[Line]) -> Line:
    if not gaps:
        return step
    return total(step.name, (evolve(step, name="what is modelled", note=""), *gaps), note=step.note)


def _gaps(line: Line) -> dict[tuple[str, str], Line]:
    """Return what a line leaves out, each once."""
    return {(each.name, each.note): each for each in line.walk() if each.how == "not_modelled"}


def _lines_at(report: Report, level: str) -> list[Line]:
    _refuse_unknown_level(level)
    return [entry.line for entry in report.entries if entry.level == level]


def _less(end: float | None, start: float | None) -> float:
    """Return a change between two ends of a bridge, which shows none where one of its totals is not modelled."""
    return (end or 0.0) - (start or 0.0)


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

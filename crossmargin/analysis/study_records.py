"""What one comparison of regimes has to say, as plain records for a study: figures, errors, refusals, assumptions.

`figures(compared)`, `sampled(evidence, compared)` and `background(compared, market)` are called by `study` for each of
its steps. Every record of a regime has its status. Nothing is calculated here but a difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from crossmargin.analysis.evidence import Evidence, Sampled
from crossmargin.errors import CrossMarginError, InputError
from crossmargin.io.journal import Record
from crossmargin.market import Market
from crossmargin.records import to_plain
from crossmargin.results import Comparison, Report


def told_levels(clearing: Mapping[str, float | None], customer: Mapping[str, float | None]) -> tuple[str, ...]:
    """Return the levels worth telling of a book's totals: the customer level where it asks for anything else."""
    other = any(customer.values()) and dict(customer) != dict(clearing)
    return ("clearing", "customer") if other else ("clearing",)


def total_of(report: Report, level: str) -> float | None:
    """Return the total of a level, USD; None where nothing of what it asks for is modelled: `Report.total` has 0."""
    return report.line(level).amount


def figures(compared: Comparison) -> Iterator[Record]:
    """Yield what each regime asks for at each level."""
    for level in dict.fromkeys(level for report in compared.reports for level in report.levels):
        base = total_of(compared.reports[0], level)
        for report in compared.reports:
            asked = total_of(report, level)
            known = asked is not None
            yield {
                "regime": report.regime,
                "status": report.status,
                "level": level,
                "gross": report.gross(level) if known else None,
                "credit": report.credit(level) if known else None,
                "total": asked,
                "benefit": None if asked is None or base is None else base - asked,
                "partial": any(each.line.partial for each in report.entries if each.level == level),
                "assumed_share": report.assumed_share(level) if known else None,
            }


def sampled(evidence: Evidence, compared: Comparison) -> Iterator[Record]:
    """Yield the sampling error of each total, and of its distance from the first regime's."""
    status = {report.regime: report.status for report in compared.reports}
    base = compared.reports[0].regime
    for each in evidence.totals:
        known = [gap.simulated for gap in evidence.gaps if each.name in (gap.first, gap.second)]
        named = {"level": evidence.level, "kind": "total", "base": None, "regime": each.name}
        yield {**named, "status": status[each.name], **_error(each), "simulated": max(known)}
    for gap in (gap for gap in evidence.gaps if gap.first == base):
        named = {"level": evidence.level, "kind": "gap", "base": base, "regime": gap.second}
        shown = {"inside_noise": gap.inside_noise, "simulated": gap.simulated}
        yield {**named, "status": status[gap.second], **_error(gap.difference), **shown}


def _error(each: Sampled) -> Record:
    return {name: getattr(each, name) for name in ("figure", "standard_error", "low", "high")}


def background(compared: Comparison, market: Market) -> dict[str, list[Record]]:
    """Return what the figures of a day rest on, leave out and refuse, by name of table."""
    reads = {
        (each.rule, each.name): {
            "rule": each.rule,
            "parameter": each.name,
            "value": _short(each.value),
            "unit": each.unit,
            "grade": each.grade,
            "because": each.because,
        }
        for report in compared.reports
        for each in report.assumptions()
    }
    sources = dict.fromkeys(source for report in compared.reports for source in report.sources())
    notes = dict.fromkeys([*market.notes, *(note for report in compared.reports for note in report.notes)])
    return {
        "refusals": list(_refusals(compared.reports)),
        "left_out": [row for report in compared.reports for row in _left_out(report)],
        "assumptions": list(reads.values()),
        "sources": [{"source": source} for source in sources],
        "notes": [{"note": note} for note in notes],
    }


def _refusals(reports: Iterable[Report]) -> Iterator[Record]:
    told = dict.fromkeys(
        (each.position, each.product, each.programme, because)
        for report in reports
        for each in report.refused()
        for because in each.because
    )
    for position, product, programme, because in told:
        why = {name: getattr(because, name) for name in ("about", "cure", "citation", "grade")}
        yield {"position": position, "product": product, "programme": programme, **why}


def _left_out(report: Report) -> Iterator[Record]:
    for pool, line in report.not_modelled():
        yield {
            "regime": report.regime,
            "status": report.status,
            "pool": pool,
            "name": line.name,
            "note": line.note,
        }


def text_of(error: CrossMarginError) -> str:
    """Return what an error says in one line."""
    if isinstance(error, InputError):
        return "; ".join(str(problem) for problem in error.problems)
    return str(error)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(to_plain(value))
    return text if len(text) <= 120 else f"{text[:117]}..."

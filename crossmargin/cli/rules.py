"""Commands over the library itself: rules, conformance, warmup."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from crossmargin.cli.inputs import CASE_FAILED, DONE, Output, command

if TYPE_CHECKING:
    from crossmargin.parameters import Condition, Rules


def add(commands: Any) -> None:
    """Add the commands."""
    about = "list every rule-set, arrangement and proposal, or show one with all its values"
    rules = command(commands, "rules", _rules, about=about)
    rules.add_argument("id", nargs="?", metavar="ID", help="the rule to show")
    conformance = command(commands, "conformance", _conformance, about="run worked cases against the library")
    conformance.add_argument("files", nargs="+", metavar="FILE", help="worked cases, one JSON object a line")
    about = "SIMM calibrations, not part of the package (the nearest data/simm above the case file unless given); "
    about += "commercial use of SIMM needs a licence from ISDA"
    conformance.add_argument("--calibrations", metavar="DIR", help=about)
    about = "compile or load every numerical kernel, before the first request of a service"
    command(commands, "warmup", _warmup, about=about)


def _rules(chosen: Namespace) -> Output:
    from crossmargin.registry import rulebook, rules

    if chosen.id:
        rule = rules(chosen.id)
        return Output(json.dumps(_rule_in_full(rule), indent=2) if chosen.json else _rule_text(rule))
    listed = [_rule_summary(rule) for rule in rulebook().values()]
    return Output(json.dumps(listed, indent=2) if chosen.json else _rules_text(listed))


def _conformance(chosen: Namespace) -> Output:
    from crossmargin.conformance import run

    outcome = run(chosen.files, calibrations=chosen.calibrations)
    text = json.dumps(outcome.to_json_dict(), indent=2) if chosen.json else outcome.text()
    return Output(text, DONE if outcome.ok else CASE_FAILED)


def _warmup(chosen: Namespace) -> Output:
    from crossmargin.records import to_plain
    from crossmargin.warmup import warmup

    done = warmup()
    return Output(json.dumps(to_plain(done), indent=2) if chosen.json else str(done))


def _rule_summary(rule: Rules) -> dict[str, Any]:
    from crossmargin.records import to_plain

    ends = [each.values[-1].end for each in rule.parameters.values()]
    last = min((end for end in ends if end is not None), default=None)
    return {
        "id": rule.id,
        "kind": rule.kind,
        "structure": rule.structure,
        "status": rule.status,
        "title": rule.title,
        "authority": rule.authority,
        "level": rule.level,
        "dates": to_plain({"first": rule.first_date, "last": last}),
        "sources": [{"title": each.title, "url": each.url} for each in rule.sources.values()],
        "parameters": len(rule.parameters),
        "assumed_share": rule.assumed_share,
    }


def _rule_in_full(rule: Rules) -> dict[str, Any]:
    from crossmargin.records import to_plain

    full = to_plain(rule)
    details = {name: full[name] for name in ("scope", "sources", "parameters", "conditions")}
    return {**_rule_summary(rule), **details}


def _rules_text(rules: list[dict[str, Any]]) -> str:
    header = ("rule", "kind", "status", "first date", "last date", "parameters", "assumed", "title")
    rows = [
        (
            each["id"],
            f"{each['kind']} {each['structure']}".rstrip(),
            each["status"],
            each["dates"]["first"] or "-",
            each["dates"]["last"] or "open",
            str(each["parameters"]),
            f"{each['assumed_share']:.0%}",
            each["title"],
        )
        for each in rules
    ]
    sources = [
        f"{each['id']}: {source['title']} {source['url']}".rstrip() for each in rules for source in each["sources"]
    ]
    closing = "`assumed` is the share of parameters graded so. `crossmargin rules ID` shows one rule."
    return "\n".join([*_aligned([header, *rows]), "", "Sources", *sources, "", closing])


def _rule_text(rule: Rules) -> str:
    kind = f"{rule.kind} {rule.structure}".rstrip()
    parts = [f"{rule.id}: {rule.title}", f"{kind}, {rule.status}, {rule.authority}, level {rule.level}"]
    parts += [rule.scope.strip(), ""]
    for parameter in rule.parameters.values():
        parts.append(f"{parameter.name} [{parameter.unit}]: {parameter.about}")
        for dated in parameter.values:
            until = f" until {dated.end}" if dated.end else ""
            parts.append(f"  from {dated.start}{until}: {_value_text(dated.value)}")
            parts.append(f"    {dated.grade}: {rule.sources[dated.source].title}, {dated.locator}".rstrip(", "))
    for each in rule.conditions:
        parts += _condition_lines(each)
    sources = [f"  {source.title} {source.url}".rstrip() for source in rule.sources.values()]
    return "\n".join([*parts, "", "Sources", *sources])


def _condition_lines(condition: Condition, depth: int = 0) -> Iterable[str]:
    """Yield a condition and, further in, those that it combines."""
    indent, combines = "  " * depth, f" ({condition.combines} of)" if condition.combines else ""
    when = f"{' and '.join(condition.origin)} from {condition.start}"
    yield f"{indent}condition {condition.id}{combines}, {when}: {condition.about}"
    yield f"{indent}    {condition.grade}: {condition.source.title}, {condition.locator}".rstrip(", ")
    for part in condition.parts:
        yield from _condition_lines(part, depth + 1)


def _value_text(value: Any) -> str:
    from crossmargin.records import to_plain

    return value if isinstance(value, str) else json.dumps(to_plain(value))


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

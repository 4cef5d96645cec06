"""The page that says what is margined by what: product by rule-set by status, from the silos and the dated values.

Sphinx calls `setup`; `page()` gives the MyST text. Nothing on it is written by hand, so nothing on it can be stale.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rulepages import all_rules, table, text

from crossmargin.parameters import Rules
from crossmargin.products import PRODUCT_KINDS
from crossmargin.regimes import PROPOSALS, REGIMES, TODAY, Silo

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ABOUT = """\
What the library margins, by what, and how well founded it is. The page is generated from the silos of today's regime
and from the dated values of each rule. “Founded” is the share of values that were read in a rule or published by the
clearing house or broker; the rest is fitted, assumed or proposed. “Newest value” is the last day on which a value of
the rule changed. A product that no row names is shown as *not modelled* wherever it is held, and its total as partial.
How often each model failed on real history is told in [Margin through crises](../explanation/margin_through_crises.md).
"""
_FOUNDED = {"rule", "disclosure"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the page before Sphinx looks for its sources, and after the pages of the rules."""
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write(app: Sphinx) -> None:
    target = Path(app.srcdir) / "reference" / "coverage.md"
    if not target.exists() or target.read_text(encoding="utf-8") != page():
        target.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the MyST text of the page."""
    rules = {each.id: each for each in all_rules()}
    parts = ["# Coverage", ABOUT, "## Products under today's rules", _products(rules), "## Rules", _rules(rules)]
    return "\n\n".join(parts) + "\n"


def _products(rules: dict[str, Rules]) -> str:
    heads = ["product", "pot", "rule-set", "status", "level", "account classes", "founded", "newest value"]
    listed = list(dict.fromkeys([*PRODUCT_KINDS, *(kind for silo in TODAY for kind in sorted(silo.kinds))]))
    rows = [row for kind in listed for row in _rows(kind, rules)]
    return table(heads, rows)


def _rows(kind: str, rules: dict[str, Rules]) -> Iterable[list[str]]:
    silos = [silo for silo in TODAY if kind in silo.kinds]
    for silo in silos:
        yield [f"`{kind}`", text(silo.pot), *_of_silo(silo, rules[silo.ruleset])]
    if not silos:
        yield [f"`{kind}`", "—", "*not modelled*", "—", "—", "—", "—", "—"]


def _of_silo(silo: Silo, rule: Rules) -> list[str]:
    classes = ", ".join(sorted(text(each.value) for each in silo.account_classes))
    elected = ", if elected" if silo.elected_by else ""
    return [_link(rule) + elected, _status(rule), silo.level, classes, _founded(rule), _newest(rule)]


def _rules(rules: dict[str, Rules]) -> str:
    heads = ["rule", "kind", "status", "complete from", "in the regimes", "founded", "newest value"]
    rows = [
        [_link(each), f"{each.kind} {each.structure}".strip().replace("_", " "), _status(each),
         str(each.first_date or "—"), _used(each), _founded(each), _newest(each)]
        for each in rules.values()
    ]  # fmt: skip
    return table(heads, rows)


def _used(rule: Rules) -> str:
    every = (*REGIMES, *PROPOSALS)
    named = [each.name for each in every if rule.id in each.programmes or rule.id in {s.ruleset for s in each.silos}]
    if len(dict.fromkeys(named)) == len({each.name for each in every}):
        return "all"
    return ", ".join(f"`{name}`" for name in dict.fromkeys(named)) or "on its own"


def _link(rule: Rules) -> str:
    return f"[{rule.id}](rules/{rule.id}.md)"


def _status(rule: Rules) -> str:
    return f"**{rule.status}**" if rule.status != "in_force" else "in force"


def _founded(rule: Rules) -> str:
    grades = [dated.grade for each in rule.parameters.values() for dated in each.values]
    return f"{sum(grade in _FOUNDED for grade in grades) / len(grades):.0%}" if grades else "—"


def _newest(rule: Rules) -> str:
    return str(max((dated.start for each in rule.parameters.values() for dated in each.values), default="—"))

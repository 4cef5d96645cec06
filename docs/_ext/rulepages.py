"""One page per rule from its `.toml`: what it is, since when, every dated value with source and grade.

Sphinx calls `setup`; `page(rules)` gives the MyST text of one page and `overview(rules)` the table of all.
The text says what the file says and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossmargin.parameters import Condition, DatedValue, Parameter, Rules, Source, load_rules

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDERS = ("rulesets", "arrangements", "proposals", "collateral")
STATUS = {
    "in_force": "In force.",
    "approved": "Approved, and not yet in force.",
    "proposed": "A proposal. **Nothing on this page is in force.**",
    "withdrawn": "Withdrawn. **Nothing on this page is in force any more.**",
}
GRADES = {
    "rule": "read in the text of the rule",
    "disclosure": "published by the clearing house or broker",
    "calibrated": "fitted to data, and reproducible",
    "assumed": "our assumption: the figure is confidential or was not found",
    "proposed": "part of a proposal",
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for its sources."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(app: Sphinx) -> None:
    """Write one page per rule and the overview, and remove pages of rules that are gone."""
    folder = Path(app.srcdir) / "reference" / "rules"
    folder.mkdir(parents=True, exist_ok=True)
    rules = all_rules()
    pages = {"index.md": overview(rules)} | {f"{each.id}.md": page(each) for each in rules}
    for stale in set(folder.glob("*.md")) - {folder / name for name in pages}:
        stale.unlink()
    for name, text in pages.items():
        target = folder / name
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def all_rules() -> list[Rules]:
    """Return every rule of the package, in the order of the folders."""
    import crossmargin

    package = Path(crossmargin.__path__[0])
    return [load_rules(path) for folder in FOLDERS for path in sorted((package / folder).glob("*.toml"))]


def overview(rules: Iterable[Rules]) -> str:
    """Return the table of all rules and the list of their pages."""
    listed = list(rules)
    rows = [
        [
            f"[{each.id}]({each.id}.md)",
            each.kind,
            each.status.replace("_", " "),
            text(each.authority),
            each.level,
            str(each.first_date or ""),
            f"{each.assumed_share:.0%}",
        ]
        for each in listed
    ]
    heads = ["rule", "kind", "status", "authority", "level", "complete from", "assumed"]
    about = (
        "Every rule-set, arrangement, proposal and schedule of collateral, generated from the dated values that the\n"
        "code reads.\n"
        "“Complete from” is the first date on which every parameter has a value; “assumed” is the share of\n"
        "parameters whose latest value is our assumption."
    )
    parts = [
        "# Rules",
        about,
        table(heads, rows),
        "## Grades",
        _definitions(GRADES),
        "```{toctree}\n:hidden:\n",
    ]
    return "\n\n".join(parts) + "\n".join(each.id for each in listed) + "\n```\n"


def page(rules: Rules) -> str:
    """Return the MyST text of one rule's page."""
    kind = "note" if rules.status == "in_force" else "warning"
    parts = [
        f"# {text(rules.title)}",
        f":::{{{kind}}}\n{STATUS[rules.status]}\n:::",
        text(rules.scope),
        _header(rules),
    ]
    if rules.conditions:
        parts += ["## Conditions", *(_condition(each) for each in rules.conditions)]
    if rules.parameters:
        parts += ["## Parameters", *(_parameter(each, rules) for each in rules.parameters.values())]
    return "\n\n".join([*parts, "## Sources", *_sources(rules)]) + "\n"


def _header(rules: Rules) -> str:
    rows = [
        ["identifier", f"`{rules.id}`"],
        ["kind", rules.kind],
        ["authority", text(rules.authority)],
        ["level", rules.level],
        ["complete from", str(rules.first_date or "no parameters")],
        ["parameters that are assumed", f"{rules.assumed_share:.0%}"],
    ]
    return table(["", ""], rows)


def _condition(condition: Condition) -> str:
    dates = f"from {condition.start}" + (f" until {condition.end}" if condition.end else "")
    facts = [f"Binds {' and '.join(condition.origin)} positions {dates}."]
    facts += [f"Cure: {text(condition.cure)}"] if condition.cure else []
    facts += [f"Source: {cite(condition.source, condition.locator)} ({condition.grade})."]
    return "\n\n".join([f"### {condition.id}", text(condition.about), *facts])


def _parameter(parameter: Parameter, rules: Rules) -> str:
    plain = all(is_plain(dated.value) for dated in parameter.values)
    heads = ["value" if plain else "version", "from", "until", "grade", "source"]
    rows = [
        [show(dated.value) if plain else str(number), *_dated(dated, rules)]
        for number, dated in enumerate(parameter.values, 1)
    ]
    unit = "" if parameter.unit == "1" else f" Unit: {parameter.unit}."
    neutral = show(parameter.neutral) if parameter.neutral else "nothing"
    off = "" if parameter.neutral is None else f" A floor or add-on hangs on it, which vanishes at {neutral}."
    parts = [f"### {parameter.name}", text(parameter.about) + unit + off, table(heads, rows)]
    return "\n\n".join(parts + ([] if plain else list(_versions(parameter))))


def _dated(dated: DatedValue, rules: Rules) -> list[str]:
    source = cite(rules.sources[dated.source], dated.locator)
    return [str(dated.start), str(dated.end or "—"), dated.grade, source]


def _versions(parameter: Parameter) -> Iterator[str]:
    for number, dated in enumerate(parameter.values, 1):
        rows = dated.value if isinstance(dated.value, tuple) else (dated.value,)
        heads = list(dict.fromkeys(key for row in rows for key in row))
        body = [[show(row.get(key, "")) for key in heads] for row in rows]
        yield f"Version {number}, from {dated.start}:\n\n{table(heads, body)}"


def _sources(rules: Rules) -> Iterator[str]:
    for source in rules.sources.values():
        dates = [f"published {source.published}"] if source.published else []
        dates += [f"read {source.retrieved}"] if source.retrieved else []
        yield f"- {cite(source, '')}" + (f" ({', '.join(dates)})" if dates else "")


def cite(source: Source, locator: str) -> str:
    """Return the source as a link, with the place in it."""
    title = f"[{text(source.title)}](<{source.url}>)" if source.url else text(source.title)
    return f"{title}, {text(locator)}" if locator else title


def is_plain(value: Any) -> bool:
    """Whether a value fits into one cell: a scalar, or a tuple of scalars."""
    return not isinstance(value, dict) and not (isinstance(value, tuple) and any(map(_nested, value)))


def _nested(value: Any) -> bool:
    return isinstance(value, dict)


def show(value: Any) -> str:
    """Return a value as text: no rounding, no float noise, `yes` and `no` for flags."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(show, value)) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1000 else repr(value)
    return text(str(value))


def text(words: str) -> str:
    """Return plain words so that MyST shows them as they are."""
    escaped = " ".join(words.split())
    for mark in ("\\", "|", "*", "_", "`", "<", "[", "]", "$"):
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a MyST table; cells are MyST already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _definitions(words: dict[str, str]) -> str:
    return "\n\n".join(f"{word}\n: {meaning}" for word, meaning in words.items())

"""Laws of the rule files: no regulatory number in code; every value dated, sourced, graded, readable."""

from __future__ import annotations

import ast
import math
import re
import tomllib
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from crossmargin.errors import NotInForce, ParameterMissing
from crossmargin.parameters import COMBINATIONS, GRADES, STATUSES, load_rules

PACKAGE = Path(__file__).resolve().parents[2] / "crossmargin"
KINDS = {"rulesets": "ruleset", "arrangements": "arrangement", "proposals": "proposal"}
LEVELS = ("customer", "clearing")
ORIGINS = {"house", "customer"}
LAST_QUARTER = date(2026, 12, 31)
HARMLESS = {0, 1, 2}  # with a sign or without; anything else in a rule's code could be regulation

CODE = sorted(path for folder in KINDS for path in (PACKAGE / folder).glob("*.py") if not path.stem.startswith("_"))
FILES = sorted(path for folder in KINDS for path in (PACKAGE / folder).glob("*.toml"))
every_code = pytest.mark.parametrize("path", CODE, ids=lambda path: path.stem)
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)

UNITS = {  # unit -> the Python types that TOML gives for it
    "1": (int, float),
    "USD": (int, float),
    "business day": (int,),
    "day": (int,),
    "second": (int, float),
    "year": (int, float),
    "bp": (int, float),
    "text": (str,),
    "date": (date,),
    "flag": (bool,),
    "table": (dict,),
}
RULE_FIELDS = {"id", "kind", "title", "authority", "level", "status", "scope", "sources"}
VALUE_FIELDS = {"from", "value", "source", "grade"}
CONDITION_FIELDS = {"about", "cure", "source", "grade", "from"}


# ------------------------------------------------------------------------------- no number in a rule's code


def literals(source: str) -> list[tuple[int, str]]:
    """Line and text of every number in code that could be regulation, also one dressed as a string."""
    tree = ast.parse(source)
    lines = source.splitlines()
    harmless = {id(node) for part in ast.walk(tree) for node in wording(part)}
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in harmless)
    return [
        (node.lineno, repr(node.value))
        for node in found
        if is_number(node.value) and not excused(lines[node.lineno - 1 : node.end_lineno])
    ]


def wording(node: ast.AST) -> list[ast.AST]:
    """Constants below a node that are prose or layout: docstrings and the formats of f-strings."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return [node.value]
    if isinstance(node, ast.FormattedValue) and node.format_spec:
        return list(ast.walk(node.format_spec))
    return []


def is_number(value: object) -> bool:
    if isinstance(value, bool) or value is None:
        return False
    try:
        number = float(value.replace(",", "").rstrip("%")) if isinstance(value, str) else abs(value)
    except (ValueError, TypeError):
        return False
    return math.isfinite(number) and abs(number) not in HARMLESS


def excused(lines: list[str]) -> bool:
    return any(re.search(r"#.*\bliteral: \S", line) for line in lines)


@every_code
def test_no_regulatory_number_in_code(path):
    found = literals(path.read_text(encoding="utf-8"))
    assert not found, f"{path.name}: move these into {path.stem}.toml, or say `# literal: why` on the line: {found}"


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("x = 0.99", 1),
        ("x = -0.8", 1),
        ("x = 3", 1),
        ("x = float('0.8')", 1),
        ("x = '1,000,000'", 1),
        ("f(days=10)", 1),
        ("def f(cap=0.8): ...", 1),
        ("x = date(2026, 4, 30)", 3),
        ("x = 365  # literal: days in a year", 0),
        ("x = 365  # literal:", 1),
        ("x = [0, 1, -1, 2.0, True, None, 'text', '.2f', 'nan']", 0),
        ('"""99 % over 3 days."""', 0),
        ("f'{x:.4%} of {y:,.0f}'", 0),
        ("f'{x * 0.8:.4%}'", 1),
        ("def f():\n    '''0.99'''", 0),
    ],
)
def test_the_search_for_literals_finds_them(code, count):
    assert len(literals(code)) == count


def test_every_rule_has_its_file_and_every_file_its_rule():
    assert [path.with_suffix("") for path in CODE] == [path.with_suffix("") for path in FILES]


# ------------------------------------------------------------------------------------------ the file's form


def read(path: Path) -> dict:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@every_file
def test_the_head_is_complete(path):
    data = read(path)
    assert not RULE_FIELDS - set(data)
    assert set(data) <= RULE_FIELDS | {"parameters", "conditions", "structure"}
    assert ("structure" in data) == (data["kind"] == "arrangement")
    assert data["id"] == path.stem
    assert data["kind"] == KINDS[path.parent.name]
    assert data["status"] in STATUSES
    assert data["level"] in LEVELS
    for name in ("title", "authority", "scope"):
        assert data[name].strip(), name


@every_file
def test_a_proposal_never_looks_in_force(path):
    data = read(path)
    assert (data["kind"] == "proposal") == (data["status"] == "proposed")
    grades = {value["grade"] for parameter in data.get("parameters", {}).values() for value in parameter["values"]}
    assert data["kind"] == "proposal" or "proposed" not in grades


@every_file
def test_every_parameter_has_unit_meaning_and_dated_values(path):
    for name, parameter in read(path).get("parameters", {}).items():
        assert name.isidentifier(), name
        assert set(parameter) - {"neutral", "range"} == {"unit", "about", "values"}, name
        assert parameter["unit"] in UNITS, f"{name}: unit {parameter['unit']!r}"
        assert parameter["about"].strip(), name
        assert parameter["values"], name
        for value in parameter["values"]:
            assert not VALUE_FIELDS - set(value), name
            assert set(value) <= VALUE_FIELDS | {"until", "locator", "because"}, name
            assert value["grade"] in GRADES, name
            assert_fits(value["value"], parameter["unit"], name)


def assert_fits(value: object, unit: str, name: str) -> None:
    items = value if isinstance(value, list) else [value]
    for item in items:
        assert isinstance(item, UNITS[unit]), f"{name}: {item!r} is no {unit}"
        assert unit == "flag" or not isinstance(item, bool), f"{name}: {item!r} is a flag, not {unit}"
        assert not isinstance(item, float) or math.isfinite(item), f"{name}: {item!r}"


@every_file
def test_rule_and_disclosure_say_where_they_were_read(path):
    data = read(path)
    dated = [(name, value) for name, p in data.get("parameters", {}).items() for value in p["values"]]
    dated += list(data.get("conditions", {}).items())
    for name, value in dated:
        if value["grade"] in {"rule", "disclosure"}:
            assert value.get("locator", "").strip(), f"{name} {value['from']}: no locator"
            assert data["sources"][value["source"]].get("url"), f"{name}: source without a url"


@every_file
def test_dates_are_half_open_without_gap_or_overlap(path):
    for name, parameter in read(path).get("parameters", {}).items():
        values = parameter["values"]
        for value in values:
            assert type(value["from"]) is date, name
            assert "until" not in value or value["from"] < value["until"], name
        for earlier, later in pairwise(values):
            assert earlier.get("until") == later["from"], f"{name}: gap or overlap at {later['from']}"


@every_file
def test_every_condition_is_complete(path):
    data = read(path)
    for name, condition in data.get("conditions", {}).items():
        assert not CONDITION_FIELDS - set(condition), name
        assert set(condition) <= CONDITION_FIELDS | {"locator", "until", "origin", *COMBINATIONS}, name
        assert condition["grade"] in GRADES, name
        assert condition["about"].strip(), name
        assert condition["cure"].strip(), name
        assert condition["source"] in data["sources"], name
        assert set(condition.get("origin", ["house"])) <= ORIGINS, name
        assert "until" not in condition or condition["from"] < condition["until"], name


@every_file
def test_sources_exist_are_used_and_have_an_address(path):
    data = read(path)
    cited = {value["source"] for p in data.get("parameters", {}).values() for value in p["values"]}
    cited |= {condition["source"] for condition in data.get("conditions", {}).values()}
    assert data["sources"]
    assert cited == set(data["sources"]) or not cited, "cited and listed sources differ"
    for key, source in data["sources"].items():
        assert set(source) <= {"title", "url", "published", "retrieved"}, key
        assert source["title"].strip(), key
        assert all(type(source[name]) is date for name in ("published", "retrieved") if name in source), key
        if source.get("url"):
            assert_address(source["url"])


def assert_address(url: str) -> None:
    parts = urlsplit(url)
    assert parts.scheme in {"http", "https"}, url
    assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), url
    assert not re.search(r"[\s<>\"]", url), url


# -------------------------------------------------------------------------------- every quarter has a value


def quarter_ends(first: date, last: date = LAST_QUARTER) -> list[date]:
    """The first date, then every quarter's end after it until `last`."""
    firsts = [date(y, m, 1) for y in range(first.year, last.year + 2) for m in (1, 4, 7, 10)]
    ends = [day - timedelta(days=1) for day in firsts]
    return [first, *(end for end in ends if first < end <= last)]


@every_file
def test_every_quarter_has_a_value(path):
    rules = load_rules(path)
    for name, parameter in rules.parameters.items():
        first, end = parameter.values[0].start, parameter.values[-1].end
        for day in quarter_ends(first):
            if end is None or day < end:
                getattr(rules.at(day), name)
            else:
                with pytest.raises(NotInForce):
                    getattr(rules.at(day), name)


@every_file
def test_the_day_before_the_first_is_refused(path):
    rules = load_rules(path)
    for name, parameter in rules.parameters.items():
        with pytest.raises(NotInForce, match=name):
            getattr(rules.at(parameter.values[0].start - timedelta(days=1)), name)


@every_file
def test_a_change_takes_effect_on_its_day_and_not_before(path):
    rules = load_rules(path)
    for name, parameter in rules.parameters.items():
        for earlier, later in pairwise(parameter.values):
            assert getattr(rules.at(later.start - timedelta(days=1)), name) == earlier.value
            assert getattr(rules.at(later.start), name) == later.value


@every_file
def test_an_unknown_parameter_is_refused(path):
    with pytest.raises(ParameterMissing, match="no_such_parameter"):
        _ = load_rules(path).at(LAST_QUARTER).no_such_parameter


def test_quarter_ends_include_the_first_day_and_the_last():
    assert quarter_ends(date(2026, 6, 30)) == [date(2026, 6, 30), date(2026, 9, 30), date(2026, 12, 31)]

"""Reports as JSON documents: the published schema holds, nothing stands twice, and what is wrong is named."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.collateral import CollateralReport
from crossmargin.documents import SCHEMAS, from_document, json_schema, schema_of
from crossmargin.eligibility import Decision, Reason
from crossmargin.errors import InputError, NumericalError
from crossmargin.margin import collateral_report, compare, margin
from crossmargin.parameters import Read, Source
from crossmargin.regimes import SILOED
from crossmargin.results import Comparison, Credit, Line, Report, Requirement, not_modelled, total

PUBLISHED = Path(__file__).resolve().parents[1] / "docs" / "reference"
AS_OF = date(2026, 6, 30)
BOOK = Source("Rule book", "https://example.org", date(2024, 2, 29))
CAP = Read("toy", "cap", 0.5, "1", "rule", BOOK, "§ 1")
TABLE = Read("toy", "table", ({"bucket": "a", "rate": 0.02},), "1", "assumed", Source("Notice"))
REASON = Reason("open", "it is open", "Wait.", "Rule book, 4", "rule")
ASKED = Requirement("p", "A", "CME", "clearing", "toy", ("1",), Line("asked", 5.0, reads=(CAP, TABLE)))
REPORT = Report(
    "cross_margin",
    "Cross-margin",
    "in_force",
    AS_OF,
    (ASKED, evolve(ASKED, line=total("t", [Line("a", 1.0, reads=(CAP,)), not_modelled("gap", "not public")]))),
    (Credit("prog", "p", "A", "CME", Line("credit", -1.0, reads=(CAP,))),),
    (Decision("prog", "1", "note", False, (REASON,)), Decision("prog", "2", "bill", False, (REASON,))),
    ("a note",),
    {"A": "Alpha"},
)
BOTH = Comparison((evolve(REPORT, regime="siloed", credits=()), REPORT))


@pytest.fixture(scope="module")
def comparison():
    return compare(*samples.basis_trade())


def refused(kind, document) -> str:
    with pytest.raises(InputError) as error:
        kind.from_json(document if isinstance(document, str) else json.dumps(document))
    return str(error.value)


# ---------------------------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("result", [REPORT, BOTH, Report("r", "t", "proposed", AS_OF), Comparison((REPORT,))])
def test_what_is_written_is_read_back_equal(result):
    kind = type(result)
    assert kind.from_json(result.to_json()) == result
    assert kind.from_json(result.to_json(indent=2).encode()) == result
    assert from_document(SCHEMAS[schema_of(result.to_json())], result.to_json()) == result


def test_what_many_share_stands_once():
    document = json.loads(BOTH.to_json())
    assert [len(document[name]) for name in ("reads", "sources", "reasons")] == [2, 2, 1]
    (first, second) = document["reports"]
    assert first["requirements"][0]["line"]["reads"] == second["requirements"][0]["line"]["reads"] == [0, 1]
    assert [each["because"] for each in second["decisions"]] == [[0], [0]]
    assert document["reads"][0]["source"] == 0
    assert document["sources"][0]["published"] == "2024-02-29"


def test_the_sample_survives_and_shrinks(comparison):
    text = comparison.to_json()
    assert Comparison.from_json(text) == comparison
    written_out = sum(len(json.dumps(str(read))) for report in comparison.reports for read in report.reads())
    assert text.count('"locator"') <= len(json.loads(text)["reads"]), written_out


values = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1e9, 1e9) | st.text(max_size=4)
reads = st.builds(
    Read,
    st.text(max_size=3),
    st.text(max_size=3),
    values | st.lists(values, max_size=3).map(tuple) | st.dictionaries(st.text(max_size=3), values, max_size=2),
    st.just("1"),
    st.sampled_from(["rule", "assumed"]),
    st.builds(Source, st.text(max_size=3), published=st.none() | st.dates()),
)
lines = st.recursive(
    st.builds(Line, st.text(max_size=3), st.floats(-1e12, 1e12), reads=st.lists(reads, max_size=2)),
    lambda parts: st.builds(total, st.text(max_size=3), st.lists(parts, max_size=3), note=st.text(max_size=3)),
    max_leaves=5,
)
reports = st.builds(
    Report,
    st.sampled_from(["siloed", "cross_margin"]),
    st.text(max_size=3),
    st.sampled_from(["in_force", "proposed"]),
    st.dates(),
    st.lists(st.builds(evolve, st.just(ASKED), line=lines), max_size=3).map(tuple),
    notes=st.lists(st.text(max_size=3), max_size=2).map(tuple),
)


@given(st.lists(reports, min_size=1, max_size=2))
def test_report_to_json_to_report(found):
    both = Comparison(tuple(found))
    assert Comparison.from_json(both.to_json()) == both
    assert both.to_json() == Comparison.from_json(both.to_json()).to_json()
    assert valid(json.loads(both.to_json()), json_schema()) == []


# ------------------------------------------------------------------------------------------------------- the schema


def valid(data, schema, root=None, where="") -> list[str]:
    """What of the data breaks a JSON Schema, as far as ours uses it."""
    root = root or schema
    if "$ref" in schema:
        return valid(data, root["$defs"][schema["$ref"].rpartition("/")[2]], root, where)
    for several in ("oneOf", "anyOf"):
        if several in schema:
            fits = [each for each in schema[several] if not valid(data, each, root, where)]
            return [] if fits and (several == "anyOf" or len(fits) == 1) else [f"{where}: {len(fits)} of {several}"]
    if "const" in schema or "enum" in schema:
        return [] if data in schema.get("enum", [schema.get("const")]) else [f"{where}: {data!r}"]
    kinds = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None), "integer": int}
    if kind := schema.get("type"):
        python = kinds.get(kind, (int, float))
        if not isinstance(data, python) or (isinstance(data, bool) and kind != "boolean"):
            return [f"{where}: {data!r} is no {kind}"]
    found = []
    if schema.get("type") == "array":
        found = [valid(item, schema["items"], root, f"{where}[{n}]") for n, item in enumerate(data)]
    if schema.get("type") == "object":
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        found = [[f"{where}.{name} is missing"] for name in schema.get("required", []) if name not in data]
        for name, item in data.items():
            inner = known.get(name, rest if isinstance(rest, dict) else {} if rest else None)
            found.append([f"{where}.{name} is unknown"] if inner is None else valid(item, inner, root, name))
    return [each for some in found for each in some]


def test_the_published_schema_is_that_of_the_code():
    for name, schema in (("report", json_schema()), ("collateral", json_schema(CollateralReport))):
        text = (PUBLISHED / f"{name}.schema.json").read_text(encoding="utf-8")
        assert json.loads(text) == schema, "run tools/report_schema.py"


def test_a_collateral_report_has_a_schema_of_its_own():
    portfolio, market = samples.group()
    report = collateral_report(portfolio, market, margin(portfolio, market, SILOED))
    document = json.loads(report.to_json())
    assert document["schema"] == "crossmargin/collateral/1"
    assert valid(document, json_schema(CollateralReport)) == []
    assert CollateralReport.from_json(report.to_json()) == report
    assert "is a Report. Use Report.from_json." in refused(CollateralReport, {"schema": "crossmargin/report/1"})
    assert "is of the schema 'crossmargin/collateral/1'" in refused(Report, report.to_json())


def test_documents_fit_the_schema_and_damaged_ones_do_not(comparison):
    schema = json_schema()
    for result in (comparison, comparison.reports[0], REPORT, BOTH):
        document = json.loads(result.to_json())
        assert valid(document, schema) == []
        assert valid({**document, "schema": "crossmargin/report/2"}, schema)
        assert valid({**document, "more": 1}, schema)
    assert valid({**json.loads(REPORT.to_json()), "regime": 7}, schema)


# -------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("kind", "text", "what"),
    [
        (Report, "not json", "is no readable JSON: line 1, column 1."),
        (Report, "", "is no readable JSON: line 1, column 1."),
        (Report, '{"schema": ', "is no readable JSON"),
        (Report, "[" * 100_000, "is no readable JSON"),
        (Report, "[]", "is no JSON object. Give the text that Report.to_json() wrote."),
        (Comparison, "null", "is no JSON object."),
        (Report, "{}", "names no schema."),
        (Report, '{"schema": 1}', "is of the schema 1, not of 'crossmargin/report/1'."),
        (Report, '{"schema": "crossmargin/report/2"}', "Did you mean 'crossmargin/report/1'? Read it with the version"),
        (Report, BOTH.to_json(), "is a Comparison. Use Comparison.from_json."),
        (Comparison, REPORT.to_json(), "is a Report. Use Report.from_json."),
    ],
)
def test_text_of_another_schema_is_refused(kind, text, what):
    message = refused(kind, text)
    assert what in message
    assert not re.search(r"Expecting|object is not|NoneType|keyword argument", message)


def test_bytes_that_are_no_text_and_none_are_refused():
    for thing in (b"\xff\xfe\x00", None, 7):
        with pytest.raises(InputError, match="is no readable JSON"):
            Report.from_json(thing)


def test_every_wrong_type_is_named_with_its_place():
    document = json.loads(REPORT.to_json())
    document |= {"regime": 7, "title": None, "status": ["in_force"], "as_of": "30 June", "notes": "a note"}
    document["requirements"][0]["line"]["amount"] = "5"
    document["requirements"][1] = "gone"
    document["credits"][0]["line"]["reads"] = [9]
    document["decisions"][0]["alowed"] = document["decisions"][0].pop("allowed")
    message = refused(Report, document)
    assert message.startswith("10 problems in the JSON of a Report:")
    for what in (
        "regime: 7 is no text.",
        "title: None is no text.",
        "status: ['in_force'] is no text.",
        "as_of: '30 June' is no date YYYY-MM-DD.",
        "notes: 'a note' is no list.",
        "requirements[0].line.amount: '5' is no finite number.",
        "requirements[1]: 'gone' is no object.",
        "credits[0].line.reads[0]: 9 is no place in a table of 2 rows.",
        "decisions[0].alowed: is unknown. Did you mean 'allowed'?",
        "decisions[0].allowed: is missing.",
    ):
        assert what in message


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ({"reads": {}}, "reads: {} is no list."),
        ({"reads": [{}]}, "reads[0].rule: is missing."),
        ({"sources": []}, "reads[0].source: 0 is no place in a table of 0 rows."),
        ({"reasons": [3]}, "reasons[0]: 3 is no object."),
    ],
)
def test_damaged_tables_are_told(damage, what):
    assert what in refused(Report, {**json.loads(REPORT.to_json()), **damage})


def test_a_document_may_leave_out_empty_tables_and_what_is_derived():
    plain = json.loads(Report("r", "t", "in_force", AS_OF).to_json())
    for name in ("reads", "sources", "reasons", "notes"):
        del plain[name]
    assert Report.from_json(json.dumps(plain)) == Report("r", "t", "in_force", AS_OF)
    whole = json.loads(BOTH.to_json())
    for name in ("totals", "status", "benefits"):
        del whole[name]
    assert Comparison.from_json(json.dumps(whole)) == BOTH


def test_a_status_cannot_be_dropped():
    document = json.loads(evolve(REPORT, status="proposed").to_json())
    del document["status"]
    assert "status: is missing." in refused(Report, document)


def places(data, path=()):
    """Every place in a document."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, item in items:
        yield from places(item, (*path, name))


PLACES = list(places(json.loads(REPORT.to_json())))[1:]
DAMAGE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([]) | st.just({})


@given(st.sampled_from(PLACES), DAMAGE)
def test_a_damaged_document_is_refused_or_says_what_it_says(place, value):
    document = json.loads(REPORT.to_json())
    inner = document
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    try:
        found = Report.from_json(json.dumps(document))
    except (InputError, NumericalError):
        return
    assert Report.from_json(found.to_json()) == found

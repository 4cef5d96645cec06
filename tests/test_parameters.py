"""Dated, sourced values: what is in force when, what was read, what an overlay says."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError, NotInForce, ParameterMissing
from crossmargin.parameters import Condition, DatedValue, Parameter, Rules, Source, load_rules

HEADER = """
id = "toy"
kind = "ruleset"
title = "Toy"
authority = "Nobody"
level = "clearing"
status = "in_force"
scope = "none"
[sources.book]
title = "Rule book"
url = "https://example.org"
published = 2019-12-01
[sources.paper]
title = "Paper"
"""
VALUES = """
[parameters.rate]
unit = "1"
about = "A rate."
values = [
  {from = 2020-01-01, until = 2022-07-01, value = 0.5, source = "book", locator = "3.1", grade = "rule"},
  {from = 2022-07-01, value = 0.6, source = "paper", grade = "assumed"},
]
[parameters.table]
unit = "table"
about = "A table."
values = [{from = 2021-01-01, value = [{row = [1, 2], day = 2021-05-05}], source = "book", grade = "rule"}]
[conditions.open]
about = "it is open"
cure = "Wait."
source = "book"
locator = "4"
grade = "rule"
from = 2020-01-01
until = 2023-01-01
origin = ["house"]
"""
_names = count()


@pytest.fixture
def load(tmp_path):
    def loaded(text: str) -> Rules:
        path = tmp_path / f"toy{next(_names)}.toml"
        path.write_text(text, encoding="utf-8")
        return load_rules(path)

    return loaded


@pytest.fixture
def toy(load) -> Rules:
    return load(HEADER + VALUES)


# -------------------------------------------------------------------------------------------------- what is in force


@pytest.mark.parametrize(
    ("day", "value"),
    [
        (date(2020, 1, 1), 0.5),
        (date(2020, 2, 29), 0.5),
        (date(2022, 6, 30), 0.5),
        (date(2022, 7, 1), 0.6),
        (date(2099, 12, 31), 0.6),
    ],
)
def test_dates_are_half_open(toy, day, value):
    assert toy.at(day).rate == value


@pytest.mark.parametrize("day", [date.min, date(2019, 12, 31)])
def test_values_are_never_carried_back(toy, day):
    with pytest.raises(NotInForce, match=r"toy: 'rate'.*first date is 2020-01-01.*with_values\(rate="):
        _ = toy.at(day).rate


def test_a_value_may_end_for_good(load):
    ended = load(HEADER + VALUES.replace('{from = 2022-07-01, value = 0.6, source = "paper", grade = "assumed"},', ""))
    assert ended.at(date(2022, 6, 30)).rate == 0.5
    with pytest.raises(NotInForce):
        _ = ended.at(date(2022, 7, 1)).rate


def test_a_name_that_does_not_exist_gets_a_suggestion(toy):
    with pytest.raises(ParameterMissing, match="Did you mean 'rate'"):
        _ = toy.at(date(2024, 1, 1)).rates
    with pytest.raises(ParameterMissing, match="Did you mean 'table'"):
        toy.with_values(tabel=1, because="typo")


@given(st.lists(st.dates(date(2000, 1, 1), date(2030, 1, 1)), min_size=1, max_size=6, unique=True), st.dates())
def test_exactly_one_value_holds_on_every_day_from_the_first(starts, day):
    starts = sorted(starts)
    values = tuple(
        DatedValue(start, number, "s", "rule", end=end)
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], None], strict=True))
    )
    rules = Rules("toy", parameters={"x": Parameter("x", "1", "", values)}, sources={"s": Source("S")})
    assert sum(value.covers(day) for value in values) == (day >= starts[0])
    if day >= starts[0]:
        assert rules.at(day).x == max(n for n, start in enumerate(starts) if start <= day)


def test_a_condition_binds_by_date_and_origin(toy):
    (condition,) = toy.conditions
    assert isinstance(condition, Condition)
    assert condition.applies(date(2020, 1, 1), "house")
    assert not condition.applies(date(2020, 1, 1), "customer")
    assert not condition.applies(date(2019, 12, 31), "house")
    assert condition.applies(date(2022, 12, 31), "house")
    assert not condition.applies(date(2023, 1, 1), "house")
    assert condition.source.title == "Rule book"


# ------------------------------------------------------------------------------------------------------ what is read


def test_the_reader_hands_on_what_was_read_once(toy):
    reader = toy.at(date(2023, 1, 1))
    assert reader.taken() == ()
    _ = reader.rate, reader.rate, reader.table
    reads = reader.taken()
    assert [read.name for read in reads] == ["rate", "table"]
    assert reader.taken() == ()
    assert (reads[0].rule, reads[0].grade, reads[0].source.title) == ("toy", "assumed", "Paper")
    assert reads[1].value == ({"row": (1, 2), "day": "2021-05-05"},)


def test_a_reader_has_no_private_values(toy):
    with pytest.raises(AttributeError):
        _ = toy.at(date(2023, 1, 1))._secret


def test_values_cannot_be_changed_through_the_reader(toy):
    value = toy.at(date(2023, 1, 1)).table
    assert isinstance(value, tuple)
    assert isinstance(value[0]["row"], tuple)


# ---------------------------------------------------------------------------------------------------------- overlays


def test_an_overlay_holds_on_every_day_and_shows(toy):
    study = toy.with_values(rate=0.9, because="a study")
    for day in (date(1990, 1, 1), date(2021, 1, 1), date(2050, 1, 1)):
        reader = study.at(day)
        assert reader.rate == 0.9
        (read,) = reader.taken()
        assert (read.grade, read.because) == ("assumed", "a study")
        assert "overlay" in read.source.title
    assert toy.at(date(2021, 1, 1)).rate == 0.5


def test_a_later_overlay_replaces_and_others_stay(toy):
    study = toy.with_values(rate=0.9, because="one").with_values(table=[{"row": 2}], because="two")
    study = study.with_values(rate=0.8, because="three")
    reader = study.at(date(2021, 6, 1))
    assert (reader.rate, reader.table[0]["row"]) == (0.8, 2)
    assert [read.because for read in reader.taken()] == ["three", "two"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (3, "row 1 is 3. Give a dict"),
        ({"foo": 1}, "A row has day, row"),
        ({"row": [1], "dya": 2}, "Did you mean 'day'"),
    ],
)
def test_rows_that_are_none_of_the_table_are_refused(toy, row, said):
    with pytest.raises(InputError, match=said):
        toy.with_values(table=[row], because="typo")


def test_a_rule_shows_itself_in_one_line_with_what_is_overlaid(toy):
    assert repr(toy).startswith("<Rules toy: ")
    assert repr(toy.with_values(rate=0.9, because="one")).endswith("; overlaid: rate>")


def test_a_day_that_is_no_date_is_refused(toy):
    with pytest.raises(InputError, match="is not a date"):
        toy.in_force("rate", "2021-06-01")


def test_first_date_and_share_of_assumptions(toy):
    assert toy.first_date == date(2021, 1, 1)
    assert toy.assumed_share == 0.5
    assert Rules("empty").first_date is None
    assert Rules("empty").assumed_share == 0.0


# --------------------------------------------------------------------------------------------------------- bad files

BROKEN = {
    "unknown grade": ('grade = "rule"', 'grade = "ruel"', "Did you mean 'rule'"),
    "unknown source": ('source = "paper"', 'source = "papre"', "Did you mean 'paper'"),
    "unknown status": ('status = "in_force"', 'status = "inforce"', "unknown status"),
    "gap": ("until = 2022-07-01", "until = 2022-06-30", "gap or overlap"),
    "overlap": ("until = 2022-07-01", "until = 2022-07-02", "gap or overlap"),
    "open end before another value": (", until = 2022-07-01", "", "gap or overlap"),
    "condition without source": ('cure = "Wait."\nsource = "book"', 'cure = "Wait."', "source"),
    "condition of an unknown source": ('cure = "Wait."\nsource = "book"', 'cure = "Wait."\nsource = "none"', "none"),
    "field missing": ('unit = "1"\n', "", "unit"),
    "field unknown": ('locator = "3.1"', 'locater = "3.1"', "locater"),
    "header missing": ('title = "Toy"\n', "", "title"),
}


@pytest.mark.parametrize("what", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_by_name(load, what):
    old, new, message = what
    assert old in HEADER + VALUES
    with pytest.raises(InputError, match=message) as caught:
        load((HEADER + VALUES).replace(old, new, 1))
    assert "toy" in str(caught.value)


def test_every_fault_of_a_file_is_told_at_once(load):
    text = (
        (HEADER + VALUES)
        .replace('grade = "rule"', 'grade = "ruel"')
        .replace("until = 2022-07-01", "until = 2022-06-30")
    )
    with pytest.raises(InputError) as caught:
        load(text)
    assert len(caught.value.problems) >= 3


FAULTY = {
    "ends before it begins": ("from = 2020-01-01, until = 2022-07-01", "from = 2023-01-01, until = 2022-07-01"),
    "no value at all": (
        'values = [{from = 2021-01-01, value = [{row = [1, 2], day = 2021-05-05}], source = "book", grade = "rule"}]',
        "values = []",
    ),
    "grade of a condition": ('locator = "4"\ngrade = "rule"', 'locator = "4"\ngrade = "ruel"'),
    "not TOML": ("[parameters.rate]", "[parameters.rate"),
    "date as text": ("from = 2021-01-01", 'from = "2021-01-01"'),
}


@pytest.mark.parametrize("what", FAULTY.values(), ids=FAULTY)
def test_these_faults_are_refused_too(load, what):
    old, new = what
    assert old in HEADER + VALUES
    with pytest.raises(InputError):
        load((HEADER + VALUES).replace(old, new, 1))


def test_covers_is_half_open_to_the_day():
    value = DatedValue(date(2024, 2, 29), 1, "s", "rule", end=date(2025, 2, 28))
    assert [value.covers(date(2024, 2, 29) + timedelta(days)) for days in (-1, 0, 364, 365)] == [
        False,
        True,
        True,
        False,
    ]


# --------------------------------------------------------------------------------------- conditions that combine others

LEAF = 'about = "a"\ncure = "c"\nsource = "book"\ngrade = "rule"\nfrom = 2020-01-01\n'


def conditions(**combined: str) -> str:
    """The conditions `a` and `b`, and those given: name -> how they combine."""
    tables = {"a": "", "b": "", **combined}
    return HEADER + "".join(f"[conditions.{name}]\n{LEAF}{how}\n" for name, how in tables.items())


def test_a_condition_holds_its_parts_which_do_not_stand_for_themselves(load):
    rules = load(conditions(either='any = ["a", "inner"]', inner='not = "b"', c=""))
    either, c = rules.conditions
    assert (either.id, either.combines, c.id) == ("either", "any", "c")
    assert [(part.id, part.combines) for part in either.walk()] == [
        ("either", "any"),
        ("a", ""),
        ("inner", "not"),
        ("b", ""),
    ]
    assert all(part.source.title == "Rule book" for part in either.walk())


def test_two_combinations_may_share_a_part(load):
    both = load(conditions(one='any = ["a", "b"]', two='all = ["a"]')).conditions
    assert [[part.id for part in each.parts] for each in both] == [["a", "b"], ["a"]]


@pytest.mark.parametrize(
    ("combined", "says"),
    [
        ({"c": "any = []"}, "c: any combines nothing"),
        ({"c": 'not = ""'}, "c: not combines nothing"),
        ({"c": 'all = ["a", "bb"]'}, "c: unknown condition 'bb'. Did you mean 'b'?"),
        ({"c": 'any = ["c"]'}, "c: combines itself"),
        ({"c": 'any = ["d"]', "d": 'not = "c"'}, "d: combines itself"),
        ({"c": 'any = ["a"]\nall = ["b"]'}, "c: combines in several ways"),
        ({"c": 'not = ["a"]'}, "c: not = ('a',): write a list of names after any and all, one name after not"),
        ({"c": 'any = "a"'}, "c: any = 'a': write a list"),
        ({"c": "any = 5"}, "field missing or unknown"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused(load, combined, says):
    with pytest.raises(InputError) as caught:
        load(conditions(**combined))
    assert says in str(caught.value)


def test_every_fault_of_the_combinations_is_told_at_once(load):
    with pytest.raises(InputError) as caught:
        load(conditions(c="any = []", d='all = ["x"]', e='not = "e"').replace("2020-01-01", '"soon"', 1))
    assert len(caught.value.problems) == 4


def test_structure_is_an_arrangements(load):
    arrangement = HEADER.replace('"ruleset"', '"arrangement"')
    assert load(arrangement.replace("[sources.book]", 'structure = "one_pot"\n[sources.book]')).structure == "one_pot"
    for head, word in ((arrangement, "one_pots"), (HEADER, "one_pot")):
        with pytest.raises(InputError, match="structure"):
            load(head.replace("[sources.book]", f'structure = "{word}"\n[sources.book]'))


def test_an_overlay_without_a_reason_is_refused_with_all_else(load):
    toy = load(HEADER + VALUES)
    for because in ("", "  "):
        with pytest.raises(InputError, match="is no reason") as caught:
            toy.with_values(rate="much", because=because)
        assert "the rule has a number" in str(caught.value)


@pytest.mark.parametrize("value", [-0.1, 1.1, -5, 1e9])
def test_an_overlay_beyond_the_range_is_refused(load, value):
    ranged = load(HEADER + VALUES.replace('unit = "1"', 'unit = "1"\nrange = [0.0, 1.0]'))
    with pytest.raises(InputError, match=r"is out of range. Give 0 to 1\."):
        ranged.with_values(rate=value, because="study")
    for end in (0.0, 1.0, 1):
        assert ranged.with_values(rate=end, because="study").at(date(2026, 6, 30)).rate == end


def test_without_a_range_only_what_the_rule_itself_has_may_be_negative(load):
    toy = load(HEADER + VALUES.replace('unit = "1"', 'unit = "day"'))
    with pytest.raises(InputError, match=r"-5\.0 is out of range. Give 0 or more \(day\)"):
        toy.with_values(rate=-5.0, because="study")
    assert toy.with_values(rate=700.0, because="study")
    moves = load(HEADER + VALUES.replace("value = 0.5", "value = [-0.5, 1.0]").replace("value = 0.6", "value = [0.6]"))
    assert moves.with_values(rate=[-3.0, 7.0], because="study")
    with pytest.raises(InputError, match=r"nan is out of range\. Give a finite number"):
        moves.with_values(rate=[-3.0, float("nan")], because="study")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("range = 1", "write the least and the greatest"),
        ("range = [1.0, 0.0]", "write the least and the greatest"),
        ("range = [0.0, 0.55]", "0.6 is out of range"),
        ("range = [0.1, 1.0]\nneutral = 0.0", "0.0 is out of range"),
    ],
)
def test_a_file_fits_its_own_ranges(load, given, says):
    with pytest.raises(InputError, match=says):
        load(HEADER + VALUES.replace('unit = "1"', f'unit = "1"\n{given}'))


def test_a_neutral_value_makes_a_rule_plain_and_must_be_of_its_kind(load):
    about = 'about = "A rate."'
    toy = load(HEADER + VALUES.replace(about, f"{about}\nneutral = 0.0"))
    assert toy.with_values(rate=0.9, because="study").plain.at(date(2026, 6, 30)).rate == 0.0
    assert toy.plain.plain.overlays == toy.plain.overlays
    assert load(HEADER + VALUES).plain.overlays == {}
    with pytest.raises(InputError, match="rate: neutral is a list, the value is a number"):
        load(HEADER + VALUES.replace(about, f"{about}\nneutral = []"))

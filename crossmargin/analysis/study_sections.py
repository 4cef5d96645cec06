"""Parts of a study's page: how requirements did on past days, and what margin leaves uncovered.

`reliability(study)` is about all books; `back_tests(told)` and `protection(told)` about one. Formats only: every figure
comes from the tables of the study and stands with its status. Regimes with the same figures share a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from crossmargin.analysis.protection import DEFAULTS, STUDIED
from crossmargin.analysis.residual_losses import ALL
from crossmargin.analysis.study import Study
from crossmargin.analysis.study_coverage import CLAIM, ENOUGH, NOT_TESTED, OFTEN, SIGNIFICANCE, TOO_FEW
from crossmargin.analysis.study_html import (
    IN_FORCE,
    Told,
    alike,
    csv_link,
    figure_html,
    named_regime,
    table_html,
    usd,
)
from crossmargin.analysis.study_plots import Spot, dollars, scatter
from crossmargin.analysis.study_protection import BORNE, DEFAULT, SCENARIOS
from crossmargin.io.journal import Record
from crossmargin.tables import LEVEL_TITLES

LOST = ("held", *DEFAULTS, "worst", *BORNE)


def reliability(study: Study) -> Iterator[str]:
    """Yield how many back-tests there are, and what came of them."""
    rows = study.tables["coverage"]
    yield "<h2 id='reliability'>Back-tests of all books</h2>"
    if not rows:
        yield "<p>None: no days were back-tested.</p>"
        return
    found = Counter(_short_verdict(row["verdict"]) for row in rows)
    sound = sum(count for verdict, count in found.items() if verdict not in (NOT_TESTED, TOO_FEW))
    yield (
        f"<p>Each requirement every {study.header['coverage_every']} rows of the history, against the profit and loss "
        f"of the days right after, held still and without ageing, carry or funding. A requirement is tested to be "
        f"exceeded on no more than {CLAIM:.0%} of days, over one horizon for all regimes of a book: the shortest and "
        "the longest that any of them reckons with. A regime that reckons with a shorter one claims less. The changes "
        f"of the days tested do not overlap. Of {len(rows)} tests {sound} have enough days; at a p-value of "
        f"{SIGNIFICANCE:.0%} about {SIGNIFICANCE * sound:.0f} of them would speak against a requirement that is sound. "
        f"Fewer days than notice exceptions {OFTEN:g} times as frequent with a chance of {ENOUGH:.0%} are too few: "
        f"that is no pass. Data: {csv_link('coverage')}, {csv_link('outcomes')}.</p>"
    )
    told = [[verdict, str(count)] for verdict, count in sorted(found.items(), key=lambda each: -each[1])]
    yield table_html(["verdict", "tests"], told, figures=1)


def _short_verdict(verdict: str) -> str:
    return verdict.split(":", maxsplit=1)[0]


# ------------------------------------------------------------------------------------------------------ back-tests


def back_tests(told: Told) -> Iterator[str]:
    """Yield the back-tests of one book, and how far its requirements swung."""
    tests = [row for row in told.rows("coverage") if row["level"] in told.levels]
    if not tests:
        return
    yield "<h3>How it did on past days</h3>"
    for level in told.levels:
        header = ["regime", "verdict", "zone", "days ahead", "its own", "days tested", "exceptions", "expected"]
        header += ["largest, USD", "Kupiec", "clusters"]
        rows = [_tested(names, row) for names, row in _alike(tests, level, _TESTS)]
        said = f"{LEVEL_TITLES[level]}: exceptions to a claim of {1 - CLAIM:.0%}, largest loss beyond, p-values"
        yield table_html(header, rows, figures=3, caption=said.capitalize())
    yield from _swings(told)


def _swings(told: Told) -> Iterator[str]:
    swings = told.rows("procyclicality")
    for level in told.levels if swings else ():
        every = swings[0]["rows_between"]
        header = ["regime", "mean, USD", "peak to trough", f"in {every} rows", "without tools", f"in {every} rows"]
        header += ["cost of tools", "peak", "trough"]
        rows = [_swung(names, row) for names, row in _alike(swings, level, _SWINGS)]
        said = f"{LEVEL_TITLES[level]}: largest over smallest requirement, and its largest increase"
        yield table_html(header, rows, figures=1, caption=said.capitalize())
    if swings:
        yield (
            "<p class='small'>The tools against procyclicality are stressed weights, buffers, floors on volatility and "
            "stress periods ahead of the look-back; their cost is the mean requirement over the mean without them. "
            f"Data: {csv_link('procyclicality')}.</p>"
        )


_TESTS = ("horizon_days", "own_horizons", "observations", "exceptions", "uncovered", "verdict", "owner", "firm")
_SWINGS = ("mean", "peak_to_trough", "largest_increase", "cost", "owner", "firm")


def _alike(rows: Sequence[Record], level: str, figures: Sequence[str]) -> Iterator[tuple[str, Record]]:
    """Yield the rows of a level, those of regimes with the same figures as one; owners are named if there are some."""
    several = len({(row["owner"], row["firm"]) for row in rows}) > 1
    for names, row in alike([row for row in rows if row["level"] == level], figures):
        whose = f": {row['owner']} at {row['firm']}" if several else ""
        yield named_regime(names, row["status"]) + whose, row


def _tested(names: str, row: Record) -> list[str]:
    said = [names, row["verdict"], row.get("zone") or "", str(row["horizon_days"]), ", ".join(row["own_horizons"])]
    if not row["observations"]:
        return [*said, "0", "", "", "", "", ""]
    counts = [str(row["observations"]), str(row["exceptions"]), f"{row['expected']:.1f}", usd(row["uncovered"])]
    return [*said, *counts, p_value(row["kupiec_p"]), p_value(row["independence_p"])]


def _swung(names: str, row: Record) -> list[str]:
    ratios = ("peak_to_trough", "largest_increase", "unmitigated_peak_to_trough", "unmitigated_largest_increase")
    told = [_ratio(row[name]) for name in (*ratios, "cost")]
    return [names, usd(row["mean"]), *told, row["peak_day"], row["trough_day"]]


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def p_value(value: float) -> str:
    """Return a p-value to three places."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


# ------------------------------------------------------------------------------------------------------ protection


def protection(told: Told) -> Iterator[str]:
    """Yield what margin leaves uncovered in stress, who bears it, and savings against it over switches."""
    if not told.rows("protection"):
        return
    yield "<h3>What margin leaves uncovered</h3>"
    yield (
        "<p>Mean loss beyond the margin held, over the stressed scenarios, if everyone of a kind fails at once: a "
        "customer (its firm has all its margin of the class), a firm (with every customer that does not move), one "
        "leg (a pot closed out alone, the other no help). No default is given a probability. A common pool has one "
        f"leg, whose offset cannot be lost: an assumption, not a finding. Data: {csv_link('protection')}.</p>"
    )
    for day in told.days:
        yield from _losses(told, day)
        yield from _pots(told, day)
    yield from _frontiers(told)


def _losses(told: Told, day: str) -> Iterator[str]:
    """Yield what is lost if all of a kind fail, a row for regimes that lose the same."""
    header = ["regime", "held, USD", "customer fails", "firm fails", "one leg alone", "worst of legs"]
    header += ["firm's default: firm", "fellow customers", "clearing house"]
    rows = [
        [named_regime(names, row["status"]) + _part(row), *(usd(row[name]) for name in LOST)]
        for names, row in alike(lost(told, day), LOST)
    ]
    if rows:
        said = f"Mean stressed loss beyond margin, {day}, USD, and who bears that of a firm's default"
        yield table_html(header, rows, figures=1, caption=said)


def lost(told: Told, day: str) -> list[Record]:
    """Return, regime by regime, the stressed losses if all of a kind fail on a day, USD, in the columns `LOST`.

    None where it is not known: no profit and loss of some position, or no requirement to set it against.
    """
    found: dict[str, Record] = {}
    for row in told.rows("protection", day=day, scenarios=SCENARIOS, owner=ALL):
        mine = found.setdefault(row["regime"], {name: row[name] for name in ("regime", "status")})
        mine |= {row["default"]: row["expected"], "partial": mine.get("partial") or row["partial"]}
        if row["default"] == "firm":
            mine |= {name: row[name] for name in ("held", *BORNE)}
        if row["default"] == "leg":
            mine["worst"] = row["worst"]
    return list(found.values())


def _pots(told: Told, day: str) -> Iterator[str]:
    """Yield what each pot loses when it is closed out alone, pots that lose nothing left out."""
    legs = told.rows("protection", day=day, scenarios=SCENARIOS, default=DEFAULT)
    mine = [row for row in legs if row["owner"] != ALL and row["worst"]]
    columns = ("pot", "held", "expected", "tail", "worst", "frequency", "insolvency_regime", "owner", "firm")
    rows = [
        [
            row["pot"],
            named_regime(names, row["status"]) + _part(row),
            row["insolvency_regime"],
            *(usd(row[name]) for name in columns[1:5]),
            f"{row['frequency']:.1%}",
        ]
        for names, row in alike(mine, columns)
    ]
    if rows:
        header = ["pot", "regime", "law of insolvency", "held, USD", "mean loss", "worst 1 %", "worst", "how often"]
        yield table_html(
            header, rows, figures=3, caption=f"Stressed loss of a pot that is closed out alone, {day}, USD"
        )


def _part(row: Record) -> str:
    return " (part)" if row["partial"] else ""


def _frontiers(told: Told) -> Iterator[str]:
    """Yield savings against losses over the switches, a picture a day and what its numbers stand for."""
    places = {day: _places(told, day) for day in told.days}
    if not any(places.values()):
        return
    yield "<h4>Savings against losses</h4>"
    yield (
        "<p>Every regime as it is, and with other settings of its programme: caps on reductions, guardrails one by "
        f"one. A point is what it saves at clearing houses against {escape(told.study.header['regimes'][0])}, and the "
        f"mean stressed loss beyond margin when a {DEFAULT} is closed out alone. Filled points are joined: no other "
        "saves as much with less uncovered. Diamonds are not in force; what is marked as a study nobody proposes. What "
        "a regime brings to clearing houses that lay with the firm before counts against it. "
        f"Data: {csv_link('frontier')}.</p>"
    )
    yield '<div class="pair">'
    for day, mine in places.items():
        yield _picture(told, day, mine)
    yield "</div>"
    for day, mine in places.items():
        header = ["", "settings with the same figures", "saving, USD", "loss, USD", "not beaten"]
        rows = [_point(number, *each) for number, each in enumerate(mine.items(), start=1)]
        yield table_html(header, rows, figures=2, caption=f"Points of {day}")


def _point(number: int, place: tuple[float, float], rows: Sequence[Record]) -> list[str]:
    names = "; ".join(_switch(row) for row in rows)
    return [str(number), names, *map(usd, place), "yes" if rows[0]["efficient"] else ""]


def _places(told: Told, day: str) -> dict[tuple[float, float], list[Record]]:
    """Return the switches of a day by saving and loss in whole dollars, the largest saving first."""
    found: dict[tuple[float, float], list[Record]] = {}
    for row in told.rows("frontier", day=day):
        if None not in (row["saving"], row["residual"]):  # what is not modelled has no place
            found.setdefault((float(round(row["saving"])), float(round(row["residual"]))), []).append(row)
    return dict(sorted(found.items(), key=lambda each: (-each[0][0], each[0][1])))


def _picture(told: Told, day: str, places: dict[tuple[float, float], list[Record]]) -> str:
    spots = [
        Spot(*place, str(number), rows[0]["efficient"], all(row["status"] != IN_FORCE for row in rows))
        for number, (place, rows) in enumerate(places.items(), start=1)
    ]
    what = f"{told.book.title}, {day}: savings against the mean stressed loss of a {DEFAULT} alone, USD"
    said = "; ".join(
        f"{number} ({', '.join(dict.fromkeys(_switch(row) for row in rows))}) {dollars(place[0])}, {dollars(place[1])}"
        for number, (place, rows) in enumerate(places.items(), start=1)
    )
    drawn = scatter(f"{what}. {said}", spots, ("saving, USD", "loss, USD"))
    return figure_html(drawn, f"{what}. Diamonds: proposed or a study, not in force.", ("frontier",))


def _switch(row: Record) -> str:
    status = f" ({STUDIED})" if row["status"] == STUDIED else ""
    return (f"{row['name']}{status}" if status else named_regime(row["name"], row["status"])) + _part(row)

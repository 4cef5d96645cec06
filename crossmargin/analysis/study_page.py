"""A study as files: one page that needs nothing else, and the tables behind it as CSV.

Call `write(study, folder)`. Formats only: every figure comes from the tables of the study, stands with its status, and
where its sampling error is known with that. The same study gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from html import escape
from os import PathLike
from pathlib import Path

from crossmargin.analysis.attribution import REQUIREMENT
from crossmargin.analysis.study import COLUMNS, Study
from crossmargin.analysis.study_html import (
    IN_FORCE,
    Told,
    cited,
    csv_link,
    figure_html,
    list_items,
    mark,
    named_regime,
    status_text,
    table_html,
    usd,
)
from crossmargin.analysis.study_plots import HATCH, Bar, bars, dollars, series, waterfall
from crossmargin.analysis.study_sections import back_tests, protection, reliability
from crossmargin.errors import counted
from crossmargin.io.journal import Record, csv_text, write_whole
from crossmargin.tables import LEVEL_TITLES

PAGE = "report.html"
_LEVEL = "clearing"
_ALL = 0.995  # a smaller share of a total whose error is known is said
_STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 }
main { max-width: 62rem; margin: 0 auto; padding: 1rem 1.2rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2 } h2 { margin-top: 2.6rem; border-top: 2px solid #0072b2; padding-top: .6rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .84rem; margin: .6rem 0 1.2rem }
th, td { padding: .2rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd }
thead th { border-bottom: 1px solid #444; vertical-align: bottom } caption { text-align: left; font-weight: 600 }
.n { text-align: right; font-variant-numeric: tabular-nums } td.n { white-space: nowrap }
.proposed { color: #8a3a00; font-style: italic }
.warning { border-left: 4px solid #d55e00; padding: .4rem .8rem; background: #fdf3ec }
figure { margin: 1rem 0 1.6rem; break-inside: avoid } figcaption { font-size: .84rem; color: #444 }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif } .pair { display: grid; gap: 0 1.5rem }
.pair { grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)) } .small { font-size: .84rem } a { color: #00518a }
@media print { main { max-width: none; padding: 0 } body { font-size: 10pt } h2, h3 { break-after: avoid }
tr { break-inside: avoid } .scroll { overflow: visible } }
"""


def write(study: Study, folder: str | PathLike[str]) -> tuple[Path, ...]:
    """Write the page and one CSV for each table, each whole or not at all, and return their paths, the page first.

    Raises
    ------
    OSError
        The folder cannot be written to.
    """
    out = Path(folder)
    for name, columns in COLUMNS.items():
        write_whole(out / f"{name}.csv", csv_text(study.tables[name], columns))
    write_whole(out / PAGE, page(study))
    return (out / PAGE, *(out / f"{name}.csv" for name in COLUMNS))


def page(study: Study) -> str:
    """Return the page: what was found, each book in turn, what is missing, assumptions, sources and settings."""
    days = study.header["days"]
    what = f"{counted(len(study.books), 'book')} under {counted(len(study.header['regimes']), 'regime')}"
    title = f"Margin of {what}, {days[0]} to {days[-1]}"
    told = [Told(study, book, number) for number, book in enumerate(study.books, start=1)]
    body = [
        f"<h1>{escape(title)}</h1>",
        *_opening(study),
        *_summary(study, told),
        *reliability(study),
        *(part for each in told for part in _chapter(each)),
        *_closing(study),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    text = "\n".join(body)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n'
        f"<body>{HATCH}<main>\n{text}\n</main></body></html>\n"
    )


# ------------------------------------------------------------------------------------------------------ the parts


def _opening(study: Study) -> Iterator[str]:
    head = study.header
    yield (
        '<p class="warning"><strong>Hypothetical.</strong> The rules of '
        f"{head['calibration']} are used on every day: nobody was asked for these amounts. A regime marked "
        f'<span class="proposed">proposed</span> is <strong>not in force</strong> anywhere. Most parameters of '
        "clearing houses are not public; what stands in for them is listed under Assumptions, and what no figure holds "
        "under each book. A standard error is that of the drawn scenarios; no error of a model, a parameter or a price "
        "is in it.</p>"
    )
    yield (
        f'<p class="small">Population {escape(head["study"])}; history: {escape(head["source"] or "not named")}; '
        f"{head['resamples']} resamples, seed {head['seed']}; crossmargin {escape(head['version'] or 'unnamed')}. "
        f"USD throughout. Data: {', '.join(csv_link(name) for name in COLUMNS)}.</p>"
    )
    items = "".join(f'<li><a href="#{escape(book.id)}">{escape(book.title)}</a></li>' for book in study.books)
    ends = (("reliability", "Back-tests"), ("gaps", "Gaps"), ("assumptions", "Assumptions"), ("sources", "Sources"))
    items += "".join(f'<li><a href="#{id}">{title}</a></li>' for id, title in ends)
    yield f'<nav aria-label="Contents"><ol>{items}</ol></nav>'


def _summary(study: Study, told: Sequence[Told]) -> Iterator[str]:
    """Yield one row a regime: what it asks of each book, as a share of the first regime's total."""
    base, *others = study.header["regimes"]
    status = {row["regime"]: row["status"] for row in study.tables["figures"]}
    known = [each for each in told if each.last]
    totals = [
        {row["regime"]: row["total"] for row in each.rows("figures", day=each.last, level=_LEVEL)} for each in known
    ]
    header = ["regime", "status", *(f"{each.number}. {each.book.title}, {each.last}" for each in known)]
    rows = [[f"{base}, USD", status_text(status.get(base, IN_FORCE)), *(usd(of[base]) for of in totals)]]
    for name in others:
        shares = (f"{of[name] / of[base]:.1%}" if of[base] and of[name] is not None else "" for of in totals)
        rows.append([name, status_text(status.get(name, IN_FORCE)), *shares])
    yield "<h2 id='summary'>At a glance</h2>"
    yield f"<p>What each regime asks for at clearing houses on the last day with figures, in per cent of {base}.</p>"
    yield table_html(header, rows, figures=2) if known else "<p>No book has figures.</p>"


def _chapter(told: Told) -> Iterator[str]:
    book = told.book
    yield f'<h2 id="{escape(book.id)}">{told.number}. {escape(book.title)}</h2><p>{escape(book.about)}</p>'
    if not told.last:
        whys = list(dict.fromkeys(row["why"] for row in told.rows("gaps")))
        yield f"<p>No day could be margined. The last reason given: {escape(whys[-1]) if whys else 'none'}</p>"
        return
    for level in told.levels:
        for day in told.days:
            largest = "" if day == told.last else f": when {told.study.header['regimes'][0]} asked for most"
            yield f"<h3>{LEVEL_TITLES[level].capitalize()}, {day}{largest}</h3>"
            yield from _comparison(told, level, day)
            yield from _attribution(told, level, day)
        yield from _through_time(told, level)
    yield from back_tests(told)
    yield from protection(told)
    yield from _refusals(told)
    yield from _limits(told)


def _comparison(told: Told, level: str, day: str) -> Iterator[str]:
    figures = told.rows("figures", day=day, level=level)
    totals = {row["regime"]: row for row in told.rows("evidence", day=day, level=level, kind="total")}
    gaps = {row["regime"]: row for row in told.rows("evidence", day=day, level=level, kind="gap")}
    yield f"<ul>{''.join(_claims(figures, gaps))}</ul>"
    shown = [_bar(row, totals.get(row["regime"])) for row in figures if row["total"] is not None]
    what = f"{told.book.title}, {day}: {LEVEL_TITLES[level]}, by regime"
    yield figure_html(
        bars(f"{what}, USD. " + "; ".join(f"{bar.label} {bar.said}" for bar in shown), shown),
        f"{what}, USD. Whiskers hold 95 % of the resamples. Hatched: proposed, not in force.",
        ("figures", "evidence"),
    )
    header = ["regime", "status", "total, USD", "standard error", "less than the first", "standard error", ""]
    said = "; (part): leaves something out, see below" if any(row["partial"] for row in figures) else ""
    rows = [_row(row, totals, gaps) for row in figures]
    yield table_html(header, rows, figures=2, caption=f"{LEVEL_TITLES[level]}{said}".capitalize())


def _claims(figures: Sequence[Record], gaps: dict[str, Record]) -> Iterator[str]:
    """Yield one sentence on each regime, its figure with the standard error; those that change nothing share one."""
    same = []
    for row in (row for row in figures if row["regime"] in gaps):
        gap, name = gaps[row["regime"]], f"<strong>{escape(row['regime'])}</strong>{mark(row['status'])}"
        if not (gap["figure"] or gap["standard_error"]):
            same.append(name)
            continue
        how = f"USD {usd(abs(gap['figure']))} {'more' if gap['figure'] > 0 else 'less'} than {escape(gap['base'])}"
        noise = " The difference is inside the noise." if gap["inside_noise"] else ""
        known = f" Of one of the two totals only {gap['simulated']:.0%} has a known error."
        part = known if 0.0 < gap["simulated"] < _ALL else ""
        error = f"USD {usd(gap['standard_error'])}" if gap["simulated"] else "not known"
        yield f"<li>{name} asks for {how} (standard error {error}).{noise}{part}</li>"
    for row in (row for row in figures if row["total"] is None):
        yield f"<li><strong>{escape(row['regime'])}</strong>{mark(row['status'])}: nothing of it is modelled.</li>"
    if same:
        base = next(iter(gaps.values()))["base"]
        yield f"<li>As much as {escape(base)} in every resample: {', '.join(same)}.</li>"


def _bar(row: Record, sampled: Record | None) -> Bar:
    low, high = (sampled["low"], sampled["high"]) if sampled else (None, None)
    label = f"{row['regime']}{'' if row['status'] == IN_FORCE else ' *'}"
    said = dollars(row["total"]) + ("" if row["status"] == IN_FORCE else f" {row['status']}")
    return Bar(label, row["total"], low, high, row["status"] != IN_FORCE, said)


def _row(row: Record, totals: dict[str, Record], gaps: dict[str, Record]) -> list[str]:
    total, gap = totals.get(row["regime"]), gaps.get(row["regime"])
    said = "inside the noise" if gap and gap["inside_noise"] and gap["figure"] else ""
    return [
        row["regime"],
        status_text(row["status"]),
        usd(row["total"]) + (" (part)" if row["partial"] and row["total"] is not None else ""),
        _error(total),
        usd(-gap["figure"]) if gap else "",
        _error(gap),
        said,
    ]


def _error(row: Record | None) -> str:
    """Return the standard error, or that nothing is known of it."""
    if row is None:
        return ""
    return "not known" if row["figure"] and not row["simulated"] else usd(row["standard_error"])


def _through_time(told: Told, level: str) -> Iterator[str]:
    """Yield the totals over the days; regimes that ask for the same on all of them share a line."""
    asked, status, data = _series(told, level)
    days = sorted({day for _, day in asked})
    if len(days) < 2:
        return
    groups: dict[tuple[float | None, ...], list[str]] = {}
    for regime in told.study.header["regimes"]:
        values = tuple(asked.get((regime, day)) for day in days)
        if any(value is not None for value in values):
            groups.setdefault(values, []).append(regime + ("" if status[regime] == IN_FORCE else " *"))
    lines = {", ".join(names): (values, all(name.endswith("*") for name in names)) for values, names in groups.items()}
    what = f"{told.book.title}: {LEVEL_TITLES[level]}, from {days[0]} to {days[-1]}"
    ends = "; ".join(f"{name} {_span(values)}" for name, (values, _) in lines.items())
    drawn = series(f"{what}, USD. {ends}", [date.fromisoformat(day) for day in days], lines)
    yield f"<h3>{LEVEL_TITLES[level].capitalize()}, through time</h3>"
    yield figure_html(drawn, f"{what}, USD. * and dashed: proposed, not in force.", (data,))


def _series(told: Told, level: str) -> tuple[dict[tuple[str, str], float | None], Mapping[str, str], str]:
    """Return what regimes asked for by day, of all owners, their status, and the table that holds it."""
    found: dict[tuple[str, str], float | None] = {}
    rows = told.rows("outcomes", level=level)
    for row in rows:
        key, asked = (row["regime"], row["day"]), row["required"]
        found[key] = asked if found.get(key) is None else (found[key] or 0.0) + (asked or 0.0)
    name = "outcomes" if rows else "figures"
    if not rows:
        days = told.study.header["days"]
        rows = [row for row in told.rows("figures", level=level) if row["day"] in days]
        found = {(row["regime"], row["day"]): row["total"] for row in rows}
    return found, {row["regime"]: row["status"] for row in rows}, name


def _span(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"between {dollars(min(known))} and {dollars(max(known))}" if known else "not modelled"


def _attribution(told: Told, level: str, day: str) -> Iterator[str]:
    """Yield why regimes differ in what they ask for, and in what must be brought where something is posted."""
    rows = told.rows("attribution", day=day, level=level)
    for of in dict.fromkeys([REQUIREMENT, *(row["of"] for row in rows)]):
        mine = [row for row in rows if row["of"] == of]
        more = "" if of == REQUIREMENT else f" in {of}: what must be brought beyond what is posted"
        yield f"<h4>Why they differ{more}</h4>"
        yield from _bridges(told, mine, f"{told.book.title}, {day}, {level}{'' if of == REQUIREMENT else f', {of}'}")


def _bridges(told: Told, rows: Sequence[Record], what: str) -> Iterator[str]:
    """Yield a waterfall to each regime that differs from the first; equal ones share one picture."""
    found: dict[tuple[tuple[str, float], ...], list[Record]] = {}
    base, *others = told.study.header["regimes"]
    for other in others:
        mine = [row for row in rows if row["other"] == other and row["kind"] in ("start", "step", "total")]
        if mine and mine[0]["amount"] != mine[-1]["amount"]:
            found.setdefault(tuple((row["name"], row["amount"]) for row in mine[:-1]), []).append(mine[-1])
    if not found:
        yield "<p>Every regime is as the first.</p>"
        return
    yield "<p>Each step has its mean effect over all orders in which the steps can be taken (Shapley).</p>"
    yield '<div class="pair">'
    for (start, *steps), ends in found.items():
        names = ", ".join(named_regime(end["other"], end["status"]) for end in ends)
        proposed = all(end["status"] != IN_FORCE for end in ends)
        shown = [start, *(step for step in steps if step[1]), _total(ends)]
        said = "; ".join(f"{name} {dollars(amount)}" for name, amount in shown)
        title = f"{what}: from {base} to {names}"
        drawn = waterfall(f"{title}, USD. {said}", shown, proposed=proposed)
        yield figure_html(drawn, f"{title}, USD.", ("attribution",))
    yield "</div>"


def _total(ends: Sequence[Record]) -> tuple[str, float]:
    name = ends[0]["other"] + (f" + {len(ends) - 1}" if len(ends) > 1 else "")
    return name + ("" if ends[0]["status"] == IN_FORCE else " *"), ends[0]["amount"]


def _refusals(told: Told) -> Iterator[str]:
    rows = [
        [*(row[name] for name in ("position", "product", "programme", "about", "cure")), cited(row)]
        for row in told.rows("refusals", day=told.last)
    ]
    if rows:
        yield f"<h3>Refused</h3><p>Conditions that keep positions out of programmes. Data: {csv_link('refusals')}.</p>"
        yield table_html(["position", "product", "programme", "what is asked", "cure", "source (grade)"], rows)


def _limits(told: Told) -> Iterator[str]:
    named = dict.fromkeys(f"{row['name']}: {row['note']}" for row in told.rows("left_out"))
    notes = dict.fromkeys(row["note"] for row in told.rows("notes"))
    lost = len({row["day"] for row in told.rows("gaps")})
    said = [*(["<li>Some days have no figures: see Gaps.</li>"] if lost else []), *list_items(notes)]
    if said:
        yield f'<h3>To beware of</h3><ul class="small">{"".join(said)}</ul>'
    if named:
        yield f'<h3>In no figure</h3><ul class="small">{"".join(list_items(named))}</ul>'


def _closing(study: Study) -> Iterator[str]:
    gaps: dict[tuple[str, str], list[str]] = {}
    for row in study.tables["gaps"]:
        why = row["why"].replace(row["day"], "that day")
        gaps.setdefault((row["book"], why), []).append(row["day"])
    yield "<h2 id='gaps'>Gaps</h2>"
    told = [[book, f"{len(days)}: {days[0]} to {days[-1]}", why] for (book, why), days in gaps.items()]
    yield table_html(["book", "days", "why"], told) if told else "<p>None: every book has figures on every day.</p>"
    named = ("rule", "parameter", "value", "unit", "grade")
    seen = dict.fromkeys(tuple(row[name] for name in named) for row in study.tables["assumptions"])
    yield "<h2 id='assumptions'>Assumptions</h2><p>Values that no published text states, with the grade of each.</p>"
    yield table_html(named, seen)
    sources = dict.fromkeys(row["source"] for row in study.tables["sources"])
    yield f"<h2 id='sources'>Sources</h2><ul class='small'>{''.join(list_items(sources))}</ul>"

"""What the page of a study is written with: one book's rows, and the marks of a figure, a table and a status.

`Told` picks rows; the functions return HTML with every text escaped. What is proposed is marked wherever it stands.
Nothing is calculated here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from attrs import frozen

from crossmargin.analysis.archetypes import StudyBook
from crossmargin.analysis.study import Study
from crossmargin.analysis.study_records import told_levels
from crossmargin.io.journal import Record
from crossmargin.tables import LEVEL_TITLES, PROPOSED

IN_FORCE = "in_force"


@frozen
class Told:
    """One book with its rows of the tables; `number` counts from 1."""

    study: Study
    book: StudyBook
    number: int

    def rows(self, table: str, **wanted: Any) -> list[Record]:
        """Return the rows of a table that are of the book, and as wanted."""
        mine = (row for row in self.study.tables[table] if row["book"] == self.book.id)
        return [row for row in mine if all(row.get(name) == value for name, value in wanted.items())]

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels worth telling on the last day with figures."""
        rows = self.rows("figures", day=self.last)
        both = ({row["regime"]: row["total"] for row in rows if row["level"] == level} for level in LEVEL_TITLES)
        return told_levels(*both)

    @property
    def last(self) -> str:
        """The last day with figures, "" when there is none."""
        return self._in_detail("last")

    @property
    def days(self) -> tuple[str, ...]:
        """The days that are told of in detail: the last, and the one on which the first regime asked for most."""
        return tuple(filter(None, (self.last, self._in_detail("largest"))))

    def _in_detail(self, name: str) -> str:
        steps = (step for step in self.study.steps if (step["book"], step["step"]) == (self.book.id, name))
        return next((step["day"] for step in steps if step["day"]), "")


def alike(rows: Iterable[Record], figures: Sequence[str]) -> list[tuple[str, Record]]:
    """Return the rows whose regimes have the same status and the same figures as one, with the names of all."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for row in rows:
        key = tuple(str(row.get(name)) for name in ("status", *figures))
        found.setdefault(key, []).append(row)
    return [(", ".join(dict.fromkeys(row["regime"] for row in mine)), mine[0]) for mine in found.values()]


def figure_html(drawn: str, caption: str, tables: Iterable[str]) -> str:
    """Return a picture with its caption and the tables that hold what it draws."""
    data = ", ".join(map(csv_link, tables))
    return f"<figure>{drawn}<figcaption>{escape(caption)} Data: {data}.</figcaption></figure>"


def table_html(header: Sequence[str], rows: Iterable[Sequence[str]], *, figures: int = 99, caption: str = "") -> str:
    """Return a table whose columns from number `figures` on stand to the right."""
    looks = ['class="n"' if column >= figures else "" for column in range(len(header))]
    head = "".join(f'<th scope="col" {look}>{escape(name)}</th>' for name, look in zip(header, looks, strict=True))
    lines = ("".join(f"<td {look}>{_cell(cell)}</td>" for cell, look in zip(row, looks, strict=True)) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{said}<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    return f'<span class="proposed">{escape(text)}</span>' if text == PROPOSED else escape(text)


def list_items(texts: Iterable[str]) -> list[str]:
    """Return texts as items of a list."""
    return [f"<li>{escape(text)}</li>" for text in texts]


def cited(row: Record) -> str:
    """Return the citation of a row with its grade."""
    return f"{row['citation']} ({row['grade']})"


def csv_link(table: str) -> str:
    """Return a link to the file of a table."""
    return f'<a href="{table}.csv">{table}.csv</a>'


def named_regime(regime: str, status: str) -> str:
    """Return a regime with its status in words unless it is in force."""
    return regime if status == IN_FORCE else f"{regime} ({status}, not in force)"


def mark(status: str) -> str:
    """Return the mark of a status, nothing for what is in force."""
    return "" if status == IN_FORCE else f' <span class="proposed">({escape(status_text(status))})</span>'


def status_text(status: str) -> str:
    """Return a status in words."""
    return {"proposed": PROPOSED, IN_FORCE: "in force"}.get(status, status)


def usd(amount: float | None) -> str:
    """Return whole dollars, or that there is no figure."""
    return "not modelled" if amount is None else f"{round(amount) + 0:,}"

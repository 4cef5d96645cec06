"""Tables and foldable trees as HTML, for notebooks and pages. All text is escaped here, whatever it is.

Build with `table`, `folded`, `mark` and `listed`, then hand the parts to `fragment`. A fragment takes the colours of
what it is shown in, dark or light, and fetches nothing. What a figure means is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TypeAlias

from attrs import frozen

# No colour of its own but for what is proposed, and that only where a notebook says what it is shown on: a dark system
# may show a light page, so `prefers-color-scheme` would be a guess here. Pages, which paint their ground, follow it.
STYLE = """
.crossmargin { --xm-mark: currentColor; --xm-soft: color-mix(in srgb, currentColor 76%, transparent) }
[data-jp-theme-light="true"] .crossmargin { --xm-mark: #8a3a00 }
[data-jp-theme-light="false"] .crossmargin { --xm-mark: #ffb27a }
div.crossmargin { overflow-x: auto }
.crossmargin table { border-collapse: collapse; margin: 0 0 1.2em; background: none; color: inherit }
.crossmargin caption { text-align: left; font-weight: bold; padding: .3em 0; color: inherit }
.crossmargin th, .crossmargin td { padding: .15em .8em; text-align: left; vertical-align: top; white-space: normal }
.crossmargin .xm-number { text-align: right; font-variant-numeric: tabular-nums }
.crossmargin td.xm-number { white-space: nowrap }
.crossmargin thead th { vertical-align: bottom; border-bottom: 1px solid }
.crossmargin tfoot tr:first-child > * { border-top: 1px solid }
.crossmargin tbody th { font-weight: normal }
.crossmargin .xm-part { padding-left: 2em }
.crossmargin summary { cursor: pointer; padding: .1em 0 }
.crossmargin .xm-fold > summary { font-weight: bold; padding: .3em 0 }
.crossmargin .xm-tree { padding-left: 1.3em; border-left: 1px solid color-mix(in srgb, currentColor 25%, transparent) }
.crossmargin .xm-leaf { padding: .1em 0 .1em 1.1em }
.crossmargin .xm-tree p { margin: .1em 0 .1em 1.1em }
.crossmargin .xm-amount { font-weight: bold; font-variant-numeric: tabular-nums; white-space: nowrap }
.crossmargin .xm-soft { color: var(--xm-soft) }
.crossmargin .xm-mark { color: var(--xm-mark); font-style: italic; font-weight: normal }
.crossmargin .xm-remark { display: block; font-size: .86em; white-space: normal }
"""


@frozen
class Cell:
    """What stands in a cell: its text, the number it is sorted by, and a remark below it, such as a status."""

    text: str
    value: float | None = None
    remark: str = ""


Cells: TypeAlias = Sequence[str | Cell]


def fragment(parts: Iterable[str]) -> str:
    """Return parts as one piece of HTML that brings its style along."""
    return f"<style>{STYLE}</style><div class='crossmargin'>{''.join(parts)}</div>"


def table(
    caption: str,
    header: Sequence[str | Cell],
    rows: Iterable[Cells],
    *,
    foot: Iterable[Cells] = (),
    figures: int | None = 1,
) -> str:
    """Return a table whose columns from number `figures` on hold figures; the first cell of a row names it.

    A caption of "" is left out: then what folds the table names it.
    """
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    heads = (_cell(cell, column, figures, tag="th scope='col'") for column, cell in enumerate(header))
    head = f"<thead><tr>{''.join(heads)}</tr></thead>" if header else ""
    body = "\n".join(_row(row, figures) for row in rows)
    last = "\n".join(_row(row, figures) for row in foot)
    tail = f"<tfoot>{last}</tfoot>" if last else ""
    return f"<table>{named}{head}<tbody>{body}</tbody>{tail}</table>"


def folded(summary: str, body: str, *, unfolded: bool = False) -> str:
    """Return a body that stays folded below its summary until asked for."""
    return f"<details class='xm-fold'{' open' if unfolded else ''}><summary>{escape(summary)}</summary>{body}</details>"


def mark(text: str) -> str:
    """Return a status that is set apart from what it stands beside, "" for none."""
    return f" <span class='xm-mark'>{escape(text)}</span>" if text else ""


def listed(texts: Iterable[str]) -> str:
    """Return a list of texts, web addresses among their words as links."""
    return f"<ul>{''.join(f'<li>{linked(text)}</li>' for text in texts)}</ul>"


def linked(text: str) -> str:
    """Return a text whose words that are web addresses are links.

    Examples
    --------
    >>> linked("Rule <1>, https://example.org/a?b&c")
    "Rule &lt;1&gt;, <a href='https://example.org/a?b&amp;c'>https://example.org/a?b&amp;c</a>"
    """
    return " ".join(_linked_word(word) for word in text.split(" "))


def _linked_word(word: str) -> str:
    address = word.rstrip(".,;)")
    if not address.startswith(("https://", "http://")):
        return escape(word)
    return f"<a href='{escape(address)}'>{escape(address)}</a>{escape(word[len(address) :])}"


def _row(row: Cells, figures: int | None) -> str:
    cells = (_cell(cell, column, figures, tag="td" if column else "th scope='row'") for column, cell in enumerate(row))
    return f"<tr>{''.join(cells)}</tr>"


def _cell(cell: str | Cell, column: int, figures: int | None, *, tag: str) -> str:
    """Return a cell; spaces before its text set it in, below the row it belongs to."""
    cell = Cell(cell) if isinstance(cell, str) else cell
    look = (
        "xm-number"
        if figures is not None and column >= figures
        else "xm-part"
        if not column and cell.text[:1] == " "
        else ""
    )
    looks = f" class='{look}'" if look else ""
    value = "" if cell.value is None else f" data-value='{float(cell.value)!r}'"
    remark = f"<span class='xm-mark xm-remark'>{escape(cell.remark)}</span>" if cell.remark else ""
    return f"<{tag}{looks}{value}>{linked(cell.text.strip())}{remark}</{tag.split(maxsplit=1)[0]}>"

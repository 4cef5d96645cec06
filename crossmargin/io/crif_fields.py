"""The careful reader of a delimited text: quotation marks, blank lines, and every wrong line or number by its row.

Call `field_table(text, layout, problems)`; it reads what `crif_columns` and `crif_arrow` read fast, and what they
leave. A Python string is made of every field, some lines at a time.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from itertools import islice
from math import isfinite

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray
from crossmargin.errors import Problems
from crossmargin.simm.sensitivities import Column, rows_text

_CHUNK = 50_000  # lines at a time: their texts stay near the processor


@frozen
class Layout:
    """How a text is laid out: file name for messages, delimiter, fields in a line, places of columns with their titles.

    `width` counts the fields of the header; places count from 0.
    """

    name: str
    delimiter: str
    width: int
    texts: Mapping[int, str]
    numbers: Mapping[int, str]


@frozen(eq=False)
class FieldTable:
    """The columns of a text by their places, and the lines of the file that the rows stand in."""

    rows: NDArray[np.int32]
    texts: Mapping[int, Column]
    amounts: Mapping[int, FloatArray]


def field_table(text: str, layout: Layout, problems: Problems) -> FieldTable:
    r"""Return the columns of a text, header and all; note lines of another number of fields and what is no number.

    Examples
    --------
    >>> layout = Layout("book", ",", 2, {0: "Qualifier"}, {1: "Amount"})
    >>> found = field_table('Qualifier,Amount\n\n"EUR",5\n', layout, Problems())
    >>> found.texts[0].texts(), found.amounts[1], found.rows
    (['EUR'], array([5.]), array([3], dtype=int32))
    """
    coders = {place: _Coder() for place in layout.texts}
    amounts: dict[int, list[FloatArray]] = {place: [np.zeros(0)] for place in layout.numbers}
    rows: list[int] = []
    for numbers, columns in _chunks(text, layout, problems):
        rows += numbers
        for place, coder in coders.items():
            coder.add(columns[place])
        for place, title in layout.numbers.items():
            amounts[place].append(
                _floats(columns[place], numbers, f"{layout.name} row {{}}, field {title!r}", problems)
            )
    texts = {place: coder.column() for place, coder in coders.items()}
    found = {place: np.concatenate(parts) for place, parts in amounts.items()}
    return FieldTable(np.array(rows, dtype=np.int32), texts, found)


def _chunks(text: str, layout: Layout, problems: Problems) -> Iterator[tuple[list[int], list[Sequence[str]]]]:
    """Yield line numbers and columns of some lines; note the lines that have another number of fields."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=layout.delimiter)
    next(row for row in reader if any(row))
    try:
        while lines := [(reader.line_num, row) for row in islice(reader, _CHUNK)]:
            filled = [(number, row) for number, row in lines if any(map(str.strip, row))]
            if wrong := [number for number, row in filled if len(row) != layout.width]:
                where, fix = f"{layout.name} {rows_text(wrong)}", f"Give {layout.width}, as in the header."
                problems.add("another number of fields.", where=where, fix=fix)
            if fitting := [each for each in filled if len(each[1]) == layout.width]:
                yield [number for number, _ in fitting], list(zip(*(row for _, row in fitting), strict=True))
    except csv.Error as error:
        fix = "Is a quotation mark left open?"
        problems.add(f"cannot be read: {error}.", where=f"{layout.name} row {reader.line_num}", fix=fix)


@frozen
class _Coder:
    """Codes texts as they come, chunk by chunk."""

    seen: dict[str, int] = field(factory=dict)
    parts: list[NDArray[np.int32]] = field(factory=list)

    def add(self, texts: Sequence[str]) -> None:
        """Code some more texts."""
        for text in dict.fromkeys(texts):
            self.seen.setdefault(text, len(self.seen))
        self.parts.append(np.fromiter(map(self.seen.__getitem__, texts), np.int32, len(texts)))

    def column(self) -> Column:
        codes = np.concatenate([*self.parts, np.zeros(0, np.int32)])
        return Column(codes, tuple(self.seen)).mapped(str.strip)


def _floats(texts: Sequence[str], lines: Sequence[int], where: str, problems: Problems) -> FloatArray:
    """Return the numbers, NaN for blank fields; note the others."""
    try:
        found = np.fromiter(map(float, texts), np.float64, len(texts))
        if np.isfinite(found).all() and "_" not in "".join(texts):  # Python reads 1_0 as ten; no file does
            return found
    except ValueError:
        pass
    found = np.full(len(texts), np.nan)
    for place, text in enumerate(texts):
        if text and not text.isspace():
            number = _float(text)
            if number is None:
                fix = "Write digits with a point, a minus sign for short."
                problems.add(f"{text!r} is no number.", where=where.format(lines[place]), fix=fix)
            found[place] = number or 0.0
    return found


def _float(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and "_" not in text else None

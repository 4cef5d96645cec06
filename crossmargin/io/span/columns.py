"""Many records of one type at once: the columns of their fields, read with NumPy by the same layouts as single lines.

`gather` lays lines of a block side by side, `read_columns` gives their numbers, `characters` their texts. A day of CME
has some 690,000 lines, of which all but a few thousand are read here. What the lines mean is not known here.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

import numpy as np
from attrs import field, frozen
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from crossmargin.errors import Problems
from crossmargin.io.span.layouts import LAYOUTS, Field

Bytes: TypeAlias = NDArray[np.uint8]
Columns: TypeAlias = dict[str, NDArray[Any]]

_BLANK, _ZERO, _PLUS, _MINUS = 32, 48, 43, 45
_LISTED = 20  # problems of one field in one block; the rest would say the same


@frozen(eq=False)
class Lines:
    """Lines of one record type.

    `rows` are the characters [n_lines, width], filled up with blanks, and `columns` the same lying on its side;
    `lengths` are the true lengths, `numbers` count the lines of the file.
    """

    code: str
    rows: Bytes
    lengths: NDArray[np.int64]
    numbers: NDArray[np.int64]
    columns: Bytes = field(init=False, repr=False)

    @columns.default
    def _columns(self) -> Bytes:
        return np.ascontiguousarray(self.rows.T)


@frozen
class Findings:
    """What came up while lines were read: problems, and how many numbers of each field their line cut short."""

    problems: Problems = field(factory=Problems)
    cut: Counter[str] = field(factory=Counter)


def gather(
    code: str, data: Bytes, starts: NDArray[np.int64], *, lengths: NDArray[np.int64], numbers: NDArray[np.int64]
) -> Lines:
    """Return the lines of `data` that begin at `starts`; `data` goes on for a layout's width after the last of them."""
    width = LAYOUTS[code].width
    rows = sliding_window_view(data, width)[starts]
    if len(lengths) and lengths.min() < width:
        rows[np.arange(width) >= lengths[:, None]] = _BLANK
    return Lines(code, rows, lengths, numbers)


def read_columns(lines: Lines, findings: Findings) -> Columns:
    """Return a column for each number of the layout, and for repeated values one array [n_lines, count].

    Numbers are floats with their implied decimals and sign, NaN where blank. Texts are left to `characters`. A field
    that is no number is noted with line, record type, name and columns; a number that the end of its line cuts short
    is NaN and counted, and so it is in `records.parse_record`.
    """
    layout = LAYOUTS[lines.code]
    found: Columns = {}
    for each in layout.fields:
        if each.kind not in {"text", "character", "right"}:
            found[each.name] = _numbers(lines, each, each.name, findings)
    for name, places in layout.occurrences.items():
        values = np.empty((len(lines.rows), len(places)))
        for place, fields in enumerate(places):
            values[:, place] = _numbers(lines, fields[0], f"{name}[{place}]", findings)
            blank = np.isnan(values[:, place])
            _note(lines, (blank, "is blank or cut short."), (fields[0], f"{name}[{place}]"), findings)
        found[name] = values
    return found


def characters(lines: Lines, *spans: tuple[int, int]) -> NDArray[np.bytes_]:
    """Return the text in some columns (first and last, counted from 1) of every line, put together, blanks and all."""
    picked = np.concatenate([lines.rows[:, first - 1 : last] for first, last in spans], axis=1)
    return np.ascontiguousarray(picked).view(f"S{picked.shape[1]}").reshape(len(picked))


def _numbers(lines: Lines, each: Field, name: str, findings: Findings) -> NDArray[np.float64]:
    if each.kind == "exponent":
        return _exponents(lines, each, name, findings)
    digits = lines.columns[each.first - 1 : each.last] - np.uint8(_ZERO)
    short = lines.lengths < each.end
    blank = _blank(lines, digits, (each, name), findings) if digits.max(initial=0) > 9 else np.zeros_like(short)
    whole = np.zeros(len(short), dtype=np.int64)
    for place in digits:
        whole *= 10
        whole += place
    if each.sign:
        whole = np.where(_negative(lines, (each, name), findings), -whole, whole)
    values = whole / 10**each.decimals if each.kind == "decimal" else whole.astype(np.float64)
    if lost := int((short & ~blank).sum()):
        findings.cut[f"{lines.code.strip()} {name}"] += lost
    values[blank | short] = np.nan if each.default is None else each.default
    return values


def _blank(lines: Lines, digits: Bytes, named: tuple[Field, str], findings: Findings) -> NDArray[np.bool_]:
    """Return which lines are blank in a field, and note those that hold no number; what is no digit becomes 0."""
    wrong = digits > 9
    blanks = digits == np.uint8((_BLANK - _ZERO) % 256)
    leading = np.logical_and.accumulate(blanks, axis=0)
    bad = (wrong & ~leading).any(axis=0) & (lines.lengths >= named[0].end)
    _note(lines, (bad, "is no number."), named, findings)
    digits[wrong] = 0
    blank: NDArray[np.bool_] = blanks.all(axis=0)
    return blank


def _negative(lines: Lines, named: tuple[Field, str], findings: Findings) -> NDArray[np.bool_]:
    signs = lines.columns[named[0].sign - 1]
    negative: NDArray[np.bool_] = signs == _MINUS
    odd = ~negative & (signs != _PLUS) & (signs != _BLANK)
    _note(lines, (odd, "does not end in a sign."), named, findings)
    return negative


def _exponents(lines: Lines, each: Field, name: str, findings: Findings) -> NDArray[np.float64]:
    """Return exponents, of which there are few different ones: digits with a sign before or after."""
    known, place = np.unique(characters(lines, (each.first, each.last)), return_inverse=True)
    values = np.array([_exponent(text.decode("latin-1").strip()) for text in known])
    found: NDArray[np.float64] = values[place]
    _note(lines, (np.isinf(found), "is no exponent."), (each, name), findings)
    return found


def _exponent(text: str) -> float:
    """Return the exponent that a text gives, NaN when blank, infinity when it gives none."""
    digits = text.removeprefix("-").removeprefix("+") if text[:1] in {"+", "-"} else text.rstrip("+-")
    if not text:
        return np.nan
    if not (digits.isascii() and digits.isdigit()):
        return np.inf
    return float(-int(digits) if "-" in text else int(digits))


def _note(lines: Lines, wrong: tuple[NDArray[np.bool_], str], named: tuple[Field, str], findings: Findings) -> None:
    """Note the first lines in which a field is wrong, and in what way."""
    which, what = wrong
    each, name = named
    for place in np.flatnonzero(which)[:_LISTED]:
        text = lines.rows[place, each.first - 1 : each.end].tobytes().decode("latin-1")
        where = f"line {lines.numbers[place]}, record type {lines.code!r}, field {name!r}"
        fix = "Mend the line, or take the file afresh."
        findings.problems.add(f"{text!r} {what}", where=f"{where} (columns {each.first}-{each.end})", fix=fix)

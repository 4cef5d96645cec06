"""Single records of an expanded, unpacked SPAN risk-parameter file, read and written by their layouts.

Call `parse_record` for one line, `format_record` for the way back, `settlement_price` for the price that raw digits
stand for. Risk exponents are not applied here, and whole files are read by `files.read_span`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossmargin.errors import InputError, Problem, Problems, counted, suggestion
from crossmargin.io.span.layouts import LAYOUTS, RIGHTS, Field, Layout, Repeat

FloatArray: TypeAlias = NDArray[np.float64]

MOST_DECIMALS = 15
LONGEST_LINE = 4096  # no layout is wider than 200 columns; what is longer is no record

# A digit for eighths of the last place quoted; 4 and 9 are not in use.
EIGHTHS: Mapping[int, float] = MappingProxyType(
    {0: 0.0, 1: 0.125, 2: 0.25, 3: 0.375, 5: 0.5, 6: 0.625, 7: 0.75, 8: 0.875}
)
PLAIN, THIRTY_SECONDS, GRAIN = " ", "C", "0"

_LETTERS = {right: letter for letter, right in RIGHTS.items()}


def layout_of(line: str, where: str = "record") -> Layout:
    """Return the layout of a line by its first two characters, or raise `InputError`."""
    code = line[:2].ljust(2)
    if code not in LAYOUTS:
        known = ", ".join(repr(each) for each in LAYOUTS)
        raise InputError([Problem(f"unknown record type {code!r}.", where, f"Known: {known}.")])
    return LAYOUTS[code]


def parse_record(line: str, *, number: int | None = None) -> dict[str, Any]:
    """Return the fields of one record by name, as they stand in it.

    Parameters
    ----------
    line
        The record. Its end may be missing: a field that is blank, or a number that the line cuts short, is None.
    number
        The line's number in its file, for the message of an error.

    Returns
    -------
    dict
        Text without trailing blanks; numbers with their implied decimals and sign, no exponent applied; months as
        CCYYMM; fields that repeat as a list of those that are there.

    Raises
    ------
    InputError
        Listing every field that cannot be read, with line, record type and columns; or the unknown record type.

    References
    ----------
    CME Group, public SPAN documentation, page 457083445 (positional layouts).

    Examples
    --------
    >>> parse_record("T CLPCUSD$0000001063")["rate"]
    0.001063
    >>> parse_record("C 06    1001030000100011401A021502B031601A")["legs"][1]
    {'leg': 2, 'tier': 15, 'ratio': 2, 'side': 'B'}
    """
    where = "record" if number is None else f"line {number}"
    line = line.rstrip("\r\n")
    layout = layout_of(line, where)
    if len(line) > LONGEST_LINE:
        fix = "Give one record a line."
        raise InputError([Problem(f"{counted(len(line), 'column')}, the layout has {layout.width}.", where, fix)])
    problems = Problems()
    found = _Line(line, f"{where}, record type {layout.code!r}", problems)
    record = {part.name: _part(found, layout, part) for part in layout.parts}
    problems.raise_if_any("The record cannot be read")
    return record


class _Line:
    """A line while it is read: its text, where it stands, and what is wrong with it."""

    def __init__(self, text: str, where: str, problems: Problems) -> None:
        self.text, self.where, self._problems = text, where, problems

    def refuse(self, what: str, each: Field, name: str) -> None:
        """Note what is wrong with one field."""
        where = f"{self.where}, field {name!r} (columns {each.first}-{each.last})"
        self._problems.add(what, where=where, fix="Mend the line, or take the file afresh.")


def _part(line: _Line, layout: Layout, part: Field | Repeat) -> Any:
    if isinstance(part, Field):
        return _value(line, part, part.name)
    places = layout.occurrences[part.name]
    read = [
        {each.name: _value(line, each, f"{part.name}[{place}].{each.name}") for each in fields}
        for place, fields in enumerate(places)
    ]
    if part.shape == "group":
        return read[0]
    if part.shape == "named":
        return [values for values in read if any(value is not None for value in values.values())]
    plain = [next(iter(values.values())) for values in read]
    if part.shape == "filled":
        for place, value in enumerate(plain):
            if value is None:
                line.refuse("is blank or cut short.", places[place][0], f"{part.name}[{place}]")
        return plain
    return [value for value in plain if value is not None]


def _value(line: _Line, each: Field, name: str) -> Any:
    text = line.text[each.first - 1 : each.last]
    if each.kind == "character":
        return text or " "
    text = text.rstrip()
    if not text.strip():
        return each.default
    if each.kind == "text":
        return text
    if each.kind == "right":
        return RIGHTS[text] if text in RIGHTS else line.refuse(f"{text!r} is neither C nor P.", each, name)
    return _number(line, each, name, text)


def _number(line: _Line, each: Field, name: str, text: str) -> int | float | None:
    if len(line.text) < each.end and each.kind != "exponent":
        return None  # cut short: digits or the sign are missing, so that what is left means nothing
    digits = text.lstrip(" ")
    negative = False
    if each.kind == "exponent":
        negative = "-" in {digits[0], digits[-1]}
        digits = digits.removeprefix("-").removeprefix("+") if digits[0] in "+-" else digits.rstrip("+-")
    elif len(text) < each.last - each.first + 1:  # blanks after the digits would move the implied decimals
        digits = ""
    if not (digits.isascii() and digits.isdigit()):
        line.refuse(f"{text!r} is no number.", each, name)
        return None
    if each.sign:
        sign = line.text[each.sign - 1 : each.sign] or " "
        if sign not in "+- ":
            line.refuse(f"{sign!r} is no sign.", each, name)
        negative = sign == "-"
    whole = -int(digits) if negative else int(digits)
    if each.kind == "short_month":
        return 200_000 + whole
    return whole / 10**each.decimals if each.kind == "decimal" else whole


# ---------------------------------------------------------------------------------------------------- writing


def format_record(code: str, values: Mapping[str, Any]) -> str:
    """Return the line of a record of type `code`, without blanks at its end: what `parse_record` gives, the way back.

    A field that is left out or None is blank. Raises `InputError` for a field that the layout does not have and for a
    value that does not fit its columns.

    Examples
    --------
    >>> format_record("T ", {"from_currency": "CLP", "to_currency": "USD", "rate": 0.001063})
    'T CLP USD 0000001063'
    """
    if code not in LAYOUTS:
        layout_of(code, "record to write")
    layout, problems = LAYOUTS[code], Problems()
    names = [part.name for part in layout.parts]
    for name in sorted(set(values) - set(names)):
        problems.add(f"unknown field {name!r}.", where=f"record type {code!r}", fix=suggestion(name, names))
    columns = bytearray(b" " * layout.width)
    columns[:2] = code.encode("ascii")
    for each, name, value in _placed(layout, values, problems):
        _write(columns, each, value, (f"record type {code!r}, field {name!r}", problems))
    problems.raise_if_any("The record cannot be written")
    return columns.decode("latin-1").rstrip()


def _placed(layout: Layout, values: Mapping[str, Any], problems: Problems) -> list[tuple[Field, str, Any]]:
    """Return every field that has a value, with its name and the value."""
    found: list[tuple[Field, str, Any]] = []
    for part in layout.parts:
        value = values.get(part.name)
        if isinstance(part, Field):
            found.append((part, part.name, value))
            continue
        items = [value] if part.shape == "group" else list(value or ())
        if len(items) > part.count:
            where = f"record type {layout.code!r}, field {part.name!r}"
            problems.add(f"{len(items)} of them.", where=where, fix=f"Give at most {part.count}.")
        for place, item in enumerate(items[: part.count]):
            inside = item if isinstance(item, Mapping) else {part.fields[0].name: item}
            fields = layout.occurrences[part.name][place]
            found += [(each, f"{part.name}[{place}].{each.name}", inside.get(each.name)) for each in fields]
    return [(each, name, item) for each, name, item in found if item is not None]


def _write(columns: bytearray, each: Field, value: Any, noted: tuple[str, Problems]) -> None:
    width = each.last - each.first + 1
    where, problems = noted
    if each.kind in {"text", "character", "right"}:
        text = _LETTERS.get(value, str(value)) if each.kind == "right" else str(value)
        if len(text) > width or not text.isascii():
            problems.add(f"{text!r} does not fit.", where=where, fix=f"Give at most {width} ASCII characters.")
            return
        columns[each.first - 1 : each.last] = text.ljust(width).encode("ascii")
        return
    whole = _whole(each, value)
    signed = each.sign or each.kind == "exponent"
    digits = "" if whole is None else str(abs(whole)).zfill(width - (each.kind == "exponent"))
    if whole is None or (whole < 0 and not signed) or len(digits) > width - (each.kind == "exponent"):
        problems.add(f"{value!r} does not fit.", where=where, fix=f"Give a number of at most {width} digits.")
        return
    sign = "-" if whole < 0 else "+"
    if each.kind == "exponent":
        digits += "-" if whole < 0 else " "
    columns[each.first - 1 : each.last] = digits.encode("ascii")
    if each.sign:
        columns[each.sign - 1 : each.sign] = sign.encode("ascii")


def _whole(each: Field, value: Any) -> int | None:
    """Return the digits that stand for a number, or None when it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not isfinite(value):
        return None
    if each.kind == "short_month":
        return int(value) - 200_000
    return round(float(value) * 10**each.decimals) if each.kind == "decimal" else round(float(value))


# ----------------------------------------------------------------------------------------------------- prices


def settlement_price(raw: str | int, decimals: int, alignment: str = PLAIN, sign: str = "+") -> float:
    """Return the price that raw digits stand for.

    Parameters
    ----------
    raw
        The digits of the price, text or number.
    decimals
        The decimal locator of the product's price record.
    alignment
        Its alignment code. Blank: `raw / 10**decimals`. `C`: the last `decimals` digits are 32nds, two digits and
        then one of eighths of a 32nd. `0`: cents, the last of three decimals counting eighths of a cent. Eighths are
        coded 1, 2, 3, 5, 6, 7, 8; 4 and 9 do not exist.
    sign
        `-` makes the price negative.

    Returns
    -------
    float
        The price as it is quoted: points, or cents under code `0`.

    Raises
    ------
    InputError
        For digits, a sign or an alignment code that mean nothing.

    References
    ----------
    CME Group, public SPAN documentation, page 457083445, price alignment of record `P`; agrees with exchange closes of
    2019-01-02 and the EIA settlement of crude oil on 2020-04-20.

    Examples
    --------
    >>> settlement_price("0122060", 3, "C")
    122.1875
    >>> settlement_price("0003757", 3, "0")
    375.75
    >>> settlement_price("0003763", 2, " ", "-")
    -37.63
    """
    text = str(raw)
    problems = Problems()
    if not (text.isascii() and text.isdigit()):
        problems.add(f"{raw!r} is no row of digits.", where="raw", fix="Give the digits without a sign.")
    if sign not in {"+", "-", " "}:
        problems.add(f"{sign!r} is no sign.", where="sign", fix="Give '+' or '-'.")
    if decimals not in range(MOST_DECIMALS + 1):
        problems.add(f"{decimals!r} is no number of decimals.", where="decimals", fix=f"Give 0 to {MOST_DECIMALS}.")
    problems.raise_if_any("The price cannot be read")
    price = float(prices([int(text)], decimals, alignment or PLAIN)[0])
    if not isfinite(price):
        what = f"{text!r} has no meaning under alignment code {alignment!r} with {decimals} decimals."
        raise InputError([Problem(what, "settlement price", "Known codes: blank, 'C' and '0'.")])
    return -price if sign == "-" else price


def prices(raw: ArrayLike, decimals: int, alignment: str) -> FloatArray:
    """Return the prices of raw digits of one product, any shape, signed as `raw`; NaN where there is no meaning."""
    digits = np.asarray(raw, dtype=np.float64)
    if alignment == PLAIN and decimals <= MOST_DECIMALS:
        return digits / 10.0**decimals
    size, sign = np.abs(digits), np.where(np.signbit(digits), -1.0, 1.0)
    last, rest = size % 10, size // 10
    if alignment == THIRTY_SECONDS and decimals in {2, 3}:
        fine = _eighths(last) if decimals == 3 else np.zeros_like(size)
        rest = rest if decimals == 3 else size
        ticks = rest % 100 + fine
        return sign * np.where(ticks < 32, rest // 100 + ticks / 32, np.nan)
    if alignment == GRAIN and decimals == 3:
        return sign * (rest + _eighths(last))
    return np.full_like(digits, np.nan)


def _eighths(digit: FloatArray) -> FloatArray:
    table: Sequence[float] = [EIGHTHS.get(code, np.nan) for code in range(10)]
    safe = np.where(np.isfinite(digit), digit, 4)  # 4 is not in use
    return np.asarray(table)[safe.astype(np.int64)]

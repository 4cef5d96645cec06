"""CRIF files, the common risk interchange format: read with every row checked, written back as they were.

Call `read_crif(source)`; `Crif.sensitivities()` and `Crif.add_ons()` are what `crossmargin.simm.simm` takes, one
portfolio at a time when there are several. `write_crif` and `crif_text` are the way back, `crif_of` makes a CRIF of
sensitivities. Rows for the schedule (IMModel `Schedule`, PV) are kept and not used. Nothing is calculated here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from io import StringIO
from math import isfinite, isnan
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import IO, TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.io.crif_columns import TextTable, text_table
from crossmargin.simm.margin import AddOns, notional_add_ons
from crossmargin.simm.risk_types import KEYS, PRODUCT_CLASSES, RISK_TYPES
from crossmargin.simm.sensitivities import Column, Sensitivities, rows_text

Source = str | PathLike[str] | IO[str] | IO[bytes]

HEADER: Mapping[str, str] = MappingProxyType(
    {
        "valuation_date": "ValuationDate",
        "trade_id": "TradeID",
        "portfolio_id": "PortfolioID",
        "product_class": "ProductClass",
        "risk_type": "RiskType",
        "qualifier": "Qualifier",
        "bucket": "Bucket",
        "label1": "Label1",
        "label2": "Label2",
        "amount": "Amount",
        "amount_currency": "AmountCurrency",
        "amount_usd": "AmountUSD",
        "im_model": "IMModel",
        "post_regulations": "PostRegulations",
        "collect_regulations": "CollectRegulations",
        "end_date": "EndDate",
    }
)
# Other names of a column, compared without case, blanks and underscores.
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **{title.lower(): name for name, title in HEADER.items()},
        **dict.fromkeys(("valuedate", "asofdate", "cobdate"), "valuation_date"),
        **dict.fromkeys(("trade", "uti"), "trade_id"),
        **dict.fromkeys(("portfolio", "nettingset", "nettingsetid"), "portfolio_id"),
        **dict.fromkeys(("product", "simmproductclass"), "product_class"),
        **dict.fromkeys(("amountccy", "currency"), "amount_currency"),
        **dict.fromkeys(("amountinusd", "usdamount"), "amount_usd"),
        **dict.fromkeys(("model", "imm"), "im_model"),
        **dict.fromkeys(("postregulation", "postreg"), "post_regulations"),
        **dict.fromkeys(("collectregulation", "collectreg"), "collect_regulations"),
        "maturitydate": "end_date",
    }
)
NUMBERS = ("amount", "amount_usd")
MULTIPLIER, FIXED = "Param_ProductClassMultiplier", "Param_AddOnFixedAmount"
FACTOR, NOTIONAL, PRESENT_VALUE = "Param_AddOnNotionalFactor", "Notional", "PV"
_ADD_ONS = (MULTIPLIER, FIXED, FACTOR, NOTIONAL)
_TYPES = (*RISK_TYPES, *_ADD_ONS, PRESENT_VALUE)
_SCHEDULE = "schedule"
_NEEDED = ("product_class", "risk_type", "qualifier")
_CHUNK = 50_000  # lines at a time: their texts stay near the processor


@frozen(eq=False)
class Crif:
    """A CRIF as columns.

    Attributes
    ----------
    columns : mapping of str to Column
        The texts, by the names of `HEADER`; a column that the file does not have is blank.
    amount, amount_usd : array [n_rows]
        NaN where the field is blank.
    rows : array of int [n_rows]
        The lines of the file.
    ignored : tuple of str
        Columns of the file that are no part of the format.
    """

    columns: Mapping[str, Column]
    amount: FloatArray
    amount_usd: FloatArray
    rows: NDArray[np.int32]
    name: str = "CRIF"
    ignored: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same rows; where they stood in a file does not count."""
        if not isinstance(other, Crif) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Crif) else False
        numbers = all(np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True) for name in NUMBERS)
        return numbers and all(column.texts() == other.columns[name].texts() for name, column in self.columns.items())

    __hash__ = None  # type: ignore[assignment]

    @property
    def portfolios(self) -> tuple[str, ...]:
        """The portfolios, in the order of the file; they never net with one another."""
        return self.columns["portfolio_id"].values

    def sensitivities(self, portfolio: str | None = None) -> Sensitivities:
        """Return the sensitivities for SIMM of one portfolio, or of a CRIF that has only one.

        Raises
        ------
        InputError
            There are several portfolios and none is named, or it is not there.
        """
        mask, sensitivities = self.checked()
        here = self._of(portfolio)[mask]
        return sensitivities if here.all() else sensitivities[here]

    def add_ons(self, portfolio: str | None = None) -> AddOns:
        """Return the multipliers and add-ons of one portfolio, or of a CRIF that has only one.

        Raises
        ------
        InputError
            As `sensitivities`; or a multiplier below 1, or a negative amount.
        """
        here = self._of(portfolio) & ~_scheduled(self)
        usd = _money(self)
        found = {kind: np.flatnonzero(here & _of_kind(self, (kind,))).tolist() for kind in _ADD_ONS}
        qualifier = self.columns["qualifier"]
        names = {kind: [qualifier.values[qualifier.codes[row]] for row in rows] for kind, rows in found.items()}
        multipliers = dict(zip(names[MULTIPLIER], self.amount[found[MULTIPLIER]].tolist(), strict=True))
        factors = zip(names[FACTOR], self.amount[found[FACTOR]].tolist(), strict=True)
        notionals = zip(names[NOTIONAL], usd[found[NOTIONAL]].tolist(), strict=True)
        return AddOns(multipliers, usd[found[FIXED]].tolist(), notional_add_ons(factors, notionals))

    def schedule_rows(self) -> int:
        """Return how many rows are for the schedule: SIMM leaves them out."""
        return int((_scheduled(self) | _of_kind(self, (PRESENT_VALUE,))).sum())

    def checked(self) -> tuple[NDArray[np.bool_], Sensitivities]:
        """Return which rows are sensitivities for SIMM, and what they are; raise `InputError` for what is wrong."""
        found: tuple[NDArray[np.bool_], Sensitivities] = self._risks
        return found

    @cached_property
    def _risks(self) -> tuple[NDArray[np.bool_], Sensitivities]:
        mask = _of_kind(self, RISK_TYPES) & ~_scheduled(self)
        columns = {name: self.columns[name][mask] for name in KEYS}
        amounts = np.nan_to_num(_money(self)[mask])  # what has no amount in USD is noted when the file is read
        numbers = self.rows[mask]
        return mask, Sensitivities.from_columns(columns, amounts, rows=numbers, where=self.name, names=HEADER)

    def _of(self, portfolio: str | None) -> NDArray[np.bool_]:
        column = self.columns["portfolio_id"]
        if portfolio is None and len(column.values) > 1:
            what = f"{len(column.values)} portfolios, which do not net with one another."
            raise InputError([Problem(what, self.name, f"Name one of them: {', '.join(column.values)}.")])
        if portfolio is not None and portfolio not in column.values:
            raise InputError([Problem(f"no portfolio {portfolio!r}.", self.name, suggestion(portfolio, column.values))])
        return column.among(column.values if portfolio is None else (portfolio,))


# ----------------------------------------------------------------------------------------------------- reading

_Names: TypeAlias = tuple[str, tuple[str, ...]]  # of the file, and of the columns left out
_Chunk: TypeAlias = tuple[list[int], list[Sequence[str]]]  # line numbers, and the texts of each column


def read_crif(source: Source) -> Crif:
    r"""Return a CRIF file, tab- or comma-separated, with every row checked.

    Parameters
    ----------
    source
        A path, or an open file. The first line names the columns, in any order and by their usual aliases.

    Raises
    ------
    InputError
        Listing every column that is missing and every field that is wrong, with its rows.

    Examples
    --------
    >>> text = "RiskType,ProductClass,Qualifier,AmountUSD\nRisk_FX,RatesFX,EUR,-1250000\n"
    >>> read_crif(StringIO(text)).sensitivities().amount_usd.tolist()
    [-1250000.0]
    """
    name, text = _text_of(source)
    if not text.strip():
        raise InputError([Problem("is empty.", name, "Give a header and one row for each sensitivity.")])
    blank = len(text) - len(text.lstrip("\n"))
    header, problems = text[blank:].partition("\n")[0], Problems()
    delimiter = max("\t,;", key=header.count)
    titles = next(csv.reader([header.lstrip("#")], delimiter=delimiter))
    places, ignored = _places(titles, name, problems)
    problems.raise_if_any()
    rest = text[blank + len(header) + 1 :].removesuffix("\n") + "\n"
    crif = _from_table(text_table(rest.encode(), delimiter, len(titles)), places, (name, ignored), blank + 2)
    if crif is None:
        widths = _Widths(len(titles), name, problems)
        chunks = _quoted(text, delimiter, widths) if '"' in text else _plain(text, delimiter, blank + 1, widths)
        crif = _coded(chunks, places, (name, ignored), problems)
    _check(crif, problems)
    problems.raise_if_any()
    return crif


def _text_of(source: Source) -> tuple[str, str]:
    try:
        data = Path(source).read_bytes() if isinstance(source, str | PathLike) else source.read()
        text = data if isinstance(data, str) else data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(f"cannot be read: {error}.", str(source), "Give a CRIF file in UTF-8.")]) from error
    name = Path(source).name if isinstance(source, str | PathLike) else Path(str(getattr(source, "name", "CRIF"))).name
    return name, text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _places(titles: Sequence[str], name: str, problems: Problems) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return where each column of the format stands, and the titles of the others."""
    places: dict[str, int] = {}
    ignored = []
    for place, title in enumerate(titles):
        column = _ALIASES.get(re.sub(r"[\s_]+", "", title).lower())
        if column is None:
            ignored.append(title)
        elif column in places:
            problems.add(f"{HEADER[column]} stands twice.", where=f"{name} header", fix="Keep one of the columns.")
        else:
            places[column] = place
    missing = [column for column in _NEEDED if column not in places]
    if not set(NUMBERS) & set(places):
        missing.append("amount_usd")
    for column in missing:
        fix = f"Name it so; there are {', '.join(titles)}."
        problems.add(f"no column {HEADER[column]}.", where=f"{name} header", fix=fix)
    return places, tuple(ignored)


@frozen
class _Widths:
    """How many fields a line has to have; notes the lines that have another number."""

    width: int
    name: str
    problems: Problems

    def fitting(self, numbers: Sequence[int], counts: Sequence[int]) -> list[int]:
        """Return the places of the lines to keep; those with 0 fields are blank."""
        wrong = [number for number, count in zip(numbers, counts, strict=True) if count not in (0, self.width)]
        if wrong:
            where, fix = f"{self.name} {rows_text(wrong)}", f"Give {self.width}, as in the header."
            self.problems.add("another number of fields.", where=where, fix=fix)
        return [place for place, count in enumerate(counts) if count == self.width]


def _plain(text: str, delimiter: str, start: int, widths: _Widths) -> Iterator[_Chunk]:
    """Yield the columns of a file without quotation marks, some lines at a time."""
    lines = text.split("\n")
    for begin in range(start, len(lines), _CHUNK):
        part = lines[begin : begin + _CHUNK]
        numbers = list(range(begin + 1, begin + 1 + len(part)))
        counts = [0 if not line or line.isspace() else line.count(delimiter) + 1 for line in part]
        if counts.count(widths.width) < len(part):
            kept = widths.fitting(numbers, counts)
            numbers, part = [numbers[place] for place in kept], [part[place] for place in kept]
        fields = delimiter.join(part).split(delimiter) if part else []
        yield numbers, [fields[place :: widths.width] for place in range(widths.width)]


def _quoted(text: str, delimiter: str, widths: _Widths) -> Iterator[_Chunk]:
    """Yield the columns of a file that has quotation marks."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    next(row for row in reader if any(row))
    rows = [(reader.line_num, row) for row in reader]
    numbers = [number for number, _ in rows]
    counts = [len(row) if any(field.strip() for field in row) else 0 for _, row in rows]
    kept = widths.fitting(numbers, counts)
    yield (
        [numbers[place] for place in kept],
        [[rows[place][1][column] for place in kept] for column in range(widths.width)],
    )


@frozen
class _Coder:
    """Codes texts as they come, chunk by chunk."""

    seen: dict[str, int]
    parts: list[NDArray[np.int32]]

    def add(self, texts: Sequence[str]) -> None:
        """Code some more texts."""
        for text in dict.fromkeys(texts):
            self.seen.setdefault(text, len(self.seen))
        self.parts.append(np.fromiter(map(self.seen.__getitem__, texts), np.int32, len(texts)))

    def column(self) -> Column:
        codes = np.concatenate([*self.parts, np.zeros(0, np.int32)])
        return Column(codes, tuple(self.seen)).mapped(str.strip)


def _from_table(table: TextTable | None, places: Mapping[str, int], names: _Names, start: int) -> Crif | None:
    """Return the rows of a file that is plain all through, or None."""
    if table is None:
        return None
    texts = {column: table.column(place) for column, place in places.items() if column not in NUMBERS}
    amounts = {column: table.numbers(place) for column, place in places.items() if column in NUMBERS}
    rows = np.arange(start, start + len(table), dtype=np.int32)
    given = {column: found for column, found in texts.items() if found is not None}
    numbers = {column: found for column, found in amounts.items() if found is not None}
    whole = len(given) == len(texts) and len(numbers) == len(amounts)
    return _assembled(given, numbers, rows, names) if whole else None


def _assembled(
    given: Mapping[str, Column], numbers: Mapping[str, FloatArray], rows: NDArray[np.int32], names: _Names
) -> Crif:
    """Return the CRIF of the columns that a file has, blank in the others."""
    blank, none = Column(np.zeros(len(rows)), ("",)), np.full(len(rows), np.nan)
    columns = MappingProxyType({column: given.get(column, blank) for column in HEADER if column not in NUMBERS})
    amounts = {column: numbers.get(column, none) for column in NUMBERS}
    return Crif(columns, **amounts, rows=rows, name=names[0], ignored=names[1])


def _coded(chunks: Iterable[_Chunk], places: Mapping[str, int], names: _Names, problems: Problems) -> Crif:
    """Return the rows as columns; note what should be a number and is none."""
    coders = {column: _Coder({}, []) for column in places if column not in NUMBERS}
    amounts: dict[str, list[FloatArray]] = {column: [np.zeros(0)] for column in places if column in NUMBERS}
    numbers: list[int] = []
    for lines, fields in chunks:
        numbers += lines
        for column, coder in coders.items():
            coder.add(fields[places[column]])
        for column, found in amounts.items():
            where = f"{names[0]} {{}}, field {HEADER[column]!r}"
            found.append(_floats(fields[places[column]], lines, where, problems))
    rows = np.array(numbers, dtype=np.int32)
    given = {column: coder.column() for column, coder in coders.items()}
    arrays = {column: np.concatenate(found) for column, found in amounts.items()}
    return _assembled(given, arrays, rows, names)


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
                problems.add(f"{text!r} is no number.", where=where.format(f"row {lines[place]}"), fix=fix)
            found[place] = number or 0.0
    return found


def _float(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and "_" not in text else None


# ---------------------------------------------------------------------------------------------------- checking


def _of_kind(crif: Crif, kinds: Iterable[str]) -> NDArray[np.bool_]:
    return crif.columns["risk_type"].among(tuple(kinds))


def _scheduled(crif: Crif) -> NDArray[np.bool_]:
    return crif.columns["im_model"].mapped(str.lower).among((_SCHEDULE,))


def _money(crif: Crif) -> FloatArray:
    """Return the amounts in USD: as given, or the amount itself where its currency is USD; NaN for others."""
    in_usd = crif.columns["amount_currency"].mapped(str.upper).among(("USD",))
    return np.where(np.isnan(crif.amount_usd) & in_usd, crif.amount, crif.amount_usd)


@frozen
class _Notes:
    """Notes what is wrong with rows of a CRIF."""

    crif: Crif
    problems: Problems

    def add(self, wrong: NDArray[np.bool_], field: str, what: str, fix: str) -> None:
        if wrong.any():
            where = f"{self.crif.name} {rows_text(self.crif.rows[wrong])}, field {HEADER[field]!r}"
            self.problems.add(what, where=where, fix=fix)


def _check(crif: Crif, problems: Problems) -> None:
    """Note everything that is wrong with the rows."""
    kinds, notes, used = crif.columns["risk_type"], _Notes(crif, problems), ~_scheduled(crif)
    for code, value in enumerate(kinds.values):
        if value not in _TYPES:
            notes.add(kinds.codes == code, "risk_type", f"{value!r} is unknown.", suggestion(value, _TYPES))
    with problems.collecting():
        crif.checked()
    money = used & _of_kind(crif, (*RISK_TYPES, FIXED, NOTIONAL)) & np.isnan(_money(crif))
    notes.add(money, "amount_usd", "is blank.", "Give AmountUSD, or Amount with AmountCurrency USD.")
    unit = used & _of_kind(crif, (MULTIPLIER, FACTOR)) & np.isnan(crif.amount)
    notes.add(unit, "amount", "is blank.", "Give the multiplier, or the factor in percent.")
    low = used & _of_kind(crif, (MULTIPLIER,)) & (crif.amount < 1.0)
    notes.add(low, "amount", "is a multiplier below 1.", "Give 1 or more.")
    fixed, factor = (used & _of_kind(crif, (kind,)) for kind in (FIXED, FACTOR))
    negative = (fixed & (_money(crif) < 0.0)) | (factor & (crif.amount < 0.0))
    notes.add(negative, "amount", "is below 0.", "An add-on never lowers the margin.")
    _check_multipliers(crif, used & _of_kind(crif, (MULTIPLIER,)), notes)


def _check_multipliers(crif: Crif, rows: NDArray[np.bool_], notes: _Notes) -> None:
    names = crif.columns["qualifier"]
    for code in np.unique(names.codes[rows]).tolist():
        text, here = names.values[code], rows & (names.codes == code)
        if text not in PRODUCT_CLASSES:
            notes.add(here, "qualifier", f"{text!r} is no product class.", suggestion(text, PRODUCT_CLASSES))
        portfolios = crif.columns["portfolio_id"].codes[here].tolist()
        if len(set(portfolios)) < len(portfolios):
            notes.add(here, "qualifier", f"{text!r} has two multipliers.", "Keep one for each portfolio.")


# ----------------------------------------------------------------------------------------------------- writing


def crif_of(sensitivities: Sensitivities, *, portfolio: str = "", add_ons: AddOns | None = None) -> Crif:
    """Return the CRIF of sensitivities and add-ons of one portfolio, amounts in USD."""
    rows = list(_add_on_rows(add_ons or AddOns()))
    n_risks, n_rows = len(sensitivities), len(sensitivities) + len(rows)
    texts = {name: [""] * n_rows for name in HEADER if name not in NUMBERS}
    for name in KEYS:
        texts[name][:n_risks] = getattr(sensitivities, name).texts()
    texts["risk_type"][n_risks:] = [kind for kind, _, _, _ in rows]
    texts["qualifier"][n_risks:] = [qualifier for _, qualifier, _, _ in rows]
    texts["amount_currency"] = ["USD"] * n_risks + [unit for _, _, _, unit in rows]
    texts["portfolio_id"] = [portfolio] * n_rows
    columns = MappingProxyType({name: Column.of(found) for name, found in texts.items()})
    amount = np.concatenate([sensitivities.amount_usd, [value for _, _, value, _ in rows]])
    usd = np.where(columns["amount_currency"].among(("USD",)), amount, np.nan)
    return Crif(columns, amount, usd, np.arange(2, n_rows + 2, dtype=np.int32))


def _add_on_rows(add_ons: AddOns) -> Iterator[tuple[str, str, float, str]]:
    """Yield risk type, qualifier, amount and currency of each add-on."""
    for name, value in add_ons.multipliers.items():
        yield MULTIPLIER, name, value, ""
    for value in add_ons.fixed_usd:
        yield FIXED, "", value, "USD"
    for each in add_ons.notional:
        yield FACTOR, each.product, each.factor_pct, ""
    for product, notional in {each.product: each.notional_usd for each in add_ons.notional}.items():
        yield NOTIONAL, product, notional, "USD"


def crif_text(crif: Crif, *, delimiter: str = "\t") -> str:
    """Return the CRIF as text with a header; `read_crif` reads the same rows back.

    Numbers are written so that they are read back to the last bit; blank fields stay blank.
    """
    written = StringIO()
    writer = csv.writer(written, delimiter=delimiter, lineterminator="\n")
    writer.writerow(HEADER.values())
    numbers = {name: [_number_text(each) for each in getattr(crif, name).tolist()] for name in NUMBERS}
    columns = [numbers[name] if name in numbers else crif.columns[name].texts() for name in HEADER]
    writer.writerows(zip(*columns, strict=True))
    return written.getvalue()


def _number_text(number: float) -> str:
    return "" if isnan(number) else repr(number)


def write_crif(crif: Crif, path: str | PathLike[str], *, delimiter: str = "\t") -> None:
    """Write the CRIF to a file in UTF-8."""
    Path(path).write_text(crif_text(crif, delimiter=delimiter), encoding="utf-8", newline="")

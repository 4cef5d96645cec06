"""CRIF files, the common risk interchange format: read with every row checked, written back as they were.

Call `read_crif(source)`; `Crif.sensitivities()` and `Crif.add_ons()` are what `crossmargin.simm.simm` takes, one
portfolio at a time when there are several. `write_crif` and `crif_text` are the way back, `crif_of` makes a CRIF of
sensitivities. Rows for the schedule (IMModel `Schedule`, PV) are kept and not used. Nothing is calculated here.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from io import StringIO
from math import isnan
from os import PathLike
from pathlib import Path
from types import MappingProxyType

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.io.crif_arrow import ArrowTable, arrow_table
from crossmargin.io.crif_columns import TextTable, text_table
from crossmargin.io.crif_fields import Layout, field_table
from crossmargin.io.crif_files import MOST_BYTES, Source, contents
from crossmargin.simm.margin import AddOns, notional_add_ons
from crossmargin.simm.risk_types import KEYS, PRODUCT_CLASSES, RISK_TYPES
from crossmargin.simm.sensitivities import Column, Sensitivities, rows_text

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
MODELS = ("SIMM", "SIMM-P", "SIMM-R", "Schedule")  # blank is SIMM; P of the pledgor, R of the receiver
SUB_CURVES = ("OIS", "Libor1m", "Libor3m", "Libor6m", "Libor12m", "Prime", "Municipal")
_NEEDED = ("product_class", "risk_type", "qualifier")
# Read when they are asked for: SIMM looks at none of them.
_LATER = frozenset({"valuation_date", "trade_id", "post_regulations", "collect_regulations", "end_date"})
_LARGE = 1 << 20  # bytes from which pyarrow gains more than its import takes


@frozen(eq=False)
class Crif:
    """A CRIF as columns.

    Attributes
    ----------
    readers : mapping of str to function
        What gives each column of texts, by the names of `HEADER`: call `column(name)`.
    amount, amount_usd : array [n_rows]
        NaN where the field is blank.
    rows : array of int [n_rows]
        The lines of the file.
    ignored : tuple of str
        Columns of the file that are no part of the format.
    """

    readers: Mapping[str, Callable[[], Column]]
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
        return numbers and all(self.column(name).texts() == other.column(name).texts() for name in self.readers)

    __hash__ = None  # type: ignore[assignment]

    def column(self, name: str) -> Column:
        """Return the texts of a column by its name in `HEADER`, blank where the file does not have it."""
        return self.readers[name]()

    @property
    def portfolios(self) -> tuple[str, ...]:
        """The portfolios, in the order of the file; they never net with one another."""
        return self.column("portfolio_id").values

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
        qualifier = self.column("qualifier")
        names = {kind: [qualifier.values[qualifier.codes[row]] for row in rows] for kind, rows in found.items()}
        multipliers = dict(zip(names[MULTIPLIER], self.amount[found[MULTIPLIER]].tolist(), strict=True))
        factors = zip(names[FACTOR], self.amount[found[FACTOR]].tolist(), strict=True)
        notionals = zip(names[NOTIONAL], usd[found[NOTIONAL]].tolist(), strict=True)
        return AddOns(multipliers, usd[found[FIXED]].tolist(), notional_add_ons(factors, notionals))

    def schedule_rows(self, portfolio: str | None = None) -> int:
        """Return how many rows of one portfolio, or of all, are for the schedule: SIMM leaves them out."""
        here = np.full(len(self), fill_value=True) if portfolio is None else self._of(portfolio)
        return int((here & (_scheduled(self) | _of_kind(self, (PRESENT_VALUE,)))).sum())

    def checked(self) -> tuple[NDArray[np.bool_], Sensitivities]:
        """Return which rows are sensitivities for SIMM, and what they are; raise `InputError` for what is wrong."""
        found: tuple[NDArray[np.bool_], Sensitivities] = self._risks
        return found

    @cached_property
    def _risks(self) -> tuple[NDArray[np.bool_], Sensitivities]:
        mask = _of_kind(self, RISK_TYPES) & ~_scheduled(self)
        columns = {name: self.column(name)[mask] for name in KEYS}
        amounts = np.nan_to_num(_money(self)[mask])  # what has no amount in USD is noted when the file is read
        numbers = self.rows[mask]
        return mask, Sensitivities.from_columns(columns, amounts, rows=numbers, where=self.name, names=HEADER)

    def _of(self, portfolio: str | None) -> NDArray[np.bool_]:
        column = self.column("portfolio_id")
        if portfolio is None and len(column.values) > 1:
            what = f"{len(column.values)} portfolios, which do not net with one another."
            raise InputError([Problem(what, self.name, f"Name one of them: {', '.join(column.values)}.")])
        if portfolio is not None and portfolio not in column.values:
            raise InputError([Problem(f"no portfolio {portfolio!r}.", self.name, suggestion(portfolio, column.values))])
        return column.among(column.values if portfolio is None else (portfolio,))


# ----------------------------------------------------------------------------------------------------- reading


@frozen
class _Form:
    """What the header says, and the number of the line after it."""

    name: str
    delimiter: str
    width: int
    places: Mapping[str, int]
    ignored: tuple[str, ...]
    first_row: int

    def places_of(self, *, numbers: bool, without: Collection[str] = ()) -> list[int]:
        """Return where the numbers stand, or the texts."""
        return [
            place for column, place in self.places.items() if (column in NUMBERS) == numbers and column not in without
        ]


def read_crif(source: Source, *, most_bytes: int = MOST_BYTES) -> Crif:
    r"""Return a CRIF file, tab- or comma-separated, with every row checked.

    With pyarrow installed a large file is read a few times faster, to the same last bit.

    Parameters
    ----------
    source
        A path, or an open file; plain, gzip, or zip with one file in it. The first line names the columns, in any order
        and by their usual aliases.
    most_bytes
        Bytes that it may have unpacked.

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
    name, data = contents(source, most_bytes=most_bytes)
    if data.isspace() or not data:
        raise InputError([Problem("is empty.", name, "Give a header and one row for each sensitivity.")])
    begin, problems = data.index(b"\n", len(data) - len(data.lstrip(b"\n"))) + 1, Problems()
    header = data[:begin].decode().strip("\n")
    delimiter = max("\t,;", key=header.count)
    titles = next(csv.reader([header.lstrip("#")], delimiter=delimiter))
    places, ignored = _places(titles, name, problems)
    problems.raise_if_any()
    form = _Form(name, delimiter, len(titles), places, ignored, data[:begin].count(b"\n") + 1)
    crif = _read_fast(data, begin, form)
    if crif is None:
        crif = _read_carefully(data, form, problems)
    _check(crif, problems)
    problems.raise_if_any()
    return crif


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


def _read_fast(data: bytes, begin: int, form: _Form) -> Crif | None:
    """Return the rows of a file that is plain all through, or None."""
    end = len(data)
    while data[end - 2 : end] == b"\n\n":
        end -= 1
    if b'"' in data or b"\0" in data or begin >= end:
        return None
    rest, shape = memoryview(data)[begin:end], (form.delimiter, form.width)
    table: ArrowTable | TextTable | None = None
    if len(data) >= _LARGE:
        later = _LATER | ({"amount_currency"} if "amount_usd" in form.places else set())
        texts = form.places_of(numbers=False, without=later)
        table = arrow_table(rest, *shape, texts=texts, numbers=form.places_of(numbers=True))
    table = table or text_table(rest, *shape)
    if table is None or "" in table.column(form.places["risk_type"]).values:  # a blank line may have its delimiters
        return None
    amounts = {column: table.numbers(form.places[column]) for column in NUMBERS if column in form.places}
    given = {column: found for column, found in amounts.items() if found is not None}
    rows = np.arange(form.first_row, form.first_row + len(table), dtype=np.int32)
    return _assembled(table.column, given, rows, form) if len(given) == len(amounts) else None


def _read_carefully(data: bytes, form: _Form, problems: Problems) -> Crif:
    """Return the rows field by field; note what is wrong with lines and numbers."""
    titles = {place: HEADER[column] for column, place in form.places.items()}
    texts, numbers = ({place: titles[place] for place in form.places_of(numbers=each)} for each in (False, True))
    layout = Layout(form.name, form.delimiter, form.width, texts, numbers)
    table = field_table(data.decode(), layout, problems)
    amounts = {column: table.amounts[form.places[column]] for column in NUMBERS if column in form.places}
    return _assembled(table.texts.__getitem__, amounts, table.rows, form)


def _assembled(
    column_at: Callable[[int], Column], amounts: Mapping[str, FloatArray], rows: NDArray[np.int32], form: _Form
) -> Crif:
    """Return the CRIF of the columns that a file has, blank in the others."""
    blank, none, places = Column(np.zeros(len(rows)), ("",)), np.full(len(rows), np.nan), form.places
    readers = {
        name: cache(partial(column_at, places[name])) if name in places else partial(_same, blank)
        for name in HEADER
        if name not in NUMBERS
    }
    both = {name: amounts.get(name, none) for name in NUMBERS}
    return Crif(MappingProxyType(readers), **both, rows=rows, name=form.name, ignored=form.ignored)


def _same(column: Column) -> Column:
    return column


# ---------------------------------------------------------------------------------------------------- checking


def _of_kind(crif: Crif, kinds: Iterable[str]) -> NDArray[np.bool_]:
    return crif.column("risk_type").among(tuple(kinds))


def _scheduled(crif: Crif) -> NDArray[np.bool_]:
    return crif.column("im_model").mapped(str.lower).among((_SCHEDULE,))


def _money(crif: Crif) -> FloatArray:
    """Return the amounts in USD: as given, or the amount itself where its currency is USD; NaN for others."""
    missing = np.isnan(crif.amount_usd)
    if not missing.any():
        return crif.amount_usd
    in_usd = crif.column("amount_currency").mapped(str.upper).among(("USD",))
    return np.where(missing & in_usd, crif.amount, crif.amount_usd)


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
    kinds, notes, used = crif.column("risk_type"), _Notes(crif, problems), ~_scheduled(crif)
    for code, value in enumerate(kinds.values):
        if value not in _TYPES:
            notes.add(kinds.codes == code, "risk_type", f"{value!r} is unknown.", suggestion(value, _TYPES))
    _check_words(crif, kinds.among(("Risk_IRCurve",)), notes)
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


def _check_words(crif: Crif, curves: NDArray[np.bool_], notes: _Notes) -> None:
    """Note models and sub-curves that are none: a misspelt one would be margined apart, or by another rule."""
    models, labels = crif.column("im_model"), crif.column("label2")
    for code, text in enumerate(models.values):
        if text and text.replace("_", "-").lower() not in {each.lower() for each in MODELS}:
            notes.add(models.codes == code, "im_model", f"{text!r} is no model.", suggestion(text, MODELS))
    for code in np.unique(labels.codes[curves]).tolist():
        if (text := labels.values[code]) and text not in SUB_CURVES:
            here = curves & (labels.codes == code)
            notes.add(here, "label2", f"{text!r} is no sub-curve.", suggestion(text, SUB_CURVES))


def _check_multipliers(crif: Crif, rows: NDArray[np.bool_], notes: _Notes) -> None:
    names = crif.column("qualifier")
    for code in np.unique(names.codes[rows]).tolist():
        text, here = names.values[code], rows & (names.codes == code)
        if text not in PRODUCT_CLASSES:
            notes.add(here, "qualifier", f"{text!r} is no product class.", suggestion(text, PRODUCT_CLASSES))
        portfolios = crif.column("portfolio_id").codes[here].tolist()
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
    columns = {name: Column.of(found) for name, found in texts.items()}
    amount = np.concatenate([sensitivities.amount_usd, [value for _, _, value, _ in rows]])
    usd = np.where(columns["amount_currency"].among(("USD",)), amount, np.nan)
    readers = {name: partial(_same, column) for name, column in columns.items()}
    return Crif(MappingProxyType(readers), amount, usd, np.arange(2, n_rows + 2, dtype=np.int32))


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
    columns = [numbers[name] if name in numbers else crif.column(name).texts() for name in HEADER]
    writer.writerows(zip(*columns, strict=True))
    return written.getvalue()


def _number_text(number: float) -> str:
    return "" if isnan(number) else repr(number)


def write_crif(crif: Crif, path: str | PathLike[str], *, delimiter: str = "\t") -> None:
    """Write the CRIF to a file in UTF-8, packed with gzip where the path ends in `.gz`."""
    data, target = crif_text(crif, delimiter=delimiter).encode(), Path(path)
    target.write_bytes(gzip.compress(data, mtime=0) if target.suffix == ".gz" else data)

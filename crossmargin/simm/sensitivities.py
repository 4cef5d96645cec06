"""Sensitivities as columns: checked whole, coded, and netted into one amount for each risk factor.

Call `Sensitivities.from_records(rows)` or `.from_columns(...)`; `net(sensitivities)` adds up the rows of equal key.
What a calibration must know of a row (its bucket, its tenor) is checked by `simm`. Files are read by `io.crif`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import ArrayLike, NDArray

from crossmargin.columns import FloatArray, as_texts, readonly
from crossmargin.errors import Problems, several, suggestion
from crossmargin.simm.risk_types import KEYS, PRODUCT_CLASSES, RISK_TYPES, TYPE_NAMES, rule_of

IntArray: TypeAlias = NDArray[np.intp]

_SHOWN = 5  # rows that a message names before it counts the rest
_TABLE = 1 << 16  # entries of a table that is made however few rows there are


def _codes(values: ArrayLike) -> NDArray[np.int32]:
    codes = np.array(values, dtype=np.int32)
    codes.setflags(write=False)
    return codes


@frozen(eq=False)
class Column:
    """Texts, one a row, as codes into their distinct `values`.

    Examples
    --------
    >>> Column.of(["USD", "EUR", "USD"])
    Column(codes=array([0, 1, 0], dtype=int32), values=('USD', 'EUR'))
    """

    codes: NDArray[np.int32] = field(converter=_codes)
    values: tuple[str, ...] = field(converter=as_texts)

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Return the column of these texts."""
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        return cls(np.fromiter(map(places.__getitem__, texts), np.int32, len(texts)), tuple(places))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Column:
        return Column(self.codes[rows], self.values)

    def texts(self) -> list[str]:
        """Return the texts, one a row."""
        return [self.values[code] for code in self.codes.tolist()]

    def mapped(self, function: Callable[[str], str]) -> Column:
        """Return the column with every distinct value mapped."""
        mapped = tuple(map(function, self.values))
        if mapped == self.values:
            return self
        distinct = Column.of(mapped)
        return Column(distinct.codes[self.codes], distinct.values)

    def looked_up(self, function: Callable[[str], float]) -> FloatArray:
        """Return a number for each row, asked once for each value that occurs; shape (n_rows,)."""
        occurs = np.bincount(self.codes, minlength=len(self.values)).nonzero()[0]
        table = np.zeros(len(self.values))
        table[occurs] = [function(self.values[code]) for code in occurs.tolist()]
        found: FloatArray = table[self.codes]
        return found

    def coded(self, places: Mapping[str, int]) -> IntArray:
        """Return the place of each row's value, -1 where it has none; shape (n_rows,)."""
        return self.looked_up(lambda value: places.get(value, -1)).astype(np.intp)

    def among(self, texts: Collection[str]) -> NDArray[np.bool_]:
        """Return whether each row's value is one of these; shape (n_rows,)."""
        wanted = np.array([value in texts for value in self.values], dtype=bool)
        if wanted.all() or not wanted.any():
            return np.full(len(self), bool(len(wanted)) and wanted.all())
        found: NDArray[np.bool_] = wanted[self.codes]
        return found


@frozen(eq=False)
class Sensitivities:
    """CRIF sensitivities as columns of equal length; `rows` are the numbers that messages give them.

    Attributes
    ----------
    product_class, risk_type, qualifier, bucket, label1, label2 : Column
        As the calculation compares them: currencies in capitals, pairs sorted, tenors in small letters.
    amount_usd : array [n_rows]
        USD per basis point, per 1 % or per volatility point as the risk type has it; gain > 0 when the factor rises.
    """

    product_class: Column
    risk_type: Column
    qualifier: Column
    bucket: Column
    label1: Column
    label2: Column
    amount_usd: FloatArray = field(converter=readonly)
    rows: NDArray[np.int32] = field(converter=_codes, repr=False)

    def __len__(self) -> int:
        return len(self.amount_usd)

    def __getitem__(self, chosen: Any) -> Sensitivities:
        """Return some of the rows."""
        columns = {name: getattr(self, name)[chosen] for name in (*KEYS, "amount_usd", "rows")}
        return Sensitivities(**columns)

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]]) -> Sensitivities:
        """Return the sensitivities of mappings with the names of the columns; absent fields are blank.

        Raises
        ------
        InputError
            Listing every problem of every row, counted from 1.

        Examples
        --------
        >>> row = {"product_class": "RatesFX", "risk_type": "Risk_FX", "qualifier": "EUR", "amount_usd": 1e6}
        >>> len(Sensitivities.from_records([row, row]))
        2
        """
        rows = several("records", records, Mapping, "Give mappings: of a frame, frame.to_dict('records').")
        columns = {name: Column.of([str(row.get(name) or "") for row in rows]) for name in KEYS}
        return cls.from_columns(columns, [row.get("amount_usd") for row in rows])

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Column],
        amount_usd: Any,
        *,
        rows: ArrayLike | None = None,
        where: str = "",
        names: Mapping[str, str] | None = None,
    ) -> Sensitivities:
        """Return checked sensitivities.

        Parameters
        ----------
        columns
            By name: `product_class`, `risk_type`, `qualifier`, `bucket`, `label1`, `label2`.
        amount_usd
            Numbers, one a row, USD.
        rows, where, names
            What messages call the rows (1, 2, ... unless given), the file, and the columns.

        Raises
        ------
        InputError
            Listing every field that is wrong, with its rows.
        """
        amounts, problems = _numbers(amount_usd), Problems()
        numbers = _codes(np.arange(1, len(amounts) + 1) if rows is None else rows)
        given = cls(**columns, amount_usd=amounts, rows=numbers)
        marked = _Marks(numbers, where, names or {}, problems)
        clean = _normalised(given, marked)
        marked.note(~np.isfinite(amounts), "amount_usd", "is no finite number.", "Give a number in USD.")
        problems.raise_if_any()
        return clean


@frozen
class _Marks:
    """Notes problems of many rows at once, by the names that the reader of the message knows."""

    numbers: NDArray[np.int32]
    where: str
    names: Mapping[str, str]
    problems: Problems

    def note(self, wrong: NDArray[np.bool_], name: str, what: str, fix: str = "") -> None:
        if wrong.any():
            place = f"{self.where} {rows_text(self.numbers[wrong])}, field {self.names.get(name, name)!r}"
            self.problems.add(what, where=place.strip(), fix=fix)


def rows_text(numbers: Sequence[int] | NDArray[np.int32]) -> str:
    """Return "row 3" or "rows 3, 5 and 12 more".

    Examples
    --------
    >>> rows_text([3]), rows_text(range(1, 20))
    ('row 3', 'rows 1, 2, 3, 4, 5 and 14 more')
    """
    shown, more = ", ".join(str(int(each)) for each in numbers[:_SHOWN]), len(numbers) - _SHOWN
    return f"row{'s' if len(numbers) > 1 else ''} {shown}" + (f" and {more} more" if more > 0 else "")


def _numbers(values: Any) -> FloatArray:
    try:
        return np.array(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        return np.array([_number(value) for value in values])


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _normalised(given: Sensitivities, marked: _Marks) -> Sensitivities:
    """Return the rows with every field as the calculation compares it; note what is wrong, risk type by risk type."""
    for name, known in (("product_class", PRODUCT_CLASSES), ("risk_type", TYPE_NAMES)):
        column: Column = getattr(given, name)
        for code, value in enumerate(column.values):
            if value not in known:
                marked.note(column.codes == code, name, f"{value!r} is unknown.", suggestion(value, known))
    kinds = {name: code for code, name in enumerate(given.risk_type.values) if name in RISK_TYPES}
    clean: dict[str, Any] = {}
    for name in ("qualifier", "bucket", "label1", "label2"):
        column = getattr(given, name)
        read = {kind: rule_of(RISK_TYPES[kind], name) for kind in kinds if name in RISK_TYPES[kind].keys}
        clean[name] = _read_column(column, given.risk_type, kinds, (name, read, marked))
    return evolve(given, **clean)


def _read_column(column: Column, types: Column, kinds: Mapping[str, int], how: tuple[str, Any, _Marks]) -> Column:
    """Return a column read by the rule of each risk type, blank where the type has no use for it."""
    if not len(column):
        return column
    name, read, marked = how
    width = len(column.values)
    pairs = types.codes.astype(np.intp) * width + column.codes
    occurs = np.bincount(pairs, minlength=width * len(types.values)).reshape(-1, width) > 0
    table = np.zeros((len(types.values), width), dtype=np.int32)
    places: dict[str, int] = {"": 0}
    for kind, (rule, fix) in read.items():
        for code in occurs[kinds[kind]].nonzero()[0].tolist():
            value = rule(column.values[code].strip())
            if value is None:
                wrong = (types.codes == kinds[kind]) & (column.codes == code)
                text = column.values[code]
                what = f"{text!r} does not fit {kind}." if text else f"is blank, which {kind} does not allow."
                marked.note(wrong, name, what, fix)
            else:
                table[kinds[kind], code] = places.setdefault(value, len(places))
    return Column(table.reshape(-1)[pairs], tuple(places))


# ----------------------------------------------------------------------------------------------------- netting


def net(sensitivities: Sensitivities) -> Sensitivities:
    """Return one row for each risk factor of each product class: rows of equal key add up. `rows` are the first ones.

    References
    ----------
    ISDA SIMM Methodology, section B.1: sensitivities to a risk factor net across instruments of a product class.

    Examples
    --------
    >>> row = {"product_class": "RatesFX", "risk_type": "Risk_FX", "qualifier": "EUR", "amount_usd": 2.0}
    >>> net(Sensitivities.from_records([row, row])).amount_usd.tolist()
    [4.0]
    """
    if not len(sensitivities):
        return sensitivities
    key, size = _joined(sensitivities)
    amounts = np.bincount(key, sensitivities.amount_usd, minlength=size)
    first = np.zeros(size, dtype=np.intp)
    first[key[::-1]] = np.arange(len(key) - 1, -1, -1)
    return evolve(sensitivities[first], amount_usd=amounts)


def _joined(sensitivities: Sensitivities) -> tuple[IntArray, int]:
    """Return a number for each distinct key, dense from 0, and how many there are."""
    first, *others = sorted((getattr(sensitivities, name) for name in KEYS), key=lambda column: len(column.values))
    key, size = first.codes.astype(np.intp), len(first.values)
    for column in others:
        if size * len(column.values) > _widest(len(key)):
            key, size = dense(key, size)
        key, size = key * len(column.values) + column.codes, size * len(column.values)
    return dense(key, size)


def dense(codes: IntArray, size: int) -> tuple[IntArray, int]:
    """Return codes from 0 without gaps, in the same order, and how many there are; `size` is above every code."""
    if size > _widest(len(codes)):
        distinct, inverse = np.unique(codes, return_inverse=True)
        return inverse, len(distinct)
    present = np.zeros(size, dtype=bool)
    present[codes] = True
    ranks = np.cumsum(present, dtype=np.int32) - 1  # half the memory to look things up in
    return ranks[codes].astype(np.intp), int(ranks[-1]) + 1 if size else 0


def _widest(rows: int) -> int:
    """Return how many codes a table may have to be faster than sorting."""
    return max(_TABLE, 8 * rows)

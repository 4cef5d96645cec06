"""What a SPAN risk-parameter file holds: contracts in columns, combined commodities, spreads, and what was left out.

`files.read_span` gives a `SpanFile`; `find_contract` finds a row of it by a `ContractKey`, `key_of` names a row,
`product_code` turns the code that a product trades under into that of the file. Nothing here reads or calculates.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from attrs import field, fields, frozen
from numpy.typing import NDArray

from crossmargin.errors import InputError, Problem, suggestion
from crossmargin.io.span.layouts import RIGHTS
from crossmargin.span.portfolio import CombinedCommodity, InterSpread, ScanSpread

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
TextArray: TypeAlias = NDArray[np.bytes_]

FINE_ARRAYS = "arrays with decimals in records 83 and 84, whose layout is not public and not read"
OPTION_TYPES = frozenset({"OOF", "OOP", "OOC", "OOE"})

# Codes of CME products in positional files that are not the ones they trade under.
PRODUCT_CODES: Mapping[str, str] = MappingProxyType(
    {
        "ZT": "26",
        "ZF": "25",
        "ZN": "21",
        "ZB": "17",
        "6E": "EC",
        "6J": "J1",
        "ZC": "C",
        "ZS": "S",
        "ZL": "07",
        "ZM": "06",
        **{same: same for same in ("ES", "NQ", "YM", "RTY", "CL", "NG", "GC")},
    }
)


@frozen
class ContractKey:
    """What names a contract: exchange, product, type, months, and the terms of an option.

    The type is FUT, PHY, CMB, OOF, OOP or OOC. Months are CCYYMM, 0 for none; days and weeks are text such as `"20"` or
    `"W1"`. `right` is `"call"`, `"put"` or empty, `strike` as quoted.
    """

    exchange: str
    product: str
    product_type: str
    month: int = 0
    day: str = field(default="", kw_only=True)
    option_month: int = field(default=0, kw_only=True)
    option_day: str = field(default="", kw_only=True)
    right: str = field(default="", kw_only=True)
    strike: float | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        months = [f"{self.month or ''}{self.day}", f"{self.option_month or ''}{self.option_day}"]
        strike = "" if self.strike is None else f"{self.strike:.12g}"
        parts = (f"{self.exchange} {self.product} {self.product_type}", *months, self.right, strike)
        return " ".join(part for part in parts if part)


@frozen
class ProductFamily:
    """All contracts of one product and type on an exchange.

    `commodity` is the code of its combined commodity, empty when the file puts it in none; `premium_style` says that an
    option is paid for when bought; `price_decimals` and `alignment` are how the file writes its prices;
    `array_decimals`, where not 0, says that its arrays stand in records 83 and 84; `combination_method` is how the
    commodity allocates combinations: S (split), D (delta split), M (modified split) or empty.
    """

    exchange: str
    product: str
    product_type: str
    commodity: str = ""
    name: str = ""
    currency: str = ""
    premium_style: bool = True
    price_decimals: int | None = None
    alignment: str = " "
    array_decimals: int = 0
    combination_method: str = ""

    @property
    def is_option(self) -> bool:
        """Whether its contracts are options."""
        return self.product_type in OPTION_TYPES


@frozen(eq=False)
class Contracts:
    """The contracts that have a risk array, one a row, in the order of the file.

    Parameters
    ----------
    family : array of int [n_contracts]
        Position in `SpanFile.families`.
    month, option_month : array of int [n_contracts]
        CCYYMM, 0 for none.
    day, option_day, right : array of bytes [n_contracts]
        Day or week of the month; `C`, `P` or empty.
    strike, price : array of float [n_contracts]
        As quoted, signed. NaN where there is none, or where the file writes it in a way that is not known here.
    losses : array of float [n_contracts, 16]
        Loss of one long contract, loss > 0, money of the combined commodity, risk exponent applied.
    composite_delta, delta_scaling, value_factor, volatility : array of float [n_contracts]
        Of one long contract; money for one point of the price; NaN where the file says nothing.
    price_scan_range : array of float [n_contracts]
        Money of one contract.
    line : array of int [n_contracts]
        Line in the file that its array begins on, 0 in XML.
    """

    family: IntArray
    month: IntArray
    option_month: IntArray
    day: TextArray
    option_day: TextArray
    right: TextArray
    strike: FloatArray
    price: FloatArray
    losses: FloatArray
    composite_delta: FloatArray
    delta_scaling: FloatArray
    value_factor: FloatArray
    volatility: FloatArray
    price_scan_range: FloatArray
    line: IntArray
    by_family: IntArray = field(init=False, repr=False)
    family_starts: IntArray = field(init=False, repr=False)

    @by_family.default
    def _by_family(self) -> IntArray:
        return np.argsort(self.family, kind="stable")

    @family_starts.default
    def _family_starts(self) -> IntArray:
        count = int(self.family.max(initial=-1)) + 1
        return np.searchsorted(self.family[self.by_family], np.arange(count + 1))

    def of_family(self, place: int) -> IntArray:
        """Return the rows of a product family by its position."""
        none = place + 1 >= len(self.family_starts)
        return self.by_family[:0] if none else self.by_family[self.family_starts[place] : self.family_starts[place + 1]]

    def __attrs_post_init__(self) -> None:
        for each in fields(type(self)):
            getattr(self, each.name).setflags(write=False)

    def __len__(self) -> int:
        return len(self.family)


@frozen(eq=False, kw_only=True)
class SpanFile:
    """A risk-parameter file of one clearing organisation for one business date.

    Parameters
    ----------
    name, file_format : str
        Name of the file; `U2` and the like, or `XML` and its version.
    clearing_organization : str
    business_date : datetime.date
    settlement : bool
        Whether it is of a settlement, not of an intraday run.
    families : tuple of ProductFamily
    contracts : Contracts
    commodities : mapping of str to CombinedCommodity
        By code, without holdings: rates, tiers and spreads, money with the risk exponent applied.
    inter_spreads, scan_spreads : tuple
        Between combined commodities: delta-based, and scanning-based (method 04).
    currency_rates : mapping of (str, str) to float
        Units of the second currency for one of the first.
    records : mapping of str to tuple of mapping
        Records that are read and not used further, by family: exchanges, daily adjustments, combinations.
    counts, skipped : mapping of str to int
        Records (XML: elements) read, and those passed over because their type is not known here.
    notes : tuple of str
        What in the file could not be used, in words.
    """

    name: str
    file_format: str
    clearing_organization: str
    business_date: date
    settlement: bool
    families: tuple[ProductFamily, ...] = field(repr=False)
    contracts: Contracts = field(repr=False)
    commodities: Mapping[str, CombinedCommodity] = field(repr=False)
    inter_spreads: tuple[InterSpread, ...] = field(default=(), repr=False)
    scan_spreads: tuple[ScanSpread, ...] = field(default=(), repr=False)
    currency_rates: Mapping[tuple[str, str], float] = field(factory=dict, repr=False)
    records: Mapping[str, tuple[Mapping[str, Any], ...]] = field(factory=dict, repr=False)
    counts: Mapping[str, int] = field(factory=dict)
    skipped: Mapping[str, int] = field(factory=dict)
    notes: tuple[str, ...] = ()
    places: Mapping[tuple[str, str, str], int] = field(init=False, repr=False)

    @places.default
    def _places(self) -> Mapping[tuple[str, str, str], int]:
        keys = ((each.exchange, each.product, each.product_type) for each in self.families)
        return MappingProxyType({key: place for place, key in enumerate(keys)})


def product_code(traded: str) -> str:
    """Return the code that a CME product has in a positional file for the one it trades under.

    Raises
    ------
    InputError
        When the code is not known here; a `ContractKey` takes the file's own code as it is.

    Examples
    --------
    >>> product_code("ZN")
    '21'
    """
    if traded not in PRODUCT_CODES:
        fix = f"{suggestion(traded, PRODUCT_CODES)} Otherwise give the file's own code."
        raise InputError([Problem(f"no file code is known for {traded!r}.", "product", fix)])
    return PRODUCT_CODES[traded]


def key_of(file: SpanFile, row: int) -> ContractKey:
    """Return what names the contract of a row."""
    held = file.contracts
    family = file.families[held.family[row]]
    strike = float(held.strike[row])
    return ContractKey(
        family.exchange,
        family.product,
        family.product_type,
        int(held.month[row]),
        day=held.day[row].decode("latin-1"),
        option_month=int(held.option_month[row]),
        option_day=held.option_day[row].decode("latin-1"),
        right=RIGHTS.get(held.right[row].decode("latin-1"), ""),
        strike=strike if family.is_option and np.isfinite(strike) else None,
    )


def find_contract(file: SpanFile, key: ContractKey) -> int:
    """Return the row of a contract.

    Raises
    ------
    InputError
        When the file does not have the contract, saying what it has that is near; or has it twice, with other figures.
    """
    rows = _family_rows(file, key)
    held = file.contracts
    terms = (
        (held.month, key.month, "month"),
        (held.day, _encoded(key.day), "day"),
        (held.option_month, key.option_month, "option_month"),
        (held.option_day, _encoded(key.option_day), "option_day"),
        (held.right, _letter(key.right), "right"),
    )
    for column, wanted, name in terms:
        rows = _narrow(rows, column[rows] == wanted, key, (name, column))
    if key.strike is not None:
        near = np.isclose(held.strike[rows], key.strike, rtol=0, atol=1e-9 * max(1.0, abs(key.strike)))
        rows = _narrow(rows, near, key, ("strike", held.strike))
    same = all(np.array_equal(held.losses[rows[0]], held.losses[row]) for row in rows[1:])
    if len(rows) > 1 and not (same and np.ptp(held.composite_delta[rows]) == 0):
        fix = f"Its rows are {', '.join(str(row) for row in rows[:5])}; say which by day or strike."
        raise InputError([Problem("stands more than once, with different figures.", str(key), fix)])
    return int(rows[0])


def _letter(right: str) -> bytes:
    return {"call": b"C", "put": b"P"}.get(right, _encoded(right))


def _encoded(text: str) -> bytes:
    return text.encode("latin-1", errors="replace")


def _family_rows(file: SpanFile, key: ContractKey) -> IntArray:
    """Return the rows of the key's product family."""
    wanted = (key.exchange, key.product, key.product_type)
    if wanted in file.places and len(rows := file.contracts.of_family(file.places[wanted])):
        return rows
    if wanted in file.places and file.families[file.places[wanted]].array_decimals:
        raise InputError([Problem(f"{file.name} gives {FINE_ARRAYS}.", str(key), "Take the exchange's XML file.")])
    near = suggestion(" ".join(wanted), {f"{f.exchange} {f.product} {f.product_type}" for f in file.families})
    fix = near if near.startswith("Did") else f"The file has {len(file.families)} product families."
    raise InputError([Problem(f"{file.name} has no contract of this product.", str(key), fix)])


def _narrow(rows: IntArray, kept: Any, key: ContractKey, term: tuple[str, Any]) -> IntArray:
    """Return the rows kept, or raise `InputError` with the values that there are."""
    if kept.any():
        found: IntArray = rows[kept]
        return found
    name, column = term
    values = [
        value.decode("latin-1") if isinstance(value, bytes) else f"{value:.12g}" for value in np.unique(column[rows])
    ]
    shown = ", ".join(repr(value) for value in values[:8]) + (", ..." if len(values) > 8 else "")
    raise InputError([Problem(f"no such contract by its {name}.", str(key), f"There are {shown}.")])

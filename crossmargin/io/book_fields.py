"""The fields of a book file: which belong to a firm, a customer, an account, a security, a position and a deposit.

`PRODUCT_FIELDS` is the format of positions, `ASSET_FIELDS` that of collateral; `book` reads and writes by them.
Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

from attrs import frozen

from crossmargin.accounts import AccountClass, Agreement, ClearingHouse, CustomerKind, IntradayMonitoring, Registration
from crossmargin.io import book_swaps as swaps
from crossmargin.io import entries as read
from crossmargin.io.entries import Entry, Field, Reader
from crossmargin.io.quantities import fault
from crossmargin.posted import OTHER_KINDS
from crossmargin.products import PRODUCT_KINDS, contract_specs
from crossmargin.products.equities import BREADTHS
from crossmargin.products.options import EXERCISES, RIGHTS, SETTLEMENTS, SETTLES_AT, UNDERLYING_KINDS
from crossmargin.products.schedules import DAY_COUNTS
from crossmargin.products.security_based import CREDIT_CLEARING
from crossmargin.products.swaps import CLEARING, SIDES

SECTIONS = ("firms", "customers", "accounts", "securities", "positions", "collateral")
SECURITY_KINDS = ("treasury_bill", "treasury_note", "treasury_bond", "treasury_frn", "tips", "strips")

_CODES = (  # ISO 4217, those of money, and CNH
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHF CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD "
    "HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL "
    "LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR "
    "PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP "
    "TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
)
CURRENCIES = frozenset(_CODES.split())
_SMALLEST_COUPON = 0.001  # no Treasury pays less but nothing: a lower one is a decimal in a field of percent
_LEAST_CREDIT_COUPON = 1.0  # basis points: standard contracts pay 25 at least
_LEAST_FRN_SPREAD = 0.1  # basis points: the Treasury sets them in thousandths of a per cent


def _coupon(entry: Entry, name: str) -> float | None:
    coupon = read.percent(entry, name)
    if coupon is not None and 0.0 < coupon < _SMALLEST_COUPON:
        entry.note(name, f"{entry.values[name]} % is no coupon.", f"{name} is in percent: write 4.25, not 0.0425.")
        return None
    return coupon


def _word(entry: Entry, name: str) -> str | None:
    word = read.text(entry, name)
    if word is None or len(word.split()) == 1:
        return word
    entry.note(name, f"{word!r} has blanks in it.", "Write it in one word: fields of names separate them by blanks.")
    return None


def _quantity(entry: Entry, name: str) -> float | None:
    quantity = read.number(entry, name)
    if quantity is not None and (wrong := fault(str(entry.values.get("product")), quantity)):
        entry.note(name, f"{entry.values[name]}: {wrong}.", "Is it mistyped?")
        return None
    return quantity


def _amount(entry: Entry, name: str) -> float | None:
    amount = _quantity(entry, name)
    if amount is not None and amount < 0.0:
        entry.note(name, f"{entry.values[name]} is below 0.", "What is owed is a requirement, not collateral.")
        return None
    return amount


def _currency(entry: Entry, name: str) -> str | None:
    code = read.text(entry, name)
    if code is None or code in CURRENCIES:
        return code
    near = get_close_matches(code.upper(), sorted(CURRENCIES), n=1) if len(code) == len("USD") else []
    fix = f"Did you mean {near[0]!r}?" if near else "Write its code of three capitals: USD."
    entry.note(name, f"{code!r} is no currency.", fix)
    return None


def _contract(*assets: str) -> Reader:
    """Return a reader of a contract code of some assets; the codes are looked up when first needed."""

    @cache
    def known() -> tuple[str, ...]:
        return tuple(code for code, spec in contract_specs().items() if spec.asset in assets)

    def code(entry: Entry, name: str) -> str | None:
        return read.choice(entry, name, known())

    return code


def _needed(name: str, how: Reader, into: str = "") -> Field:
    return Field(name, how, into, required=True)


_ID, _NAME = _needed("id", read.text), Field("name", read.text)
FIRM = (
    _ID,
    _NAME,
    Field("registrations", read.several_of(Registration)),
    Field("memberships", read.several_of(ClearingHouse)),
    Field("affiliates", read.texts),
    Field("guarantees", read.texts),
    Field("compliant", read.flag),
    Field("monitoring", read.one_of(IntradayMonitoring)),
)
CUSTOMER = (_ID, _NAME, Field("kind", read.one_of(CustomerKind)))
ACCOUNT = (
    _ID,
    _needed("owner", read.text),
    _needed("firm", read.text),
    _needed("account_class", read.one_of(AccountClass)),
    Field("arrangement", read.text),
    Field("agreements", read.several_of(Agreement)),
    Field("equity", read.number),
    Field("cash", read.flag),
    Field("beneficial_owner", read.text),
    Field("net", read.flag),
)
SECURITY = (Field("name", _word), _needed("product", read.one_of(SECURITY_KINDS)))
POSITION = (_ID, _needed("account", read.text), _needed("quantity", _quantity), Field("settles", read.day))
PRODUCT = (_needed("product", read.one_of(PRODUCT_KINDS)),)

_MATURITY, _ISSUE, _CUSIP = _needed("maturity", read.day), Field("issue", read.day), Field("cusip", _word)
_FRN_SPREAD = _needed("spread_bp", read.basis_points_from(_LEAST_FRN_SPREAD), "spread")
_COUPON_SECURITY = (_needed("coupon_pct", _coupon, "coupon"), _MATURITY, _ISSUE, _CUSIP)
_REPO = (
    _needed("collateral", _word),
    _needed("start", read.day),
    _needed("end", read.day),
    _needed("rate_pct", read.percent, "rate"),
    Field("price", read.number),
)
_FUTURE = (
    _needed("contract", _contract("treasury")),
    _needed("month", read.month, "delivery_month"),
    Field("basket", read.texts),
)
_TICKER, _UNDERLYING = _needed("ticker", read.text), _needed("underlying", read.text)
_OPTION = (_needed("right", read.one_of(RIGHTS)), _needed("strike", read.number), _needed("expiry", read.day))
_LISTED = (
    Field("exercise", read.one_of(EXERCISES)),
    Field("settlement", read.one_of(SETTLEMENTS)),
    Field("multiplier", read.number),
    Field("underlying_kind", read.one_of(UNDERLYING_KINDS)),
    Field("settles_at", read.one_of(SETTLES_AT)),
)

_SPREAD, _INDEX = Field("spread_bp", read.basis_points, "spread"), Field("index", read.text)
_LIFE = (_needed("start", read.day), _MATURITY, Field("notional", read.number))
_STEPS, _CLEARING = Field("steps", swaps.dated_amounts), Field("clearing", read.one_of(CLEARING))
_RATE = (_needed("side", read.one_of(SIDES)), _needed("rate_pct", read.percent, "rate"), *_LIFE)
_FIXED_FLOATING = (Field("fixed", swaps.convention), Field("floating", swaps.convention))
_LEGS = (_needed("pay", swaps.floating_leg), _needed("receive", swaps.floating_leg))
_FIXING = Field("fixing_days", read.whole)
_CREDIT = (
    _needed("reference", read.text),
    _needed("coupon_bp", read.basis_points_from(_LEAST_CREDIT_COUPON), "coupon"),
    _MATURITY,
    Field("recovery_pct", read.percent, "recovery"),
    Field("names", read.whole),
    Field("members", swaps.named),
    Field("clearing", read.one_of(CREDIT_CLEARING)),
)
_DIVIDENDS = Field("dividends", swaps.dated_amounts)
_BOND = (  # the name of a Treasury, or the three terms of a company's bond
    Field("bond", _word),
    Field("issuer", read.text),
    Field("coupon_pct", read.percent, "coupon"),
    Field("bond_maturity", read.day),
)

PRODUCT_FIELDS: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {
        "treasury_bill": (_MATURITY, _CUSIP),
        "treasury_note": _COUPON_SECURITY,
        "treasury_bond": _COUPON_SECURITY,
        "treasury_frn": (_FRN_SPREAD, _MATURITY, _ISSUE, _CUSIP),
        "tips": (*_COUPON_SECURITY, Field("index_ratio", read.number)),
        "strips": (_MATURITY, _CUSIP),
        "repo": _REPO,
        "reverse_repo": _REPO,
        "treasury_future": _FUTURE,
        "short_rate_future": (_needed("contract", _contract("short_rate")), _needed("month", read.month)),
        "index_future": (_needed("contract", _contract("index")), _needed("month", read.month)),
        "future_option": (_needed("contract", _contract("treasury", "short_rate")), *_FUTURE[1:], *_OPTION),
        "index_future_option": (_needed("contract", _contract("index")), _FUTURE[1], *_OPTION),
        "listed_option": (_UNDERLYING, *_OPTION, *_LISTED),
        "stock": (_TICKER,),
        "etf": (
            _TICKER,
            Field("breadth", read.one_of(BREADTHS)),
            Field("tracks", read.text),
            Field("leverage", read.number),
        ),
        "security_future": (_UNDERLYING, _needed("month", read.month), Field("multiplier", read.number)),
        "warrant": (_UNDERLYING, *_OPTION[1:]),
        "overnight_swap": (*_RATE, _STEPS, _INDEX, _SPREAD, *_FIXED_FLOATING, _CLEARING),
        "interest_rate_swap": (*_RATE, _STEPS, _INDEX, _SPREAD, *_FIXED_FLOATING, _FIXING, _CLEARING),
        "basis_swap": (*_LEGS, *_LIFE, _STEPS, _CLEARING),
        "forward_rate_agreement": (*_RATE, _INDEX, Field("day_count", read.one_of(DAY_COUNTS)), _FIXING, _CLEARING),
        "credit_default_swap": _CREDIT,
        "equity_total_return_swap": (_UNDERLYING, _MATURITY, _needed("initial_price", read.number), _SPREAD),
        "bond_total_return_swap": (*_BOND, _MATURITY, Field("initial_price", read.number), _SPREAD),
        "equity_forward": (_UNDERLYING, _MATURITY, _needed("price", read.number), _DIVIDENDS),
        "sensitivity_portfolio": (
            _needed("crif", read.text),
            Field("portfolio", read.text, "name"),
            Field("counterparty", read.text),
        ),
    }
)

_OTHER_ASSET = (_needed("name", read.text), Field("maturity", read.day))
ASSET_FIELDS: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {
        "cash": (Field("currency", _currency),),
        **{kind: PRODUCT_FIELDS[kind] for kind in (*SECURITY_KINDS, "stock", "etf")},
        **dict.fromkeys(OTHER_KINDS, _OTHER_ASSET),
    }
)
DEPOSIT = (
    _ID,
    _needed("owner", read.text),
    _needed("firm", read.text),
    _needed("pot", read.text),
    _needed("account_class", read.one_of(AccountClass)),
    _needed("quantity", _amount),
    Field("issuer", read.text),
    Field("index", read.text),
    Field("passed_on", read.text),
    Field("provided_by", read.text),
)
ASSET = (_needed("asset", read.one_of(ASSET_FIELDS)),)


def names(fields: Iterable[Field]) -> tuple[str, ...]:
    """Return the names of fields as a file writes them."""
    return tuple(each.name for each in fields)


def columns(head: Iterable[Field], kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the names of some fields and of all fields of some kinds of product or asset, each once."""
    known = {**PRODUCT_FIELDS, **ASSET_FIELDS}
    return tuple(dict.fromkeys([*names(head), *(name for kind in kinds for name in names(known[kind]))]))


@frozen
class Columns:
    """The columns of a section that may stand in a CSV: `head` are those of every row, `needed` never blank.

    `what` is the word for a row, `chosen_by` the column that says which further ones it has, `own` the columns that say
    nothing of the product or asset.
    """

    what: str
    chosen_by: str
    names: tuple[str, ...]
    head: tuple[str, ...]
    needed: tuple[str, ...]
    own: tuple[str, ...]


SECURITY_COLUMNS = columns(SECURITY, SECURITY_KINDS)  # here and below: in the order in which a file is written
POSITION_COLUMNS = columns((*POSITION[:2], *PRODUCT, *POSITION[2:]), ("treasury_note", *PRODUCT_KINDS))
DEPOSIT_COLUMNS = columns((*DEPOSIT[:5], *ASSET, *DEPOSIT[5:]), ASSET_FIELDS)
_NEEDED = tuple(each.name for each in (*POSITION, *PRODUCT) if each.required)
_NEEDED_IN_DEPOSIT = tuple(each.name for each in (*DEPOSIT, *ASSET) if each.required)
POSITIONS = Columns(
    "position", "product", POSITION_COLUMNS, names((*POSITION, *PRODUCT, *SECURITY)), _NEEDED, names(POSITION)
)
COLLATERAL = Columns("deposit", "asset", DEPOSIT_COLUMNS, names((*DEPOSIT, *ASSET)), _NEEDED_IN_DEPOSIT, names(DEPOSIT))
IN_CSV: Mapping[str, Columns] = MappingProxyType({"positions": POSITIONS, "collateral": COLLATERAL})
_WRITTEN = {(kind, each.argument): each.name for kind, fields in PRODUCT_FIELDS.items() for each in fields}
_WRITTEN |= {("corporate_bond", "maturity"): "bond_maturity", ("corporate_bond", "coupon"): "coupon_pct"}


def field_of(where: str) -> str:
    """Return the field that a product means by its own word for the place of a problem.

    Examples
    --------
    >>> [field_of(where) for where in ("tips coupon", "credit_default_swap coupon", "treasury_future basket, member 0")]
    ['coupon_pct', 'coupon_bp', 'basket']
    """
    kind, _, rest = where.partition(" ")
    argument = rest.partition(",")[0]
    of_another = (name for (_, known), name in _WRITTEN.items() if known == argument)
    return _WRITTEN.get((kind, argument)) or next(of_another, argument)

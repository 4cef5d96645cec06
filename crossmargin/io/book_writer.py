"""A portfolio to files that `load_book` reads back: `book.toml`, and its tables and CRIF files beside it.

Call `write_book(portfolio, directory)`. It writes the format of the reference, page "Book files", and nothing else.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from attrs import fields_dict

from crossmargin.errors import InputError, Problem, check_kinds
from crossmargin.io import book_fields as fields
from crossmargin.io.book import load_book
from crossmargin.io.book_crif import write_portfolio
from crossmargin.io.book_fields import Columns
from crossmargin.io.book_products import NO_BASKET
from crossmargin.io.book_swaps import words
from crossmargin.io.paths import as_path
from crossmargin.portfolio import Portfolio, Position
from crossmargin.posted import Asset, Cash, OtherAsset, Posted
from crossmargin.products import (
    BondTotalReturnSwap,
    FutureOption,
    Product,
    ReferenceBond,
    Repo,
    ReverseRepo,
    SensitivityPortfolio,
    TreasuryFuture,
    TreasurySecurity,
)
from crossmargin.products.treasuries import TREASURY_SECURITIES
from crossmargin.records import to_plain

Names: TypeAlias = Mapping[TreasurySecurity | SensitivityPortfolio, str]

_PLACES = {"coupon_pct": 2, "rate_pct": 2, "recovery_pct": 2, "coupon_bp": 4, "spread_bp": 4}


def write_book(portfolio: Portfolio, directory: str | PathLike[str]) -> Path:
    """Write `book.toml` and its tables into a directory, made when absent, and return the path of the former.

    The tables are `positions.csv` and, where something is posted, `collateral.csv`; each portfolio of sensitivities is
    a CRIF file.

    Raises
    ------
    InputError
        The files would not give back the portfolio: an id with a line break or with blanks at its ends, two
        securities of one CUSIP; a portfolio of sensitivities with rows for the schedule.
    """
    check_kinds(portfolio=(portfolio, Portfolio, "Give a Portfolio: write_book(portfolio, directory)."))
    folder = as_path(directory, "directory")
    folder.mkdir(parents=True, exist_ok=True)
    names = _names(portfolio)
    for each, name in names.items():
        if isinstance(each, SensitivityPortfolio):
            write_portfolio(each, folder / name)
    book = folder / "book.toml"
    for section, rows in _tables(portfolio, names).items():
        (folder / f"{section}.csv").write_text(_csv(rows, fields.IN_CSV[section]), encoding="utf-8", newline="")
    book.write_text(_toml(portfolio, names), encoding="utf-8", newline="")
    if load_book(book).portfolio != portfolio:
        fix = "Give ids without line breaks, and without blanks at their ends."
        raise InputError([Problem("the files do not give back the portfolio.", str(book), fix)])
    return book


def _toml(portfolio: Portfolio, names: Names) -> str:
    sections = ["".join(f'{section} = "{section}.csv"\n' for section in _tables(portfolio, names))]
    sections += [_table("firms", to_plain(firm)) for firm in portfolio.firms]
    sections += [_table("customers", to_plain(customer)) for customer in portfolio.customers]
    sections += [_table("accounts", to_plain(account)) for account in portfolio.accounts]
    listed = [(each, name) for each, name in names.items() if not isinstance(each, SensitivityPortfolio)]
    sections += [_table("securities", _security(each, name)) for each, name in listed]
    return "\n".join(sections)


def _table(section: str, values: Mapping[str, Any]) -> str:
    """Return one table; what is blank is left out, as its default."""
    lines = [f"{name} = {_toml_value(value)}" for name, value in values.items() if value not in ("", None, [])]
    return "\n".join([f"[[{section}]]", *lines, ""])


def _toml_value(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):  # in quotation marks when a double would not keep every digit
        return str(value) if Decimal(repr(float(value))) == value else f'"{value}"'
    # A string of JSON is one of TOML, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _tables(portfolio: Portfolio, names: Names) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each section that stands in a CSV: positions always, collateral where there is some."""
    tables = {"positions": [_row(position, names) for position in portfolio.positions]}
    if portfolio.posted:
        tables["collateral"] = [_deposit(posted, names) for posted in portfolio.posted]
    return tables


def _csv(rows: Sequence[Mapping[str, Any]], columns: Columns) -> str:
    used = [name for name in columns.names if name in columns.needed or any(name in row for row in rows)]
    text = StringIO()
    writer = csv.DictWriter(text, used, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(position: Position, names: Names) -> dict[str, Any]:
    head = {"id": position.id, "account": position.account, "quantity": _plain(position.quantity)}
    settles = {} if position.settles is None else {"settles": position.settles}
    return {**head, **settles, **_terms(position.product, names)}


def _deposit(posted: Posted, names: Names) -> dict[str, Any]:
    said = {each.name: _written(each.name, getattr(posted, each.name)) for each in fields.DEPOSIT}
    return {**{name: value for name, value in said.items() if value != ""}, **_asset(posted.asset, names)}


def _asset(asset: Asset, names: Names) -> dict[str, Any]:
    """Return the fields of an asset as a file writes them, blank ones left out."""
    if isinstance(asset, Cash):
        return {"asset": asset.kind, "currency": asset.currency}
    if isinstance(asset, OtherAsset):
        maturity = {} if asset.maturity is None else {"maturity": asset.maturity}
        return {"asset": asset.kind, "name": asset.name, **maturity}
    terms = _terms(asset, names)
    return {"asset": terms.pop("product"), **terms}


def _terms(product: Product, names: Names) -> dict[str, Any]:
    """Return the fields of a product as a file writes them, blank ones left out."""
    if isinstance(product, FutureOption):
        option = {"right": product.right, "strike": product.strike, "expiry": product.expiry}
        return {**_terms(product.underlying, names), "product": product.kind, **option}
    if isinstance(product, TREASURY_SECURITIES) and names.get(product) == product.cusip:
        return {"product": product.kind, "cusip": product.cusip}  # the securities give the rest
    arguments = {name: getattr(product, name) for name in fields_dict(type(product))}
    if isinstance(product, Repo | ReverseRepo):
        arguments["collateral"] = names[product.collateral]
    if isinstance(product, TreasuryFuture):
        arguments["basket"] = " ".join([names[member] for member in product.basket] or NO_BASKET)
    if isinstance(product, BondTotalReturnSwap):
        arguments |= _bond(product.bond, names)
    if isinstance(product, SensitivityPortfolio):
        arguments["crif"] = names[product]
    usual = {name: attribute.default for name, attribute in fields_dict(type(product)).items()}
    kind = getattr(product, "base_kind", product.kind)
    filled = {
        each.name: _written(each.name, value)
        for each in fields.PRODUCT_FIELDS[kind]
        if (value := arguments.get(each.argument)) not in ("", None) and value != usual.get(each.argument)
    }
    return {"product": kind, **filled}


def _bond(bond: ReferenceBond | TreasurySecurity, names: Names) -> dict[str, Any]:
    """Return how a file says which bond a swap is on."""
    if isinstance(bond, ReferenceBond):
        return {"bond": None, "issuer": bond.issuer, "coupon": bond.coupon, "bond_maturity": bond.maturity}
    return {"bond": names[bond]}


def _plain(quantity: float) -> str:
    """Return whole numbers without a point, others as the shortest text that reads back the same."""
    return repr(float(quantity)).removesuffix(".0")


def _written(name: str, value: Any) -> Any:
    """Return a value as the field of a file holds it: rates in percent or basis points, months with a hyphen."""
    if name in _PLACES:
        return Decimal(format(Decimal(repr(float(value))).scaleb(_PLACES[name]), "f"))
    if name == "month":
        return f"{value // 100:04d}-{value % 100:02d}"
    if (text := words(value)) is not None:
        return text
    return _plain(value) if isinstance(value, float) else value


def _security(security: TreasurySecurity, name: str) -> dict[str, Any]:
    return {"cusip" if name == security.cusip else "name": name, **_terms(security, {})}


def _names(portfolio: Portfolio) -> Names:
    """Return the securities that baskets and repo refer to by CUSIP or a name made for them, and CRIF files by path."""
    found = dict.fromkeys(each for product in portfolio.products for each in _referred(product))
    by_risk = [product for product in portfolio.products if isinstance(product, SensitivityPortfolio)]
    return {
        **{each: each.cusip or f"security-{count}" for count, each in enumerate(found, start=1)},
        **{each: f"sensitivities-{count}.crif" for count, each in enumerate(by_risk, start=1)},
    }


def _referred(product: Product) -> Iterable[TreasurySecurity]:
    if isinstance(product, Repo | ReverseRepo):
        return (product.collateral,)
    if isinstance(product, BondTotalReturnSwap):
        return () if isinstance(product.bond, ReferenceBond) else (product.bond,)
    if isinstance(product, FutureOption):
        return _referred(product.underlying)
    return product.basket if isinstance(product, TreasuryFuture) else ()

"""What the entries of a book hold: products and assets, the securities listed in it, and the baskets from these.

Call `listed_securities(draft)` once, then `product_held(entry, sources)` for a position and `asset_of` for a deposit:
None is returned for what is wrong, which is noted under the field of the entry. Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from crossmargin.errors import InputError, suggestion, with_article
from crossmargin.io import book_fields as fields
from crossmargin.io.book_crif import CrifFiles
from crossmargin.io.book_fields import Columns
from crossmargin.io.book_files import Draft
from crossmargin.io.entries import Entry, read_fields, refuse_unknown, words_in
from crossmargin.posted import Asset, Cash, OtherAsset
from crossmargin.products import (
    PRODUCT_KINDS,
    BondTotalReturnSwap,
    FutureOption,
    IndexFuture,
    Product,
    ReferenceBond,
    SensitivityPortfolio,
    ShortRateFuture,
    TreasuryFuture,
    TreasurySecurity,
    contract_specs,
    deliverable_basket,
)
from crossmargin.products.futures import Deliverable
from crossmargin.products.options import FUTURE_OPTION_KINDS

NO_BASKET = ("none",)  # in a field `basket`: leave it empty, do not select from the securities


@frozen
class _Listed:
    """An entry of the section `securities`, and what it describes when it is sound."""

    entry: Entry
    security: Any

    @property
    def names(self) -> tuple[str, ...]:
        values = self.entry.values
        return tuple(dict.fromkeys(values[key] for key in ("name", "cusip") if isinstance(values.get(key), str)))


@frozen
class Securities:
    """The securities of a book by name and CUSIP, and the baskets selected from them so far."""

    entries: tuple[_Listed, ...]
    by_name: Mapping[str, _Listed]
    selected: dict[str, tuple[Deliverable, ...] | None] = field(factory=dict)

    @property
    def listed(self) -> tuple[TreasurySecurity, ...]:
        """The securities that are sound, in their order."""
        return tuple(each.security for each in self.entries if each.security is not None)

    def find(self, name: object) -> _Listed | None:
        """Return what is listed under a name or CUSIP, None where nothing is."""
        return self.by_name.get(name) if isinstance(name, str) else None

    def basket(self, entry: Entry, chosen: tuple[str, ...] | None, future: TreasuryFuture) -> tuple[Any, ...] | None:
        """Return what may be delivered: the securities chosen by name, or all that the contract accepts."""
        if chosen == NO_BASKET:
            return ()
        if chosen is not None:
            members = tuple(self.by_name[name].security for name in chosen)
            return None if None in members else members
        if future.symbol not in self.selected:
            self.selected[future.symbol] = self._select(entry, future)
        return self.selected[future.symbol]

    def _select(self, entry: Entry, future: TreasuryFuture) -> tuple[Deliverable, ...] | None:
        if any(each.security is None for each in self.entries):
            return None  # what is wrong with the securities is noted; a basket short of them would only confuse
        try:
            return deliverable_basket(future.contract, future.delivery_month, self.listed)
        except InputError as error:
            entry.problems.extend(evolve(each, where=f"securities, {each.where}") for each in error.problems)
            return None


@frozen
class Sources:
    """What products are made of beside their entries, and those made so far by the terms of these."""

    securities: Securities
    crifs: CrifFiles
    made: dict[object, Product] = field(factory=dict)


def listed_securities(draft: Draft) -> Securities:
    """Return the securities that a book lists, noting what is wrong with any and names that two bear."""
    listed = tuple(_Listed(entry, _security(entry)) for entry in draft["securities"])
    by_name: dict[str, _Listed] = {}
    for each in listed:
        for name in each.names:
            first = by_name.setdefault(name, each)
            if first is not each:
                each.entry.note("cusip", f"{name!r} is {first.entry.where} too.", "Keep one of the two.")
    return Securities(listed, by_name)


def _security(entry: Entry) -> Any:
    refuse_unknown(entry, fields.SECURITY_COLUMNS, misplaced=fields.SECTIONS)
    head = read_fields(entry, fields.SECURITY)
    if head is None:
        return None
    _refuse_foreign(entry, head["product"], fields.POSITIONS)
    return _product(entry, head["product"], Securities((), {}))


# -------------------------------------------------------------------------------------- products and assets


def product_held(entry: Entry, sources: Sources) -> Product | None:
    """Return the product of a position; where nothing is wrong it is that of all entries with the same terms.

    None, after noting what is wrong, where something is.
    """
    before, head = len(entry.problems), read_fields(entry, fields.PRODUCT)
    if head is None:
        return None
    _refuse_foreign(entry, kind := head["product"], fields.POSITIONS)
    by_risk = kind == SensitivityPortfolio.kind
    product = sources.crifs.portfolio(entry) if by_risk else _product(entry, kind, sources.securities)
    if product is not None and entry.terms is not None and len(entry.problems) == before:
        sources.made[entry.terms] = product
    return product


def asset_of(entry: Entry, securities: Securities) -> Asset | None:
    """Return the asset that an entry describes, None when something about it is wrong or unknown."""
    head = read_fields(entry, fields.ASSET)
    if head is None:
        return None
    _refuse_foreign(entry, kind := head["asset"], fields.COLLATERAL)
    if kind in PRODUCT_KINDS:
        found: Any = _product(entry, kind, securities)
        asset: Asset | None = found
        return asset
    arguments = read_fields(entry, fields.ASSET_FIELDS[kind])
    if arguments is None:
        return None
    return Cash(**arguments) if kind == Cash.kind else OtherAsset(kind, **arguments)


def _product(entry: Entry, kind: str, securities: Securities) -> Product | None:
    """Return the product that an entry describes, None when something about it is wrong or unknown."""
    listed = securities.find(entry.values.get("cusip")) if kind in fields.SECURITY_KINDS else None
    own = fields.names(fields.PRODUCT_FIELDS[kind])
    unlisted = _refer_to_securities(entry, own, securities)
    arguments = read_fields(_completed(entry, own, listed), fields.PRODUCT_FIELDS[kind])
    if arguments is None or unlisted or (listed and listed.security is None):
        return None
    if kind in ("treasury_future", *FUTURE_OPTION_KINDS):
        return _future_or_option(entry, kind, arguments, securities)
    if kind == BondTotalReturnSwap.kind:
        return _bond_swap(entry, arguments, securities)
    if "collateral" in arguments:
        arguments["collateral"] = securities.by_name[arguments["collateral"]].security
        if arguments["collateral"] is None:
            return None  # its own entry is wrong, and says so
    product: Product | None = _made(entry, PRODUCT_KINDS[kind], arguments)
    if listed and product not in (None, listed.security):
        what = f"{listed.entry.where} gives it other terms: {listed.security.symbol}."
        entry.note("cusip", what, "Leave the terms blank here, or mend one of the two.")
    return product


def _completed(entry: Entry, own: Sequence[str], listed: _Listed | None) -> Entry:
    """Return the entry with its blank terms taken from the security that its CUSIP names."""
    if listed is None:
        return entry
    sound = listed.security is not None
    shared = {name: listed.entry.values[name] for name in own if name in listed.entry.values and sound}
    excused = entry.excused if sound else frozenset(own)  # what is wrong is noted where the security stands
    return evolve(entry, values={**shared, **entry.values}, excused=excused)


def _refuse_foreign(entry: Entry, kind: str, columns: Columns) -> None:
    """Note fields that belong to other kinds of product or asset."""
    own = fields.names(fields.ASSET_FIELDS.get(kind) or fields.PRODUCT_FIELDS[kind])
    for name in entry.values:
        if name not in own and name not in columns.head and name in columns.names:
            entry.note(
                name,
                f"does not belong to {with_article(kind)}.",
                f"Leave it blank, or correct the {columns.chosen_by}.",
            )


def _refer_to_securities(entry: Entry, own: Sequence[str], securities: Securities) -> bool:
    """Note names of collateral, of a bond and of a basket that the securities lack; return whether there are any."""
    before, known = len(entry.problems), securities.by_name
    for name in ("collateral", "basket", "bond"):
        words = words_in(entry.values.get(name)) if name in own else []
        for word in words if tuple(words) != NO_BASKET else ():
            if word not in known:
                advice = suggestion(word, known) if known else "There are none."
                entry.note(name, f"{word!r} is not among the securities.", f"List it in [[securities]]. {advice}")
    return len(entry.problems) > before


def _future_or_option(
    entry: Entry, kind: str, arguments: dict[str, Any], securities: Securities
) -> TreasuryFuture | FutureOption | None:
    """Return the future, its basket as named or else selected, or the option, whose basket nothing needs."""
    if (asset := contract_specs()[arguments["contract"]].asset) in _WITHOUT_BASKET:
        return _option_without_basket(entry, arguments, _WITHOUT_BASKET[asset])
    terms = {name: arguments.pop(name) for name in ("contract", "delivery_month")}
    chosen = arguments.pop("basket", NO_BASKET if kind == "future_option" else None)
    future: TreasuryFuture | None = _made(entry, TreasuryFuture, terms)
    if future is None:
        return None
    basket = securities.basket(entry, chosen, future)
    if basket is None:
        return None
    future = _made(entry, TreasuryFuture, {**terms, "basket": basket})
    if kind == "treasury_future" or future is None:
        return future
    option: FutureOption | None = _made(entry, FutureOption, {"underlying": future, **arguments})
    return option


_WITHOUT_BASKET: Mapping[str, type[ShortRateFuture | IndexFuture]] = {
    "short_rate": ShortRateFuture,
    "index": IndexFuture,
}


def _option_without_basket(
    entry: Entry, arguments: dict[str, Any], on: type[ShortRateFuture | IndexFuture]
) -> FutureOption | None:
    if arguments.pop("basket", None):
        entry.note("basket", "does not belong to an option on a future that settles in cash.", "Leave it blank.")
    terms = {"contract": arguments.pop("contract"), "month": arguments.pop("delivery_month")}
    future = _made(entry, on, terms)
    option: FutureOption | None = future and _made(entry, FutureOption, {"underlying": future, **arguments})
    return option


def _bond_swap(entry: Entry, arguments: dict[str, Any], securities: Securities) -> BondTotalReturnSwap | None:
    """Return a swap on a Treasury of the securities that `bond` names, or on the bond of a company."""
    name = arguments.pop("bond", None)
    terms = {key: arguments.pop(key, None) for key in ("issuer", "coupon", "bond_maturity")}
    given = [key for key, value in terms.items() if value is not None]
    if name is not None and given:
        fix = "Leave issuer, coupon_pct and bond_maturity blank: they are for bonds of companies."
        entry.note("bond", "is given beside a bond of a company.", fix)
        return None
    if name is None and len(given) < len(terms):
        fix = "Give issuer, coupon_pct and bond_maturity; of a Treasury its name in [[securities]] instead."
        entry.note("bond", "no bond is given.", fix)
        return None
    bond = securities.by_name[name].security if name else _made(entry, ReferenceBond, _as_reference(terms))
    swap: BondTotalReturnSwap | None = bond and _made(entry, BondTotalReturnSwap, {"bond": bond, **arguments})
    return swap


def _as_reference(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {"issuer": terms["issuer"], "coupon": terms["coupon"], "maturity": terms["bond_maturity"]}


def _made(entry: Entry, kind: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Return the product, or None after noting under the fields of the entry what the product refuses."""
    try:
        return kind(**arguments)
    except InputError as error:
        entry.note_all(error.problems, fields.field_of)
        return None

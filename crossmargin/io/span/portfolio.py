"""Holdings in the contracts of a SPAN file, as the portfolio that the SPAN calculation margins.

Call `span_portfolio`. Nothing is priced or estimated: arrays, deltas and rates are those of the file, and what the file
does not say of a contract that is held is a problem, not a guess.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from attrs import evolve, field, frozen

from crossmargin.errors import Problems, is_number
from crossmargin.io.span.combinations import COMBINATIONS, WHOLE_ARRAY, Allocated, allocated, method_of
from crossmargin.io.span.tables import FINE_ARRAYS, ContractKey, ProductFamily, SpanFile, find_contract, key_of
from crossmargin.span.portfolio import AccountType, Contract, Holding, SpanPortfolio


@frozen
class _Held:
    """A contract that is held: its row and family in the file, and how many."""

    key: ContractKey
    row: int
    family: ProductFamily
    quantity: float


@frozen
class _Book:
    """Holdings by combined commodity, and what of them the calculation lacks."""

    holdings: dict[str, list[Holding]] = field(factory=lambda: defaultdict(list))
    gaps: dict[str, dict[str, None]] = field(factory=lambda: defaultdict(dict))


def span_portfolio(
    file: SpanFile,
    holdings: Iterable[tuple[ContractKey, float]] | Mapping[ContractKey, float],
    *,
    account_type: AccountType = "member",
    gross: bool = False,
    currency: str = "USD",
) -> SpanPortfolio:
    """Return the portfolio of an account, with every parameter from the file.

    Parameters
    ----------
    file
        From `files.read_span`.
    holdings
        What is held of each contract, long > 0. A contract may come more than once: in a gross account its longs and
        shorts stay apart.
    account_type
        Chooses initial ratios and adjustment factors.
    gross
        Whether it is an omnibus account.
    currency
        Of the requirement; rates come from the file.

    Raises
    ------
    InputError
        Listing every contract that the file does not have, and every figure that it lacks for one: combined commodity,
        delta scaling factor, the right, price and value factor of an option that is paid for when bought.

    Notes
    -----
    A combination, and an option on one, enters its delta in the months of its legs, in the commodities of these, by the
    legs of records Z; its array stays whole. Under the methods S and M the file asks more, which is not public, and a
    gap of the commodity says so; where the legs are not known the delta stays in its own month and the gap says why.
    What has no futures month, such as a share or an option on one, enters its delta in the option's month, or in
    that of the business date.
    """
    problems = Problems()
    pairs = holdings.items() if isinstance(holdings, Mapping) else holdings
    held = [found for key, quantity in pairs for found in _found(file, key, quantity, problems)]
    book = _Book()
    for each in held:
        with problems.collecting():
            _enter(file, each, book)
    codes = [code for code in book.holdings if code in file.commodities]
    currencies = {file.commodities[code].currency for code in codes} - {currency}
    rates = {each: _exchange_rate(file, (each, currency), problems) for each in sorted(currencies)}
    problems.raise_if_any("The holdings cannot be margined by the file")
    return SpanPortfolio(
        commodities=[_commodity(file, code, book) for code in codes],
        inter_spreads=[spread for spread in file.inter_spreads if {leg.on for leg in spread.legs} <= set(codes)],
        scan_spreads=file.scan_spreads,
        account_type=account_type,
        gross=gross,
        currency=currency,
        exchange_rates=rates,
    )


def _found(file: SpanFile, key: ContractKey, quantity: Any, problems: Problems) -> list[_Held]:
    """Return the contract that is held, or nothing and a problem."""
    if not is_number(quantity):
        problems.add(f"{quantity!r} is not a finite number.", where=f"{key}, quantity", fix="Give contracts, long > 0.")
        return []
    found: list[_Held] = []
    with problems.collecting():
        row = find_contract(file, key)
        found.append(_Held(key_of(file, row), row, file.families[file.contracts.family[row]], float(quantity)))
    return found


def _enter(file: SpanFile, each: _Held, book: _Book) -> None:
    """Enter what is held: its array in its own commodity, its delta there too or in the months of its legs."""
    commodity, contract = each.family.commodity, _contract(file, each)
    gaps = book.gaps[commodity]
    if each.family.array_decimals:
        gaps[FINE_ARRAYS] = None
    if each.family.product_type in COMBINATIONS:
        found = allocated(file, each.key)
        if isinstance(found, str):
            gaps[f"allocation of combinations to the months of their legs: {found}"] = None
        else:
            for part in found:
                book.holdings[part.commodity].append(Holding(_delta_of(contract, part), each.quantity))
            contract = evolve(contract, composite_delta=0.0)
        if (method := method_of(file, each.key)) in WHOLE_ARRAY:
            gaps[f"split of the arrays of combinations (method {method})"] = None
    book.holdings[commodity].append(Holding(contract, each.quantity))


def _delta_of(contract: Contract, part: Allocated) -> Contract:
    """Return what a combination brings to the month of one leg: delta and no loss."""
    return Contract(
        f"{contract.code}, {part.name}",
        part.month,
        [0.0] * len(contract.loss_array),
        contract.composite_delta * part.weight,
        delta_scaling_factor=part.delta_scaling,
    )


def _contract(file: SpanFile, each: _Held) -> Contract:
    problems, contracts = Problems(), file.contracts
    for name in ("composite_delta", "delta_scaling"):
        if not isfinite(getattr(contracts, name)[each.row]):
            _lacks(problems, each, name)
    if each.family.commodity not in file.commodities:
        _lacks(problems, each, "combined commodity")
    if each.family.is_option and each.key.right not in {"call", "put"}:
        _lacks(problems, each, "right")
    value = None
    if each.family.is_option and each.family.premium_style:
        value = float(contracts.price[each.row] * contracts.value_factor[each.row])
        if not isfinite(value):
            _lacks(problems, each, "price or value factor")
    problems.raise_if_any()
    return Contract(
        str(each.key),
        _delta_month(file, each.key),
        contracts.losses[each.row].tolist(),
        float(contracts.composite_delta[each.row]),
        delta_scaling_factor=float(contracts.delta_scaling[each.row]),
        right=_right(each.key.right),
        option_value=value,
    )


def _lacks(problems: Problems, each: _Held, what: str) -> None:
    problems.add(f"the file gives no {what}.", where=str(each.key), fix="Leave the contract out, or mend the file.")


def _right(text: str) -> Any:
    return text if text in {"call", "put"} else None


def _delta_month(file: SpanFile, key: ContractKey) -> int:
    return key.month or key.option_month or file.business_date.year * 100 + file.business_date.month


def _commodity(file: SpanFile, code: str, book: _Book) -> Any:
    """Return the combined commodity with what is held of it."""
    commodity = file.commodities[code]
    return evolve(commodity, holdings=book.holdings[code], gaps=(*commodity.gaps, *book.gaps[code]))


def _exchange_rate(file: SpanFile, pair: tuple[str, str], problems: Problems) -> float:
    """Return units of the second currency for one of the first, by the file's rates of either direction."""
    if pair in file.currency_rates:
        return file.currency_rates[pair]
    if back := file.currency_rates.get((pair[1], pair[0])):
        return 1 / back
    fix = "Ask for the requirement in another currency, or add the rate to the file."
    problems.add("the file gives no such rate.", where=f"currency rate {pair[0]} to {pair[1]}", fix=fix)
    return 1.0

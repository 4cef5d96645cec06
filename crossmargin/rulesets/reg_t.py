"""Regulation T and FINRA 4210(c): margin of stocks held singly, and the state of a margin account.

Call `initial_deposit` and `maintenance` on a `StockPosition`, and `account` on `AccountBalances`; each answers in
lines that explain themselves. Overlays of a broker's stricter rates go through `rules("reg_t").with_values(...)`.
Short sales against a convertible security, short positions against the box, debt and securities that are not margin
eligible are not here. `requirement` takes the shares of a pool one by one; options, and stock hedged by them, belong to
the rule-set `finra_strategy`.
"""

from __future__ import annotations

import math

from attrs import evolve, frozen

from crossmargin.errors import InputError, Problem, Problems
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.pairing.pools import leverage_of
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.products import ETF, ListedOption, Product, Stock
from crossmargin.results import Line, largest, product, scaled, smallest, total
from crossmargin.scenarios import ScenarioSpec


@frozen
class StockPosition:
    """Shares of one stock or fund.

    Parameters
    ----------
    quantity : float
        Shares, long > 0.
    trade_price : float or None
        Price at which they were bought or sold short, USD a share: what initial margin is asked on.
    mark_price : float or None
        Current price, USD a share: what maintenance is asked on.
    leverage : float
        Multiple of its benchmark that a fund aims at, without sign: 2 also for a fund that moves by -2 times.

    Raises
    ------
    InputError
        Every field that is not a finite number, every negative price, a leverage that is not positive.
    """

    quantity: float
    trade_price: float | None = None
    mark_price: float | None = None
    leverage: float = 1.0

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        if not math.isfinite(self.quantity):
            problems.add(f"{self.quantity} is no number of shares.", where="quantity")
        for name, price in (("trade_price", self.trade_price), ("mark_price", self.mark_price)):
            if price is not None and not (math.isfinite(price) and price >= 0):
                problems.add(f"{price} is no price.", where=name, fix="Give USD a share, 0 or more.")
        if not (math.isfinite(self.leverage) and self.leverage > 0):
            fix = "Give the size of the multiple: 1 for plain stock, 2 for a fund that moves by -2 times."
            problems.add(f"{self.leverage} is no leverage factor.", where="leverage", fix=fix)
        problems.raise_if_any("The stock position cannot be margined")


@frozen
class AccountBalances:
    """What a margin account holds and owes, each an amount of USD that is not negative.

    The debit balance is the loan that carries the longs. The credit balance holds the proceeds of short sales and
    what was deposited against them.
    """

    long_market_value: float = 0.0
    short_market_value: float = 0.0
    debit_balance: float = 0.0
    credit_balance: float = 0.0

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name in ("long_market_value", "short_market_value", "debit_balance", "credit_balance"):
            amount = getattr(self, name)
            if not (math.isfinite(amount) and amount >= 0):
                problems.add(f"{amount} is no balance.", where=name, fix="Give USD without a sign, 0 or more.")
        problems.raise_if_any("The account cannot be margined")


@frozen
class AccountState:
    """Equity of an account against its maintenance requirement, USD; `call` and `excess` are never negative."""

    equity: Line
    requirement: Line
    call: Line
    excess: Line


def initial_gross(position: StockPosition, p: Reader) -> Line:
    """Return initial margin before the proceeds of a short sale are counted, USD.

    References
    ----------
    12 CFR 220.12(a) and (c)(1). The leverage of a fund does not enter; a regulator's higher percentage of the venue
    (also 220.12(a)) would.

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> p = rules("reg_t").at(date(2026, 7, 1))
    >>> initial_gross(StockPosition(100, trade_price=40.0), p).value
    2000.0
    >>> initial_gross(StockPosition(-100, trade_price=40.0), p).value
    6000.0
    """
    value = _market_value(position, "trade_price")
    rate = p.initial_long_rate if position.quantity >= 0 else p.initial_short_rate
    return scaled("initial margin", rate, value, reads=p.taken())


def short_sale_credit(position: StockPosition) -> Line:
    """Return the proceeds of a short sale, which stay in the account and count towards its margin, USD (0 if long)."""
    value = _market_value(position, "trade_price")
    return scaled("proceeds of the short sale", 1.0 if position.quantity < 0 else 0.0, value)


def initial_deposit(position: StockPosition, p: Reader) -> Line:
    """Return what the customer must bring to open the position: initial margin less the proceeds of a short sale, USD.

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> p = rules("reg_t").at(date(2026, 7, 1))
    >>> initial_deposit(StockPosition(-100, trade_price=40.0), p).value
    2000.0
    """
    credit = scaled("less proceeds", -1.0, short_sale_credit(position))
    return total("initial deposit", [initial_gross(position, p), credit])


def maintenance(position: StockPosition, p: Reader) -> Line:
    """Return the maintenance requirement of the position at its current price, USD.

    Long: a share of the value, times the leverage of a fund, up to a cap. Short at or above the low-price threshold:
    the same, but not less than an amount per share; below it, its own share and amount per share.

    Notes
    -----
    With the values shipped the requirement of a short position is continuous in the price and never falls as the price
    rises: the value in full meets the amount per share at the threshold. A share below the smallest amount per share
    asks for more than its value.

    References
    ----------
    FINRA Rule 4210(c)(1) to (c)(3); Regulatory Notice 09-53 for leveraged funds.

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> p = rules("reg_t").at(date(2026, 7, 1))
    >>> maintenance(StockPosition(100, mark_price=40.0), p).value
    1000.0
    >>> maintenance(StockPosition(-100, mark_price=10.0), p).value
    500.0
    """
    price = _price(position, "mark_price")
    if position.quantity >= 0:
        share = scaled("rate times price", _rate(p.maintenance_long_rate, position, p), price)
    else:
        share = _short_per_share(price, position, p)
    return product("maintenance", [_shares(position), share], reads=p.taken())


def account(balances: AccountBalances, p: Reader) -> AccountState:
    """Return equity, maintenance requirement, call and excess of an account of plain stock.

    Equity is long market value less debit balance, plus credit balance less short market value. The requirement takes
    the plain rates on both market values: positions that ask more (low prices, leverage) are asked one by one with
    `maintenance`.

    References
    ----------
    FINRA Rule 4210(c).

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> p = rules("reg_t").at(date(2026, 7, 1))
    >>> state = account(AccountBalances(long_market_value=10000.0, debit_balance=8000.0), p)
    >>> state.equity.value, state.requirement.value, state.call.value, state.excess.value
    (2000.0, 2500.0, 500.0, 0.0)
    """
    long = Line("long market value", balances.long_market_value)
    short = Line("short market value", balances.short_market_value)
    equity = _equity(long, short, balances)
    on_long = scaled("maintenance of longs", p.maintenance_long_rate, long)
    on_short = scaled("maintenance of shorts", p.maintenance_short_rate, short)
    requirement = total("maintenance requirement", [on_long, on_short], reads=p.taken())
    call = _excess("maintenance call", requirement, equity)
    return AccountState(equity, requirement, call, _excess("excess equity", equity, requirement))


def minimum_equity_shortfall(equity: float, cost: float, p: Reader) -> Line:
    """Return what an account lacks of the least equity before credit may be extended, USD, never negative.

    Parameters
    ----------
    equity : float
        Equity of the account after the purchase, USD.
    cost : float
        Cost of what is bought, USD: nobody need bring more than that.

    References
    ----------
    FINRA Rule 4210(b)(4).
    """
    _check_finite(equity=equity, cost=cost)
    least = smallest("least equity", [Line("minimum equity", p.minimum_equity), Line("cost", cost)])
    return _excess("shortfall of minimum equity", least, Line("equity", equity), reads=p.taken())


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: the rule is a table of rates."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the initial deposit of a pool's stock and funds, each ticker on its own, USD; beside it the maintenance.

    Long and short shares of one ticker are netted. The price at which they were traded is not known to a portfolio:
    today's stands in for it. Everything else is shown as not modelled.
    """
    shares: dict[Stock | ETF, list[float]] = {}
    others: list[Line] = []
    for position in pool.positions:
        security = position.product
        if isinstance(security, Stock | ETF) and security in inputs.prices:
            shares.setdefault(security, []).append(position.quantity)
        else:
            others += unmodelled([position], _why_not(security))
    held = {security.symbol: _today(security, math.fsum(parts), inputs) for security, parts in shares.items()}
    deposits = [evolve(initial_deposit(stock, p), name=name) for name, stock in held.items()]
    kept = [evolve(maintenance(stock, p), name=name) for name, stock in held.items()]
    note = "initial deposit; the price of the trade is not known, today's stands in for it"
    return total("reg_t requirement", [*deposits, *others], memo=[total("maintenance", kept)], note=note)


def _why_not(product: Product) -> str:
    if isinstance(product, ListedOption):
        return "options, and stock hedged by them, are margined by finra_strategy"
    share = isinstance(product, Stock | ETF)
    return f"the market has no price of {product.symbol}" if share else "is neither stock nor a fund"


def _today(security: Stock | ETF, quantity: float, inputs: Inputs) -> StockPosition:
    price = inputs.prices[security]
    return StockPosition(quantity, price, price, leverage_of(security))


def _market_value(position: StockPosition, which: str) -> Line:
    return product("market value", [_shares(position), _price(position, which)])


def _shares(position: StockPosition) -> Line:
    return Line("shares, without sign", abs(position.quantity), unit="share")


def _price(position: StockPosition, which: str) -> Line:
    price = getattr(position, which)
    if price is None:
        needs = "initial margin" if which == "trade_price" else "maintenance"
        raise InputError([Problem(f"is missing, and {needs} is asked on it.", f"stock position, {which}")])
    return Line(which.replace("_", " "), price)


def _short_per_share(price: Line, position: StockPosition, p: Reader) -> Line:
    if price.value < p.low_price_threshold:
        rate, least = p.low_price_short_rate, p.low_price_short_per_share
    else:
        rate, least = _rate(p.maintenance_short_rate, position, p), p.maintenance_short_per_share
    return largest("per share", [Line("least amount", least), scaled("rate times price", rate, price)])


def _rate(plain: float, position: StockPosition, p: Reader) -> float:
    """Return a maintenance rate for the leverage of a fund; the cap never cuts a house rate that is above it."""
    cap: float = max(plain, p.leveraged_rate_cap)
    return min(cap, plain * position.leverage)


def _equity(long: Line, short: Line, balances: AccountBalances) -> Line:
    debit = scaled("less debit balance", -1.0, Line("debit balance", balances.debit_balance))
    credit = Line("credit balance", balances.credit_balance)
    return total("equity", [long, debit, credit, scaled("less short market value", -1.0, short)])


def _excess(name: str, over: Line, under: Line, **more: object) -> Line:
    """Return what one line has over another, and 0 when it has less."""
    difference = total("difference", [over, scaled(f"less {under.name}", -1.0, under)])
    return largest(name, [difference, Line("nothing", 0.0)], **more)


def _check_finite(**amounts: float) -> None:
    problems = Problems()
    for name, amount in amounts.items():
        if not math.isfinite(amount):
            problems.add(f"{amount} is no amount.", where=name, fix="Give a finite number of USD.")
    problems.raise_if_any()

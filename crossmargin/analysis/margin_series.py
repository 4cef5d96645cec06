"""The requirement of small books on every day of a history, and what they gained or lost right after.

Call `margin_series(book, rules, history, days)`; its result is what `backtest` asks for. `margin_series_of` takes
several books and rules at once and reprices each day only once. Nothing here is a rule, and no day sees a later one:
the history is cut off behind each day before anything looks at it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TypeAlias

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.accounts import Account, AccountClass, Firm
from crossmargin.columns import FloatArray, as_dates, readonly
from crossmargin.curves import interpolate
from crossmargin.errors import CrossMarginError, InputError, Problem, Problems, suggestion
from crossmargin.market import History, Market
from crossmargin.methodology import Inputs
from crossmargin.parameters import Reader, Rules
from crossmargin.pnl import PnL, can_revalue, revalue
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.price_history import PriceHistory
from crossmargin.products import Product
from crossmargin.products.calendars import add_months
from crossmargin.products.contracts import contract_specs
from crossmargin.products.equities import Security
from crossmargin.products.futures import TreasuryFuture
from crossmargin.products.treasuries import TreasuryNote
from crossmargin.registry import module
from crossmargin.results import Line
from crossmargin.scenarios import GAP_SLACK_DAYS, ScenarioSet, ScenarioSpec, scenario_set
from crossmargin.spot_scenarios import has_history, why_unmoved, with_spot_moves
from crossmargin.underlyings import securities_held, ticker_held

Book: TypeAlias = Callable[[Market], Iterable[tuple[Product, float]]]
"""What is held on a day, as product and signed quantity, told from the market of that day."""
Period: TypeAlias = tuple[date, date]  # first and last day, both included

_STRESS = "stress_period"
_HOUSE = "HOUSE"
_EIGHTHS = 800.0  # Treasury coupons are whole eighths of a per cent


@frozen
class Gap:
    """A day that could not be margined, and why."""

    day: date
    why: str


@frozen(eq=False)
class MarginSeries:
    """What one book owed under one rule-set, day by day.

    `dates` [n_days] are the days margined, oldest first; `gaps` names those asked for that are missing. `requirement`
    [n_days] is USD, >= 0; `pnl` [n_days] what came of that day's book over the next `horizon_days` rows of the history,
    gain > 0, USD, NaN where the history does not say. `horizon_days` is 0 when no day was margined, `confidence` None
    where the rule-set claims no quantile. `notes` say what the figures rest on and leave out.
    """

    book: str
    ruleset: str
    horizon_days: int
    confidence: float | None
    dates: tuple[date, ...] = field(converter=as_dates)
    requirement: FloatArray = field(converter=readonly)
    pnl: FloatArray = field(converter=readonly)
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()

    def between(self, first: date, last: date) -> MarginSeries:
        """Return the days from `first` to `last`, both included."""
        of = slice(bisect_left(self.dates, first), bisect_right(self.dates, last))
        gaps = tuple(gap for gap in self.gaps if first <= gap.day <= last)
        return evolve(self, dates=self.dates[of], requirement=self.requirement[of], pnl=self.pnl[of], gaps=gaps)

    def tested(self, *, every: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return P&L and requirement of every n-th day that knows both: what `backtest.exceptions` takes.

        Changes over several days overlap; tests that want independent days ask for every `horizon_days`-th.
        """
        known = np.flatnonzero(np.isfinite(self.pnl) & np.isfinite(self.requirement))[::every]
        return self.pnl[known], self.requirement[known]


@frozen(eq=False)
class MarketHistory:
    """Daily par yields and, where shares or index futures are held, daily prices by ticker."""

    yields: History
    prices: PriceHistory | None = None

    def market(self, day: date) -> Market:
        """Return the market of a day with nothing of a later day in it; spots are the last prices on or shortly before.

        Raises
        ------
        InputError
            No row of yields bears the date, or the row has a hole.
        """
        row = self.yields.row_at(day)
        past = self.yields
        if row is not None:
            kept = slice(0, row + 1)
            past = History(past.dates[kept], past.tenors, past.par[kept], past.source)
        market, prices = Market.from_history(past, day), self._prices_to(day)
        if prices is None:
            return market
        spots = {ticker: prices.at(ticker, day) for ticker in prices.prices}
        quoted = {ticker: spot for ticker, spot in spots.items() if math.isfinite(spot)}
        return evolve(market, prices=quoted, price_history=prices)

    def change(self, day: date, horizon_days: int, securities: Mapping[str, Security]) -> ScenarioSet | None:
        """Return what the market did over the next rows, as one scenario; None where the history does not say.

        A tenor not quoted on both dates is read between its neighbours. A gap in the data is no change.
        """
        row = self.yields.row_at(day)
        if row is None or row + horizon_days >= len(self.yields.dates):
            return None
        start, end = self.yields.dates[row], self.yields.dates[row + horizon_days]
        moves = self.yields.par[row + horizon_days] - self.yields.par[row]
        quoted = np.isfinite(moves)
        if (end - start).days > 2 * horizon_days + GAP_SLACK_DAYS or not quoted.any():
            return None
        spec = ScenarioSpec("historical", horizon_days, 1.0)
        change = ScenarioSet(spec, self.yields.tenors[quoted], moves[quoted, None], (start,), (end,))
        if self.prices is None or not securities:
            return change
        return with_spot_moves(change, self.prices, securities, as_of=start)

    def _prices_to(self, day: date) -> PriceHistory | None:
        count = 0 if self.prices is None else bisect_right(self.prices.dates, day)
        if self.prices is None or not count:
            return None
        columns = (self.prices.prices, self.prices.volatilities)
        prices, volatilities = ({ticker: column[:count] for ticker, column in table.items()} for table in columns)
        return PriceHistory(self.prices.dates[:count], prices, volatilities=volatilities, source=self.prices.source)


def margin_series(
    book: Book,
    rules: Rules,
    history: MarketHistory,
    days: Iterable[date],
    *,
    calibration: date | None = None,
    stress_periods: Iterable[Period] = (),
) -> MarginSeries:
    """Return the requirement of one book on each day, margined as one pool of a firm's own positions.

    Parameters
    ----------
    book : callable
        Market of a day -> what is held on it; `front_month` and `notional_future` help.
    rules : Rules
        Of a rule-set that draws scenarios, from `crossmargin.rules(id)`, overlaid or not.
    history : MarketHistory
    days : iterable of date
        Each becomes a figure or a `Gap`; sorted, doubles dropped.
    calibration : date, optional
        The rule's values of this date are used on every day: a study of a model, not of what was asked at the time.
        Otherwise each day uses the values in force on it.
    stress_periods : iterable of (first, last)
        Stand-ins for the rule's stress period on days on which that has not ended: the one that ended last is taken,
        and a note says so. Without one such a day is a gap.

    Raises
    ------
    InputError
        A stand-in that ends before it begins, a rule that stands twice or is no rule-set.

    Notes
    -----
    The P&L is that of the revaluation behind the requirement: the whole change of the market at once, the book held
    still, without ageing, carry or funding. What a rule-set knows of and does not model is missing from its figures and
    named in the notes. A day on which a position cannot be revalued is a gap, never a smaller figure.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from crossmargin.registry import rules
    >>> days = [day for n in range(500) if (day := date(2024, 1, 1) + timedelta(n)).weekday() < 5]
    >>> up_and_down = 0.04 + 0.0005 * (np.arange(len(days)) % 2)[:, None] + np.zeros(5)
    >>> history = MarketHistory(History(days, [0.25, 2, 5, 10, 30], up_and_down))
    >>> found = margin_series(
    ...     lambda market: [(notional_future("ZN", market, years=7), 1)], rules("ice_irm2_like"), history, days[-3:]
    ... )
    >>> [round(float(gain)) for gain in found.pnl[:2]], found.requirement.round(-1).tolist()
    ([337, -337], [430.0, 430.0, 430.0])
    """
    both = margin_series_of(
        {"book": book}, [rules], history, days, calibration=calibration, stress_periods=stress_periods
    )
    return next(iter(both.values()))


def margin_series_of(
    books: Mapping[str, Book],
    rules: Iterable[Rules],
    history: MarketHistory,
    days: Iterable[date],
    *,
    calibration: date | None = None,
    stress_periods: Iterable[Period] = (),
) -> dict[tuple[str, str], MarginSeries]:
    """Return `margin_series` by name of book and id of rule; a day's scenarios are drawn and repriced once for all.

    No figure depends on what else was asked for.
    """
    chosen, periods = tuple(rules), tuple(stress_periods)
    _check(chosen, periods)
    models = tuple(_Model(each, calibration, periods) for each in chosen)
    tallies = {(name, model.id): _Tally(name, model) for name in books for model in models}
    for day in sorted(set(days)):
        for key, answer in _on_day(day, books, models, history).items():
            tallies[key].answers[day] = answer
    return {key: tally.series() for key, tally in tallies.items()}


def front_month(contract: str, day: date) -> int:
    """Return the first month CCYYMM that a contract is listed for after the month of a day.

    Examples
    --------
    >>> front_month("ZN", date(2008, 9, 15)), front_month("ES", date(2008, 11, 28))
    (200812, 200812)
    """
    if contract not in contract_specs():
        fix = suggestion(contract, contract_specs())
        raise InputError([Problem(f"unknown contract {contract!r}.", "front month", fix)])
    listed = contract_specs()[contract].months
    ahead = (add_months(day.replace(day=1), months) for months in range(1, 13))
    first = next(month for month in ahead if month.month in listed)
    return 100 * first.year + first.month


def notional_future(contract: str, market: Market, *, years: float) -> TreasuryFuture:
    """Return the front Treasury future on one notional note: a maturity that stays the same from day to day.

    Parameters
    ----------
    contract : str
        ZT, Z3N, ZF, ZN or TN.
    market : Market
    years : float
        Remaining term on the first day of the delivery month. The coupon is today's par yield of that maturity, to the
        nearest eighth of a per cent and one eighth at least.
    """
    month = front_month(contract, market.as_of)
    matures = add_months(date(month // 100, month % 100, 1), round(12 * years))
    par = interpolate(market.curve.tenors, market.curve.par[:, None], np.array([years]))
    coupon = max(1.0, np.floor(float(par[0, 0]) * _EIGHTHS + 0.5)) / _EIGHTHS
    return TreasuryFuture(contract, month, (TreasuryNote(float(coupon), matures),))


@frozen
class _Answer:
    requirement: float
    pnl: float
    spec: ScenarioSpec
    confidence: float | None
    left_out: frozenset[str]
    stress_period: Period | None  # only where it stands in for the rule's own


@frozen(eq=False)
class _Model:
    """A rule-set as it is used on past days."""

    rules: Rules
    calibration: date | None
    stand_ins: tuple[Period, ...]

    @property
    def id(self) -> str:
        return self.rules.id

    def own_period(self, day: date) -> Period | None:
        if _STRESS not in self.rules.parameters:
            return None
        first, last = self.rules.in_force(_STRESS, self.calibration or day).value
        return first, last

    def stand_in(self, day: date) -> Period | None:
        """Return the stress period that replaces one that has not ended, None where nothing needs to."""
        own = self.own_period(day)
        if own is None or own[1] <= day:
            return None
        ended = [period for period in self.stand_ins if period[1] <= day]
        if not ended:
            what = f"its stress period {_span(own)} has not ended, and none that stands in for it."
            raise InputError([Problem(what, f"{self.id} on {day}", "Give stress_periods=[(first, last)].")])
        return max(ended, key=lambda period: period[::-1])

    def reader(self, day: date) -> Reader:
        period, rules = self.stand_in(day), self.rules
        if period is not None:
            rules = rules.with_values(stress_period=period, because="the rule's own lies ahead of the day")
        return rules.at(self.calibration or day)

    def confidence(self, day: date) -> float | None:
        return float(self.reader(day).confidence) if "confidence" in self.rules.parameters else None


@frozen(eq=False)
class _Tally:
    book: str
    model: _Model
    answers: dict[date, _Answer | str] = field(factory=dict)

    def series(self) -> MarginSeries:
        known = {day: answer for day, answer in self.answers.items() if isinstance(answer, _Answer)}
        last = next(reversed(known.values()), None)
        return MarginSeries(
            self.book,
            self.model.id,
            0 if last is None else last.spec.horizon_days,
            None if last is None else last.confidence,
            dates=tuple(known),
            requirement=[answer.requirement for answer in known.values()],
            pnl=[answer.pnl for answer in known.values()],
            gaps=tuple(Gap(day, why) for day, why in self.answers.items() if isinstance(why, str)),
            notes=(*self._study_notes(known), *sorted({text for each in known.values() for text in each.left_out})),
        )

    def _study_notes(self, known: Mapping[date, _Answer]) -> Iterable[str]:
        if self.model.calibration is not None:
            yield f"the calibration of {self.model.calibration} on every day: a study, hypothetical on past days"
        used: dict[Period, list[date]] = {}
        for day, answer in known.items():
            if answer.stress_period is not None:
                used.setdefault(answer.stress_period, []).append(day)
        for period, days in used.items():
            own = self.model.own_period(days[0])
            said = f"stress period {_span(period)} from {days[0]} to {days[-1]}"
            yield f"{said}: the rule's own, {_span(own or period)}, had not ended"
        yield "profit and loss: the change of the market at once, without ageing, carry or funding"


@frozen(eq=False)
class _Day:
    """A day with everything of it that was drawn and repriced once for all books."""

    inputs: Inputs
    history: MarketHistory
    held: Mapping[str, tuple[Position, ...]]
    moved: Mapping[str, Security]  # tickers with a price history
    realised: dict[int, PnL | None] = field(factory=dict)

    def answer(self, name: str, model: _Model, specs: Sequence[ScenarioSpec]) -> _Answer | str:
        """Return what a book owes under a model, or why that cannot be said."""
        day, held = self.inputs.as_of, self.held[name]
        if why := self._why_not(held, specs):
            return why
        pool = Pool(_HOUSE, _HOUSE, AccountClass.PROPRIETARY, model.rules.authority, model.id, positions=held)
        line: Line = module(model.id).requirement(pool, self.inputs, model.reader(day))
        gained = self._gained(held, specs[0].horizon_days)
        left_out = _left_out(line, held)
        return _Answer(line.value, gained, specs[0], model.confidence(day), left_out, model.stand_in(day))

    def _why_not(self, held: Iterable[Position], specs: Iterable[ScenarioSpec]) -> str:
        """Say why a book is not margined, "" when it is: without one leg the others would be a half-truth."""
        for position in held:
            if lack := self.inputs.lacks(position):
                return lack
            missing = next((spec for spec in specs if not self.inputs.revalued(position, spec)), None)
            if missing is not None:
                return f"{position.product.symbol}: {self._why_unvalued(position.product, missing)}"
        return ""

    def _why_unvalued(self, product: Product, spec: ScenarioSpec) -> str:
        ticker, market = ticker_held(product), self.inputs.market
        if not ticker or market.price_history is None:
            return "no profit and loss under the scenarios of this rule-set"
        if ticker not in market.prices:
            return f"{ticker} is not quoted on or shortly before the day"
        drawn = self.inputs.pnl[spec].scenarios if spec in self.inputs.pnl else _drawn(spec, market, self.moved)
        security = self.inputs.securities[ticker]
        return why_unmoved(ticker, security, market.price_history, drawn) or "no profit and loss under the scenarios"

    def _gained(self, held: Sequence[Position], horizon_days: int) -> float:
        """Return what came of a book over the next rows, USD; NaN where the history does not say."""
        if horizon_days not in self.realised:
            self.realised[horizon_days] = self._next(horizon_days)
        pnl = self.realised[horizon_days]
        if pnl is None or not all(position.product in pnl for position in held):
            return math.nan
        return float(pnl.pooled([each.product for each in held], [each.quantity for each in held])[0])

    def _next(self, horizon_days: int) -> PnL | None:
        """Reprice everything held under the change to come; what goes wrong there says nothing about the margin."""
        market, products = self.inputs.market, self.inputs.portfolio.products
        try:
            change = self.history.change(market.as_of, horizon_days, self.moved)
            known = [] if change is None else [each for each in products if can_revalue(each, market, change)]
            return revalue(known, market, change) if change is not None and known else None
        except CrossMarginError:
            return None


_Answers: TypeAlias = dict[tuple[str, str], _Answer | str]


def _on_day(day: date, books: Mapping[str, Book], models: Sequence[_Model], history: MarketHistory) -> _Answers:
    """Return the answer, or why there is none, for every book under every model."""
    held: dict[str, tuple[Position, ...]] = {}
    answers: _Answers = {}
    try:
        market = history.market(day)
    except CrossMarginError as error:
        return {(name, model.id): _text(error) for name in books for model in models}
    for name, book in books.items():
        try:
            found = enumerate(book(market), start=1)
            held[name] = tuple(Position(f"{name} {n}", name, product, quantity) for n, (product, quantity) in found)
        except CrossMarginError as error:
            answers |= {(name, model.id): _text(error) for model in models}
    return answers | (_answers(market, held, models, history) if held else {})


def _answers(
    market: Market, held: Mapping[str, tuple[Position, ...]], models: Sequence[_Model], history: MarketHistory
) -> _Answers:
    """Answer for all at once; where something fails, for each alone, so that only the culprit has no figure."""
    try:
        return _together(market, held, models, history)
    except CrossMarginError as error:
        if len(models) > 1:
            parts = [_answers(market, held, [model], history) for model in models]
        elif len(held) > 1:
            parts = [_answers(market, {name: one}, models, history) for name, one in held.items()]
        else:
            return {(name, model.id): _text(error) for name in held for model in models}
    return {key: answer for part in parts for key, answer in part.items()}


def _together(
    market: Market, held: Mapping[str, tuple[Position, ...]], models: Sequence[_Model], history: MarketHistory
) -> _Answers:
    firm = Firm(_HOUSE)
    accounts = [Account(name, _HOUSE, _HOUSE, AccountClass.PROPRIETARY) for name in held]
    portfolio = Portfolio([firm], [], accounts, [position for book in held.values() for position in book])
    known = securities_held(portfolio.products, market.underlyings)
    moved = {ticker: each for ticker, each in known.items() if has_history(ticker, each, market.price_history)}
    specs = {model.id: tuple(module(model.id).scenarios(model.reader(market.as_of))) for model in models}
    if still := [id for id, wanted in specs.items() if not wanted]:
        raise InputError([Problem("draws no scenarios.", f"rule {still[0]}", "Ask margin() for its figure.")])
    pnl = {}
    for spec in dict.fromkeys(spec for wanted in specs.values() for spec in wanted):
        drawn = _drawn(spec, market, moved)
        if products := [each for each in portfolio.products if can_revalue(each, market, drawn)]:
            pnl[spec] = revalue(products, market, drawn)
    day = _Day(Inputs(portfolio, market, pnl), history, held, moved)
    return {(name, model.id): day.answer(name, model, specs[model.id]) for name in held for model in models}


def _drawn(spec: ScenarioSpec, market: Market, moved: Mapping[str, Security]) -> ScenarioSet:
    drawn = scenario_set(spec, market.history, market.as_of)
    if moved and market.price_history is not None:
        drawn = with_spot_moves(drawn, market.price_history, moved)
    return drawn


def _left_out(line: Line, held: Iterable[Position]) -> frozenset[str]:
    """Return what a requirement does not model; products by their kind, since contract months come and go."""
    kinds = {position.product.symbol: position.product.kind for position in held}
    gaps = (each for each in line.walk() if each.how == "not_modelled")
    return frozenset(f"not modelled: {kinds.get(each.name, each.name)}, {each.note}" for each in gaps)


def _check(rules: Sequence[Rules], periods: Iterable[Period]) -> None:
    problems, ids = Problems(), [each.id for each in rules]
    for id in dict.fromkeys(id for id in ids if ids.count(id) > 1):
        problems.add("stands twice.", where=f"rule {id}", fix="Margin its overlays one after another.")
    for each in rules:
        if each.kind != "ruleset":
            problems.add(f"is of kind {each.kind!r}.", where=f"rule {each.id}", fix="Give a rule-set.")
    for first, last in periods:
        if last < first:
            problems.add(f"{_span((first, last))} ends before it begins.", where=_STRESS + "s", fix="Swap the days.")
    problems.raise_if_any()


def _span(period: Period) -> str:
    return f"{period[0]} to {period[1]}"


def _text(error: CrossMarginError) -> str:
    if isinstance(error, InputError):
        return "; ".join(str(problem) for problem in error.problems)
    return str(error)

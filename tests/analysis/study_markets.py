"""Markets of past days for the tests of studies: the packaged history cut off, with made-up prices where wanted."""

from __future__ import annotations

from datetime import date

import numpy as np
from attrs import evolve

from crossmargin.analysis.coverage import held_at
from crossmargin.analysis.study import CALIBRATION
from crossmargin.io.market_files import packaged_history
from crossmargin.market import History, Market
from crossmargin.price_history import PriceHistory
from crossmargin.registry import rulebook


def past(last: date = date(2016, 12, 30)) -> Market:
    history = packaged_history()
    kept = slice(0, (history.row_at(last) or 0) + 1)
    return Market.from_history(
        History(history.dates[kept], history.tenors, history.par[kept], history.source), history.dates[kept][-1]
    )


def made_up_prices(market: Market) -> Market:
    """Prices of an index and six shares that move up and down together, for as long as the yields."""
    rows = np.arange(len(market.history.dates))
    moves = np.random.default_rng(7).normal(0.0, 0.01, (rows.size, 7))
    levels = np.exp(np.cumsum(moves[:, :1] + 0.5 * moves, axis=0) * 0.5)
    names = ("SPX", "AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
    prices = {name: 100.0 * levels[:, at] for at, name in enumerate(names)}
    vix = {"SPX": 0.15 + 0.05 * np.sin(rows / 50.0)}
    return evolve(market, price_history=PriceHistory(market.history.dates, prices, volatilities=vix))


def held_rules():
    return [held_at(rules, CALIBRATION) for rules in rulebook(()).values()]

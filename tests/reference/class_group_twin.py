"""Portfolio margin of European options and stock the slow, obvious way: one option, one point at a time."""

from __future__ import annotations

import math


def normal(z):
    return math.erfc(-z / math.sqrt(2.0)) / 2.0


def black_scholes(is_call, strike, years, *, spot, rate, dividend_yield, volatility):
    """Value of one European option."""
    forward, deviation = spot * math.exp((rate - dividend_yield) * years), volatility * math.sqrt(years)
    up = math.log(forward / strike) / deviation + deviation / 2.0
    sign = 1.0 if is_call else -1.0
    inner = sign * (forward * normal(sign * up) - strike * normal(sign * (up - deviation)))
    return math.exp(-rate * years) * inner


def implied(price, is_call, strike, years, **terms):
    """Volatility at which an option has its price, by halving."""
    low, high = 1e-4, 5.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if black_scholes(is_call, strike, years, volatility=middle, **terms) < price:
            low = middle
        else:
            high = middle
    return middle


def class_pnl(options, linear_value, *, spot, moves, rate, dividend_yield):
    """P&L at each move of options (units, is_call, strike, years, price) and of what moves with the spot."""
    terms = {"rate": rate, "dividend_yield": dividend_yield}
    result = []
    for move in moves:
        pnl = linear_value * move
        for units, is_call, strike, years, price in options:
            volatility = implied(price, is_call, strike, years, spot=spot, **terms)
            there = black_scholes(is_call, strike, years, spot=spot * (1 + move), volatility=volatility, **terms)
            pnl += units * (there - price)
        result.append(pnl)
    return result


def group_requirement(classes, share, minimum_per_unit):
    """What classes (P&L list, option units) ask in one group: gains count by `share` at the same point."""
    worst = 0.0
    for point in range(len(classes[0][0])):
        loss = 0.0
        for pnl, _ in classes:
            loss += -pnl[point] if pnl[point] < 0 else -share * pnl[point]
        worst = max(worst, loss)
    return max(worst, sum(units for _, units in classes) * minimum_per_unit)

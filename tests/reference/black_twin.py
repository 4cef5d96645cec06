"""Slow, obvious twins of `crossmargin.kernels.black`: the textbook formula, one number at a time."""

from __future__ import annotations

from math import inf, log

from scipy.special import ndtr


def option_value(forward, strike, deviation, *, is_call):
    """Undiscounted Black value: call = F N(d1) - K N(d2), put = K N(-d2) - F N(-d1), in the limit where needed."""
    w = 1.0 if is_call else -1.0
    if deviation <= 0:
        return max(w * (forward - strike), 0.0)
    distance = (log(forward / strike) if strike > 0 else inf) / deviation
    d1, d2 = distance + deviation / 2, distance - deviation / 2
    return w * (forward * float(ndtr(w * d1)) - strike * float(ndtr(w * d2)))


def rows(book):
    """Values [n_options][n_scenarios] of a book given as a dict of nested lists, named as the kernel's arguments."""
    return [
        [
            book["discount"][book["slice_row"][i]][s]
            * option_value(
                book["forward"][book["slice_row"][i]][s],
                book["strike"][i],
                scenario_volatility(book, i, s) * book["time"][book["slice_row"][i]][s] ** 0.5,
                is_call=book["is_call"][i],
            )
            for s in range(len(book["forward"][0]))
        ]
        for i in range(len(book["strike"]))
    ]


def scenario_volatility(book, option, scenario):
    row = book["volatility_row"][option]
    return book["volatility"][option] * book["scale"][row][scenario] + book["shift"][row][scenario]


def pooled(book, base, pools):
    """Profit and loss [n_pools][n_scenarios] of pools given as lists of (option, quantity)."""
    values = rows(book)
    n_scenarios = len(book["forward"][0])
    return [[sum(q * (values[i][s] - base[i]) for i, q in pool) for s in range(n_scenarios)] for pool in pools]

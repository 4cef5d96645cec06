"""Portfolio margin of a securities account: FINRA Rule 4210(g) by way of the theoretical intermarket margin system.

`requirement` revalues each class of a pool on ten moves of its underlying, lets a share of the gains of some classes
offset losses of others in the same product and portfolio group, and asks for the largest loss, but not less than the
minimum of every option contract. `TESTS` say which accounts and positions get it, `firm_limit` what a firm may carry.
House rules are overlays: other values, `house_ranges` for classes in which an account is concentrated.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence

from attrs import evolve

from crossmargin.accounts import Agreement
from crossmargin.class_groups import ClassGroup, Grid, by_class, class_groups
from crossmargin.eligibility import Case, Test
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.methodology import Inputs, Table, unmodelled
from crossmargin.offset_groups import GroupCharge, class_charge, offset_charge
from crossmargin.parameters import Read, Reader
from crossmargin.portfolio import Pool
from crossmargin.pricing.portfolio_grid import concentration_shock
from crossmargin.results import Line, known_sum, largest, not_modelled, scaled, total, total_line
from crossmargin.scenarios import ScenarioSpec
from crossmargin.underlyings import ticker_held

APPLY = ("past_no_return", "always")


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: the rule has a grid of its own."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the requirement of one pool, USD: portfolio groups, product groups and classes added up.

    Beside it stand what the classes ask one by one (gross), the credit for offsets, and the net figure.

    References
    ----------
    FINRA Rule 4210(g); Cboe, margin requirement examples for sample options-based positions (2007).
    """
    grid = _grid(p)
    own, house_gaps = _house_ranges(pool, inputs, grid, p)
    groups = class_groups(pool.positions, inputs, evolve(grid, own=own))
    minimum = p.minimum_per_unit
    reads = p.taken()
    charges = _grouped(
        groups, [class_charge(group, minimum, reads=_bearing_on(group, reads, own)) for group in groups], p
    )
    others = [position for position in pool.positions if not ticker_held(position.product)]
    gaps = [*house_gaps, *unmodelled(others, "hangs on no share, fund or index")]
    note = "; ".join(f"house range of {name}: -{down:.2%} to +{up:.2%}" for name, (down, up) in own.items())
    line = total("portfolio_margin requirement", [*(charge.line for charge in charges), *gaps], note=note)
    return evolve(line, memo=_beside(line, known_sum(charge.gross for charge in charges)))


def _beside(net: Line, gross: float | None) -> list[Line]:
    """Return gross, credit and net as they are shown beside a requirement: not modelled, or partial, where it is."""
    missing = [line for line in net.walk() if line.how == "not_modelled"]
    less = None if net.amount is None or gross is None else net.amount - gross
    told = {"gross requirement": gross, "credit": less, "net requirement": net.amount}
    known = {name: [] if less is None or amount is None else [Line(name, amount)] for name, amount in told.items()}
    return [total_line(name, [*mine, *missing]) for name, mine in known.items()]


def firm_limit(requirements: float, net_capital: float, p: Reader) -> Line:
    """Return by how much the portfolio margin of all a firm's accounts is above its limit, USD, 0 within it.

    A firm that is above it for longer than `firm_limit_days` may open no new account under portfolio margin.

    Parameters
    ----------
    requirements : float
        Of all accounts together, USD, at least 0.
    net_capital : float
        Of the firm, USD.

    Raises
    ------
    InputError
        Amounts that are none.

    References
    ----------
    FINRA Rule 4210(g).

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> firm_limit(1.2e9, 1e8, rules("portfolio_margin").at(date(2026, 6, 30))).value
    200000000.0
    """
    problems = Problems()
    if not (math.isfinite(requirements) and requirements >= 0):
        problems.add(f"{requirements} is no amount.", where="requirements", fix="Give 0 or more, USD.")
    if not math.isfinite(net_capital):
        problems.add(f"{net_capital} is no amount.", where="net_capital", fix="Give a finite number of USD.")
    problems.raise_if_any()
    limit = scaled("limit", p.firm_limit_multiple, Line("net capital", max(0.0, net_capital)))
    asked = Line("portfolio margin of all accounts", requirements)
    excess = total("excess", [asked, scaled("less the limit", -1.0, limit)])
    note = f"for more than {p.firm_limit_days} business days: no new accounts"
    return largest("above the limit", [excess, Line("nothing", 0.0)], reads=p.taken(), note=note)


# -------------------------------------------------------------------------------------------------------------- grid


def _grid(p: Reader) -> Grid:
    return Grid(
        ranges=(*p.index_ranges, *p.equity_ranges),
        points_each_side=p.points_each_side,
        reading=p.grid_reading,
        unsolved=p.unsolved_prices,
        price_rounding=p.price_rounding,
    )


def _bearing_on(group: ClassGroup, reads: Iterable[Read], own: Container[str]) -> list[Read]:
    """Return the parameters that the figure of a class rests on; overlaid ones always.

    Without options there is no minimum; both readings of the grid have the same largest moves; what becomes of prices
    without a volatility matters where there are some.
    """
    worst = group.pnl.index(min(group.pnl))
    idle = {
        "minimum_per_unit": not group.contract_units,
        "grid_reading": worst in (0, len(group.pnl) - 1),
        **dict.fromkeys(("unsolved_prices", "price_rounding"), not group.gaps),
        **dict.fromkeys(("house_ranges", "house_ranges_apply"), group.name not in own),
    }
    return [read for read in reads if read.because or not (idle.get(read.name) or _other_kinds(read, group))]


def _other_kinds(read: Read, group: ClassGroup) -> bool:
    return read.name in ("index_ranges", "equity_ranges") and group.kind not in [row["kind"] for row in read.value]


def _house_ranges(
    pool: Pool, inputs: Inputs, grid: Grid, p: Reader
) -> tuple[dict[str, tuple[float, float]], list[Line]]:
    """Return the wider ranges of a house that bind, by class, and what cannot be said about others."""
    _check_fields("house_ranges", p.house_ranges, ("class", "down", "up"))
    rows = {row["class"]: (row["down"], row["up"]) for row in p.house_ranges}
    always = _word("house_ranges_apply", p.house_ranges_apply, APPLY) == "always"
    held = {name: mine for name, mine in by_class(pool.positions, inputs).items() if name in rows}
    equity = 0.0 if always else _equity(pool, inputs)
    if equity is None:
        why = "the account's equity is not stated, and with it the point of no return is unknown"
        return {}, [not_modelled(f"house range of {name}", why) for name in held]
    positions = [position for mine in held.values() for position in mine]
    probes = class_groups(positions, inputs, evolve(grid, own={name: rows[name] for name in held}))
    ranges = {probe.name: _shocks(probe, rows[probe.name], grid, equity) for probe in probes}
    return {probe.name: ranges[probe.name] for probe in probes if _wider(probe, ranges, grid)}, []


def _shocks(probe: ClassGroup, expected: tuple[float, float], grid: Grid, equity: float) -> tuple[float, float]:
    """Return the ranges down and up of a class: the house's where it holds the point at which the equity is gone."""
    standard = grid.range_of(probe.kind, probe.name)
    gone = [move for move, pnl in zip(probe.moves, probe.pnl, strict=True) if pnl <= -equity]
    if equity <= 0:
        gone = [*probe.moves]
    down = min((-move for move in gone if move < 0), default=math.inf)
    up = min((move for move in gone if move > 0), default=math.inf)
    return concentration_shock(down, expected[0], standard[0]), concentration_shock(up, expected[1], standard[1])


def _wider(probe: ClassGroup, ranges: Mapping[str, tuple[float, float]], grid: Grid) -> bool:
    return ranges[probe.name] != grid.range_of(probe.kind, probe.name)


def _equity(pool: Pool, inputs: Inputs) -> float | None:
    """Return the equity of the pool's accounts, USD; None where one of them does not say."""
    accounts = {account.id: account for account in map(inputs.portfolio.account_of, pool.positions)}
    stated = [account.equity for account in accounts.values() if account.equity is not None]
    return math.fsum(stated) if len(stated) == len(accounts) else None


# ------------------------------------------------------------------------------------------------------------- groups


def _grouped(groups: Sequence[ClassGroup], charges: Sequence[GroupCharge], p: Reader) -> list[GroupCharge]:
    """Return what product groups, and portfolio groups of them, ask; classes in none stand alone."""
    products, portfolios = p.product_groups, p.portfolio_groups
    reads = p.taken()
    _check_rows(products, portfolios)
    home = [_product_group(group, products) for group in groups]
    shares = {row["group"]: row["offset"] for row in products}
    inner = [
        (name, charge)
        for name, members in _sorted_by(home, charges)
        for charge in _offset(f"product group {name}", members, shares.get(name, 0.0), reads=reads)
    ]
    above = {name: row["group"] for row in portfolios for name in row["product_groups"]}
    shares = {row["group"]: row["offset"] for row in portfolios}
    outer = _sorted_by([above.get(name, "") for name, _ in inner], [charge for _, charge in inner])
    return [
        charge
        for name, members in outer
        for charge in _offset(f"portfolio group {name}", members, shares.get(name, 0.0), reads=reads)
    ]


def _offset(name: str, members: Sequence[GroupCharge], share: float, *, reads: Sequence[Read]) -> Sequence[GroupCharge]:
    """Return the members together, or each alone where nothing offsets."""
    return [offset_charge(name, members, share, reads=reads)] if share else members


def _product_group(group: ClassGroup, rows: Table) -> str:
    """Return the product group of a class: the one that names it, or else the one of its kind; "" for none."""
    named = (row["group"] for row in rows if group.name in row["classes"])
    of_kind = (row["group"] for row in rows if group.kind in row["kinds"])
    found: str = next(named, next(of_kind, ""))
    return found


def _sorted_by(homes: Sequence[str], charges: Sequence[GroupCharge]) -> list[tuple[str, list[GroupCharge]]]:
    names = dict.fromkeys(homes)
    return [(name, [c for home, c in zip(homes, charges, strict=True) if home == name]) for name in names]


def _check_rows(products: Table, portfolios: Table) -> None:
    """Refuse group tables that cannot be read: shares that are none, members in two groups, groups of nothing."""
    _check_fields("product_groups", products, ("group", "classes", "kinds", "offset"))
    _check_fields("portfolio_groups", portfolios, ("group", "product_groups", "offset"))
    problems = Problems()
    for table, rows, lists in (
        ("product_groups", products, ("classes", "kinds")),
        ("portfolio_groups", portfolios, ("product_groups",)),
    ):
        for row in rows:
            if not 0 <= row["offset"] <= 1:
                fix = "Give a share from 0 to 1."
                problems.add(f"the offset is {row['offset']}.", where=f"{table}, {row['group']!r}", fix=fix)
        for what in (*lists, "group"):
            named = [name for row in rows for name in ([row[what]] if what == "group" else row[what])]
            for name in sorted({name for name in named if named.count(name) > 1}):
                problems.add(f"{name!r} stands twice under {what}.", where=table, fix="Name it once.")
    known = [row["group"] for row in products]
    for name in (name for row in portfolios for name in row["product_groups"] if name not in known):
        fix = suggestion(name, known) if known else "Give product_groups."
        problems.add(f"unknown product group {name!r}.", where="portfolio_groups", fix=fix)
    problems.raise_if_any("The groups of portfolio margin cannot be read")


def _check_fields(table: str, rows: Table, fields: Sequence[str]) -> None:
    problems = Problems()
    for number, row in enumerate(rows):
        for name in (name for name in fields if name not in row):
            problems.add(f"has no field {name!r}.", where=f"{table}, row {number}", fix=f"Give {', '.join(fields)}.")
    problems.raise_if_any("A table of portfolio margin cannot be read")


def _word(name: str, word: str, known: Iterable[str]) -> str:
    if word not in known:
        raise InputError([Problem(f"unknown {word!r}.", f"portfolio_margin, {name}", suggestion(word, known))])
    return word


# -------------------------------------------------------------------------------------------------------- eligibility


def _has(equity: float | None, least: float) -> bool:
    return equity is not None and equity >= least


def _minimum_equity(case: Case, p: Reader) -> bool:
    tiers = {row["monitoring"]: row["usd"] for row in p.minimum_equity}
    return _has(case.account.equity, tiers[case.firm.monitoring.value])


def _unlisted(case: Case, p: Reader) -> bool:
    listed = case.position.product.kind not in p.unlisted_kinds
    return listed or _has(case.account.equity, p.unlisted_minimum_equity)


TESTS: Mapping[str, Test] = {
    "approval": lambda case, _: Agreement.PORTFOLIO_MARGIN in case.account.agreements,
    "product_list": lambda case, p: case.position.product.kind in p.eligible_kinds,
    "minimum_equity": _minimum_equity,
    "unlisted_derivatives": _unlisted,
}

"""FINRA Rule 4240: current exposure and initial margin of an account of uncleared security-based swaps.

Call `current_exposure` with what the account is worth and the variation margin that moved, `credit_margin` with its
credit default swaps, `requirement` with a pool. Dealers registered for security-based swaps follow 18a-3 instead
(`sbs_standardised`); `uncleared_margin` decides between the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from attrs import evolve, frozen

from crossmargin.errors import Problems
from crossmargin.methodology import Inputs
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.products.security_based import CreditDefaultSwap
from crossmargin.results import Line, largest, not_modelled, scaled, total
from crossmargin.scenarios import ScenarioSpec
from crossmargin.uncleared import CreditGrid, CreditPosition, credit_positions, exposures, grid_charge


@frozen
class Account:
    """What an account of uncleared swaps holds, in the rule's words and signs, USD.

    `net_value` counts as the rule's "net Value", which may be negative: what the swaps are worth to the counterparty,
    the reading under which margin collected adds to the counterparty's exposure.
    `collected` and `delivered` are variation margin not yet returned, without sign.
    """

    net_value: float
    collected: float = 0.0
    delivered: float = 0.0


@frozen
class CurrentExposure:
    """Who is exposed to whom, USD: at most one of the two is above zero."""

    of_counterparty: Line
    of_member: Line


def current_exposure(account: Account) -> CurrentExposure:
    """Return the counterparty's current exposure to the member and the member's to the counterparty.

    References
    ----------
    FINRA Rule 4240(b)(1): net value plus variation margin collected less variation margin delivered; a positive amount
    is the counterparty's "Current Exposure" to the member, a negative one the member's to the counterparty.

    Examples
    --------
    >>> current_exposure(Account(-3e6, collected=1e6)).of_member.value
    2000000.0
    """
    _check(account)
    parts = [
        Line("net value", account.net_value),
        Line("variation margin collected", account.collected),
        scaled("less variation margin delivered", -1.0, Line("variation margin delivered", account.delivered)),
    ]
    amount, nothing = total("exposure amount", parts), Line("nothing", 0.0)
    return CurrentExposure(
        largest("counterparty's current exposure", [amount, nothing]),
        largest("member's current exposure", [scaled("less the exposure amount", -1.0, amount), nothing]),
    )


def credit_margin(positions: Iterable[CreditPosition], p: Reader) -> Line:
    """Return the initial margin on credit default swaps, USD: the sum over contracts, a buyer's at a share.

    References
    ----------
    FINRA Rule 4240(b)(2); rates recalled from the SEC's capital rule, see `finra_4240.toml`.

    Examples
    --------
    >>> from datetime import date
    >>> from crossmargin.registry import rules
    >>> p = rules("finra_4240").at(date(2026, 6, 30))
    >>> credit_margin([CreditPosition("ACME", 1e7, 60, 0.0105)], p).value
    350000.0
    """
    grid = CreditGrid(p.credit_grid, p.credit_spread_bounds)
    buyer_share, netting, reads = p.buyer_share, p.credit_netting, p.taken()
    return grid_charge("credit default swaps", positions, grid, buyer_share=buyer_share, netting=netting, reads=reads)


# ---------------------------------------------------------------------------------------------- as a pool's rule-set


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: the rates are a table."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the initial margin that the owner of a pool posts to the member, USD; current exposure stands beside it.

    The exposure shown is that before any variation margin: no account here says what moved.

    References
    ----------
    FINRA Rule 4240(b)(1) and (2).
    """
    credit = [held for held in pool.positions if _narrow(held.product)]
    others = [held for held in pool.positions if not _narrow(held.product)]
    found, gaps = exposures(credit, inputs)
    why = "no rate of Rule 4240 was read for this product, or it is no security-based swap"
    gaps += [not_modelled(f"{held.id}: {held.product.symbol}", why) for held in others]
    margin = credit_margin(credit_positions(found), p)
    asked = total("finra_4240 requirement", [*([margin] if found else []), *gaps])
    exposure = current_exposure(Account(math.fsum(each.value for each in found)))
    return evolve(asked, memo=(exposure.of_counterparty, exposure.of_member))


# ------------------------------------------------------------------------------------------------------------- pieces


def _narrow(product: object) -> bool:
    return isinstance(product, CreditDefaultSwap) and product.is_narrow


def _check(account: Account) -> None:
    problems = Problems()
    if not math.isfinite(account.net_value):
        problems.add(f"is {account.net_value}.", where="net_value", fix="Give a finite signed number of USD.")
    for name in ("collected", "delivered"):
        amount = getattr(account, name)
        if not (math.isfinite(amount) and amount >= 0):
            problems.add(f"is {amount}.", where=name, fix="Give 0 or more, without sign.")
    problems.raise_if_any("The account has no current exposure as given")

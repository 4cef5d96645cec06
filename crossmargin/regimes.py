"""A regime is data: which positions share a pool, which rule-set margins it, which arrangements give credit.

`SILOED`, `CROSS_MARGIN` and `HARMONIZED` are three ways of drawing pools over the same P&L matrix; the later two are
differences from the first. `pools(...)` draws them. A position's programme account and the programme's conditions
decide enrolment, so that the same positions stand in the same pools under SILOED and CROSS_MARGIN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from attrs import evolve, field, frozen

from crossmargin.accounts import AccountClass
from crossmargin.eligibility import Case, Decision, case_of, decide
from crossmargin.errors import InputError, Problem, suggestion
from crossmargin.parameters import Rules
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.records import as_frozenset
from crossmargin.registry import module

_HOUSE_AND_XM = (AccountClass.PROPRIETARY, AccountClass.XM_FUTURES_4D_AB)


@frozen
class Silo:
    """Where a kind of product in a class of account is margined today: the pot and its rule-set ("" = none yet)."""

    pot: str
    ruleset: str
    kinds: frozenset[str] = field(converter=as_frozenset)
    account_classes: frozenset[AccountClass] = field(converter=as_frozenset)


TODAY = (
    Silo(
        "FICC",
        "ficc_gsd",
        kinds=(
            "treasury_bill",
            "treasury_note",
            "treasury_bond",
            "treasury_frn",
            "tips",
            "strips",
            "repo",
            "reverse_repo",
        ),
        account_classes=(*_HOUSE_AND_XM, AccountClass.SEC_NOTE_H),
    ),
    Silo(
        "CME",
        "cme_rates_futures",
        kinds=("treasury_future", "short_rate_future", "future_option"),
        account_classes=(*_HOUSE_AND_XM, AccountClass.CFTC_4D_AB),
    ),
)
ELSEWHERE = Silo("carrying firm", "", kinds=(), account_classes=())


@frozen
class Regime:
    """How pools are drawn and what gives credit between them.

    `arrangements` are ids of approved programmes; `proposal` is the id of a harmonized regime, which margins the
    positions in its scope itself (customers' in an account of class `account_host`) and leaves the rest in silos.
    """

    name: str
    title: str
    silos: tuple[Silo, ...] = TODAY
    arrangements: tuple[str, ...] = ()
    proposal: str = ""
    account_host: AccountClass = AccountClass.XM_FUTURES_4D_AB

    @property
    def programmes(self) -> tuple[str, ...]:
        """Every programme whose conditions decide something under this regime."""
        return (*self.arrangements, self.proposal) if self.proposal else self.arrangements


SILOED = Regime("siloed", "Siloed: each product under today's own rule-set")
CROSS_MARGIN = evolve(
    SILOED, name="cross_margin", title="Cross-margin: today's approved programmes", arrangements=("cme_ficc",)
)
HARMONIZED = evolve(SILOED, name="harmonized", title="Harmonized portfolio (hypothetical)", proposal="harmonized_rates")
PROGRAMMES = CROSS_MARGIN.arrangements
REGIMES = (SILOED, CROSS_MARGIN, HARMONIZED)


def regime(name: str) -> Regime:
    """Return the regime with this name.

    Raises
    ------
    InputError
        There is no such regime.
    """
    known = {item.name: item for item in REGIMES}
    wanted = name.lower().replace("-", "_")
    if wanted not in known:
        raise InputError([Problem(f"unknown regime {name!r}.", "regime", suggestion(wanted, known))])
    return known[wanted]


def decisions(portfolio: Portfolio, as_of: date, rules: Rules) -> tuple[Decision, ...]:
    """Return whether each position may join one programme, in the order of the positions."""
    tests = module(rules.id).TESTS
    return tuple(decide(case_of(portfolio, position, as_of), rules, tests) for position in portfolio.positions)


def enrolled_in(taken: Iterable[Decision]) -> dict[str, str]:
    """Return the programme that each admitted position is enrolled in."""
    return {decision.position: decision.programme for decision in taken if decision.allowed}


def pools(cases: Iterable[Case], silos: tuple[Silo, ...], enrolled: Mapping[str, str]) -> tuple[Pool, ...]:
    """Return today's pools: one per owner, firm, account class, pot and programme; customers never share one.

    A cash trade that has settled has left its clearing house and falls back to the carrying firm.
    """
    drawn: dict[Pool, list[Position]] = {}
    for case in cases:
        account, silo = case.account, _silo(case, silos)
        programme = enrolled.get(case.position.id, "")
        key = Pool(account.owner, account.firm, account.account_class, silo.pot, silo.ruleset, programme)
        drawn.setdefault(key, []).append(case.position)
    return tuple(evolve(key, positions=held) for key, held in drawn.items())


def common_pools(portfolio: Portfolio, regime: Regime, decided: Mapping[str, tuple[Decision, ...]]) -> tuple[Pool, ...]:
    """Return the pools of a proposal: all admitted positions of one owner at one firm; none without a proposal."""
    admitted = enrolled_in(decided.get(regime.proposal, ()))
    drawn: dict[Pool, list[Position]] = {}
    for position in portfolio.positions:
        if position.id in admitted:
            account = portfolio.account_of(position)
            house = account.account_class is AccountClass.PROPRIETARY
            host = AccountClass.PROPRIETARY if house else regime.account_host
            key = Pool(account.owner, account.firm, host, "common pool", regime.proposal)
            drawn.setdefault(key, []).append(position)
    return tuple(evolve(key, positions=held) for key, held in drawn.items())


def _silo(case: Case, silos: tuple[Silo, ...]) -> Silo:
    for silo in () if case.settled else silos:
        if case.position.product.kind in silo.kinds and case.account.account_class in silo.account_classes:
            return silo
    return ELSEWHERE

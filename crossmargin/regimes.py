"""A regime is data: which positions share a pool, which rule-set margins it, which arrangements give credit.

`SILOED`, `CROSS_MARGIN` and `HARMONIZED` are three ways of drawing pools over the same P&L matrix; the later two are
differences from the first, as are `STRATEGY_MARGIN` and `PORTFOLIO_MARGIN`, which put every securities account under
the one or the other. `pools(...)` draws them. A position's programme account and the programme's conditions decide
enrolment, so that the same positions stand in the same pools under SILOED and CROSS_MARGIN: but for those of a one-pot
programme, which leave their silos and stand in its pot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType

from attrs import evolve, field, frozen

from crossmargin.accounts import AccountClass, Agreement
from crossmargin.eligibility import Case, Decision, case_of, decide
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.parameters import Rules
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.posted import CARRYING_FIRM
from crossmargin.products.swaps import kinds_at
from crossmargin.records import as_frozenset
from crossmargin.registry import module
from crossmargin.registry import rules as rule

_HOUSE_AND_XM = (AccountClass.PROPRIETARY, AccountClass.XM_FUTURES_4D_AB)
_CLEARED_SWAPS = (AccountClass.PROPRIETARY, AccountClass.CFTC_4D_F)
_UNCLEARED_SWAPS = (AccountClass.PROPRIETARY, AccountClass.SEC_15C3_3)  # no class is one of uncleared swaps alone
COMMON_POOL = "common pool"  # the pot of a proposal
NETTINGS = ("gross", "net")
_SHARES_AND_OPTIONS = ("stock", "etf", "listed_option", "warrant")


@frozen
class Silo:
    """Where a kind of product in a class of account is margined today: the pot and its rule-set ("" = none yet).

    `elected_by` is the paper with which an account asks for the rule-set; the rule-set's own conditions then decide for
    each position whether it gets it.
    """

    pot: str
    ruleset: str
    kinds: frozenset[str] = field(converter=as_frozenset)
    account_classes: frozenset[AccountClass] = field(converter=as_frozenset)
    elected_by: Agreement | None = None

    @property
    def level(self) -> str:
        """What it asks for is owed to the carrying firm (`customer`) or to a clearing house (`clearing`)."""
        return "customer" if self.pot == CARRYING_FIRM else "clearing"

    def takes(self, case: Case, admitted: Mapping[str, frozenset[str]]) -> bool:
        """Whether a position is margined here; a cash trade that has settled has left its clearing house."""
        kind, account = case.position.product.kind, case.account.account_class
        left = case.settled and self.level == "clearing"
        elected = self.elected_by is None or case.position.id in admitted.get(self.ruleset, ())
        return kind in self.kinds and account in self.account_classes and elected and not left


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
        account_classes=(*_HOUSE_AND_XM, AccountClass.CFTC_4D_AB, AccountClass.CFTC_4D_F),
    ),
    Silo(
        "CME",
        "cme_span2_like",
        kinds=("index_future", "index_future_option"),
        account_classes=(*_HOUSE_AND_XM, AccountClass.CFTC_4D_AB),
    ),
    Silo(
        "OCC",
        "occ_stans_like",
        kinds=("listed_option", "security_future"),
        account_classes=(*_HOUSE_AND_XM, AccountClass.SEC_15C3_3),
    ),
    Silo("OCC", "occ_stans_like", kinds=("security_future",), account_classes=(AccountClass.CFTC_4D_AB,)),
    Silo(
        CARRYING_FIRM,
        "portfolio_margin",
        kinds=_SHARES_AND_OPTIONS,
        account_classes=(AccountClass.SEC_15C3_3,),
        elected_by=Agreement.PORTFOLIO_MARGIN,
    ),
    Silo(CARRYING_FIRM, "finra_strategy", kinds=_SHARES_AND_OPTIONS, account_classes=(AccountClass.SEC_15C3_3,)),
    Silo(
        CARRYING_FIRM,
        "security_futures",
        kinds=("security_future",),
        account_classes=(AccountClass.SEC_15C3_3, AccountClass.CFTC_4D_AB),
    ),
    Silo("CME", "cme_irs_like", kinds=kinds_at("CME"), account_classes=_CLEARED_SWAPS),
    Silo("LCH", "lch_pairs_like", kinds=kinds_at("LCH"), account_classes=_CLEARED_SWAPS),
    Silo("ICC", "icc_cds_like", kinds=("credit_default_swap",), account_classes=_CLEARED_SWAPS),
    Silo(
        CARRYING_FIRM,
        "schedule_im",
        kinds=(*kinds_at("bilateral"), "bilateral_credit_index_swap"),
        account_classes=_UNCLEARED_SWAPS,
    ),
    Silo(
        CARRYING_FIRM,
        "sbs_standardised",
        kinds=(
            "bilateral_credit_default_swap",
            "equity_total_return_swap",
            "bond_total_return_swap",
            "equity_forward",
        ),
        account_classes=_UNCLEARED_SWAPS,
    ),
    Silo(CARRYING_FIRM, "simm", kinds=("sensitivity_portfolio",), account_classes=_UNCLEARED_SWAPS),
)
ELSEWHERE = Silo(CARRYING_FIRM, "", kinds=(), account_classes=())


@frozen
class Regime:
    """How pools are drawn and what gives credit between them.

    `arrangements` are ids of approved programmes; `proposal` is the id of a harmonized regime, which margins the
    positions in its scope itself (customers' in an account of class `account_host`) and leaves the rest in silos.
    """

    name: str
    title: str
    silos: tuple[Silo, ...] = field(default=TODAY, repr=False)
    arrangements: tuple[str, ...] = ()
    proposal: str = ""
    account_host: AccountClass = AccountClass.XM_FUTURES_4D_AB

    @property
    def programmes(self) -> tuple[str, ...]:
        """Every programme whose conditions decide something under this regime."""
        return (*self.arrangements, self.proposal) if self.proposal else self.arrangements

    @property
    def decided_by(self) -> tuple[str, ...]:
        """Every programme, and every rule-set that accounts ask for and that decides whom it takes."""
        return (*self.programmes, *(silo.ruleset for silo in self.silos if silo.elected_by))


def with_rulesets(regime: Regime, rulesets: Mapping[str, str], *, name: str = "") -> Regime:
    """Return a regime whose silos use other rule-sets: today's id -> the one to try in its place.

    Parameters
    ----------
    name
        Of the new regime; the old one's with the new rule-sets unless given.

    Raises
    ------
    InputError
        Naming rule-sets that no silo of the regime uses, and new ones that do not exist.

    Examples
    --------
    >>> tried = with_rulesets(SILOED, {"cme_rates_futures": "span", "cme_span2_like": "span"})
    >>> tried.name, sorted({silo.ruleset for silo in tried.silos if silo.pot == "CME"})
    ('siloed_span', ['cme_irs_like', 'span'])
    """
    problems, used = Problems(), {silo.ruleset for silo in regime.silos}
    for old, new in rulesets.items():
        if old not in used:
            problems.add(f"no silo uses {old!r}.", where=f"regime {regime.name}", fix=suggestion(old, used))
        with problems.collecting():
            rule(new)
    problems.raise_if_any()
    silos = tuple(evolve(silo, ruleset=rulesets.get(silo.ruleset, silo.ruleset)) for silo in regime.silos)
    tried = dict.fromkeys(rulesets.values())
    title = f"{regime.title}, tried with {', '.join(tried)}"
    return evolve(regime, name=name or "_".join([regime.name, *tried]), title=title, silos=silos)


SILOED = Regime("siloed", "Siloed: each product under today's own rule-set")
CROSS_MARGIN = evolve(
    SILOED,
    name="cross_margin",
    title="Cross-margin: today's approved programmes",
    arrangements=("cme_ficc", "occ_cme", "occ_internal", "cme_swaps_futures", "icc_cds"),
)
HARMONIZED = evolve(SILOED, name="harmonized", title="Harmonized portfolio (hypothetical)", proposal="harmonized_rates")
PROGRAMMES = CROSS_MARGIN.arrangements
STRATEGY_MARGIN = evolve(
    SILOED,
    name="strategy_margin",
    title="Siloed, every securities account under strategy-based margin",
    silos=tuple(silo for silo in TODAY if silo.elected_by is None),
)
PORTFOLIO_MARGIN = evolve(
    SILOED,
    name="portfolio_margin",
    title="Siloed, every securities account under portfolio margin, as if approved",
    silos=tuple(evolve(silo, elected_by=None) for silo in TODAY if silo.ruleset != "finra_strategy"),
)
PROPOSALS = (
    evolve(
        HARMONIZED,
        name="any_pair_two_pot",
        title="Two pots for any pair of clearing agency and DCO (hypothetical)",
        proposal="any_pair_two_pot",
    ),
    evolve(
        HARMONIZED,
        name="one_pot_futures_account",
        title="One pot in a futures account (hypothetical)",
        proposal="one_pot_futures_account",
    ),
    evolve(
        HARMONIZED,
        name="one_pot_securities_account",
        title="One pot in a securities account (hypothetical)",
        proposal="one_pot_securities_account",
        account_host=AccountClass.SEC_15C3_3,
    ),
    evolve(
        HARMONIZED,
        name="full_harmonized",
        title="Fully harmonized portfolio (hypothetical)",
        proposal="full_harmonized",
    ),
    evolve(
        HARMONIZED,
        name="harmonized_with_guardrails",
        title="Harmonized portfolio with guardrails (hypothetical)",
        proposal="harmonized_with_guardrails",
    ),
)
REGIMES = (SILOED, CROSS_MARGIN, HARMONIZED, STRATEGY_MARGIN, PORTFOLIO_MARGIN, *PROPOSALS)


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


def admitted_by(taken: Iterable[Decision]) -> frozenset[str]:
    """Return the positions that decisions of one programme admit."""
    return frozenset(decision.position for decision in taken if decision.allowed)


def enrolment(portfolio: Portfolio, taken: Iterable[Decision]) -> dict[str, str]:
    """Return the programme of each enrolled position: the one that its account names, when that admits it."""
    directed = {position.id: portfolio.account_of(position).arrangement for position in portfolio.positions}
    admitted = ((each.position, each.programme) for each in taken if each.allowed)
    return {position: programme for position, programme in admitted if directed[position] == programme}


def elections(portfolio: Portfolio, as_of: date, silo: Silo, rules: Rules) -> tuple[Decision, ...]:
    """Return whether each position of an account that asks for an elective rule-set gets it."""
    tests = module(rules.id).TESTS
    cases = (case_of(portfolio, position, as_of) for position in portfolio.positions)
    asked = (case for case in cases if silo.elected_by in case.account.agreements)
    return tuple(
        decide(case, rules, tests)
        for case in asked
        if case.position.product.kind in silo.kinds and case.account.account_class in silo.account_classes
    )


def pools(
    cases: Iterable[Case],
    silos: tuple[Silo, ...],
    enrolled: Mapping[str, str],
    admitted: Mapping[str, frozenset[str]] = MappingProxyType({}),
    *,
    one_pots: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Pool, ...]:
    """Return today's pools: one per owner, firm, account class, pot, rule-set and programme; customers never share one.

    A position stands in one pool at each level that asks for it: an option owes margin to its broker and, through it,
    to the clearing house. What no rule-set takes falls to the carrying firm. The owner is the beneficial one, but for
    an account that is margined net.

    Parameters
    ----------
    cases
        The positions and what their accounts are.
    silos
        Those of the regime; the first that takes a position at a level has it.
    enrolled
        Position -> the programme that admitted it.
    admitted
        Elective rule-set -> the positions that it admits.
    one_pots
        One-pot programme of the regime -> its pot, which takes the positions enrolled out of their silos.
    """
    drawn: dict[Pool, list[Position]] = {}
    for case in cases:
        account, programme = case.account, enrolled.get(case.position.id, "")
        owner = account.owner if account.net and not programme else account.beneficiary
        homes = [(silo.pot, silo.ruleset) for silo in _silos(case, silos, admitted)]
        if programme in one_pots:
            homes = [(one_pots[programme], programme)]
        for pot, ruleset in homes:
            key = Pool(owner, account.firm, account.account_class, pot, ruleset, programme)
            drawn.setdefault(key, []).append(case.position)
    return tuple(evolve(key, positions=held) for key, held in drawn.items())


def common_pools(
    portfolio: Portfolio, regime: Regime, decided: Mapping[str, tuple[Decision, ...]], *, netting: str = "gross"
) -> tuple[Pool, ...]:
    """Return the pools of a proposal: all admitted positions of one owner at one firm; none without a proposal.

    The owner is the beneficial one; under `net`, that of an account which is margined net today is its holder.

    Raises
    ------
    InputError
        `netting` is neither `gross` nor `net`.
    """
    if netting not in NETTINGS:
        problem = Problem(f"unknown {netting!r}.", "customer_netting", suggestion(str(netting), NETTINGS))
        raise InputError([problem])
    admitted = admitted_by(decided.get(regime.proposal, ()))
    drawn: dict[Pool, list[Position]] = {}
    for position in portfolio.positions:
        if position.id in admitted:
            account = portfolio.account_of(position)
            house = account.account_class is AccountClass.PROPRIETARY
            host = AccountClass.PROPRIETARY if house else regime.account_host
            owner = account.owner if account.net and netting == "net" else account.beneficiary
            key = Pool(owner, account.firm, host, COMMON_POOL, regime.proposal)
            drawn.setdefault(key, []).append(position)
    return tuple(evolve(key, positions=held) for key, held in drawn.items())


def _silos(case: Case, silos: tuple[Silo, ...], admitted: Mapping[str, frozenset[str]]) -> Iterable[Silo]:
    """Return the first silo of each level that takes a position, or the one of what nobody margins."""
    taking = [silo for silo in silos if silo.takes(case, admitted)]
    first = {silo.level: silo for silo in reversed(taking)}
    return first.values() or (ELSEWHERE,)

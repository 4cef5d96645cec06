"""CME-FICC cross-margining of Treasuries and rates futures: two pots, one percentage, house and customer.

Each clearing house runs its own model on both legs, alone and together, and finds the share it would save. The lower
share governs, capped and subject to a minimum, and scales each pot: only the percentage crosses between the pots,
never a dollar. One margin unit is one owner at one firm; customers never net. `two_pot` is the arithmetic, `TESTS`
are the conditions, `credits` puts both to work. Loss sharing on default and intraday cycles are not modelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import evolve, field, frozen

from crossmargin.accounts import AccountClass, Agreement, ClearingHouse, CustomerKind, Registration
from crossmargin.eligibility import Case, Test
from crossmargin.errors import InputError, Problem
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.products.futures import ShortRateFuture, TreasuryFuture
from crossmargin.products.treasuries import (
    Repo,
    ReverseRepo,
    TreasuryBond,
    TreasuryNote,
    TreasurySecurity,
    years_between,
)
from crossmargin.results import Line, product, reduction, scaled, smallest, total

EQUAL_WITHIN = 1e-12  # literal: factors closer than this are the same number in floating point
FICC, CME = ClearingHouse.FICC.value, ClearingHouse.CME.value


def _as_line(amount: Line | float) -> Line:
    return amount if isinstance(amount, Line) else Line("model amount", float(amount))


@frozen
class ModelAmounts:
    """What one clearing house's own model asks, USD: for each leg alone and for both together."""

    treasury_leg: Line = field(converter=_as_line)
    futures_leg: Line = field(converter=_as_line)
    combined: Line = field(converter=_as_line)

    def factor(self, name: str) -> Line:
        """Return max(0, 1 - combined / (treasury_leg + futures_leg)), 0 when the sum is 0."""
        return reduction(name, self.combined, total("stand-alone sum", (self.treasury_leg, self.futures_leg)))


@frozen
class TwoPot:
    """The outcome for one margin unit: both factors, the one applied and why, and what each pot then asks, USD."""

    ficc_line: Line
    cme_line: Line
    applied_line: Line
    binding_limit: str
    ficc_leg: Line
    cme_leg: Line

    @property
    def ficc_factor(self) -> float:
        """Share of the stand-alone sum that FICC's model saves."""
        return self.ficc_line.value

    @property
    def cme_factor(self) -> float:
        """Share of the stand-alone sum that CME's model saves."""
        return self.cme_line.value

    @property
    def applied_factor(self) -> float:
        """The percentage by which both pots fall."""
        return self.applied_line.value

    @property
    def binding_side(self) -> str:
        """Whose factor is lower: `ficc`, `cme` or `tie`."""
        difference = self.ficc_factor - self.cme_factor
        if abs(difference) <= EQUAL_WITHIN:
            return "tie"
        return "ficc" if difference < 0 else "cme"

    @property
    def ficc_credit(self) -> Line:
        """What leaves FICC's pot, USD, never positive."""
        return product("cme_ficc credit", (self.applied_line, self.ficc_leg), factor=-1, note=self.note)

    @property
    def cme_credit(self) -> Line:
        """What leaves CME's pot, USD, never positive."""
        return product("cme_ficc credit", (self.applied_line, self.cme_leg), factor=-1, note=self.note)

    @property
    def ficc_requirement(self) -> float:
        """FICC's model on the Treasury leg, less the credit, USD."""
        return self.ficc_leg.value + self.ficc_credit.value

    @property
    def cme_requirement(self) -> float:
        """CME's model on the futures leg, less the credit, USD."""
        return self.cme_leg.value + self.cme_credit.value

    @property
    def standalone_total(self) -> float:
        """Both pots unreduced, USD."""
        return self.ficc_leg.value + self.cme_leg.value

    @property
    def total_requirement(self) -> float:
        """Both pots after the reduction, USD."""
        return self.ficc_requirement + self.cme_requirement

    @property
    def saving(self) -> float:
        """Stand-alone less required, USD."""
        return self.standalone_total - self.total_requirement

    @property
    def note(self) -> str:
        """Which side governs, and whether the cap or the minimum binds."""
        limit = "" if self.binding_limit == "none" else f", the {self.binding_limit} binds"
        return f"{self.binding_side} governs{limit}"


def two_pot(ficc: ModelAmounts, cme: ModelAmounts, *, cap: float | Line, minimum: float) -> TwoPot:
    """Apply the two-pot rule to one margin unit.

    Parameters
    ----------
    ficc, cme : ModelAmounts
        Each clearing house's own model on both legs and on their union, USD.
    cap : float or Line
        Largest reduction, in [0, 1].
    minimum : float
        A lower reduction than this is not granted.

    References
    ----------
    Summary of the CFTC order on CME-FICC customer cross-margining (stand-alone 343.24, required 68.65 USD million);
    exact denominators and the minimum are inferred, hence parameters.

    Examples
    --------
    >>> outcome = two_pot(ModelAmounts(200e6, 141e6, 40e6), ModelAmounts(205e6, 143.24e6, 30e6), cap=0.8, minimum=0)
    >>> round(outcome.total_requirement / 1e6, 3), outcome.binding_limit
    (68.648, 'cap')
    """
    cap_line = cap if isinstance(cap, Line) else Line("reduction cap", cap, unit="1")
    _refuse_bad_limits(cap_line.value, minimum)
    sides = ficc.factor("FICC reduction factor"), cme.factor("CME reduction factor")
    lower = smallest("lower factor", sides, unit="1")
    capped = smallest("margin reduction factor", (lower, cap_line), unit="1")
    granted = capped.value >= minimum - EQUAL_WITHIN
    applied = capped if granted else scaled("factor below the minimum", 0, capped, unit="1")
    limit = "cap" if lower.value > cap_line.value + EQUAL_WITHIN else "none"
    if not granted and capped.value > 0:
        limit = "minimum"
    return TwoPot(*sides, applied, limit, ficc.treasury_leg, cme.futures_leg)


def credits(pools: Mapping[str, Pool], models: Mapping[str, Callable[[Pool], Line]], p: Reader) -> dict[str, Line]:
    """Return the credit of one margin unit at each pot: lines whose amount is never positive, USD.

    Parameters
    ----------
    pools : mapping of pot to Pool
        The unit's enrolled positions, `FICC` and `CME`; a missing pot is a missing leg and earns nothing.
    models : mapping of pot to callable
        Each clearing house's own model: pool in, requirement line out.
    p : Reader
        Parameters of this arrangement.
    """
    if set(pools) != {FICC, CME}:
        return _missing_side(pools, p)
    ficc, cme = (_amounts(pools, models[pot], p.scaled_components[pot]) for pot in (FICC, CME))
    minimum = p.reduction_minimum
    cap = Line("reduction cap", p.reduction_cap, unit="1", reads=p.taken())
    outcome = two_pot(ficc, cme, cap=cap, minimum=minimum)
    return {FICC: outcome.ficc_credit, CME: outcome.cme_credit}


def _amounts(pools: Mapping[str, Pool], model: Callable[[Pool], Line], component: str) -> ModelAmounts:
    both = evolve(pools[FICC], pot="both", positions=(*pools[FICC].positions, *pools[CME].positions))
    legs = {"Treasury leg": pools[FICC], "futures leg": pools[CME], "both legs": both}
    return ModelAmounts(*(evolve(model(pool).part(component), name=name) for name, pool in legs.items()))


def _missing_side(pools: Mapping[str, Pool], p: Reader) -> dict[str, Line]:
    policy = p.missing_side_policy
    if policy != "zero_reduction":
        fix = "Known: zero_reduction."
        raise InputError([Problem(f"unknown missing_side_policy {policy!r}.", "cme_ficc", fix)])
    note = f"only the {', '.join(pools)} leg is enrolled: zero reduction"
    line = Line("cme_ficc credit", 0.0, reads=p.taken(), note=note)
    return dict.fromkeys(pools, line)


def _refuse_bad_limits(cap: float, minimum: float) -> None:
    bad = [(name, value) for name, value in (("cap", cap), ("minimum", minimum)) if not 0 <= value <= 1]
    if bad:
        raise InputError([Problem(f"{name} is {value}, not in [0, 1].", "two_pot") for name, value in bad])


def _runs_long_enough(security: TreasurySecurity, case: Case, p: Reader) -> bool:
    runs: bool = years_between(case.as_of, security.maturity) > p.remaining_maturity_years
    return runs


def _remaining_maturity(case: Case, p: Reader) -> bool:
    held = case.position.product
    return not isinstance(held, TreasuryNote | TreasuryBond) or _runs_long_enough(held, case, p)


def _repo_collateral(case: Case, p: Reader) -> bool:
    held = case.position.product
    if not isinstance(held, Repo | ReverseRepo):
        return True
    return held.collateral.kind in p.cash_products and _runs_long_enough(held.collateral, case, p)


def _listed(case: Case, p: Reader) -> bool:
    held = case.position.product
    if isinstance(held, TreasuryFuture | ShortRateFuture):
        return held.kind in p.futures_kinds and held.contract in p.futures_contracts
    return held.kind in p.cash_products


def _agreed(agreement: Agreement) -> Callable[[Case, Reader], bool]:
    return lambda case, _: agreement in case.account.agreements


TESTS: Mapping[str, Test] = {
    "programme_open": lambda case, p: case.origin in p.open_to,
    "directed": lambda case, _: case.account.arrangement == "cme_ficc",
    "dual_registration": lambda case, _: {Registration.BD, Registration.FCM} <= case.firm.registrations,
    "common_member": lambda case, _: {ClearingHouse.FICC, ClearingHouse.CME} <= case.firm.memberships,
    "firm_standing": lambda case, _: case.firm.compliant,
    "house_owner": lambda case, _: case.account.owner == case.firm.id or case.account.owner in case.firm.affiliates,
    "account_class": lambda case, _: case.account.account_class is AccountClass.XM_FUTURES_4D_AB,
    "institutional": lambda case, _: case.customer is not None and case.customer.kind is not CustomerKind.RETAIL,
    "participant_agreement": _agreed(Agreement.PARTICIPANT_AGREEMENT),
    "subordination": _agreed(Agreement.SUBORDINATION),
    "disclosure": _agreed(Agreement.DISCLOSURE),
    "customer_opt_in": _agreed(Agreement.CUSTOMER_OPT_IN),
    "firm_opt_in": _agreed(Agreement.FIRM_OPT_IN),
    "product_list": _listed,
    "remaining_maturity": _remaining_maturity,
    "repo_collateral": _repo_collateral,
    "unsettled": lambda case, _: not case.settled,
}

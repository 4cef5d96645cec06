"""CME-FICC cross-margining of Treasuries and rates futures: two pots, one percentage, house and customer.

Each clearing house runs its own model on both legs, alone and together, and finds the share it would save. The lower
share governs, capped and subject to a minimum, and scales each pot: only the percentage crosses between the pots,
never a dollar. One margin unit is one owner at one firm; customers never net. `two_pot` is the arithmetic, `TESTS`
are the conditions, `credits` puts both to work; `factor_of_cycle` joins factors that two calculations found, with
their time stamps. Where a calculation is missing the unit earns nothing, or its last factor while that is fresh:
overlay `missing_side_policy`, `late_sides` and `last_factors`. Loss sharing on default is `analysis.default`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any

from attrs import evolve, field, frozen

from crossmargin.accounts import AccountClass, Agreement, ClearingHouse
from crossmargin.eligibility import Case, Test
from crossmargin.errors import InputError, Problem, Problems, is_number, suggestion
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.products.calendars import add_business_days
from crossmargin.products.futures import ShortRateFuture, TreasuryFuture
from crossmargin.products.treasuries import (
    Repo,
    ReverseRepo,
    TreasuryBond,
    TreasuryNote,
    TreasurySecurity,
    years_between,
)
from crossmargin.programmes import (
    agreed,
    common_member,
    directed_to,
    dual_registration,
    firm_standing,
    house_owner,
    in_class,
    institutional,
    programme_open,
    unsettled,
)
from crossmargin.results import Line, product, reduction, scaled, smallest, total

EQUAL_WITHIN = 1e-12  # literal: factors closer than this are the same number in floating point
FICC, CME = ClearingHouse.FICC.value, ClearingHouse.CME.value
USE_LAST_FACTOR = "use_last_factor"
POLICIES = ("zero_reduction", USE_LAST_FACTOR)


def _as_line(amount: Any) -> Any:
    """Return a line for an amount; what is none is left to be refused."""
    return Line("model amount", float(amount)) if is_number(amount) and amount >= 0 else amount


@frozen
class ModelAmounts:
    """What one clearing house's own model asks, USD, never negative: for each leg alone and for both together."""

    treasury_leg: Line = field(converter=_as_line)
    futures_leg: Line = field(converter=_as_line)
    combined: Line = field(converter=_as_line)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name in ("treasury_leg", "futures_leg", "combined"):
            amount = getattr(self, name)
            if not isinstance(amount, Line):
                problems.add(f"{amount!r} is no amount.", where=f"model amounts, {name}", fix="Give 0 or more, USD.")
        problems.raise_if_any()

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

    Raises
    ------
    InputError
        A limit outside [0, 1].

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
    _refuse_bad_limits(cap.value if isinstance(cap, Line) else cap, minimum)
    cap_line = cap if isinstance(cap, Line) else Line("reduction cap", cap, unit="1")
    sides = ficc.factor("FICC reduction factor"), cme.factor("CME reduction factor")
    return TwoPot(*sides, *_granted(sides, cap_line, minimum), ficc.treasury_leg, cme.futures_leg)


def _granted(factors: Iterable[Line], cap: Line, minimum: float) -> tuple[Line, str]:
    """Return the factor that both pots fall by, and which limit binds: `cap`, `minimum` or `none`."""
    lower = smallest("lower factor", factors, unit="1")
    capped = smallest("margin reduction factor", (lower, cap), unit="1")
    if 0 < capped.value < minimum - EQUAL_WITHIN:
        below = scaled("factor below the minimum", 0, capped, unit="1")
        return below, "minimum" if capped.value > EQUAL_WITHIN else "none"
    return capped, "cap" if lower.value > cap.value + EQUAL_WITHIN else "none"


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
        return _nothing(pools, f"only the {', '.join(pools)} leg is enrolled: zero reduction", p)
    components = p.scaled_components
    of_components = p.taken()
    answers = {pot: _amounts(pools, models[pot], components[pot]) for pot in (FICC, CME)}
    asked = {pot: amounts for pot, amounts in answers.items() if amounts is not None}
    late = _late(asked, p)
    if late:
        return _on_last_factor(pools, asked, late, p)
    minimum, value = p.reduction_minimum, p.reduction_cap
    cap = Line("reduction cap", value, unit="1", reads=(*of_components, *p.taken()))
    outcome = two_pot(asked[FICC], asked[CME], cap=cap, minimum=minimum)
    return {FICC: outcome.ficc_credit, CME: outcome.cme_credit}


def _amounts(pools: Mapping[str, Pool], model: Callable[[Pool], Line], component: str) -> ModelAmounts | None:
    """Return what one clearing house's model says of the unit; None when it leaves a position out."""
    both = evolve(pools[FICC], pot="both", positions=(*pools[FICC].positions, *pools[CME].positions))
    legs = {"Treasury leg": pools[FICC], "futures leg": pools[CME], "both legs": both}
    answers = {name: model(pool) for name, pool in legs.items()}
    held = {f"{position.id}: {position.product.symbol}" for position in both.positions}
    lines = (line for answer in answers.values() for line in answer.walk())
    if any(line.how == "not_modelled" and line.name in held for line in lines):
        return None
    return ModelAmounts(*(evolve(answer.part(component), name=name) for name, answer in answers.items()))


# ------------------------------------------------------------------------------------- a calculation that is missing


def _late(asked: Collection[str], p: Reader) -> list[str]:
    """Return the clearing houses without a calculation: those that cannot answer, and those said to be late."""
    named = p.late_sides
    if not named:
        p.taken()  # no figure rests on an empty list
    problems = Problems()
    for name in set(named) - {FICC, CME}:
        problems.add(f"unknown clearing house {name!r}.", where="cme_ficc, late_sides", fix=f"Known: {FICC}, {CME}.")
    problems.raise_if_any()
    return [pot for pot in (FICC, CME) if pot in named or pot not in asked]


def _on_last_factor(
    pools: Mapping[str, Pool], asked: Mapping[str, ModelAmounts], late: list[str], p: Reader
) -> dict[str, Line]:
    """Return the credit while a calculation is missing: none, or by the last factor that was agreed, if fresh."""
    said = f"no calculation of {' and '.join(late)}"
    if p.missing_side_policy not in POLICIES:
        fix = suggestion(p.missing_side_policy, POLICIES)
        raise InputError([Problem(f"unknown missing_side_policy {p.missing_side_policy!r}.", "cme_ficc", fix)])
    use_last = p.missing_side_policy == USE_LAST_FACTOR
    last, why = _last_factor(pools[FICC], p) if use_last else (None, "zero reduction")
    if last is None:
        return _nothing(pools, f"{said}: {why}", p)
    _refuse_bad_limits(p.reduction_cap, p.reduction_minimum)
    known = [asked[pot].factor(f"{pot} reduction factor") for pot in asked if pot not in late]
    applied, _ = _granted((last, *known), Line("reduction cap", p.reduction_cap, unit="1"), p.reduction_minimum)
    legs = {pot: amounts.treasury_leg if pot == FICC else amounts.futures_leg for pot, amounts in asked.items()}
    applied = evolve(applied, reads=(*applied.reads, *p.taken()))
    granted = {
        pot: product("cme_ficc credit", (applied, leg), factor=-1, note=f"{said}: {why}") for pot, leg in legs.items()
    }
    return {**_nothing(pools, f"{said}: its pot is not reduced", p), **granted}


def _last_factor(unit: Pool, p: Reader) -> tuple[Line | None, str]:
    """Return the last factor of a unit where it is given and not stale, and what is to be said of it."""
    _check_last_factors(p)
    mine = [row for row in p.last_factors if (row["owner"], row["firm"]) == (unit.owner, unit.firm)]
    mine = [row for row in mine if row.get("account_class", unit.account_class) == unit.account_class]
    if not mine:
        return None, "no last factor is given, zero reduction"
    row = max(mine, key=lambda each: "account_class" in each)
    day, most = row["as_of"], p.last_factor_days
    if add_business_days(day, most) < p.as_of:
        return None, f"the last factor, of {day}, is more than {most} business days old, zero reduction"
    return Line("last factor", row["factor"], unit="1"), f"last factor, of {day}"


def _check_last_factors(p: Reader) -> None:
    problems, seen = Problems(), set[tuple[str, ...]]()
    for number, row in enumerate(p.last_factors):
        where = f"cme_ficc, last_factors, row {number}"
        if missing := [name for name in ("owner", "firm", "factor", "as_of") if name not in row]:
            problems.add(f"has no {', '.join(missing)}.", where=where, fix="Give owner, firm, factor and as_of.")
            continue
        factor, day, unit = row["factor"], row["as_of"], (row["owner"], row["firm"], row.get("account_class", ""))
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor <= 1:
            problems.add(f"factor is {factor!r}.", where=where, fix="Give a share from 0 to 1.")
        if type(day) is not date or day > p.as_of:
            problems.add(f"as_of is {day!r}.", where=where, fix=f"Give the day of its cycle, up to {p.as_of}.")
        if unit in seen:
            problems.add("stands twice.", where=where, fix="Give one row for each unit.")
        seen.add(unit)
    problems.raise_if_any("The last factors cannot be read")


def _nothing(pools: Mapping[str, Pool], note: str, p: Reader) -> dict[str, Line]:
    return dict.fromkeys(pools, Line("cme_ficc credit", 0.0, reads=p.taken(), note=note))


# --------------------------------------------------------------------------------------------------------- cycles


@frozen
class CycleFactor:
    """A clearing house's own reduction factor and where it comes from: the cycle and the moment of its calculation."""

    clearing_house: str
    cycle: str
    calculated: datetime
    factor: float


def factor_of_cycle(ficc: CycleFactor, cme: CycleFactor, p: Reader) -> Line:
    """Return the factor that both pots fall by in one cycle, with the time stamps of both inputs.

    Zero where the two do not belong together: calculated further apart than the tolerance, or in cycles of
    different names.

    Parameters
    ----------
    ficc, cme : CycleFactor
        Factors in [0, 1]; both moments with a time zone, or both without.
    p : Reader
        Parameters of this arrangement.

    Raises
    ------
    InputError
        Cycles that a clearing house does not have, factors that are none, moments that cannot be compared.

    References
    ----------
    91 FR 5128, footnote 21 (cycles of FICC); the tolerance is assumed.

    Examples
    --------
    >>> from crossmargin.registry import rules
    >>> noon = CycleFactor("FICC", "intraday", datetime(2026, 6, 30, 12, 40), 0.7)
    >>> later = CycleFactor("CME", "intraday", datetime(2026, 6, 30, 13, 5), 0.6)
    >>> line = factor_of_cycle(noon, later, rules("cme_ficc").at(date(2026, 6, 30)))
    >>> line.amount, line.note
    (0.6, 'FICC intraday at 2026-06-30 12:40, CME intraday at 2026-06-30 13:05')
    """
    _check_cycles((ficc, p.ficc_cycles), (cme, p.cme_cycles))
    stamps = [f"{each.clearing_house} {each.cycle} at {each.calculated:%Y-%m-%d %H:%M}" for each in (ficc, cme)]
    note, apart = ", ".join(stamps), abs((ficc.calculated - cme.calculated).total_seconds())
    sides = [Line(f"{each.clearing_house} reduction factor", each.factor, unit="1") for each in (ficc, cme)]
    cap, minimum = Line("reduction cap", p.reduction_cap, unit="1"), p.reduction_minimum
    together = ficc.cycle == cme.cycle and apart <= p.cycle_tolerance_seconds
    if not together:
        return Line("margin reduction factor", 0.0, unit="1", reads=p.taken(), note=f"not of one cycle: {note}")
    applied, _ = _granted(sides, cap, minimum)
    return evolve(applied, reads=p.taken(), note=note)


def _check_cycles(*sides: tuple[CycleFactor, Iterable[Mapping[str, str]]]) -> None:
    problems = Problems()
    for (side, table), house in zip(sides, (FICC, CME), strict=True):
        where, known = f"factor of {house}", [row["cycle"] for row in table]
        if side.clearing_house != house:
            problems.add(f"is of {side.clearing_house!r}.", where=where, fix="Give first FICC's, then CME's.")
        if side.cycle not in known:
            problems.add(f"unknown cycle {side.cycle!r}.", where=where, fix=suggestion(side.cycle, known))
        if not 0 <= side.factor <= 1:
            problems.add(f"factor is {side.factor!r}.", where=where, fix="Give a share from 0 to 1.")
    zoned = {side.calculated.utcoffset() is None for side, _ in sides}
    if len(zoned) > 1:
        problems.add("one has a time zone.", where="calculated", fix="Give both moments with one, or both without.")
    problems.raise_if_any("The factors of a cycle cannot be joined")


def _refuse_bad_limits(cap: float, minimum: float) -> None:
    problems = Problems()
    for name, value in (("cap", cap), ("minimum", minimum)):
        if not (is_number(value) and 0 <= value <= 1):
            problems.add(f"{name} is {value!r}, not in [0, 1].", where="two_pot")
    problems.raise_if_any()


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


TESTS: Mapping[str, Test] = {
    "programme_open": programme_open,
    "directed": directed_to("cme_ficc"),
    "dual_registration": dual_registration,
    "common_member": common_member,
    "firm_standing": firm_standing,
    "house_owner": house_owner,
    "account_class": in_class(AccountClass.XM_FUTURES_4D_AB),
    "institutional": institutional,
    "participant_agreement": agreed(Agreement.PARTICIPANT_AGREEMENT),
    "subordination": agreed(Agreement.SUBORDINATION),
    "disclosure": agreed(Agreement.DISCLOSURE),
    "customer_opt_in": agreed(Agreement.CUSTOMER_OPT_IN),
    "firm_opt_in": agreed(Agreement.FIRM_OPT_IN),
    "product_list": _listed,
    "remaining_maturity": _remaining_maturity,
    "repo_collateral": _repo_collateral,
    "unsettled": unsettled,
}

"""Credit default swaps on the ISDA standard model: hazard curves from quotes, legs, upfront, jump to default.

`hazard_curve` fits piecewise-constant hazard rates to par spreads, `flat_hazard` one rate to an upfront; `legs` values
a swap under them. Everything is vectorised over scenarios, the last axis: one curve or thousands, of spreads, of
discount rates, of recoveries. Index swaps are valued as one name on their own quote, as the market does; what a curve
of single names would make of an index is not here, nor are quanto effects and collateral.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from attrs import evolve, field, frozen

from crossmargin.columns import as_date, readonly
from crossmargin.curves import DAYS_PER_YEAR, FloatArray, discount_factors, zero_rates
from crossmargin.errors import InputError, NumericalError, Problem, Problems, counted
from crossmargin.market import ParCurve
from crossmargin.products.security_based import (
    STANDARD_RECOVERY,
    CreditDefaultSwap,
    PremiumPeriod,
    add_weekdays,
    premium_periods,
)

Array: TypeAlias = npt.NDArray[Any]  # float, or complex where a derivative rides along

PREMIUM_YEAR = 360.0  # coupons accrue by Actual/360
SETTLEMENT_WEEKDAYS = 3  # cash settles three weekdays after the trade
HALF_DAY = 0.5 / DAYS_PER_YEAR  # a default falls in the middle of a day on average
_ONE_DAY = timedelta(days=1)
_SERIES_BELOW = 0.01  # where the closed forms begin to lose digits
_STEPS, _CLOSE, _COMPLEX_STEP = 100, 1e-14, 1e-30
_LARGEST_HAZARD = 1e4


@frozen(eq=False)
class DiscountCurve:
    """Discount factors log-linear between knots, for one curve or one for each scenario.

    Parameters
    ----------
    as_of : date
    knots : array [n_knots]
        Years by Act/365, increasing and above zero.
    zeros : array [n_knots, n_curves]
        Continuously compounded zero rates as decimals; n_curves is 1 or the number of scenarios.

    Examples
    --------
    >>> flat = DiscountCurve(date(2026, 6, 30), [30.0], [[0.04]])
    >>> flat.factors([1.0]).round(6).tolist()
    [[0.960789]]
    """

    as_of: date = field(converter=as_date)
    knots: FloatArray = field(converter=readonly)
    zeros: FloatArray = field(converter=readonly)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        increasing = self.knots.ndim == 1 and self.knots.size > 0 and bool((np.diff(self.knots, prepend=0.0) > 0).all())
        if not increasing:
            problems.add("knots do not increase from zero.", where="discount curve", fix="Give years above 0, sorted.")
        if self.zeros.ndim != 2 or self.zeros.shape[0] != self.knots.size or not np.isfinite(self.zeros).all():
            what = f"zeros of shape {self.zeros.shape} are no finite rates for {counted(self.knots.size, 'knot')}."
            problems.add(what, where="discount curve", fix="Give [n_knots, n_curves].")
        problems.raise_if_any()

    @classmethod
    def from_par(cls, curve: ParCurve) -> DiscountCurve:
        """Return the curve that reprices par yields."""
        return cls(curve.as_of, *zero_rates(curve.tenors, curve.par[:, None]))

    def factors(self, times: npt.ArrayLike) -> FloatArray:
        """Return discount factors [n_times, n_curves] at times in years."""
        return discount_factors(self.knots, self.zeros, np.asarray(times, dtype=np.float64))


@frozen(eq=False)
class HazardCurve:
    """Default intensities, constant up to each end and beyond the last.

    Parameters
    ----------
    as_of : date
    ends : array [n_knots]
        Years by Act/365, increasing and above zero.
    hazards : array [n_knots, n_scenarios]
        Yearly intensity between the end before and this one, 0 or more.
    """

    as_of: date = field(converter=as_date)
    ends: FloatArray = field(converter=readonly)
    hazards: FloatArray = field(converter=readonly)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        if not (self.ends.ndim == 1 and self.ends.size and bool((np.diff(self.ends, prepend=0.0) > 0).all())):
            problems.add("ends do not increase from zero.", where="hazard curve", fix="Give years above 0, sorted.")
        fits = self.hazards.ndim == 2 and self.hazards.shape[0] == self.ends.size
        if not fits or not (np.isfinite(self.hazards) & (self.hazards >= 0.0)).all():
            what = f"hazards of shape {self.hazards.shape} are no intensities of 0 or more for {self.ends.size} ends."
            problems.add(what, where="hazard curve", fix="Give [n_knots, n_scenarios].")
        problems.raise_if_any()

    def survival(self, times: npt.ArrayLike) -> FloatArray:
        """Return the probability [n_times, n_scenarios] of no default up to times in years."""
        probability: FloatArray = np.exp(-_time_in(self.ends, np.asarray(times, dtype=np.float64)) @ self.hazards)
        return probability


@frozen(eq=False)
class Legs:
    """What one USD of notional of a swap is worth, seen by the buyer of protection, for each scenario.

    Attributes
    ----------
    protection : array [n_scenarios]
        Present value of the payment on default, USD.
    annuity : array [n_scenarios]
        Risky PV01: present value of a running coupon of 1, the coupon since the last date included, USD.
    accrued : float
        Years by Actual/360 that the running coupon has accrued, today included.
    settlement : array [1] or [n_scenarios]
        Discount factor of the cash settlement date.
    coupon : float
    loss : float or array [n_scenarios]
        1 less recovery.
    """

    protection: FloatArray
    annuity: FloatArray
    accrued: float
    settlement: FloatArray
    coupon: float
    loss: FloatArray

    @property
    def clean_annuity(self) -> FloatArray:
        """Risky PV01 less the accrued coupon, which the seller pays back at settlement."""
        return self.annuity - self.accrued * self.settlement

    @property
    def par_spread(self) -> FloatArray:
        """Coupon at which nothing is paid upfront, decimal."""
        return self.protection / self.clean_annuity

    @property
    def value(self) -> FloatArray:
        """Present value to the buyer, accrued coupon owed included (dirty), USD per 1 USD of notional."""
        return self.protection - self.coupon * self.annuity

    @property
    def upfront(self) -> FloatArray:
        """What a buyer pays at settlement, share of notional, accrued coupon excluded (clean)."""
        return (self.protection - self.coupon * self.clean_annuity) / self.settlement

    @property
    def price(self) -> FloatArray:
        """The same as indices quote it: 100 less points upfront."""
        return 100.0 * (1.0 - self.upfront)

    @property
    def jump_to_default(self) -> FloatArray:
        """Gain of the buyer if the reference defaulted today: loss paid, less accrued coupon, less value."""
        return self.loss - self.coupon * self.accrued - self.value


# -------------------------------------------------------------------------------------------------------------- curves


def hazard_curve(
    maturities: Sequence[date],
    spreads: npt.ArrayLike,
    discount: DiscountCurve,
    *,
    recovery: npt.ArrayLike = STANDARD_RECOVERY,
) -> HazardCurve:
    """Return hazard rates under which standard swaps of these maturities have the quoted par spreads.

    Parameters
    ----------
    maturities : sequence of date [n_tenors]
        Standard dates, increasing (`standard_maturity`).
    spreads : array [n_tenors, n_scenarios] or [n_tenors]
        Par spreads as decimals, 0 or more.
    discount : DiscountCurve
        One curve, or one for each scenario.
    recovery : float or array [n_scenarios]

    Raises
    ------
    InputError
        Maturities past or out of order, spreads that are no decimals, recoveries not in [0, 1).
    NumericalError
        The spreads fall so fast that a hazard rate would be negative: tenor and scenario are named.

    Notes
    -----
    Tenor by tenor, Newton's method on the last hazard rate from zero. The value of protection less premium rises and
    is concave in it, so that the steps never overshoot; the derivative is taken along the imaginary axis.

    References
    ----------
    ISDA CDS standard model, version 1.8 (cdsmodel.com); R. White, "The Pricing and Risk Management of Credit Default
    Swaps, with a Focus on the ISDA Model", OpenGamma, 2013, sections 3 and 4.

    Examples
    --------
    >>> discount = DiscountCurve(date(2026, 6, 30), [30.0], [[0.04]])
    >>> curve = hazard_curve([date(2027, 6, 20), date(2031, 6, 20)], [0.006, 0.011], discount)
    >>> curve.hazards.ravel().round(6).tolist()
    [0.010086, 0.020852]
    """
    quotes, recovered = np.asarray(spreads, dtype=np.float64), _recoveries(recovery)
    quotes = quotes[:, None] if quotes.ndim == 1 else quotes
    _check_quotes(maturities, quotes, discount.as_of)
    ends = np.array([_years(discount.as_of, day) for day in maturities])
    n_scenarios = np.broadcast_shapes(quotes.shape[1:], recovered.shape, discount.zeros.shape[1:])[0]
    hazards = np.zeros((len(ends), n_scenarios))
    for tenor, maturity in enumerate(maturities):
        par = np.broadcast_to(quotes[tenor], n_scenarios)
        grid = _Grid.of(maturity, discount, ends[: tenor + 1])
        gap = _par_gap(grid, hazards[:tenor], par, 1.0 - recovered)
        hazards[tenor] = _solve(gap, n_scenarios, f"spread at {maturity}")
    return HazardCurve(discount.as_of, ends, hazards)


def flat_hazard(swap: CreditDefaultSwap, upfront: npt.ArrayLike, discount: DiscountCurve) -> HazardCurve:
    """Return the one hazard rate under which a swap costs a clean upfront, for each scenario.

    Parameters
    ----------
    upfront : float or array [n_scenarios]
        Share of notional that the buyer pays at settlement, accrued coupon excluded; negative when the seller pays.

    Raises
    ------
    InputError
        The upfront is not finite, the swap has ended.
    NumericalError
        No hazard rate of 0 or more costs that much.

    Examples
    --------
    >>> discount = DiscountCurve(date(2026, 6, 30), [30.0], [[0.04]])
    >>> swap = CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20))
    >>> float(legs(swap, flat_hazard(swap, 0.02, discount), discount).upfront[0].round(12))
    0.02
    """
    points = np.atleast_1d(np.asarray(upfront, dtype=np.float64))
    if points.ndim != 1 or not np.isfinite(points).all():
        raise InputError([Problem("is no list of finite shares of notional.", "upfront", "Write 2 points as 0.02.")])
    ends = np.array([_years(discount.as_of, swap.maturity)])
    grid, n_scenarios = _Grid.of(swap.maturity, discount, ends), max(points.size, discount.zeros.shape[1])

    def gap(hazard: Array) -> Array:
        protection, annuity = grid.integrals(grid.weights * hazard)
        clean = (1.0 - swap.recovery) * protection - swap.coupon * (annuity - grid.accrued * grid.settlement)
        missing: Array = clean - points * grid.settlement
        return missing

    return HazardCurve(discount.as_of, ends, _solve(gap, n_scenarios, f"upfront of {swap.symbol}")[None, :])


# -------------------------------------------------------------------------------------------------------------- values


def legs(
    swap: CreditDefaultSwap,
    hazards: HazardCurve,
    discount: DiscountCurve,
    *,
    recovery: npt.ArrayLike | None = None,
) -> Legs:
    """Return the legs of a swap under hazard and discount curves, per 1 USD of notional.

    Parameters
    ----------
    recovery : float or array [n_scenarios], optional
        In place of the swap's own.

    Raises
    ------
    InputError
        The swap has ended, or the curves are of two dates.

    References
    ----------
    As in `hazard_curve`; accrual on default with the half day of the corrected formula.

    Examples
    --------
    >>> discount = DiscountCurve(date(2026, 6, 30), [30.0], [[0.04]])
    >>> swap = CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20))
    >>> found = legs(swap, HazardCurve(date(2026, 6, 30), [10.0], [[0.02]]), discount)
    >>> round(float(found.par_spread[0]), 6), round(float(found.upfront[0]), 6)
    (0.011896, 0.00823)
    """
    if hazards.as_of != discount.as_of:
        what = f"the hazard curve is of {hazards.as_of}, the discount curve of {discount.as_of}."
        raise InputError([Problem(what, swap.symbol, "Take both of one date.")])
    loss = 1.0 - _recoveries(swap.recovery if recovery is None else recovery)
    grid = _Grid.of(swap.maturity, discount, hazards.ends)
    protection, annuity = grid.integrals(grid.weights @ hazards.hazards)
    return Legs(loss * protection, annuity, grid.accrued, grid.settlement, swap.coupon, loss)


def upfront_from_spread(swap: CreditDefaultSwap, spread: npt.ArrayLike, discount: DiscountCurve) -> FloatArray:
    """Return the clean upfront [n_scenarios] that a quoted spread means, share of notional: one flat hazard rate.

    Examples
    --------
    >>> discount = DiscountCurve(date(2026, 6, 30), [30.0], [[0.04]])
    >>> swap = CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20))
    >>> upfront_from_spread(swap, [0.01, 0.02], discount).round(6).tolist()
    [0.0, 0.042037]
    """
    curve = hazard_curve([swap.maturity], np.atleast_1d(spread)[None, :], discount, recovery=swap.recovery)
    return legs(swap, curve, discount).upfront


def spread_from_upfront(swap: CreditDefaultSwap, upfront: npt.ArrayLike, discount: DiscountCurve) -> FloatArray:
    """Return the quoted spread [n_scenarios] that a clean upfront means, decimal: the inverse of the above.

    Examples
    --------
    >>> discount = DiscountCurve(date(2026, 6, 30), [30.0], [[0.04]])
    >>> swap = CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20))
    >>> spread_from_upfront(swap, upfront_from_spread(swap, [0.02], discount), discount).round(12).tolist()
    [0.02]
    """
    return legs(swap, flat_hazard(swap, upfront, discount), discount).par_spread


# ---------------------------------------------------------------------------------------------------------- integration


@frozen(eq=False)
class _Grid:
    """The times of a standard swap between which both rates are constant, and what it pays there."""

    starts: FloatArray  # [n_intervals, n_curves] log discount factor at the left of each interval
    forwards: FloatArray  # [n_intervals, n_curves] fall of the log discount factor over each
    lengths: FloatArray  # [n_intervals, 1] years
    since: FloatArray  # [n_intervals, 1] years of coupon accrued at the left
    observed: npt.NDArray[np.int64]  # [n_coupons] break at which each coupon asks for survival
    paid: FloatArray  # [n_coupons, n_curves] coupon of 1 times discount factor
    weights: FloatArray  # [n_breaks, n_ends] years of each hazard rate up to each break
    accrued: float
    settlement: FloatArray

    @classmethod
    def of(cls, maturity: date, discount: DiscountCurve, ends: FloatArray) -> _Grid:
        as_of, contract = discount.as_of, CreditDefaultSwap("any", 0.0, maturity)
        periods = premium_periods(contract, as_of)
        looked = np.array([_years(as_of, _observed(period, maturity)) for period in periods])
        inside = [knots[(knots > 0.0) & (knots < looked[-1])] for knots in (discount.knots, ends)]
        breaks = np.unique(np.concatenate([[0.0], looked, *inside]))
        logs = np.log(discount.factors(breaks))
        begun = np.array([_years(as_of, period.start - _ONE_DAY) for period in periods])
        coupon = np.searchsorted(looked, breaks[:-1], side="right")
        fractions = np.array([period.days for period in periods]) / PREMIUM_YEAR
        paid = discount.factors([_years(as_of, period.pay) for period in periods])
        return cls(
            starts=logs[:-1],
            forwards=-np.diff(logs, axis=0),
            lengths=np.diff(breaks)[:, None],
            since=(breaks[:-1] - begun[coupon] + HALF_DAY)[:, None],
            observed=np.searchsorted(breaks, looked),
            paid=fractions[:, None] * paid,
            weights=_time_in(ends, breaks),
            accrued=(as_of + _ONE_DAY - periods[0].start).days / PREMIUM_YEAR,
            settlement=discount.factors([_years(as_of, add_weekdays(as_of, SETTLEMENT_WEEKDAYS))])[0],
        )

    def part(self, first: int, last: int | None) -> _Grid:
        """Return the intervals between two breaks, and the coupons observed after the first and up to the last."""
        end = len(self.lengths) if last is None else last
        within = (self.observed > first) & (self.observed <= end)
        return evolve(
            self,
            starts=self.starts[first:end],
            forwards=self.forwards[first:end],
            lengths=self.lengths[first:end],
            since=self.since[first:end],
            observed=self.observed[within] - first,
            paid=self.paid[within],
            weights=self.weights[first : end + 1],
        )

    def integrals(self, hazard: Array) -> tuple[Array, Array]:
        """Return protection without recovery and the risky annuity [n_scenarios] of cumulated hazard at the breaks."""
        falls = np.diff(hazard, axis=0)
        level = np.exp(self.starts - hazard[:-1]) * falls
        flat, ramp = _averages(falls + self.forwards)
        accrual = (level * (self.since * flat + self.lengths * ramp)).sum(axis=0)
        coupons = (self.paid * np.exp(-hazard[self.observed])).sum(axis=0)
        return (level * flat).sum(axis=0), coupons + DAYS_PER_YEAR / PREMIUM_YEAR * accrual


def _par_gap(grid: _Grid, known: FloatArray, par: FloatArray, loss: FloatArray) -> Callable[[Array], Array]:
    """Return protection less clean premium at par as a function of the last hazard rate, the others being known."""
    first = int(np.argmax(grid.weights[:, -1] > 0.0)) - 1  # the break up to which the last rate plays no part
    so_far = grid.weights[:, :-1] @ known
    before = grid.part(0, first).integrals(so_far[: first + 1])
    rest, reached, spent = grid.part(first, None), so_far[first:], grid.weights[first:, -1:]

    def gap(last: Array) -> Array:
        protection, annuity = rest.integrals(reached + spent * last)
        clean: Array = loss * (before[0] + protection) - par * (before[1] + annuity - grid.accrued * grid.settlement)
        return clean

    return gap


def _averages(x: Array) -> tuple[Array, Array]:
    """Return (1 - exp(-x)) / x and (1 - (1 + x) exp(-x)) / x², the means of exp(-xs) and s exp(-xs) over [0, 1]."""
    small = np.abs(x) < _SERIES_BELOW
    safe = np.where(small, 1.0, x)
    flat = -np.expm1(-safe) / safe
    ramp = (flat - np.exp(-safe)) / safe
    y = np.where(small, x, 0.0)
    flat_series = 1.0 - y / 2 * (1.0 - y / 3 * (1.0 - y / 4 * (1.0 - y / 5 * (1.0 - y / 6))))
    ramp_series = 1 / 2 - y * (1 / 3 - y * (1 / 8 - y * (1 / 30 - y * (1 / 144 - y / 840))))
    return np.where(small, flat_series, flat), np.where(small, ramp_series, ramp)


def _observed(period: PremiumPeriod, maturity: date) -> date:
    """Return the day at whose end the reference must live for the coupon to be paid in full."""
    return maturity if period.end == maturity else period.end - _ONE_DAY


def _time_in(ends: FloatArray, times: FloatArray) -> FloatArray:
    """Return the years [n_times, n_ends] that each time has spent under each hazard rate, the last one without end."""
    left = np.concatenate([[0.0], ends[:-1]])
    right = np.concatenate([ends[:-1], [np.inf]])
    spent: FloatArray = np.clip(times[:, None], left, right) - left
    return spent


def _solve(gap: Callable[[Array], Array], n_scenarios: int, what: str) -> FloatArray:
    """Return where an increasing concave function of the hazard rate is zero, scenario by scenario."""
    hazard, step = np.zeros(n_scenarios), np.zeros(n_scenarios)
    for count in range(_STEPS):
        with np.errstate(all="ignore"):
            value = gap(hazard + 1j * _COMPLEX_STEP)
            step = -value.real / (value.imag / _COMPLEX_STEP)
        if not count:
            _refuse(
                value.real > _CLOSE, what, "asks for a negative hazard rate: it is too low for the quotes before it"
            )
        hazard = np.maximum(hazard + step, 0.0)
        _refuse(~(hazard < _LARGEST_HAZARD), what, "is more than any hazard rate can explain")
        if (np.abs(step) <= _CLOSE * (1.0 + hazard)).all():
            return hazard
    # rounding keeps the last steps from vanishing altogether
    _refuse(np.abs(step) > 1e-10 * (1.0 + hazard), what, "has no hazard rate within the steps allowed")
    return hazard


def _refuse(wrong: npt.NDArray[np.bool_], what: str, why: str) -> None:
    if wrong.any():
        count = int(wrong.sum())
        message = f"{what}, scenario {int(np.argmax(wrong))}: {why} (in {count} of {counted(wrong.size, 'scenario')})."
        raise NumericalError(f"{message} Look at the quotes: spreads and upfronts are decimals.")


# ------------------------------------------------------------------------------------------------------------- checks


def _years(as_of: date, day: date) -> float:
    return (day - as_of).days / DAYS_PER_YEAR


def _recoveries(recovery: npt.ArrayLike) -> FloatArray:
    recovered = np.atleast_1d(np.asarray(recovery, dtype=np.float64))
    if recovered.ndim != 1 or not ((recovered >= 0.0) & (recovered < 1.0)).all():
        raise InputError([Problem("is not in [0, 1).", "recovery", "Write 40 % as 0.4.")])
    return recovered


def _check_quotes(maturities: Sequence[date], quotes: FloatArray, as_of: date) -> None:
    problems = Problems()
    if not maturities:
        problems.add("there is none.", where="maturities", fix="Give one at least.")
    for earlier, later in zip((as_of, *maturities), maturities, strict=False):
        if later <= earlier:
            problems.add(f"{later} is not after {earlier}.", where="maturities", fix="Sort them; drop what has ended.")
    if quotes.ndim != 2 or quotes.shape[0] != len(maturities):
        problems.add(f"shape {quotes.shape} is not [{len(maturities)}, n_scenarios].", where="spreads")
    elif not ((quotes >= 0.0) & np.isfinite(quotes)).all():
        problems.add("some are no decimals of 0 or more.", where="spreads", fix="Write 110 bp as 0.011.")
    problems.raise_if_any("cannot build a hazard curve")

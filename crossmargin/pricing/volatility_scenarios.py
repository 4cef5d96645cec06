"""What a volatility surface becomes when the spot and the smile move: one volatility per option and scenario.

Call `scenario_volatilities` with one of `SMILE_RULES` and, if volatility itself is shocked, a `VolatilityShock`.

Not here: the surface (`volatility.py`), scenarios of the spot (`scenarios.py`), prices (`pnl.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from crossmargin.errors import NumericalError, Problems, counted, suggestion
from crossmargin.pricing.chains import name_rows
from crossmargin.pricing.volatility import VolatilitySurface, check_options, surface_volatility
from crossmargin.underlyings import SmileRule

FloatArray = npt.NDArray[np.float64]

SMILE_RULES: Mapping[str, str] = {
    "sticky_strike": "the volatility of a strike stays as it is",
    "sticky_moneyness": "the volatility of a ratio of strike to forward stays as it is: the smile moves along",
    "sticky_delta": "the volatility of a forward delta stays as it is, delta being taken at the shocked volatility",
}
MOST_ROUNDS = 200  # of the search for the point of equal delta; a few are usual
SETTLED = 1e-13  # change of log-moneyness at which it ends


def _scenarios(values: Any) -> Any:
    column = np.atleast_1d(np.array(values, dtype=np.float64))
    column.setflags(write=False)
    return column


@frozen(eq=False)
class VolatilityShock:
    """Change of volatility in each scenario: sigma -> sigma (1 + relative g) + absolute g.

    Parameters
    ----------
    absolute, relative : array [n_scenarios]
        In volatility (0.05 is five points up) and as a share (0.25 is a quarter up); one number is for all.
    reference_time : float, optional
        Years. The shock is parallel without it; with it g = (reference_time / time)^power, so that short
        expiries move more.
    power : float
        0.5 is the square-root rule.
    shortest : float
        Times below it count as this many years: g stays finite on the last days.

    Raises
    ------
    InputError
        Shocks that are not finite, a relative shock of -1 or less, a time or power that is not positive.

    Examples
    --------
    >>> VolatilityShock(absolute=0.1, reference_time=0.25).applied(np.array([[0.2]]), np.array([1.0]))
    array([[0.25]])
    """

    absolute: FloatArray = field(converter=_scenarios, default=0.0)
    relative: FloatArray = field(converter=_scenarios, default=0.0)
    reference_time: float | None = None
    power: float = 0.5
    shortest: float = 7.0 / 365.0

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name in ("absolute", "relative"):
            wrong = ~np.isfinite(getattr(self, name))
            wrong |= (self.relative <= -1.0) if name == "relative" else False
            if wrong.any():
                what = "no finite shock, or one that leaves no volatility."
                problems.add(what, where=f"{name}, scenario {name_rows(wrong)}")
        for name, value in (
            ("power", self.power),
            ("shortest", self.shortest),
            ("reference_time", self.reference_time),
        ):
            if value is not None and not 0.0 < value < np.inf:
                problems.add(f"{value} is not above zero.", where=name)
        problems.raise_if_any("cannot shock volatilities")

    def applied(self, volatility: FloatArray, time: FloatArray) -> FloatArray:
        """Return shocked volatilities [n_options, n_scenarios] of options with `time` [n_options]."""
        g = np.ones((len(time), 1))
        if self.reference_time is not None:
            g = (self.reference_time / np.maximum(time, self.shortest)[:, None]) ** self.power
        shocked: FloatArray = volatility * (1.0 + self.relative * g) + self.absolute * g
        return shocked


def scenario_volatilities(
    surface: VolatilitySurface,
    strike: npt.ArrayLike,
    expiry: date | Sequence[date],
    spot_factor: npt.ArrayLike,
    *,
    rule: SmileRule = "sticky_moneyness",
    shock: VolatilityShock | None = None,
) -> FloatArray:
    """Return the volatility of every option under every scenario: array [n_options, n_scenarios].

    Parameters
    ----------
    surface : VolatilitySurface
    strike, expiry
        [n_options]; one expiry serves all.
    spot_factor : array [n_scenarios]
        Spot in the scenario over spot today; every forward moves by the same factor. Time does not pass.
    rule : {"sticky_strike", "sticky_moneyness", "sticky_delta"}
        See `SMILE_RULES`.
    shock : VolatilityShock, optional
        Comes on top of the rule.

    Raises
    ------
    InputError
        Spot factors or strikes that are not positive, unlike lengths, an unknown rule; a shock that leaves no
        positive volatility: with the scenarios.
    NumericalError
        No point of equal delta was found.

    Notes
    -----
    With k' = ln(strike / shocked forward), sticky moneyness reads the smile at k'. Sticky delta reads it at the
    k at which d1 = -k / s + s / 2, s = volatility(k) sqrt(time), equals the option's d1 in the scenario; with c
    the shocked volatility over volatility(k), that is k = k' / c + (1 - c) s^2 / 2. Without a shock c = 1 and the
    two rules are one.

    References
    ----------
    Derman (1999), "Regimes of volatility", Risk: the sticky rules.

    Examples
    --------
    >>> from crossmargin.pricing.smiles import Smile
    >>> line = Smile("spline", -1, 1, nodes=(-1.0, 1.0), variances=(0.09, 0.01), slopes=(-0.04, -0.04))
    >>> surface = VolatilitySurface(date(2026, 1, 2), "XYZ", [date(2027, 1, 2)], [1.0], [100.0], [line])
    >>> day, factors = date(2027, 1, 2), [0.9, 1.0, 1.1]
    >>> scenario_volatilities(surface, [100.0], day, factors, rule="sticky_strike").round(4)
    array([[0.2236, 0.2236, 0.2236]])
    >>> scenario_volatilities(surface, [100.0], day, factors, rule="sticky_moneyness").round(4)
    array([[0.214 , 0.2236, 0.232 ]])
    """
    strikes, days = check_options(strike, expiry, surface.as_of)
    factors = np.atleast_1d(np.asarray(spot_factor, dtype=np.float64))
    _check_scenarios(factors, rule, shock)
    times = surface.years(days)
    today = np.log(strikes / surface.forward(days))[:, None]
    moved = today - (0.0 if rule == "sticky_strike" else np.log(factors))
    moved = np.broadcast_to(moved, (len(strikes), len(factors)))
    volatility = surface_volatility(surface, moved, times)
    if shock is None:
        return volatility
    if rule == "sticky_delta":
        volatility = _at_equal_delta(surface, moved, times, shock)
    shocked = shock.applied(volatility, times)
    if not (shocked > 0.0).all():
        scenarios = name_rows(~(shocked > 0.0).all(axis=0)).replace("rows", "scenarios")
        _refuse("the shock leaves no positive volatility.", scenarios, "Use a relative shock, or a smaller one.")
    return shocked


def _at_equal_delta(
    surface: VolatilitySurface, moved: FloatArray, times: FloatArray, shock: VolatilityShock
) -> FloatArray:
    """Return today's volatility [n_options, n_scenarios] at the delta that each option has in the scenario."""
    k = moved
    for _ in range(MOST_ROUNDS):
        volatility = surface_volatility(surface, k, times)
        c = shock.applied(volatility, times) / volatility
        if not (c > 0.0).all():
            return volatility  # the caller refuses these scenarios by name
        following = moved / c + 0.5 * (1.0 - c) * volatility**2 * times[:, None]
        # a mean of old and new: a steep smile would make the plain substitution swing
        change, k = np.abs(following - k), 0.5 * (k + following)
        if float(change.max(initial=0.0)) <= SETTLED * (1.0 + float(np.abs(k).max(initial=0.0))):
            return volatility
    far = name_rows((change > 1e-9).any(axis=1)).replace("rows", "options")
    raise NumericalError(f"no point of equal delta found for {far}; use the rule 'sticky_moneyness' for them.")


def _check_scenarios(factors: FloatArray, rule: str, shock: VolatilityShock | None) -> None:
    problems = Problems()
    if rule not in SMILE_RULES:
        problems.add(f"{rule!r} is no rule.", where="rule", fix=suggestion(str(rule), SMILE_RULES))
    wrong = ~(np.isfinite(factors) & (factors > 0.0))
    if factors.ndim != 1 or wrong.any():
        where = f"spot_factor, scenario {name_rows(wrong)}"
        problems.add("spot factors are not numbers above zero.", where=where, fix="Give spot over spot: 0.9, 1.1.")
    for name in ("absolute", "relative") if shock is not None else ():
        count = getattr(shock, name).size
        if count not in {1, factors.size}:
            problems.add(f"{counted(count, 'shock')} for {counted(factors.size, 'scenario')}.", where=f"shock.{name}")
    problems.raise_if_any("cannot move the smile")


def _refuse(what: str, where: str, fix: str) -> None:
    problems = Problems()
    problems.add(what, where=where, fix=fix)
    problems.raise_if_any()

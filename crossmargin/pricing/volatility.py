"""Implied-volatility surfaces: built from quotes, read at any strike and expiry, checked for arbitrage.

Call `VolatilitySurface.from_quotes`, then `surface.volatility(strike, expiry)`; `arbitrage` checks a surface.

Total variance is linear in time at fixed log-moneyness; before the first expiry and beyond the last one the
volatility is that of the nearest expiry. The log of the forward is linear in time, flat outside the expiries.

Not here: the smile of one expiry (`smiles.py`), implied volatilities (`implied.py`), what a surface becomes in a
scenario (`volatility_scenarios.py`), prices (`pnl.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from numbers import Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from attrs import evolve, field, frozen

from crossmargin.curves import year_fractions
from crossmargin.errors import Problems, several, suggestion
from crossmargin.pricing.chains import ImpliedForwards, OptionQuotes, implied_forwards, name_rows
from crossmargin.pricing.implied import implied_volatility_bid_ask
from crossmargin.pricing.smiles import (
    FEWEST,
    GRID,
    ROUNDING,
    SMILE_FORMS,
    Smile,
    SmileForm,
    butterfly,
    fit_smile,
    total_variance,
)
from crossmargin.records import as_tuple

FloatArray = npt.NDArray[np.float64]
NARROWEST = 1e-4  # spread of implied volatilities below which a quote gains no more weight


@frozen
class VolatilitySurface:
    """Smiles of several expiries of one underlying; data only, hashable.

    Parameters
    ----------
    as_of : date
    underlying : str
    expiries : tuple of date [n_expiries]
        Increasing, after `as_of`, or on it with a time above zero.
    times : tuple of float [n_expiries]
        Years to expiry, increasing, above zero.
    forwards : tuple of float [n_expiries]
    smiles : tuple of Smile [n_expiries]
    notes : tuple of str
        What was left out while the surface was built, and where it admits arbitrage.

    Raises
    ------
    InputError
        Columns of unlike length or none, expiries or times out of order, forwards that are not positive.

    Examples
    --------
    >>> flat = Smile("spline", 0.0, 0.0, nodes=(0.0,), variances=(0.04,), slopes=(0.0,))
    >>> surface = VolatilitySurface(date(2026, 1, 2), "XYZ", [date(2027, 1, 2)], [1.0], [100.0], [flat])
    >>> surface.volatility([80.0, 120.0], date(2026, 7, 2))
    array([0.2, 0.2])
    """

    as_of: date
    underlying: str
    expiries: tuple[date, ...] = field(converter=as_tuple)
    times: tuple[float, ...] = field(converter=as_tuple)
    forwards: tuple[float, ...] = field(converter=as_tuple)
    smiles: tuple[Smile, ...] = field(converter=as_tuple)
    notes: tuple[str, ...] = field(converter=as_tuple, default=())

    def __attrs_post_init__(self) -> None:
        several("expiries", self.expiries, date, "Give dates.")
        for name in ("times", "forwards"):
            several(name, getattr(self, name), Real, "Give numbers.")
        problems = Problems()
        counts = {name: len(getattr(self, name)) for name in ("expiries", "times", "forwards", "smiles")}
        if len(set(counts.values())) != 1 or not self.expiries:
            problems.add(f"columns of unlike length, or empty: {counts}.", where="surface")
        _check_increasing(problems, "expiries", self.expiries)
        _check_increasing(problems, "times", self.times)
        if not all(0.0 < time < np.inf for time in self.times):
            problems.add("a time is not above zero.", where="times", fix="Drop expiries that are over.")
        if not all(0.0 < forward < np.inf for forward in self.forwards):
            problems.add("a forward is not above zero.", where="forwards")
        problems.raise_if_any("cannot build the volatility surface")

    @classmethod
    def from_quotes(
        cls,
        quotes: OptionQuotes,
        *,
        as_of: date,
        underlying: str,
        form: SmileForm = "svi",
        forwards: ImpliedForwards | None = None,
        times: Mapping[date, float] | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> VolatilitySurface:
        """Return the surface behind a chain of European quotes; see `surface_from_quotes`."""
        return surface_from_quotes(
            quotes, as_of, underlying, form=form, forwards=forwards, times=times, weights=weights
        )

    def volatility(self, strike: npt.ArrayLike, expiry: date | Sequence[date]) -> FloatArray:
        """Return volatilities [n_options] at strikes and expiries, one expiry for all or one for each.

        Raises
        ------
        InputError
            Strikes that are not positive, expiries before `as_of`, unlike lengths: with their rows.
        """
        strikes, days = check_options(strike, expiry, self.as_of)
        times = self.years(days)
        return surface_volatility(self, np.log(strikes / self.forward(days)), times)

    def years(self, expiries: Sequence[date]) -> FloatArray:
        """Return years [n] to expiry: those of the surface where it has the day, else Act/365 from `as_of`."""
        known = dict(zip(self.expiries, self.times, strict=True))
        plain = year_fractions(self.as_of, expiries)
        return np.array([known.get(day, float(t)) for day, t in zip(expiries, plain, strict=True)])

    def forward(self, expiries: Sequence[date]) -> FloatArray:
        """Return forwards [n]: log-linear in time between expiries, flat outside them."""
        return np.exp(np.interp(self.years(expiries), self.times, np.log(self.forwards)))


def surface_volatility(surface: VolatilitySurface, log_moneyness: npt.ArrayLike, time: npt.ArrayLike) -> FloatArray:
    """Return volatilities at any ln(strike / forward) [n_options, ...] and years to expiry [n_options].

    Examples
    --------
    >>> smiles = [Smile("spline", 0.0, 0.0, nodes=(0.0,), variances=(w,), slopes=(0.0,)) for w in (0.01, 0.08)]
    >>> days = [date(2026, 7, 2), date(2028, 1, 2)]
    >>> surface = VolatilitySurface(date(2026, 1, 2), "XYZ", days, [0.5, 2.0], [100.0, 100.0], smiles)
    >>> surface_volatility(surface, 0.0, [0.1, 1.25, 9.0]).round(6)
    array([0.141421, 0.189737, 0.2     ])
    """
    t, times = np.atleast_1d(np.asarray(time, dtype=np.float64)), np.array(surface.times)
    k = np.asarray(log_moneyness, dtype=np.float64)
    k = np.broadcast_to(k, t.shape + (k.shape[1:] if k.ndim else ()))
    left = np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 1)
    right = np.where((t < times[0]) | (left == len(times) - 1), left, left + 1)
    share = np.where(right > left, (t - times[left]) / np.where(right > left, times[right] - times[left], 1.0), 0.0)
    out = np.empty(k.shape)
    for i, j in sorted(set(zip(left.tolist(), right.tolist(), strict=True))):
        rows = (left == i) & (right == j)
        part = (share[rows], t[rows]) if k.ndim == 1 else (share[rows][:, None], t[rows][:, None])
        near = total_variance(surface.smiles[i], k[rows])
        if i == j:
            out[rows] = np.sqrt(near / times[i])
        else:
            far = total_variance(surface.smiles[j], k[rows])
            out[rows] = np.sqrt((near + part[0] * (far - near)) / part[1])
    return out


# --------------------------------------------------------------------------------------------------- arbitrage


@frozen
class Arbitrage:
    """The worst point of one kind of arbitrage at one expiry.

    Parameters
    ----------
    kind : {"butterfly", "calendar"}
    expiry : date
        The later of the two for a calendar.
    log_moneyness : float
    size : float
        Below zero. Butterfly: Durrleman's g (SVI) or a probability (spline); calendar: the change of total
        variance.
    """

    kind: Literal["butterfly", "calendar"]
    expiry: date
    log_moneyness: float
    size: float

    def __str__(self) -> str:
        where = f"log-moneyness {self.log_moneyness:.4g}"
        return f"{self.expiry.isoformat()}: {self.kind} arbitrage at {where}, size {self.size:.3g}."


def arbitrage(surface: VolatilitySurface) -> tuple[Arbitrage, ...]:
    """Return where the surface admits butterfly or calendar arbitrage inside its quoted strikes.

    Each smile is checked at 201 points (SVI) or at its quotes (spline), each pair of neighbours at 201 points
    that both have quoted: total variance at fixed log-moneyness must not fall with time. Outside the quotes a
    spline's flat wing leaves a kink at the last strike, which is not looked at.

    References
    ----------
    Gatheral and Jacquier (2014), "Arbitrage-free SVI volatility surfaces", Quantitative Finance 14.
    """
    found: list[Arbitrage] = []
    for day, smile in zip(surface.expiries, surface.smiles, strict=True):
        _note_worst(found, "butterfly", day, *butterfly(smile))
    for (_, near), (day, far) in pairwise(zip(surface.expiries, surface.smiles, strict=True)):
        low, high = max(near.lowest, far.lowest), min(near.highest, far.highest)
        k = np.linspace(low, high, GRID) if low < high else np.array([0.5 * (low + high)])
        _note_worst(found, "calendar", day, k, total_variance(far, k) - total_variance(near, k))
    return tuple(found)


def _note_worst(found: list[Arbitrage], kind: Literal["butterfly", "calendar"], *where: Any) -> None:
    day, k, size = where
    if len(k) and float(np.min(size)) < -ROUNDING:
        worst = int(np.argmin(size))
        found.append(Arbitrage(kind, day, float(k[worst]), float(size[worst])))


# ------------------------------------------------------------------------------------------------- from quotes


def surface_from_quotes(
    quotes: OptionQuotes,
    as_of: date,
    underlying: str,
    *,
    form: SmileForm = "svi",
    forwards: ImpliedForwards | None = None,
    times: Mapping[date, float] | None = None,
    weights: npt.ArrayLike | None = None,
) -> VolatilitySurface:
    """Return the surface behind a chain of European quotes.

    Parameters
    ----------
    quotes : OptionQuotes
        Of one kind of contract. Out-of-the-money options with a bid are used, at their middle.
    as_of : date
    underlying : str
    form : {"svi", "spline"}
        Of every smile.
    forwards : ImpliedForwards, optional
        Otherwise those that put-call parity implies.
    times : mapping of date to float, optional
        Years to expiry; Act/365 from `as_of` for days it does not name. Options that settle at the open, or
        expire today, need it.
    weights : array [n_quotes], optional
        Of the squared errors in volatility. Otherwise 1 / (volatility of the ask - volatility of the bid)^2.

    Returns
    -------
    VolatilitySurface
        Expiries without a forward, without time left or with too few quotes are left out, and said so in its
        `notes`, as are quotes without a volatility and every finding of `arbitrage`.

    Raises
    ------
    InputError
        No expiry is left; weights of another length, negative or not finite; times that are not finite.
    """
    _check_request(quotes, form, weights, times or {})
    known = implied_forwards(quotes) if forwards is None else forwards
    weight = None if weights is None else np.asarray(weights, dtype=np.float64)
    lines = {day: (f, d) for day, f, d in zip(known.expiries, known.forward, known.discount, strict=True)}
    notes, slices = list(known.notes), []
    days = np.array([day.toordinal() for day in quotes.expiry], dtype=np.int64)
    for day in quotes.expiries:
        time = (times or {}).get(day, float(year_fractions(as_of, [day])[0]))
        if day not in lines or not time > 0.0:
            notes.append(f"{day.isoformat()}: left out, {'no time left' if day in lines else 'no forward'}.")
            continue
        rows = days == day.toordinal()
        chosen = None if weight is None else weight[rows]
        smile, said = _fit_expiry(quotes.select(rows), lines[day], time, form=form, weight=chosen)
        notes += [f"{day.isoformat()}: {note}" for note in said]
        if smile is not None:
            slices.append((day, time, float(lines[day][0]), smile))
    if not slices:
        _refuse("no expiry has a smile. " + " ".join(notes), "quotes", "Give more quotes with a bid.")
    expiries, years, levels, smiles = zip(*slices, strict=True)
    surface = VolatilitySurface(as_of, underlying, expiries, years, levels, smiles)
    return evolve(surface, notes=(*notes, *map(str, arbitrage(surface))))


def _fit_expiry(
    chain: OptionQuotes,
    line: tuple[float, float],
    time: float,
    *,
    form: SmileForm,
    weight: FloatArray | None,
) -> tuple[Smile | None, list[str]]:
    """Return the smile of one expiry, or None, and what there is to say about its quotes."""
    forward, discount = line
    use = chain.two_sided & (chain.is_call == (chain.strike >= forward))
    used = chain.select(use)
    sides = implied_volatility_bid_ask(
        used.bid, used.ask, forward=forward, strike=used.strike, time=time, discount=discount, is_call=used.is_call
    )
    solved = sides.bid.solved & sides.mid.solved & sides.ask.solved
    said = [f"{int((~solved).sum())} quotes have no implied volatility."] if not solved.all() else []
    spread = np.maximum(sides.ask.volatility - sides.bid.volatility, NARROWEST)[solved]
    chosen = 1.0 / spread**2 if weight is None else weight[use][solved]
    if int((chosen > 0.0).sum()) < FEWEST[form]:
        return None, [*said, f"left out, fewer than {FEWEST[form]} quotes for a smile of the form {form}."]
    k = np.log(used.strike[solved] / forward)
    return fit_smile(k, sides.mid.volatility[solved] ** 2 * time, form=form, weights=chosen), said


# ------------------------------------------------------------------------------------------------------ checks


def check_options(
    strike: npt.ArrayLike, expiry: date | Sequence[date], as_of: date
) -> tuple[FloatArray, Sequence[date]]:
    """Return strikes [n_options] and their expiries, checked."""
    strikes = np.atleast_1d(np.asarray(strike, dtype=np.float64))
    days = [expiry] * len(strikes) if isinstance(expiry, date) else list(expiry)
    problems = Problems()
    if strikes.ndim != 1 or len(days) != len(strikes):
        problems.add(f"strikes of shape {strikes.shape} for {len(days)} expiries.", where="strike, expiry")
    wrong = ~(np.isfinite(strikes) & (strikes > 0.0))
    if wrong.any():
        problems.add("a strike is not above zero.", where=f"strike, {name_rows(wrong)}", fix="Drop these options.")
    over = np.array([day < as_of for day in days], dtype=np.bool_)
    if over.any():
        what = f"the expiry is before {as_of.isoformat()}."
        problems.add(what, where=f"expiry, {name_rows(over)}", fix="Drop expired options.")
    problems.raise_if_any("cannot read the surface")
    return strikes, days


def _check_request(quotes: OptionQuotes, form: str, weights: npt.ArrayLike | None, times: Mapping[date, float]) -> None:
    problems = Problems()
    if form not in SMILE_FORMS:
        problems.add(f"{form!r} is no form of a smile.", where="form", fix=suggestion(str(form), SMILE_FORMS))
    if weights is not None:
        weight = np.asarray(weights, dtype=np.float64)
        if weight.shape != (len(quotes),):
            problems.add(f"shape {weight.shape}, not [{len(quotes)}] as the quotes have.", where="weights")
        elif not (np.isfinite(weight) & (weight >= 0.0)).all():
            where = f"weights, {name_rows(~(np.isfinite(weight) & (weight >= 0.0)))}"
            problems.add("a weight is not zero or more.", where=where)
    for day, time in times.items():
        if not 0.0 <= time < np.inf:
            problems.add(f"{time} is not zero or more years.", where=f"times[{day.isoformat()}]")
    problems.raise_if_any("cannot build the volatility surface")


def _check_increasing(problems: Problems, name: str, values: Sequence[Any]) -> None:
    wrong = [i + 1 for i, (before, after) in enumerate(pairwise(values)) if not before < after]
    if wrong:
        rows = ", ".join(map(str, wrong))
        problems.add(f"do not increase at {rows}.", where=name, fix="Sort them; one smile for each expiry.")


def _refuse(what: str, where: str, fix: str) -> None:
    problems = Problems()
    problems.add(what, where=where, fix=fix)
    problems.raise_if_any()

"""Delta, vega and base-correlation margin: weighted sensitivities with concentration, aggregated.

`delta`, `vega` and `base_correlation` return an `Aggregate` for one risk class of one product class: what each bucket
adds to the margin. The formula is one; only the exposures differ. Curvature is in `curvature`.
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

import numpy as np
from attrs import field, frozen

from crossmargin.columns import FloatArray, readonly
from crossmargin.results import Line, total
from crossmargin.simm.aggregation import across
from crossmargin.simm.exposures import (
    Exposure,
    base_correlation_exposure,
    delta_exposure,
    implied_volatility_weights,
    volatility_exposure,
)
from crossmargin.simm.parameters import Parameters
from crossmargin.simm.risk_types import RESIDUAL
from crossmargin.simm.sensitivities import Sensitivities

DAYS_PER_BUSINESS_DAY = 7 / 5
YEAR_DAYS = 365
WEIGHT_CONFIDENCE = 0.99  # the loss that a risk weight stands for; makes a volatility of it


@frozen(eq=False)
class Aggregate:
    """The margin of one measure and how it comes about, bucket by bucket.

    Attributes
    ----------
    contributions : array [n_buckets]
        USD, adding up to the margin; below zero for a bucket that offsets others.
    margins, sums : array [n_buckets]
        Margin of the bucket alone, and its weighted sensitivities added, USD.
    concentration : array [n_buckets]
        The largest concentration factor in the bucket.
    """

    buckets: tuple[str, ...]
    contributions: FloatArray = field(converter=readonly)
    margins: FloatArray = field(converter=readonly)
    sums: FloatArray = field(converter=readonly)
    concentration: FloatArray = field(converter=readonly)

    @property
    def amount(self) -> float:
        """The margin, USD."""
        return float(self.contributions.sum())

    def line(self, name: str) -> Line:
        """Return the margin as the sum of what each bucket adds, with the bucket's own figures beside."""
        used = np.flatnonzero((self.margins != 0.0) | (self.sums != 0.0))
        return total(name, [self._bucket(place) for place in used.tolist()])

    def _bucket(self, place: int) -> Line:
        beside = (
            Line("margin of the bucket alone", float(self.margins[place])),
            Line("sum of weighted sensitivities", float(self.sums[place])),
            Line("largest concentration factor", float(self.concentration[place]), unit="1"),
        )
        note = "no offset with others" if self.buckets[place] == RESIDUAL else "after offset with others"
        return Line(self.buckets[place], float(self.contributions[place]), note=note, memo=beside)


def delta(rows: Sensitivities, parameters: Parameters, risk_class: str, currency: str) -> Aggregate:
    """Return the delta margin of the rows of one product class and risk class.

    References
    ----------
    ISDA SIMM Methodology, sections B.2 (interest rate) and B.3 (other risk classes).
    """
    return margin(delta_exposure(rows, parameters, risk_class, currency))


def vega(rows: Sensitivities, parameters: Parameters, risk_class: str) -> Aggregate:
    """Return the vega margin: volatility times vega, the historical volatility ratio, then as delta.

    References
    ----------
    ISDA SIMM Methodology, section B.4 (vega).
    """
    bucketed, ratio = parameters.bucketed.get(risk_class), 1.0  # of credit and interest rates: none in vega
    if risk_class == "fx":
        ratio = parameters.fx.historical_volatility_ratio
    elif bucketed is not None:
        ratio = bucketed.historical_volatility_ratio
    amount = ratio * volatility_amounts(rows, parameters, risk_class)
    return margin(volatility_exposure(rows, amount, parameters, risk_class))


def base_correlation(rows: Sensitivities, parameters: Parameters, risk_class: str) -> Aggregate:
    """Return the margin of base correlations of credit index tranches.

    References
    ----------
    ISDA SIMM Methodology, section B.3: base correlation.
    """
    return margin(base_correlation_exposure(rows, parameters, risk_class))


def volatility_amounts(rows: Sensitivities, parameters: Parameters, risk_class: str) -> FloatArray:
    """Return volatility times vega of each row, USD.

    Interest-rate and credit amounts contain the volatility. Elsewhere it is the one that the delta risk weight implies,
    ``weight * sqrt(365 / 14) / z(0.99)``, 1.4 days in place of 14 at the 1-day horizon.
    """
    weights = implied_volatility_weights(rows, parameters, risk_class)
    if weights is None:
        return rows.amount_usd
    days = horizon_calendar_days(parameters)
    implied: FloatArray = weights * (sqrt(YEAR_DAYS / days) / NormalDist().inv_cdf(WEIGHT_CONFIDENCE))
    return implied * rows.amount_usd


def horizon_calendar_days(parameters: Parameters) -> float:
    """Return the horizon in calendar days: 14 for 10 business days, 1.4 for one."""
    return parameters.horizon_days * DAYS_PER_BUSINESS_DAY


def concentration_factors(exposure: Exposure) -> FloatArray:
    """Return ``max(1, sqrt(abs(sum of the name) / threshold))`` of each factor; shape (n_factors,)."""
    sums = np.bincount(exposure.name, exposure.amount)[exposure.name]
    factors: FloatArray = np.maximum(1.0, np.sqrt(np.abs(sums) / exposure.threshold))
    return factors


def margin(exposure: Exposure) -> Aggregate:
    """Return the margin of an exposure; the residual bucket comes on top, without offset."""
    factors = concentration_factors(exposure)
    weighted = exposure.weight * exposure.amount * factors
    margins, sums = exposure.structure.margins(weighted, factors, exposure.bucket)
    largest = np.ones(len(exposure.buckets))
    np.maximum.at(largest, exposure.bucket, factors)
    parts = without_residual(exposure, margins, sums, largest if exposure.damped else None)
    return Aggregate(exposure.buckets, parts, margins, sums, largest)


def without_residual(
    exposure: Exposure, margins: FloatArray, sums: FloatArray, concentration: FloatArray | None
) -> FloatArray:
    """Return what each bucket adds, the residual one its whole margin."""
    place = exposure.residual
    if place is None:
        return across((margins, sums), exposure.between, concentration)
    numbered = np.arange(len(margins)) != place
    parts = across((margins * numbered, sums * numbered), exposure.between, concentration)
    parts[place] = margins[place]
    return parts

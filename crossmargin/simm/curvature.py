"""Curvature margin: what an option book loses beyond its delta, approximated from its vega.

Call `curvature`; it returns a `Curvature` for one risk class of one product class. The buckets other than the residual
one are taken together, the residual bucket by itself; neither can make the margin smaller than zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from types import MappingProxyType

import numpy as np
from attrs import evolve, frozen

from crossmargin.columns import FloatArray
from crossmargin.results import Line, largest, scaled, total
from crossmargin.simm.exposures import volatility_exposure
from crossmargin.simm.measures import horizon_calendar_days, volatility_amounts, without_residual
from crossmargin.simm.parameters import Parameters
from crossmargin.simm.risk_types import calendar_days
from crossmargin.simm.sensitivities import Sensitivities

TAIL_CONFIDENCE = 0.995  # of the gamma approximation: lambda is the square of its normal quantile less one
NO_CURVATURE: Mapping[str, frozenset[str]] = MappingProxyType({"equity": frozenset({"12"})})  # volatility indices


@frozen
class Part:
    """Curvature of the buckets taken together: the sum, how far it can be offset, and the aggregated margin.

    Attributes
    ----------
    sum, size, aggregated : float
        Curvature sensitivities added, their absolute values added, and the correlated margin, USD.
    """

    name: str
    sum: float
    size: float
    aggregated: float

    @property
    def tail_factor(self) -> float:
        """Lambda: how many times the aggregated margin the tail of a gamma position reaches."""
        theta = min(self.sum / self.size, 0.0) if self.size else 0.0
        return (NormalDist().inv_cdf(TAIL_CONFIDENCE) ** 2 - 1.0) * (1.0 + theta) - theta

    @property
    def amount(self) -> float:
        """The margin of this part, never negative, USD."""
        return max(0.0, self.sum + self.tail_factor * self.aggregated)

    def line(self) -> Line:
        """Return the margin as the larger of nothing and the sum plus the tail."""
        tail = scaled("tail", self.tail_factor, Line("aggregated margin of the buckets", self.aggregated))
        both = total("sum and tail", [Line("sum of curvature sensitivities", self.sum), tail])
        return largest(self.name, [both, Line("floor", 0.0)])


@frozen
class Curvature:
    """The curvature margin of one risk class: the parts added, times `factor`."""

    parts: tuple[Part, ...]
    factor: float = 1.0

    @property
    def amount(self) -> float:
        """The margin, USD."""
        return self.factor * sum(part.amount for part in self.parts)

    def line(self, name: str) -> Line:
        """Return the margin with its arithmetic."""
        inside = [part.line() for part in self.parts]
        if self.factor == 1.0:
            return total(name, inside)
        return scaled(name, self.factor, total("before the historical volatility ratio", inside))


def curvature(rows: Sensitivities, parameters: Parameters, risk_class: str) -> Curvature:
    """Return the curvature margin of the vega rows of one product class and risk class.

    References
    ----------
    ISDA SIMM Methodology, section B.5 (curvature): ``max(0, sum CVR + lambda K)`` with squared correlations,
    ``lambda = (z(0.995)^2 - 1) (1 + theta) - theta`` and ``theta = min(0, sum CVR / sum abs(CVR))``.
    """
    amount = scaling(rows, parameters) * volatility_amounts(rows, parameters, risk_class)
    excluded = NO_CURVATURE.get(risk_class, frozenset())
    if excluded:
        amount = amount * rows.bucket.looked_up(lambda bucket: float(bucket not in excluded))
    exposure = volatility_exposure(rows, amount, parameters, risk_class)
    ones = np.ones(len(exposure.amount))
    margins, sums = exposure.structure.squared().margins(exposure.amount, ones, exposure.bucket)
    sizes = np.bincount(exposure.bucket, np.abs(exposure.amount), minlength=len(margins))
    parts = without_residual(evolve(exposure, between=exposure.between**2), margins, sums, None)
    place = exposure.residual
    numbered = np.arange(len(margins)) != (-1 if place is None else place)
    found = [Part("buckets", *(float(each[numbered].sum()) for each in (sums, sizes, parts)))]
    if place is not None and sizes[place]:  # an empty residual bucket is no line
        found.append(Part("residual bucket", *(float(each[place]) for each in (sums, sizes, margins))))
    rates = risk_class == "interest_rate"
    return Curvature(tuple(found), parameters.rates.historical_volatility_ratio**-2 if rates else 1.0)


def scaling(rows: Sensitivities, parameters: Parameters) -> FloatArray:
    """Return what makes curvature of vega: ``0.5 min(1, horizon / time to expiry)`` of each row, in calendar days."""
    days = horizon_calendar_days(parameters)
    return rows.label1.looked_up(lambda tenor: 0.5 * min(1.0, days / calendar_days(tenor)))

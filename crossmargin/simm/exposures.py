"""From netted sensitivities of one risk class to exposures: amounts, weights, thresholds, buckets, correlations.

`delta_exposure`, `volatility_exposure` and `base_correlation_exposure` read the parameters; after them every risk class
is margined alike (`measures`, `curvature`). The four bucketed classes and foreign exchange share one form, interest
rates have their own structure of curves, inflation and basis.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray, readonly
from crossmargin.simm.aggregation import Margins, Nested, RateCorrelation, nested_margins, rate_margins, sums_of
from crossmargin.simm.parameters import Bucketed, Fx, Parameters, Rates
from crossmargin.simm.risk_types import RESIDUAL
from crossmargin.simm.sensitivities import Column, IntArray, Sensitivities, dense

FX_BUCKET, BASE_CORRELATION_BUCKET = "currencies", "index families"
# Who is of one name: non-qualifying credit by its group of names, which the second label holds.
_NAME_FIELD: Mapping[str, str] = MappingProxyType({"credit_non_qualifying": "label2"})
_BY_TENOR = ("credit_qualifying", "credit_non_qualifying")  # volatility factors there have a tenor


_Scales: TypeAlias = tuple[FloatArray, FloatArray, Mapping[str, float]]  # amounts, weights, thresholds by group
_Kinds: TypeAlias = tuple[IntArray, NDArray[np.bool_], NDArray[np.bool_]]  # tenor, whether inflation, whether basis


@frozen(eq=False)
class RateStructure:
    """Where each factor of a currency stands: a tenor on a curve, inflation, or the cross-currency basis.

    Attributes
    ----------
    place : array of int [n_factors]
        `curve * n_tenors + tenor`; after all curves one place for the inflation and one for the basis of each currency.
    currency : array of int [n_curves]
        Of each curve.
    """

    correlation: RateCorrelation
    place: IntArray
    currency: IntArray
    n_currencies: int

    def squared(self) -> RateStructure:
        """Return the structure with the correlations of curvature."""
        return evolve(self, correlation=self.correlation.squared())

    def margins(self, weighted: FloatArray, concentration: FloatArray, bucket: IntArray) -> Margins:  # noqa: ARG002 - as of the other structure
        """Return the margin and the sum of each currency; concentration is one number a currency and cancels."""
        n_tenors, n_curves = len(self.correlation.tenor), len(self.currency)
        ends = np.array([n_curves * n_tenors, n_curves * n_tenors + self.n_currencies])
        sums = sums_of(self.place, weighted, int(ends[1]) + self.n_currencies)
        curves, inflation, basis = np.split(sums, ends)
        curves = curves.reshape(n_curves, n_tenors)
        return rate_margins(curves, self.currency, self.correlation, inflation=inflation, basis=basis)


@frozen(eq=False)
class NestedStructure:
    """Which correlation group each factor of a bucket is in."""

    correlation: Nested

    def squared(self) -> NestedStructure:
        """Return the structure with the correlations of curvature."""
        return NestedStructure(self.correlation.squared())

    def margins(self, weighted: FloatArray, concentration: FloatArray, bucket: IntArray) -> Margins:
        """Return the margin and the sum of each bucket."""
        return nested_margins(weighted, concentration, bucket, self.correlation)


@frozen(eq=False)
class Exposure:
    """The risk factors of one measure of one risk class.

    Attributes
    ----------
    amount : array [n_factors]
        Net sensitivity, USD per unit of the weight.
    weight, threshold : array [n_factors]
    name : array of int [n_factors]
        Factors of one name are measured together against the threshold.
    bucket : array of int [n_factors]
        Place in `buckets`.
    between : array [n_buckets, n_buckets] or float
        Correlation of buckets.
    damped : bool
        Whether the concentration of two buckets damps their correlation.
    """

    amount: FloatArray = field(converter=readonly)
    weight: FloatArray = field(converter=readonly)
    threshold: FloatArray = field(converter=readonly)
    name: IntArray
    bucket: IntArray
    buckets: tuple[str, ...]
    structure: NestedStructure | RateStructure
    between: FloatArray | float
    damped: bool = False

    @property
    def residual(self) -> int | None:
        """The place of the residual bucket, which is added to the others without offset."""
        return self.buckets.index(RESIDUAL) if RESIDUAL in self.buckets else None


def delta_exposure(rows: Sensitivities, parameters: Parameters, risk_class: str, currency: str) -> Exposure:
    """Return the delta exposure of one risk class; `currency` is the calculation currency."""
    if risk_class == "interest_rate":
        return _rate_delta(rows, parameters.rates)
    if risk_class == "fx":
        return _fx_delta(rows, parameters.fx, currency)
    p = parameters.bucketed[risk_class]
    return _bucketed(rows, rows.amount_usd, p, risk_class, weights=p.delta_risk_weights, thresholds=p.delta_thresholds)


def volatility_exposure(rows: Sensitivities, amount: FloatArray, parameters: Parameters, risk_class: str) -> Exposure:
    """Return the vega exposure of one risk class whose rows have these amounts; tenors net where the class has none."""
    if risk_class == "interest_rate":
        return _rate_volatility(rows, amount, parameters.rates)
    if risk_class == "fx":
        return _fx_volatility(rows, amount, parameters.fx)
    p = parameters.bucketed[risk_class]
    if risk_class not in _BY_TENOR:
        rows, amount = _reduced(rows, amount, (rows.bucket, rows.qualifier))
    return _bucketed(rows, amount, p, risk_class, weights=p.vega_risk_weights, thresholds=p.vega_thresholds)


def base_correlation_exposure(rows: Sensitivities, parameters: Parameters, risk_class: str) -> Exposure:
    """Return the exposure to base correlations: one factor an index family, no concentration."""
    p = parameters.bucketed[risk_class]
    structure = _uniform(np.zeros(len(rows), dtype=np.intp), p.base_correlation_correlation)
    weight = np.full(len(rows), p.base_correlation_risk_weight)
    return _single(rows, (rows.amount_usd, weight, np.full(len(rows), inf)), structure, BASE_CORRELATION_BUCKET)


def implied_volatility_weights(rows: Sensitivities, parameters: Parameters, risk_class: str) -> FloatArray | None:
    """Return the risk weight that stands for the volatility of each row, or None where amounts contain it."""
    if risk_class == "fx":
        groups, weights = parameters.fx.volatility_groups, parameters.fx.delta_risk_weights
        return rows.qualifier.looked_up(lambda pair: weights[groups.of(pair[:3])][groups.of(pair[3:])])
    p = parameters.bucketed.get(risk_class)
    return p.delta_risk_weights[_buckets(rows, p)] if p is not None and p.implied_volatility else None


# ------------------------------------------------------------------------------------------- bucketed classes


def _bucketed(
    rows: Sensitivities,
    amount: FloatArray,
    p: Bucketed,
    risk_class: str,
    *,
    weights: FloatArray,
    thresholds: FloatArray,
) -> Exposure:
    bucket = _buckets(rows, p)
    name, _ = _together(bucket, rows.qualifier)
    group, n_groups = _together(bucket, getattr(rows, _NAME_FIELD.get(risk_class, "qualifier")))
    home = np.zeros(n_groups, dtype=np.intp)
    home[group] = bucket
    structure = NestedStructure(Nested(group, n_groups, p.same_name[home], p.different_name))
    scales = (weights[bucket], thresholds[bucket])
    return Exposure(amount, *scales, name, bucket, p.buckets, structure, p.inter_bucket_correlation)


def _buckets(rows: Sensitivities, p: Bucketed) -> IntArray:
    return rows.bucket.coded({name: place for place, name in enumerate(p.buckets)})


def _together(bucket: IntArray, column: Column) -> tuple[IntArray, int]:
    """Return a number for each pair of bucket and value, and how many there are."""
    width = max(1, len(column.values))
    return dense(bucket * width + column.codes, width * (int(bucket.max(initial=0)) + 1))


# ------------------------------------------------------------------------------------------- foreign exchange


def _fx_delta(rows: Sensitivities, p: Fx, currency: str) -> Exposure:
    if currency in rows.qualifier.values:
        rows = rows[rows.qualifier.codes != rows.qualifier.values.index(currency)]
    groups, categories = p.volatility_groups, p.categories
    home = groups.of(currency)
    names = sorted(p.delta_correlation)
    group = rows.qualifier.looked_up(lambda each: names.index(groups.of(each))).astype(np.intp)
    correlation = p.delta_correlation[home]
    within = np.array([correlation[each][each] for each in names])
    between = np.array([correlation[names[0]][names[-1]]])
    weight = rows.qualifier.looked_up(lambda each: p.delta_risk_weights[home][groups.of(each)])
    threshold = rows.qualifier.looked_up(lambda each: p.delta_thresholds[categories.of(each)])
    structure = NestedStructure(Nested(group, len(names), within, between))
    return _single(rows, (rows.amount_usd, weight, threshold), structure, FX_BUCKET)


def _fx_volatility(rows: Sensitivities, amount: FloatArray, p: Fx) -> Exposure:
    rows, amount = _reduced(rows, amount, (rows.qualifier,))
    of = p.categories.of
    threshold = rows.qualifier.looked_up(lambda pair: p.vega_thresholds[of(pair[:3]), of(pair[3:])])
    structure = _uniform(np.zeros(len(rows), dtype=np.intp), p.vega_correlation)
    return _single(rows, (amount, np.full(len(rows), p.vega_risk_weight), threshold), structure, FX_BUCKET)


def _uniform(group: IntArray, correlation: float) -> NestedStructure:
    """Return one bucket in which any two factors have the same correlation."""
    both = np.array([correlation])
    return NestedStructure(Nested(group, 1, both, both))


def _single(
    rows: Sensitivities, arrays: tuple[FloatArray, FloatArray, FloatArray], structure: NestedStructure, bucket: str
) -> Exposure:
    """Return an exposure in one bucket, each row a name of its own."""
    name, zeros = np.arange(len(rows)), np.zeros(len(rows), dtype=np.intp)
    return Exposure(*arrays, name, zeros, (bucket,), structure, 0.0)


# --------------------------------------------------------------------------------------------- interest rates


def _rate_delta(rows: Sensitivities, p: Rates) -> Exposure:
    tenor = rows.label1.coded({name: place for place, name in enumerate(p.tenors)})
    inflation, basis = (_of_type(rows, kind) for kind in ("Risk_Inflation", "Risk_XCcyBasis"))
    names = {group: place for place, group in enumerate(p.delta_risk_weights)}
    table = np.array(list(p.delta_risk_weights.values()))
    group = rows.qualifier.looked_up(lambda each: names[p.currency_groups.of(each)]).astype(np.intp)
    weight = np.where(inflation, p.inflation_risk_weight, np.where(basis, p.basis_risk_weight, table[group, tenor]))
    return _rate_exposure(rows, (rows.amount_usd, weight, p.delta_thresholds), p, (tenor, inflation, basis))


def _rate_volatility(rows: Sensitivities, amount: FloatArray, p: Rates) -> Exposure:
    inflation = _of_type(rows, "Risk_InflationVol")  # one factor a currency, whatever the expiry
    expiry = Column(np.where(inflation, len(rows.label1.values), rows.label1.codes), (*rows.label1.values, ""))
    rows, amount = _reduced(rows, amount, (rows.risk_type, rows.qualifier, expiry))
    tenor = rows.label1.coded({name: place for place, name in enumerate(p.tenors)})
    inflation = _of_type(rows, "Risk_InflationVol")
    weight = np.full(len(rows), p.vega_risk_weight)
    kinds = (tenor, inflation, np.zeros(len(rows), dtype=bool))
    return _rate_exposure(rows, (amount, weight, p.vega_thresholds), p, kinds)


def _of_type(rows: Sensitivities, kind: str) -> NDArray[np.bool_]:
    return rows.risk_type.among((kind,))


def _rate_exposure(rows: Sensitivities, scales: _Scales, p: Rates, kinds: _Kinds) -> Exposure:
    """Return the exposure of tenors on curves, inflation and basis; the basis stays outside the concentration."""
    (amount, weight, limits), (tenor, inflation, basis) = scales, kinds
    places, n_currencies = dense(rows.qualifier.codes.astype(np.intp), len(rows.qualifier.values))
    buckets = tuple(rows.qualifier.values[code] for code in np.unique(rows.qualifier.codes).tolist())
    curve, n_curves = _together(places, rows.label2)
    currency = np.zeros(n_curves, dtype=np.intp)
    currency[curve] = places
    first = n_curves * len(p.tenors)
    on_curve = curve * len(p.tenors) + tenor
    place = np.where(inflation, first + places, np.where(basis, first + n_currencies + places, on_curve))
    threshold = np.array([limits[p.concentration_groups.of(each)] for each in buckets])[places]
    correlation = RateCorrelation(
        p.tenor_correlation, p.sub_curve_correlation, p.inflation_correlation, p.basis_correlation
    )
    return Exposure(
        amount,
        weight,
        np.where(basis, inf, threshold),
        np.where(basis, n_currencies + places, places),
        places,
        buckets,
        RateStructure(correlation, place, currency, n_currencies),
        p.inter_currency_correlation,
        damped=True,
    )


def _reduced(rows: Sensitivities, amount: FloatArray, columns: tuple[Column, ...]) -> tuple[Sensitivities, FloatArray]:
    """Return one row for each key of these columns, amounts added."""
    key, size = np.zeros(len(rows), dtype=np.intp), 1
    for column in columns:
        key, size = dense(key * len(column.values) + column.codes, size * len(column.values))
    first = np.zeros(size, dtype=np.intp)
    first[key[::-1]] = np.arange(len(key) - 1, -1, -1)
    return rows[first], sums_of(key, amount, size)

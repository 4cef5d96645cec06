"""The parameters of SIMM at one horizon, as arrays in the order that the calculation uses. No value stands here.

`calibration.load_calibration` fills these records from a file. Weights are per unit of the CRIF sensitivity they
multiply (USD per basis point, USD per 1 %), thresholds are in USD; infinite thresholds switch concentration off.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from crossmargin.columns import FloatArray, readonly


@frozen
class Groups:
    """Names sorted into groups; whatever is not listed is in `default`."""

    members: Mapping[str, str]
    default: str

    def of(self, name: str) -> str:
        """Return the group of a name."""
        return self.members.get(name, self.default)


@frozen(eq=False)
class Rates:
    """Interest rate, inflation and cross-currency basis: risk weights by volatility group, correlations, thresholds.

    Attributes
    ----------
    delta_risk_weights : mapping of str to array [n_tenors]
        By volatility group of the currency.
    delta_thresholds, vega_thresholds : mapping of str to float
        By concentration group of the currency, USD.
    sub_curve_correlation : float
        Of two curves of one currency; multiplies the correlation of the tenors.
    basis_correlation : float
        Of the cross-currency basis with any other factor of its currency.
    """

    tenors: tuple[str, ...]
    currency_groups: Groups
    delta_risk_weights: Mapping[str, FloatArray]
    inflation_risk_weight: float
    basis_risk_weight: float
    vega_risk_weight: float
    historical_volatility_ratio: float
    tenor_correlation: FloatArray = field(converter=readonly)
    sub_curve_correlation: float
    inflation_correlation: float
    basis_correlation: float
    inter_currency_correlation: float
    concentration_groups: Groups
    delta_thresholds: Mapping[str, float]
    vega_thresholds: Mapping[str, float]


@frozen(eq=False)
class Bucketed:
    """A risk class in numbered buckets: credit qualifying and non-qualifying, equity, commodity.

    Attributes
    ----------
    tenors : tuple of str
        Those that a sensitivity may have; empty for a class without.
    delta_risk_weights, vega_risk_weights, delta_thresholds, vega_thresholds : array [n_buckets]
    same_name, different_name : array [n_buckets]
        Correlation of two factors of a bucket that are, or are not, of one name.
    inter_bucket_correlation : array [n_buckets, n_buckets]
        Zero for the residual bucket, which is added after aggregation.
    implied_volatility : bool
        Whether vega is per volatility point, to be multiplied by the volatility that the risk weight implies.
    """

    buckets: tuple[str, ...]
    tenors: tuple[str, ...]
    delta_risk_weights: FloatArray = field(converter=readonly)
    vega_risk_weights: FloatArray = field(converter=readonly)
    historical_volatility_ratio: float
    same_name: FloatArray = field(converter=readonly)
    different_name: FloatArray = field(converter=readonly)
    inter_bucket_correlation: FloatArray = field(converter=readonly)
    delta_thresholds: FloatArray = field(converter=readonly)
    vega_thresholds: FloatArray = field(converter=readonly)
    implied_volatility: bool
    base_correlation_risk_weight: float = 0.0
    base_correlation_correlation: float = 0.0


@frozen(eq=False)
class Fx:
    """Foreign exchange: weights and correlations by volatility group, thresholds by category of currencies.

    Attributes
    ----------
    delta_risk_weights : mapping
        `[group of one currency][group of the other]`.
    delta_correlation : mapping
        `[group of the calculation currency][group of one currency][group of the other]`.
    vega_thresholds : mapping of tuple to float
        By the categories of the two currencies of a pair, USD.
    """

    volatility_groups: Groups
    delta_risk_weights: Mapping[str, Mapping[str, float]]
    delta_correlation: Mapping[str, Mapping[str, Mapping[str, float]]]
    vega_risk_weight: float
    historical_volatility_ratio: float
    vega_correlation: float
    categories: Groups
    delta_thresholds: Mapping[str, float]
    vega_thresholds: Mapping[tuple[str, str], float]


@frozen(eq=False)
class Parameters:
    """Everything SIMM reads at one horizon."""

    horizon_days: int
    rates: Rates
    bucketed: Mapping[str, Bucketed]  # by risk class
    fx: Fx
    risk_class_correlation: FloatArray = field(converter=readonly)  # in the order of RISK_CLASSES

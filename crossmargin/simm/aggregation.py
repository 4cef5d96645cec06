"""How SIMM adds up: within a bucket, across buckets, with the concentration of each pair; without a matrix of pairs.

`nested_margins` and `rate_margins` give the margin and the sum of each bucket, `across` puts buckets together. A
bucket with n factors costs n log n, not n squared. Weights and correlations come in as arrays; nothing is read here.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray
from crossmargin.errors import NumericalError
from crossmargin.simm.sensitivities import IntArray

_TOO_LARGE = "Sensitivities are too large to be squared."
Margins: TypeAlias = tuple[FloatArray, FloatArray]  # margin K and sum of weighted sensitivities, each [n_buckets]


def sums_of(places: IntArray, values: FloatArray, size: int) -> FloatArray:
    """Return the values added up by place; shape (size,)."""
    return np.bincount(places, values, minlength=size).astype(np.float64, copy=False)


def pair_sums(weighted: FloatArray, concentration: FloatArray, group: IntArray, n_groups: int) -> FloatArray:
    """Return the sum over all pairs k, l of a group of f(k, l) w_k w_l; shape (n_groups,).

    f is the smaller concentration factor of the two over the larger. In order of the factors, each term meets the sum
    of the terms before it times their own factors: one running sum does for all pairs.

    Parameters
    ----------
    weighted, concentration : array [n_factors]
        Weighted sensitivities, USD, and concentration factors, at least 1.
    group : array of int [n_factors]

    Examples
    --------
    >>> pair_sums(np.array([3.0, 4.0]), np.array([1.0, 2.0]), np.array([0, 0]), 1)  # 9 + 16 + 2 * 12 / 2
    array([37.])
    """
    if len(weighted) == 0 or concentration.min() == concentration.max():
        return sums_of(group, weighted, n_groups) ** 2
    order = np.lexsort((concentration, group))
    w, c, g = weighted[order], concentration[order], group[order]
    up = w * c
    scale = sums_of(g, np.abs(up), n_groups)
    scale[scale == 0.0] = 1.0  # each group at most 1 long: one running sum serves all without losing the small ones
    before = np.cumsum(up / scale[g]) - up / scale[g]
    starts = np.flatnonzero(np.r_[True, g[1:] != g[:-1]])
    before -= np.repeat(before[starts], np.diff(np.r_[starts, len(g)]))
    return sums_of(g, w * w + 2.0 * (w / c) * before * scale[g], n_groups)


@frozen(eq=False)
class Nested:
    """Correlation of the factors of a bucket: `within` for two of one group, `between` for two of different groups.

    Attributes
    ----------
    group : array of int [n_factors]
        A group lies in one bucket.
    n_groups : int
    within : array [n_groups]
    between : array [n_buckets]
    """

    group: IntArray
    n_groups: int
    within: FloatArray
    between: FloatArray

    def squared(self) -> Nested:
        """Return the correlations of curvature."""
        return evolve(self, within=self.within**2, between=self.between**2)


def nested_margins(weighted: FloatArray, concentration: FloatArray, bucket: IntArray, correlation: Nested) -> Margins:
    """Return the margin and the sum of each bucket, USD.

    Parameters
    ----------
    weighted, concentration : array [n_factors]
    bucket : array of int [n_factors]
    correlation : Nested

    References
    ----------
    ISDA SIMM Methodology, section B.3 (delta, step c): ``K = sqrt(sum of rho_kl f_kl WS_k WS_l)``.
    """
    n_buckets, group = len(correlation.between), correlation.group
    own = sums_of(bucket, weighted * weighted * (1.0 - correlation.within[group]), n_buckets)
    squares = own + correlation.between * pair_sums(weighted, concentration, bucket, n_buckets)
    home = np.zeros(correlation.n_groups, dtype=np.intp)
    home[group] = bucket
    excess = correlation.within - correlation.between[home]
    if excess.any():
        inside = excess * pair_sums(weighted, concentration, group, correlation.n_groups)
        squares = squares + sums_of(home, inside, n_buckets)
    return _roots(squares), sums_of(bucket, weighted, n_buckets)


@frozen(eq=False)
class RateCorrelation:
    """Correlation of the factors of one currency.

    Attributes
    ----------
    tenor : array [n_tenors, n_tenors]
    sub_curve : float
        Multiplies the correlation of the tenors of two curves.
    inflation, basis : float
        With every other factor; the one of the basis holds where both meet.
    """

    tenor: FloatArray
    sub_curve: float
    inflation: float
    basis: float

    def squared(self) -> RateCorrelation:
        """Return the correlations of curvature."""
        return RateCorrelation(self.tenor**2, self.sub_curve**2, self.inflation**2, self.basis**2)


def rate_margins(
    curves: FloatArray, currency: IntArray, correlation: RateCorrelation, *, inflation: FloatArray, basis: FloatArray
) -> Margins:
    """Return the margin and the sum of each currency, USD.

    Parameters
    ----------
    curves : array [n_curves, n_tenors]
        Weighted sensitivities of each curve.
    currency : array of int [n_curves]
        Of each curve.
    inflation, basis : array [n_currencies]
        Weighted sensitivities.

    References
    ----------
    ISDA SIMM Methodology, section B.2 (interest rate, step c).
    """
    joint = np.zeros((len(inflation), curves.shape[1]))
    np.add.at(joint, currency, curves)
    apart = sums_of(currency, _forms(curves, correlation.tenor), len(inflation))
    rates = joint.sum(axis=1)
    squares = correlation.sub_curve * _forms(joint, correlation.tenor) + (1.0 - correlation.sub_curve) * apart
    squares += inflation * (inflation + 2.0 * correlation.inflation * rates)
    squares += basis * (basis + 2.0 * correlation.basis * (rates + inflation))
    return _roots(squares), rates + inflation + basis


def _roots(squares: FloatArray) -> FloatArray:
    """Return square roots, 0 below zero, which only rounding reaches."""
    if not np.isfinite(squares).all():
        raise NumericalError(_TOO_LARGE)
    return np.sqrt(np.maximum(squares, 0.0))


def _forms(rows: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return ``x M x`` of each row."""
    forms: FloatArray = np.einsum("ij,ij->i", rows @ matrix, rows)
    return forms


def across(margins: Margins, correlation: FloatArray | float, concentration: FloatArray | None = None) -> FloatArray:
    """Return what each bucket adds to the margin of all: the parts of ``sqrt(sum K_b^2 + sum gamma g S_b S_c)``.

    Parameters
    ----------
    margins : tuple of array [n_buckets]
        K and the sum, which is held between -K and K.
    correlation : array [n_buckets, n_buckets] or float
        Of different buckets; the diagonal is not read. A number when all pairs have the same.
    concentration : array [n_buckets], optional
        Concentration factors of the buckets, which damp each pair by the smaller over the larger.

    Returns
    -------
    array [n_buckets]
        USD, adding up to the margin; below zero for a bucket that offsets the others.
    """
    margin, sums = margins
    held = np.clip(sums, -margin, margin)
    if isinstance(correlation, float):
        others = correlation * (_met(held, concentration) - held)
    else:
        others = correlation @ held - np.diag(correlation) * held
    parts: FloatArray = margin * margin + held * others
    total = parts.sum()
    if not np.isfinite(total):
        raise NumericalError(_TOO_LARGE)
    return parts / np.sqrt(total) if total > 0.0 else np.zeros_like(parts)


def _met(held: FloatArray, concentration: FloatArray | None) -> FloatArray:
    """Return for each bucket the sum of all, each damped by the concentration of the two."""
    if concentration is None or not len(held) or concentration.min() == concentration.max():
        return np.full(len(held), held.sum())
    ratio: NDArray[np.float64] = np.minimum.outer(concentration, concentration)
    ratio /= np.maximum.outer(concentration, concentration)
    return ratio @ held

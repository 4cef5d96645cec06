"""The smile of one expiry: total implied variance as a function of log-moneyness, fitted and checked.

Call `fit_smile` with quotes of one expiry; `total_variance` reads the result, `butterfly` says where it would
let a butterfly spread cost less than nothing. Log-moneyness is ln(strike / forward), total variance is
volatility squared times years.

Two forms. `svi` is five numbers, smooth, with straight wings: w = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)).
`spline` is a shape-preserving cubic through every quote, with the volatility flat outside the quoted strikes.

Not here: time (`volatility.py`), quotes and forwards (`chains.py`).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from attrs import frozen

from crossmargin.errors import Problems, counted, suggestion

FloatArray = npt.NDArray[np.float64]
SmileForm: TypeAlias = Literal["svi", "spline"]

SMILE_FORMS = ("svi", "spline")
STEEPEST = 2.0  # a wing of total variance cannot be steeper in log-moneyness: Lee (2004), the moment formula
FEWEST = {"svi": 5, "spline": 1}  # quotes: as many as parameters; one quote is a flat smile
GRID = 201  # points at which a fitted smile is checked
ROUNDING = 1e-9  # a violation smaller than this, in g or in price / forward, is rounding


@frozen
class Smile:
    """Total variance of one expiry; data only, hashable.

    Parameters
    ----------
    form : {"svi", "spline"}
    lowest, highest : float
        Log-moneyness of the outermost quotes.
    parameters : tuple of float
        `svi`: a, b, rho, m, sigma. `spline`: empty.
    nodes, variances, slopes : tuple of float [n_nodes]
        `spline`: log-moneyness, increasing; total variance there and its derivative. `svi`: empty.
    """

    form: SmileForm
    lowest: float
    highest: float
    parameters: tuple[float, ...] = ()
    nodes: tuple[float, ...] = ()
    variances: tuple[float, ...] = ()
    slopes: tuple[float, ...] = ()


def fit_smile(
    log_moneyness: npt.ArrayLike, variance: npt.ArrayLike, *, form: SmileForm = "svi", weights: npt.ArrayLike = 1.0
) -> Smile:
    """Return the smile through (spline) or nearest to (SVI) total variances of one expiry.

    Parameters
    ----------
    log_moneyness : array [n_quotes]
        Without duplicates, in any order.
    variance : array [n_quotes]
        Total implied variance, above zero.
    form : {"svi", "spline"}
    weights : array [n_quotes]
        Of the squared errors in volatility, zero or more; a spline leaves out weight zero and ignores the rest.

    Raises
    ------
    InputError
        Fewer quotes than the form needs; rows that are not finite, not positive, or repeated; bad weights.

    Notes
    -----
    SVI is found by least squares in sqrt(w) from the best of a grid of (m, sigma), where a, b and rho are linear.
    The wings are held to slopes in [0, 2] and the smallest variance above zero: necessary against arbitrage, not
    enough, so check `butterfly`. The spline's slopes are those of Fritsch and Butland: no bump between quotes.

    References
    ----------
    Gatheral (2004), "A parsimonious arbitrage-free implied volatility parameterization": SVI. Zeliade Systems
    (2009), "Quasi-explicit calibration of Gatheral's SVI model": the grid. Lee (2004), "The moment formula for
    implied volatility at extreme strikes". Fritsch and Butland (1984), SIAM J. Sci. Stat. Comput. 5.

    Examples
    --------
    >>> smile = fit_smile([-0.2, 0.0, 0.1], [0.05, 0.04, 0.042], form="spline")
    >>> total_variance(smile, [-9.0, 0.0, 0.1])
    array([0.05 , 0.04 , 0.042])
    """
    k, w = np.atleast_1d(np.asarray(log_moneyness, dtype=np.float64)), np.asarray(variance, dtype=np.float64)
    w, weight = np.atleast_1d(w), np.asarray(weights, dtype=np.float64)
    _check_quotes(k, w, weight, form)
    weight = np.broadcast_to(weight, k.shape)
    order = np.argsort(k)[weight[np.argsort(k)] > 0.0]
    k, w, weight = k[order], w[order], weight[order]
    if form == "spline":
        return _spline(k, w)
    return Smile("svi", float(k[0]), float(k[-1]), parameters=_fit_svi(k, w, weight / weight.max()))


def total_variance(smile: Smile, log_moneyness: npt.ArrayLike) -> FloatArray:
    """Return total variance at any log-moneyness, in the shape given.

    Examples
    --------
    >>> total_variance(Smile("svi", -1, 1, parameters=(0.01, 0.1, 0.0, 0.0, 0.3)), 0.4)
    array(0.06)
    """
    k = np.asarray(log_moneyness, dtype=np.float64)
    if smile.form == "spline":
        return _hermite(smile, k)[0]
    a, b, rho, m, sigma = smile.parameters
    return np.asarray(a + b * (rho * (k - m) + np.sqrt((k - m) ** 2 + sigma**2)))


def derivatives(smile: Smile, log_moneyness: npt.ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return total variance and its first and second derivative in log-moneyness."""
    k = np.asarray(log_moneyness, dtype=np.float64)
    if smile.form == "spline":
        return _hermite(smile, k)
    _, b, rho, m, sigma = smile.parameters
    root = np.sqrt((k - m) ** 2 + sigma**2)
    return total_variance(smile, k), b * (rho + (k - m) / root), b * sigma**2 / root**3


def butterfly(smile: Smile) -> tuple[FloatArray, FloatArray]:
    """Return log-moneyness [n] inside the quotes and how far each point is from butterfly arbitrage.

    Negative is arbitrage. `svi`: Durrleman's g, to which the risk-neutral density is proportional. `spline`:
    its second derivative jumps, so the measure is the change of slope of undiscounted call prices in strike at
    each inner node: the probability that the quotes put near it.

    References
    ----------
    Gatheral and Jacquier (2014), "Arbitrage-free SVI volatility surfaces", Quantitative Finance 14, lemma 2.2.
    """
    if smile.form == "spline":
        nodes = np.array(smile.nodes)
        strike, price = np.exp(nodes), _call_price(nodes, np.array(smile.variances))
        return nodes[1:-1], np.diff(np.diff(price) / np.diff(strike))
    k = np.linspace(smile.lowest, smile.highest, GRID)
    w, first, second = derivatives(smile, k)
    return k, (1.0 - 0.5 * k * first / w) ** 2 - 0.25 * first**2 * (1.0 / w + 0.25) + 0.5 * second


def _call_price(k: FloatArray, w: FloatArray) -> FloatArray:
    """Return Black's call over the forward."""
    from scipy.special import ndtr

    s = np.sqrt(w)
    return np.asarray(ndtr(-k / s + 0.5 * s) - np.exp(k) * ndtr(-k / s - 0.5 * s))


# ------------------------------------------------------------------------------------------------- the spline


def _spline(k: FloatArray, w: FloatArray) -> Smile:
    from scipy.interpolate import PchipInterpolator

    slopes = PchipInterpolator(k, w).derivative()(k) if len(k) > 1 else np.zeros(1)
    ends = float(k[0]), float(k[-1])
    return Smile("spline", *ends, nodes=tuple(k.tolist()), variances=tuple(w.tolist()), slopes=tuple(slopes.tolist()))


def _hermite(smile: Smile, k: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the cubic through the nodes and its two derivatives; flat outside them."""
    nodes, w, slope = (np.array(column) for column in (smile.nodes, smile.variances, smile.slopes))
    if len(nodes) == 1:
        return np.full(k.shape, w[0]), np.zeros(k.shape), np.zeros(k.shape)
    left = np.clip(np.searchsorted(nodes, k, side="right") - 1, 0, len(nodes) - 2)
    width = nodes[left + 1] - nodes[left]
    u = np.clip(k - nodes[left], 0.0, width) / width
    rise, start, end = w[left + 1] - w[left], slope[left] * width, slope[left + 1] * width
    square, cube = 3.0 * rise - 2.0 * start - end, start + end - 2.0 * rise
    inside = (k >= nodes[0]) & (k <= nodes[-1])
    value = np.where(u == 1.0, w[left + 1], w[left] + u * (start + u * (square + u * cube)))
    first = np.where(inside, (start + u * (2.0 * square + 3.0 * u * cube)) / width, 0.0)
    return value, first, np.where(inside, (2.0 * square + 6.0 * u * cube) / width**2, 0.0)


# --------------------------------------------------------------------------------------------------------- SVI


def _fit_svi(k: FloatArray, w: FloatArray, weight: FloatArray) -> tuple[float, ...]:
    """Return a, b, rho, m, sigma of the weighted least-squares fit in sqrt(w)."""
    from scipy.optimize import least_squares

    wanted, factor = np.sqrt(w), np.sqrt(weight)
    span = max(float(k[-1] - k[0]), 1e-3)

    def misfit(point: FloatArray) -> Any:
        return factor * (np.sqrt(_svi(point, k)[0]) - wanted) / wanted.mean()

    def jacobian(point: FloatArray) -> Any:
        value, partial = _svi(point, k)
        return (factor / (2.0 * np.sqrt(value) * wanted.mean()))[:, None] * partial

    low = np.array([1e-3 * w.min(), 0.0, 0.0, k[0] - span, 1e-3 * span])
    high = np.array([2.0 * w.max(), STEEPEST, STEEPEST, k[-1] + span, 10.0 * span])
    start = np.clip(_svi_start(k, w, weight), low + 1e-9 * (high - low), high - 1e-9 * (high - low))
    found = least_squares(misfit, start, jac=jacobian, bounds=(low, high), x_scale=high - low, xtol=1e-12, ftol=1e-12)
    least, down, up, m, sigma = (float(v) for v in found.x)
    b = 0.5 * (down + up)
    rho = (up - down) / (up + down) if b > 0.0 else 0.0
    return least - b * sigma * np.sqrt(max(1.0 - rho**2, 0.0)), b, rho, m, sigma


def _svi(point: FloatArray, k: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return variance [n] and its derivatives [n, 5] in (least variance, slope of each wing, m, sigma).

    In these terms every bound is a box: w = least + (up - down)/2 (k - m) + (up + down)/2 root - sigma sqrt(up down).
    """
    least, down, up, m, sigma = point
    y, root = k - m, np.sqrt((k - m) ** 2 + sigma**2)
    tilt, b, both = 0.5 * (up - down), 0.5 * (up + down), np.sqrt(max(up * down, 1e-300))
    value = least + tilt * y + b * root - sigma * both
    partial = [
        np.ones(len(k)),
        0.5 * (root - y) - 0.5 * sigma * up / both,
        0.5 * (root + y) - 0.5 * sigma * down / both,
        -tilt - b * y / root,
        b * sigma / root - both,
    ]
    return np.maximum(value, 1e-12), np.column_stack(partial)


def _svi_start(k: FloatArray, w: FloatArray, weight: FloatArray) -> FloatArray:
    """Return (least, down, up, m, sigma) of the best linear fit over a grid of (m, sigma)."""
    span = max(float(k[-1] - k[0]), 1e-3)
    best, least_error = np.array([w.min(), 0.1, 0.1, 0.0, 0.3 * span]), np.inf
    factor = np.sqrt(weight)
    for m in np.linspace(k[0], k[-1], 7):
        for sigma in span * np.array([0.03, 0.1, 0.3, 1.0]):
            columns = np.column_stack([np.ones(len(k)), k - m, np.sqrt((k - m) ** 2 + sigma**2)])
            a, tilt, b = np.linalg.lstsq(columns * factor[:, None], w * factor, rcond=None)[0]
            down, up = np.clip([b - tilt, b + tilt], 0.0, STEEPEST)
            error = float((weight * (columns @ [a, tilt, b] - w) ** 2).sum())
            if error < least_error and b > 0.0:
                best = np.array([a + sigma * np.sqrt(down * up), down, up, m, sigma])
                least_error = error
    return best


def _check_quotes(k: FloatArray, w: FloatArray, weight: FloatArray, form: str) -> None:
    problems = Problems()
    if form not in SMILE_FORMS:
        problems.add(f"{form!r} is no form of a smile.", where="form", fix=suggestion(str(form), SMILE_FORMS))
    elif k.ndim != 1 or k.shape != w.shape or weight.shape not in {(), k.shape}:
        problems.add(f"shapes {k.shape}, {w.shape} and {weight.shape} (weights) differ.", where="quotes")
    else:
        rows = np.arange(len(k))
        wrong = {
            "log-moneyness is not finite": rows[~np.isfinite(k)],
            "total variance is not a number above zero": rows[~(np.isfinite(w) & (w > 0.0))],
            "a weight is not zero or more": rows[~np.broadcast_to(np.isfinite(weight) & (weight >= 0.0), k.shape)],
            "the same log-moneyness twice": rows[~np.isin(rows, np.unique(k, return_index=True)[1])],
        }
        for what, where in wrong.items():
            if len(where):
                problems.add(f"{what}.", where="quote " + ", ".join(map(str, where[:10])), fix="Mend or drop them.")
        count = int(np.broadcast_to(weight > 0.0, k.shape).sum())
        if count < FEWEST[form]:
            fix = "Use form='spline'." if count and form == "svi" else "Give more quotes."
            problems.add(
                f"{counted(count, 'quote')} with weight; {form} needs {FEWEST[form]}.", where="quotes", fix=fix
            )
    problems.raise_if_any("cannot fit the smile")

"""Small formulas with which published models combine or dampen margin figures.

Call `blend` to mix a historical with a stressed measure; each of the others is one published rule. They
take plain numbers, USD (losses > 0) or volatilities, and hold no parameter of a rule: the caller reads those.
The tail measures themselves are in `risk`.
"""

from __future__ import annotations

from attrs import frozen

from crossmargin.errors import Problems, is_number


@frozen
class AnticyclicalMargins:
    """Margin under each of the three anticyclical options, in the unit of the margin that went in."""

    option_a: float
    option_b: float
    option_c: float


def blend(
    historical: float,
    stress: float,
    weight: float,
    *,
    liquidity_charge: float = 0.0,
    concentration_charge: float = 0.0,
) -> float:
    """Return `weight * historical + (1 - weight) * stress`, plus both charges (all USD, losses > 0).

    References
    ----------
    Structure of CME SPAN 2, as published by the exchange.

    Examples
    --------
    >>> blend(1000.0, 1600.0, 0.75, liquidity_charge=50.0, concentration_charge=20.0)
    1220.0
    """
    _check(
        ("weight",),
        historical=historical,
        stress=stress,
        weight=weight,
        liquidity_charge=liquidity_charge,
        concentration_charge=concentration_charge,
    )
    return weight * historical + (1.0 - weight) * stress + liquidity_charge + concentration_charge


def stressed_volatility_mix(current: float, stress: float, stress_weight: float) -> float:
    """Return `(1 - stress_weight) * current + stress_weight * stress`: linear in volatility, not in variance.

    The mix is taken even where the stressed volatility is the lower one.

    References
    ----------
    ICE Clear Europe, risk management pages (25 % stress).

    Examples
    --------
    >>> round(stressed_volatility_mix(0.01, 0.03, 0.25), 12)
    0.015
    """
    _check(("stress_weight",), current=current, stress=stress, stress_weight=stress_weight)
    return (1.0 - stress_weight) * current + stress_weight * stress


def anticyclical_options(
    unbuffered_margin: float,
    *,
    buffer_fraction: float,
    buffer_used_fraction: float,
    current_volatility: float,
    stress_volatility: float,
    stress_weight: float,
    ten_year_volatility: float,
    margin_per_unit_volatility: float,
) -> AnticyclicalMargins:
    """Return the margin (USD) under each of the three ways to dampen procyclicality.

    a) a buffer on top, of which a part may be used up in stress; b) margin at the volatility mixed with a
    stressed one; c) margin no lower than at the volatility of ten years.

    References
    ----------
    Article 28(1) of Commission Delegated Regulation (EU) 153/2013.

    Examples
    --------
    >>> anticyclical_options(
    ...     100.0,
    ...     buffer_fraction=0.25,
    ...     buffer_used_fraction=0.0,
    ...     current_volatility=0.5,
    ...     stress_volatility=1.5,
    ...     stress_weight=0.25,
    ...     ten_year_volatility=0.65,
    ...     margin_per_unit_volatility=200.0,
    ... )
    AnticyclicalMargins(option_a=125.0, option_b=150.0, option_c=130.0)
    """
    _check(
        ("buffer_used_fraction",),
        unbuffered_margin=unbuffered_margin,
        buffer_fraction=buffer_fraction,
        buffer_used_fraction=buffer_used_fraction,
        ten_year_volatility=ten_year_volatility,
        margin_per_unit_volatility=margin_per_unit_volatility,
    )
    mixed = stressed_volatility_mix(current_volatility, stress_volatility, stress_weight)
    return AnticyclicalMargins(
        option_a=unbuffered_margin * (1.0 + buffer_fraction * (1.0 - buffer_used_fraction)),
        option_b=margin_per_unit_volatility * mixed,
        option_c=max(unbuffered_margin, margin_per_unit_volatility * ten_year_volatility),
    )


def offset_cap(standalone: float, combined: float, reduction_cap: float) -> float:
    """Return margin (USD) when only `reduction_cap` of the offset `standalone - combined` is recognised.

    References
    ----------
    Article 27(4) of Commission Delegated Regulation (EU) 153/2013.

    Examples
    --------
    >>> offset_cap(100.0, 10.0, 0.8)
    28.0
    """
    _check(("reduction_cap",), standalone=standalone, combined=combined, reduction_cap=reduction_cap)
    return standalone - reduction_cap * (standalone - combined)


def _check(shares: tuple[str, ...], **amounts: float) -> None:
    """Raise for every amount that is not a finite number, and for every name in `shares` outside [0, 1]."""
    problems = Problems()
    for name, value in amounts.items():
        if not is_number(value):
            problems.add(f"{value!r} is not a finite number.", where=name)
        elif name in shares and not 0.0 <= value <= 1.0:
            problems.add(f"{value!r} is not a fraction from 0 to 1.", where=name)
    problems.raise_if_any()

"""Guardrails of harmonized regimes: each a function of lines, laid on so that none lowers a requirement.

A guardrail is on when the proposal states its parameter and, where it has the list `guardrails`, names it there:
`switched_on(p)`. `measured` gives every guardrail's line what the requirement would be without it alone. The functions
take amounts and shares; the parameters are the proposal's, and nothing here margins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from attrs import evolve

from crossmargin import prisma
from crossmargin.columns import FloatArray
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.parameters import Reader
from crossmargin.results import Line, not_modelled, scaled, smallest, total

GUARDRAILS: Mapping[str, str] = MappingProxyType(  # name -> the parameter without which there is none
    {
        "offset_gate": "offset_pairs",
        "offset_cap": "offset_share",
        "stress_weight": "stress_weight",
        "long_run_floor": "long_run_years",
        "buffer": "buffer_fraction",
        "correlation_break": "correlation_break",
        "liquidity_add_on": "impact_factors",
        "concentration_add_on": "concentration_factors",
        "reduction_cap": "reduction_cap",
        "siloed_floor": "floor_share",
        "stress_floor": "stress_floor_share",
        "pot_minimum": "pot_minimum",
    }
)
"""Every guardrail, in the order in which they are laid on."""


def switched_on(p: Reader) -> frozenset[str]:
    """Return the guardrails of a proposal that are on: those that it states and, where it lists some, names.

    Raises
    ------
    InputError
        Unknown names, and guardrails whose parameter the proposal has not: all at once.
    """
    stated = [name for name, parameter in GUARDRAILS.items() if p.optional(parameter) is not None]
    named, problems = p.optional("guardrails"), Problems()
    p.taken()  # a switch alone is behind no figure; the guardrail's own line says what it read
    for name in named or ():
        if name not in GUARDRAILS:
            problems.add(f"unknown guardrail {name!r}.", where="guardrails", fix=suggestion(str(name), GUARDRAILS))
        elif name not in stated:
            problems.add(f"{name!r} needs {GUARDRAILS[name]!r}.", where="guardrails", fix="Choose a rule that has it.")
    problems.raise_if_any()
    return frozenset(stated if named is None else named)


def measured(on: frozenset[str], asked: Callable[[frozenset[str], Mapping[str, float | None]], Line]) -> Line:
    """Return the requirement under guardrails, each line of which knows what is asked without it alone.

    Parameters
    ----------
    on : set of str
        The guardrails.
    asked : callable
        The requirement under some of them; given what is asked without each, it marks their lines (`marked`).
    """
    without = {name: asked(on - {name}, {}).amount for name in sorted(on)}
    return asked(on, without)


def marked(name: str, line: Line, without: Mapping[str, float | None]) -> Line:
    """Return a guardrail's line with, beside it, what the whole requirement would be without it, USD."""
    amount = without.get(name)
    return line if amount is None else evolve(line, memo=(*line.memo, Line(f"requirement without {name}", amount)))


# ------------------------------------------------------------------------------ what shapes the simulated loss


def margined_apart(losses: Iterable[Line], **more: Any) -> Line:
    """Return the sum of what each block of the offset gate loses on its own: no offset between blocks."""
    return total("margined apart", losses, **more)


def offset_cap(model: Line, alone: Line, share: float, **more: Any) -> Line:
    """Return the loss when only a share of the offset between groups is recognised.

    Parameters
    ----------
    model, alone : Line
        What the groups lose together, and each on its own added up, USD.
    share : float
        Of `alone - model` that counts, in [0, 1].

    References
    ----------
    Article 27(4) of Commission Delegated Regulation (EU) 153/2013: `combining.offset_cap`.

    Examples
    --------
    >>> offset_cap(Line("model", 10.0), Line("alone", 100.0), 0.8).amount
    28.0
    """
    kept = 1.0 - _share("offset_share", share)
    parts = [scaled("kept of the groups alone", kept, alone), scaled("share of the model", share, _again(model))]
    return total("cap on offsets", parts, **more)


def stress_weight(model: Line, stressed: Line, weight: float, **more: Any) -> Line:
    """Return the loss mixed with the stressed one, `(1 - weight) x model + weight x stressed`.

    References
    ----------
    Article 28(1)(b) of Commission Delegated Regulation (EU) 153/2013.

    Examples
    --------
    >>> stress_weight(Line("model", 100.0), Line("stressed", 180.0), 0.25).amount
    120.0
    """
    parts = [
        scaled("share of the model", 1.0 - _share("stress_weight", weight), _again(model)),
        scaled("share of the stressed loss", weight, stressed),
    ]
    return total("stress weight", parts, **more)


# --------------------------------------------------------------------------------------------- what is added


def buffer(model: Line, fraction: float, used: float, **more: Any) -> Line:
    """Return what a buffer adds of which a part is used up.

    References
    ----------
    Article 28(1)(a) of Commission Delegated Regulation (EU) 153/2013.

    Examples
    --------
    >>> buffer(Line("model", 100.0), 0.25, 0.2).amount
    20.0
    """
    left = 1.0 - _share("buffer_used_fraction", used)
    return scaled("buffer", _share("buffer_fraction", fraction) * left, _again(model), **more)


def correlation_break(pnl: FloatArray, model: Line, table: Mapping[str, Any], **more: Any) -> Line:
    """Return what windows add in which offsets failed that held over the whole sample: never negative, USD.

    Parameters
    ----------
    pnl : array [n_scenarios]
        In the order of dates, gain > 0.
    model : Line
        Of which the bounds are fractions.
    table
        `window`, `confidence`, `kappa`, `lower_bound_fraction`, `upper_bound_fraction`.

    References
    ----------
    Eurex Clearing, Prisma methodology: `prisma.correlation_break`.
    """
    name, settings = "correlation break", dict(table)
    if not pnl.size or not pnl.any():
        return Line(name, 0.0, **more)
    window = settings.pop("window")
    if pnl.size < window:
        return not_modelled(name, f"the sample is shorter than a window of {window}", **more)
    confidence, risk = settings.pop("confidence"), max(0.0, model.value)
    found = prisma.correlation_break(pnl, window, confidence, pure_market_risk=risk, **settings)
    return Line(name, found.adjustment, **more)


# ------------------------------------------------------------------------------------------ below which nothing goes


def reduction_cap(siloed: Line, cap: float, **more: Any) -> Line:
    """Return what remains when the reduction against the siloed requirement is capped, USD."""
    return scaled("cap on the reduction", 1.0 - _share("reduction_cap", cap), siloed, **more)


def siloed_floor(siloed: Line, share: float, **more: Any) -> Line:
    """Return the share of the siloed requirement that stays required, USD."""
    return scaled("floor of the siloed requirement", _share("floor_share", share), siloed, **more)


def stress_floor(worst: Line, share: float, **more: Any) -> Line:
    """Return the share of the worst loss of the stress period that stays required, USD."""
    return scaled("stress floor", _share("stress_floor_share", share), worst, **more)


def pot_minimum(pots: Iterable[Line], least: float, **more: Any) -> Line:
    """Return the sum, over today's pots, of the least amount of each: `least`, or all that it asks where that is less.

    Lines of one name are one pot: a clearing house holds one, whatever the number of accounts.

    Examples
    --------
    >>> pot_minimum([Line("FICC", 400.0), Line("CME", 5000.0)], 1000.0).amount
    1400.0
    """
    if not least >= 0.0:
        raise InputError([Problem(f"{least!r} is below 0.", "pot_minimum", "Give USD, 0 or more.")])
    asked: dict[str, list[Line]] = {}
    for pot in (pot for pot in pots if pot.value):
        asked.setdefault(pot.name, []).append(_again(pot))
    floors = [
        smallest(f"least of {name}", [total(name, lines), Line("pot minimum", least)]) for name, lines in asked.items()
    ]
    return total("minimum per pot", floors, **more)


def _again(line: Line) -> Line:
    """Return a line that stands elsewhere in full, without its parts."""
    return Line(line.name, line.value)


def _share(name: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise InputError([Problem(f"{value!r} is not in [0, 1].", name, "Give a share from 0 to 1.")])
    return value

"""What margin does not cover, for a study: losses of every regime and pot, and savings against them over switches.

Call `uncovered(...)` for the records of `protection`, `traded_off(...)` for those of `frontier` over `switches`: every
regime as it is, every guardrail of a proposal alone, and caps on reductions. Nothing is calculated here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from crossmargin.analysis.coverage import held_at
from crossmargin.analysis.default import default_rules
from crossmargin.analysis.protection import Switch, frontier, protection
from crossmargin.analysis.residual_losses import BEARERS, MEASURES, study_rules
from crossmargin.guardrails import GUARDRAILS
from crossmargin.io.journal import Record
from crossmargin.market import Market
from crossmargin.parameters import Rules
from crossmargin.portfolio import Portfolio
from crossmargin.regimes import Regime

CAPS = (0.25, 0.5, 0.75)
MEASURE, DEFAULT, SCENARIOS = "expected", "leg", "stress"  # of the frontier
BORNE = tuple(f"borne_by_{name.replace(' ', '_')}" for name in BEARERS)
_LOSSES = (*MEASURES, "frequency", *BORNE)
_BECAUSE = "study of a switch"
_CAP, _GUARDRAILS = "reduction_cap", "guardrails"


def own_rules(calibration: date) -> tuple[Rules, ...]:
    """Return the parameters of the study of losses and the rules of default, those of one day on every day."""
    return tuple(held_at(each, calibration) for each in (study_rules(), default_rules()))


def uncovered(
    portfolio: Portfolio, market: Market, regimes: Iterable[Regime], *, rules: Iterable[Rules]
) -> dict[str, list[Record]]:
    """Return the losses beyond margin of every regime, place and kind of default, and what is to be said of them.

    That nothing is lost is not known where a position has no profit and loss, or no requirement to set it against: such
    losses are None.
    """
    found = protection(portfolio, market, regimes, rules=rules)
    records = []
    for each, row in zip(found.rows, found.to_records(), strict=True):
        unknown = _LOSSES if each.left_out and not each.worst else ()
        records.append({name: None if name in unknown else value for name, value in row.items() if name != "as_of"})
    return {"protection": records, "notes": [{"note": f"losses beyond margin: {note}"} for note in found.notes]}


def traded_off(
    portfolio: Portfolio, market: Market, regimes: Iterable[Regime], *, rules: Iterable[Rules]
) -> dict[str, list[Record]]:
    """Return what every switch saves against the mean stressed loss that it leaves when a leg is closed out alone."""
    known = tuple(rules)
    tried = switches(regimes, {each.id: each for each in known})
    how = {"scenarios": SCENARIOS, "default": DEFAULT, "measure": MEASURE}
    found = frontier(portfolio, market, tried, rules=known, **how).to_records()
    return {"frontier": [{name: value for name, value in row.items() if name != "as_of"} for row in found]}


def switches(regimes: Iterable[Regime], book: Mapping[str, Rules]) -> tuple[Switch, ...]:
    """Return the regimes as they are, and then each with other settings of the programmes in it.

    Parameters
    ----------
    book : mapping of id to Rules
        The rules as they hold; those of programmes that are not in it are left alone.
    """
    chosen = tuple(regimes)
    studied = (switch for regime in chosen for switch in _varied(regime, book))
    return (*(Switch(regime.name, regime) for regime in chosen), *studied)


def _varied(regime: Regime, book: Mapping[str, Rules]) -> Iterator[Switch]:
    for id in regime.programmes:
        rule = book.get(id)
        if rule is None:
            continue
        if _GUARDRAILS in rule.parameters:
            yield from _guarded(regime, rule)
        elif _CAP in rule.parameters:
            for cap in CAPS:
                capped = rule.with_values(because=_BECAUSE, reduction_cap=cap)
                yield Switch(f"{regime.name}, reduction of {id} capped at {cap:.0%}", regime, [capped])


def _guarded(regime: Regime, rule: Rules) -> Iterator[Switch]:
    on = rule.parameters[_GUARDRAILS].values[-1].value
    for name in ("", *(name for name, parameter in GUARDRAILS.items() if parameter in rule.parameters)):
        alone = [name] if name else []
        if alone != list(on):
            overlaid = rule.with_values(because=_BECAUSE, guardrails=alone)
            yield Switch(f"{regime.name}, {f'{name} alone' if name else 'no guardrail'}", regime, [overlaid])

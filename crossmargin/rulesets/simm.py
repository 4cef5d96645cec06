"""Initial margin that the holder of uncleared portfolios posts by SIMM, from their sensitivities.

Call `requirement` with a pool of `SensitivityPortfolio`; the formulas are in `crossmargin.simm`. `Market.simm` is the
calibration, which the user brings: the library holds none. Thresholds and who collects are in `uncleared_margin`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import evolve

from crossmargin.errors import counted
from crossmargin.methodology import Inputs, unmodelled
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool, Position
from crossmargin.products.sensitivities import SensitivityPortfolio
from crossmargin.results import Line, not_modelled, total
from crossmargin.scenarios import ScenarioSpec
from crossmargin.simm import LICENCE, AddOns, Calibration, simm
from crossmargin.simm.netting_sets import Part, netting_set

_NO_CALIBRATION = (
    f"the market has no SIMM calibration: give simm.json, or Market(simm=load_calibration(path)). {LICENCE}"
)
_NO_SENSITIVITIES = "SIMM takes sensitivities: hold the trades in a sensitivity_portfolio"


def scenarios(_p: Reader) -> tuple[ScenarioSpec, ...]:
    """Return no scenarios: SIMM takes sensitivities."""
    return ()


def requirement(pool: Pool, inputs: Inputs, p: Reader) -> Line:
    """Return the initial margin that the owner of a pool posts, USD: a tree of product and risk classes.

    All portfolios of the pool with one counterparty, the firm unless they say otherwise, are one netting set; sets add
    up. The owner posts what the other party asks, whose sensitivities are the owner's turned round.

    Raises
    ------
    InputError
        A portfolio has buckets or tenors that the calibration does not know, or this has no such horizon.

    References
    ----------
    ISDA SIMM Methodology, sections A and B; 17 CFR 23.154(b) for the close-out that a model must assume.
    """
    held: dict[str, list[tuple[Position, SensitivityPortfolio]]] = {}
    others: list[Position] = []
    for position in pool.positions:
        product = position.product
        if isinstance(product, SensitivityPortfolio):
            held.setdefault(product.counterparty or pool.firm, []).append((position, product))
        else:
            others.append(position)
    lines = [line for name, members in held.items() for line in _set_lines(name, members, inputs.market.simm, p)]
    return total("simm requirement", [*lines, *unmodelled(others, _NO_SENSITIVITIES)], reads=p.taken())


def _set_lines(
    name: str, members: Sequence[tuple[Position, SensitivityPortfolio]], calibration: Calibration | None, p: Reader
) -> Iterator[Line]:
    """Yield the margin of one netting set and what it leaves out."""
    if calibration is None:
        yield from unmodelled((position for position, _ in members), _NO_CALIBRATION)
        return
    yield _margin(name, members, calibration, p)
    for position, product in members:
        if product.schedule_rows:
            why = f"the schedule is for {counted(product.schedule_rows, 'row')} of it: hold these trades themselves"
            yield not_modelled(f"{position.id}: {product.symbol}", why)


def _margin(
    name: str, members: Sequence[tuple[Position, SensitivityPortfolio]], calibration: Calibration, p: Reader
) -> Line:
    sensitivities, add_ons = netting_set(_parts(members))
    terms = {"horizon_days": p.horizon_days, "calculation_currency": p.calculation_currency}
    found = simm(sensitivities, calibration, add_ons=add_ons, side="post", **terms)
    return evolve(found.line(), name=f"SIMM of what is held with {name}")


def _parts(members: Iterable[tuple[Position, SensitivityPortfolio]]) -> Iterator[Part]:
    """Yield each portfolio once, with the quantity of all its positions."""
    quantities: dict[SensitivityPortfolio, float] = {}
    for position, product in members:
        quantities[product] = quantities.get(product, 0.0) + position.quantity
    for product, quantity in quantities.items():
        yield Part(product.sensitivities, product.add_ons or AddOns(), quantity)

"""SIMM of a set of sensitivities: `simm(sensitivities, calibration)`, with product classes, multipliers and add-ons.

The result holds every part as numbers; `SimmMargin.line()` is the same as a tree that checks its own arithmetic.
One call is one netting set: sets that do not net are margined one by one. Nothing is offset between product classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from attrs import evolve, field, frozen

from crossmargin.columns import FloatArray, readonly
from crossmargin.errors import Problem, Problems, is_number, suggestion
from crossmargin.records import as_tuple
from crossmargin.results import Line, scaled, total
from crossmargin.simm.calibration import LICENCE, Calibration
from crossmargin.simm.curvature import Curvature, curvature
from crossmargin.simm.measures import Aggregate, base_correlation, delta, vega
from crossmargin.simm.parameters import Parameters
from crossmargin.simm.risk_types import INSIDE, MEASURES, PRODUCT_CLASSES, RISK_CLASSES, RISK_TYPES, currency
from crossmargin.simm.sensitivities import Sensitivities, net, rows_text

Side = Literal["collect", "post"]


@frozen
class NotionalAddOn:
    """An add-on of `factor_pct` percent of the notional of one product, USD."""

    product: str
    factor_pct: float
    notional_usd: float

    @property
    def amount(self) -> float:
        """The add-on, USD."""
        return self.factor_pct / 100 * self.notional_usd


@frozen
class AddOns:
    """What is agreed beyond the sensitivities: multipliers of product classes, fixed amounts, shares of notionals.

    Raises
    ------
    InputError
        A multiplier is below 1 or of no product class, or an amount is negative or not finite.
    """

    multipliers: Mapping[str, float] = field(factory=dict)
    fixed_usd: tuple[float, ...] = field(default=(), converter=as_tuple)
    notional: tuple[NotionalAddOn, ...] = field(default=(), converter=as_tuple)

    def __attrs_post_init__(self) -> None:
        problems = Problems()
        for name, value in self.multipliers.items():
            if name not in PRODUCT_CLASSES:
                problems.add(f"{name!r} is unknown.", where="multipliers", fix=suggestion(name, PRODUCT_CLASSES))
            if not (is_number(value) and value >= 1.0):
                problems.add(f"{value!r} is below 1.", where=f"multipliers {name!r}", fix="Give 1 or more.")
        for place, amount in enumerate(self.fixed_usd):
            _check_amount(problems, amount, f"fixed_usd[{place}]")
        for each in self.notional:
            _check_amount(problems, each.factor_pct, f"factor of {each.product!r}")
            _check_amount(problems, each.notional_usd, f"notional of {each.product!r}")
        problems.raise_if_any()

    @property
    def amount(self) -> float:
        """Fixed amounts and shares of notionals, USD."""
        return math.fsum((*self.fixed_usd, *(each.amount for each in self.notional)))

    def lines(self) -> Iterator[Line]:
        """Yield a line for each add-on."""
        yield from (Line("fixed add-on", amount) for amount in self.fixed_usd)
        for each in self.notional:
            notional = Line(f"notional of {each.product}", each.notional_usd)
            yield scaled(f"add-on for {each.product}", each.factor_pct / 100, notional)


def notional_add_ons(
    factors: Iterable[tuple[str, float]], notionals: Iterable[tuple[str, float]]
) -> tuple[NotionalAddOn, ...]:
    """Return the add-ons of percent factors and notionals in USD by product; a product without a notional owes nothing.

    Examples
    --------
    >>> notional_add_ons([("Product Alpha", 12.5)], [("Product Alpha", 1e6), ("Product Alpha", -6e6)])[0].amount
    875000.0
    """
    held: dict[str, float] = {}
    for product, amount in notionals:
        held[product] = held.get(product, 0.0) + abs(amount)
    return tuple(NotionalAddOn(product, factor, held.get(product, 0.0)) for product, factor in factors)


def _check_amount(problems: Problems, value: float, where: str) -> None:
    if not (is_number(value) and value >= 0.0):
        problems.add(f"{value!r} is not a finite number of at least 0.", where=where)


@frozen(eq=False)
class RiskClassMargin:
    """The margin of one risk class of one product class, by measure."""

    product_class: str
    risk_class: str
    measures: Mapping[str, Aggregate | Curvature]

    def measure(self, name: str) -> float:
        """Return delta, vega, curvature or base_correlation margin, USD; 0 where there is none."""
        return self.measures[name].amount if name in self.measures else 0.0

    @property
    def amount(self) -> float:
        """The measures added, USD."""
        return math.fsum(each.amount for each in self.measures.values())

    def line(self) -> Line:
        """Return the margin as the sum of its measures."""
        return total(self.risk_class, [each.line(name) for name, each in self.measures.items()])


@frozen(eq=False)
class SimmMargin:
    """SIMM of one netting set, USD.

    Attributes
    ----------
    risk_classes : tuple of RiskClassMargin
        Those that occur.
    risk_class_correlation : array [6, 6]
        In the order of `RISK_CLASSES`.
    """

    calibration: str
    horizon_days: int
    calculation_currency: str
    side: Side
    risk_classes: tuple[RiskClassMargin, ...] = field(repr=False)
    risk_class_correlation: FloatArray = field(converter=readonly, repr=False)
    add_ons: AddOns

    @property
    def product_classes(self) -> tuple[str, ...]:
        """The product classes that occur."""
        found = {each.product_class for each in self.risk_classes}
        return tuple(name for name in PRODUCT_CLASSES if name in found)

    def of(self, product_class: str, risk_class: str) -> RiskClassMargin:
        """Return the margin of one risk class of one product class, of nothing when it does not occur."""
        for each in self.risk_classes:
            if (each.product_class, each.risk_class) == (product_class, risk_class):
                return each
        return RiskClassMargin(product_class, risk_class, {})

    def product_class(self, name: str) -> float:
        """Return the margin of a product class before its multiplier, USD."""
        return float(self._contributions(name).sum())

    @property
    def total(self) -> float:
        """The margin: product classes times their multipliers, and the add-ons, USD."""
        return math.fsum((*(self._multiplied(name) for name in self.product_classes), self.add_ons.amount))

    def line(self) -> Line:
        """Return the margin as a tree: product classes, risk classes, measures, buckets.

        A risk class counts in its product class with the share that correlation leaves of it, ``sum psi IM / total``:
        the shares add up to the margin of the product class.
        """
        note = f"SIMM {self.calibration}, {self.horizon_days} d, {self.calculation_currency}. {LICENCE}"
        classes = [self._product_line(name) for name in self.product_classes]
        return total("simm", [*classes, *self.add_ons.lines()], note=note)

    def explain(self, depth: int = 9) -> str:
        """Return the calculation as an indented tree down to `depth`."""
        from crossmargin.tables import tree  # printing is needed only when asked for

        return tree(self.line(), depth)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record for each measure of each risk class."""
        return [
            {"product_class": each.product_class, "risk_class": each.risk_class, "measure": name, "amount": part.amount}
            for each in self.risk_classes
            for name, part in each.measures.items()
        ]

    def _multiplied(self, name: str) -> float:
        return self.add_ons.multipliers.get(name, 1.0) * self.product_class(name)

    def _contributions(self, product_class: str) -> FloatArray:
        """Return what each risk class adds to a product class, USD; shape (6,)."""
        amounts = np.array([self.of(product_class, name).amount for name in RISK_CLASSES])
        parts: FloatArray = amounts * (self.risk_class_correlation @ amounts)
        square = parts.sum()
        return parts / math.sqrt(square) if square > 0.0 else np.zeros_like(parts)

    def _product_line(self, name: str) -> Line:
        lines = []
        for place, part in enumerate(self._contributions(name).tolist()):
            line = self.of(name, RISK_CLASSES[place]).line()
            if line.parts:
                share = part / line.value if line.value else 0.0
                lines.append(scaled(f"{line.name} after diversification", share, line))
        multiplier = self.add_ons.multipliers.get(name, 1.0)
        return total(name, lines) if multiplier == 1.0 else scaled(f"{name} multiplied", multiplier, total(name, lines))


def simm(
    sensitivities: Sensitivities | Iterable[Mapping[str, Any]],
    calibration: Calibration,
    *,
    horizon_days: int = 10,
    calculation_currency: str = "USD",
    add_ons: AddOns | None = None,
    side: Side = "collect",
) -> SimmMargin:
    """Return the SIMM of one netting set.

    Parameters
    ----------
    sensitivities
        Of one netting set, as columns or as records (see `Sensitivities`). Rows of equal key net; amounts in USD.
    calibration
        From `load_calibration`. The library holds none: see `calibration.LICENCE`.
    horizon_days
        10, or 1 where the calibration has it; at 1 day there are no concentration factors.
    calculation_currency
        Foreign-exchange delta in it carries no risk.
    add_ons
        Multipliers, fixed amounts and shares of notionals.
    side
        `post` turns every sensitivity round: the margin that the other party asks.

    Raises
    ------
    InputError
        Listing every row whose bucket or tenor the calibration does not know, an unknown horizon, or a bad currency.

    References
    ----------
    ISDA SIMM Methodology, sections A and B.
    """
    parameters, own = calibration.at(horizon_days), currency(str(calculation_currency))
    if not isinstance(sensitivities, Sensitivities):
        sensitivities = Sensitivities.from_records(sensitivities)
    problems = Problems()
    if own is None:
        problems.add(f"{calculation_currency!r} is no currency.", where="calculation_currency", fix="Give USD, say.")
    if side not in ("collect", "post"):
        problems.add(f"{side!r} is unknown.", where="side", fix="Give 'collect' or 'post'.")
    rows = net(sensitivities)
    if any(unknown_to(parameters, rows)):  # again with every row, for its number
        problems.extend(unknown_to(parameters, sensitivities))
    problems.raise_if_any()
    assert own is not None  # noqa: S101 - noted otherwise
    if side == "post":
        rows = evolve(rows, amount_usd=-rows.amount_usd)
    classes = tuple(_classes(rows, parameters, own))
    correlation = parameters.risk_class_correlation
    return SimmMargin(calibration.version, horizon_days, own, side, classes, correlation, add_ons or AddOns())


def _classes(rows: Sensitivities, parameters: Parameters, own: str) -> Iterator[RiskClassMargin]:
    """Yield the margin of every risk class of every product class that occurs."""
    for product_class in PRODUCT_CLASSES:
        here = rows.product_class.among((product_class,))
        for risk_class in RISK_CLASSES if here.any() else ():
            by_measure = {}
            for measure in ("delta", "vega", "base_correlation"):
                names = [name for name in INSIDE[risk_class] if RISK_TYPES[name].measure == measure]
                mask = here & rows.risk_type.among(names)
                if mask.any():
                    by_measure[measure] = rows[mask]
            if by_measure:
                yield RiskClassMargin(product_class, risk_class, _measures(by_measure, parameters, risk_class, own))


def _measures(
    rows: Mapping[str, Sensitivities], parameters: Parameters, risk_class: str, own: str
) -> Mapping[str, Aggregate | Curvature]:
    found: dict[str, Aggregate | Curvature] = {}
    if "delta" in rows:
        found["delta"] = delta(rows["delta"], parameters, risk_class, own)
    if "vega" in rows:
        found["vega"] = vega(rows["vega"], parameters, risk_class)
        found["curvature"] = curvature(rows["vega"], parameters, risk_class)
    if "base_correlation" in rows:
        found["base_correlation"] = base_correlation(rows["base_correlation"], parameters, risk_class)
    return MappingProxyType({name: found[name] for name in MEASURES if name in found})


def unknown_to(parameters: Parameters, rows: Sensitivities) -> Iterator[Problem]:
    """Yield the buckets and tenors that the calibration does not know, with their rows."""
    for kind_code, kind in enumerate(rows.risk_type.values):
        of_kind = rows.risk_type.codes == kind_code
        for name, known in _known(parameters, kind).items() if of_kind.any() else ():
            column = getattr(rows, name)
            for code in np.bincount(column.codes[of_kind], minlength=len(column.values)).nonzero()[0].tolist():
                if column.values[code] not in known:
                    where = rows_text(rows.rows[of_kind & (column.codes == code)])
                    what = f"{column.values[code]!r} is not in the calibration for {kind}."
                    yield Problem(what, f"{where}, field {name!r}", suggestion(column.values[code], known))


def _known(parameters: Parameters, kind: str) -> dict[str, tuple[str, ...]]:
    """Return the values that a calibration allows in the fields of a risk type."""
    risk_type, rates = RISK_TYPES[kind], parameters.rates.tenors
    bucketed = parameters.bucketed.get(risk_type.risk_class)
    known = {"bucket": bucketed.buckets if bucketed else (), "label1": bucketed.tenors if bucketed else ()}
    if kind in ("Risk_IRCurve", "Risk_IRVol"):
        known["label1"] = rates
    return {name: values for name, values in known.items() if values and name in risk_type.keys}

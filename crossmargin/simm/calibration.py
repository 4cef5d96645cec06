"""SIMM calibrations, read from a file that the user supplies, checked whole, frozen. No parameter is in the package.

Call `load_calibration(path)`, or `find_calibration(version, folder)`; `Calibration.at(horizon_days)` gives the
parameters. The layout is JSON: one block for each risk class, horizons as keys, matrices full and symmetric.
SIMM belongs to ISDA: see `LICENCE`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import combinations, combinations_with_replacement
from math import inf, isfinite
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import frozen

from crossmargin.columns import FloatArray, readonly
from crossmargin.errors import InputError, Problem, Problems, counted, suggestion
from crossmargin.simm.parameters import Bucketed, Fx, Groups, Parameters, Rates
from crossmargin.simm.risk_types import RESIDUAL, RISK_CLASSES

LICENCE = (
    "SIMM is the property of the International Swaps and Derivatives Association (ISDA). The library has the formulas "
    "and no parameter; commercial use of the model and of a calibration needs a licence from ISDA (isdalegal@isda.org)."
)

SCHEMA = "simm-calibration/1"
MILLION = 1e6  # thresholds are tabulated in USD million
CONCENTRATION_HORIZON = 10  # days; there are no concentration factors at the other horizon
FX_GROUPS = 2  # of volatility; `exposures` reads one correlation between them
_BUCKETED = ("credit_qualifying", "credit_non_qualifying", "equity", "commodity")
_CREDIT = ("credit_qualifying", "credit_non_qualifying")


@frozen(eq=False)
class Calibration:
    """One version of the parameters at every horizon it has. `str()` names it and the licence it needs."""

    version: str
    effective_date: str
    horizons: Mapping[int, Parameters]

    def at(self, horizon_days: int) -> Parameters:
        """Return the parameters at a horizon in business days.

        Raises
        ------
        InputError
            The calibration has no such horizon.
        """
        if horizon_days not in self.horizons:
            known = ", ".join(str(each) for each in self.horizons)
            what = f"SIMM {self.version} has no horizon of {counted(horizon_days, 'day')}."
            raise InputError([Problem(what, "horizon_days", f"Known: {known}.")])
        return self.horizons[horizon_days]

    def __str__(self) -> str:
        return f"SIMM calibration {self.version}, effective {self.effective_date}. {LICENCE}"


def load_calibration(path: str | PathLike[str]) -> Calibration:
    """Read a calibration file.

    Parameters
    ----------
    path
        A JSON file of schema `simm-calibration/1`.

    Raises
    ------
    InputError
        Listing everything that is missing, misshapen or out of range, or that the file cannot be read.
    """
    file = Path(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        fix = f"Give a calibration file; the library holds none. {LICENCE}"
        raise InputError([Problem(f"cannot be read: {error.strerror or error}.", str(file), fix)]) from error
    except (ValueError, RecursionError) as error:
        raise InputError([Problem(f"is no JSON: {error}.", file.name)]) from error
    return calibration_from(data, where=file.name)


def find_calibration(version: str, folder: str | PathLike[str]) -> Calibration:
    """Read `simm_<version>.json` of a folder, or say which versions the folder has."""
    path = Path(folder) / f"simm_{version}.json"
    if not path.is_file():
        known = sorted(each.stem.removeprefix("simm_") for each in Path(folder).glob("simm_*.json"))
        hint = suggestion(version, known) if known else "The folder holds no calibration."
        fix = f"{hint} {LICENCE}"
        raise InputError([Problem(f"no calibration {version!r}: {path.name} is not there.", str(folder), fix)])
    return load_calibration(path)


def calibration_from(data: Any, *, where: str = "calibration") -> Calibration:
    """Return the calibration that parsed JSON holds.

    Raises
    ------
    InputError
        Listing everything that is missing, misshapen or out of range.
    """
    problems = Problems()
    root = _Block(data, where, problems)
    if root.get("schema") != SCHEMA:
        problems.add(f"schema is {root.get('schema')!r}.", where=where, fix=f"Give a file of schema {SCHEMA!r}.")
    problems.raise_if_any()
    days = root.get("horizons_days")
    if not isinstance(days, list) or not days or not all(isinstance(each, int) and each > 0 for each in days):
        problems.add(f"{days!r} is no list of days.", where=f"{where} horizons_days", fix="Give [10, 1].")
        days = []
    horizons = {each: _parameters(root, each) for each in days}
    if problems.found:  # what does not depend on the horizon was found at each
        raise InputError(dict.fromkeys(problems.found), "The calibration cannot be used")
    version, date = str(root.get("version")), str(root.get("effective_date"))
    return Calibration(version, date, MappingProxyType(horizons))


def _parameters(root: _Block, horizon: int) -> Parameters:
    classes = root.block("risk_class_correlation")
    named = classes.get("risk_classes")
    if named != list(RISK_CLASSES):
        fix = f"Give {list(RISK_CLASSES)}, in this order."
        root.problems.add(f"{named!r}.", where=f"{classes.where} risk_classes", fix=fix)
    return Parameters(
        horizon,
        _rates(root.block("interest_rate"), horizon),
        MappingProxyType({name: _bucketed(root.block(name), horizon, name) for name in _BUCKETED}),
        _fx(root.block("fx"), horizon),
        classes.matrix("matrix", len(RISK_CLASSES)),
    )


def _rates(block: _Block, horizon: int) -> Rates:
    tenors, groups = block.names("tenors"), block.groups("currency_groups")
    concentration, days = block.groups("concentration_groups"), str(horizon)
    weights, names = block.block("delta_risk_weights").block(days), _group_names(concentration)
    return Rates(
        tenors=tenors,
        currency_groups=groups,
        delta_risk_weights={name: weights.row(name, len(tenors)) for name in _group_names(groups)},
        inflation_risk_weight=block.block("inflation_risk_weight").number(days),
        basis_risk_weight=block.block("cross_currency_basis_risk_weight").number(days),
        vega_risk_weight=block.block("vega_risk_weight").number(days),
        historical_volatility_ratio=block.block("historical_volatility_ratio").number(days, least=None),
        tenor_correlation=block.matrix("tenor_correlation", len(tenors)),
        sub_curve_correlation=block.correlation("sub_curve_correlation"),
        inflation_correlation=block.correlation("inflation_correlation"),
        basis_correlation=block.correlation("cross_currency_basis_correlation"),
        inter_currency_correlation=block.correlation("inter_currency_correlation"),
        concentration_groups=concentration,
        delta_thresholds=_thresholds(block.block("delta_thresholds").numbers(names, least=None), horizon),
        vega_thresholds=_thresholds(block.block("vega_thresholds").numbers(names, least=None), horizon),
    )


def _bucketed(block: _Block, horizon: int, name: str) -> Bucketed:
    buckets, credit, days = block.names("buckets"), name in _CREDIT, str(horizon)
    inside = block.block("intra_bucket_correlation")
    vega = block.block("vega_risk_weight" if credit else "vega_risk_weights")
    vega_limits = (
        [block.number("vega_threshold", least=None)] * len(buckets)
        if credit
        else list(block.block("vega_thresholds").numbers(buckets, least=None).values())
    )
    qualifying = name == "credit_qualifying"
    return Bucketed(
        buckets=buckets,
        tenors=block.names("tenors") if credit else (),
        delta_risk_weights=list(block.block("delta_risk_weights").block(days).numbers(buckets).values()),
        vega_risk_weights=[vega.number(days)] * len(buckets)
        if credit
        else list(vega.block(days).numbers(buckets).values()),
        historical_volatility_ratio=1.0
        if credit
        else block.block("historical_volatility_ratio").number(days, least=None),
        same_name=_inside(inside, buckets, "same_name", credit=credit),
        different_name=_inside(inside, buckets, "different_name", credit=credit),
        inter_bucket_correlation=_between(block.block("inter_bucket_correlation"), buckets),
        delta_thresholds=_limits(block.block("delta_thresholds").numbers(buckets, least=None).values(), horizon),
        vega_thresholds=_limits(vega_limits, horizon),
        implied_volatility=not credit,
        base_correlation_risk_weight=block.block("base_correlation_risk_weight").number(days) if qualifying else 0.0,
        base_correlation_correlation=block.correlation("base_correlation_correlation") if qualifying else 0.0,
    )


def _fx(block: _Block, horizon: int) -> Fx:
    groups, categories, days = block.groups("volatility_groups"), block.groups("concentration_categories"), str(horizon)
    weights = block.block("delta_risk_weights").block(days)
    correlations, names = block.block("delta_correlation_by_calculation_currency_group"), _group_names(groups)
    if len(names) > FX_GROUPS:
        fix = f"Give {FX_GROUPS} at most: one correlation between groups is all that the calculation has."
        block.note("volatility_groups", f"{counted(len(names), 'group')}: {', '.join(names)}.", fix)
    pairs = block.block("vega_thresholds_by_category_pair")
    limits = {}
    for first, second in combinations_with_replacement(sorted(_group_names(categories)), 2):
        key = f"{first.rpartition('_')[2]}-{second.rpartition('_')[2]}"
        limits[first, second] = limits[second, first] = _limits([pairs.number(key, least=None)], horizon)[0]
    return Fx(
        volatility_groups=groups,
        delta_risk_weights=weights.table(names),
        delta_correlation={each: correlations.block(each).table(names, least=-1.0, most=1.0) for each in names},
        vega_risk_weight=block.block("vega_risk_weight").number(days),
        historical_volatility_ratio=block.block("historical_volatility_ratio").number(days, least=None),
        vega_correlation=block.correlation("vega_correlation"),
        categories=categories,
        delta_thresholds=_thresholds(
            block.block("delta_thresholds").numbers(_group_names(categories), least=None), horizon
        ),
        vega_thresholds=limits,
    )


def _group_names(groups: Groups) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*groups.members.values(), groups.default)))


def _thresholds(millions: Mapping[str, float], horizon: int) -> dict[str, float]:
    return dict(zip(millions, _limits(millions.values(), horizon), strict=True))


def _limits(millions: Iterable[float], horizon: int) -> list[float]:
    return [each * MILLION if horizon == CONCENTRATION_HORIZON else inf for each in millions]


def _inside(block: _Block, buckets: tuple[str, ...], which: str, *, credit: bool) -> list[float]:
    """Return a correlation for each bucket: credit has one for all buckets and one for the residual."""
    if not credit:
        return list(block.numbers(buckets, least=-1.0, most=1.0).values())
    usual, residual = block.correlation(which), block.correlation(f"residual_{which}")
    return [residual if each == RESIDUAL else usual for each in buckets]


def _between(block: _Block, buckets: tuple[str, ...]) -> FloatArray:
    numbered = [each for each in buckets if each != RESIDUAL]
    if block.get("buckets") != numbered:
        block.problems.add(f"{block.get('buckets')!r}.", where=f"{block.where} buckets", fix=f"Give {numbered}.")
    matrix = np.zeros((len(buckets), len(buckets)))
    places = [place for place, each in enumerate(buckets) if each != RESIDUAL]
    matrix[np.ix_(places, places)] = block.matrix("matrix", len(numbered))
    return matrix


# --------------------------------------------------------------------------------------------- reading JSON


@frozen
class _Block:
    """A block of the file: reads a value and notes what is wrong with it, going on with a harmless one."""

    data: Any
    where: str
    problems: Problems

    def get(self, key: str) -> Any:
        return self.data.get(key) if isinstance(self.data, Mapping) else None

    def block(self, key: str) -> _Block:
        found = self.get(key)
        if not isinstance(found, Mapping):
            self.note(key, "is missing." if found is None else "is no block.")
        return _Block(found, f"{self.where} {key}", self.problems)

    def note(self, key: str, what: str, fix: str = "") -> None:
        if isinstance(self.data, Mapping):  # a block that is not there was noted when it was looked for
            self.problems.add(what, where=f"{self.where} {key}", fix=fix)

    def number(self, key: str, *, least: float | None = 0.0, most: float = inf) -> float:
        """Return a number in [least, most], or more than 0 without `least`."""
        found = self.get(key)
        if isinstance(found, bool) or not isinstance(found, int | float) or not isfinite(found):
            self.note(key, f"{found!r} is no number.")
            return 1.0
        if found > most or found < (0.0 if least is None else least) or (least is None and not found):
            bounds = (
                "more than 0"
                if least is None
                else f"at least {least:g}" + ("" if most == inf else f", at most {most:g}")
            )
            self.note(key, f"{found!r} is out of range.", f"Give a number of {bounds}.")
            return 1.0
        return float(found)

    def correlation(self, key: str) -> float:
        return self.number(key, least=-1.0, most=1.0)

    def numbers(self, names: Iterable[str], *, least: float | None = 0.0, most: float = inf) -> dict[str, float]:
        """Return a number for each name, in this order; more names are noted."""
        found = {name: self.number(name, least=least, most=most) for name in names}
        for extra in set(self.data if isinstance(self.data, Mapping) else ()) - set(found):
            self.note(extra, "is unknown.", suggestion(extra, found))
        return found

    def table(
        self, names: tuple[str, ...], *, least: float | None = 0.0, most: float = inf
    ) -> dict[str, dict[str, float]]:
        """Return a number for each pair of names, the same both ways."""
        found = {name: self.block(name).numbers(names, least=least, most=most) for name in names}
        for first, second in combinations(names, 2):
            if found[first][second] != found[second][first]:
                self.note(f"{first} {second}", f"{found[first][second]} is {found[second][first]} the other way.")
        return found

    def row(self, key: str, length: int) -> FloatArray:
        """Return a list of numbers of at least 0."""
        found = self._array(key)
        if found.shape != (length,) or not (np.isfinite(found).all() and (found >= 0.0).all()):
            self.note(key, "is no such list.", f"Give {length} numbers of at least 0.")
            found = np.ones(length)
        return readonly(found)

    def matrix(self, key: str, size: int) -> FloatArray:
        """Return a correlation matrix."""
        found = self._array(key)
        fix = f"Give {size} rows of {size} numbers from -1 to 1, symmetric, 1 on the diagonal."
        fits = found.shape == (size, size) and bool(np.isfinite(found).all())
        if not fits or (found != found.T).any() or (np.diag(found) != 1.0).any() or (np.abs(found) > 1.0).any():
            self.note(key, "is no correlation matrix.", fix)
            found = np.eye(size)
        return found

    def _array(self, key: str) -> FloatArray:
        try:
            return np.array(self.get(key), dtype=np.float64)
        except (TypeError, ValueError):
            return np.zeros(0)

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of distinct texts."""
        found = self.get(key)
        if not isinstance(found, list) or not found or not all(isinstance(each, str) for each in found):
            self.note(key, f"{found!r} is no list of names.")
            return ()
        if len(set(found)) < len(found):
            self.note(key, "names something twice.")
        return tuple(found)

    def groups(self, key: str) -> Groups:
        """Return lists of names by group, with the group of all others."""
        block = self.block(key)
        default = block.get("default_group")
        lists = {name: block.get(name) for name in (block.data or {}) if name != "default_group"}
        fits = isinstance(default, str) and all(isinstance(found, list) for found in lists.values())
        if not fits:
            self.note(key, "are no groups.", "Give a list of names for each group, and default_group.")
            return Groups({}, "")
        members = {name: group for group, names in lists.items() for name in names}
        if len(members) < sum(len(names) for names in lists.values()):
            self.note(key, "has a name in two groups.")
        return Groups(MappingProxyType(members), str(default))

"""Worked cases with known answers, run against the rules of this library or of another engine.

Call `run` with the case files. A file holds one JSON object a line: `id`, `family`, `inputs`, `expected` and
`tolerance` {`rel`, `abs`}; anything else in it is commentary. `worked.FAMILIES` names the function that answers
each family of cases. A family without a function is counted as not implemented, never skipped in silence; a
function that raises fails its case, never the run. Exit codes and printing belong to the command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import asdict, evolve, field, frozen

from crossmargin.errors import InputError, Problem, Problems, counted
from crossmargin.worked import FAMILIES, Family
from crossmargin.worked import simm as calibrated

_NEEDED: Mapping[str, type] = MappingProxyType(
    {"id": str, "family": str, "inputs": dict, "expected": dict, "tolerance": dict}
)
_JSON_NAMES: Mapping[type, str] = MappingProxyType({str: "text", dict: "an object"})


@frozen
class Tolerance:
    """A number passes when `|got - expected| <= max(abs, rel * |expected|)`."""

    rel: float
    abs: float

    def allows(self, expected: float, got: float) -> bool:
        """Whether `got` is near enough; NaN and infinities never are."""
        return abs(got - expected) <= max(self.abs, self.rel * abs(expected))


@frozen
class Case:
    """One worked case: a question to a family and the answer."""

    id: str
    family: str
    inputs: Mapping[str, Any] = field(repr=False)
    expected: Mapping[str, Any] = field(repr=False)
    tolerance: Tolerance
    folder: Path = Path()


@frozen
class Failure:
    """A field of a case that came out wrong; `field` is empty when the rule raised or answered no mapping."""

    id: str
    family: str
    field: str
    expected: Any
    got: Any
    tolerance: Tolerance
    message: str

    def __str__(self) -> str:
        return f"{self.id}{f' [{self.field}]' if self.field else ''}: {self.message}"


@frozen
class Tally:
    """How many cases of a family passed, failed, or had no function to answer them."""

    passed: int = 0
    failed: int = 0
    not_implemented: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.passed + other.passed,
            self.failed + other.failed,
            self.not_implemented + other.not_implemented,
        )


@frozen
class Outcome:
    """What came of a run: a tally for each family, by name, and every failure in the order of the cases."""

    families: Mapping[str, Tally]
    failures: tuple[Failure, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed. Cases of families not implemented do not count against it."""
        return not self.failures

    def to_json_dict(self) -> dict[str, Any]:
        """Return the outcome in plain JSON values (NaN and infinities as text)."""
        families = {name: asdict(tally) for name, tally in self.families.items()}
        return {"families": families, "failures": [_plain(asdict(failure)) for failure in self.failures]}

    def text(self) -> str:
        """Return a line for each failure, then the totals of each family, aligned."""
        total = sum(self.families.values(), Tally())
        width = max(len(name) for name in ("family", *self.families))
        rows = [*self.families.items(), ("total", total)]
        heading = f"{'family':<{width}}  passed  failed  not implemented"
        lines = [
            f"{name:<{width}}  {tally.passed:>6}  {tally.failed:>6}  {tally.not_implemented:>15}"
            for name, tally in rows
        ]
        return "\n".join([*(f"FAILED {failure}" for failure in self.failures), heading, *lines])


def run(
    paths: str | Path | Iterable[str | Path],
    *,
    families: Mapping[str, Family] = MappingProxyType({}),
    builtin: bool = True,
    calibrations: str | Path | None = None,
) -> Outcome:
    """Run every case of the files and return what passed, what failed and what has no function.

    Parameters
    ----------
    paths
        One case file or several (JSON Lines, UTF-8).
    families
        Functions from `inputs` to a mapping of results, by family; they come before those of `FAMILIES`.
    builtin
        Whether `FAMILIES` answers the other families. False to test another engine on its own.
    calibrations
        Folder of the SIMM calibrations, which the library does not hold; unless given, the nearest `data/simm` beside
        the folder of each case file or beside one that it lies in. Where there is none, the cases of SIMM fail.

    Raises
    ------
    InputError
        Listing every file that cannot be read and every malformed line, before any case is run; or `calibrations` is no
        folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> case = {"id": "double/one", "family": "double", "inputs": {"x": 1}, "expected": {"y": 2}}
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "cases.jsonl")
    ...     _ = file.write_text(json.dumps(case | {"tolerance": {"rel": 0, "abs": 0}}))
    ...     outcome = run(file, families={"double": lambda inputs: {"y": 2 * inputs["x"]}})
    >>> outcome.families["double"]
    Tally(passed=1, failed=0, not_implemented=0)
    """
    cases = read_cases(paths)
    own = _builtin_families(cases, calibrations) if builtin else {}
    tallies: dict[str, Tally] = {}
    failures: list[Failure] = []
    for case in cases:
        known = {**own.get(case.folder, {}), **families}
        result = Tally(not_implemented=1)
        if case.family in known:
            found = check(case, known[case.family])
            failures.extend(found)
            result = Tally(failed=1) if found else Tally(passed=1)
        tallies[case.family] = tallies.get(case.family, Tally()) + result
    return Outcome(MappingProxyType(dict(sorted(tallies.items()))), tuple(failures))


def _builtin_families(cases: Iterable[Case], calibrations: str | Path | None) -> dict[Path, Mapping[str, Family]]:
    """Return the library's functions for the cases of each folder; those of SIMM read the calibrations they need."""
    if calibrations is not None and not Path(calibrations).is_dir():
        fix = "Name the folder of the SIMM calibrations: --calibrations DIR, or calibrations=."
        raise InputError([Problem("is no folder.", str(calibrations), fix)])
    folders = {case.folder: None for case in cases}
    return {folder: {**FAMILIES, **calibrated.families(calibrations or _beside(folder))} for folder in folders}


def _beside(folder: Path) -> Path:
    """Return the nearest `data/simm` beside a folder or one that it lies in; `../data/simm` where there is none."""
    above = [each / "data" / "simm" for each in folder.resolve().parents]
    return next((each for each in above if each.is_dir()), folder / ".." / "data" / "simm")


def check(case: Case, answer: Family) -> tuple[Failure, ...]:
    """Return what is wrong with `answer` on one case: at most one failure for each field expected."""
    try:
        found = list(_differences(case.expected, answer(case.inputs), case.tolerance, ()))
    except Exception as error:  # noqa: BLE001  another's rule may raise anything, and the run goes on
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return (Failure(case.id, case.family, "", None, None, case.tolerance, message),)
    by_field = groupby(found, key=lambda difference: difference.path[:1])
    return tuple(_summary(case, list(wrong)) for _, wrong in by_field)


def read_cases(paths: str | Path | Iterable[str | Path]) -> tuple[Case, ...]:
    """Return the cases of all files, in order.

    Raises
    ------
    InputError
        Listing every file that cannot be read, that holds no case, and every malformed line.
    """
    files = [paths] if isinstance(paths, (str, Path)) else list(paths)
    problems = Problems()
    cases = [case for file in files for case in _read_file(Path(file), problems)]
    if not files:
        problems.add("no case file was given.", where="paths", fix="Name at least one .jsonl file.")
    problems.raise_if_any("The cases cannot be read")
    return tuple(cases)


@frozen
class _Difference:
    path: tuple[str | int, ...]
    expected: Any
    got: Any
    message: str


def _differences(expected: Any, got: Any, tolerance: Tolerance, path: tuple[str | int, ...]) -> Iterator[_Difference]:
    """Yield every value under `path` in which `got` is not what is expected."""
    if expected is None:
        return
    got = got.tolist() if hasattr(got, "tolist") else got
    if isinstance(expected, Mapping):
        yield from _mapping_differences(expected, got, tolerance, path)
    elif isinstance(expected, list):
        yield from _list_differences(expected, got, tolerance, path)
    elif isinstance(expected, (bool, str)):
        if not isinstance(got, type(expected)) or got != expected:
            yield _Difference(path, expected, got, f"expected {expected!r}, got {got!r}")
    elif isinstance(got, bool) or not isinstance(got, (int, float)):
        yield _Difference(path, expected, got, f"expected {expected!r}, got {got!r}, not a number")
    elif not tolerance.allows(expected, got):
        message = f"expected {expected!r}, got {got!r}, off by {abs(got - expected):.3g}"
        yield _Difference(path, expected, got, message)


def _mapping_differences(
    expected: Mapping[str, Any], got: Any, tolerance: Tolerance, path: tuple[str | int, ...]
) -> Iterator[_Difference]:
    if not isinstance(got, Mapping):
        yield _Difference(path, expected, got, f"expected an object, got {got!r}")
        return
    for name, value in expected.items():
        if name in got:
            yield from _differences(value, got[name], tolerance, (*path, name))
        elif value is not None:
            yield _Difference((*path, name), value, None, f"expected {value!r}, got no such field")


def _list_differences(
    expected: list[Any], got: Any, tolerance: Tolerance, path: tuple[str | int, ...]
) -> Iterator[_Difference]:
    if not isinstance(got, (list, tuple)):
        yield _Difference(path, expected, got, f"expected a list, got {got!r}")
    elif len(got) != len(expected):
        yield _Difference(path, expected, got, f"expected {counted(len(expected), 'element')}, got {len(got)}")
    else:
        for index, value in enumerate(expected):
            yield from _differences(value, got[index], tolerance, (*path, index))


def _summary(case: Case, wrong: list[_Difference]) -> Failure:
    """Return the first difference of a field, saying how many more it has."""
    first = wrong[0]
    name, *inside = first.path or ("",)
    where = str(name) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inside)
    more = f" (and {len(wrong) - 1} more in {name})" if len(wrong) > 1 else ""
    message = first.message + more
    return Failure(case.id, case.family, where, first.expected, first.got, case.tolerance, message)


def _read_file(file: Path, problems: Problems) -> Iterator[Case]:
    """Yield the cases of one file, noting each line that is none."""
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else f"byte {error.start + 1:,} is no UTF-8"
        problems.add(f"cannot be read ({why}).", where=str(file), fix="Give a JSON Lines file in UTF-8.")
        return
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        problems.add("holds no case.", where=str(file), fix="Write one JSON object a line.")
    for number, line in numbered:
        case = _read_line(line, f"{file} line {number}", problems)
        if case is not None:
            yield evolve(case, folder=file.parent)


def _read_line(line: str, where: str, problems: Problems) -> Case | None:
    """Return the case that `line` holds, or note everything that keeps it from being one."""
    try:
        raw = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        problems.add(f"not JSON ({error}).", where=where, fix="Write one JSON object a line.")
        return None
    if not isinstance(raw, dict):
        problems.add("not a JSON object.", where=where, fix=f"Give {', '.join(_NEEDED)}.")
        return None
    before = len(problems)
    for name, kind in _NEEDED.items():
        if not isinstance(raw.get(name), kind):
            what = "is missing" if name not in raw else f"is not {_JSON_NAMES[kind]}"
            problems.add(f"{name!r} {what}.", where=where, fix=f"Every case needs {', '.join(_NEEDED)}.")
    limits = {name: _limit(raw.get("tolerance"), name, where, problems) for name in ("rel", "abs")}
    if len(problems) > before:
        return None
    return Case(raw["id"], raw["family"], raw["inputs"], raw["expected"], Tolerance(**limits))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _limit(tolerance: Any, name: str, where: str, problems: Problems) -> float:
    """Return one limit of a tolerance, noting when it is not a number of at least zero."""
    value = tolerance.get(name) if isinstance(tolerance, dict) else 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        problems.add(f"tolerance {name!r} is {value!r}.", where=where, fix="Give a number of at least 0.")
        return 0.0
    return float(value)


def _plain(value: Any) -> Any:
    """Return `value` as JSON can hold it; what it cannot is given as its text."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not isfinite(value):
        return repr(value)
    return value if value is None or isinstance(value, (str, bool, int, float)) else repr(value)

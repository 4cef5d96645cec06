"""Reports and comparisons to files: CSV, Parquet, JSON, Excel, by the ending of the path.

Call `write_report(result, path)`; `read_report(path)` reads the JSON back. CSV and Parquet hold the flat records, JSON
everything, Excel one sheet for each section with formulas. The status of every figure goes with it into each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from attrs import evolve

from crossmargin.documents import RECORD, SCHEMAS, arrow_table, from_document, schema_of
from crossmargin.errors import InputError, Problem, check_kinds, kind_given, suggestion
from crossmargin.io.crif_files import contents
from crossmargin.io.extras import extra
from crossmargin.io.journal import csv_text
from crossmargin.io.workbook import COMMANDS, write_workbook
from crossmargin.results import Comparison, Report


class Collateral(Protocol):
    """A collateral report, of which only this is needed."""

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record per balance."""


_Writer: TypeAlias = Callable[[Report | Comparison, Path], None]


def write_report(
    result: Report | Comparison, path: str | PathLike[str], *, collateral: Collateral | None = None
) -> Path:
    """Write a report or a comparison and return the path.

    Parameters
    ----------
    result
        From `margin` or `compare`.
    path
        Ends in `.csv` or `.parquet` (one row for each requirement and credit), `.json` (the whole calculation, in the
        published schema) or `.xlsx`. Parquet needs the extra `frames`, Excel the extra `excel`.
    collateral
        A collateral report for a sheet of its own in the workbook.

    Raises
    ------
    InputError
        No report, another ending, a missing extra, collateral beside anything but a workbook, too many rows for one, or
        a file that cannot be written.

    Notes
    -----
    In CSV a text that a spreadsheet would run as a formula gets an apostrophe in front; in Excel it stays a text.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import crossmargin as xm
    >>> report = xm.margin(*xm.samples.basis_trade(), xm.SILOED)
    >>> with TemporaryDirectory() as folder:
    ...     read_report(write_report(report, f"{folder}/report.json")) == report
    True
    """
    check_kinds(
        result=(result, (Report, Comparison), "Give what margin or compare returned: write_report(result, path)."),
        path=(path, (str, PathLike), "Give a path such as 'report.json'."),
    )
    target, given = Path(path), type(collateral)
    if collateral is not None and (issubclass(given, Report | Comparison) or not hasattr(given, "to_records")):
        fix = "Give what collateral_report returned."
        raise InputError([Problem(f"{kind_given(collateral)} was given.", "collateral", fix)])
    kind = ending_of(target)
    if collateral is not None and kind != _EXCEL:
        fix = "Write a workbook (.xlsx), or the collateral report by itself."
        raise InputError([Problem(f"a {kind} file has no place for collateral.", str(target), fix)])
    beside = target.with_name(f".{target.name}.part")  # whole or not at all
    try:
        beside.touch()  # openpyxl complains at length, and late
        if collateral is None:
            _WRITERS[kind](result, beside)
        else:
            write_workbook(result, beside, collateral=collateral.to_records())
        beside.replace(target)
    except OSError as error:
        fix = "Name a file in a folder that is there and may be written to."
        raise InputError([Problem(f"cannot be written: {error.strerror or error}.", str(target), fix)]) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return target


def ending_of(path: str | PathLike[str]) -> str:
    """Return the ending of a path that a report can be written to; the ending says as what.

    Raises
    ------
    InputError
        Another ending.
    """
    kind = Path(path).suffix.lower()
    if kind not in _WRITERS:
        fix = suggestion(kind, _WRITERS) if kind else f"Known: {', '.join(sorted(_WRITERS))}."
        raise InputError([Problem(f"unknown ending {kind!r}.", str(path), fix)])
    return kind


def read_report(path: str | PathLike[str]) -> Report | Comparison:
    """Return the report or the comparison in a JSON file, packed or not; every line checks its arithmetic again.

    Raises
    ------
    InputError
        The file cannot be read, or is of no known schema; or listing every wrong field with its place.
    """
    try:
        _, text = contents(path)
    except InputError as error:
        fix = "Give the path of a report in JSON, plain, gzip, or zip with one file in it."
        raise InputError([evolve(problem, fix=fix) for problem in error.problems]) from error
    found: Report | Comparison = from_document(SCHEMAS.get(schema_of(text), Report), text)
    return found


def _records(result: Report | Comparison, path: Path) -> None:
    records = [{name: _harmless(value) for name, value in record.items()} for record in result.to_records()]
    path.write_text(csv_text(records, RECORD), encoding="utf-8", newline="")


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(COMMANDS) else value


def _parquet(result: Report | Comparison, path: Path) -> None:
    table = arrow_table(result.to_records())
    reports = result.reports if isinstance(result, Comparison) else (result,)
    about = {"crossmargin": result.SCHEMA, "status": "; ".join(f"{each.regime}: {each.status}" for each in reports)}
    extra("pyarrow.parquet", "frames").write_table(table.replace_schema_metadata(about), path)


def _json(result: Report | Comparison, path: Path) -> None:
    path.write_text(f"{result.to_json()}\n", encoding="utf-8", newline="")


_EXCEL = ".xlsx"
_WRITERS: Mapping[str, _Writer] = MappingProxyType(
    {".csv": _records, ".parquet": _parquet, ".json": _json, _EXCEL: write_workbook}
)

"""Converters of record fields: read-only arrays of numbers, plain dates, tuples of texts. Nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossmargin.errors import InputError, Problem, several

FloatArray: TypeAlias = NDArray[np.float64]


def readonly(values: ArrayLike) -> FloatArray:
    """Return a float copy that cannot be written to."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        fix = "Give numbers only, NaN where nothing is quoted, rows of equal length."
        raise InputError([Problem("not a table of numbers.", "tenors or par", fix)]) from error
    array.setflags(write=False)
    return array


def as_date(value: date, where: str = "dates") -> date:
    """Return a plain date; a datetime loses its time so that dates compare with one another."""
    if isinstance(value, datetime):
        return value.date()
    if not isinstance(value, date):
        raise InputError([Problem(f"{value!r} is not a date.", where, f"Give datetime.date{_parts(value)}.")])
    return value


def _parts(value: object) -> str:
    """Return how the date in a text is written in Python, or an example."""
    try:
        day = date.fromisoformat(str(value))
    except ValueError:
        day = date(2026, 6, 30)
    return f"({day.year}, {day.month}, {day.day})"


def as_dates(values: Iterable[date]) -> tuple[date, ...]:
    """Return plain dates; raise `InputError` for anything that is none."""
    days = several("dates", values, object, "Give them in a list.")
    if set(map(type, days)) <= {date}:  # as nearly always
        return days
    return tuple(as_date(day) for day in days)


def as_texts(values: Iterable[str]) -> tuple[str, ...]:
    """Return the texts as a tuple, which cannot change; raise `InputError` for anything that is none."""
    if isinstance(values, tuple) and set(map(type, values)) <= {str}:  # as nearly always
        return values
    return several("texts", values, str, "Give them in a list.")

"""Arrays, deltas and array parameters of a positional SPAN file, one line at a time through `parse_record`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crossmargin.io.span.records import parse_record

KEY = ("exchange", "product", "product_type", "right", "futures_month", "option_month", "strike_raw")


def read(path: Path) -> list[tuple[tuple[object, ...], np.ndarray, float]]:
    """What names each contract, its losses and its composite delta, in the order of the file; no exponent applied."""
    found, first = [], {}
    for number, line in enumerate(path.read_text(encoding="latin-1").splitlines(), start=1):
        if line[:2] == "81":
            first = parse_record(line, number=number)
        elif line[:2] == "82":
            second = parse_record(line, number=number)
            assert all(first[name] == second[name] for name in KEY)
            values = np.array(first["values"] + second["values"], dtype=float)
            found.append((tuple(first[name] for name in KEY), values, second["composite_delta"]))
    return found

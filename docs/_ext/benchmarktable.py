"""The table of the page on benchmarks: what `python -m benchmarks --json FILE` measured.

Sphinx calls `setup`; `table(records)` gives the MyST text that takes the place of `MARK`. Figures come from
`benchmarks/results/*.json` and are shown as they are: a comparison whose two sides disagreed has no ratio, and one
below its promise is marked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
MARK = "<!-- benchmarks -->"
HEADS = ("task", "peer", "version", "threads", "ours", "peer takes", "ratio", "promised", "agreement", "instructions")


def setup(app: Sphinx) -> dict[str, Any]:
    """Have the mark replaced wherever a page has it."""
    app.connect("source-read", insert_table)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def insert_table(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the mark by the table, and have the page rebuilt whenever a file of results changes."""
    if MARK in source[0]:
        app.env.dependencies[page].update(str(file) for file in files())
        source[0] = source[0].replace(MARK, table(records()))


def files() -> list[Path]:
    """Return the files of results, in the order of their names."""
    return sorted(RESULTS.glob("*.json"))


def records() -> list[Mapping[str, Any]]:
    """Return every comparison of every file."""
    return [record for file in files() for record in json.loads(file.read_text(encoding="utf-8"))]


def table(comparisons: Iterable[Mapping[str, Any]]) -> str:
    """Return comparisons as a MyST table, by task; without any, a sentence that says so."""
    rows = [row(record) for record in sorted(comparisons, key=lambda record: str(record["task"]))]
    if not rows:
        return "No results are kept with this copy of the documentation."
    lines = [HEADS, ["---"] * len(HEADS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def row(record: Mapping[str, Any]) -> list[str]:
    """Return the cells of one comparison."""
    ratio = record["ratio"]
    mark = "" if ratio is None or ratio >= record["at_least"] else " (below)"
    cells = [
        record["task"],
        record["peer"],
        record["peer_version"],
        str(record["threads"]),
        spread(record, "ours"),
        spread(record, "peer"),
        "none: the results disagree" if ratio is None else factor(ratio),
        factor(record["at_least"]) + mark,
        agreement(record),
        record["instruction_set"],
    ]
    return [cell.replace("|", "\\|").replace("_", "\\_").replace("*", "\\*") for cell in cells]


def spread(record: Mapping[str, Any], side: str) -> str:
    """Return the median of a side's times, and from smallest to largest."""
    middle, low, high = (record[f"{side}_{name}"] for name in ("s", "min_s", "max_s"))
    return f"{seconds(middle)} ({seconds(low)} to {seconds(high)})"


def seconds(time: float) -> str:
    """Return a time with three figures, in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if time >= size:
            return f"{figures(time / size)} {unit}"
    return f"{figures(time / 1e-9)} ns"


def factor(ratio: float) -> str:
    """Return a ratio with three figures."""
    return f"{figures(ratio)} ×"


def figures(number: float) -> str:
    """Return a number with three figures, no more decimals than they need, and never an exponent."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def agreement(record: Mapping[str, Any]) -> str:
    """Return the largest difference and its limit."""
    if record["agreement"] is None:
        return "nothing to compare"
    return f"{record['agreement']:.1e} (limit {record['agreement_limit']:.0e})"

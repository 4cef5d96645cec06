"""Run the benchmarks: `python -m benchmarks [--only T1,T2] [--json [FILE]]`. Exit code 1 when two sides disagree."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks import (
    allocation,
    american,
    batch,
    clearing,
    engines,
    european,
    imports,
    simm,
    span_files,
    strategy_margin,
    streaming,
    swap_var,
    treasuries,
)
from benchmarks.records import Record

TASKS: dict[str, Callable[[], Iterator[Record]]] = {
    "T0": imports.records,
    "T1": european.records,
    "T2": treasuries.records,
    "T3": american.records,
    "T4": batch.tail_records,
    "T5": batch.account_records,
    "T7": batch.trade_records,
    "T8": streaming.records,
    "T9": engines.records,
    "T10": batch.ingest_records,
    "T11": streaming.time_machine_records,
    "S1": strategy_margin.records,
    "S2": clearing.span_records,
    "S3": span_files.records,
    "S4": clearing.var_records,
    "S5": simm.records,
    "S6": swap_var.records,
    "S7": allocation.records,
    "S8": strategy_margin.many_records,
}


def main() -> int:
    """Run the tasks asked for on one core and print their records, or write them to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=tasks, default=sorted(TASKS), metavar="TASKS", help="such as T1,T3")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write a list of records; to the output without a FILE"
    )
    options = parser.parse_args()
    on_one_core()
    found = []
    for record in run(options.only):
        found.append(record)
        if options.json != "-":
            print(record.text(), flush=True)
    if options.json:
        write(found, options.json)
    return 0 if all(record.agrees for record in found) else 1


def tasks(names: str) -> list[str]:
    """Return the tasks of a list such as `T1,T3`."""
    wanted = names.split(",")
    unknown = sorted(set(wanted) - set(TASKS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no task {', '.join(unknown)}: there are {', '.join(sorted(TASKS))}")
    return wanted


def run(names: Iterable[str]) -> Iterator[Record]:
    """Yield the records of tasks, one after another."""
    for name in names:
        yield from TASKS[name]()


def write(found: Iterable[Record], file: str) -> None:
    """Write records as JSON; `-` is the output."""
    text = json.dumps([record.to_dict() for record in found], indent=2)
    if file == "-":
        print(text)
    else:
        Path(file).write_text(text + "\n", encoding="utf-8")


def on_one_core() -> None:
    """Pin this process to one core where the system allows it, so that no side is helped by another core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


if __name__ == "__main__":
    sys.exit(main())

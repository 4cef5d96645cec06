"""Run the benchmarks: `python -m benchmarks [--only T2] [--json]`. Exit code 1 when two sides disagree."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator

from benchmarks import european, imports, treasuries
from benchmarks.records import Record

TASKS: dict[str, Callable[[], Iterator[Record]]] = {
    "T0": imports.records,
    "T1": european.records,
    "T2": treasuries.records,
}


def main() -> int:
    """Run the tasks asked for on one core and print their records."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=sorted(TASKS), help="run one task")
    parser.add_argument("--json", action="store_true", help="print a list of records")
    options = parser.parse_args()
    on_one_core()
    found = []
    for task in [options.only] if options.only else sorted(TASKS):
        for record in TASKS[task]():
            found.append(record)
            if not options.json:
                print(record.text(), flush=True)
    if options.json:
        print(json.dumps([record.to_dict() for record in found], indent=2))
    return 0 if all(record.agrees for record in found) else 1


def on_one_core() -> None:
    """Pin this process to one core where the system allows it, so that no side is helped by another core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


if __name__ == "__main__":
    sys.exit(main())

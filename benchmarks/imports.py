"""T0: how long `import crossmargin` takes beside the two imports it cannot do without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import attrs
import numpy as np

from benchmarks.records import Record, summary

PROMISED = 1 / 1.5
RUNS = 11


def records() -> Iterator[Record]:
    """Yield the comparison, each import in a process of its own, in turns."""
    ours, peer = [], []
    for _ in range(RUNS):
        peer.append(seconds_to_import("numpy, attrs"))
        ours.append(seconds_to_import("crossmargin"))
    yield Record(
        task="T0 import crossmargin",
        peer="import numpy, attrs",
        peer_version=f"{np.__version__}, {attrs.__version__}",
        runs=RUNS,
        at_least=PROMISED,
        instruction_set="any",
        **summary(ours, "ours"),
        **summary(peer, "peer"),
    )


def seconds_to_import(modules: str) -> float:
    """Return the seconds of one import in a fresh process, the start of Python left out."""
    code = f"import time; start = time.perf_counter(); import {modules}; print(time.perf_counter() - start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)

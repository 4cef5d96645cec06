"""What every test may ask for: the Hypothesis profile, the folder of shared data, the marks for kernels.

Under `NUMBA_DISABLE_JIT=1`, which is how coverage sees inside the kernels, tests marked `compiled` make no sense and
those marked `slow_interpreted` cover nothing that others do not; both run when the kernels are compiled.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

collect_ignore = ["generation"]  # scripts that made stored figures; they need packages that tests do not
ROOT = Path(__file__).resolve().parents[1]

# No clock: the first example of a law, or its drawing, may compile a kernel on a machine that is busy.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Derandomised: a red run is the same red run tomorrow.
settings.register_profile("default", untimed, derandomize=True, max_examples=60)
settings.register_profile("thorough", untimed, max_examples=2000)
# For the run without machine code: every law is tried, the search is left to the compiled run.
settings.register_profile("interpreted", untimed, derandomize=True, max_examples=6)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


# Of that mark wherever they stand: long histories, pages that run the demo over and over, another library's prices.
SLOW_INTERPRETED = re.compile(r"test_documents\.py|test_history_check\.py|quantlib")
WHY_SKIPPED = {
    "compiled": "needs machine code; NUMBA_DISABLE_JIT is set",
    "slow_interpreted": "too slow without machine code; NUMBA_DISABLE_JIT is set",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        return
    for item in items:
        if SLOW_INTERPRETED.search(item.nodeid):
            item.add_marker("slow_interpreted")
        for mark, reason in WHY_SKIPPED.items():
            if mark in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Without machine code a table of early-exercise premiums takes twenty seconds: give it fewer rows."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        return
    from crossmargin.pricing import american

    american.ROWS = 240  # within 2e-4 on a spot of 100, as the whole table is


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data and cases beside the repository; skips when there is none."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared beside the repository")
    return folder

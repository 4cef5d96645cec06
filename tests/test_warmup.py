"""Warming up: every kernel, compiled once and loaded afterwards, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import crossmargin
from crossmargin.cli import main
from crossmargin.warmup import Warmup, _kept

ROOT = Path(__file__).resolve().parents[1]
INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
KERNELS = ROOT / "crossmargin" / "kernels"
READER = """
import sys
import numpy as np
from crossmargin.kernels._jit import kernel

@kernel("f8(f8[::1], i8)")
def read(values, place):
    return values[place]

try:
    read(np.zeros(2), 2 if sys.argv[1] == "outside" else 1)
    print("read", end=" ")
except IndexError:
    print("refused", end=" ")
print(read.stats.cache_path, bool(read.stats.cache_hits))
"""


def process(*arguments, **environment):
    """What a fresh Python prints."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def warmed(**environment):
    return json.loads(process("-m", "crossmargin", "warmup", "--json", **environment))


def written_kernels():
    return sum(path.read_text(encoding="utf-8").count("\n@kernel(") for path in KERNELS.glob("*.py"))


@pytest.mark.compiled
def test_every_kernel_is_compiled_once_and_loaded_afterwards(tmp_path):
    first, second = (warmed(NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first["kernels"] == first["compiled"] == written_kernels()
    assert (second["kernels"], second["compiled"]) == (first["kernels"], 0)
    assert second["seconds"] < first["seconds"]
    assert Path(first["folder"]).parent == tmp_path / "crossmargin"
    assert (second["folder"], first["not_kept"]) == (first["folder"], "")


def test_a_second_call_finds_everything_done():
    first, *later = (crossmargin.warmup() for _ in range(6))
    assert min(each.seconds for each in later) < 0.5, "one may be kept waiting by the machine, not all"
    assert {(each.kernels, each.compiled) for each in later} == {(first.kernels, first.compiled)}
    assert first.kernels == (0 if INTERPRETED else written_kernels())


def test_no_kernels_to_make_ready():
    assert warmed(NUMBA_DISABLE_JIT="1")["kernels"] == 0
    assert "plain Python" in str(Warmup(0.1, 0, 0))


def test_the_command_says_what_it_did(capsys):
    assert main(["warmup"]) == 0
    assert "kernels" in capsys.readouterr().out
    assert str(Warmup(1.25, 12, 5, "/kept")) == "12 kernels ready in 1.25 s: 5 compiled, 7 loaded; kept in /kept"


@pytest.mark.parametrize(
    ("cache", "why"),
    [(Path("/held"), f"{Path('/held/crossmargin')} cannot be written"), (None, "the user has no home folder")],
)
def test_kernels_that_are_not_kept_say_why_and_what_to_do(monkeypatch, cache, why):
    def user_cache():
        if cache is None:
            raise RuntimeError
        return cache

    monkeypatch.setattr("crossmargin.kernels._jit.user_cache", user_cache)
    folder, not_kept = _kept([None, None])
    told = str(Warmup(9.5, 2, 2, folder, not_kept))
    assert told.startswith(f"2 kernels ready in 9.50 s: 2 compiled, 0 loaded; not kept: {why}, ")
    assert told.endswith("Set NUMBA_CACHE_DIR to a folder that can be written.")
    assert _kept([]) == ("", "")


@pytest.mark.compiled
def test_bounds_are_checked_on_request_and_such_code_has_a_folder_of_its_own(tmp_path):
    script = tmp_path / "reader.py"
    script.write_text(READER, encoding="utf-8")

    def run(check, place):
        return process(str(script), place, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_BOUNDSCHECK=check).split()

    quick, inside, outside = run("0", "inside"), run("1", "inside"), run("1", "outside")
    assert [quick[0], inside[0], outside[0]] == ["read", "read", "refused"]
    assert quick[1] != inside[1] == outside[1]
    assert [quick[2], inside[2], outside[2]] == ["False", "False", "True"]

"""Notebooks on real history: kept requirements are those of the history, name no price, stand in where none is.

The commands of a new user's first ten minutes run too. That the cells of every page run is a test of `tests/health`.
"""

from __future__ import annotations

import csv
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from crossmargin.cli import main
from crossmargin.plots import style

ROOT = Path(__file__).resolve().parents[1]
FOLDER, FIRST = ROOT / "docs" / "notebooks", ROOT / "docs" / "tutorial" / "first_ten_minutes.md"
REAL = ROOT / ".." / "shared" / "data" / "market"
ON_HISTORY = ["basis_trade_2020", "spx_against_es"]


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fenced(path, language):
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def run(path, folder, monkeypatch):
    """Run the cells of a page in a folder and return the names they leave."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    left = {"__name__": "__main__"}
    for cell in fenced(path, "{code-cell} ipython3"):
        exec(compile(cell, path.stem, "exec"), left)  # noqa: S102
    return left


@pytest.mark.parametrize("name", ON_HISTORY)
def test_kept_requirements_are_those_of_the_history(name, tmp_path, monkeypatch):
    if not (REAL / "ust_par_yields_daily.csv").is_file():
        pytest.skip("no market data in ../shared")
    monkeypatch.setenv("CROSSMARGIN_DATA", str(REAL.resolve()))
    run(FOLDER / f"{name}.md", tmp_path, monkeypatch)
    assert rows_of(tmp_path / f"{name}.csv") == rows_of(FOLDER / f"{name}.csv"), "build the notebook with the history"


@pytest.mark.parametrize("name", ON_HISTORY)
def test_without_history_a_notebook_shows_what_was_kept(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CROSSMARGIN_DATA", str(tmp_path / "nothing"))
    left = run(FOLDER / f"{name}.md", tmp_path, monkeypatch)
    assert left["rows"] == rows_of(FOLDER / f"{name}.csv")
    assert "not found, kept requirements are shown" in capsys.readouterr().out
    assert not list(tmp_path.iterdir()), "nothing is written that was not calculated"


@pytest.mark.parametrize("name", ON_HISTORY)
def test_what_is_kept_holds_requirements_and_no_prices(name):
    rows = rows_of(FOLDER / f"{name}.csv")
    assert set(rows[0]) <= {"day", "regime", "pot", "requirement", "against", "beyond"}
    assert all(row["beyond"] in {"", "0", "1"} and float(row["requirement"]) > 10_000.0 for row in rows)


def test_every_notebook_is_listed_and_says_how_it_is_run():
    listed = (FOLDER / "index.md").read_text(encoding="utf-8").split()
    for path in FOLDER.glob("*.md"):
        assert path.stem == "index" or (path.stem in listed and "file_format: mystnb" in path.read_text("utf-8"))


# ------------------------------------------------------------------------------------------- the first ten minutes


def test_the_commands_of_the_first_ten_minutes_run_in_their_order(tmp_path, monkeypatch, capsys):
    install, demo, *own = fenced(FIRST, "sh")
    assert "pip install" in install
    assert demo == "crossmargin demo\n"
    directed = run(FIRST, tmp_path, monkeypatch)["comparison"]
    typed = [shlex.split(line) for block in own for line in block.splitlines()]
    positions = tmp_path / "positions.csv"
    positions.write_text(fenced(FIRST, "text")[0], encoding="utf-8")
    capsys.readouterr()
    for program, *arguments in typed:
        if program == "python":
            exec(compile(arguments[1], FIRST.stem, "exec"), {})  # noqa: S102
        else:
            assert main(arguments) == 0
        if arguments[0] == "read":
            positions.write_text(positions.read_text(encoding="utf-8").replace("ZNN", "ZN"), encoding="utf-8")
            assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "ZNN is no contract of the library. Did you mean 'ZN'?" in said
    assert "mine/book.toml: without the 1 not understood" in said
    page = (tmp_path / "directed.html").read_text(encoding="utf-8")
    assert f"{directed.totals()['cross_margin']:,.2f}" in page
    assert {"regimes.svg", "mine", "directed"} <= {path.name for path in tmp_path.iterdir()}


def test_in_a_notebook_a_figure_shows_itself(monkeypatch):
    fetched = []
    monkeypatch.setattr(style, "import_module", fetched.append)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    style.drawing()
    assert not fetched, "outside of a notebook nothing is fetched"
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    style.drawing()
    assert fetched == ["matplotlib_inline.backend_inline"]

"""Laws of the documents: commands and table of the README hold, examples run, the glossary is complete."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import crossmargin
from crossmargin.products import PRODUCT_KINDS
from crossmargin.regimes import TODAY
from crossmargin.registry import rulebook

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
MADE = {"rules", "jupyter_execute", "coverage.md"}  # by the build
PAGES = [path for path in PAGES if not MADE & set(path.relative_to(ROOT / "docs").parts)]


def fenced(document: str, language: str) -> list[str]:
    """Contents of the document's fenced blocks of one language."""
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", document, flags=re.MULTILINE | re.DOTALL)


def between(document: str, start: str, end: str) -> str:
    """Text between two markers, each of which stands once."""
    assert document.count(start) == document.count(end) == 1
    return document.split(start)[1].split(end, maxsplit=1)[0]


def command(name: str) -> str:
    """The README's command that stands after the marker of that name."""
    return fenced(README.split(f"<!-- ci:{name} -->")[1], "sh")[0].strip()


# ----------------------------------------------------------------------------------------------- the README


def test_the_readme_promises_two_commands_and_they_come_first():
    blocks = [block.strip() for block in fenced(README, "sh")]
    assert blocks[:2] == [command("demo"), command("test")]
    assert "crossmargin demo" in command("demo")
    assert command("test").endswith("-m pytest -n auto")


def test_the_checks_run_what_the_readme_says():
    runs = re.findall(r'bash -euo pipefail -c "\$\(readme (\w+)\)"', CI)
    assert runs == ["demo", "test"]
    assert CI.rstrip().endswith('bash -euo pipefail -c "$(readme test)"'), "pytest's closing line comes last"
    assert "<!-- ci:$1 -->" in CI


@pytest.mark.parametrize("name", ["demo", "test"])
def test_the_checks_read_the_commands_as_they_stand(name):
    function = re.search(r"^readme\(\) \{.*?^\}$", CI, flags=re.MULTILINE | re.DOTALL).group()
    script = f"{function}\nreadme {name}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    assert done.stdout.strip() == command(name)


@pytest.mark.parametrize("name", ["demo", "test"])
def test_the_commands_make_their_own_environment(name):
    words = command(name)
    assert words.startswith("python3 -m venv ")
    folder = words.split()[3]
    assert all(use.startswith(f"{folder}/bin/") for use in re.findall(r"\S*/bin/\S+", words))
    assert not re.search(r"https?://|--index-url|--find-links|-i ", words)


def test_the_result_table_is_how_the_demo_begins():
    shown = stripped(fenced(between(README, "<!-- demo:start -->", "<!-- demo:end -->"), "text")[0])
    demo = [sys.executable, "-m", "crossmargin", "demo"]
    done = subprocess.run(demo, cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown == stripped(done.stdout)[: len(shown)]
    assert any(line.startswith("TOTAL") for line in shown)
    assert any(line.startswith("status") for line in shown), "the status travels with every figure"


def stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_result_table_stands_before_prose():
    before = README.split("<!-- demo:start -->", maxsplit=1)[0]
    assert all(line.startswith("#") for line in before.splitlines() if line)


# ------------------------------------------------------------------------------------------------- examples


def blocks(path: Path) -> list[str]:
    """What a reader would type, in order: executed cells, else plain Python blocks."""
    document = path.read_text(encoding="utf-8")
    return fenced(document, "{code-cell} ipython3") + fenced(document, "python")


WITH_CODE = [path for path in [ROOT / "README.md", *PAGES] if blocks(path)]


@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_page_run_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example that writes a file writes it here
    names: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(blocks(path), 1):
        exec(compile(block, f"{path.name}, block {number}", "exec"), names)  # noqa: S102


# ---------------------------------------------------------------------------------------------------- pages


def terms() -> set[str]:
    """Words that the glossary explains."""
    glossary = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    lines = [line for block in fenced(glossary, "{glossary}") for line in block.splitlines()]
    return {line for line in lines if line and not line.startswith(" ")}


def test_the_glossary_explains_every_public_name():
    assert not set(crossmargin.__all__) - terms()
    assert all(hasattr(crossmargin, name) for name in crossmargin.__all__)


def test_every_page_is_reachable():
    for path in PAGES:
        if path.name == "index.md":
            continue
        index = (path.parent / "index.md").read_text(encoding="utf-8")
        assert re.search(rf"^{path.stem}$", index, flags=re.MULTILINE), f"{path.name} is in no table of contents"


LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)")
DOCUMENTS = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *PAGES]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_local_links_lead_somewhere(path):
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        generated = "rules/" in target
        assert generated or (path.parent / target).exists(), f"{path.name}: {target}"


def generator(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_ext" / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_coverage_page_names_every_product_and_every_rule(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "_ext")
    written = generator("coveragepage").page()
    kinds = {*PRODUCT_KINDS, *(kind for silo in TODAY for kind in silo.kinds)}
    assert all(f"| `{kind}` |" in written for kind in kinds)
    assert all(f"\n| [{id}](rules/{id}.md) |" in written for id in rulebook())


def test_the_rule_pages_show_every_value_and_source():
    pages = generator("rulepages")
    rules = pages.all_rules()
    overview = pages.overview(rules)
    for each in rules:
        written = pages.page(each)
        assert f"[{each.id}]({each.id}.md)" in overview
        assert all(f"\n### {name}\n" in written for name in each.parameters)
        assert all(f"\n### {condition.id}\n" in written for condition in each.conditions)
        assert all(source.url in written for source in each.sources.values())
        assert each.status == "in_force" or "Nothing on this page" in written or each.status == "approved"


# ------------------------------------------------------------------------------------------- one truth each


def test_the_commit_hooks_use_the_versions_of_the_checks():
    pins = set((ROOT / ".ci" / "requirements.txt").read_text(encoding="utf-8").split("\n"))
    pins = {pin for pin in pins if pin and not pin.startswith("#")}
    hooks = set(re.findall(r"[\w-]+==[\w.]+", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")))
    assert hooks == pins


def test_the_extras_are_the_promised_ones():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(project["optional-dependencies"]) == [
        "bench",
        "distributed",
        "docs",
        "excel",
        "frames",
        "plots",
        "test",
        "testing",
    ]
    names = sorted(re.match(r"[\w-]+", wanted).group() for wanted in project["dependencies"])
    assert names == ["attrs", "numba", "numpy", "scipy"]


def test_the_changelog_knows_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

"""Laws of the source: sizes, docstrings, what may be imported where, nothing of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "crossmargin").rglob("*.py"))
SCRIPTS = sorted(path for folder in ("tests", "benchmarks", "tools", "docs") for path in (ROOT / folder).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, MOST_POSITIONAL = 500, 60, 4

every_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    start = function.body[0].end_lineno if ast.get_docstring(function) else function.lineno
    return function.end_lineno - start


# ---------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_FILE


@every_module
def test_functions_stay_readable(path):
    long = {f.name: length(f) for f in functions(path) if length(f) > LONGEST_FUNCTION}
    assert not long


@every_module
def test_at_most_four_positional_arguments(path):
    if "kernels" in path.parts:  # machine code takes its arrays by position
        return
    for f in functions(path):
        positional = [a.arg for a in f.args.posonlyargs + f.args.args if a.arg not in {"self", "cls"}]
        assert len(positional) <= MOST_POSITIONAL, f"{f.name}: {positional}"


@every_module
def test_every_module_says_what_it_holds(path):
    assert ast.get_docstring(tree(path)) or not path.read_text(encoding="utf-8").strip()


# -------------------------------------------------------------------------------------------------- imports


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, at the top or inside a function."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names.add(node.module)
    return names


@pytest.mark.parametrize(
    "path", [p for p in MODULES if "kernels" in p.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_kernels_import_only_math_numpy_numba(path):
    outside = {name.split(".")[0] for name in imported(path) if not name.startswith("crossmargin.kernels")}
    assert outside <= {"math", "numpy", "numba", "typing", "__future__"} | more_for_the_cache(path)


def more_for_the_cache(path: Path) -> set[str]:
    """The one decorator looks at files and versions to name its cache; the kernels themselves may not."""
    return set(sys.stdlib_module_names) | {"llvmlite"} if path.stem == "_jit" else set()


HEAVY = [
    "QuantLib",
    "distributed",
    "hypothesis",
    "matplotlib",
    "narwhals",
    "numba",
    "openpyxl",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
]


def loaded_by(*modules: str) -> set[str]:
    """Heavy packages that a fresh process has loaded after importing some modules."""
    code = f"import sys, {', '.join(modules)}; print(*{{*sys.modules}} & {{*{HEAVY}}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_stays_light():
    assert not loaded_by("crossmargin")


def test_no_module_outside_the_kernels_needs_them_at_import():
    drawing = {"kernels", "strategies.py"}  # the one is machine code, the other is Hypothesis
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES if not drawing & {*path.parts}]
    assert not loaded_by(*(name.removesuffix(".__init__") for name in names if not name.endswith("__main__")))


@every_module
def test_the_library_does_not_print(path):
    if path.parent.name == "cli" or path.name == "__main__.py":
        return
    calls = (node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
    assert "print" not in {func.id for func in calls if isinstance(func, ast.Name)}


# ------------------------------------------------------------------------------------- one machine's traces

OF_A_MACHINE = re.compile(r"(?<![\w.\-/<>])/(?:work|home|root|Users)/|(?<![A-Za-z])[A-Z]:\\[A-Za-z]")


def tracked() -> list[Path]:
    """Files that git holds or would hold; the whole tree of an unpacked archive."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_machine_s_folder():
    found = []
    for path in tracked():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # compressed data
        found += [f"{path.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, 1) if OF_A_MACHINE.search(line)]
    assert not found


@pytest.mark.parametrize(
    ("line", "hit"),
    [
        ("path = '" + "/" + "home/me/data'", True),
        ("C:" + "\\Users", True),
        ("https://example.org/home/page", False),
        ("../shared/data", False),
        ("print('a:\\n')", False),
    ],
)
def test_the_search_for_machine_paths_finds_them(line, hit):
    assert bool(OF_A_MACHINE.search(line)) is hit

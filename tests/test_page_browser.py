"""The page in a real browser: it sorts, unfolds, prints, can be read in light and dark, and asks for nothing.

Chromium is driven by its own flags: nothing has to be installed beside it. Without one these tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from attrs import evolve

from crossmargin import samples
from crossmargin.analysis.attribution import attribute
from crossmargin.margin import collateral_report, compare
from crossmargin.page import report_page
from crossmargin.regimes import HARMONIZED, SILOED

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path"),
    pytest.mark.slow_interpreted,
]
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
HANGS = 300  # seconds: a start takes one or two, twenty on a busy machine
DARK = "--blink-settings=preferredColorScheme=0"
LOOK = """
const table = document.querySelector(".sortable table"), said = {};
const column = (n) => [...table.tBodies[0].rows].map((row) => Number(row.cells[n].dataset.value));
const head = table.tHead.rows[0].cells[2], button = head.querySelector("button");
button.focus();
said.focused = document.activeElement === button;
said.before = column(2);
button.click();
said.up = [column(2), head.getAttribute("aria-sort")];
button.click();
said.down = [column(2), head.getAttribute("aria-sort")];
table.tHead.rows[0].cells[0].querySelector("button").click();
said.names = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
said.sorted = document.querySelectorAll("[aria-sort]").length;
const gaps = [...document.querySelectorAll(".sortable table")][2], far = gaps.tHead.rows[0].cells.length - 1;
gaps.tHead.rows[0].cells[far].querySelector("button").click();
said.missing = [...gaps.tBodies[0].rows].map((row) => "value" in row.cells[far].dataset);
const fold = document.querySelector(".crossmargin details"), shut = fold.offsetHeight;
fold.open = true;
said.unfolds = fold.offsetHeight > shut;
document.querySelectorAll("details").forEach((each) => { each.open = true; });
said.fetched = performance.getEntriesByType("resource").map((each) => each.name);
said.tables = [...document.querySelectorAll("table")].filter((each) =>
  !each.caption && !each.closest("details")?.firstElementChild.matches("summary")).length;
said.heads = [...document.querySelectorAll("th")].filter((each) => !each.scope || !each.textContent.trim()).length;
said.headings = [...document.querySelectorAll("h1, h2, h3, h4")].map((each) => Number(each.tagName[1]));
said.nameless = [...document.querySelectorAll("button, a, summary, nav, svg[role=img], [role=group]")].filter((each) =>
  !(each.getAttribute("aria-label") || each.textContent.trim())).length;
said.lost = [...document.querySelectorAll("nav a")].filter((each) => !document.querySelector(each.hash)).length;
said.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true }), shades = new Map();
const shade = (text) => {
  if (!shades.has(text)) {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    shades.set(text, [...canvas.getImageData(0, 0, 1, 1).data]);
  }
  return shades.get(text);
};
const bright = (colour) => colour.slice(0, 3).map((part) => part / 255).map((part) =>
  part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4).reduce((sum, part, n) =>
  sum + part * [0.2126, 0.7152, 0.0722][n], 0);
const ground = (each) => {
  for (let at = each; at; at = at.parentElement) {
    const colour = shade(getComputedStyle(at).backgroundColor);
    if (colour[3] === 255) return colour;
  }
  return null;
};
const seen = new Map();
for (const each of document.querySelectorAll("main *")) {
  if (![...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || each.closest("title")) continue;
  const style = getComputedStyle(each), ink = each instanceof SVGElement ? style.fill : style.color;
  const key = `${ink} on ${ground(each)}`;
  if (!seen.has(key)) {
    const [light, dark] = [bright(shade(ink)), bright(ground(each))].sort((a, b) => b - a);
    seen.set(key, (light + 0.05) / (dark + 0.05));
  }
}
said.contrast = Object.fromEntries(seen);
const pre = document.createElement("pre");
pre.id = "said";
pre.textContent = JSON.stringify(said);
document.body.append(pre);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    portfolio, market = samples.group()
    few = evolve(portfolio, positions=portfolio.positions[-4:])
    compared = compare(few, market, (SILOED, HARMONIZED))
    told = {
        "collateral": [collateral_report(few, market, report) for report in compared.reports],
        "attributions": [attribute(few, market, SILOED, HARMONIZED)],
        "posted": few.posted,
    }
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(report_page(compared, title="four positions", **told), encoding="utf-8")
    return path


def browse(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    home = page.parent / "profile"
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={home}"]
    command = [BROWSER, *fixed, "--window-size=1200,900", *flags, page.as_uri()]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=HANGS, check=True, env={**os.environ, "HOME": str(page.parent)}
    )


def console(ran: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def beside(page: Path, name: str, text: str) -> Path:
    path = page.parent / name
    path.write_text(text, encoding="utf-8")
    return path


def look(page: Path, name: str, *flags: str) -> dict:
    """What a script that the page itself would forbid finds in it."""
    text = POLICY.sub("", page.read_text(encoding="utf-8"))
    probed = beside(page, name, text.replace("</body>", f"<script>{{{LOOK}}}</script></body>"))
    ran = browse(probed, "--dump-dom", *flags)
    assert not console(ran)
    return json.loads(unescape(re.search(r'<pre id="said">(.*?)</pre>', ran.stdout, re.DOTALL).group(1)))


@pytest.fixture(scope="module")
def light(page) -> dict:
    return look(page, "light.html")


def test_a_table_sorts_by_number_and_by_name_and_says_so(light):
    assert light["focused"]
    assert light["up"] == [sorted(light["before"]), "ascending"]
    assert light["down"] == [sorted(light["before"], reverse=True), "descending"]
    assert light["names"] == sorted(light["names"])
    assert light["sorted"] == 1, "only the last column that was asked for says so"


def test_what_has_no_figure_comes_last(light):
    assert light["missing"] == sorted(light["missing"], reverse=True)
    assert {True, False} == set(light["missing"])


def test_folds_unfold(light):
    assert light["unfolds"]


def test_nothing_is_fetched(light):
    assert light["fetched"] == []


def test_everything_has_a_name_and_headings_skip_no_level(light):
    assert (light["tables"], light["heads"], light["nameless"], light["lost"]) == (0, 0, 0, 0)
    assert light["headings"].count(1) == 1
    assert light["headings"][0] == 1
    assert all(after <= before + 1 for before, after in zip(light["headings"], light["headings"][1:], strict=False))


def test_all_text_stands_out_and_a_narrow_window_scrolls_tables_not_the_page(page, light):
    dark = look(page, "dark.html", DARK, "--window-size=500,800")
    assert dark["wide"] <= 0
    for found in (light, dark):
        assert len(found["contrast"]) >= 4
        assert min(found["contrast"].values()) >= 4.5, found["contrast"]
    assert light["contrast"].keys().isdisjoint(dark["contrast"])


def test_the_page_forbids_scripts_that_are_not_its_own_and_says_nothing_else_to_the_console(page):
    hostile = page.read_text(encoding="utf-8").replace("</body>", "<script>document.title = 'taken'</script></body>")
    ran = browse(beside(page, "hostile.html", hostile), "--dump-dom")
    assert "<title>taken" not in ran.stdout
    [line] = console(ran)
    assert "Content Security Policy" in line


def pages(page: Path, name: str, text: str) -> int:
    sheet = page.parent / f"{name}.pdf"
    browse(beside(page, f"{name}.html", text), f"--print-to-pdf={sheet}")
    return len(re.findall(rb"/Type\s*/Page\b", sheet.read_bytes()))


def test_paper_shows_what_is_folded_with_the_script_or_without(page):
    text = page.read_text(encoding="utf-8")
    printed = pages(page, "printed", text)
    assert printed > pages(page, "shut", re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)) + 1
    without = POLICY.sub("", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert pages(page, "without", without) == printed

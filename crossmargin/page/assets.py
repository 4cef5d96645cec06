"""What every page brings along: its style, in the light and in the dark and on paper, and a script that sorts tables.

Call `document(title, body)`. Without the script a page says the same; a policy in its head forbids any other script and
everything that a network could bring.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape

from crossmargin.markup import STYLE

PAGE_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --ground: #ffffff; --soft: #555555; --rule: #c9c9c9; --link: #00518a;
--mark: #8a3a00; --told: #fdf3ec; --edge: #d55e00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --ground: #16181b; --soft: #b8bcc2; --rule: #4a4f55;
--link: #7cc0ff; --mark: #ffb27a; --told: #2a2018; --edge: #e69f00 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 0 }
main { max-width: 84rem; margin: 0 auto; padding: 1rem 1.2rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2 } h3 { margin: 1.6rem 0 .4rem }
h2 { margin-top: 2.6rem; border-top: 2px solid var(--edge); padding-top: .6rem }
a { color: var(--link) } li, p, td a { overflow-wrap: anywhere } p, li { max-width: 60rem }
.small { font-size: .88rem; color: var(--soft) }
.warning { border-left: 4px solid var(--edge); padding: .4rem .8rem; background: var(--told) }
.crossmargin { --xm-mark: var(--mark); --xm-soft: var(--soft); font-size: .88rem }
.crossmargin tbody th, .crossmargin td { border-bottom: 1px solid var(--rule) }
.crossmargin th, .crossmargin td { padding: .2em .6em } .crossmargin td { min-width: 4rem }
.crossmargin td:not(.xm-number):nth-child(n+3) { min-width: 9rem } .scroll { overflow-x: auto }
figure { margin: 1rem 0 1.6rem; break-inside: avoid }
.pair { display: grid; gap: 0 2rem;
grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)) }
figure svg { max-width: 40rem; height: auto }
figcaption { font-size: .88rem; color: var(--soft) }
svg { width: 100%; font: 12px system-ui, sans-serif } svg text { fill: var(--ink) }
svg line[stroke="#dddddd"] { stroke: var(--rule) } svg line[stroke="#444444"] { stroke: var(--soft) }
th button { font: inherit; font-weight: bold; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
text-align: inherit; width: 100% }
th button::after { content: "\\a0\\2195" / "" }
th[aria-sort="ascending"] button::after { content: "\\a0\\2191" / "" }
th[aria-sort="descending"] button::after { content: "\\a0\\2193" / "" }
:focus-visible { outline: 2px solid var(--edge); outline-offset: 2px }
@media print { main { max-width: none; padding: 0 } body { font-size: 10pt } .scroll { overflow: visible } nav
{ display: none } h2, h3, summary, caption { break-after: avoid } tr { break-inside: avoid } thead { display:
table-header-group } details::details-content { content-visibility: visible; display: block; block-size: auto }
th button::after { content: none } }
@media print { :root { --ink: #000000; --ground: #ffffff; --soft: #444444; --rule: #bbbbbb; --link: #00518a;
--mark: #8a3a00; --told: #ffffff } }
"""
SCRIPT = """
const value = (row, column) => {
  const cell = row.cells[column], told = cell && cell.dataset.value;
  return told === undefined || told === null ? (cell ? cell.textContent.trim() : "") : Number(told);
};
const before = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === typeof b) return a.localeCompare(b, "en", { numeric: true });
  return 0;
};
for (const table of document.querySelectorAll(".sortable table")) {
  const heads = table.tHead ? [...table.tHead.rows[0].cells] : [], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    if (head.firstChild) button.append(head.firstChild);
    head.prepend(button);
    button.addEventListener("click", () => {
      const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
      const rows = [...body.rows], numbers = rows.some((row) => typeof value(row, column) === "number");
      const known = (row) => !numbers || typeof value(row, column) === "number";
      const sorted = rows.filter(known).sort((a, b) => turn * before(value(a, column), value(b, column)));
      body.append(...sorted, ...rows.filter((row) => !known(row)));
    });
  });
}
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((each) => { each.open = true; });
});
addEventListener("afterprint", () => folded.forEach((each) => { each.open = false; }));
"""


def document(title: str, body: Iterable[str]) -> str:
    """Return a whole page in English; the same parts give the same bytes."""
    known = b64encode(sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{known}'"
    head = (
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}{PAGE_STYLE}</style>",
    )
    inside = "\n".join(body)
    return (
        f'<!doctype html>\n<html lang="en"><head>{"".join(head)}</head>\n'
        f"<body><main>\n{inside}\n</main><script>{SCRIPT}</script></body></html>\n"
    )

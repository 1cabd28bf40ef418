"""The style sheet of report.html, and the script that sorts its tables."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --quiet: #59636e; --line: #d9dee4;
  --panel: #f5f7f9; --accent: #0a58ca;
  --c0: #0b62c4; --c1: #c2410c; --c2: #14803c; --c3: #a21caf; --c4: #0e7490; --c5: #92600a; --c6: #be123c;
  --c7: #5b5bd6; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --text: #e4e8ec; --quiet: #9aa5b1; --line: #323a44;
  --panel: #1c2229;
  --accent: #7db4ff; --c0: #6aa9ff; --c1: #ff9558; --c2: #5fcf80; --c3: #e58af0; --c4: #4fc3d9; --c5: #dcb048;
  --c6: #ff8094; --c7: #a5a5ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1220px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .3em; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 2.2em 0 .2em; padding-top: .7em;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8em 0 .3em; }
h4 { font-size: .95rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .3em 0 .7em; max-width: 82ch; overflow-wrap: anywhere; }
.lead { font-size: 1.05rem; }
.quiet, small, figcaption { color: var(--quiet); font-size: .85rem; }
a { color: var(--accent); }
code, pre { font: .85em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { overflow-x: auto; background: var(--panel); padding: 12px; border-radius: 6px; }
.notice { border-left: 4px solid var(--c1); background: var(--panel); padding: 10px 16px; margin: 1em 0; }
.prose { max-width: 82ch; }
.prose li { margin: .35em 0; }
nav ul { padding-left: 1.2em; margin: .5em 0; }
.scroll { overflow-x: auto; max-width: 100%; border: 1px solid var(--line); border-radius: 6px; }
.scroll:focus-visible, button:focus-visible, summary:focus-visible,
  a:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 12px; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { background: var(--panel); vertical-align: bottom; font-weight: 600; }
tbody th { font-weight: 600; position: sticky; left: 0; background: var(--back); min-width: 12em; max-width: 22em;
  overflow-wrap: anywhere; }
.notice tbody th { background: var(--panel); }
td { overflow-wrap: break-word; max-width: 44em; }
.number { text-align: right; }
td.number { white-space: nowrap; }
th small, td small { display: block; font-weight: 400; }
.sortable thead th { padding: 0; }
button { position: relative; font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: 7px 12px; width: 100%; text-align: inherit; cursor: pointer; }
button::after { position: absolute; right: 1px; bottom: 9px; font-size: .65em; color: var(--accent); }
[aria-sort=ascending] button::after { content: "\\25b2"; }
[aria-sort=descending] button::after { content: "\\25bc"; }
.swatch { width: 22px; height: 10px; margin-right: 6px; vertical-align: baseline; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 18px;
  margin-top: 1.4em; align-items: start; }
figure { margin: 0; }
.plots figure { border: 1px solid var(--line); border-radius: 6px; padding: 8px; max-width: 640px; }
.plots figcaption { text-align: center; overflow-wrap: anywhere; }
.chart { display: block; width: 100%; height: auto; }
.chart text { fill: var(--text); font-size: 12.5px; }
.chart .label, .chart text { font-family: inherit; }
.chart .label { fill: var(--quiet); }
.chart .name { font-weight: 600; }
.grid { stroke: var(--line); fill: none; }
.c0 { --own: var(--c0); } .c1 { --own: var(--c1); } .c2 { --own: var(--c2); } .c3 { --own: var(--c3); }
.c4 { --own: var(--c4); } .c5 { --own: var(--c5); } .c6 { --own: var(--c6); } .c7 { --own: var(--c7); }
.thin, .thick, .cross { fill: none; stroke: var(--own); }
.thin { stroke-width: 1; opacity: .5; } .thick { stroke-width: 2.6; stroke-linejoin: round; }
  .cross { stroke-width: 2; }
.dash1 .thick, .dash1.thick { stroke-dasharray: 7 3; } .dash2 .thick, .dash2.thick { stroke-dasharray: 2 3; }
.dash3 .thick, .dash3.thick { stroke-dasharray: 10 3 2 3; }
  .dash4 .thick, .dash4.thick { stroke-dasharray: 6 2 2 2 2 2; }
circle { fill: var(--own); } .bar { fill: var(--own); opacity: .28; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: .7em 0 .3em; padding: 0; list-style: none;
  overflow-wrap: anywhere; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); gap: 18px; }
.samples img { width: 100%; height: auto; display: block; image-rendering: pixelated; border: 1px solid var(--line); }
summary { cursor: pointer; }
details { margin: .6em 0; }
@media (max-width: 600px) { main { padding: 16px 12px 40px; } th, td, button { padding-left: 8px;
  padding-right: 8px; }
  tbody th { min-width: 8.5em; max-width: 10em; }
  .samples { grid-template-columns: 1fr 1fr; gap: 12px; } .text { min-width: 9em; } }
@media print { :root { color-scheme: light; --back: #fff; --text: #000; --quiet: #444; --line: #bbb; --panel: #f3f3f3;
  --c0: #0b62c4; --c1: #c2410c; --c2: #14803c; --c3: #a21caf; --c4: #0e7490; --c5: #92600a; --c6: #be123c;
  --c7: #5b5bd6; }
  body { font-size: 11px; } main { max-width: none; padding: 0; } .scroll { overflow: visible; border: 0; }
  tbody th { position: static; }
  th, td, button { padding: 3px 6px; } td.number { white-space: normal; } nav { display: none; }
  figure, tr, .notice { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; } .plots, .samples { grid-template-columns: repeat(3, 1fr); gap: 8px; }
  button::after { display: none; } }
"""

SCRIPT = """
"use strict";
function sort(header) {
  const table = header.closest("table"), body = table.tBodies[0], place = header.cellIndex;
  const up = header.getAttribute("aria-sort") !== "ascending";
  const key = row => row.cells[place].dataset.value;
  const order = (a, b) => {
    const x = key(a), y = key(b);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    const words = Number.isNaN(Number(x)) || Number.isNaN(Number(y));
    const apart = words ? x.localeCompare(y, "en", { numeric: true }) : Number(x) - Number(y);
    return up ? apart : -apart;
  };
  body.append(...Array.from(body.rows).sort(order));
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
}
for (const button of document.querySelectorAll(".sortable thead button"))
  button.addEventListener("click", () => sort(button.parentNode));
"""

"""The page's style sheet and its one script, which opens what is folded before printing."""

from __future__ import annotations

STYLE = """
:root { --ink: #1c1f23; --quiet: #5d646d; --rule: #d8dce1; --wash: #f6f7f9; --accent: #084582; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 28px 24px 64px; max-width: 1160px; color: var(--ink);
  background: #fff; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans",
  "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 22px; line-height: 1.25; margin: 52px 0 10px; padding-top: 14px;
  border-top: 2px solid var(--ink); }
h3 { font-size: 16.5px; margin: 32px 0 4px; }
h4 { font-size: 14px; margin: 22px 0 6px; }
h4 span { font-weight: 400; color: var(--quiet); }
p { margin: 6px 0 10px; max-width: 78ch; }
a { color: var(--accent); }
code { font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
nav { margin: 14px 0 0; padding: 8px 0; border-top: 1px solid var(--rule); font-size: 14px; }
nav a { display: inline-block; margin-right: 16px; padding: 3px 0; text-decoration: none; }
.facts { color: var(--quiet); font-size: 14.5px; }
.findings { margin: 20px 0; padding: 0; list-style: none; }
.findings li { padding: 12px 16px; margin-bottom: 8px; border-left: 4px solid var(--accent);
  background: var(--wash); font-size: 17.5px; line-height: 1.4; }
.findings span { display: block; font-size: 13.5px; color: var(--quiet); }
.limits { padding: 4px 18px 8px; border: 1px solid #d9b26a; background: #fffaf0; }
.limits h3 { margin-top: 12px; }
.limits ul { margin: 6px 0 8px; padding-left: 20px; }
.limits li { margin-bottom: 4px; max-width: 84ch; }
.warn { color: #8a3b00; font-weight: 600; }
.caption { font-size: 14px; color: var(--quiet); }
.scroll { overflow-x: auto; border-bottom: 1px solid var(--ink); border-top: 2px solid var(--ink);
  margin: 12px 0 8px; }
table { border-collapse: separate; border-spacing: 0; font-size: 14px; line-height: 1.3; }
.scroll > table { min-width: 100%; }
th, td { padding: 6px 9px; text-align: right; vertical-align: top; white-space: nowrap; }
thead th { white-space: normal; overflow-wrap: normal; border-bottom: 1px solid var(--ink);
  font-weight: 600; vertical-align: bottom; }
th:first-child { text-align: left; position: sticky; left: 0; background: #fff; z-index: 1;
  white-space: normal; overflow-wrap: normal; min-width: 140px; max-width: 220px; }
tbody th { font-weight: 500; }
tbody tr.ours > * { border-top: 1px solid var(--rule); }
tr.paper > *, tr.difference > * { color: var(--quiet); padding-top: 1px; }
tr.paper th, tr.difference th { padding-left: 42px; font-weight: 400; }
td small { display: block; font-size: 11.5px; color: var(--quiet); font-weight: 400; }
.headline { background: #eef3f9; }
.best { font-weight: 700; }
.second { text-decoration: underline; text-underline-offset: 3px; }
.name { display: flex; align-items: baseline; }
.name .swatch { flex: none; position: relative; top: 2px; }
table.plain th, table.plain td { text-align: left; }
table.plain .number { text-align: right; }
details { margin: 6px 0; font-size: 14px; border: 1px solid var(--rule); border-radius: 4px; }
summary { padding: 6px 12px; cursor: pointer; color: var(--accent); }
details > :not(summary) { margin: 4px 14px 10px; }
details ul { padding-left: 16px; }
details li { margin-bottom: 5px; max-width: 100ch; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr));
  gap: 22px 30px; margin: 12px 0; align-items: start; }
.grid > svg { max-width: 460px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr));
  gap: 22px 44px; margin: 12px 0; align-items: start; }
.pair figure { max-width: 540px; }
figure { margin: 0; }
figure > figcaption { font-size: 14px; color: var(--quiet); margin-top: 6px; line-height: 1.4; }
.swatch { display: inline-block; width: 26px; margin-right: 7px; vertical-align: -2px; }
th .swatch { width: 22px; }
.legend { list-style: none; margin: 10px 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: 4px 20px; font-size: 13.5px; }
.plate { background: #3a3f45; color: #fff; padding: 7px 14px; border-radius: 4px; }
.strip { display: grid; grid-template-columns: repeat(var(--columns), 1fr); gap: 12px 10px; }
.strip figure > figcaption { margin-top: 3px; font-size: 12.5px; line-height: 1.3; }
.strip b { display: block; color: var(--ink); font-weight: 600; }
.gone { background: var(--wash); color: var(--quiet); font-size: 12.5px; padding: 24px 10px;
  text-align: center; }
.commands { white-space: pre-wrap; }
@media (max-width: 900px) {
  .strip { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
}
@media (max-width: 620px) {
  body { padding: 16px 14px 40px; font-size: 15.5px; }
  h1 { font-size: 24px; } h2 { font-size: 19.5px; }
  .findings li { font-size: 16px; padding: 10px 12px; }
  th, td { padding: 5px 7px; }
  .scroll th:first-child { min-width: 100px; max-width: 128px; font-size: 13px; }
  .scroll .swatch { display: none; }
  tr.paper th, tr.difference th { padding-left: 16px; }
}
@page { size: A4; margin: 14mm 13mm; }
@media print {
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { padding: 0; max-width: none; font-size: 10.5pt; }
  nav { display: none; }
  h1 { font-size: 20pt; } h2 { font-size: 15pt; margin-top: 22pt; } h3 { font-size: 11.5pt; }
  h2, h3, h4, .caption, section > p { break-after: avoid; }
  #detection, #segmentation, [id^="scoring"], #images, #provenance { break-before: page; }
  p { orphans: 3; widows: 3; }
  .findings li { font-size: 11.5pt; }
  svg, figure, tr, .example, .findings li, .limits { break-inside: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 8.2pt; } th, td { padding: 2.5pt 4pt; } td small { font-size: 6.8pt; }
  .wide table { font-size: 6.6pt; } .wide th, .wide td { padding: 2pt 2.2pt; }
  .wide td small { font-size: 5.6pt; } .wide .swatch { display: none; }
  .scroll:not(.long) { break-inside: avoid; }
  .wide td small, .long th, .long td { white-space: normal; }
  .long table { font-size: 5.8pt; } .long thead th { font-size: 5pt; }
  th:first-child { position: static; min-width: 0; }
  .grid { grid-template-columns: repeat(3, 1fr); gap: 12pt 14pt; }
  .pair { grid-template-columns: repeat(2, 1fr); gap: 12pt 18pt; }
  .strip { grid-template-columns: repeat(var(--columns), 1fr); gap: 6pt 5pt; }
  .strip figure > figcaption { font-size: 7.5pt; }
  .caption, details, figure > figcaption { font-size: 8.8pt; }
  code { font-size: 7.5pt; }
  details { border: 0; } details > :not(summary) { margin-left: 4pt; }
  details::details-content { content-visibility: visible; display: block; }
}
"""

SCRIPT = """
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    part.dataset.folded = "";
  }
});
addEventListener("afterprint", () => {
  for (const part of document.querySelectorAll("details[data-folded]")) part.open = false;
});
"""

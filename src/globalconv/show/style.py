"""How pages look: one style sheet for light and dark, wide and narrow, screen and print."""

RUN_COLOURS = 6
"""Runs that have a colour of their own; the next ones start again with the first."""


def run_colour(number: int) -> str:
    """Return the colour of a run, which the style sheet knows for light and dark."""
    return f"var(--run-{number % RUN_COLOURS})"


STYLE = """
:root { color-scheme: light dark; --paper: #f7f7f4; --card: #fff; --ink: #20252b; --muted: #616b78; --line: #e2e3de;
  --bar: #8cc9b4; --accent: #0b6b50; --good: #0b6b50; --bad: #b3372b; --hit: 15 122 92; --miss: 205 70 50;
  --run-0: #0f7a5c; --run-1: #c2571a; --run-2: #3564b0; --run-3: #8a4bb0; --run-4: #937400; --run-5: #b03060; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1c2025; --ink: #e6e8ea; --muted: #9aa5b1;
  --line: #30363d; --bar: #2f7a64; --accent: #5cc9a7; --good: #5cc9a7; --bad: #f08a7c; --hit: 70 180 145;
  --miss: 225 95 75; --run-0: #4fc3a0; --run-1: #f0975c; --run-2: #7fa8ee; --run-3: #c294e4; --run-4: #d8b93f;
  --run-5: #ee83ab; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: clamp(1.1rem, 4vw, 3rem) clamp(1rem, 4vw, 3rem); }
h1 { font-size: clamp(1.55rem, 4.5vw, 2.3rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .5rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; letter-spacing: -.01em; margin: 3.2rem 0 .6rem; scroll-margin-top: 1rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .6rem; overflow-wrap: anywhere; }
p { max-width: 46rem; margin: .5rem 0; }
.lead, .note { color: var(--muted); } .lead { font-size: 1.06rem; } .note { font-size: .92rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1.2rem 0 0; font-size: .92rem; }
nav a { color: var(--accent); text-decoration: none; padding: .2rem 0; } nav a:hover { text-decoration: underline; }
code { font: .86em ui-monospace, monospace; background: var(--line); border-radius: 4px; padding: .1em .35em;
  overflow-wrap: anywhere; -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13.5rem, 44%), 1fr)); gap: .7rem;
  margin: 1.1rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .8rem 1rem .75rem; }
.tile b { display: block; font-size: 1.75rem; line-height: 1.2; letter-spacing: -.02em; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.tile span, .tile small { display: block; color: var(--muted); font-size: .88rem; overflow-wrap: anywhere; }
.tile.winner { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
.points { max-width: 50rem; margin: .8rem 0; padding-left: 1.15rem; } .points li { margin: .35rem 0; }
.points li::marker { color: var(--accent); }
.advice { list-style: none; padding: 0; margin: .9rem 0; display: grid; gap: .7rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.advice li { background: var(--card); border: 1px solid var(--line); border-left: 3px solid var(--accent);
  border-radius: 10px; padding: .75rem 1rem; }
.advice b { display: block; }
.advice span { color: var(--muted); font-size: .93rem; display: block; margin: .1rem 0 .35rem; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.columns { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  align-items: start; } .wide + .columns { margin-top: 1.3rem; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .9rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line);
  font-weight: 400; }
thead th { border-top: 0; color: var(--muted); font-weight: 500; font-size: .9rem; vertical-align: bottom;
  white-space: normal; line-height: 1.3; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--card); z-index: 1; }
tr.strong th, tr.strong td { font-weight: 650; }
td.bar { background: linear-gradient(to right, var(--bar) var(--share), var(--line) var(--share))
  center bottom 3px / calc(100% - 1.8rem) 3px no-repeat; min-width: 6.5rem; }
td.best { color: var(--accent); font-weight: 650; }
td.more { color: var(--good); } td.less { color: var(--bad); }
.words td { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 7.5rem; }
.words thead th { text-align: left; }
.words tbody th { white-space: normal; overflow-wrap: anywhere; width: 17rem; }
.whole td, .whole tbody th { overflow-wrap: normal; min-width: 0; }
i.swatch { display: inline-block; width: .85em; height: .85em; border-radius: 3px; margin-right: .5em;
  vertical-align: -.06em; border: 1px solid rgb(128 128 128 / .5); }
.matrix table { width: auto; border-spacing: 1px; font-size: .8rem; }
.matrix { padding: .5rem .4rem; } .matrix th, .matrix td { border: 0; padding: .22rem .4rem; font-size: inherit; }
 .matrix td { text-align: center; min-width: 2.2rem;
  background: rgb(var(--miss) / var(--v)); border-radius: 3px; }
.matrix td.hit { background: rgb(var(--hit) / var(--v)); }
.matrix thead th:not(:first-child) { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left;
  padding: .4rem .3rem; }
.curve svg { display: block; width: 100%; max-width: 36rem; height: auto; overflow: visible; }
.curve figcaption { color: var(--ink); font-weight: 600; font-size: .95rem; padding: 0 0 .4rem; }
.sample { margin: 0 0 1.1rem; }
.sample h4 { font-size: .92rem; font-weight: 600; margin: 0 0 .3rem; overflow-wrap: anywhere; }
.sample h4 small { color: var(--muted); font-size: inherit; font-weight: 400; }
.grid { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: .5rem; }
figure { margin: 0; }
figcaption { color: var(--muted); font-size: .84rem; padding: .2rem 0 0; }
img { display: block; width: 100%; height: auto; border-radius: 6px; background: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: 0; margin: .8rem 0; list-style: none;
  font-size: .9rem; }
details { border-top: 1px solid var(--line); padding: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
details > div { margin-top: .7rem; }
@media (max-width: 640px) { .grid { grid-template-columns: repeat(min(2, var(--columns)), minmax(0, 1fr)); }
  body { font-size: 15px; } h2 { margin-top: 2.4rem; }
  th:first-child { max-width: 8.5rem; overflow: hidden; text-overflow: ellipsis; }
  th, td { padding: .4rem .3rem; font-size: .92rem; } th:first-child { padding-left: .5rem; }
  .words td { min-width: 5.2rem; } .words tbody th { width: 9rem; } .whole td { min-width: 0; }
  .against th:nth-child(2), .against td:nth-child(2) { display: none; }
  td.bar { min-width: 3.6rem; background-size: calc(100% - .9rem) 3px; } }
@media print { body { background: #fff; } .wide, .tile, .advice li { break-inside: avoid; } }
footer { color: var(--muted); font-size: .86rem; margin-top: 3.5rem; border-top: 1px solid var(--line);
  padding-top: .8rem; }
"""

"""A result as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.report.plots import plots
from benchmarks.report.sections import Rows, Section
from benchmarks.report.tables import sections

PNG_DPI = 130

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff;
  max-width: 72rem; margin: 2rem auto; padding: 0 1.5rem; }
h1, h2, h3 { line-height: 1.25; }
h2 { margin-top: 3rem; border-bottom: 2px solid #0072b2; padding-bottom: .3rem; }
h3 { margin-top: 2rem; }
nav a { margin-right: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e3e3e3; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #bbb; vertical-align: bottom; }
tbody tr:nth-child(odd) { background: #f6f6f6; }
code { font-size: .92em; background: #f0f0f0; padding: 0 .25em; border-radius: 3px; }
figure { margin: 1rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption { font-size: 12px; }
"""


def report(result: Mapping[str, Any], folder: Path | None = None) -> str:
    """Return the HTML.

    Args:
        result: what a run gave.
        folder: where each plot is written too, as PNG and SVG; None: nowhere.
    """
    drawn = dict(plots(result))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            file = folder / name.replace(":", "-")
            file.with_suffix(".svg").write_bytes(_bytes(figure, "svg"))
            file.with_suffix(".png").write_bytes(_bytes(figure, "png"))
    found = list(sections(result))
    links = " ".join(
        f'<a href="#{_slug(one.title)}">{escape(one.title)}</a>' for one in found if one.level == 2
    )
    body = "\n".join(_section(one, drawn) for one in found)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>querycache: benchmarks of {result['date']}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>Benchmarks of querycache</h1>\n"
        f"<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
    )


def _section(section: Section, drawn: Mapping[str, Figure]) -> str:
    parts = []
    if section.title:
        level = section.level
        # Titles of the second level are there once; others under several of them.
        mark = f' id="{_slug(section.title)}"' if level == 2 else ""
        parts.append(f"<h{level}{mark}>{_text(section.title)}</h{level}>")
    for paragraph in filter(None, section.text.split("\n\n")):
        if paragraph.startswith("- "):
            items = "".join(f"<li>{_text(line[2:])}</li>" for line in paragraph.splitlines())
            parts.append(f"<ul>{items}</ul>")
        else:
            parts.append(f"<p>{_text(paragraph)}</p>")
    if section.plot in drawn:
        parts.append(_figure(section.plot, drawn[section.plot]))
    if section.rows:
        parts.append(_table(section.rows))
    return "\n".join(parts)


def _text(text: str) -> str:
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)


def _table(rows: Rows) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in rows[0])
    body = "\n".join(
        f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows[1:]
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _figure(name: str, figure: Figure) -> str:
    svg = _bytes(figure, "svg").decode()
    svg = svg[svg.index("<svg") :]
    # All plots share one document, in which an id may be there only once.
    mark = re.sub(r"\W", "-", name)
    svg = re.sub(r'\bid="', f'id="{mark}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{mark}-", svg)
    png = base64.b64encode(_bytes(figure, "png")).decode()
    link = f'<a download="{mark}.png" href="data:image/png;base64,{png}">as PNG</a>'
    return f"<figure>{svg}<figcaption>{link}</figcaption></figure>"


def _bytes(figure: Figure, kind: str) -> bytes:
    out = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(out, format=kind, dpi=PNG_DPI, metadata=metadata)
    return out.getvalue()


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")

"""Renders report.md: the report's tables, with pictures by relative path."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from ganzoo.bench.report import sentences, tables
from ganzoo.bench.report.markup import clean
from ganzoo.bench.report.summary import Section
from ganzoo.bench.report.tables import Table

if TYPE_CHECKING:
    from ganzoo.bench.report.collect import Picture, Report

ACROSS = 4  # pictures in a row


def escaped(text: object) -> str:
    """Escapes text so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~&])", r"\\\1", clean(text))


def render(report: Report) -> str:
    parts = ["# Bench report", escaped(sentences.overview(report.rows))]
    compared = sentences.protocol_differences(report.sections, report.protocols)
    if compared:
        parts.append("Rows of different protocols are never ranked together: each protocol has its own sections.")
    for sentence, fields in compared:
        parts.append(escaped(sentence))
        if fields:
            parts.append(grid(("field", "there", "here"), [tuple(map(escaped, line)) for line in fields]))
    for section in report.sections:
        parts += of_section(report, section)
    parts += ["## How to read this", "\n".join(f"- {escaped(line)}" for line in sentences.READING)]
    for key, protocol in report.protocols.items():
        text = json.dumps(protocol, indent=2, sort_keys=True)
        parts += [f"## Protocol {key[:12]}", "\n".join(f"    {line}" for line in text.splitlines())]
    return "\n\n".join(parts) + "\n"


def of_section(report: Report, section: Section) -> list[str]:
    parts = [f"## {escaped(sentences.heading(section))}", f"Protocol {section.protocol[:12]}."]
    parts += titled(tables.ranking_table(section))
    parts += [escaped(line) for line in sentences.on_extractors(section)]
    for table in tables.tables(section):
        parts += titled(table)
    galleries = report.galleries(section)
    if galleries:
        parts += ["### Samples", *pictures([(summary.name, found[0]) for _, summary, found in galleries])]
    return parts


def titled(table: Table) -> list[str]:
    """Renders a table with its title and note."""
    lines = [tuple(cell(text) for text in row) for row in table.rows]
    return [f"### {table.title}", grid(table.columns, lines, table), *([escaped(table.note)] if table.note else [])]


def cell(text: tables.Text) -> str:
    return escaped(text.shown) + (f"<br>{escaped(text.below)}" if text.below else "")


def grid(columns: Sequence[str], lines: Sequence[Sequence[str]], table: Table | None = None) -> str:
    text_columns = range(len(columns)) if table is None else table.text_columns
    rule = "|".join(" --- " if place in text_columns else " ---: " for place in range(len(columns)))
    rows = [" | ".join(map(escaped, columns)), *(" | ".join(line) for line in lines)]
    return "\n".join([f"| {rows[0]} |", f"|{rule}|", *(f"| {row} |" for row in rows[1:])])


def pictures(found: list[tuple[str, Picture]]) -> list[str]:
    """Shows several pictures in a row, with names above."""
    parts = []
    for start in range(0, len(found), ACROSS):
        some = found[start : start + ACROSS]
        names = [f"{name}, seed {picture.row.cell.seed}" for name, picture in some]
        shown = [
            f"![{escaped(name)}]({quote(picture.path)})" if picture.path else escaped(f"no picture: {picture.missing}")
            for name, (_, picture) in zip(names, some, strict=True)
        ]
        parts.append(grid(names, [shown]))
    return parts

"""Renders report.html, one self-contained file for light and dark screens, phones and paper."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ganzoo.bench.report import sentences, svg, tables
from ganzoo.bench.report.markup import Markup, join, tag
from ganzoo.bench.report.style import SCRIPT, STYLE
from ganzoo.bench.report.summary import Section, Summary
from ganzoo.bench.report.tables import Table, Text

if TYPE_CHECKING:
    from ganzoo.bench.report.collect import Picture, Report


def render(report: Report) -> str:
    body = [
        tag("h1", "Bench report"),
        tag("p", sentences.overview(report.rows), class_="lead"),
        *protocols_differ(report),
    ]
    if len(report.sections) > 1:
        links = [
            tag("li", tag("a", sentences.heading(s), href=f"#s{n}"), " ", tag("code", s.protocol[:12]))
            for n, s in enumerate(report.sections)
        ]
        body.append(tag("nav", tag("ul", *links), aria_label="Sections"))
    body += [of_section(report, section, number) for number, section in enumerate(report.sections)]
    body.append(
        tag(
            "section",
            tag("h2", "How to read this"),
            tag("ul", *(tag("li", line) for line in sentences.READING)),
            class_="prose",
        )
    )
    for key, protocol in report.protocols.items():
        text = Markup("\n").join(map(_line, json.dumps(protocol, indent=2, sort_keys=True).splitlines()))
        body.append(
            tag("details", tag("summary", "Protocol ", tag("code", key)), tag("pre", Markup(text), tabindex="0"))
        )
    return document(join(body))


def _line(text: str) -> Markup:
    return join([text])


def document(body: Markup, title: str = "Bench report") -> str:
    """Returns the whole page, whose security policy loads nothing from outside and runs no other script than SCRIPT."""
    sources = f"default-src 'none'; img-src data:; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}"
    policy = f"{sources}; base-uri 'none'; form-action 'none'"
    head = join(
        [
            Markup('<meta charset="utf-8">'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Markup('<meta name="color-scheme" content="light dark">'),
            tag("title", title),
            tag("style", Markup(STYLE)),
        ]
    )
    page = tag("body", tag("main", body), tag("script", Markup(SCRIPT)))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n{page}</html>\n'


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def protocols_differ(report: Report) -> list[Markup]:
    compared = sentences.protocol_differences(report.sections, report.protocols)
    if not compared:
        return []
    parts = [
        tag(
            "p",
            tag("strong", "Rows of different protocols are never ranked together:"),
            " each protocol has its own sections.",
        )
    ]
    for sentence, fields in compared:
        parts.append(tag("p", sentence))
        if fields:
            rows = [
                tag("tr", tag("th", name, scope="row"), tag("td", one), tag("td", other)) for name, one, other in fields
            ]
            head = tag("tr", *(tag("th", title, scope="col") for title in ("field", "there", "here")))
            parts.append(scrolling("Differences of protocols", tag("table", tag("thead", head), tag("tbody", *rows))))
    return [tag("div", *parts, class_="notice")]


def of_section(report: Report, section: Section, number: int) -> Markup:
    parts = [
        tag("h2", sentences.heading(section)),
        tag("p", "Protocol ", tag("code", section.protocol[:12]), class_="quiet"),
    ]
    parts.append(table(tables.ranking_table(section)))
    parts += [tag("p", line) for line in sentences.on_extractors(section)]
    plots = [plot for plot in (svg.seeds_chart(section), *_curves(section)) if plot]
    if plots:
        parts.append(tag("div", *plots, class_="plots"))
        parts.append(legend(section))
        if len(plots) > 1:
            parts.append(tag("p", sentences.LINES, class_="quiet"))
    galleries = report.galleries(section)
    if galleries:
        parts += [tag("h3", "Samples"), _galleries(galleries)]
    parts += [table(found) for found in tables.tables(section)]
    return tag("section", *parts, id=f"s{number}")


def _galleries(found: Sequence[tuple[int, Summary, Sequence[Picture]]]) -> Markup:
    return tag("div", *(gallery(place, summary, pictures) for place, summary, pictures in found), class_="samples")


def legend(section: Section) -> Markup:
    names = [" ".join([summary.name, *summary.settings]) for summary in tables.order(section)]
    return tag("ul", *(tag("li", svg.swatch(place), name) for place, name in enumerate(names)), class_="legend")


def _curves(section: Section) -> list[Markup | None]:
    return [svg.curves(section, against) for against in ("seconds", "images")] if section.ranking else []


def gallery(place: int, summary: Summary, pictures: Sequence[Picture]) -> Markup:
    """Shows the first seed's samples; the others open by a click."""
    first, *others = pictures
    more = (
        tag(
            "details",
            tag("summary", sentences.counted(len(others), "other seed")),
            *(shown(picture) for picture in others),
        )
        if others
        else None
    )
    name = tag("h4", svg.swatch(place), " ", summary.name)
    return tag(
        "div",
        name,
        tag("p", " ".join(summary.settings), class_="quiet") if summary.settings else None,
        shown(first),
        more,
    )


def shown(picture: Picture) -> Markup:
    seed = f"seed {picture.row.cell.seed}" if picture.row.kind == "train" else "sampled from the weights"
    state = "" if picture.row.status == "done" else f", {picture.row.status}"
    caption = tag("figcaption", seed + state + (", collapsed" if picture.row.collapsed else ""))
    if picture.png is None:
        return tag("figure", tag("p", f"No picture: {picture.missing}.", class_="quiet"), caption)
    image = Markup(
        tag(
            "img", src=Markup(picture.uri), alt=f"samples of {picture.row.cell.name}, {seed}", loading="lazy"
        ).removesuffix("</img>")
    )
    return tag("figure", image, caption)


def table(found: Table) -> Markup:
    """Renders a table whose columns sort by a click or by Enter."""
    head = [
        tag(
            "th",
            tag("button", title, type="button"),
            scope="col",
            class_=None if place in found.text_columns else "number",
        )
        for place, title in enumerate(found.columns)
    ]
    rows = []
    for line, row in enumerate(found.rows):
        mark = svg.swatch(found.series[line]) if found.series else None
        rows.append(tag("tr", *(cell(text, place, found, mark) for place, text in enumerate(row))))
    whole = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="sortable")
    note = tag("p", found.note, class_="quiet") if found.note else None
    return tag("div", tag("h3", found.title), note, scrolling(found.title, whole), class_="block")


def cell(text: Text, place: int, found: Table, mark: Markup | None) -> Markup:
    below = tag("small", text.below) if text.below else None
    value = None if text.value is None else repr(text.value) if isinstance(text.value, float) else text.value
    if place == 0:
        return tag("th", mark, text.shown, below, scope="row", data_value=value)
    return tag("td", text.shown, below, data_value=value, class_="text" if place in found.text_columns else "number")


def scrolling(label: str, content: Markup) -> Markup:
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)

"""Sphinx extension: the directive `commands`, a reference of the command line made from click's own help."""

from __future__ import annotations

import re
import textwrap

import click
from docutils import nodes
from docutils.parsers.rst import Directive


def inline(text: str) -> list[nodes.Node]:
    """A line of help as nodes; options and what stands between backticks are code."""
    parts = re.split(r"(?:`([^`]+)`|(?<![\w-])(--[a-z][a-z-]*))", text)
    parts = [part for part in parts if part is not None]
    return [nodes.literal(text=part) if number % 2 else nodes.Text(part) for number, part in enumerate(parts) if part]


def paragraphs(text: str) -> list[nodes.Node]:
    """The help text of a command: paragraphs, and examples whose lines click leaves as they are (`\\b`)."""
    found: list[nodes.Node] = []
    for block in re.split(r"\n\s*\n", textwrap.dedent(text).strip("\n")):
        if block.lstrip().startswith("\b"):
            lines = textwrap.dedent(block.lstrip()[1:].lstrip("\n")).rstrip()
            code = nodes.literal_block(lines, lines)
            code["language"] = "text"
            found.append(code)
        elif block.strip():
            found.append(nodes.paragraph("", "", *inline(" ".join(block.split()))))
    return found


def option(parameter: click.Option, context: click.Context) -> nodes.definition_list_item:
    names, text = parameter.get_help_record(context)
    return nodes.definition_list_item(
        "",
        nodes.term("", "", nodes.literal(text=names)),
        nodes.definition("", nodes.paragraph("", "", *inline(" ".join(text.split())))),
    )


def section(command: click.Command, name: str, parent: click.Context | None) -> nodes.section:
    """A command as a section: usage, help, options, and a section for each of its own commands."""
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    path = context.command_path
    found = nodes.section(ids=[path.replace(" ", "-")], names=[path])
    found += nodes.title(path, path)
    usage = f"{path} {' '.join(command.collect_usage_pieces(context))}"
    block = nodes.literal_block(usage, usage)
    block["language"] = "text"
    found += [block, *paragraphs(command.help or "")]
    options = [one for one in command.get_params(context) if isinstance(one, click.Option) and not one.hidden]
    if options:
        found += nodes.definition_list("", *[option(one, context) for one in options], classes=["options"])
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found += section(command.get_command(context, each), each, context)
    return found


class Commands(Directive):
    """Every command of `ganzoo`, as sections of the page."""

    def run(self) -> list[nodes.Node]:
        from ganzoo.cli import group

        top = section(group, "ganzoo", None)
        commands = [child for child in top.children if isinstance(child, nodes.section)]
        for command in commands:
            top.remove(command)
        return [top, *commands]


def setup(app):
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Commands of plugins: used, shown with their provider, isolated, and never in place of an own one."""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType

import click
import pytest

import ganzoo.cli.common
import ganzoo.registry.discovery as discovery
import ganzoo.registry.registry
from ganzoo import hookimpl
from ganzoo.cli import main
from ganzoo.registry.discovery import Plugin, installed
from ganzoo.registry.registry import Registry


@pytest.fixture
def with_commands(monkeypatch):
    """Makes a plugin with these commands an installed one."""

    def make(**commands) -> Registry:
        module = ModuleType("commands_test_plugin")

        @hookimpl
        def register_commands(register):
            for name, factory in commands.items():
                register(name, factory)

        module.register_commands = register_commands
        monkeypatch.setitem(sys.modules, module.__name__, module)
        everyone = [*installed(), Plugin("p", "my-commands", "2.1", module.__name__)]
        monkeypatch.setattr(discovery, "installed", lambda: everyone)
        found = Registry(everyone)
        patched = cache(lambda: found)
        monkeypatch.setattr(ganzoo.registry.registry, "registry", patched)
        monkeypatch.setattr(ganzoo.cli.common, "registry", patched)
        return found

    return make


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return ended.value.code


def hello():
    """Say hello.

    More of it.
    """

    @click.command()
    @click.argument("name")
    def command(name):
        click.echo(f"hello {name}")

    return command


def fails():
    """Fail."""
    raise ImportError("No module named 'gone'")


def test_a_command_of_a_plugin_runs_and_is_shown_with_its_provider(with_commands, capsys):
    with_commands(hello=hello, fails=fails)
    assert call("hello", "you") == 0
    assert capsys.readouterr().out == "hello you\n"
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert "Say hello. [my-commands 2.1]" in text and "More of it" not in text and "Fail." in text
    assert call("hello") == 2
    assert "NAME" in capsys.readouterr().err


def test_a_command_that_fails_is_one_line_that_names_the_plugin(with_commands, capsys):
    with_commands(fails=fails, number=lambda: 3)
    assert call("fails") == 1
    error = capsys.readouterr().err
    assert "my-commands:p" in error and "gone" in error and len(error.splitlines()) == 1
    assert call("number") == 1
    assert "click.Command" in capsys.readouterr().err
    assert call("list", "dcgan") == 0


def test_own_commands_keep_their_names(with_commands, capsys):
    found = with_commands(list=hello, helo=hello)
    assert call("list", "dcgan") == 0
    assert "hello" not in capsys.readouterr().out
    assert call("--help") == 0
    assert "my-commands" in capsys.readouterr().out
    assert any("'list'" in line and "my-commands" in line for line in found.warnings)
    assert call("hello") == 2
    assert "'helo'" in capsys.readouterr().err


def test_without_other_plugins_help_loads_none(monkeypatch, capsys):
    monkeypatch.setattr(Registry, "names", lambda *_: pytest.fail("plugins were loaded"))
    monkeypatch.setattr(discovery, "installed", lambda: [Plugin("dcgan", "ganzoo", "1", "x")])
    assert call("--help") == 0
    assert "Commands of plugins" not in capsys.readouterr().out

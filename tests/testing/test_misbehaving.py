"""Plugins that work and harm every command all the same: each is named, on stderr and in `ganzoo plugins`."""

from __future__ import annotations

import json
import sys

import pytest
from distributions import install, run, simple, variant

from ganzoo.registry.discovery import Plugin
from ganzoo.registry.plugin_guard import SLOW_WALL_SECONDS, deprecated
from ganzoo.registry.registry import Registry

SLEEP = 4.0  # past the time after which a plugin that is still loading is named
PLUGINS = {
    "hangs": (
        variant("hanging", before=f"import time\ntime.sleep({SLEEP})"),
        "s to load, which slows every command",
    ),
    "exits": ("raise SystemExit(3)", "is broken and left out: SystemExit: 3"),
    "prints": (
        variant("loud", before="print('hello\\nthere')"),
        "prints while it is loaded ('hello'); a plugin must print nothing",
    ),
    "imports-torch": (variant("heavy", before="import torch"), "imports torch, which slows every command"),
    "newer-api": (
        variant("future", before="ganzoo_api = 3"),
        "is written for plugin API 3, this ganzoo has 2: update ganzoo",
    ),
    "odd-api": (variant("odd", before="ganzoo_api = '1'"), "its ganzoo_api must be a whole number from 1, got '1'"),
}
WORKING = {"hanging", "loud", "heavy"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = install(
        [simple(name, source) for name, (source, _) in PLUGINS.items()], tmp_path_factory.mktemp("misbehaving") / "site"
    )
    (target / "torch.py").write_text("")  # stands in for the real one, which takes seconds
    return target


@pytest.fixture(scope="module")
def listed(folder):
    return run("-m", "ganzoo", "list", "--json", folders=[folder])


def test_every_other_command_works(listed):
    assert listed.returncode == 0, listed.stderr
    names = {row["name"] for row in json.loads(listed.stdout)}
    assert "dcgan" in names and WORKING <= names and not names & {"future", "odd"}


@pytest.mark.parametrize("name", PLUGINS)
def test_each_is_named_once_on_stderr(name, listed):
    lines = [line for line in listed.stderr.splitlines() if line.startswith(f"Warning: Plugin {name}:{name} ")]
    assert len(lines) == 1 and PLUGINS[name][1] in lines[0], listed.stderr


def test_one_that_is_still_loading_is_named_before_it_is_done(listed):
    (line,) = [line for line in listed.stderr.splitlines() if line.startswith("Still loading")]
    assert "plugin hangs:hangs" in line and "GANZOO_LOAD_PLUGINS= (empty)" in line


def test_each_has_its_reason_in_a_row(folder):
    source = (
        "import json; from ganzoo.registry.registry import registry; "
        "print(json.dumps({p.distribution: (p.error, p.note) for p in registry().plugins}))"
    )
    finished = run("-c", source, folders=[folder])
    rows = json.loads(finished.stdout)
    for name, (_, reason) in PLUGINS.items():
        error, note = rows[name]
        assert reason.removeprefix("is broken and left out: ") in (error or note)
    assert rows["ganzoo"] == [None, None]


def test_no_command_waits_for_what_is_left_out(folder):
    finished = run("-m", "ganzoo", "list", folders=[folder], GANZOO_LOAD_PLUGINS="")
    assert (finished.returncode, finished.stderr) == (0, "")


def test_what_is_deprecated_names_plugin_and_replacement(monkeypatch, capfd):
    from ganzoo.cli import listing

    plugin = Plugin("old", "old-gan", "1.0", module="not_there")
    found = Registry([plugin])
    deprecated(plugin, "register_things", "write register_others")
    deprecated(plugin, "register_things", "write register_others")
    listing.report_warnings(found)
    lines = [line for line in capfd.readouterr().err.splitlines() if "register_things" in line]
    assert lines == [
        "Warning: Plugin old-gan:old uses register_things, which plugin API 3 will not have; write register_others."
    ]


def test_a_quick_plugin_has_no_note(folder):
    assert SLOW_WALL_SECONDS < SLEEP and "quick" not in sys.modules
    quick = install([simple("quick", variant("quick"))], folder.parent / "quick")
    finished = run("-m", "ganzoo", "list", "--json", folders=[quick], GANZOO_LOAD_PLUGINS="quick")
    assert (finished.returncode, finished.stderr) == (0, "")

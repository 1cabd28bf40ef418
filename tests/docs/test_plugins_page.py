"""The directory of plugins, and the script that checks the listed ones."""

import os
import re
import subprocess

from paths import ROOT

from ganzoo.registry.registry import registry

PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def test_the_directory_names_every_part_that_is_built_in():
    found = registry()
    for kind in ("regularizers", "augmentations", "conditions", "extractors", "metrics", "trackers"):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {kind} |"))
        own = [name for name in found.names(kind) if found.claim(kind, name).plugin.builtin]
        assert re.findall(r"`([\w-]+)`", row) == own


def test_every_listed_plugin_has_a_row():
    lines = (ROOT / "docs" / "plugins.txt").read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    assert all(f"| `{name}`" in PAGE or f"[{name}]" in PAGE for name in names)


def test_the_script_checks_each_of_a_list_and_names_those_that_fail(tmp_path):
    """With stand-ins for pip and ganzoo, which write down how they were called."""
    for name in ("python", "ganzoo"):
        (tmp_path / name).write_text(
            f'#!/bin/sh\necho {name} "$@" >> "{tmp_path}/calls"\ncase "$*" in *broken*|*gone*) exit 1;; esac\n'
        )
        (tmp_path / name).chmod(0o755)
    (tmp_path / "list").write_text("# comment\n\nganzoo-waves>=1.0\nganzoo-broken\n")
    done = subprocess.run(
        [ROOT / ".ci" / "listed_plugins", tmp_path / "list"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "2 listed, 1 pass" in done.stdout and "ganzoo-broken" in done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[:2] == ["python -m pip install --quiet ganzoo-waves>=1.0", "ganzoo check --dist ganzoo-waves"]
    (tmp_path / "list").write_text("# none\n")
    again = [ROOT / ".ci" / "listed_plugins", tmp_path / "list"]
    assert subprocess.run(again, capture_output=True).returncode == 0

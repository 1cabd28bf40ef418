"""The conformance checks: a correct variant passes all, and each mistake fails its check with a helpful message."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import forks
import pytest
import torch
from broken_variants import MISTAKES
from distributions import install, run, simple, variant
from paths import DOCS
from tiny_variant import NAME, tiny

from ganzoo import Sizes
from ganzoo.errors import UsageError
from ganzoo.testing import (
    CHECKS,
    QUICK,
    CheckFailed,
    check_variant,
    run_checks,
)
from ganzoo.testing.checks import FUNCTIONS
from ganzoo.testing.subject import Subject, small_size


def identify(mistake) -> str:
    check, _, changes = mistake
    (what,) = changes.values()
    return f"{check}-{getattr(what, '__name__', next(iter(changes)))}"


def test_a_good_variant_passes_all(monkeypatch):
    outcomes = check_variant(NAME, registry=tiny(monkeypatch))
    assert [outcome.check for outcome in outcomes] == list(CHECKS)
    assert {outcome.check for outcome in outcomes if outcome.state == "skipped"} == {"listing"}  # it is no file


@pytest.mark.parametrize("mistake", MISTAKES, ids=identify)
def test_a_mistake_fails_its_check_for_the_right_reason(mistake, monkeypatch):
    check, reason, changes = mistake
    benchmark = torch.backends.cudnn.benchmark
    (outcome,) = run_checks(NAME, [check], registry=tiny(monkeypatch, **changes))
    torch.backends.cudnn.benchmark = benchmark
    assert (outcome.state, reason in outcome.text) == ("failed", True), outcome.text
    assert "\n" not in outcome.text


def test_every_check_has_a_mistake_and_a_function():
    assert {check for check, _, _ in MISTAKES} | {"listing"} == set(CHECKS) == set(FUNCTIONS)
    assert set(QUICK) <= set(CHECKS)


def test_the_page_lists_the_checks_of_the_code():
    page = (DOCS / "checking.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z][a-z0-9-]*) \| (.+) \|$", page, re.MULTILINE)
    assert dict(rows) == CHECKS
    assert re.findall(r"^\* \*\*([a-z0-9-]+)\*\*:", page, re.MULTILINE) == list(CHECKS)


def test_the_help_of_the_command_lists_the_checks():
    from click.testing import CliRunner

    from ganzoo.cli.check import check

    words = " ".join(CliRunner().invoke(check, ["--help"]).output.split())
    assert all(f"{name} {promise}" in words for name, promise in CHECKS.items())


def test_a_failure_names_variant_check_and_what_to_change(monkeypatch):
    with pytest.raises(CheckFailed, match="^tiny-gan: card: .*'tiny-gan' .*tiny_plugin.* tags"):
        check_variant(NAME, ["card"], registry=tiny(monkeypatch, tags=()))


def test_a_variant_that_learns_too_slowly_is_skipped_unless_there_is_more_patience(monkeypatch):
    _, _, changes = next(mistake for mistake in MISTAKES if mistake[0] == "learns")
    (outcome,) = run_checks(NAME, ["learns"], patience=1e-9, registry=tiny(monkeypatch, **changes))
    assert outcome.state == "skipped" and outcome.text.endswith("give it more --patience")


@pytest.mark.parametrize("name", ["gan", "acgan"])
def test_a_check_that_is_asked_for_alone_does_not_blame_dropout(name):
    (outcome,) = check_variant(name, ["globals"])
    assert outcome.state == "ok", outcome.text


def test_an_unknown_check_or_size_is_refused(monkeypatch):
    with pytest.raises(UsageError, match="'gradient'.*'gradients'"):
        check_variant(NAME, ["gradient"])
    with pytest.raises(UsageError, match="declares 8, 16 pixels, not 32"):
        check_variant(NAME, ["card"], size=32, registry=tiny(monkeypatch))


LISTING = {
    "heavy-gan": (variant("heavy-gan", before="import tqdm"), "heavy_gan imports tqdm, which slows every command"),
    "sleepy-gan": (
        variant("sleepy-gan", before="import time\ntime.sleep(1.2)"),
        "s to load, which slows every command",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    bad = simple("bad-card", variant("bad-card").replace("A test.", "no sentence"))
    return install(
        [simple(name, source) for name, (source, _) in LISTING.items()] + [bad],
        tmp_path_factory.mktemp("check") / "site",
    )


def test_the_command_says_what_failed(folder):
    finished = run("-m", "ganzoo", "check", "heavy-gan", "sleepy-gan", "--only", "listing", "--json", folders=[folder])
    assert finished.returncode == 1, finished.stderr
    found = {row["variant"]: (row["state"], row["text"]) for row in json.loads(finished.stdout)}
    for name, (_, reason) in LISTING.items():
        assert found[name][0] == "failed" and reason in found[name][1]


def test_the_command_checks_a_distribution(folder):
    finished = forks.python(
        "-m",
        "ganzoo",
        "check",
        "--dist",
        "Bad_Card",
        "--only",
        "card",
        "--only",
        "parts",
        folders=[folder],
        GANZOO_LOAD_PLUGINS="bad-card",
    )
    lines = finished.stdout.splitlines()
    assert finished.returncode == 1, finished.stderr
    assert (
        lines[0] == "bad-card"
        and lines[1].split()[:2] == ["card", "failed"]
        and lines[2].split()[:2] == ["parts", "ok"]
    )
    assert lines[3].startswith("1 variant(s): 1 ok, 1 failed, 0 skipped")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "Choose what to check"),
        (("dcgan", "--all"), "Choose what to check"),
        (("--dist", "nobody"), "No installed distribution 'nobody'"),
        (("dcgn",), "Did you mean 'dcgan'"),
        (("vae", "--only", "crad"), "Did you mean 'card'"),
        (("vae", "--size", "30"), "declares 28, 32, 64 pixels"),
    ],
)
def test_the_command_refuses(words, reason, capfd):
    from ganzoo.cli import main

    with pytest.raises(SystemExit) as end:
        main(["check", *words])
    assert end.value.code == 2 and reason in capfd.readouterr().err


PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."]


def test_pytest_runs_the_checks(folder, tmp_path):
    words = ["--ganzoo", "bad-card", "--ganzoo-only", "card", "--ganzoo-only", "parts"]
    finished = run(*PYTEST, *words, folders=[folder], cwd=tmp_path, GANZOO_LOAD_PLUGINS="bad-card")
    assert finished.returncode == 1, finished.stdout
    assert "ganzoo bad-card: card" in finished.stdout and "ends with a full stop, got 'no sentence'" in finished.stdout
    assert "1 failed, 1 passed" in finished.stdout and "Traceback" not in finished.stdout


def test_pytest_refuses_a_distribution_that_is_unknown_or_broken(tmp_path):
    sources = {"broken-gan": "raise ValueError('no')", "other-gan": variant("dcgan")}
    site = install([simple(name, source) for name, source in sources.items()], tmp_path / "site")
    for name, reason in (("nobody", "'nobody' registers a variant"), ("broken-gan", "no"), ("other-gan", "dcgan")):
        finished = run(*PYTEST, "--ganzoo-dist", name, folders=[site], cwd=tmp_path)
        assert finished.returncode == 4 and reason in finished.stderr + finished.stdout


def test_pytest_refuses_an_unknown_variant(tmp_path):
    finished = run(*PYTEST, "--ganzoo", "nobody", cwd=tmp_path)
    assert finished.returncode == 4 and "No variant is called 'nobody'" in finished.stderr + finished.stdout


def test_pytest_loads_nothing_heavy_when_unused():
    heavy = {"torch", "numpy", "ganzoo_plugins", "click"}
    source = (
        "import sys, ganzoo.testing.pytest_plugin; "
        f"print(*{{name.partition('.')[0] for name in sys.modules}} & {heavy})"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize(
    "sizes, size",
    [
        ((64, 32), 32),
        ((128, 256), 128),
        (Sizes(own=(256, 64), powers=True, least=16), 64),
        (Sizes(own=(256, 128), powers=True, least=16), 32),
        (Sizes(own=(256,), multiple=4, least=80), 80),
    ],
)
def test_networks_are_built_small(sizes, size, monkeypatch, tmp_path):
    registry = tiny(monkeypatch)
    card = replace(registry.get("variants", NAME), sizes=sizes)
    assert small_size(card) == size and Subject(card, registry, tmp_path).image.size == size

"""`ganzoo new`: complete and correct files, and errors of one line. `test_plugins_for_real` installs the plugin."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest
import small
import yaml
from distributions import Distribution, install, run

import ganzoo.registry.scaffold
from ganzoo import API_VERSION
from ganzoo.errors import UsageError
from ganzoo.registry.registry import registry
from ganzoo.registry.scaffold import CLAIMS, checked_name, rendered, write_plugin

SCOPES = tuple(CLAIMS)
SHARED = {
    "pyproject.toml",
    "README.md",
    "LICENSE",
    ".gitignore",
    ".github/workflows/tests.yml",
    "tests/test_my_waves.py",
}
PACKAGE = {"ganzoo_my_waves/__init__.py", "ganzoo_my_waves/model.py"}


@pytest.mark.parametrize("scope", SCOPES)
def test_every_file_is_there_and_filled_in(scope):
    files = rendered("my-waves", scope)
    assert set(files) == SHARED | PACKAGE | ({"ganzoo_my_waves/shapes.py"} if scope == "full" else set())
    for path, text in files.items():
        assert text.endswith("\n") and "TODO" not in text and max(map(len, text.splitlines())) <= 120, path
        assert "$" not in text or path.endswith(".yml"), path


@pytest.mark.parametrize("scope", SCOPES)
def test_the_project_needs_ganzoo_0_1_and_names_its_package(scope):
    files = rendered("my-waves", scope)
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["name"] == "ganzoo-my-waves" and project["project"]["dependencies"] == ["ganzoo>=0.1"]
    assert project["project"]["entry-points"]["ganzoo"] == {"my-waves": "ganzoo_my_waves"}
    assert project["tool"]["setuptools"]["packages"] == ["ganzoo_my_waves"]
    steps = yaml.safe_load(files[".github/workflows/tests.yml"])["jobs"]["tests"]["steps"]
    assert steps[-1]["run"] == "python -m pytest -q" and steps[-2]["env"] == {"GANZOO": "${{ vars.GANZOO }}"}


@pytest.mark.parametrize("scope", SCOPES)
def test_what_the_plugin_is_needs_no_torch_and_how_it_works_uses_the_contract_alone(scope):
    files = rendered("my-waves", scope)
    card = ast.parse(files["ganzoo_my_waves/__init__.py"])
    assert {node.module for node in card.body if isinstance(node, ast.ImportFrom)} == {"ganzoo"}
    assert not [node for node in card.body if isinstance(node, ast.Import)]
    model = ast.parse(files["ganzoo_my_waves/model.py"])
    assert f"\nganzoo_api = {API_VERSION}\n" in files["ganzoo_my_waves/__init__.py"]
    imported = {
        node.module for node in model.body if isinstance(node, ast.ImportFrom) and node.module.startswith("ganzoo")
    }
    assert imported <= {"ganzoo", "ganzoo.losses", "ganzoo.networks"}


def test_pytest_checks_every_variant_of_a_plugin_whatever_they_are_called(tmp_path):
    files = rendered("my-waves", "gan")
    card = files["ganzoo_my_waves/__init__.py"]
    hook = card[card.index("    register(\n") : card.index("@hookimpl\ndef register_generators")].rstrip() + "\n"
    named = [hook.replace('name="my-waves"', f'name="{name}"') for name in ("long-waves", "short-waves")]
    files["ganzoo_my_waves/__init__.py"] = card.replace(hook, "".join(named))
    for path, text in files.items():
        (tmp_path / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / path).write_text(text)
    modules = {path: text for path, text in files.items() if path in PACKAGE}
    site = install([Distribution("ganzoo-my-waves", modules, ("my-waves = ganzoo_my_waves",))], tmp_path / "site")
    words = ["--ganzoo-only", "card", "--ganzoo-only", "parts", "-p", "no:cacheprovider", "-v"]
    done = run("-m", "pytest", *words, folders=[site], cwd=tmp_path / "source")
    assert done.returncode == 0 and "8 passed" in done.stdout, done.stdout + done.stderr
    assert all(f"::{name}::card PASSED" in done.stdout for name in ("long-waves", "short-waves")), done.stdout


def test_a_loss_fits_on_one_page():
    files = rendered("my-waves", "loss")
    assert sum(len(files[path].splitlines()) for path in PACKAGE) <= 65
    assert 'generator=Part("dcgan")' in files["ganzoo_my_waves/__init__.py"]


def test_the_command_writes_the_files_and_says_what_to_do_next(tmp_path):
    done = small.forked_ganzoo("new", "ganzoo-my-waves", "--loss-only", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "ganzoo-my-waves"
    written = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert written == rendered("my-waves", "loss") and list(tmp_path.iterdir()) == [folder]
    commands = done.stdout.splitlines()
    assert commands.pop(0) == "cd ganzoo-my-waves"
    assert commands[:3] == ['pip install -e ".[test]"', "ganzoo list my-waves", "ganzoo check my-waves"]
    assert commands[3].startswith("ganzoo train my-waves --data fashion-mnist-test ")


@pytest.mark.parametrize("name", ["x", "r3gan", "a-b-c-1", "none"])
def test_names_that_can_be(name):
    for scope in SCOPES:
        for path, text in rendered(checked_name(name), scope).items():
            assert not path.endswith(".py") or ast.parse(text)


WRONG = {
    "upper case": ("Waves", "For example 'waves'."),
    "underscore": ("my_waves", "For example 'my-waves'."),
    "digit first": ("3gan", "For example 'gan'."),
    "path": ("../x", "For example 'x'."),
    "empty": ("", "An argument is empty: give it a value"),
    "too long": ("x" * 41, f"For example '{'x' * 40}'."),
    "ganzoo": ("ganzoo", "cannot name a plugin"),
    "two dashes": ("a--b", "For example 'a-b'."),
}


@pytest.mark.parametrize("name", WRONG)
def test_names_that_cannot_be(name, tmp_path):
    word, expected = WRONG[name]
    done = small.forked_ganzoo("new", "--out", str(tmp_path / "out"), "--", word, cwd=tmp_path)
    assert (
        done.returncode == 2
        and done.stdout == ""
        and len(done.stderr.splitlines()) == 1
        and list(tmp_path.iterdir()) == []
    )
    assert done.stderr.startswith("Error: ") and expected in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("name", "scope", "kind"),
    [("dcgan", "gan", "variant"), ("non-saturating", "loss", "loss"), ("dcgan-newmu", "gan", "generator")],
)
def test_names_that_are_taken(tmp_path, name, scope, kind):
    with pytest.raises(UsageError, match=f"{kind} '{name}' .*ganzoo"):
        write_plugin(name, scope, tmp_path / "out", registry())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_in_the_way_stays(tmp_path, kind):
    place = tmp_path / "ganzoo-waves"
    inside = place / "mine.txt" if kind == "folder" else place
    inside.parent.mkdir(exist_ok=True)
    inside.write_text("mine")
    done = small.forked_ganzoo("new", "waves", cwd=tmp_path)
    assert done.returncode == 2 and "ganzoo-waves is in the way" in done.stderr and inside.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [inside]


def test_half_a_plugin_is_never_left(tmp_path, monkeypatch):
    real = ganzoo.registry.scaffold.rendered
    monkeypatch.setattr(
        ganzoo.registry.scaffold,
        "rendered",
        lambda *given: real(*given) | {"README.md/x": "a folder that is a file"},
    )
    with pytest.raises(ganzoo.registry.scaffold.GanzooError, match="cannot be written"):
        write_plugin("waves", "loss", tmp_path / "out", registry())
    assert list(tmp_path.iterdir()) == []


def test_both_scopes_at_once_are_refused(tmp_path):
    done = small.forked_ganzoo("new", "waves", "--full", "--loss-only", cwd=tmp_path)
    assert done.returncode == 2 and re.search("--loss-only or --full, not both", done.stderr)


def test_a_repository_has_workflows_a_page_a_badge_and_the_chosen_license(tmp_path):
    import tomllib

    from ganzoo.registry.scaffold import write_plugin

    folder, files = write_plugin(
        "waves", "gan", tmp_path / "waves", registry(), license="BSD-3-Clause", repository=True
    )
    text = {name: (folder / name).read_text() for name in files}
    check, release = text[".github/workflows/check.yml"], text[".github/workflows/release.yml"]
    assert "ganzoo check --dist ganzoo-waves" in check and "${{ vars.GANZOO }}" in check
    assert "id-token: write" in release and "waves" in text["docs/index.md"] and "CHANGELOG.md" in text
    assert "actions/workflows/check.yml/badge.svg" in text["README.md"].splitlines()[0]
    project = tomllib.loads(text["pyproject.toml"])["project"]
    assert project["license"] == "BSD-3-Clause" and "BSD 3-Clause" in text["LICENSE"]
    assert "ganzoo" in project["keywords"] and not any("${distribution}" in part for part in text.values())

"""`ganzoo install` and `ganzoo uninstall`: refusals, reports on broken plugins, and that nothing else changes."""

from __future__ import annotations

import sys
import sysconfig
from importlib import util
from pathlib import Path

import pytest
from distributions import Distribution, simple, variant, write_wheel
from environments import Environment
from messages import logged

from ganzoo import API_VERSION, __version__
from ganzoo.errors import PluginError, UsageError
from ganzoo.registry import install as packages
from ganzoo.registry.install import install, name_in, pip_command, refuse_replacing, removable
from ganzoo.registry.wheels import refuse_intruders

WHEELS = [
    simple("good-plugin", variant("good")),
    simple("raises", "raise RuntimeError('out of order')"),
    Distribution("no-plugin", {"no_plugin.py": ""}, ()),
    simple("wants-old-torch", variant("old"), headers=("Requires-Dist: torch<2",)),
    simple("wants-new-ganzoo", variant("new"), headers=("Requires-Dist: ganzoo>=99",)),
    simple("needs-another", variant("needs"), headers=("Requires-Dist: good-plugin",)),
    simple("ganzoo", "", version="99"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A new environment, and a folder of wheels that every pip of these tests looks into and nowhere else."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "wheels").mkdir()
    for distribution in WHEELS:
        write_wheel(distribution, folder / "wheels")
    return Environment(folder, PIP_FIND_LINKS=str(folder / "wheels"))


@pytest.fixture
def here(place, monkeypatch):
    """This process installs into the new environment; whatever a test installs there is an error if it stays."""
    monkeypatch.setattr(sys, "executable", str(place.python))
    for name, value in place.settings.items():
        monkeypatch.setenv(name, value)
    before = place.files()
    yield place
    assert place.files() == before


REFUSED = {
    "torch": (["torch"], UsageError, "torch itself with pip"),
    "ganzoo": (["good-plugin", "ganzoo>=0.1"], UsageError, "ganzoo itself with pip"),
    "unknown": (
        ["not-there-at-all"],
        PluginError,
        "pip cannot install that .exit code 1; see its message above.. Nothing was changed",
    ),
    "other torch": (["wants-old-torch"], PluginError, "Nothing was changed"),
    "other ganzoo": (["wants-new-ganzoo"], PluginError, "Nothing was changed"),
    "a wheel of ganzoo": (["wheels/ganzoo-99-py3-none-any.whl"], UsageError, "ganzoo itself with pip"),
}


@pytest.mark.process
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_changes_nothing(here, monkeypatch, name):
    words, error, expected = REFUSED[name]
    monkeypatch.chdir(here.folder)
    with logged() as said, pytest.raises(error, match=expected):
        install(words, (), ())
    assert said == []


@pytest.mark.parametrize("name", ["click", "pluggy", "numpy>=3", "safetensors", "Torch"])
def test_what_ganzoo_needs_is_not_asked_for(name):
    with pytest.raises(UsageError, match="itself with pip"):
        install([name], (), ())


@pytest.mark.parametrize("name", ["click", "pluggy", "numpy", "torch", "msgspec"])
def test_what_ganzoo_needs_is_not_replaced(name):
    assert list(packages.protected_versions())[:2] == ["ganzoo", "torch"]
    with pytest.raises(UsageError, match=f"{name} 99 .*Nothing was changed"):
        refuse_replacing([packages.Planned(name, "99", "file:///x", False)])


@pytest.mark.parametrize(
    "word", ["{folder}", "x @ file://{folder}/a-1.tar.gz", "git+https://example.org/a", "a @ git+ssh://x/a", "a-1.zip"]
)
def test_a_dry_run_runs_no_code_of_sources(tmp_path, monkeypatch, word):
    (tmp_path / "setup.py").write_text("raise SystemExit('ran')")
    monkeypatch.setattr(packages, "plan", lambda command: pytest.fail("pip was asked"))
    word = word.format(folder=tmp_path)
    for words in (([word], ()), ((), [word])):
        with pytest.raises(UsageError, match="takes wheels alone"):
            install(*words, (), dry_run=True)


def wheel_with(tmp_path, *files):
    return write_wheel(Distribution("intruder", dict.fromkeys(files, ""), ("x = intruder",)), tmp_path)


@pytest.mark.parametrize(
    "file",
    [
        "torch/evil.py",
        "torch/nn/functional.py",
        "click/__init__.py",
        "ganzoo/extra.py",
        "pluggy/new/folder/x.py",
        "intruder-1.0.data/purelib/numpy/x.py",
        "intruder-1.0.data/data/../torch/x.py",
        "x/../torch/x.py",
    ],
)
def test_a_wheel_puts_nothing_into_other_distributions(tmp_path, file):
    if "/data/" in file:
        purelib = Path(sysconfig.get_paths()["purelib"]).relative_to(sysconfig.get_paths()["data"])
        file = f"intruder-1.0.data/data/{purelib.as_posix()}/torch/x.py"
    wheel = wheel_with(tmp_path, "intruder.py", file)
    with pytest.raises(UsageError, match="another distribution. Nothing was changed"):
        refuse_intruders([wheel.as_uri()], [])


def test_a_wheel_with_files_of_its_own_is_taken(tmp_path):
    files = (
        "intruder/__init__.py",
        "intruder/torch/x.py",
        "intruder-1.0.data/scripts/intruder",
        "nvidia/intruder/x.py",
    )
    refuse_intruders([wheel_with(tmp_path, *files).as_uri(), "https://example.org/source.tar.gz"], [])
    (tmp_path / "none-1.0-py3-none-any.whl").write_bytes(b"no zip")
    with pytest.raises(PluginError, match="not a wheel"):
        refuse_intruders([(tmp_path / "none-1.0-py3-none-any.whl").as_uri()], [])


def test_options_cannot_put_another_ganzoo_in_place():
    planned = [packages.Planned("Ganzoo", "99", "file:///x", False)]
    with pytest.raises(UsageError, match=f"Ganzoo 99 .*{__version__}.* Nothing was changed"):
        refuse_replacing(planned)


@pytest.mark.process
def test_a_dry_run_says_what_comes_from_where_and_installs_nothing(here):
    with logged() as said:
        assert install(["needs-another"], (), (), dry_run=True) == ["needs-another"]
    wheels = (here.folder / "wheels").as_uri()
    assert said[1:] == [
        f"  needs-another 1.0  from {wheels}/needs_another-1.0-py3-none-any.whl",
        f"  good-plugin 1.0  from {wheels}/good_plugin-1.0-py3-none-any.whl  (needed by another)",
    ]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("My_Plugin[x]>=1; python_version>'3'", "my-plugin"),
        ("./torch", ""),
        (".", ""),
        ("git+https://example.org/torch", ""),
        ("C:\\torch", ""),
        ("torch @ https://example.org/x.whl", "torch"),
        ("some/where/my_plugin-1.0-py3-none-any.whl", "my-plugin"),
    ],
)
def test_the_name_in_a_requirement(word, name):
    assert name_in(word) == name


def test_an_environment_without_pip_is_told_the_command(monkeypatch):
    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "pip" else real(name))
    with pytest.raises(UsageError) as caught:
        pip_command("install", ["ganzoo-waves", "--no-index"])
    assert f"Run: uv pip install --python {sys.executable} ganzoo-waves --no-index " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ganzoo", "removes plugins, not ganzoo itself"),
        ("GANZOO", "not ganzoo itself"),
        ("click", "No installed distribution 'click' has a ganzoo plugin"),
        ("torch", "use pip to remove"),
    ],
)
def test_what_is_not_removed(name, expected):
    with pytest.raises(UsageError, match=expected):
        removable([name])


@pytest.mark.process
def test_installed_looked_at_and_removed(place):
    """A working, a broken and no plugin: each is reported, the first can be used, and all can be removed."""
    before = place.files()
    done = place.run("ganzoo", "install", "good-plugin", "raises", "no-plugin", GANZOO_LOAD_PLUGINS="")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    works = f"good-plugin:good-plugin 1.0 works with ganzoo {__version__} (plugin API {API_VERSION})"
    assert f"{works} and registers\n  variants: good\n" in done.stdout
    last = done.stderr.splitlines()[-1]
    assert "raises:raises 1.0 does not load: RuntimeError: out of order (ganzoo uninstall raises)" in last
    assert "no-plugin has no plugin (no entry point of the group ganzoo; pip uninstall no-plugin)" in last
    assert "Running: " in done.stderr and "Note: GANZOO_LOAD_PLUGINS= decides" in done.stderr
    again = place.run("ganzoo", "install", "good-plugin")
    assert again.returncode == 0 and "nothing: already installed" in again.stderr and "variants: good" in again.stdout
    assert "Plugin raises:raises is broken" in again.stderr
    gone = place.run("ganzoo", "uninstall", "Good_Plugin", "raises")
    assert gone.returncode == 0, gone.stderr
    assert "good-plugin:good-plugin 1.0 is removed, and with it\n  variants: good\n" in gone.stdout
    assert "raises:raises 1.0 is removed, and with it\n  nothing\n" in gone.stdout
    assert place.run("pip", "uninstall", "--yes", "no-plugin").returncode == 0
    assert place.files() == before


def test_nothing_to_install_is_wrong_usage(place):
    done = place.run("ganzoo", "install")
    assert done.returncode == 2 and "Give a PACKAGE to install, or -e FOLDER." in done.stderr

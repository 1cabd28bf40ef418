"""The registry in one process: looking up, provenance, and what happens when a hook fails late."""

from __future__ import annotations

import signal
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path
from types import ModuleType

import pytest

from ganzoo import Part, Variant, hookimpl
from ganzoo.errors import PluginError, UsageError
from ganzoo.files.text import one_line
from ganzoo.registry.discovery import Folder, Plugin, declared, installed, normalize
from ganzoo.registry.registry import Registry, registry


def card(name: str, **changes) -> Variant:
    part = Part("test")
    settings = {
        "summary": "A test.",
        "paper": "",
        "year": 2024,
        "generator": part,
        "discriminator": part,
        "loss": part,
        "sizes": (32,),
    }
    return Variant(name=name, **settings | changes)


@pytest.fixture
def plugin(monkeypatch):
    """Makes a plugin of functions, which get the names of hooks and are called with `register`."""

    def make(distribution: str, **hooks) -> Plugin:
        module = ModuleType(f"test_plugin_{distribution.replace('-', '_')}")
        for name, call in hooks.items():

            def hook(register, call=call):
                call(register)

            setattr(module, name, hookimpl(hook))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Plugin("p", distribution, "1.0", module.__name__)

    return make


def test_names_are_sorted_and_found(plugin):
    both = plugin("a", register_variants=lambda register: [register(card(name)) for name in ("zebra", "ape")])
    found = Registry([both])
    assert found.names("variants") == ["ape", "zebra"]
    assert [variant.name for variant in found.variants()] == ["ape", "zebra"]
    assert found.get("variants", "ape").name == "ape"
    assert found.claim("variants", "ape").plugin is both
    assert both.registered == {"variants": ["ape", "zebra"]} and found.warnings == []


def test_an_unknown_name_gets_the_nearest(plugin):
    found = Registry([plugin("a", register_losses=lambda register: register("least-squares", dict))])
    with pytest.raises(UsageError, match=r"loss .*'lest-sqares'.*'least-squares'"):
        found.get("losses", "lest-sqares")
    with pytest.raises(UsageError, match=r"^No data set is called 'x'\.$"):
        found.get("datasets", "x")


def test_an_unknown_name_mentions_broken_plugins(plugin):
    found = Registry([plugin("a", register_variants=lambda register: register(1))])
    with pytest.raises(UsageError, match=r"\(1 broken left out: see `ganzoo plugins`\)$"):
        found.get("variants", "anything")


def test_part_hooks_are_called_once_and_only_when_asked(plugin):
    calls = []

    def losses(register):
        calls.append("losses")
        register("hinge", dict)

    found = Registry([plugin("a", register_variants=lambda register: register(card("x")), register_losses=losses)])
    assert calls == []
    assert found.names("losses") == found.names("losses") == ["hinge"]
    assert found.table("losses") == {"hinge": dict} and calls == ["losses"]


def test_a_part_hook_that_fails_takes_the_plugin_out_with_its_reason(plugin):
    bad = plugin(
        "bad",
        register_variants=lambda register: register(card("x")),
        register_losses=lambda register: register("../x", dict),
    )
    good = plugin("good", register_losses=lambda register: register("hinge", dict))
    found = Registry([bad, good])
    assert found.names("variants") == ["x"] and found.warnings == []
    assert found.names("losses") == ["hinge"]
    assert found.names("variants") == [] and "'../x' cannot be a name" in bad.error
    assert [("bad:p" in line, str(bad.error) in line) for line in found.warnings] == [(True, True)]
    with pytest.raises(PluginError, match=r"'x' .*plugin bad:p .*broken: .*'\.\./x'"):
        found.get("variants", "x")


def test_two_third_parties_and_a_third(plugin):
    same = [plugin(name, register_losses=lambda register: register("hinge", dict)) for name in ("a", "b", "c")]
    found = Registry(same)
    assert found.names("losses") == []
    with pytest.raises(PluginError, match=r"loss 'hinge' .*a:p and b:p and c:p"):
        found.get("losses", "hinge")
    assert len(found.warnings) == 1


def test_the_name_of_a_plugin_that_breaks_goes_to_the_other(plugin):
    def both(register):
        register("hinge", dict)

    breaks = plugin("a", register_losses=both, register_metrics=lambda register: 1 / 0)
    stays = plugin("b", register_losses=both)
    found = Registry([breaks, stays])
    assert found.names("losses") == [] and len(found.warnings) == 1
    assert found.names("metrics") == []
    assert found.claim("losses", "hinge").plugin is stays


def test_a_builtin_keeps_its_name_from_any_number(plugin):
    plugins = [
        plugin(name, register_losses=lambda register, name=name: register("hinge", name.upper))
        for name in ("ganzoo", "a", "b")
    ]
    found = Registry(plugins)
    assert found.claim("losses", "hinge").plugin is plugins[0]
    assert found.warnings == [
        "The loss 'hinge' is registered by ganzoo:p and a:p and b:p: the built-in one of ganzoo:p is used."
    ]


def test_one_module_is_one_plugin(plugin):
    first = plugin("a", register_losses=lambda register: register("hinge", dict))
    second = Plugin("p", "b", "1.0", first.module)
    found = Registry([first, second])
    assert second.error == f"its module {first.module} is already in use as plugin a:p"
    assert found.names("losses") == ["hinge"]


@pytest.mark.usefixtures("terminal_signals")
def test_an_interrupt_is_nobodys_fault(plugin):
    def interrupted(register):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Registry([plugin("a", register_variants=interrupted)])
    assert Registry([]).variants() == []


def test_a_plugin_may_look_up_parts_when_its_own_part_hook_is_called(plugin):
    base = plugin("a", register_losses=lambda register: register("hinge", dict))
    reuse = plugin("b", register_metrics=lambda register: register("reuse", found.get("losses", "hinge")))
    found = Registry([base, reuse])
    assert found.get("metrics", "reuse") is dict


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("summary", 1),
        ("paper", None),
        ("year", "2024"),
        ("generator", "dcgan"),
        ("loss", None),
        ("sizes", [32]),
        ("tags", (1,)),
        ("regularizers", ("r1",)),
        ("augmentation", "ada"),
        ("training", {}),
        ("weights", ()),
    ],
)
def test_a_variant_of_wrong_types_is_refused(plugin, field, value):
    wrong = plugin("a", register_variants=lambda register: register(card("x", **{field: value})))
    Registry([wrong])
    assert wrong.error == f"variant 'x' cannot have {field}={value!r}"


def test_a_variant_may_have_no_discriminator(plugin):
    assert Registry([plugin("a", register_variants=lambda register: register(card("vae", discriminator=None)))]).names(
        "variants"
    ) == ["vae"]


def test_this_process_has_one_registry_with_all_builtins():
    assert registry() is registry()
    builtin = [plugin for plugin in registry().plugins if plugin.builtin]
    assert [plugin.error for plugin in builtin] == [None] * len(builtin)
    assert {"dcgan", "wgan-gp"} <= set(registry().names("variants"))
    assert registry().plugins[: len(builtin)] == builtin


def distribution(folder, name: str, entry_points: str, metadata: str = "") -> Folder:
    information = folder / f"{name}.dist-info"
    information.mkdir()
    (information / "entry_points.txt").write_text(entry_points)
    (information / "METADATA").write_text(metadata)
    return Folder(str(information))


def test_the_section_is_read_as_the_specification_says(tmp_path):
    section = "[ganzoo]\n\n# a comment\n x.y = package.module [extra]\nz=m:a.b\n"
    text = f"[console_scripts]\nganzoo = a:b\n{section}[ganzoo.other]\nw = n\n"
    plugins = declared(distribution(tmp_path, "some_thing-2.0", text))
    assert [(plugin.name, plugin.module, plugin.error) for plugin in plugins] == [
        ("some-thing:x.y", "package.module [extra]", None),
        ("some-thing:z", "m:a.b", None),
    ]
    assert plugins[0].version == "2.0"


@pytest.mark.parametrize("line", ["no equals sign", "x =", "= module", "x = a-b", "x = a:b:c", "x = os; import sys"])
def test_a_line_that_is_no_entry_point_is_named(tmp_path, monkeypatch, line):
    monkeypatch.setenv("TORCH_DEVICE_BACKEND_AUTOLOAD", "1")
    plugins = declared(distribution(tmp_path, "odd-1", f"[ganzoo]\ngood = package\n{line}\n"))
    assert [bool(plugin.error) for plugin in plugins] == [False, True]
    assert line in plugins[1].error and plugins[1].distribution == "odd"


@pytest.mark.parametrize(
    ("folder", "metadata", "expected"),
    [
        ("My_Plugin-3.1", "Name: other\nVersion: 1\n", ("my-plugin", "3.1")),
        (
            "nameless",
            "Metadata-Version: 2.1\nName: My.Plugin\nVersion: 2.0.post1\n\nName: body\n",
            ("my-plugin", "2.0.post1"),
        ),
        ("nameless", "", ("nameless-dist-info", "unknown")),
    ],
)
def test_who_a_distribution_is(tmp_path, folder, metadata, expected):
    plugin = declared(distribution(tmp_path, folder, "[ganzoo]\nx = y\n", metadata))[0]
    assert (plugin.distribution, plugin.version) == expected


def test_a_limit_to_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setenv("GANZOO_LOAD_PLUGINS", "Not_Installed")
    assert [plugin.error for plugin in installed() if not plugin.builtin] == [
        "no installed distribution of this name has a ganzoo plugin (GANZOO_LOAD_PLUGINS names it)"
    ]


def test_a_checkout_that_is_not_installed_says_so(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    assert [plugin.name for plugin in installed()] == ["ganzoo:?"]
    assert "pip install -e ." in Registry().warnings[0]


@pytest.mark.parametrize("limit", ["", " ", ","])
def test_a_limit_leaves_the_builtins(monkeypatch, limit):
    monkeypatch.setenv("GANZOO_LOAD_PLUGINS", limit)
    assert {plugin.distribution for plugin in installed()} == {"ganzoo"}


@pytest.mark.parametrize("name", ["My_Plugin", "my.plugin", "MY--plugin", "my-_.plugin"])
def test_spellings_of_one_distribution(name):
    assert normalize(name) == "my-plugin"


def test_what_plugins_say_cannot_drive_the_terminal():
    assert one_line("a\x1b[31m\nb\u202e") == "a\\x1b[31m b\\u202e"
    assert len(one_line("x" * 10_000)) == 300


def test_a_plugin_in_a_zip_file_is_found(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "zipped.whl", "w") as file:
        file.writestr("zipped_gan-2.0.dist-info/entry_points.txt", "[ganzoo]\nzipped = zipped_gan\n")
        file.writestr("zipped_gan-2.0.dist-info/METADATA", "Name: zipped-gan\nVersion: 2.0\n")
    monkeypatch.syspath_prepend(tmp_path / "zipped.whl")
    assert ("zipped-gan:zipped", "2.0") in {(plugin.name, plugin.version) for plugin in installed()}


def test_a_finder_of_somebody_else_is_asked(tmp_path, monkeypatch):
    class Finder:
        @staticmethod
        def find_distributions(context):
            return [
                PathDistribution(Path(distribution(tmp_path, "hidden-3.0", "[ganzoo]\nhidden = hidden_gan\n").path))
            ]

        @staticmethod
        def find_spec(name, path=None, target=None):
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert ("hidden:hidden", "3.0") in {(plugin.name, plugin.version) for plugin in installed()}


def test_the_backport_of_importlib_metadata_hides_no_plugin(monkeypatch):
    """Packages as mlflow import it; it takes a method of Python's own finder away."""
    from importlib.machinery import PathFinder

    class MetadataPathFinder:
        __module__ = "importlib_metadata"

        def find_distributions(self, context):
            raise AssertionError("all of this finder's folders are listed already")

    before = [plugin.name for plugin in installed()]
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, MetadataPathFinder()])
    monkeypatch.delattr(PathFinder, "find_distributions", raising=False)
    assert [plugin.name for plugin in installed()] == before

"""Broken plugins, each a real distribution: all at once and one by one, every command goes on without them."""

import json
import os

import pytest
from broken_plugins import BROKEN, GOOD_VARIANTS, REASONS, THIEVES, damage, everything
from distributions import install, run, simple, variant

from ganzoo.registry.discovery import damaged, normalize

STILL_USABLE = {"entry-points-line", "entry-points-value", "entry-points-twice"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = install(everything(), tmp_path_factory.mktemp("broken") / "site")
    damage(target)
    return target


@pytest.fixture(scope="module")
def builtins():
    finished = run("-m", "ganzoo", "list", "--json", GANZOO_LOAD_PLUGINS="")
    assert (finished.returncode, finished.stderr) == (0, "")
    return names(finished)


@pytest.fixture(scope="module")
def listed(folder):
    return run("-m", "ganzoo", "list", "--json", folders=[folder])


def names(finished) -> set[str]:
    return {row["name"] for row in json.loads(finished.stdout)}


def test_all_at_once_lists_the_good_ones(listed, builtins):
    assert listed.returncode == 0, listed.stderr
    assert "Traceback" not in listed.stderr
    assert names(listed) >= builtins | GOOD_VARIANTS | STILL_USABLE
    assert not names(listed) & {"waves", "two", "none", "text", "lost", "foreign-not-utf8"}


@pytest.mark.parametrize("name", REASONS)
def test_all_at_once_names_each_broken_one_once(listed, name):
    lines = [line for line in listed.stderr.splitlines() if f"Plugin {name}:" in line]
    assert len(lines) == 1, lines
    assert REASONS[name] in lines[0]


def test_nothing_else_is_called_broken(listed):
    called = {line.split("Plugin ")[1].split(":")[0] for line in listed.stderr.splitlines() if "is broken" in line}
    assert called == set(REASONS)


@pytest.fixture(scope="module")
def alone(folder):
    """For each broken distribution, the (variants, warnings) of a registry of it and the built-ins."""
    probe = """
import json, os, sys
from ganzoo.registry.registry import Registry
found = {}
for name in sys.argv[1:]:
    os.environ["GANZOO_LOAD_PLUGINS"] = name
    registry = Registry()
    found[name] = registry.names("variants"), registry.warnings
print(json.dumps(found))
"""
    finished = run("-c", probe, *REASONS, folders=[folder])
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.parametrize("name", REASONS)
def test_alone(alone, name, builtins):
    variants, warnings = alone[name]
    assert set(variants) == builtins | ({name} & STILL_USABLE)
    assert len(warnings) == 1 and REASONS[name] in warnings[0]


def test_a_name_that_two_claim_is_nobodys(listed, folder):
    assert (
        "The variant 'waves' is registered by clash-one:clash-one and clash-two:clash-two: none is used"
        in listed.stderr
    )
    finished = run("-m", "ganzoo", "show", "waves", folders=[folder], GANZOO_LOAD_PLUGINS="clash-two,clash-one")
    assert finished.returncode == 1
    assert "clash-one:clash-one and clash-two:clash-two" in finished.stderr.splitlines()[-1]
    alone = run("-m", "ganzoo", "list", "--json", folders=[folder], GANZOO_LOAD_PLUGINS="clash-two")
    assert "waves" in names(alone) and not alone.stderr


def test_a_builtin_keeps_its_name(listed):
    provider = {row["name"]: row["distribution"] for row in json.loads(listed.stdout)}
    assert provider["dcgan"] == "ganzoo"
    assert (
        "The variant 'dcgan' is registered by ganzoo:dcgan and takes-dcgan:takes-dcgan: the built-in one"
        in listed.stderr
    )


def test_two_distributions_may_use_one_entry_point_name(listed):
    provider = {row["name"]: row["distribution"] for row in json.loads(listed.stdout)}
    assert (provider["same-one"], provider["same-two"]) == ("same-name-one", "same-name-two")


def test_names_of_distributions_are_normalized(listed, folder, builtins):
    provider = {row["name"]: row["distribution"] for row in json.loads(listed.stdout)}
    assert provider["good-second"] == "good-second-plugin"
    chosen = run(
        "-m", "ganzoo", "list", "--json", folders=[folder], GANZOO_LOAD_PLUGINS="Good.Second_plugin, good--first"
    )
    assert names(chosen) == builtins | {"good-first", "good-second"}


def test_damaged_metadata_does_not_stop_a_good_plugin(listed):
    rows = {row["name"]: (row["distribution"], row["version"]) for row in json.loads(listed.stdout)}
    assert rows["nameless"] == ("metadata-nameless", "1.0")
    assert rows["lost-metadata"] == ("metadata-lost", "1.0")
    assert rows["latin"] == ("metadata-not-utf8", "1.0")


def test_what_plugins_print_does_not_reach_stdout(listed):
    assert "noise at import" in listed.stderr and "noise in the hook" in listed.stderr
    assert "noise" not in listed.stdout


@pytest.mark.parametrize("name", THIEVES)
def test_a_thief_of_outputs_takes_no_command_with_it(folder, builtins, name):
    finished = run("-m", "ganzoo", "list", "--json", folders=[folder], GANZOO_LOAD_PLUGINS=name)
    assert finished.returncode == 0, finished.stderr
    assert names(finished) == builtins | {name}
    assert ("noise below" in finished.stderr) == (name == "writes-to-descriptor")
    assert ("sys.exit" in finished.stderr) == (name == "replaces-exit")
    wrong = run("-m", "ganzoo", "show", "no-such-thing", folders=[folder], GANZOO_LOAD_PLUGINS=name)
    assert wrong.returncode == 2 and "no-such-thing" in wrong.stderr


@pytest.mark.usefixtures("terminal_signals")
def test_a_real_interrupt_still_ends_a_command(tmp_path):
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    target = install([simple("pressed", variant("pressed", before=source))], tmp_path / "site")
    finished = run("-m", "ganzoo", "list", folders=[target])
    assert finished.returncode == 130 and "Stopped." in finished.stderr


def test_a_clashing_plugin_is_not_ok(folder):
    limit = "clash-one,clash-two,takes-dcgan,good-first"
    found = run("-m", "ganzoo", "plugins", "--json", folders=[folder], GANZOO_LOAD_PLUGINS=limit)
    clashes = {row["name"]: row["clashes"] for row in json.loads(found.stdout)["plugins"]}
    for name in ("clash-one:clash-one", "clash-two:clash-two"):
        (line,) = clashes[name]
        assert "'waves'" in line and "none is used" in line
    assert "'dcgan'" in clashes["takes-dcgan:takes-dcgan"][0]
    assert clashes["good-first:good-first"] == [] == clashes["ganzoo:dcgan"]
    text = run("-m", "ganzoo", "plugins", folders=[folder], GANZOO_LOAD_PLUGINS=limit).stdout
    assert "clash-one:clash-one 1.0  clash" in text and "good-first:good-first 1.0  ok" in text


DAMAGES = {
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:-5]), "bytes, and had"),
    "empty": (lambda file: file.write_bytes(b""), "has 0 bytes"),
    "zeros": (lambda file: file.write_bytes(bytes(file.stat().st_size)), "does not begin with a [group]"),
    "no text": (lambda file: file.write_bytes(b"\xff" * file.stat().st_size), "cannot be read"),
    "gone": (lambda file: file.unlink(), "cannot be read"),
    "head": (lambda file: file.write_bytes(file.read_bytes().replace(b"]", b"x")), "does not begin with a [group]"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_entry_points_are_shown(tmp_path, monkeypatch, name):
    target = install([simple("waves", variant("waves")), simple("sound", variant("sound"))], tmp_path / "site")
    change, expected = DAMAGES[name]
    monkeypatch.setattr("sys.path", [str(target)])
    assert damaged() == []
    change(target / "waves-1.0.dist-info" / "entry_points.txt")
    (line,) = damaged()
    assert "waves 1.0" in line and expected in line


def test_without_plugins(folder, builtins):
    finished = run("-m", "ganzoo", "list", "--json", folders=[folder], GANZOO_LOAD_PLUGINS="")
    assert (finished.returncode, names(finished), finished.stderr) == (0, builtins, "")


def test_version_loads_no_plugin(folder):
    finished = run("-m", "ganzoo", "--version", folders=[folder])
    assert (finished.returncode, finished.stderr) == (0, "")


def test_help_asks_plugins_for_their_commands_and_stays_whole(folder):
    finished = run("-m", "ganzoo", "--help", folders=[folder])
    alone = run("-m", "ganzoo", "--help", folders=[folder], GANZOO_LOAD_PLUGINS="")
    assert (finished.returncode, finished.stdout, alone.stderr) == (0, alone.stdout, "")


def test_a_row_for_every_plugin(folder):
    """All hooks are called here, so torch is imported: it works although a damaged entry_points.txt would stop it."""
    finished = run("-m", "ganzoo", "plugins", "--json", folders=[folder])
    assert finished.returncode == 0, finished.stderr
    rows = [row for row in json.loads(finished.stdout)["plugins"] if not row["builtin"]]
    errors = {row["distribution"]: row["error"] for row in rows if row["error"]}
    assert set(errors) == set(REASONS)
    assert all(REASONS[name] in errors[name] for name in BROKEN)
    providers = {normalize(distribution.name) for distribution in everything()} - {"foreign-not-utf8"}
    assert sorted(row["distribution"] for row in rows) == sorted([*providers, *STILL_USABLE])


def test_the_reason_when_a_broken_variant_is_asked_for(folder):
    finished = run("-m", "ganzoo", "show", "hook-raises", folders=[folder], GANZOO_LOAD_PLUGINS="hook-raises")
    assert finished.returncode == 1
    assert "ZeroDivisionError" in finished.stderr.splitlines()[-1]


def test_order_is_always_the_same(folder, tmp_path):
    other = install([simple("a-other", variant("other")), simple("clash-three", variant("waves"))], tmp_path / "other")
    outputs = set()
    for seed, folders in (("0", [folder, other]), ("1", [other, folder]), ("2", [other, folder])):
        finished = run("-m", "ganzoo", "list", folders=folders, PYTHONHASHSEED=seed)
        assert finished.returncode == 0
        outputs.add((finished.stdout, finished.stderr))
    assert len(outputs) == 1


def test_the_first_copy_on_the_path_counts(folder, tmp_path, builtins):
    newer = install([simple("good-first", variant("good-third"), version="2.0")], tmp_path / "newer")
    finished = run("-m", "ganzoo", "list", "--json", folders=[newer, folder], GANZOO_LOAD_PLUGINS="good-first")
    assert names(finished) == builtins | {"good-third"} and not finished.stderr


def test_a_slow_import_is_noted(tmp_path):
    source = variant("slow", before="import torch")
    folder = install([simple("slow", source), simple("quick", variant("quick"))], tmp_path / "site")
    (folder / "torch.py").write_text("")  # stands in for the real one, which takes seconds
    probe = (
        "import json; from ganzoo.registry.registry import registry; "
        "print(json.dumps({p.distribution: p.note for p in registry().plugins}))"
    )
    finished = run("-c", probe, folders=[folder])
    notes = json.loads(finished.stdout)
    assert notes["slow"].startswith("imports torch, which slows every command")
    assert notes["quick"] is None and notes["ganzoo"] is None


def test_a_dist_info_in_the_working_directory_is_no_plugin(tmp_path):
    folder = install([simple("lies-about", "open('ran', 'w')")], tmp_path / "site")
    finished = run("-m", "ganzoo", "list", cwd=folder)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert not os.path.exists(folder / "ran")

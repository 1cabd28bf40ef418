"""Who may import whom, and what no file may contain: `docs/architecture.md` as tests on the syntax trees."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "ganzoo").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
FOLDERS = sorted(file.parent for file in PLUGINS if file.name == "__init__.py" and file.parent.name != "ganzoo_plugins")

# What each may import from ganzoo at its top level. `networks`, `losses` and the trainer must not know that plugins exist.
LAYERS = {
    "errors": set(),
    "variant": {"errors"},
    "hookspecs": {"errors", "variant"},
    "discovery": {"errors", "variant", "hookspecs"},
    "isolation": {"errors", "hookspecs", "discovery"},
    "registry": {"errors", "variant", "hookspecs", "discovery", "isolation"},
    "networks": {"errors", "variant"},
    "convolutions": set(),
    "penalties": {"networks", "convolutions"},
    "losses": {"errors", "variant", "networks", "penalties"},
    "optimizers": {"errors", "variant"},
    "standing": {"errors", "variant", "networks"},
    "normalization": {"errors", "variant"},
    "residual": {"errors", "variant", "networks"},
    "trainer": {"errors", "variant", "networks", "losses", "optimizers", "distributed", "randomness", "standing"},
    "distributed": {"errors", "variant"},
}
TORCH_FREE = {
    "ganzoo",
    "ganzoo.__main__",
    "ganzoo.errors",
    "ganzoo.variant",
    "ganzoo.registry.hookspecs",
    "ganzoo.registry.discovery",
    "ganzoo.registry.isolation",
    "ganzoo.registry.registry",
}
FOR_COMMANDS = TORCH_FREE | {"ganzoo.cli"}
FOR_MODELS = {
    "ganzoo",
    "ganzoo.networks",
    "ganzoo.losses",
    "ganzoo.layouts",
    "ganzoo.data",
    "ganzoo.errors",
    "ganzoo.variant",
}
FOR_MODELS |= {
    "ganzoo.networks.normalization",
    "ganzoo.networks.residual",
}  # parts that several families of variants are built of
HEAVY = {"torch", "numpy", "huggingface_hub", "PIL", "tqdm", "msgspec", "safetensors", "pyarrow"}
# The command group finds its own commands by name; everything else from outside comes in through the entry points of plugins.
MAY_IMPORT_BY_NAME = {"ganzoo/cli/__init__.py", "ganzoo/registry/discovery.py"}
# `ganzoo convert` reads other people's checkpoints there: in a child process, under limits, as tensors alone.
MAY_LOAD_TENSORS = {"ganzoo/convert/pickle_process.py"}
DISTRIBUTIONS = {"PIL": "pillow", "huggingface_hub": "huggingface-hub", "torch_fidelity": "torch-fidelity"}


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT if ROOT / "ganzoo" in file.parents else ROOT / "plugins").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in [*CORE, *PLUGINS]}


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(file: Path, nodes) -> set[str]:
    """Full names of the modules that import statements among `nodes` bring in."""
    name = module_name(file)
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*package[: len(package) + 1 - node.level], *([node.module] if node.module else [])])
                if node.level
                else node.module
            )
            submodules = {f"{base}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= submodules if submodules and len(submodules) == len(node.names) else submodules | {base}
    return found


def at_top_level(file: Path) -> set[str]:
    """What importing the file imports: statements outside functions, classes' and `try` bodies included."""

    def walk(node):
        for child in ast.iter_child_nodes(node):
            for_checkers_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not for_checkers_only:
                yield child
                yield from walk(child)

    return imported(file, walk(tree(file)))


def anywhere(file: Path) -> set[str]:
    return imported(file, ast.walk(tree(file)))


def within(names: set[str], package: str) -> set[str]:
    return {name for name in names if name == package or name.startswith(f"{package}.")}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    allowed = {f"ganzoo.{module}" for module in LAYERS[name]}
    assert within(at_top_level(ROOT / "ganzoo" / f"{name}.py"), "ganzoo") <= allowed


@pytest.mark.parametrize(
    "file", [MODULES[name] for name in sorted(TORCH_FREE)] + sorted((ROOT / "ganzoo/cli").glob("*.py")), ids=place
)
def test_what_every_command_imports_is_light(file):
    names = at_top_level(file)
    assert not {name.partition(".")[0] for name in names} & HEAVY
    assert {name for name in within(names, "ganzoo") if not within({name}, "ganzoo.cli")} <= FOR_COMMANDS


@pytest.mark.parametrize("file", CORE, ids=place)
def test_core_knows_no_plugin(file):
    assert not within(anywhere(file), "ganzoo_plugins")


@pytest.mark.parametrize(
    "file", [file for file in CORE if "cli" not in file.parts and file.name != "__main__.py"], ids=place
)
def test_only_the_command_line_imports_the_command_line(file):
    assert not within(anywhere(file), "ganzoo.cli")


@pytest.mark.parametrize("file", CORE, ids=place)
def test_the_hub_is_imported_inside_functions(file):
    assert not {name for name in at_top_level(file) if within({name}, "huggingface_hub")}


@pytest.mark.parametrize("file", PLUGINS, ids=place)
def test_plugins_import_no_other_plugin(file):
    own = ".".join(module_name(file).split(".")[:2])
    assert within(anywhere(file), "ganzoo_plugins") == within(anywhere(file), own)


@pytest.mark.parametrize("folder", FOLDERS, ids=place)
def test_what_a_plugin_is_needs_no_torch(folder):
    names = at_top_level(folder / "__init__.py")
    foreign = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert foreign <= {"ganzoo", "ganzoo.variant", "ganzoo.errors"}


@pytest.mark.parametrize("file", [file for file in PLUGINS if file.name != "__init__.py"], ids=place)
def test_how_a_plugin_works_uses_the_contract_alone(file):
    assert within(anywhere(file), "ganzoo") <= FOR_MODELS


def test_no_module_imports_itself_through_others():
    """A cycle at top level works or fails with the order of the imports; those inside functions cannot fail so."""
    graph = {
        name: within(at_top_level(file), "ganzoo") & set(MODULES) - {name, "ganzoo"} for name, file in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circular import: {' imports '.join(error.args[1][::-1])}")


def test_every_module_can_be_imported_first():
    source = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [module for module in sys.modules if module.partition(".")[0] in ("ganzoo", "ganzoo_plugins")]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(f"{name}: {error}")
"""
    names = sorted(set(MODULES) - {"ganzoo.__main__"})
    done = subprocess.run([sys.executable, "-c", source, *names], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("file", [*CORE, *PLUGINS], ids=place)
def test_files_are_short(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300


def forbidden(file: Path) -> list[str]:
    """Everything in the file that runs code from data, or loads code by a name that is data."""
    found = [
        f"imports {name}"
        for name in anywhere(file)
        if name.partition(".")[0] in ("pickle", "dill", "cloudpickle", "marshal", "shelve")
    ]
    by_name = place(file) in MAY_IMPORT_BY_NAME
    for node in ast.walk(tree(file)):
        if (
            isinstance(node, ast.Attribute)
            and ast.unparse(node) in ("torch.load", "numpy.load", "np.load")
            and not loads_no_pickle(file, node)
        ):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Name) and node.id in ("eval", "exec", "__import__"):
            found.append(f"line {node.lineno}: {node.id}")
        elif isinstance(node, (ast.Attribute, ast.alias)) and "import_module" in ast.unparse(node) and not by_name:
            found.append(f"line {node.lineno}: import_module")
        elif "trust_remote_code" in (
            getattr(node, "arg", None),
            getattr(node, "id", None),
            getattr(node, "value", None),
        ):
            found.append(f"line {node.lineno}: trust_remote_code")
    return found


def loads_no_pickle(file: Path, function: ast.Attribute) -> bool:
    """Whether it is numpy's `load`, called with `allow_pickle=False` in so many words, or torch's in the one file that may, tensors alone."""
    calls = [node for node in ast.walk(tree(file)) if isinstance(node, ast.Call) and node.func is function]
    words = {keyword.arg: ast.unparse(keyword.value) for call in calls for keyword in call.keywords}
    if ast.unparse(function) == "torch.load":
        tensors_alone = {"weights_only": "True", "mmap": "False", "map_location": "'cpu'"}
        return place(file) in MAY_LOAD_TENSORS and words == tensors_alone
    return words.get("allow_pickle") == "False"


@pytest.mark.parametrize("file", [*CORE, *PLUGINS], ids=place)
def test_nothing_runs_what_it_reads(file):
    assert not forbidden(file)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "eval('1')",
        "import importlib\nimportlib.import_module('x')",
        "from importlib import import_module",
        "f(trust_remote_code=True)",
        "import numpy\nnumpy.load('x')",
        "__import__('x')",
    ],
)
def test_the_guard_sees(source, tmp_path, monkeypatch):
    (tmp_path / "ganzoo").mkdir()
    file = tmp_path / "ganzoo" / "probe.py"
    file.write_text(source)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert forbidden(file)


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_import_is_a_declared_dependency():
    settings = project()
    requirements = [
        *settings["dependencies"],
        *(line for extra in settings["optional-dependencies"].values() for line in extra),
    ]
    declared = {re.match(r"[\w.-]+", line).group().lower() for line in requirements}
    names = {name.partition(".")[0] for file in [*CORE, *PLUGINS] for name in anywhere(file)}
    foreign = names - set(sys.stdlib_module_names) - {"ganzoo", "ganzoo_plugins"}
    assert {DISTRIBUTIONS.get(name, name) for name in foreign} <= declared


def test_every_plugin_folder_has_an_entry_point():
    declared = project()["entry-points"]["ganzoo"]
    assert sorted(declared.values()) == sorted(module_name(folder / "__init__.py") for folder in FOLDERS)
    assert all(name.replace("-", "_") == module.rpartition(".")[2] for name, module in declared.items())


def test_the_installed_entry_points_are_those_of_the_checkout():
    installed = {
        entry.name: entry.value for entry in metadata.distribution("ganzoo").entry_points.select(group="ganzoo")
    }
    assert installed == project()["entry-points"]["ganzoo"], (
        "pyproject.toml has changed since: run `pip install -e .` again"
    )


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"], ["--version"]], ids=" ".join)
def test_commands_that_must_stay_light(arguments):
    source = """
import sys
from ganzoo.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not set(done.stderr.split()) & HEAVY

"""Who may import whom, and what no file may contain: `docs/architecture.md` as tests on the syntax trees."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

from ganzoo.registry.registry import registry
from ganzoo.variant import KINDS

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "ganzoo").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
FOLDERS = sorted(file.parent for file in PLUGINS if file.name == "__init__.py" and file.parent.name != "ganzoo_plugins")

# The rooms of ganzoo/ from the ground up; a module in the folder itself is a room of its own. An import reaches down
# to a lower floor, or left on its own floor, also from inside a function or under TYPE_CHECKING.
FLOORS = """
errors variant layouts tracking
files networks
losses registry hub checkpoints
config data
engine
models
metrics convert publish
runs
bench testing
curves
api
studio
cli
"""
ORDER = {name: place for place, name in enumerate(FLOORS.split())}
DOOR = {"ganzoo", "ganzoo.__main__"}  # the public API and `python -m ganzoo` open every room
CONSTANTS = {"ganzoo.__version__"}  # what every room may read of the package itself
LIGHT = {
    "errors",
    "variant",
    "layouts",
    "tracking",
    "registry",
    "cli",
}  # rooms that `ganzoo list` imports: no torch at module level
LIGHT_FILES = {
    "ganzoo.files.text",
    "ganzoo.files.output_checks",
    "ganzoo.files.streams",
}  # of a room that has heavier ones too
LONGEST_FUNCTION = 60  # lines without its docstring
HEAVY = {"torch", "numpy", "huggingface_hub", "PIL", "tqdm", "msgspec", "safetensors", "pyarrow"}
# The command group and the package find their own modules by name; foreign code comes through entry points of plugins.
MAY_IMPORT_BY_NAME = {"ganzoo/__init__.py", "ganzoo/cli/__init__.py", "ganzoo/registry/discovery.py"}
# `ganzoo convert` reads other people's checkpoints there: in a child process, under limits, as tensors alone.
MAY_LOAD_TENSORS = {"ganzoo/convert/pickle_process.py"}
DISTRIBUTIONS = {"PIL": "pillow", "huggingface_hub": "huggingface-hub", "torch_fidelity": "torch-fidelity"}
DISTRIBUTIONS |= {"pillow_heif": "pillow-heif", "pillow_jxl": "pillow-jxl-plugin"}


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
            submodules = {f"{base}.{alias.name}" for alias in node.names} & (set(MODULES) | CONSTANTS)
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


def room(module: str) -> str | None:
    """The room of a module ("networks" of ganzoo.networks.layers); None of the package itself."""
    return None if module in DOOR | CONSTANTS else module.split(".")[1]


def upward(name: str, imports: set[str]) -> list[str]:
    """The imports of module `name` that reach a room above its own."""
    own = room(name)
    if own is None:
        return []
    found = []
    for other in sorted(within(imports, "ganzoo")):
        target = room(other)
        if other in DOOR:
            found.append(f"{name} imports the package itself: `from ganzoo.<room>.<module> import ...`")
        elif target is not None and ORDER[target] > ORDER[own]:
            found.append(f"{name} ({own}) imports {other} ({target}), which is above it")
    return found


def offenders(files: list[Path], names: Callable[[Path], set[str]]) -> dict[str, set[str]]:
    """Of the files those with a forbidden import, and which."""
    return {place(file): found for file in files if (found := names(file))}


def test_every_room_has_a_floor():
    rooms = {room(module_name(file)) for file in CORE} - {None}
    assert rooms == set(ORDER)
    assert len(list((ROOT / "ganzoo").glob("*.py"))) <= 10, (
        "a module directly in ganzoo/ is public: which room is this one's?"
    )


def test_imports_reach_down():
    assert [line for file in CORE for line in upward(module_name(file), anywhere(file))] == []


@pytest.mark.parametrize(
    "source",
    [
        "from ganzoo.engine.trainer import Trainer",
        "def build():\n    from ganzoo.engine.trainer import Trainer",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ganzoo.models.model",
        "class Part:\n    from ganzoo.engine import trainer",
        "from ganzoo import Variant",
    ],
)
def test_an_upward_import_is_seen_wherever_it_is(source, planted):
    assert upward("ganzoo.networks.probe", anywhere(planted("ganzoo/networks/probe.py", source)))


def test_nothing_is_imported_in_a_circle():
    """Function-level imports count: two modules that need each other are one module, or three."""
    graph = {name: within(anywhere(file), "ganzoo") & set(MODULES) - {name, *DOOR} for name, file in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circular import: {' imports '.join(error.args[1][::-1])}")


def test_listing_imports_nothing_heavy():
    optional = {"scaffold", "install"}  # of `ganzoo new` and `ganzoo install` alone

    def heavy(file: Path) -> set[str]:
        names = at_top_level(file) - CONSTANTS
        foreign = {name for name in names if name.partition(".")[0] in HEAVY}
        return foreign | {name for name in within(names, "ganzoo") - DOOR - LIGHT_FILES if room(name) not in LIGHT}

    light = [file for file in CORE if room(module_name(file)) in LIGHT | {None} or module_name(file) in LIGHT_FILES]
    assert offenders([file for file in light if not optional & {file.stem, file.parent.name}], heavy) == {}


def test_core_knows_no_plugin():
    assert offenders(CORE, lambda file: within(anywhere(file), "ganzoo_plugins")) == {}


def test_training_knows_no_variant_and_no_part_by_name():
    """What a training does follows from the contract: no room that trains has an `if` about an algorithm."""
    kinds = ("variants", "generators", "discriminators", "losses", "regularizers", "augmentations", "conditions")
    names = {name for kind in kinds for name in registry().names(kind)} - set(KINDS)  # a kind of samples is no name
    found = {
        f"{place(file)}:{node.lineno} {node.value}"
        for file in CORE
        if room(module_name(file)) in ("engine", "losses", "runs", "checkpoints", "config")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert len(names) > 60 and found == set()


def test_the_hub_is_imported_inside_functions():
    assert offenders(CORE, lambda file: within(at_top_level(file), "huggingface_hub")) == {}


def test_plugins_import_no_other_plugin():
    def others(file: Path) -> set[str]:
        own = ".".join(module_name(file).split(".")[:2])
        names = within(anywhere(file), "ganzoo_plugins")
        return names - within(names, own)

    assert offenders(PLUGINS, others) == {}


def test_what_a_plugin_is_needs_no_torch():
    def foreign(file: Path) -> set[str]:
        names = {name for name in at_top_level(file) if name.partition(".")[0] not in sys.stdlib_module_names}
        return names - {"ganzoo", "ganzoo.variant", "ganzoo.errors"}

    assert offenders([folder / "__init__.py" for folder in FOLDERS], foreign) == {}


def public() -> dict[str, set[str]]:
    """The names that docs/plugin-api.md lists, by module."""
    page = (ROOT / "docs" / "plugin-api.md").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for section in re.split(r"^### ", page, flags=re.M)[1:]:
        module = re.match(r"`([\w.]+)`\n", section)[1]
        heads = [line.split(":", 1)[0] for line in re.findall(r"^\* (`.*)", section, re.M)]
        found[module] = {name for head in heads for name in re.findall(r"`(\w+)`", head)}
    return found


def test_the_page_of_public_names_lists_what_is_there():
    listed = public()
    assert len(listed) >= 12
    for module, names in listed.items():
        found = importlib.import_module(module)
        assert [name for name in sorted(names) if not hasattr(found, name)] == [], module
        if module in ("ganzoo", "ganzoo.networks", "ganzoo.losses"):
            assert names == set(found.__all__), module


def test_plugins_import_public_names_alone():
    listed = public()

    def internal(file: Path) -> set[str]:
        nodes = [node for node in ast.walk(tree(file)) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {
            (node.module, alias.name) for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        names |= {(alias.name, "") for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        return {
            f"{module}.{name}"
            for module, name in names
            if (module or "").partition(".")[0] == "ganzoo" and name not in listed.get(module, ())
        }

    assert offenders(PLUGINS, internal) == {}


@pytest.mark.slow
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


def test_no_text_shows_an_object_as_python_does():
    """`{self}` in a message is the text of `__str__`; without one it is `Guard(target=..., limit=...)`."""
    shown = []
    for file in [*CORE, *PLUGINS]:
        for kind in [node for node in ast.walk(tree(file)) if isinstance(node, ast.ClassDef)]:
            if any(isinstance(node, ast.FunctionDef) and node.name == "__str__" for node in kind.body):
                continue
            values = [node.value for node in ast.walk(kind) if isinstance(node, ast.FormattedValue)]
            shown += [f"{place(file)}:{value.lineno}" for value in values if ast.unparse(value) == "self"]
    assert shown == []


def test_functions_are_short():
    long = {}
    for file in [*CORE, *PLUGINS]:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("register_"):  # those list cards
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                if lines > LONGEST_FUNCTION:
                    long[f"{place(file)}:{node.name}"] = lines
    assert long == {}


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
    """True for numpy's `load` with a literal `allow_pickle=False`, and for torch's where it may be called.

    It may load tensors alone, and only in the one file that `MAY_LOAD_TENSORS` names.
    """
    calls = [node for node in ast.walk(tree(file)) if isinstance(node, ast.Call) and node.func is function]
    words = {keyword.arg: ast.unparse(keyword.value) for call in calls for keyword in call.keywords}
    if ast.unparse(function) == "torch.load":
        tensors_alone = {"weights_only": "True", "mmap": "False", "map_location": "'cpu'"}
        return place(file) in MAY_LOAD_TENSORS and words == tensors_alone
    return words.get("allow_pickle") == "False"


def test_nothing_runs_what_it_reads():
    assert {place(file): found for file in [*CORE, *PLUGINS] if (found := forbidden(file))} == {}


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
def test_the_guard_sees(source, planted):
    assert forbidden(planted("ganzoo/files/probe.py", source))


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Writes a module into an empty checkout that takes the place of this one, and gives its file."""

    def plant(name: str, source: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True)
        file.write_text(source)
        monkeypatch.setitem(globals(), "ROOT", tmp_path)
        return file

    return plant


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


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "--json"], ["--help"], ["--version"], ["check", "--help"]], ids=" ".join
)
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

"""Counts how far a request travels through ganzoo's own files, and which parameters are only passed on.

    python benchmarks/trips.py --json after.json
    python benchmarks/trips.py --tree ../before --python ../before/.venv/bin/python --json before.json

Runs a training request, a load and a bench request in a process each, with `sys.setprofile`, from the entry of the
command to the first training step, the first sampled image, and the first cell of the bench. Counted are the files of
`ganzoo/` in which a function ran, the calls from one of them into another (crossings), the functions that ran, and
those of their parameters that are used for nothing but being passed on under the same name. The last is also counted
over the package.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

TRIPS = {
    "training": ["train", "dcgan", "--data", "fashion-mnist-test", "--image-size", "32", "--steps", "1", "--quiet"],
    "load": ["sample", "dcgan.fashion-mnist", "-n", "1"],
    "bench": ["bench", "dcgan", "--train", "--data", "fashion-mnist-test", "--image-size", "32", "--steps", "1"],
}
TRIPS["bench"] += ["--eval-images", "500", "--point-images", "500", "--quiet"]
ENDS = {"training": "/trainer.py:step", "load": "/model.py:forward", "bench": "/cell.py:run_cell"}

PROFILED = """
import json, os, sys
root, end, out, *words = sys.argv[1:]
inside, files, functions, crossings = root + "/ganzoo/", set(), set(), 0

def watch(frame, event, argument):
    global crossings
    code = frame.f_code
    if event != "call" or not code.co_flags & 1 or not code.co_filename.startswith(root):  # 1: no module or class body
        return
    if f"{code.co_filename}:{code.co_name}".endswith(end):
        sys.setprofile(None)
        result = {"files": sorted(files), "functions": sorted(functions), "crossings": crossings}
        with open(out, "w", encoding="utf-8") as file:
            json.dump(result, file)
    elif code.co_filename.startswith(inside):
        files.add(code.co_filename.removeprefix(inside))
        functions.add((code.co_filename.removeprefix(inside), code.co_firstlineno, code.co_name))
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(inside):
            caller = caller.f_back
        crossings += caller is not None and caller.f_code.co_filename != code.co_filename

from ganzoo.cli import main
sys.argv = ["ganzoo", *words]
sys.setprofile(watch)
main()
"""


def travel(name: str, tree: Path, python: str) -> dict[str, Any]:
    """Runs one request and returns the files, functions and crossings of its trip."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "trip.json"
        target = Path(folder) / ("image.png" if name == "load" else "run")
        words = [*TRIPS[name], "--out", str(target)]
        command = [python, "-c", PROFILED, str(tree), ENDS[name], str(out), *words]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
        if not out.exists():
            raise SystemExit(f"The {name} request never came to {ENDS[name]}:\n{done.stderr}")
        return json.loads(out.read_text())


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, *, method: bool) -> list[str]:
    """The names of a function's parameters, without `self` and starred ones."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return names[1:] if method and names and names[0] in ("self", "cls") else names


def functions_of(tree: Path) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, list[str], str]]:
    """Every function of the package: its file, its node, its parameters, and the name by which it is called."""
    found = []
    for path in sorted((tree / "ganzoo").rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        owners = {
            id(node): owner for owner in ast.walk(module) if isinstance(owner, ast.ClassDef) for node in owner.body
        }
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                owner = owners.get(id(node))
                called = owner.name if owner is not None and node.name == "__init__" else node.name
                file = path.relative_to(tree / "ganzoo").as_posix()
                found.append((file, node, parameters(node, method=owner is not None), called))
    return found


def passed_on(function: ast.AST, name: str, signatures: dict[str, list[list[str]]]) -> bool:
    """True if a parameter is used, and only as an argument of the same name in calls."""
    uses = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
    forwarded = set()
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        called = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
        for place, argument in enumerate(call.args):
            known = signatures.get(called, ())
            if any(place < len(names) and names[place] == name for names in known):
                forwarded.add(id(argument))
        forwarded |= {id(keyword.value) for keyword in call.keywords if keyword.arg == name}
    return bool(uses) and all(id(use) in forwarded for use in uses)


def count(tree: Path, python: str) -> dict[str, Any]:
    """All numbers of one checkout."""
    functions, signatures = functions_of(tree), defaultdict(list)
    for _, _, names, called in functions:
        signatures[called].append(names)
    only: dict[tuple[str, str, int], list[str]] = {}
    for file, node, names, _ in functions:
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        only[file, node.name, first] = [name for name in names if passed_on(node, name, signatures)]
    found: dict[str, Any] = {}
    for trip in TRIPS:
        seen = travel(trip, tree, python)
        reached = [
            f"{file}:{name}({word})"
            for file, line, name in seen["functions"]
            for word in only.get((file, name, line), ())
        ]
        found[trip] = {
            "files": len(seen["files"]),
            "crossings": seen["crossings"],
            "functions": len(seen["functions"]),
            "passed_on": len(reached),
            "names": seen["files"],
            "parameters": reached,
        }
    carrying = [
        f"{file}:{node.name}"
        for file, node, names, _ in functions
        if {"registry", "parts", "known"} & set(names) and _registry(node)
    ]
    found["package"] = {"passed_on": sum(map(len, only.values())), "carry_a_registry": len(carrying), "names": carrying}
    return found


def _registry(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return any("Registry" in ast.unparse(argument.annotation) for argument in arguments if argument.annotation) or any(
        argument.arg == "registry" for argument in arguments
    )


def main() -> None:
    """Prints a table, and writes everything that was found as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1], help="The checkout to measure.")
    parser.add_argument("--python", default=sys.executable, help="The interpreter in which that checkout is installed.")
    parser.add_argument("--json", type=Path, help="Write the names of files and parameters too.")
    asked = parser.parse_args()
    found = count(asked.tree.resolve(), asked.python)
    print("| trip | files | crossings | functions | parameters only passed on |\n| --- | --- | --- | --- | --- |")
    for trip in TRIPS:
        row = found[trip]
        print(f"| {trip} | {row['files']} | {row['crossings']} | {row['functions']} | {row['passed_on']} |")
    package = found["package"]
    print(f"\nIn the whole package {package['passed_on']} parameters are only passed on, ", end="")
    print(f"and {package['carry_a_registry']} functions take a registry.")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

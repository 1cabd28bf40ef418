"""How long `ganzoo list`, `ganzoo --help` and `import ganzoo` take beside a script that only imports click and pluggy
and reads the entry points, and beside Python alone.

Every command is a fresh process; rounds go through all of them in turn, so that a busy machine slows all alike. Once
with the plugins that are installed, once with further ones, each a real distribution with a package of one module and
one variant.

    python benchmarks/list_startup.py --rounds 15 --plugins 200
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = "import click, pluggy; from importlib.metadata import entry_points; list(entry_points(group='ganzoo'))"
IGNORED = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "GANZOO_LOAD_PLUGINS")
SOURCE = '''"""A variant that exists to be listed."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="{name}",
            summary="Number {number} of many.",
            paper="https://example.org/{number}",
            year=2024,
            generator=Part("dcgan"),
            discriminator=Part("dcgan"),
            loss=Part("non-saturating"),
            sizes=(32, 64),
            tags=("unconditional",),
            training=Training(optimizer_options={{"betas": (0.5, 0.999)}}, steps=1000),
        )
    )


@hookimpl
def register_generators(register):
    from .model import Generator

    register("{name}", Generator)
'''


def write_plugin(folder: Path, number: int) -> None:
    """One installed distribution, as pip leaves it."""
    name = f"many-{number:03}"
    module = name.replace("-", "_")
    package = folder / module
    package.mkdir()
    (package / "__init__.py").write_text(SOURCE.format(name=name, number=number))
    information = folder / f"{module}-1.0.dist-info"
    information.mkdir()
    readme = "A line of a readme, as most distributions carry one in their metadata.\n" * 40
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: ganzoo>=0.1\n\n{readme}"
    )
    (information / "entry_points.txt").write_text(f"[ganzoo]\n{name} = {module}\n")
    (information / "RECORD").write_text(f"{module}/__init__.py,,\n{information.name}/METADATA,,\n")
    (information / "INSTALLER").write_text("pip\n")


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Processor and wall time of one run, in milliseconds."""
    start = time.perf_counter()
    child = subprocess.Popen(command, env=environment, cwd=tempfile.gettempdir(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return 1000 * (usage.ru_utime + usage.ru_stime), 1000 * wall


def commands() -> dict[str, list[str]]:
    script = Path(sys.executable).with_name("ganzoo")
    found = {
        "bare script": [sys.executable, "-c", BARE],
        "python -c pass": [sys.executable, "-c", "pass"],
        "import ganzoo": [sys.executable, "-c", "import ganzoo"],
        "python -m ganzoo list": [sys.executable, "-m", "ganzoo", "list"],
        "python -m ganzoo --help": [sys.executable, "-m", "ganzoo", "--help"],
    }
    own = {"ganzoo list": [str(script), "list"], "ganzoo --help": [str(script), "--help"]}
    return found | (own if script.exists() else {})


def run(rounds: int, plugins: int) -> dict[str, dict[str, float]]:
    """Minimum and median of both times of each command, without and with the further plugins."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(plugins):
            write_plugin(Path(folder), number)
        compileall.compile_dir(folder, quiet=1)  # as pip does
        without = {key: value for key, value in os.environ.items() if key not in IGNORED}
        cases = {name: (command, without) for name, command in commands().items()}
        with_them = without | {"PYTHONPATH": folder}
        cases |= {f"{name}, {plugins} further plugins": (command, with_them) for name, command in commands().items()}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for round_number in range(rounds + 1):
            for name, case in cases.items():
                taken = measure(*case)
                if round_number:  # the first one compiles the modules
                    times[name].append(taken)
    return {name: summary(taken) for name, taken in times.items()}


def summary(taken: list[tuple[float, float]]) -> dict[str, float]:
    processor, wall = zip(*taken, strict=True)
    return {
        "cpu_min_ms": min(processor),
        "cpu_median_ms": statistics.median(processor),
        "wall_min_ms": min(wall),
        "wall_median_ms": statistics.median(wall),
    }


def print_table(results: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(results.values())))
    bare = results["bare script"]
    print(f"{'':<44}" + "".join(f"{column:>24}" for column in columns))
    for name, row in results.items():
        cells = (f"{row[column]:.1f} ({row[column] / bare[column]:.2f})" for column in columns)
        print(f"{name:<44}" + "".join(f"{cell:>24}" for cell in cells))
    print("In brackets: the ratio to the bare script without further plugins.")


def main() -> None:
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--plugins", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="print the numbers for programs")
    arguments = parser.parse_args()
    results = run(arguments.rounds, arguments.plugins)
    if arguments.json:
        print(json.dumps({"python": platform.python_version(), "results": results}, indent=2))
    else:
        print_table(results)


if __name__ == "__main__":
    main()

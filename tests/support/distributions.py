"""Writes small real distributions and installs them into a folder that a child process gets as PYTHONPATH."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Distribution:
    """What a wheel has in it: `files` by path, and the lines of its entry-point group `ganzoo`."""

    name: str
    files: Mapping[str, str | bytes]
    entry_points: tuple[str, ...]
    version: str = "1.0"
    headers: tuple[str, ...] = field(default=())


def simple(name: str, source: str | bytes, **changes) -> Distribution:
    """A distribution of one module, whose entry point is named like the distribution and the module like both."""
    module = name.replace("-", "_")
    settings = {"files": {f"{module}.py": source}, "entry_points": (f"{name} = {module}",)} | changes
    return Distribution(name, **settings)


def variant(name: str, before: str = "") -> str:
    """The source of a plugin that registers one variant whose parts are DCGAN's."""
    return f'''
from ganzoo import Part, Variant, hookimpl
{before}

@hookimpl
def register_variants(register):
    part = Part("dcgan")
    register(Variant(name="{name}", summary="A test.", paper="https://example.org", year=2024,
                     generator=part, discriminator=part, loss=Part("non-saturating"), sizes=(32,)))
'''


def write_wheel(distribution: Distribution, folder: Path) -> Path:
    """Writes the wheel with METADATA, WHEEL, entry_points.txt and RECORD as the specification of wheels asks."""
    stem = f"{distribution.name.replace('-', '_').replace('.', '_')}-{distribution.version}"
    info = f"{stem}.dist-info"
    headers = [
        "Metadata-Version: 2.1",
        f"Name: {distribution.name}",
        f"Version: {distribution.version}",
        *distribution.headers,
    ]
    files = {path: text.encode() if isinstance(text, str) else text for path, text in distribution.files.items()}
    files[f"{info}/METADATA"] = "\n".join([*headers, "", ""]).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = "\n".join(["[ganzoo]", *distribution.entry_points, ""]).encode()
    record = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def install(distributions: Iterable[Distribution], target: Path) -> Path:
    """Unpacks the wheels of all into `target`, which is returned: what pip does with them, without its two seconds."""
    wheels = target.with_name(f"{target.name}-wheels")
    wheels.mkdir(parents=True)
    paths = [write_wheel(distribution, wheels) for distribution in distributions]
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(target)
    return target


def pip_install(target: Path, *arguments: str | Path) -> None:
    """`pip install --target` of local files without their dependencies and without an index."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-index",
    ]
    done = subprocess.run([*command, "--target", target, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(
    *arguments: str, folders: Iterable[Path] = (), cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess:
    """Runs `python <arguments>` in a fresh process that also sees the distributions in `folders`, in their order."""
    inherited = os.environ.get("PYTHONPATH")
    paths = [str(folder) for folder in folders] + ([inherited] if inherited else [])
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | environment
    return subprocess.run([sys.executable, *arguments], env=settings, cwd=cwd, capture_output=True, text=True)

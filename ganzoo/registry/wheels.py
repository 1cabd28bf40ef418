"""Looks into the wheels that pip would install: none may put files into the package of another distribution."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ganzoo.errors import PluginError, UsageError
from ganzoo.files.text import quoted
from ganzoo.registry.discovery import GROUP, normalize

SCHEMES = {"purelib": "purelib", "platlib": "platlib", "scripts": "scripts", "data": "data", "headers": "include"}


def refuse_intruder(wheel: Path, url: str) -> None:
    """UsageError if a wheel holds a file of another installed distribution, or one inside its package.

    A package without `__init__.py` (a namespace) is shared; its files are not.
    """
    own = normalize(wheel.name.partition("-")[0])
    try:
        with zipfile.ZipFile(wheel) as archive:
            files = [name for name in archive.namelist() if not name.endswith("/")]
    except (OSError, zipfile.BadZipFile) as error:
        raise PluginError(f"{url} is not a wheel that can be read: {error}. Nothing was changed.") from None
    owners = _owners()
    for name in files:
        target = _target(name)
        for place in (target, *_packages_around(target)):
            owner = owners.get(place)
            if owner is not None and owner != own:
                raise UsageError(
                    f"{url} would put {quoted(name)} into {owner}, another distribution. Nothing was changed."
                )


def _target(name: str) -> str:
    """The path at which pip puts a file of a wheel, from the folder of packages."""
    first, _, rest = name.partition("/")
    if not (first.endswith(".data") and "/" in rest):
        return os.path.normpath(name)
    paths = sysconfig.get_paths()
    scheme, _, rest = rest.partition("/")
    root = SCHEMES.get(scheme, "data")
    start = paths["platlib"] if root == "platlib" else paths["purelib"]
    return os.path.relpath(os.path.join(paths[root], rest), start)


def _packages_around(target: str) -> Iterator[str]:
    """The `__init__.py` of every folder above a file, up to the folder of packages."""
    folder = os.path.dirname(target)
    while folder not in ("", os.path.dirname(folder)):
        yield os.path.join(folder, "__init__.py")
        folder = os.path.dirname(folder)


def _owners() -> dict[str, str]:
    """The distribution of each installed file, by its path from the folder of packages; ganzoo also of a checkout."""
    found = {}
    for distribution in metadata.distributions():
        name = normalize(distribution.metadata["Name"] or "")
        for file in distribution.files or ():
            found[os.path.normpath(str(file))] = name
    found[os.path.join(GROUP, "__init__.py")] = GROUP
    return found


def refuse_intruders(urls: Sequence[str], pip: Sequence[str]) -> None:
    """`refuse_intruder` for every wheel among these URLs; `pip` is `python -m pip download`, for those elsewhere.

    Sources are not looked at: building them has run their code already.
    """
    for url in urls:
        parts = urlsplit(url)
        if not parts.path.endswith(".whl"):
            continue
        if parts.scheme == "file":
            refuse_intruder(Path(url2pathname(parts.path)), url)
            continue
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([*pip, "--quiet", "--no-deps", "--dest", folder, url])
            wheel = Path(folder) / unquote(parts.path.rpartition("/")[2])
            if done.returncode or not wheel.exists():
                raise PluginError(f"{url} cannot be looked at before it is installed. Nothing was changed.")
            refuse_intruder(wheel, url)

"""Writes a new plugin for `ganzoo new`: a distribution with one variant, from the templates in `files`. Torch-free."""

from __future__ import annotations

import re
from datetime import date
from importlib import resources
from pathlib import Path
from string import Template

from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.atomic import disk_errors, new_folder
from ganzoo.files.output_checks import check_new_folder
from ganzoo.files.text import quoted
from ganzoo.registry.discovery import GROUP, normalize
from ganzoo.registry.hookspecs import API_VERSION
from ganzoo.registry.registry import SINGULAR, Registry

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 40
PREFIX = f"{GROUP}-"

HINGE = ("The hinge loss on DCGAN's networks.", "https://arxiv.org/abs/1705.02894", 2017)
PENALIZED = (
    "A small convolutional GAN with a gradient penalty at real images.",
    "https://arxiv.org/abs/1801.04406",
    2018,
)
# The names that a plugin registers, by scope and kind: its own name with this suffix.
CLAIMS = {
    "loss": {"variants": "", "losses": ""},
    "gan": {"variants": "", "generators": "", "discriminators": "", "losses": ""},
    "full": {
        "variants": "",
        "generators": "",
        "discriminators": "",
        "losses": "",
        "datasets": "-shapes",
        "metrics": "-distance",
    },
}
SHARED = {
    "pyproject.toml": ("pyproject.toml",),
    "README.md": ("readme.md",),
    "LICENSE": ("license",),
    ".gitignore": ("gitignore",),
    ".github/workflows/tests.yml": ("workflow.yml",),
}
LICENSES = {"MIT": "license", "BSD-3-Clause": "license_bsd"}
# What a repository on GitHub has beside the distribution.
REPOSITORY = {
    ".github/workflows/check.yml": ("check.yml",),
    ".github/workflows/release.yml": ("release.yml",),
    "README.md": ("readme_badge.md", "readme.md"),
    "docs/index.md": ("page.md",),
    "CHANGELOG.md": ("changelog.md",),
}
OWN: dict[str, dict[str, tuple[str, ...]]] = {
    "loss": {"__init__.py": ("loss_card.py",), "model.py": ("loss_model.py",), "test": ("loss_test.py",)},
    "gan": {"__init__.py": ("gan_card.py",), "model.py": ("gan_model.py",), "test": ("gan_test.py",)},
    "full": {
        "__init__.py": ("gan_card.py", "full_card.py"),
        "model.py": ("gan_model.py",),
        "shapes.py": ("shapes.py",),
        "test": ("gan_test.py", "full_test.py"),
    },
}


def write_plugin(
    name: str,
    scope: str,
    out: Path | None,
    registry: Registry,
    *,
    license: str = "MIT",
    repository: bool = False,
) -> tuple[Path, list[str]]:
    """Writes the distribution `ganzoo-<name>` and returns its folder and the relative paths of its files.

    `scope` selects the parts to write: "loss", "gan" (generator, discriminator and loss) or "full" (also a data set and
    a metric). `license` is one of `LICENSES`; `repository` adds what a repository has: workflows, a page, a changelog
    and a badge. `out` None is `./ganzoo-<name>`. The folder is written completely or not at all. UsageError for an
    invalid or taken name and for an existing folder that is not empty.
    """
    name = checked_name(name)
    refuse_taken(name, scope, registry)
    folder = Path(out) if out is not None else Path(PREFIX + name)
    files = rendered(name, scope, license, repository)
    with disk_errors(f"{folder} cannot be written", GanzooError):
        check_new_folder(folder, "give a new or empty folder with --out")
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        with new_folder(folder.absolute()) as temporary:
            for path, text in files.items():
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                (temporary / path).write_text(text, encoding="utf-8", newline="\n")
    return folder, list(files)


def checked_name(name: str) -> str:
    """Returns the variant's name, without a leading `ganzoo-`; UsageError with a suggestion for an invalid one."""
    name = name.removeprefix(PREFIX)
    if NAME.fullmatch(name) and len(name) <= LONGEST and name != GROUP:
        return name
    near = normalize(name).lstrip("0123456789-")[:LONGEST].rstrip("-")
    hint = f" For example '{near}'." if near and near != GROUP else ""
    rule = f"use up to {LONGEST} letters a-z and digits, words joined by '-', beginning with a letter"
    raise UsageError(f"{quoted(name)} cannot name a plugin: {rule}.{hint}")


def refuse_taken(name: str, scope: str, registry: Registry) -> None:
    """UsageError if one of the plugin's names is registered already, or its distribution is installed."""
    for kind, suffix in CLAIMS[scope].items():
        if name + suffix in registry.names(kind):
            owner = registry.claim(kind, name + suffix).plugin.distribution
            raise UsageError(
                f"The {SINGULAR[kind]} '{name + suffix}' exists already, from {owner}: choose another name."
            )
    if any(plugin.distribution == PREFIX + name for plugin in registry.plugins):
        raise UsageError(f"A distribution {PREFIX}{name} is installed already: choose another name.")


def rendered(name: str, scope: str, license: str = "MIT", repository: bool = False) -> dict[str, str]:
    """Returns the text of every file by its path in the distribution."""
    values = {**_values(name, scope), "license": license}
    package, module = values["package"], values["module"]
    places = {key: f"tests/test_{module}.py" if key == "test" else f"{package}/{key}" for key in OWN[scope]}
    shared = SHARED | {"LICENSE": (LICENSES[license],)} | (REPOSITORY if repository else {})
    templates = shared | {places[key]: names for key, names in OWN[scope].items()}
    texts = {path: "".join(_template(part).substitute(values) for part in names) for path, names in templates.items()}
    if scope == "full":  # its tests use functions of the card
        test = places["test"]
        texts[test] = texts[test].replace(
            f"from {package}.model", f"from {package} import distance, shapes\nfrom {package}.model", 1
        )
    return texts


def _template(name: str) -> Template:
    return Template(resources.files(__name__).joinpath(f"files/{name}.txt").read_text(encoding="utf-8"))


def _values(name: str, scope: str) -> dict[str, str]:
    summary, paper, year = HINGE if scope == "loss" else PENALIZED
    module = name.replace("-", "_")
    package = f"{GROUP}_{module}"
    return {
        "name": name,
        "api": str(API_VERSION),
        "distribution": PREFIX + name,
        "module": module,
        "package": package,
        "title": " ".join(word.capitalize() for word in name.split("-")),
        "camel": "".join(word.capitalize() for word in name.split("-")),
        "summary": summary,
        "paper": paper,
        "paper_year": str(year),
        "year": str(date.today().year),
        "data": f"{name}-shapes" if scope == "full" else "fashion-mnist-test",
        "parts": "the loss" if scope == "loss" else "the networks and the loss",
        "more_files": f"| `{package}/shapes.py` | the data set |\n" if scope == "full" else "",
    }

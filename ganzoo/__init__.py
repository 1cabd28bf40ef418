"""ganzoo: a zoo of generative adversarial networks in PyTorch, in which every variant is a plugin.

Importing this package imports no torch; `load` does when it is called.
"""

from __future__ import annotations

from ganzoo.registry.hookspecs import API_VERSION, hookimpl
from ganzoo.variant import ImageSpec, Part, Schedule, Training, Variant, Weights

__version__ = "0.1.0"
__all__ = [
    "API_VERSION",
    "ImageSpec",
    "Part",
    "Schedule",
    "Training",
    "Variant",
    "Weights",
    "hookimpl",
    "load",
    "variants",
]


def variants(pattern: str = "*") -> list[Variant]:
    """Every registered variant whose name matches the shell pattern, sorted by name."""
    from fnmatch import fnmatch

    from ganzoo.registry.registry import registry

    return [variant for variant in registry().variants() if fnmatch(variant.name, pattern)]


def load(source, **options):
    """Loads a trained generator as a `Model`: a tag, a Hub repository, a run, a checkpoint or a folder; see `ganzoo.models.load.load`."""
    from ganzoo.models.load import load

    return load(source, **options)

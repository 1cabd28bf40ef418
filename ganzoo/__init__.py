"""ganzoo: a zoo of generative adversarial networks in PyTorch, in which every variant is a plugin.

Importing this package imports no torch and next to nothing else: each name is imported when it is first used. The
variants are in plugins/ganzoo_plugins.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False  # as in `typing`, whose import takes longer than all of this
if TYPE_CHECKING:
    from typing import Any

    from ganzoo.api.bench import BenchResults as BenchResults
    from ganzoo.api.bench import bench as bench
    from ganzoo.api.datasets import dataset as dataset
    from ganzoo.api.evaluate import evaluate as evaluate
    from ganzoo.api.models import create_model as create_model
    from ganzoo.api.models import invert as invert
    from ganzoo.api.models import load as load
    from ganzoo.api.models import mix as mix
    from ganzoo.api.models import push as push
    from ganzoo.api.register import register_augmentation as register_augmentation
    from ganzoo.api.register import register_condition as register_condition
    from ganzoo.api.register import register_dataset as register_dataset
    from ganzoo.api.register import register_discriminator as register_discriminator
    from ganzoo.api.register import register_extractor as register_extractor
    from ganzoo.api.register import register_generator as register_generator
    from ganzoo.api.register import register_layout as register_layout
    from ganzoo.api.register import register_loss as register_loss
    from ganzoo.api.register import register_metric as register_metric
    from ganzoo.api.register import register_regularizer as register_regularizer
    from ganzoo.api.register import register_tracker as register_tracker
    from ganzoo.api.register import register_variant as register_variant
    from ganzoo.api.runs import Run as Run
    from ganzoo.api.runs import open_run as open_run
    from ganzoo.api.train import train as train
    from ganzoo.api.trainers import OwnLoop as OwnLoop
    from ganzoo.api.trainers import create_trainer as create_trainer
    from ganzoo.api.variants import list_variants as list_variants
    from ganzoo.api.variants import variant as variant
    from ganzoo.api.variants import variants as variants
    from ganzoo.data.torch_dataset import ImageDataset as ImageDataset
    from ganzoo.errors import GanzooError as GanzooError
    from ganzoo.models.model import Model as Model
    from ganzoo.registry.hookspecs import API_VERSION as API_VERSION
    from ganzoo.registry.hookspecs import hookimpl as hookimpl
    from ganzoo.variant import Asset as Asset
    from ganzoo.variant import Field as Field
    from ganzoo.variant import ImageSpec as ImageSpec
    from ganzoo.variant import LocalPath as LocalPath
    from ganzoo.variant import Part as Part
    from ganzoo.variant import Register as Register
    from ganzoo.variant import RegisterVariant as RegisterVariant
    from ganzoo.variant import SampleSpec as SampleSpec
    from ganzoo.variant import Schedule as Schedule
    from ganzoo.variant import Sizes as Sizes
    from ganzoo.variant import Training as Training
    from ganzoo.variant import Variant as Variant
    from ganzoo.variant import Weights as Weights

__version__ = "0.1.0"
__all__ = [
    "API_VERSION",
    "Asset",
    "BenchResults",
    "Field",
    "GanzooError",
    "ImageDataset",
    "ImageSpec",
    "LocalPath",
    "Model",
    "OwnLoop",
    "Part",
    "Register",
    "RegisterVariant",
    "Run",
    "SampleSpec",
    "Schedule",
    "Sizes",
    "Training",
    "Variant",
    "Weights",
    "bench",
    "create_model",
    "create_trainer",
    "dataset",
    "evaluate",
    "hookimpl",
    "invert",
    "list_variants",
    "load",
    "mix",
    "open_run",
    "push",
    "register_augmentation",
    "register_condition",
    "register_dataset",
    "register_discriminator",
    "register_extractor",
    "register_generator",
    "register_layout",
    "register_loss",
    "register_metric",
    "register_regularizer",
    "register_tracker",
    "register_variant",
    "train",
    "variant",
    "variants",
]
_HOMES = {
    "ganzoo.api.bench": ("BenchResults",),
    "ganzoo.api.datasets": ("dataset",),
    "ganzoo.api.evaluate": ("evaluate",),
    "ganzoo.api.models": ("create_model", "invert", "load", "mix", "push"),
    "ganzoo.api.register": tuple(name for name in __all__ if name.startswith("register_")),
    "ganzoo.api.runs": ("Run", "open_run"),
    "ganzoo.api.train": ("train",),
    "ganzoo.api.trainers": ("OwnLoop", "create_trainer"),
    "ganzoo.api.variants": ("list_variants", "variants"),
    "ganzoo.data.torch_dataset": ("ImageDataset",),
    "ganzoo.errors": ("GanzooError",),
    "ganzoo.models.model": ("Model",),
    "ganzoo.registry.hookspecs": ("API_VERSION", "hookimpl"),
}
_MODULE_OF = {name: home for home, names in _HOMES.items() for name in names}
_CALLED = {"bench": "ganzoo.api.bench", "variant": "ganzoo.api.variants"}  # modules that are functions too


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and keeps it."""
    if name in _CALLED:
        return import_module(f"ganzoo.{name}")
    home = _MODULE_OF.get(name) or ("ganzoo.variant" if name in __all__ else None)
    if home is None:
        raise AttributeError(f"module 'ganzoo' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _CalledModule(ModuleType):
    """A module that is a function of the Python API too: `ganzoo.bench(...)` beside `ganzoo.bench.run`."""

    @property
    def __wrapped__(self) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(_CALLED[name]), name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.__wrapped__(*arguments, **options)


class _Package(ModuleType):
    """The class of this package, which makes `ganzoo.bench` callable, even after an import of the module."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _CALLED and isinstance(value, ModuleType):
            value.__class__ = _CalledModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

"""Registers parts for this process alone: for notebooks and scripts, as plugins do it with hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ganzoo.registry.in_process import register_in_process, register_variant_in_process
from ganzoo.variant import Variant

Factory = TypeVar("Factory", bound=Callable[..., Any])


def register_loss(name: str) -> Callable[[Factory], Factory]:
    """Registers a loss in this process: a decorator of a `ganzoo.losses.Loss` class.

    It is built as `factory(image, **options)`, as those of plugins.

    Raises:
        UsageError: if a plugin has a loss of that name; a name of this process is replaced.
        PluginError: inside a plugin, which has the hook `register_losses`.
    """
    return register_in_process("losses", name)


def register_generator(name: str) -> Callable[[Factory], Factory]:
    """Registers a generator in this process: a decorator of a `ganzoo.networks.Generator` class, as `register_loss`."""
    return register_in_process("generators", name)


def register_discriminator(name: str) -> Callable[[Factory], Factory]:
    """Registers a discriminator in this process: a decorator of a torch module's class, as `register_loss`."""
    return register_in_process("discriminators", name)


def register_regularizer(name: str) -> Callable[[Factory], Factory]:
    """Registers a regularizer in this process, such as a penalty: a decorator of a `Regularizer` class."""
    return register_in_process("regularizers", name)


def register_augmentation(name: str) -> Callable[[Factory], Factory]:
    """Registers an augmentation in this process: a decorator of a `ganzoo.losses.Augmentation` class."""
    return register_in_process("augmentations", name)


def register_dataset(name: str) -> Callable[[Factory], Factory]:
    """Registers a data set in this process: a decorator of a function `(root, split)` that returns its source."""
    return register_in_process("datasets", name)


def register_condition(name: str) -> Callable[[Factory], Factory]:
    """Registers a condition in this process: a decorator of a `ganzoo.data.Condition` class."""
    return register_in_process("conditions", name)


def register_extractor(name: str) -> Callable[[Factory], Factory]:
    """Registers a feature extractor in this process: a decorator of a function that returns it."""
    return register_in_process("extractors", name)


def register_metric(name: str) -> Callable[[Factory], Factory]:
    """Registers a metric in this process: a decorator of a function `(real, fake, random)` that returns a number."""
    return register_in_process("metrics", name)


def register_tracker(name: str) -> Callable[[Factory], Factory]:
    """Registers a tracker in this process: a decorator of a `ganzoo.tracking.Tracker` class.

    It is built with the run's folder, as `factory(folder)`."""
    return register_in_process("trackers", name)


def register_layout(name: str) -> Callable[[Factory], Factory]:
    """Registers a layout for `ganzoo convert` in this process: a decorator of a function that returns it."""
    return register_in_process("layouts", name)


def register_variant(variant: Variant) -> Variant:
    """Registers a card in this process, so that its name can be trained, benched and loaded; returns it.

    Raises:
        UsageError: if a plugin has a variant of that name; a card of this process is replaced.
        PluginError: inside a plugin, which has the hook `register_variants`.
    """
    return register_variant_in_process(variant)

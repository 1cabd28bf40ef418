"""The hooks that a plugin may implement, and the two markers. Torch-free: every command imports this."""

import pluggy

hookspec = pluggy.HookspecMarker("ganzoo")
hookimpl = pluggy.HookimplMarker("ganzoo")


@hookspec
def register_variants(register):
    """Registers variants with `register(variant: Variant)`. Called by every command, so it must not import torch."""


@hookspec
def register_generators(register):
    """Registers generators with `register(name, factory)`; `factory(image: ImageSpec, **options)` returns a `Generator`."""


@hookspec
def register_discriminators(register):
    """Registers discriminators with `register(name, factory)`; the factory returns a module called as `module(images, label)`."""


@hookspec
def register_losses(register):
    """Registers losses with `register(name, factory)`; `factory(image: ImageSpec, **options)` returns a `Loss`."""


@hookspec
def register_regularizers(register):
    """Registers regularizers with `register(name, factory)`; the factory returns a `Regularizer`, added to a phase of any loss."""


@hookspec
def register_augmentations(register):
    """Registers augmentations with `register(name, factory)`; the factory returns an `Augmentation` of what the discriminator sees."""


@hookspec
def register_datasets(register):
    """Registers data sets with `register(name, factory)`; `factory(root, split)` returns an `ArraySource`, `EncodedSource` or `HubSource`."""


@hookspec
def register_extractors(register):
    """Registers feature extractors for metrics with `register(name, factory)`; the factory returns a module: images -> features (N, D)."""


@hookspec
def register_metrics(register):
    """Registers metrics with `register(name, metric)`; `metric(real_features, fake_features)` returns a number or named numbers."""

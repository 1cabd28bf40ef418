"""The hooks that a plugin may implement, and the two markers. Torch-free: every command imports this."""

import pluggy

API_VERSION = 1  # of everything that a plugin implements or calls; docs/plugin-api.md says what may change when

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
    """Registers feature extractors for metrics with `register(name, factory)`; the factory returns a callable.

    It gives features (N, D) of float32 images (N, 1 or 3, H, W) in [-1, 1] of any size, and states a `fingerprint`: the
    sha256, in 64 hex digits, of weights and preprocessing. A classifier also has `classes`, a tuple of names, and
    `classify(features)`, their logits (N, K).
    """


@hookspec
def register_metrics(register):
    """Registers metrics with `register(name, metric)`; `metric(real, fake, random)` returns a number, or {name: number}.

    `real` and `fake` are `ganzoo.metrics.features.Observation`s: `moments` always, `features` (N, D) and `logits` (N, K) if the
    metric asks for them by its attribute `needs`, a tuple of these two names (without it: ("features",)). `fake` may also have the `codes`
    and the `labels` that its images were drawn from. `random` is a
    `torch.Generator` of its own, the only source of chance.
    """


@hookspec
def register_layouts(register):
    """Registers layouts for `ganzoo convert` with `register(name, factory)`; the factory returns a `ganzoo.layouts.Layout`."""

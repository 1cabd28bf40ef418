"""The hooks that a plugin may implement, and the marker for them. Torch-free: every command imports this.

Every hook takes one argument, `register`, and calls it once for each thing that it registers.
"""

import pluggy

from ganzoo.variant import Register, RegisterVariant

API_VERSION = 2  # of everything that a plugin implements or calls; docs/plugin-api.md says what may change when

hookspec = pluggy.HookspecMarker("ganzoo")
hookimpl = pluggy.HookimplMarker("ganzoo")


@hookspec
def register_variants(register: RegisterVariant) -> None:
    """Registers variants with `register(variant: Variant)`. Every command calls it, so it must not import torch."""


@hookspec
def register_generators(register: Register) -> None:
    """Registers generators with `register(name, factory)`.

    `factory(image: SampleSpec, **options)` returns a `Generator`.
    """


@hookspec
def register_discriminators(register: Register) -> None:
    """Registers discriminators with `register(name, factory)`.

    `factory(image: SampleSpec, **options)` returns a module that is called as `module(samples, label)`, with the
    inputs that its forward names as keywords.
    """


@hookspec
def register_losses(register: Register) -> None:
    """Registers losses with `register(name, factory)`; `factory(image: SampleSpec, **options)` returns a `Loss`."""


@hookspec
def register_regularizers(register: Register) -> None:
    """Registers regularizers with `register(name, factory)`.

    `factory(image: SampleSpec, **options)` returns a `Regularizer`, which can be added to a phase of any loss.
    """


@hookspec
def register_augmentations(register: Register) -> None:
    """Registers augmentations with `register(name, factory)`.

    `factory(image: SampleSpec, **options)` returns an `Augmentation` of the discriminator's input.
    """


@hookspec
def register_datasets(register: Register) -> None:
    """Registers data sets with `register(name, factory)`.

    `factory(root, split)` returns an `ArraySource`, `EncodedSource`, `HubSource`, or a `Stream` of samples without end.
    """


@hookspec
def register_conditions(register: Register) -> None:
    """Registers conditions with `register(name, factory)`, which compute the inputs of generators.

    `factory(stored: SampleSpec, **options)` returns a `ganzoo.data.Condition` for samples with these stored fields.
    """


@hookspec
def register_extractors(register: Register) -> None:
    """Registers feature extractors for metrics with `register(name, factory)`; the factory returns a callable.

    The callable maps float32 images (N, 1 or 3, H, W) in [-1, 1] of any size to features (N, D). It has a
    `fingerprint`: the sha256, in 64 hex digits, of weights and preprocessing. A classifier also has `classes`, a tuple
    of names, and `classify(features)`, which returns logits (N, K).
    """


@hookspec
def register_metrics(register: Register) -> None:
    """Registers metrics with `register(name, metric)`; `metric(real, fake, random)` returns a number, or {name:
    number}.

    `real` and `fake` are `ganzoo.metrics.features.FeatureSet`s: always `moments`; `features` (N, D) and `logits` (N,
    K) if the metric's attribute `needs`, a tuple of these two names, asks for them (without it: ("features",)). `fake`
    may also have the `codes` and `labels` that its images were generated from. `random` is a `torch.Generator` of the
    metric's own, its only source of randomness. The attribute `lower_is_better` is True or False, or these by the name
    of the number.
    """


@hookspec
def register_layouts(register: Register) -> None:
    """Registers layouts for `ganzoo convert` with `register(name, factory)`.

    `factory()` returns a `ganzoo.layouts.Layout`.
    """


@hookspec
def register_trackers(register: Register) -> None:
    """Registers trackers for `ganzoo train --track` with `register(name, factory)`.

    `factory(folder)` gets the path of the run folder, which may not exist yet, and returns a
    `ganzoo.tracking.Tracker`. It raises ImportError or UsageError if a package is missing.
    """


@hookspec
def register_commands(register: Register) -> None:
    """Registers commands of `ganzoo` with `register(name, factory)`.

    `factory()` returns a `click.Command`. The first line of its docstring is the summary in `ganzoo --help`, which does
    not call it.
    """

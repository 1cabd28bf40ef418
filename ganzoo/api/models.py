"""Generators: loaded, made untrained, mixed and published."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ganzoo.api.inputs import card_of, check_values, settings_of
from ganzoo.api.public import public
from ganzoo.errors import UsageError
from ganzoo.registry.registry import registry
from ganzoo.variant import Field, ImageSpec, Part, SampleSpec, Variant

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as PillowImage

    from ganzoo.api.inputs import Parts
    from ganzoo.models.inversion import Inversion
    from ganzoo.models.model import Model
    from ganzoo.publish.push import Pushed


@public
def load(
    source: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    compile: bool = False,
    mmap: bool = True,
    verify: bool = False,
    allow_nonfinite: bool = False,
    average: bool = True,
) -> Model:
    """Loads a trained generator, ready to sample from.

    Args:
        source: a tag of a registered variant ("dcgan.fashion-mnist"), a Hub repository ("owner/name",
            "owner/name@revision"), a run folder (its newest checkpoint that verifies), a checkpoint, or a model folder.
        device: where the generator computes.
        dtype: of its parameters; None means float32, however they are stored.
        compile: samples through `torch.compile`.
        mmap: maps the tensors from the file instead of reading them.
        verify: hashes the weights again, even if their file has not changed since the last load.
        allow_nonfinite: loads weights that contain NaN or infinity.
        average: of a run, takes the EMA generator if there is one; False takes the weights being trained.

    Raises:
        UsageError: if there is no such source.
        CheckpointError: if a file is damaged, with its name.
    """
    from ganzoo.models.load import load

    return load(
        source,
        device=device,
        dtype=dtype,
        compile=compile,
        mmap=mmap,
        verify=verify,
        allow_nonfinite=allow_nonfinite,
        average=average,
    )


@public
def invert(
    model: Model | str | os.PathLike[str],
    images: PillowImage | Sequence[PillowImage] | torch.Tensor,
    *,
    space: str | None = None,
    noise: bool | None = None,
    label: int | str | None = None,
    steps: int = 500,
    starts: int | None = None,
    draws: int | None = None,
    rate: float | None = None,
    bounded: bool = True,
    perceptual: str | os.PathLike[str] | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> Inversion:
    """Finds the latents or styles whose images are nearest to given images.

    Args:
        model: a loaded `Model`, or any source that `load` takes.
        images: Pillow images, cropped and resized as training data is, or samples (N, C, H, W) in [-1, 1], of which
            some are below 0.
        space: "z", "w" (one style for all layers) or "w+" (one each); None is w where there are styles, else z.
        noise: also searches the noise of layers that take it, in w and w+; None does if there are such layers.
        label: the class of all images, a name or position; None takes the nearest class of each.
        steps: of Adam; 0 gives the nearest of the candidates.
        starts: searches of each image, of which the best counts; None is 4 in z and 1 in w and w+.
        draws: latents that are drawn as candidates for the start; None is 1000 in z. In w and w+ the mean style is a
            candidate, and None draws no others.
        rate: the largest learning rate; None is 0.2 in z and 0.1 in w and w+.
        bounded: keeps latents z within the extremes of 4096 draws of the prior.
        perceptual: a safetensors file of VGG-19 or LPIPS for the distance; None compares pixels and their averages.
        seed: the same seed gives the same result.
        batch_size: searches at once.

    Returns:
        For every image the latents, the image that they give, and the distances before and after.

    Raises:
        UsageError: for a generator without latents, or images and options that do not fit it.
    """
    from ganzoo.models.inversion import invert
    from ganzoo.models.load import load
    from ganzoo.models.model import Model

    loaded = model if isinstance(model, Model) else load(model)
    _refuse_unit_range(loaded, images)
    return invert(
        loaded,
        images,
        space=space,
        noise=noise,
        label=label,
        steps=steps,
        starts=starts,
        draws=draws,
        rate=rate,
        bounded=bounded,
        perceptual=perceptual,
        seed=seed,
        batch_size=batch_size,
    )


def _refuse_unit_range(model: Model, images: Any) -> None:
    """UsageError for a tensor of images without a number below 0, as `ganzoo.train` refuses it."""
    import torch

    if not isinstance(images, torch.Tensor) or model.image.output.kind != "image" or not images.numel():
        return
    if images.is_floating_point() and images.min() >= 0 and images.max() <= 1:
        raise UsageError(
            f"Images from {float(images.min()):.4g} to {float(images.max()):.4g} seem to be from 0 to 1: floats are "
            "from -1 to 1; give 2 * images - 1, or Pillow images where they are that bright."
        )


@public
def mix(first: Model | str | os.PathLike[str], second: Model | str | os.PathLike[str], alpha: float = 0.5) -> Model:
    """Interpolates the weights of two generators of one architecture: (1 - alpha) of the first, alpha of the second.

    Args:
        first: a loaded `Model`, or any source that `load` takes.
        second: the same; useful if one of the two was fine-tuned from the other, or both from a third.
        alpha: the share of the second, from 0 to 1.

    Returns:
        A new model, whose config names both origins; `Model.save` writes it.

    Raises:
        UsageError: if the architectures differ, with the first difference.
    """
    from ganzoo.models.load import load
    from ganzoo.models.mix import mix
    from ganzoo.models.model import Model

    ours, theirs = (source if isinstance(source, Model) else load(source) for source in (first, second))
    return mix(ours, theirs, alpha)


@public
def push(
    model: Model | str | os.PathLike[str],
    repo: str,
    *,
    private: bool = False,
    message: str | None = None,
    discriminator: bool = False,
    dtype: str = "float32",
    license: str | None = None,
    tag: str | None = None,
) -> Pushed:
    """Publishes a model on the Hugging Face Hub as `repo` ("owner/name"), which is created if needed.

    Args:
        model: a loaded `Model`, or any source that `load` takes.
        repo: "owner/name".
        private: creates a private repository.
        message: of the commit; None writes one.
        discriminator: also publishes the discriminator of a run.
        dtype: how the numbers are stored: "float32", "float16" or "bfloat16".
        license: of the weights, such as "mit"; None keeps what the model states.
        tag: a git tag for the commit.

    Raises:
        UsageError, HubError or CheckpointError: each one line.
    """
    from ganzoo.publish.push import push

    return push(
        model,
        repo,
        private=private,
        message=message,
        discriminator=discriminator,
        dtype=dtype,
        license=license,
        tag=tag,
    )


@public
def create_model(
    variant: str | Variant | Parts,
    *,
    image_size: int | tuple[int, int] | None = None,
    channels: int = 3,
    classes: int = 0,
    overrides: Mapping[str, Any] = {},
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Model:
    """Makes the generator of a variant with random weights; nothing is read or trained.

    Args:
        variant: as for `ganzoo.train`.
        image_size: in pixels, or (height, width); None for the variant's own.
        channels: of its images.
        classes: how many classes its labels have; 0 without labels.
        overrides: settings as for `ganzoo.train`, such as {"generator.width": 32}.
        seed: of the weights: those of step 0 of a run with this seed and these settings.
        device: where it computes.

    Returns:
        A `Model`, whose `generator` is the torch module.

    Raises:
        UsageError: for an unknown name or setting, or a size that the variant does not have.
    """
    from ganzoo.config.settings import resolve
    from ganzoo.data.decode import rectangle
    from ganzoo.engine.build import build_part
    from ganzoo.engine.device import choose_device
    from ganzoo.engine.randomness import seeded
    from ganzoo.models.model import Model
    from ganzoo.runs.data import check_size

    check_values(image_size=image_size, channels=channels, classes=classes, seed=seed)
    if channels is None:
        raise UsageError("channels cannot be None without images; known: 1, 3, 4.")
    known, card = registry(), card_of(variant)
    recipe = resolve(known.get("variants", card) if isinstance(card, str) else card, settings_of(overrides), known)
    if recipe.variant.kind == "image":
        size = image_size or recipe.variant.sizes[0]
        check_size(recipe.variant, size, known)
        image = ImageSpec(rectangle(size), channels, classes)
    elif image_size is not None:
        raise UsageError(f"Variant '{recipe.variant.name}' draws {recipe.variant.kind}, which have no image_size.")
    else:
        image = SampleSpec(Field((2,), recipe.variant.kind))
    image = _with_inputs(recipe.variant, image)
    with seeded(seed):
        generator = build_part(recipe.parts["generator"], image)
    config = _untrained(recipe.variant, recipe.plugin, image, generator.latent_dim, seed)
    return Model(generator.to(choose_device(str(device))), config)


def _with_inputs(variant: Variant, image: SampleSpec) -> SampleSpec:
    """Adds the inputs of a variant to the specification of its outputs: those of conditions, or images of its size."""
    output, inputs = image.output, dict(image.inputs)
    for name, part in variant.inputs.items():
        inputs[name] = output
        if isinstance(part, Part):
            factory = registry().get("conditions", part.name)
            stored = getattr(factory, "stored_channels", None) or output.shape[0]
            fields = factory(SampleSpec(Field((stored, *output.shape[1:]))), **part.options).fields
            inputs[name], output = fields.get("source", output), fields.get("output", output)
    return SampleSpec(output, inputs)


def _untrained(variant: Variant, plugin: Any, image: SampleSpec, latent_dim: int, seed: int) -> Any:
    """The configuration of a model that no run has trained."""
    from ganzoo.models.config import ModelConfig, Provider

    return ModelConfig(
        variant=variant.name,
        generator=variant.generator,
        image=image,
        latent_dim=latent_dim,
        task=variant.task,
        inputs=dict(variant.inputs),
        provider=Provider(distribution=plugin.distribution, version=plugin.version),
        license="unknown",
        training={"steps": 0, "seed": seed},
    )

"""Checks of samples: shapes, saving, latents, and the folded copy."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from ganzoo.data.memory import available_bytes
from ganzoo.errors import GanzooError, UsageError
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.load import load_folder
from ganzoo.models.model import Model
from ganzoo.networks import Generator
from ganzoo.networks.inputs import call, select_inputs
from ganzoo.networks.latents import sample_latents
from ganzoo.testing.checks import CheckFailed, CheckSkipped, check
from ganzoo.testing.subject import STEP_SECONDS, Subject, inputs_of, labels_of, qualified, smooth, spec_of
from ganzoo.variant import SampleSpec, Sizes

SAMPLES = 4
LARGE = 256  # pixels from which two samples suffice
TOLERANCE = 1e-4  # of images in [-1, 1]: rounding errors
BYTES_PER_VALUE = 4 * 1024  # of an image: a generous estimate of the activations


@check("shapes")
def shapes(subject: Subject) -> str:
    """Builds every size, grey and colour, with and without labels as the card allows, and checks samples of each.

    Of a rule for sizes it builds the variant's own and the smallest.
    """
    if subject.variant.kind != "image":
        for classes in subject.classes():
            _check_shapes(subject, spec_of(subject.variant, 0, 0, classes, subject.registry))
        return ""
    left_out, slow = [], 0.0
    sizes = subject.variant.sizes
    smallest = {sizes.least} if isinstance(sizes, Sizes) and sizes.least in sizes else set()
    for size in sorted({*sizes, *smallest}):
        if slow > STEP_SECONDS:
            left_out.append(f"{size} px (the previous size took {slow:.0f} s)")
            continue
        if 3 * size * size * BYTES_PER_VALUE > available_bytes():
            left_out.append(f"{size} px (not enough memory)")
            continue
        began = time.process_time()
        for channels in (1, 3):
            for classes in subject.classes():
                _check_shapes(subject, spec_of(subject.variant, size, channels, classes, subject.registry))
        slow = time.process_time() - began
    return f"not checked: {', '.join(left_out)}" if left_out else ""


@torch.no_grad()
def _check_shapes(subject: Subject, image: SampleSpec) -> None:
    count = 2 if max(image.output.shape) > LARGE else 3
    generator = subject.build("generator", image)
    asked = f"for samples of shape {image.output.shape} and {image.classes} classes"
    if not isinstance(generator, Generator):
        raise CheckFailed(
            f"{subject.named('generator')} must build a ganzoo.networks.Generator, not a {qualified(generator)}."
        )
    dim = getattr(generator, "latent_dim", None)
    latent = generator.latent(count, torch.Generator().manual_seed(0))
    if tuple(latent.shape) != (count, dim):
        raise CheckFailed(
            f"{qualified(generator)}.latent returned {tuple(latent.shape)} for {count} latents of latent_dim={dim}: "
            "return (n, latent_dim)."
        )
    label, inputs = labels_of(image, count), inputs_of(image, smooth(image, count, 0))
    for mode in (generator.train(), generator.eval()):
        images = call(mode, latent, label, inputs)
        _require_samples(images, image, count, f"{qualified(generator)}.forward {asked}", bounded=not mode.training)
    _require_ways_agree(generator, latent, label, inputs)
    if subject.variant.discriminator is not None:
        discriminator = subject.build("discriminator", image)
        logits = call(discriminator, images, label, inputs)
        _require_logits(logits, count, f"{qualified(discriminator)}.forward {asked}")


def _require_ways_agree(generator: Generator, latent: Tensor, label: Tensor | None, inputs: dict[str, Tensor]) -> None:
    """Requires that in evaluation mode `forward` is `synthesis` after `mapping`."""
    if not generator.has_mapping:
        return
    style = generator.mapping(latent, label)
    if not torch.allclose(generator.synthesis(style, label), call(generator, latent, label, inputs), atol=TOLERANCE):
        raise CheckFailed(
            f"{qualified(generator)}.forward generates other images in evaluation mode than synthesis of its mapping: "
            "what only training does, such as mixing styles, belongs behind `if self.training`."
        )


def _require_samples(images: object, spec: SampleSpec, count: int, source: str, bounded: bool = True) -> None:
    shape = (count, *spec.output.shape)
    if not isinstance(images, Tensor) or tuple(images.shape) != shape:
        found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise CheckFailed(f"{source} returned {found}: images must be {shape}.")
    if not torch.isfinite(images).all():
        raise CheckFailed(f"{source} returned values that are not finite: look for a division or a logarithm of zero.")
    if bounded and spec.output.kind == "image" and images.abs().max() > 1:
        raise CheckFailed(
            f"{source} returned values from {images.min():.3g} to {images.max():.3g}: "
            "images lie in [-1, 1] in evaluation mode, so end in tanh, rescale or clamp."
        )


def _require_logits(logits: object, count: int, source: str) -> None:
    first = logits[0] if isinstance(logits, tuple) else logits
    if not isinstance(first, Tensor) or first.ndim == 0 or len(first) != count or first.shape[1:] == (1,):
        found = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        raise CheckFailed(
            f"{source} returned {found} for {count} images: logits are ({count},), so flatten them, or a map with "
            f"{count} rows; return the output of further heads only for a keyword argument of forward."
        )
    if not torch.isfinite(first).all():
        raise CheckFailed(f"{source} returned logits that are not finite.")


def model_of(subject: Subject) -> Model:
    """Returns the generator, trained for a few steps, as a model that is not saved yet."""
    variant, plugin = subject.small, subject.plugin
    config = ModelConfig(
        variant=variant.name,
        generator=variant.generator,
        image=subject.image,
        latent_dim=subject.generator.latent_dim,
        classes=tuple(f"class {number}" for number in range(subject.image.classes)),
        task=variant.task,
        inputs=dict(variant.inputs),
        provider=Provider(distribution=plugin.distribution, version=plugin.version),
        license="unknown",
    )
    return Model(subject.generator, config)


@check("save")
def save(subject: Subject) -> None:
    """Samples the same seeds before saving and after loading."""
    model = model_of(subject)
    before, again = _generated(subject, model), _generated(subject, model)
    name = qualified(model.generator)
    if not torch.equal(before, again):
        raise CheckFailed(
            f"{name} generates other images of the same latents the second time: "
            "in evaluation mode, images may depend on latents and labels only."
        )
    folder = subject.folder / "model"
    model.save(folder)
    loaded = load_folder(folder, parts=subject.registry)
    after = _generated(subject, loaded)
    loaded.save(subject.folder / "again")
    third = _generated(subject, load_folder(subject.folder / "again", parts=subject.registry))
    # Training keeps weights channels last and loading does not, so only two loaded models can agree bit for bit.
    if not torch.allclose(before, after, rtol=0, atol=TOLERANCE) or not torch.equal(after, third):
        lost = _unsaved(model.generator)
        why = (
            f"make {', '.join(lost)} a buffer with register_buffer"
            if lost
            else "its state must be parameters, buffers or options"
        )
        raise CheckFailed(
            f"{name} generates other images after saving and loading "
            f"(by up to {(before - after).abs().max():.2g}): {why}."
        )


def _generated(subject: Subject, model: Model) -> Tensor:
    """Returns the model's samples of the first latents, and of inputs where it takes them."""
    spec = subject.image
    given = inputs_of(spec, smooth(spec, SAMPLES, 0))
    return model.generate(model.latent(SAMPLES), model.labels(SAMPLES), **select_inputs(model.generator, given))


def _unsaved(generator: nn.Module) -> list[str]:
    """Names tensors that are plain attributes, or buffers outside the state dict."""
    saved = set(generator.state_dict())
    attributes = [
        (path, name, value) for path, module in generator.named_modules() for name, value in vars(module).items()
    ]
    plain = [f"{path}.{name}".lstrip(".") for path, name, value in attributes if isinstance(value, Tensor)]
    return plain + [name for name, _ in generator.named_buffers() if name not in saved]


@check("latents")
def latents(subject: Subject) -> str:
    """Checks the prior, truncation and interpolation; a variant may refuse the last two in one line."""
    generator = subject.generator
    if generator.latent_dim == 0:
        raise CheckSkipped("the generator takes no latent")
    name, spec = qualified(generator), subject.image
    given = inputs_of(spec, smooth(spec, SAMPLES, 0))
    one, other = (generator.latent(SAMPLES, torch.Generator().manual_seed(seed)) for seed in (1, 1))
    if not torch.equal(one, other):
        raise CheckFailed(
            f"{name}.latent returns other latents for the same random generator: draw with `generator=random`."
        )
    if torch.equal(one, generator.latent(SAMPLES, torch.Generator().manual_seed(2))):
        raise CheckFailed(
            f"{name}.latent returns the same latents for another random generator: draw with `generator=random`."
        )
    start = sample_latents(generator, SAMPLES, 0)
    if generator.has_mapping:  # then styles are truncated and interpolated
        with torch.no_grad():
            start = generator.mapping(start, labels_of(spec, SAMPLES))
    notes = []
    for method, function in (
        ("truncate", lambda: generator.truncate(start, 0.7)),
        ("interpolate", lambda: generator.interpolate(start[:2], start[2:], 0.5)),
    ):
        try:
            latent = function()
        except UsageError as error:
            if "\n" in str(error):
                raise CheckFailed(f"{name}.{method} refuses in several lines: use one line.") from None
            notes.append(f"{method}: {error}")
            continue
        if latent.shape[1:] != start.shape[1:] or not torch.isfinite(latent).all():
            raise CheckFailed(
                f"{name}.{method} returned {tuple(latent.shape)} or values that are not finite: "
                f"return latents (N, {generator.latent_dim})."
            )
        with torch.no_grad():
            own = {one: value[: len(latent)] for one, value in given.items()}
            label = labels_of(spec, len(latent))
            images = generator.synthesis(latent, label, **select_inputs(generator, own))
        _require_samples(images, spec, len(latent), f"{name}.forward after {method}")
    _require_ends(name, generator, start)
    return " ".join(notes)


def _require_ends(name: str, generator: Generator, start: Tensor) -> None:
    """Requires that interpolation at t = 0 and 1 gives the two latents."""
    for t, goal in ((0.0, start[:2]), (1.0, start[2:])):
        try:
            found = generator.interpolate(start[:2], start[2:], t)
        except GanzooError:
            return
        if not torch.allclose(found, goal, atol=1e-3):
            raise CheckFailed(
                f"{name}.interpolate at t = {t:g} is not its {'end' if t else 'start'}: "
                "interpolation must begin and end at the given latents."
            )


@check("fast-path")
def fast_path(subject: Subject) -> str:
    """Compares samples of `Model`, which uses a copy with folded batch norm, with those of the generator."""
    model = model_of(subject)
    latent, label = sample_latents(model.generator, SAMPLES, 0), labels_of(subject.image, SAMPLES)
    given = select_inputs(model.generator, inputs_of(subject.image, smooth(subject.image, SAMPLES, 0)))
    found = model.generate(latent, label, **given)
    with torch.no_grad():
        expected = model.generator(latent, label, **given)
    gap = (found - expected).abs().max()
    if not gap <= TOLERANCE:
        raise CheckFailed(
            f"{qualified(model.generator)} generates other images through a copy of itself (by up to {gap:.2g}): "
            "its forward must be a function of its tensors and options, and copy.deepcopy must keep them."
        )
    from ganzoo.models.inference import faster_copy

    try:
        faster_copy(model.generator)
    except Exception as error:
        return f"batch norm cannot be folded ({type(error).__name__}), so the generator itself samples"
    return ""

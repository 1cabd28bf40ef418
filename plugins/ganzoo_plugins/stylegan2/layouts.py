"""The tensor names of rosinality/stylegan2-pytorch, and of the `state_dict` of NVlabs/stylegan2-ada-pytorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo import ImageSpec, Part, SampleSpec
from ganzoo.errors import CheckpointError
from ganzoo.layouts import Layout, Match, Shapes

from .discriminator import StyleGAN2Discriminator
from .generator import StyleGAN2Generator
from .layers import resampling_filter

VARIANTS = (
    "stylegan2",
    "stylegan2-ada",
    "stylegan2-ada-cifar",
    "stylegan2-ada-256",
    "stylegan2-ada-512",
    "stylegan2-ada-1024",
)
Network = StyleGAN2Generator | StyleGAN2Discriminator
LARGEST = 1024
WIDEST = 4096
LATENTS = 10_000
BATCH = 1_000
KERNEL = (4, 4)
LIMIT = 256.0


class Rosinality(Layout):
    """Its generators (`g`, `g_ema`) and discriminators, for RGB images without labels.

    The running mean of styles is `latent_avg` if it stands among the generator's tensors, else computed.
    """

    variants = VARIANTS
    summary = "rosinality/stylegan2-pytorch (g, g_ema and d), RGB without labels"

    def recognize(self, shapes: Shapes) -> Match | None:
        if "input.input" in shapes:
            return self._generator(shapes)
        return self._discriminator(shapes) if "final_conv.0.weight" in shapes else None

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        ours = network(match)
        names = theirs(ours)
        made = {
            name: tensors[names[name]].reshape(value.shape)
            for name, value in ours.state_dict().items()
            if name in names and names[name] in tensors
        }
        made["filter"] = resampling_filter()
        if match.role == "generator" and "mean_style" not in made:
            made["mean_style"] = mean_style(match, made)
        return made

    def _generator(self, shapes: Shapes) -> Match | None:
        count = sum(name.startswith("to_rgbs.") and name.endswith(".conv.weight") for name in shapes)
        layers = sum(bool(re.fullmatch(r"style\.\d{1,2}\.weight", name)) for name in shapes)
        first = shapes.get("style.1.weight", ())
        widths = [
            shapes["input.input"],
            *(shapes.get(f"convs.{2 * step + 1}.conv.weight", ()) for step in range(count)),
        ]
        if not layers or len(first) != 2 or len(widths[0]) != 4 or any(len(width) != 5 for width in widths[1:]):
            return None
        image, options = ImageSpec(4 << count, 3), widths_of([width[1] for width in widths])
        if options is None or not fits(image, layers):
            return None
        options = {"latent_dim": first[1], "style_dim": first[0], "mapping_layers": layers, **options}
        match = Match(Part("stylegan2", options), image)
        wanted, found = self._wanted(match), dict(shapes)
        average = found.pop("latent_avg", None)
        if found != wanted or (average is not None and average not in ((first[0],), (1, first[0]))):
            return None
        computed = (
            "" if average else f"The mean style is that of {LATENTS:,} latents of seed 0, for the file holds none. "
        )
        return Match(match.part, image, note=f"{computed}Images are clamped to [-1, 1] when sampling.")

    def _discriminator(self, shapes: Shapes) -> Match | None:
        count = sum(bool(re.fullmatch(r"convs\.\d{1,2}\.skip\.1\.weight", name)) for name in shapes)
        first, last = shapes.get("convs.0.0.weight", ()), shapes["final_conv.0.weight"]
        widths = [first, *(shapes.get(f"convs.{step + 1}.conv2.1.weight", ()) for step in range(count))]
        if any(len(width) != 4 for width in [*widths, last]):
            return None
        image, options = ImageSpec(4 << count, 3), widths_of([width[0] for width in widths][::-1])
        if options is None or not fits(image):
            return None
        match = Match(Part("stylegan2", options), image, role="discriminator")
        return match if dict(shapes) == self._wanted(match) else None

    def _wanted(self, match: Match) -> dict[str, tuple[int, ...]]:
        """Returns the names and shapes of their network."""
        ours, wanted = network(match), {}
        names = theirs(ours)
        for name, value in ours.state_dict().items():
            if name in ("mean_style", "filter"):
                continue
            wanted[names[name]] = their_shape(names[name], tuple(value.shape))
        return wanted | dict.fromkeys(their_kernels(ours), KERNEL)


class NVlabs(Layout):
    """`G`, `G_ema` and `D` of `training/networks.py` with its defaults: skip generators and residual discriminators.

    A `state_dict` says nothing of the limit on magnitudes: that of a published pickle is in the options it states.
    """

    variants: tuple[str, ...] = (*VARIANTS, "projected-gan-stylegan2")
    summary = "NVlabs/stylegan2-ada-pytorch, and StyleGAN2 in stylegan3 and projected-gan (.pkl, or a state_dict)"

    def recognize(self, shapes: Shapes) -> Match | None:
        if "synthesis.b4.const" in shapes:
            return self._generator(shapes)
        return self._discriminator(shapes) if "b4.conv.weight" in shapes else None

    def configured(self, match: Match, stated: Mapping[str, Any]) -> Match:
        options = stated.get("options")
        if not isinstance(options, dict):
            raise CheckpointError("the options of its network are no dictionary.")
        given = {**options, **_inner(options, "synthesis_kwargs")}
        limit = given.get("conv_clamp", LIMIT if _is_later(options) else None)
        known = _facts(match)
        for name, value in given.items():
            if name in known and value is not None and value != known[name]:
                raise CheckpointError(
                    f"it states {name} {ascii(value)[:60]}, and its tensors are those of {known[name]}."
                )
        if limit is not None and (type(limit) not in (int, float) or not 0 < limit < 1e9):
            raise CheckpointError(f"it states conv_clamp {ascii(limit)[:60]}, which must be a number above 0.")
        unread = sorted(set(given) - known.keys() - READ) + sorted(
            f"{name}.{key}" for name in INNER for key in _inner(options, name) if key not in READ
        )
        unread = [name for name in unread if name not in INNER]
        listed = ", ".join(ascii(name[:40])[1:-1] for name in unread[:10])
        more = (
            f" The file also states {listed}, which {'is' if len(unread) == 1 else 'are'} not read." if unread else ""
        )
        part = Part(match.part.name, {**match.part.options, **({} if limit is None else {"limit": float(limit)})})
        return Match(part, match.image, match.role, f"{match.note}{more}".strip())

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        ours = network(match)
        made = {
            name: tensors[official(name, ours)].reshape(value.shape)
            for name, value in ours.state_dict().items()
            if name != "filter"
        }
        return made | {"filter": resampling_filter()}

    def _generator(self, shapes: Shapes) -> Match | None:
        sizes = sorted(
            int(found[1]) for name in shapes if (found := re.fullmatch(r"synthesis\.b(\d{1,4})\.conv1\.weight", name))
        )
        widths = [shapes[f"synthesis.b{size}.conv1.weight"] for size in sizes]
        average = shapes.get("mapping.w_avg", ())
        layers = sum(bool(re.fullmatch(r"mapping\.fc\d{1,2}\.weight", name)) for name in shapes)
        first, image = shapes.get("mapping.fc0.weight", ()), shapes.get("synthesis.b4.torgb.bias", ())
        embedding = shapes.get("mapping.embed.weight", (0, 0))
        if (
            sizes != [4 << step for step in range(len(sizes))]
            or any(len(width) != 4 for width in widths)
            or (len(average), len(first), len(image), len(embedding)) != (1, 2, 1, 2)
        ):
            return None
        spec, options = ImageSpec(sizes[-1], image[0], embedding[1]), widths_of([width[0] for width in widths])
        latent = first[1] - embedding[0]
        if options is None or latent < 1 or not fits(spec, layers):
            return None
        options = {"latent_dim": latent, "style_dim": average[0], "mapping_layers": layers, **options}
        note = "Images are clamped to [-1, 1] when sampling."
        return self._exact(Match(Part("stylegan2", options), spec, note=note), shapes)

    def _discriminator(self, shapes: Shapes) -> Match | None:
        sizes = sorted(int(found[1]) for name in shapes if (found := re.fullmatch(r"b(\d{1,4})\.conv1\.weight", name)))
        if not sizes or sizes != [8 << step for step in range(len(sizes))]:
            return None
        widths = [
            shapes["b4.fc.bias"] if "b4.fc.bias" in shapes else (),
            *(shapes[f"b{size}.conv0.weight"] for size in sizes),
        ]
        read, last = shapes.get(f"b{sizes[-1]}.fromrgb.weight", ()), shapes["b4.conv.weight"]
        embedding = shapes.get("mapping.embed.weight", (0, 0))
        if any(not width for width in widths) or (len(read), len(last), len(embedding)) != (4, 4, 2):
            return None
        spec, options = ImageSpec(sizes[-1], read[1], embedding[1]), widths_of([width[0] for width in widths])
        if options is None or not fits(spec):
            return None
        plain = not any(name.endswith(".skip.weight") for name in shapes)
        options = {
            **options,
            "deviation_channels": max(0, last[1] - last[0]),
            "architecture": "plain" if plain else "residual",
        }
        return self._exact(Match(Part("stylegan2", options), spec, role="discriminator"), shapes)

    def _exact(self, match: Match, shapes: Shapes) -> Match | None:
        """Returns the match if its network accounts for every tensor."""
        ours = network(match)
        wanted = {
            official(name, ours): tuple(value.shape) for name, value in ours.state_dict().items() if name != "filter"
        }
        found = {name: shape for name, shape in shapes.items() if not name.endswith("resample_filter")}
        filters = [shape for name, shape in shapes.items() if name.endswith("resample_filter")]
        return match if found == wanted and all(shape == KERNEL for shape in filters) else None


class NVlabsDiscriminator(NVlabs):
    """`D` of NVlabs/stylegan3, whose generators are those of another plugin."""

    variants = ("stylegan3-t", "stylegan3-r")
    summary = "the discriminator of NVlabs/stylegan3 (.pkl, or a state_dict of D), which is that of StyleGAN2"

    def recognize(self, shapes: Shapes) -> Match | None:
        return self._discriminator(shapes) if "b4.conv.weight" in shapes else None


# Options that `configured` compares or takes, that follow from the tensors, or that change the precision alone.
READ = {"conv_clamp", "num_fp16_res", "channel_base", "channel_max", "num_layers", "architecture"}
READ |= {"mapping_kwargs", "synthesis_kwargs", "fused_modconv_default"}
INNER = ("mapping_kwargs", "epilogue_kwargs", "block_kwargs")


def _inner(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns options in options; CheckpointError if they are none."""
    inner = options.get(name)
    if inner is not None and not isinstance(inner, dict):
        raise CheckpointError(f"it states {name} {ascii(inner)[:60]}, which must be a dictionary.")
    return inner or {}


def _is_later(options: Mapping[str, Any]) -> bool:
    """Whether NVlabs/stylegan3 or projected-gan made it, whose networks limit magnitudes unless they say otherwise.

    The option of generators is none of the older code, whose discriminators always state their precision.
    """
    return "fused_modconv_default" in options or ("epilogue_kwargs" in options and "num_fp16_res" not in options)


def _facts(match: Match) -> dict[str, int]:
    """Returns the options of NVlabs' networks that the shapes determine."""
    facts = {"c_dim": match.image.classes, "img_resolution": match.image.size, "img_channels": match.image.channels}
    if match.role == "generator":
        facts |= {"z_dim": match.part.options["latent_dim"], "w_dim": match.part.options["style_dim"]}
    return facts


def fits(image: SampleSpec, layers: int = 1) -> bool:
    """Whether a network of these images and mapping layers is of a size that is built at all."""
    return 8 <= image.size <= LARGEST and 1 <= image.channels <= 4 and 1 <= layers <= 32 and image.classes <= 100_000


def widths_of(widths: list[int]) -> dict[str, Any] | None:
    """Returns the options that give these channels, from 4 pixels on; None if none do."""
    width = widths[0]
    if not 1 <= width <= WIDEST:
        return None
    narrower = next((step for step, one in enumerate(widths) if one < width), None)
    base = width * (4 << len(widths) - 1) if narrower is None else widths[narrower] * (4 << narrower)
    wanted = [min(base // (4 << step), width) for step in range(len(widths))]
    return {"channel_base": base, "width": width} if widths == wanted else None


def network(match: Match) -> Network:
    """Builds the network of a match on the meta device."""
    kind = StyleGAN2Generator if match.role == "generator" else StyleGAN2Discriminator
    with torch.device("meta"):
        return kind(match.image, **match.part.options)


def mean_style(match: Match, tensors: Mapping[str, Tensor]) -> Tensor:
    """Returns the mean of what the mapping makes of latents of a fixed seed, in float64, as `mean_latent` does."""
    mapping = StyleGAN2Generator(match.image, **match.part.options).map.double()
    start = "map."
    mapping.load_state_dict({name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)})
    random = torch.Generator("cpu").manual_seed(0)
    total = torch.zeros(match.part.options["style_dim"], dtype=torch.float64)
    with torch.no_grad():
        for _ in range(LATENTS // BATCH):
            latents = torch.randn(BATCH, match.part.options["latent_dim"], generator=random, dtype=torch.float32)
            total += mapping(latents.double()).sum(0)
    return (total / LATENTS).float()


# -- names -------------------------------------------------------------------------------------------------------------

LAYER = re.compile(r"layers\.(\d+)\.(.+)")
IMAGE = re.compile(r"to_images\.(\d+)\.(.+)")
BLOCK = re.compile(r"blocks\.(\d+)\.(from_image|first|second|skip)\.(weight|bias)")


def theirs(ours: Network) -> dict[str, str]:
    """Maps our names to those of rosinality."""
    name_of: Callable[[str], str] = _drawn if isinstance(ours, StyleGAN2Generator) else _judged
    return {name: name_of(name) for name in ours.state_dict() if name != "filter"}


def _drawn(name: str) -> str:
    inside = {
        "convolution.weight": "conv.weight",
        "convolution.style.weight": "conv.modulation.weight",
        "convolution.style.bias": "conv.modulation.bias",
        "noise_strength": "noise.weight",
    }
    if found := LAYER.fullmatch(name):
        number, part = int(found[1]), found[2]
        if part == "noise":
            return f"noises.noise_{number}"
        return f"{'conv1' if number == 0 else f'convs.{number - 1}'}.{inside.get(part, 'activate.bias')}"
    if found := IMAGE.fullmatch(name):
        number, part = int(found[1]), found[2]
        return f"{'to_rgb1' if number == 0 else f'to_rgbs.{number - 1}'}.{inside.get(part, 'bias')}"
    if found := re.fullmatch(r"map\.layers\.(\d+)\.(.+)", name):
        return f"style.{int(found[1]) + 1}.{found[2]}"
    return {"start": "input.input", "mean_style": "latent_avg"}[name]


def _judged(name: str) -> str:
    if found := BLOCK.fullmatch(name):
        block, layer, kind = int(found[1]) + 1, found[2], found[3]
        if layer == "from_image":
            return f"convs.0.{'0.weight' if kind == 'weight' else '1.bias'}"
        if layer == "skip":
            return f"convs.{block}.skip.1.{kind}"
        place = int(layer == "second")  # behind the blur
        return f"convs.{block}.conv{place + 1}.{place + (kind == 'bias')}.{kind}"
    return {
        "convolution.weight": "final_conv.0.weight",
        "convolution.bias": "final_conv.1.bias",
        "hidden.weight": "final_linear.0.weight",
        "hidden.bias": "final_linear.0.bias",
        "output.weight": "final_linear.1.weight",
        "output.bias": "final_linear.1.bias",
    }[name]


def their_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of a tensor of theirs, which may have axes of one more than ours."""
    if name == "input.input" or (name.endswith(".conv.weight") and len(shape) == 4):
        return (1, *shape)
    if name.startswith("noises."):
        return (1, 1, *shape)
    if name.endswith("noise.weight"):
        return (1,)
    return (1, *shape, 1, 1) if re.fullmatch(r"to_rgb.*\.bias", name) and "modulation" not in name else shape


def their_kernels(ours: Network) -> list[str]:
    """Returns the names of their copies of the filter."""
    if isinstance(ours, StyleGAN2Discriminator):
        return [f"convs.{step + 1}.{place}.0.kernel" for step in range(len(ours.blocks)) for place in ("conv2", "skip")]
    steps = range(len(ours.to_images) - 1)
    return [
        name for step in steps for name in (f"convs.{2 * step}.conv.blur.kernel", f"to_rgbs.{step}.upsample.kernel")
    ]


def official(name: str, ours: Network) -> str:
    """Returns NVlabs' name of one of our tensors."""
    if found := re.fullmatch(r"map\.(?:layers\.(\d+)|embedding)\.(weight|bias)", name):
        return f"mapping.{'embed' if found[1] is None else f'fc{found[1]}'}.{found[2]}"
    if isinstance(ours, StyleGAN2Discriminator):
        if found := BLOCK.fullmatch(name):
            size = 4 << len(ours.blocks) - int(found[1])
            layer = {"from_image": "fromrgb", "first": "conv0", "second": "conv1", "skip": "skip"}[found[2]]
            return f"b{size}.{layer}.{found[3]}"
        layer, _, kind = name.partition(".")
        return f"b4.{ {'convolution': 'conv', 'hidden': 'fc', 'output': 'out'}[layer] }.{kind}"
    inside = {
        "convolution.weight": "weight",
        "convolution.style.weight": "affine.weight",
        "convolution.style.bias": "affine.bias",
        "noise": "noise_const",
    }
    if found := LAYER.fullmatch(name):
        number = int(found[1])
        size, layer = 4 << (number + 1) // 2, "conv0" if number % 2 else "conv1"
        return f"synthesis.b{size}.{layer}.{inside.get(found[2], found[2])}"
    if found := IMAGE.fullmatch(name):
        return f"synthesis.b{4 << int(found[1])}.torgb.{inside.get(found[2], found[2])}"
    return {"start": "synthesis.b4.const", "mean_style": "mapping.w_avg"}[name]

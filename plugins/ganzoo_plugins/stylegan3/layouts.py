"""The tensor names of the generators of NVlabs/stylegan3, `training/networks_stylegan3.py`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo import ImageSpec, Part
from ganzoo.errors import CheckpointError
from ganzoo.layouts import Layout, Match, Shapes

from .generator import FIRST_CUTOFF, FIRST_STOPBAND, LAST_STOPBAND, MARGIN, OUTPUT_SCALE, StyleGAN3Generator
from .layers import OVERSAMPLING, TAPS

LAYER = re.compile(r"synthesis\.L(\d{1,2})_(\d{1,4})_(\d{1,4})\.weight")
CRITICAL = 2
LARGEST, WIDEST, MOST_LAYERS = 1024, 4096, 32
LIMIT = 256.0

# What `train.py` never changes and the networks here have as constants.
CONSTANTS = {
    "num_critical": CRITICAL,
    "first_cutoff": FIRST_CUTOFF,
    "first_stopband": FIRST_STOPBAND,
    "last_stopband_rel": LAST_STOPBAND,
    "margin_size": MARGIN,
    "output_scale": OUTPUT_SCALE,
    "filter_size": TAPS,
    "lrelu_upsampling": OVERSAMPLING,
}
# Options that follow from the tensors, or that training and precision alone have.
READ = {"conv_clamp", "num_fp16_res", "channel_base", "channel_max", "mapping_kwargs", "synthesis_kwargs"}
READ |= {"magnitude_ema_beta"}
READ_OF_MAPPING = {"num_layers", "w_avg_beta"}


class NVlabs3(Layout):
    """`G` and `G_ema` of `training/networks_stylegan3.py`, of the configurations stylegan3-t and stylegan3-r."""

    variants = ("stylegan3-t", "stylegan3-r")
    summary = "NVlabs/stylegan3 (.pkl, or a state_dict of G or G_ema)"

    def recognize(self, shapes: Shapes) -> Match | None:
        names = [found for name in shapes if (found := LAYER.fullmatch(name))]
        if not names:
            return None
        match = guess(shapes, names)
        if match is None or {name: tuple(shape) for name, shape in shapes.items()} != wanted(match):
            raise CheckpointError(
                f"it holds a generator of StyleGAN3 of up to {max(names, key=lambda one: int(one[1]))[2]} pixels "
                f"({len(shapes)} tensors), and no variant here has its layers: those of stylegan3-t, stylegan3-r and "
                "StyleGAN-XL are read, changed tables of layers are not."
            )
        return match

    def configured(self, match: Match, stated: Mapping[str, Any]) -> Match:
        options = stated.get("options")
        if not isinstance(options, dict):
            raise CheckpointError("the options of its network are no dictionary.")
        mapping, synthesis = (inner(options, name) for name in ("mapping_kwargs", "synthesis_kwargs"))
        return configured(match, {**options, **synthesis}, mapping)

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        ours = network(match)
        return {name: tensors[official(name, ours)] for name in ours.state_dict()}


def configured(match: Match, given: Mapping[str, Any], mapping: Mapping[str, Any]) -> Match:
    """Returns the match with the limit that a file states; CheckpointError if its options are of another network."""
    facts = CONSTANTS | facts_of(match)
    for name, value in given.items():
        if name in facts and value is not None and not same(value, facts[name]):
            raise CheckpointError(f"it states {name} {ascii(value)[:60]}, and its network here has {facts[name]}.")
    limit = given.get("conv_clamp", LIMIT)
    if limit is not None and (type(limit) not in (int, float) or not 0 < limit < 1e9):
        raise CheckpointError(f"it states conv_clamp {ascii(limit)[:60]}, which must be a number above 0.")
    unread = sorted(set(given) - facts.keys() - READ)
    unread += sorted(f"mapping_kwargs.{name}" for name in set(mapping) - READ_OF_MAPPING)
    listed = ", ".join(ascii(name[:40])[1:-1] for name in unread[:10])
    more = f" The file also states {listed}, not read here." if unread else ""
    part = Part(match.part.name, {**match.part.options, "limit": None if limit is None else float(limit)})
    return Match(part, match.image, match.role, f"{match.note}{more}".strip())


def inner(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns options in options; CheckpointError if they are none."""
    found = options.get(name)
    if found is not None and not isinstance(found, dict):
        raise CheckpointError(f"it states {name} {ascii(found)[:60]}, which must be a dictionary.")
    return found or {}


def same(value: Any, fact: float) -> bool:
    """Whether a stated number is that of the network here, up to rounding."""
    return isinstance(value, int | float) and math.isclose(value, fact, rel_tol=1e-6)


def facts_of(match: Match) -> dict[str, int]:
    """Returns the options of the official network that the shapes determine."""
    options = match.part.options
    return {
        "c_dim": match.image.classes,
        "img_resolution": match.image.size,
        "img_channels": match.image.channels,
        "z_dim": options["latent_dim"],
        "w_dim": options["style_dim"],
        "num_layers": options["layers"],
        "conv_kernel": options["kernel"],
        "use_radial_filters": options["radial"],
    }


def guess(shapes: Shapes, names: list[re.Match[str]]) -> Match | None:
    """Returns the match that the decisive names and shapes suggest."""
    by_layer = {int(found[1]): found for found in names}
    last = max(by_layer)
    if sorted(by_layer) != list(range(last + 1)) or not CRITICAL < last <= MOST_LAYERS:
        return None
    size, channels = (int(by_layer[last][place]) for place in (2, 3))
    widths = [int(by_layer[layer][3]) for layer in range(last)]
    first, average = shapes.get("mapping.fc0.weight", ()), shapes.get("mapping.w_avg", ())
    embedding = shapes.get("mapping.embed.weight", (0, 0))
    depth = sum(bool(re.fullmatch(r"mapping\.fc\d{1,2}\.weight", name)) for name in shapes)
    kernel = shapes[by_layer[0].string]
    if (
        (len(first), len(average), len(embedding), len(kernel)) != (2, 1, 2, 4)
        or kernel[-1] not in (1, 3)
        or not 16 <= size <= LARGEST
        or not 1 <= channels <= 4
        or not 1 <= depth <= MOST_LAYERS
        or embedding[1] > 100_000
        or first[1] <= embedding[0]
        or not all(1 <= width <= WIDEST for width in widths)
    ):
        return None
    cutoffs = [FIRST_CUTOFF * (size / 2 / FIRST_CUTOFF) ** min(layer / (last - CRITICAL), 1) for layer in range(last)]
    options = {
        "latent_dim": first[1] - embedding[0],
        "style_dim": average[0],
        "mapping_layers": depth,
        "channel_base": base_of(widths, cutoffs),
        "width": max(widths),
        "layers": last,
        "kernel": kernel[-1],
        "radial": is_radial(shapes),
        "limit": LIMIT,
    }
    note = "Images are clamped to [-1, 1] when sampling."
    return Match(Part("stylegan3", options), ImageSpec(size, channels, embedding[1]), note=note)


def is_radial(shapes: Shapes) -> bool:
    """Whether the filters of some layers are the same in every direction."""
    return any(name.endswith(".down_filter") and len(shape) == 2 for name, shape in shapes.items())


def base_of(widths: list[int], cutoffs: list[float]) -> int:
    """Returns a channel_base that gives layers of these cutoffs these widths, a power of two if one does."""
    width = max(widths)
    least, most = 1.0, math.inf
    for channels, cutoff in zip(widths, cutoffs, strict=True):
        least = max(least, (channels - 0.5) * 2 * cutoff)
        most = min(most, (channels + 0.5) * 2 * cutoff) if channels < width else most
    power = 2 ** math.ceil(math.log2(least))
    return power if power <= most else math.ceil(least)


def network(match: Match) -> StyleGAN3Generator:
    """Builds the network of a match on the meta device."""
    with torch.device("meta"):
        return StyleGAN3Generator(match.image, **match.part.options)


def wanted(match: Match) -> dict[str, tuple[int, ...]]:
    """Returns the names and shapes of the official network; empty if none has these options."""
    try:
        ours = network(match)
    except ValueError:
        return {}
    return {official(name, ours): tuple(value.shape) for name, value in ours.state_dict().items()}


def official(name: str, ours: StyleGAN3Generator, stem: int | None = None) -> str:
    """Returns the official name of one of our tensors; `stem` layers of StyleGAN-XL are before the first head."""
    if found := re.fullmatch(r"map\.(?:layers\.(\d+)|embedding)\.(weight|bias)", name):
        return f"mapping.{'embed' if found[1] is None else f'fc{found[1]}'}.{found[2]}"
    if name == "mean_style":
        return "mapping.w_avg"
    renamed = {"magnitude": "magnitude_ema", "up": "up_filter", "down": "down_filter", "frequencies": "freqs"}
    tensors = dict(ours.named_parameters())
    shift = int(stem is not None)  # heads count one place more
    if found := re.fullmatch(r"layers\.(\d+)\.(.+)", name):
        number, rest = int(found[1]), found[2]
        place = f"{ours.layers[number].size}_{len(tensors[f'layers.{number}.bias'])}"
        place = f"L{number if stem is None or number < stem else number + shift}_{place}"
    else:
        start, _, rest = name.partition(".")
        channels = len(tensors["to_image.bias"])
        place = f"L{len(ours.layers) + shift}_{ours.layers[-1].size}_{channels}" if start == "to_image" else "input"
    head, _, tail = rest.partition(".")
    return f"synthesis.{place}.{renamed.get(head, head)}" if head != "style" else f"synthesis.{place}.affine.{tail}"

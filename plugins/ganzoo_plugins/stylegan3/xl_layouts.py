"""The tensor names of autonomousvision/stylegan-xl, `training/networks_stylegan3_resetting.py`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganzoo import ImageSpec, Part
from ganzoo.errors import CheckpointError
from ganzoo.layouts import Layout, Match, Shapes

from .generator import Step, StyleGAN3Generator, steps
from .layouts import (
    CRITICAL,
    LARGEST,
    LAYER,
    LIMIT,
    MOST_LAYERS,
    WIDEST,
    base_of,
    configured,
    inner,
    is_radial,
    network,
    official,
)

EMBEDDING, PROJECTION, AVERAGE = "mapping.embed.weight", "mapping.embed_proj.weight", "mapping.w_avg"
FACTORS, MOST_HEADS, MOST_CHAINS, MOST_STEPS = (2, 4, 8, 16), 6, 4, 3_000
READ = ("path_stem", "head_layers", "up_factor", "mapping_kwargs")
RENAMED = {"map.embedding.weight": EMBEDDING, "map.project.weight": PROJECTION}
RENAMED |= {"map.project.bias": "mapping.embed_proj.bias"}


class StyleGANXL(Layout):
    """`G` and `G_ema` of stems and of generators with heads, with or without labels."""

    variants = ("stylegan3-t", "stylegan3-r")
    summary = "autonomousvision/stylegan-xl: stems and generators with heads (.pkl, or a state_dict of G or G_ema)"

    def recognize(self, shapes: Shapes) -> Match | None:
        names = [found for name in shapes if (found := LAYER.fullmatch(name))]
        if not names or EMBEDDING not in shapes or "mapping.embed.bias" in shapes:
            return None
        for match in guesses(shapes, names):
            if found_in(shapes, match) == wanted(match):
                return match
        raise CheckpointError(
            f"it holds a generator of StyleGAN-XL ({len(shapes)} tensors) whose layers are not those of a stem, or of "
            "a stem with heads, as its train.py makes them."
        )

    def configured(self, match: Match, stated: Mapping[str, Any]) -> Match:
        options, parts = stated.get("options"), stated.get("parts", {})
        if not isinstance(options, dict) or not isinstance(parts, dict):
            raise CheckpointError("the options of its network are no dictionary.")
        mapping = {**inner(options, "mapping_kwargs"), **inner(parts, "mapping")}
        given = {**inner(parts, "synthesis"), **inner(options, "synthesis_kwargs"), **options}
        for name in READ:  # what is made of the last head's options shows in the layers
            given.pop(name, None)
        for name in ("z_dim", "c_dim", "w_dim"):
            given.setdefault(name, mapping.pop(name, None))
        for name in ("z_dim", "c_dim", "w_dim", "num_ws", "rand_embedding"):
            mapping.pop(name, None)
        found = configured(match, given, mapping)
        if match.part.options["head_layers"] and found.part.options["limit"] != LIMIT:
            raise CheckpointError(
                f"its stem limits features to {found.part.options['limit']} and its heads to {LIMIT:g}: a generator "
                "here has one limit."
            )
        return found

    def convert(self, tensors: Mapping[str, Tensor], match: Match) -> dict[str, Tensor]:
        made = {name: tensors[theirs] for name, theirs in named(network(match), match).items()}
        if "map.embedding.weight" in made:  # of the 1,000 classes of ImageNet, whichever were trained on
            made["map.embedding.weight"] = made["map.embedding.weight"][: match.image.classes].clone()
        return made


@dataclass(frozen=True)
class Chain:
    """A stem of `layers` for images of `size` pixels, and its heads."""

    size: int
    layers: int
    factors: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()

    @property
    def reached(self) -> int:
        """The size of the images that it makes."""
        return self.size * math.prod(self.factors)

    def with_head(self, factor: int, count: int) -> Chain:
        """Returns the chain with a further head."""
        return Chain(self.size, self.layers, (*self.factors, factor), (*self.heads, count))


def guesses(shapes: Shapes, names: list[re.Match[str]]) -> Iterator[Match]:
    """Yields matches that the decisive names and shapes suggest."""
    by_layer = {int(found[1]): found for found in names}
    *layers, last = [by_layer[number] for number in sorted(by_layer)]
    sizes, widths = ([int(found[place]) for found in layers] for place in (2, 3))
    size, channels = int(last[2]), int(last[3])
    first, average = shapes.get("mapping.fc0.weight", ()), shapes.get(AVERAGE, ())
    table, kernel = shapes[EMBEDDING], shapes[last.string if not layers else layers[0].string]
    by_class = PROJECTION in shapes
    depth = sum(bool(re.fullmatch(r"mapping\.fc\d{1,2}\.weight", name)) for name in shapes)
    if (
        (len(first), len(average), len(table), len(kernel)) != (2, 1 + by_class, 2, 4)
        or kernel[-1] not in (1, 3)
        or not 16 <= size <= LARGEST
        or not 1 <= channels <= 4
        or not 1 <= depth <= MOST_LAYERS
        or (by_class and not 1 <= average[0] <= table[0] <= 100_000)
        or not 1 <= table[1] <= WIDEST
        or not widths
        or not all(1 <= width <= WIDEST for width in widths)
    ):
        return
    image = ImageSpec(size, channels, average[0] if by_class else 0)
    for chain in chains(sorted(by_layer), sizes, size):
        options = {
            "latent_dim": first[1] // (1 + by_class),
            "style_dim": average[-1],
            "mapping_layers": depth,
            "channel_base": base_of(widths, [step.after.cutoff for step in planned(chain)]),
            "width": max(widths),
            "layers": chain.layers,
            "kernel": kernel[-1],
            "radial": is_radial(shapes),
            "limit": LIMIT,
            "class_features": table[1] if by_class else 0,
            "head_factors": chain.factors,
            "head_layers": chain.heads,
        }
        yield Match(Part("stylegan3", options), image, note="Images are clamped to [-1, 1] when sampling.")


def chains(numbers: list[int], sizes: list[int], size: int) -> Iterator[Chain]:
    """Yields stems and heads whose layers have these sizes, those with equal heads first.

    A head numbers its layers from one more than those that are left of what it enlarges: the first leaves a gap.
    """
    last = numbers[-1]
    gap = next((number for number in range(last) if number not in numbers), None)
    if gap is None:
        if CRITICAL < last <= MOST_LAYERS:
            yield Chain(size, last)
        return
    if numbers != [*range(gap), *range(gap + 1, last + 1)] or not 1 <= gap <= MOST_LAYERS:
        return
    stems = [Chain(16 << step, gap + CRITICAL) for step in range(7) if 16 << step < size]
    equal = [one for stem in stems for one in repeated(stem, len(sizes), size)]
    tried = 0
    for chain in (*equal, *longer(stems, sizes, size)):
        if tried < MOST_CHAINS and [step.after.size for step in planned(chain)] == sizes:
            tried += 1
            yield chain


def repeated(stem: Chain, layers: int, size: int) -> Iterator[Chain]:
    """Yields the chains of equal heads that have so many layers."""
    for factor in FACTORS:
        count = round(math.log(size / stem.size, factor))
        heads, rest = divmod(layers - stem.layers, count) if count else (0, 1)
        if stem.size * factor**count == size and not rest and 0 < heads:
            yield Chain(stem.size, stem.layers, (factor,) * count, (heads + CRITICAL,) * count)


def longer(waiting: list[Chain], sizes: list[int], size: int) -> Iterator[Chain]:
    """Yields chains of any heads, of which all but the last have the sizes of the first layers."""
    for _ in range(MOST_STEPS):
        if not waiting:
            return
        chain = waiting.pop()
        found = [step.after.size for step in planned(chain) if not step.critical]
        left = len(sizes) - len(found)
        if found != sizes[: len(found)] or left <= CRITICAL or len(chain.heads) == MOST_HEADS:
            continue
        for factor in FACTORS:
            if chain.reached * factor == size:
                yield chain.with_head(factor, left)
            elif chain.reached * factor < size:
                waiting += [chain.with_head(factor, count) for count in range(CRITICAL + 1, left)]


def planned(chain: Chain) -> list[Step]:
    """Returns the layers of a chain, of one channel each."""
    return steps(chain.reached, chain.layers, CRITICAL, 2**40, 1, chain.factors, chain.heads)


def named(ours: StyleGAN3Generator, match: Match) -> dict[str, str]:
    """Returns the official names of our tensors."""
    heads = match.part.options["head_layers"]
    stem = match.part.options["layers"] - CRITICAL if heads else None
    return {name: RENAMED.get(name) or official(name, ours, stem) for name in ours.state_dict()}


def wanted(match: Match) -> dict[str, tuple[int, ...]]:
    """Returns the names and shapes of the official network; empty if none has these options."""
    try:
        ours = network(match)
    except ValueError:
        return {}
    state = ours.state_dict()
    return {theirs: tuple(state[name].shape) for name, theirs in named(ours, match).items()}


def found_in(shapes: Shapes, match: Match) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a file as its network here has them: of the embedding, the classes that it knows."""
    found = {name: tuple(shape) for name, shape in shapes.items()}
    table = found.pop(EMBEDDING)
    return found | ({EMBEDDING: (match.image.classes, *table[1:])} if match.part.options["class_features"] else {})

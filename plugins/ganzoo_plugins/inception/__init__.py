"""The extractors of published scores: Inception-v3 as FID uses it, and CLIP; networks and resizing of torch-fidelity.

Both need the extra `inception`. Their weights are downloaded once, or read from the files that
$GANZOO_INCEPTION_WEIGHTS and $GANZOO_CLIP_WEIGHTS name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo import Register, hookimpl

if TYPE_CHECKING:
    from ganzoo_plugins.inception.model import Inception, Published


@hookimpl
def register_extractors(register: Register) -> None:
    register("inception", inception)
    register("clip-vit-b-32", clip)


def inception() -> Inception:
    """2048 features and 1008 classes, for images of any size in grey or RGB: `frechet[inception]` is FID."""
    from ganzoo_plugins.inception.model import INCEPTION, Inception

    return Inception.of(INCEPTION)


def clip() -> Published:
    """512 features of OpenAI's CLIP ViT-B/32, for images of any size in grey or RGB."""
    from ganzoo_plugins.inception.model import CLIP, Published

    return Published.of(CLIP)

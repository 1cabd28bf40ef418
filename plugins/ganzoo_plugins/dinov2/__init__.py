"""The extractors `dinov2-vit-s-14` and `dinov2-vit-l-14`: DINOv2 (Oquab et al. 2023), as in Stein et al. 2023.

Both need the extra `dinov2`. Their weights are downloaded once, or read from the files that
$GANZOO_DINOV2_SMALL_WEIGHTS and $GANZOO_DINOV2_LARGE_WEIGHTS name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo import Register, hookimpl

if TYPE_CHECKING:
    from ganzoo_plugins.dinov2.model import DINOv2


@hookimpl
def register_extractors(register: Register) -> None:
    register("dinov2-vit-s-14", small)
    register("dinov2-vit-l-14", large)


def small() -> DINOv2:
    """384 features of DINOv2 ViT-S/14, for images of any size in grey or RGB."""
    from ganzoo_plugins.dinov2.model import DINOv2
    from ganzoo_plugins.dinov2.weights import SMALL

    return DINOv2.of(SMALL)


def large() -> DINOv2:
    """1024 features of DINOv2 ViT-L/14, for images of any size in grey or RGB.

    `frechet[dinov2-vit-l-14]` is the FD of Stein et al. 2023.
    """
    from ganzoo_plugins.dinov2.model import DINOv2
    from ganzoo_plugins.dinov2.weights import LARGE

    return DINOv2.of(LARGE)

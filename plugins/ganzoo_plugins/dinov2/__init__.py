"""The extractors `dinov2-vit-s-14` and `dinov2-vit-l-14`: DINOv2 (Oquab et al. 2023), by which Stein et al. 2023 measure.

Both need the extra `dinov2`, and weights that are fetched once, or named by $GANZOO_DINOV2_SMALL_WEIGHTS and $GANZOO_DINOV2_LARGE_WEIGHTS.
"""

from ganzoo import hookimpl


@hookimpl
def register_extractors(register):
    register("dinov2-vit-s-14", small)
    register("dinov2-vit-l-14", large)


def small():
    """384 features of DINOv2 ViT-S/14, for images of any size in grey or RGB."""
    from ganzoo_plugins.dinov2.model import DINOv2
    from ganzoo_plugins.dinov2.weights import SMALL

    return DINOv2.of(SMALL)


def large():
    """1024 features of DINOv2 ViT-L/14, for images of any size in grey or RGB: `frechet[dinov2-vit-l-14]` is Stein et al.'s FD."""
    from ganzoo_plugins.dinov2.model import DINOv2
    from ganzoo_plugins.dinov2.weights import LARGE

    return DINOv2.of(LARGE)

"""The extractors of published scores: Inception-v3 as FID uses it, and CLIP. The networks and their resizing are torch-fidelity's.

Both need the extra `inception`, and weights that are fetched once, or named by $GANZOO_INCEPTION_WEIGHTS and $GANZOO_CLIP_WEIGHTS.
"""

from ganzoo import hookimpl


@hookimpl
def register_extractors(register):
    register("inception", inception)
    register("clip-vit-b-32", clip)


def inception():
    """2048 features and 1008 classes, for images of any size in grey or RGB: `frechet[inception]` is what papers call FID."""
    from ganzoo_plugins.inception.model import INCEPTION, Inception

    return Inception.of(INCEPTION)


def clip():
    """512 features of OpenAI's CLIP ViT-B/32, for images of any size in grey or RGB."""
    from ganzoo_plugins.inception.model import CLIP, Published

    return Published.of(CLIP)

"""The extractor `fashion-cnn`: a small classifier of Fashion-MNIST, embedded, so that metrics work offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo import Register, hookimpl

if TYPE_CHECKING:
    from ganzoo_plugins.fashion_cnn.model import FashionCNN


@hookimpl
def register_extractors(register: Register) -> None:
    register("fashion-cnn", fashion_cnn)


def fashion_cnn() -> FashionCNN:
    """128 features and ten classes of clothes, for images of any size in grey or RGB."""
    from ganzoo_plugins.fashion_cnn.model import FashionCNN

    return FashionCNN.pretrained()

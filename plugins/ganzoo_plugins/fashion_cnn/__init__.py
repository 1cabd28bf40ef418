"""The extractors `fashion-cnn` and `fashion-cnn-native`, small classifiers of Fashion-MNIST that work offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo import Register, hookimpl

if TYPE_CHECKING:
    from ganzoo_plugins.fashion_cnn.model import FashionCNN
    from ganzoo_plugins.fashion_cnn.native import NativeFashionCNN


@hookimpl
def register_extractors(register: Register) -> None:
    register("fashion-cnn", fashion_cnn)
    register("fashion-cnn-native", fashion_cnn_native)


def fashion_cnn() -> FashionCNN:
    """128 features and ten classes of clothes, for images of any size in grey or RGB."""
    from ganzoo_plugins.fashion_cnn.model import FashionCNN

    return FashionCNN.pretrained()


def fashion_cnn_native() -> NativeFashionCNN:
    """128 features and ten classes of clothes, of images at their own size: single pixels count."""
    from ganzoo_plugins.fashion_cnn.native import NativeFashionCNN

    return NativeFashionCNN.pretrained()

"""The extractor `fashion-cnn`: a small classifier of Fashion-MNIST, embedded, so that drawings can be measured without a network."""

from ganzoo import hookimpl


@hookimpl
def register_extractors(register):
    register("fashion-cnn", fashion_cnn)


def fashion_cnn():
    """128 features and ten classes of clothes, for images of any size in grey or RGB."""
    from ganzoo_plugins.fashion_cnn.model import FashionCNN

    return FashionCNN.pretrained()

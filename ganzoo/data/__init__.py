"""Images for training and for measuring: from any source, prepared once, then minibatches as a pure function.

`load_images` turns a source into `ImageData`, `Batches` cuts it into minibatches. A plugin's data set factory
returns an `ArraySource`, an `EncodedSource` or a `HubSource`."""

from ganzoo.data.sources import ArraySource, EncodedSource, HubSource, ImageData

__all__ = ["ArraySource", "Batches", "EncodedSource", "HubSource", "ImageData", "load_images", "read_idx"]


def __getattr__(name: str):
    """Imports torch, numpy and Pillow only when a name that needs them is asked for."""
    if name == "Batches":
        from ganzoo.data.batches import Batches as found
    elif name == "load_images":
        from ganzoo.data.load import load_images as found
    elif name == "read_idx":
        from ganzoo.data.arrays import read_idx as found
    else:
        raise AttributeError(f"module 'ganzoo.data' has no attribute {name!r}")
    return found

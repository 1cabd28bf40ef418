"""`ganzoo.dataset`: prepared images as a data set of torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from ganzoo.api.inputs import check_values, data_name
from ganzoo.api.public import public
from ganzoo.data.decode import rectangle
from ganzoo.data.load import load_images
from ganzoo.data.resolve import with_split
from ganzoo.data.torch_dataset import ImageDataset
from ganzoo.errors import UsageError
from ganzoo.files.output_checks import path_of
from ganzoo.files.text import quoted
from ganzoo.registry.registry import registry

if TYPE_CHECKING:
    from ganzoo.api.inputs import Images


@public
def dataset(
    source: Images,
    *,
    image_size: int | tuple[int, int],
    channels: int | None = None,
    split: str | None = None,
    data_root: str | os.PathLike[str] | None = None,
    on_bad_image: Literal["error", "skip"] = "error",
) -> ImageDataset:
    """Prepares images as a `torch.utils.data.Dataset`, as a training sees them, for loops and loaders of your own.

    Args:
        source: as `data` of `ganzoo.train`.
        image_size: in pixels, or (height, width).
        channels: 1 grey, 3 colour, 4 colour with transparency; None as the images are.
        split: of the source, such as "test".
        data_root: the folder with the files of registered data sets.
        on_bad_image: "skip" leaves out unreadable images.

    Raises:
        UsageError: if there is no such source.
        DataError: if its images cannot be read.
    """
    check_values(image_size=image_size, channels=channels, on_bad_image=on_bad_image)
    if image_size is None:
        raise UsageError("image_size is in pixels, or (height, width), not None.")
    if split is not None and not isinstance(split, str):
        raise UsageError(f"split is a name such as 'test', not {quoted(split)}.")
    name = with_split(data_name(source), split)
    found = load_images(
        name,
        size=rectangle(image_size),
        channels=channels,
        datasets=registry().table("datasets"),
        root=None if data_root is None else path_of("data_root", data_root),
        on_bad_image=on_bad_image,
    )
    return ImageDataset(found, name if data_root is None else None)

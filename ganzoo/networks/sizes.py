"""Image sizes that repeated doubling or halving reaches, and sources of the output's size."""

from __future__ import annotations

from ganzoo.variant import SampleSpec


def doublings(size: int, *starts: int, least: int = 1) -> tuple[int, int]:
    """Returns (start, n) with size = start · 2ⁿ and n at least `least`, for the first of `starts` that has one.

    ValueError that lists the possible sizes if none has one.
    """
    for start in starts:
        count = (size // start).bit_length() - 1
        if count >= least and start << count == size:
            return start, count
    known = (", ".join(str(start << count) for count in range(least, least + 4)) for start in starts)
    raise ValueError(f"the image size must be {' ... or '.join(known)} ... pixels, not {size}")


def rectangle_doublings(height: int, width: int, start: int = 4, least: int = 2) -> tuple[tuple[int, int], int]:
    """Returns ((h, w), n) with height = h · 2ⁿ and width = w · 2ⁿ, h and w at least `start`, for the largest such n.

    ValueError if n is less than `least`.
    """
    count = (min(height, width) // start).bit_length() - 1
    while count >= least and (height % (1 << count) or width % (1 << count)):
        count -= 1
    unit = start << least
    if count < least or height % unit or width % unit:
        known = ", ".join(str(unit * times) for times in range(1, 9))
        came = str(width) if height == width else f"{height} x {width}"
        raise ValueError(f"height and width must be {known} ... pixels, not {came}")
    return (height >> count, width >> count), count


def halvings(size: int, end: int = 4, least: int = 2) -> list[int]:
    """Returns the sizes from `end` to `size`, each half of the next, rounded up: 4, 7, 14, 28.

    ValueError if halving misses `end` or takes fewer than `least` steps.
    """
    sizes = [size]
    while sizes[0] > end:
        sizes.insert(0, (sizes[0] + 1) // 2)
    if sizes[0] != end or len(sizes) <= least:
        raise ValueError(f"the image size must end at {end} pixels after {least} or more halvings, not {size}")
    return sizes


def source_channels(image: SampleSpec, multiple: int = 1, *, enlarges: bool = False) -> int:
    """Returns the channels of the source image that a translator gets.

    ValueError unless the data has a source of the output's height and width, and these are multiples of `multiple`. A
    network that `enlarges` its source also takes one that is smaller by a whole factor.
    """
    source = image.inputs.get("source")
    if source is None:
        raise ValueError("it translates a source image, and the data has none (--source gives one)")
    height, width = source.shape[1:] if source.kind == "image" else (0, 0)
    factor = image.height // max(height, 1) if enlarges else 1
    if (factor * height, factor * width) != (image.height, image.width):
        shape = " x ".join(map(str, source.shape))
        raise ValueError(f"it needs sources of {image.height} x {image.width} pixels like the output, not {shape}")
    if image.height % multiple or image.width % multiple:
        raise ValueError(f"sides must be multiples of {multiple} pixels, not {image.height} x {image.width}")
    return source.shape[0]

"""What the tests of upscalers share: specifications of outputs with smaller sources."""

from __future__ import annotations

from ganzoo import Field, SampleSpec


def enlarging(factor: int, size: int | tuple[int, int], *, source: int = 3, output: int = 3) -> SampleSpec:
    """Outputs `factor` times as large as their sources, which have this size (height, width)."""
    height, width = (size, size) if isinstance(size, int) else size
    return SampleSpec(Field((output, factor * height, factor * width)), {"source": Field((source, height, width))})

"""What a notebook shows of a model: its `repr`, and a small row of samples where these take no time."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable

from torch import Tensor, nn

from ganzoo.errors import GanzooError
from ganzoo.variant import SampleSpec

SAMPLES = 8
LARGEST_SIDE = 128
MOST_WEIGHTS = 20_000_000  # a larger generator may take seconds for a row


def samples_png(image: SampleSpec, generator: nn.Module, draw: Callable[[int], Tensor]) -> bytes | None:
    """Returns the first samples of seed 0 as PNG; None for generators that need a source, draw no images or are large.

    `draw` returns so many samples (N, C, H, W) of the generator, of which `image` is the specification. Nothing
    is raised: a notebook would show the traceback in place of the model.
    """
    if image.output.kind != "image" or image.sources or max(image.output.shape[1:]) > LARGEST_SIDE:
        return None
    if sum(weights.numel() for weights in generator.parameters()) > MOST_WEIGHTS:
        return None
    try:
        from ganzoo.files.pictures import grid

        picture = grid(draw(SAMPLES), SAMPLES)
    except (ImportError, GanzooError, RuntimeError):
        return None
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def with_text(text: str, png: bytes | None) -> str | None:
    """Returns HTML of a text with the picture below it; None without a picture."""
    if png is None:
        return None
    data = base64.b64encode(png).decode("ascii")
    return f'<pre>{html.escape(text)}</pre><img alt="samples" src="data:image/png;base64,{data}">'

"""Measures of drawings against real images, over the features of any extractor: torch alone, float64, no hidden randomness.

`score` streams a model through an extractor and calls metrics; the functions behind these take plain tensors. No number is
reported without its extractor: `named("frechet", "fashion-cnn")` is "frechet[fashion-cnn]".
"""

from ganzoo.metrics.classes import class_histogram, code_agreement, divergence, modes_present
from ganzoo.metrics.frechet import frechet_distance
from ganzoo.metrics.inception_score import class_score
from ganzoo.metrics.kid import kernel_distance
from ganzoo.metrics.moments import Moments
from ganzoo.metrics.precision_recall import neighbour_scores

__all__ = ["Moments", "class_histogram", "class_score", "code_agreement", "divergence", "frechet_distance"]
__all__ += ["kernel_distance", "modes_present", "named", "neighbour_scores"]


def named(metric: str, extractor: str) -> str:
    """The name under which a number may be shown: what was measured, and through whose eyes."""
    return f"{metric}[{extractor}]"

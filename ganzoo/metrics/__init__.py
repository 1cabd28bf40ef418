"""Compares samples with real images by the features of any extractor, in float64 and without hidden randomness.

`ganzoo.metrics.score.score` streams a model through an extractor and calls metrics; the modules of single metrics have
functions of plain tensors, such as `ganzoo.metrics.frechet.frechet_distance`.
"""


def named(metric: str, extractor: str) -> str:
    """Returns the full name of a number, such as "frechet[fashion-cnn]": no number goes without its extractor."""
    return f"{metric}[{extractor}]"

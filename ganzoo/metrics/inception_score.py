"""Computes the inception score, with the class probabilities of any classifier."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.metrics.moments import as_features


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Returns mean and population deviation over splits of exp(E KL(p(y|x) ‖ p(y))), for logits (N, K).

    Salimans et al. 2016, section 4. From 1 (all images classified alike, or no class certain) to K. The splits are
    consecutive, as in the authors' code. Scores of different classifiers do not compare, which is why the extractor is
    part of the name.
    """
    logits = as_features(logits)
    if not 1 <= splits <= len(logits):
        raise UsageError(f"{len(logits)} images cannot be cut into {splits} splits.")
    bounds = [len(logits) * number // splits for number in range(splits + 1)]
    scores = torch.stack([split_score(logits[start:end]) for start, end in zip(bounds, bounds[1:], strict=False)])
    return float(scores.mean()), float(scores.std(correction=0))


def split_score(logits: Tensor) -> Tensor:
    log_given = logits.log_softmax(1)
    given = log_given.exp()
    marginal = given.mean(0)
    return ((given * log_given).sum(1).mean() - torch.special.xlogy(marginal, marginal).sum()).exp()

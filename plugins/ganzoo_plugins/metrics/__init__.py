"""The built-in metrics, functions of the features of real images and of samples; the extractor `random-cnn`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ganzoo import Register, hookimpl

if TYPE_CHECKING:
    from torch import Generator

    from ganzoo_plugins.metrics.random_cnn import RandomCNN

# Subsets and splits of the papers' size need this many images; of fewer, the largest possible are taken.
SUBSET, SPLITS, LEAST_SHARE = 1000, 10, 0.1
# Which numbers are better when they are lower, of metrics that give several.
SHARES = dict.fromkeys(("precision", "recall", "density", "coverage"), False)
CLASSES = {
    "class-divergence": True,
    **dict.fromkeys(("modes", "modes-tenth", "code-agreement", "label-agreement"), False),
}


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("frechet", frechet)
    register("kid", kid)
    register("precision-recall", precision_recall)
    register("inception-score", inception_score)
    register("classes", classes)


@hookimpl
def register_extractors(register: Register) -> None:
    register("random-cnn", build_random_cnn)


def build_random_cnn() -> RandomCNN:
    """256 features of a network with fixed random weights, for images of any size in grey or RGB; no classes."""
    from ganzoo_plugins.metrics.random_cnn import RandomCNN

    return RandomCNN()


def needing(
    *needs: str, least: int = 1, lower_is_better: bool | dict[str, bool]
) -> Callable[[Callable[..., Any]], Any]:
    """States the needs of a metric beside moments, the least number of images, and which numbers are better."""

    def state(metric: Any) -> Any:
        metric.needs, metric.least, metric.lower_is_better = needs, least, lower_is_better
        return metric

    return state


@needing(least=2, lower_is_better=True)  # images of which there is a covariance
def frechet(real: Any, fake: Any, random: Generator) -> float:
    """Computes the Fréchet distance (Heusel et al. 2017); 0 is best. FID with the extractor `inception`."""
    from ganzoo.metrics.frechet import frechet_distance

    return frechet_distance(_smaller(real), _smaller(fake))


def _smaller(found: Any) -> Any:
    """Returns the features if they are no more than dimensions, whose distance is far cheaper, else the moments."""
    few = found.features is not None and found.moments.count <= found.moments.dimensions
    return found.features if few else found.moments


@needing("features", least=2, lower_is_better={"kid": True})
def kid(real: Any, fake: Any, random: Generator) -> dict[str, float]:
    """Computes the kernel inception distance (Bińkowski et al.

    2018), mean and deviation over 100 subsets; 0 is best.
    """
    from ganzoo.metrics.kid import kid

    size = min(SUBSET, len(real.features), len(fake.features))
    mean, deviation = kid(real.features, fake.features, random, subset_size=size)
    return {"kid": mean, "kid-deviation": deviation}


@needing("features", least=6, lower_is_better=SHARES)  # images of which each has a fifth nearest neighbour
def precision_recall(real: Any, fake: Any, random: Generator) -> dict[str, float]:
    """Computes precision and recall (Kynkäänniemi et al. 2019, k = 3), density and coverage (Naeem et al.

    2020, k = 5).
    """
    from ganzoo.metrics.precision_recall import precision_recall

    return precision_recall(real.features, fake.features)


@needing("logits", lower_is_better={"inception-score": False})
def inception_score(real: Any, fake: Any, random: Generator) -> dict[str, float]:
    """Computes the inception score (Salimans et al.

    2016) of this classifier over 10 splits, from 1 to the number of classes.
    """
    from ganzoo.metrics.inception_score import inception_score

    mean, deviation = inception_score(fake.logits, min(SPLITS, len(fake.logits)))
    return {"inception-score": mean, "inception-score-deviation": deviation}


@needing("logits", lower_is_better=CLASSES)
def classes(real: Any, fake: Any, random: Generator) -> dict[str, float]:
    """Counts the classes among samples, those with a tenth of their real share, and KL(fake ‖ real) of the shares.

    A generator with categorical codes also has `code-agreement`, how well its best code predicts the class; one whose
    classes are the classifier's has `label-agreement`, the share of samples that are classified as requested.
    """
    from ganzoo.metrics.classes import class_histogram, divergence, modes_present

    fakes, reals = class_histogram(fake.logits), class_histogram(real.logits)
    return {
        "modes": modes_present(fakes, reals),
        "modes-tenth": modes_present(fakes, reals, LEAST_SHARE),
        "class-divergence": divergence(fakes, reals),
        **_agreements(fake),
    }


def _agreements(fake: Any) -> dict[str, float]:
    from ganzoo.metrics.classes import code_agreement

    found: dict[str, float] = {}
    count, classes = fake.logits.shape[1], fake.logits.argmax(1)
    if fake.codes is not None:
        agreements = (code_agreement(code, classes, int(code.max()) + 1, count) for code in fake.codes.T)
        found["code-agreement"] = max(agreement.accuracy for agreement in agreements)
    if fake.labels is not None:
        found["label-agreement"] = float((classes == fake.labels).double().mean())
    return found

"""`ganzoo.evaluate`: the numbers of a model, or of images, against reference images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.api.inputs import check_values, data_name, names_of
from ganzoo.api.public import public
from ganzoo.api.runs import Run
from ganzoo.data.load import load_images
from ganzoo.errors import UsageError
from ganzoo.files.output_checks import path_of
from ganzoo.files.text import quoted
from ganzoo.metrics.features import load_extractor
from ganzoo.metrics.image_sets import chosen_extractor, score_sets
from ganzoo.metrics.score import score
from ganzoo.metrics.translations import score_model
from ganzoo.models.model import Model
from ganzoo.registry.registry import registry

if TYPE_CHECKING:
    from ganzoo.api.inputs import Images

USUAL = ("frechet", "kid", "precision-recall")


@public
def evaluate(
    images: Model | Run | Images,
    *,
    reference: Images,
    metrics: str | Sequence[str] = (),
    extractor: str | None = None,
    count: int = 10_000,
    seed: int = 0,
    image_size: int | None = None,
    channels: int | None = None,
    source: Images | None = None,
    data_root: str | os.PathLike[str] | None = None,
) -> dict[str, float]:
    """Scores a model, or images, against reference images; returns {"frechet[fashion-cnn]": number}.

    A model of latents is scored by the distribution of its samples, a model of images by its distance to the truth,
    pixel by pixel, as `ganzoo score` does.

    Args:
        images: a `Model`, a `Run` (its newest checkpoint), or images as `data` of `ganzoo.train`.
        reference: real images as `data` of `ganzoo.train`; for a model of images, the truth.
        metrics: names of registered metrics; none for frechet, kid and precision-recall, of pairs psnr, ssim, ms-ssim
            and l1.
        extractor: by which distributions are compared; None for one that was made for such images.
        count: samples of a model.
        seed: of the samples, and of metrics that draw subsets.
        image_size: at which two sets of images are compared; None for that of `images`.
        channels: in which two sets of images are compared.
        source: the other side of `reference`, for a model of images that does not compute it.
        data_root: the folder with the files of registered data sets.

    Raises:
        UsageError: for a request that cannot be met, such as too few images for a metric.
    """
    check_values(count=count, seed=seed, image_size=image_size, channels=channels)
    names, root = names_of("metrics", metrics), None if data_root is None else path_of("data_root", data_root)
    if extractor is not None and not isinstance(extractor, str):
        raise UsageError(f"extractor is a name, not {quoted(extractor)}.")
    model = images.model() if isinstance(images, Run) else images
    if not isinstance(model, Model):
        if source is not None:
            raise UsageError("source is for a model of images: leave it out.")
        sides = data_name(model), data_name(reference)
        return score_sets(
            *sides,
            registry(),
            metrics=names,
            extractor=extractor,
            size=image_size,
            channels=channels,
            seed=seed,
            root=root,
        )[0]
    if image_size is not None or channels is not None:
        raise UsageError("A model has its own size and channels: leave out image_size and channels.")
    if model.image.sources:
        if extractor is not None:
            raise UsageError("A model of images is compared pixel by pixel: leave out extractor.")
        other = None if source is None else data_name(source)
        found = score_model(model, data_name(reference), registry(), source=other, metrics=names, seed=seed, root=root)
        return found.model.means
    return _score_samples(model, data_name(reference), names, extractor, count, seed, root)


def _score_samples(
    model: Model,
    reference: str,
    names: Sequence[str],
    extractor: str | None,
    count: int,
    seed: int,
    root: Path | None,
) -> dict[str, float]:
    """Scores the samples of a model of latents."""
    model.refuse_numbers("evaluate compares images")
    known = registry()
    size, channels = (model.image.height, model.image.width), model.image.channels
    real = load_images(reference, size=size, channels=channels, datasets=known.table("datasets"), root=root)
    chosen = {name: known.get("metrics", name) for name in names or USUAL}
    few = [
        f"{name} needs {least}"
        for name, metric in chosen.items()
        if min(count, len(real)) < (least := getattr(metric, "least", 1))
    ]
    if few:
        raise UsageError(f"{'; '.join(few)} images on each side: there are {count} samples and {len(real)} real ones.")
    found = load_extractor(extractor) if extractor is not None else chosen_extractor([real])
    return score(model, real, found, chosen, images=count, seed=seed)

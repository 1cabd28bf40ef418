"""The built-in metrics. Each takes what an extractor saw of real images and of drawings, and a source of random numbers."""

from ganzoo import hookimpl

# Of fewer images than this, subsets of the papers' size cannot be drawn: the largest possible are taken instead.
SUBSET, SPLITS, LEAST_SHARE = 1000, 10, 0.1


@hookimpl
def register_metrics(register):
    register("frechet", frechet)
    register("kernel", kernel)
    register("neighbours", neighbours)
    register("class-score", class_score)
    register("classes", classes)


def frechet(real, fake, random):
    """The Fréchet distance (Heusel et al. 2017); 0 is best."""
    from ganzoo.metrics import frechet_distance

    return frechet_distance(_fewest(real), _fewest(fake))


def _fewest(seen):
    """Features where there are no more than dimensions, whose distance costs a fraction of that of their moments; else moments."""
    few = seen.features is not None and seen.moments.count <= seen.moments.dimensions
    return seen.features if few else seen.moments


def kernel(real, fake, random):
    """The kernel distance (Bińkowski et al. 2018), mean and deviation over 100 subsets; 0 is best."""
    from ganzoo.metrics import kernel_distance

    size = min(SUBSET, len(real.features), len(fake.features))
    mean, deviation = kernel_distance(real.features, fake.features, random, subset_size=size)
    return {"kernel": mean, "kernel-deviation": deviation}


def neighbours(real, fake, random):
    """Precision and recall with 3 neighbours (Kynkäänniemi et al. 2019), density and coverage with 5 (Naeem et al. 2020)."""
    from ganzoo.metrics import neighbour_scores

    return neighbour_scores(real.features, fake.features)


def class_score(real, fake, random):
    """The inception score (Salimans et al. 2016) of this classifier over 10 splits, from 1 to the number of classes."""
    from ganzoo.metrics import class_score

    mean, deviation = class_score(fake.logits, min(SPLITS, len(fake.logits)))
    return {"class-score": mean, "class-score-deviation": deviation}


def classes(real, fake, random):
    """How many classes are drawn at all, how many at least a tenth as often as they are real, and KL(fake ‖ real) of their shares.

    Of a generator with categorical codes also how well the best of them predicts the class; of one whose classes are the classifier's
    how often the class that was asked for is seen.
    """
    from ganzoo.metrics import class_histogram, divergence, modes_present

    drawn, there = class_histogram(fake.logits), class_histogram(real.logits)
    return {
        "modes": modes_present(drawn, there),
        "modes-tenth": modes_present(drawn, there, LEAST_SHARE),
        "class-divergence": divergence(drawn, there),
        **_agreements(fake),
    }


def _agreements(fake):
    from ganzoo.metrics import code_agreement

    found, (count, seen) = {}, (fake.logits.shape[1], fake.logits.argmax(1))
    if fake.codes is not None:
        found["code-agreement"] = max(
            code_agreement(code, seen, int(code.max()) + 1, count).accuracy for code in fake.codes.T
        )
    if fake.labels is not None:
        found["label-agreement"] = float((seen == fake.labels).double().mean())
    return found


frechet.needs = ()
kernel.needs = neighbours.needs = ("features",)
class_score.needs = classes.needs = ("logits",)
frechet.least, kernel.least, neighbours.least = 2, 2, 6  # images: a covariance needs two, the fifth of the others six

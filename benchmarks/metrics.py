"""Times ganzoo's metrics against installed libraries, in turns, and prints ratios and the differences of numbers.

    python benchmarks/metrics.py --dimensions 64 512 --rounds 5

Processor time of one thread, from float32 features to the number. Fréchet: scipy's `sqrtm`, torchmetrics and
torch-fidelity, also for fewer images than dimensions. KID: torchmetrics' `poly_mmd` on the same subsets, and
torch-fidelity, which computes in float32 on other subsets, so that its number is near and not equal. Precision and
recall: all pairs plainly in float64 (`plain`), `prdc` with 5 neighbours, and scipy's `cdist`. Libraries that are not
installed are left out; torch-fidelity imports torchvision, for which an empty module stands in if there is none.
`--only frechet few` chooses.

`--only bench` times the path of a bench: features of samples, half as many as dimensions (or `--samples`), are
extracted batch by batch and passed to the registered metric `frechet` with those of 10,000 real images; then the same
with moments of both sides alone.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.machinery
import os
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch
from torch import Tensor

from ganzoo.metrics.features import Extractor, extract_features
from ganzoo.metrics.frechet import frechet_distance
from ganzoo.metrics.kid import kid, subset
from ganzoo.metrics.moments import Moments
from ganzoo.metrics.precision_recall import precision_recall
from ganzoo.registry.registry import registry

REAL, BATCH, ROWS = 10_000, 250, 512
TASKS = ("frechet", "few", "kid", "precision-recall")


def features(count: int, dimensions: int, seed: int) -> Tensor:
    """Normal features whose spread falls from 1 to 0.01, the second set a little wider than the first."""
    random = torch.Generator().manual_seed(seed)
    spread = torch.logspace(0, -2, dimensions, dtype=torch.float64) * (1 + 0.1 * seed)
    return (torch.randn(count, dimensions, generator=random, dtype=torch.float64) * spread).float()


class Empty(types.ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def torch_fidelity_module(name: str):
    """One of torch-fidelity's modules, or None if it is not installed."""
    if not find_spec("torch_fidelity"):
        return None
    if not find_spec("torchvision"):
        for full in (
            "torchvision",
            "torchvision.datasets",
            "torchvision.transforms",
            "torchvision.transforms.functional",
            "torchvision.models",
        ):
            module, (parent, _, child) = Empty(full), full.rpartition(".")
            module.__spec__, module.__path__ = importlib.machinery.ModuleSpec(full, None), []
            sys.modules[full] = module
            if parent:
                setattr(sys.modules[parent], child, module)
    return importlib.import_module(f"torch_fidelity.{name}")


def from_moments(trace_of_root: Callable[[Tensor], float]) -> Callable[[Moments, Moments], float]:
    def distance(one: Moments, other: Moments) -> float:
        apart = (one.mean - other.mean).square().sum() + one.covariance.trace() + other.covariance.trace()
        return float(apart) - 2 * trace_of_root(one.covariance @ other.covariance)

    return distance


def scipy_root(product: Tensor) -> float:
    from scipy.linalg import sqrtm

    return float(sqrtm(product.numpy()).trace().real)


def torchmetrics_root(product: Tensor) -> float:
    """What torchmetrics' `_compute_fid` takes of the product."""
    return float(torch.linalg.eigvals(product).sqrt().real.sum())


def frechet(count: int, dimensions: int) -> dict[str, Callable[[], float]]:
    one, other = features(count, dimensions, 0), features(count, dimensions, 1)
    found = {"ganzoo": lambda: frechet_distance(one, other)}
    if fidelity := torch_fidelity_module("metric_fid"):
        statistics_of = fidelity.fid_features_to_statistics
        found["torch-fidelity"] = lambda: fidelity.fid_statistics_to_metric(
            statistics_of(one), statistics_of(other), False
        )[fidelity.KEY_METRIC_FID]
    if find_spec("scipy"):
        found["scipy"] = lambda: from_moments(scipy_root)(Moments.of(one), Moments.of(other))
    if find_spec("torchmetrics"):
        found["torchmetrics"] = lambda: from_moments(torchmetrics_root)(Moments.of(one), Moments.of(other))
    return found


def through_bench(count: int, dimensions: int) -> dict[str, Callable[[], float]]:
    """The Fréchet distance of `count` samples by the path of a bench, and the same from moments."""
    extractor = Extractor("given", lambda images: images.flatten(1), "0" * 64, ())
    metric, batches = (
        registry().get("metrics", "frechet"),
        features(count, dimensions, 1)[:, :, None, None].split(BATCH),
    )
    real = extract_features(features(REAL, dimensions, 0)[:, :, None, None].split(500), extractor, metric.needs)

    def from_moments_alone() -> float:
        return frechet_distance(real.moments, extract_features(batches, extractor, metric.needs).moments)

    return {
        "ganzoo": lambda: metric(real, extract_features(batches, extractor, metric.needs), torch.Generator()),
        "moments": from_moments_alone,
    }


def kernel_distance(count: int, dimensions: int) -> dict[str, Callable[[], float]]:
    one, other = features(count, dimensions, 0), features(count, dimensions, 1)
    subsets, size = 100, min(1000, count)

    def torchmetrics() -> float:
        from torchmetrics.image.kid import poly_mmd

        random, double = torch.Generator().manual_seed(0), (one.double(), other.double())
        chosen = [[side[subset(side, size, random)] for side in double] for _ in range(subsets)]
        return float(torch.stack([poly_mmd(*pair) for pair in chosen]).mean())

    found = {"ganzoo": lambda: kid(one, other, torch.Generator().manual_seed(0), subsets=subsets, subset_size=size)[0]}
    if fidelity := torch_fidelity_module("metric_kid"):
        options = {"kid_subsets": subsets, "kid_subset_size": size, "verbose": False}
        found["torch-fidelity"] = lambda: fidelity.kid_features_to_metric(one, other, **options)[
            fidelity.KEY_METRIC_KID_MEAN
        ]
    return found | ({"torchmetrics": torchmetrics} if find_spec("torchmetrics") else {})


def squared_distances(one: torch.Tensor, other: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Rows of the squared distances of all pairs, from products."""
    norms = other.square().sum(1)
    for start in range(0, len(one), ROWS):
        rows = one[start : start + ROWS]
        yield (
            slice(start, start + ROWS),
            (rows @ other.T).mul_(-2).add_(rows.square().sum(1)[:, None]).add_(norms),
        )


def radii(points: torch.Tensor, k: int) -> torch.Tensor:
    found = [distances.kthvalue(k + 1, 1).values for _, distances in squared_distances(points, points)]
    return torch.cat(found)


def all_pairs(real: torch.Tensor, fake: torch.Tensor, k: int) -> list[float]:
    """Precision, recall, density and coverage as plainly as can be: products of all pairs in float64."""
    centre = real.double().mean(0)
    real, fake = real.double() - centre, fake.double() - centre
    real_radii, fake_radii = radii(real, k), radii(fake, k)
    precise, inside = torch.zeros(len(fake), dtype=torch.bool), 0
    recalled, covered = torch.zeros(2, len(real), dtype=torch.bool)
    for rows, distances in squared_distances(real, fake):
        within = distances <= real_radii[rows, None]
        precise |= within.any(0)
        inside += int(within.sum())
        covered[rows], recalled[rows] = within.any(1), (distances <= fake_radii).any(1)
    shares = [precise.double().mean(), recalled.double().mean(), inside / (k * len(fake)), covered.double().mean()]
    return [float(share) for share in shares]


def neighbours(count: int, dimensions: int) -> dict[str, Callable[[], float]]:
    one, other = features(count, dimensions, 0), features(count, dimensions, 1)
    names = ("precision", "recall", "density", "coverage")

    def scipy() -> float:
        from scipy.spatial.distance import cdist

        def radius(points):
            return torch.from_numpy(cdist(points, points)).kthvalue(6, 1).values

        across, real, fake = (
            torch.from_numpy(cdist(one.double(), other.double())),
            radius(one.double()),
            radius(other.double()),
        )
        inside = across <= real[:, None]
        shares = [inside.any(0), (across <= fake[None]).any(1), inside.double().sum(0) / 5, inside.any(1)]
        return float(sum(share.double().mean() for share in shares))

    def prdc() -> float:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            found = compute_prdc(one.numpy(), other.numpy(), 5)
        return float(sum(found[name] for name in names))

    def ours() -> float:
        found = precision_recall(one, other, k=5, density_k=5)
        return sum(found[name] for name in names)

    found = {"ganzoo": ours, "plain": lambda: float(sum(all_pairs(one, other, 5)))}
    if find_spec("prdc") and find_spec("sklearn"):
        from prdc import compute_prdc

        found["prdc"] = prdc
    return found | ({"scipy": scipy} if find_spec("scipy") else {})


def compare(title: str, contestants: dict[str, Callable[[], float]], rounds: int) -> None:
    """Prints our median time and, for each other one, the median ratio and the relative difference of the number."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    values = {}
    names = list(contestants)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.process_time()
            values[name] = contestants[name]()
            times[name].append(time.process_time() - start)
    print(f"{title:<36} ganzoo {statistics.median(times['ganzoo']):8.3f} s", end="")
    for name in names[1:]:
        ratios = [theirs / ours for theirs, ours in zip(times[name], times["ganzoo"], strict=True)]
        difference = abs(values[name] / values["ganzoo"] - 1)
        print(
            f"   {name} x {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}], "
            f"differs by {difference:.0e}",
            end="",
        )
    print(flush=True)


def main() -> None:
    """Prints one line a metric and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 512, 2048])
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=[*TASKS, "bench"], default=TASKS)
    parser.add_argument("--samples", type=int, help="how many samples `bench` scores")
    parser.add_argument("--against", nargs="+", help="Only these libraries.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for dimensions in arguments.dimensions:
        count, few = max(arguments.images, dimensions + dimensions // 2), dimensions // 2
        samples = arguments.samples or few
        tasks = {
            "frechet": (f"frechet {count} x {dimensions}", frechet, count),
            "few": (f"frechet {few} x {dimensions} (few)", frechet, few),
            "bench": (f"frechet of a bench, {samples} x {dimensions}", through_bench, samples),
            "kid": (f"kid 100 x 1000 of {arguments.images} x {dimensions}", kernel_distance, arguments.images),
            "precision-recall": (f"precision-recall {arguments.images} x {dimensions}", neighbours, arguments.images),
        }
        for title, contestants, size in (tasks[name] for name in arguments.only):
            chosen = contestants(size, dimensions)
            chosen = {
                name: run for name, run in chosen.items() if name == "ganzoo" or name in (arguments.against or chosen)
            }
            compare(title, chosen, arguments.rounds)


if __name__ == "__main__":
    main()

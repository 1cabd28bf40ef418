"""Times ganzoo's metrics against the libraries that are installed, in turns, and prints ratios and how far the numbers agree.

    python benchmarks/metrics.py --dimensions 64 512 --rounds 5

Of processor time, one thread. Fréchet: scipy's `sqrtm` and torchmetrics, from given moments, and from fewer images than dimensions,
where only ganzoo needs no covariance. Kernel: torchmetrics' `poly_mmd` on the same subsets. Neighbours: all pairs at once, by
scipy's `cdist`, as `prdc` does. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from ganzoo.metrics import Moments, frechet_distance, kernel_distance, neighbour_scores
from ganzoo.metrics.kernel import drawn


def features(count: int, dimensions: int, seed: int) -> Tensor:
    """Normal features whose spread falls from 1 to 0.01, the second set a little wider than the first."""
    random = torch.Generator().manual_seed(seed)
    spread = torch.logspace(0, -2, dimensions, dtype=torch.float64) * (1 + 0.1 * seed)
    return torch.randn(count, dimensions, generator=random, dtype=torch.float64) * spread


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
    if find_spec("scipy"):
        found["scipy"] = lambda: from_moments(scipy_root)(Moments.of(one), Moments.of(other))
    if find_spec("torchmetrics"):
        found["torchmetrics"] = lambda: from_moments(torchmetrics_root)(Moments.of(one), Moments.of(other))
    return found


def kernel(count: int, dimensions: int) -> dict[str, Callable[[], float]]:
    one, other = features(count, dimensions, 0), features(count, dimensions, 1)
    subsets, size = 10, min(1000, count)

    def theirs() -> float:
        from torchmetrics.image.kid import poly_mmd

        random = torch.Generator().manual_seed(0)
        values = [poly_mmd(drawn(one, size, random), drawn(other, size, random)) for _ in range(subsets)]
        return float(torch.stack(values).mean())

    def ours() -> float:
        return kernel_distance(one, other, torch.Generator().manual_seed(0), subsets=subsets, subset_size=size)[0]

    return {"ganzoo": ours} | ({"torchmetrics": theirs} if find_spec("torchmetrics") else {})


def neighbours(count: int, dimensions: int) -> dict[str, Callable[[], float]]:
    one, other = features(count, dimensions, 0), features(count, dimensions, 1)

    def theirs() -> float:
        from scipy.spatial.distance import cdist

        def radius(points, k):
            return torch.from_numpy(cdist(points, points)).kthvalue(k + 1, 1).values

        across = torch.from_numpy(cdist(one, other))
        recalled = (across <= radius(other, 3)[None]).any(1).double().mean()
        covered = (across <= radius(one, 5)[:, None]).any(1).double().mean()
        return float((across <= radius(one, 3)[:, None]).any(0).double().mean() + recalled + covered)

    def ours() -> float:
        found = neighbour_scores(one, other)
        return found["precision"] + found["recall"] + found["coverage"]

    return {"ganzoo": ours} | ({"scipy": theirs} if find_spec("scipy") else {})


def compare(title: str, contestants: dict[str, Callable[[], float]], rounds: int) -> None:
    """Prints the median time of ours and, for everyone else, the median of the rounds' ratios and the relative difference."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    values = {}
    names = list(contestants)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.process_time()
            values[name] = contestants[name]()
            times[name].append(time.process_time() - start)
    print(f"{title:<34} ganzoo {statistics.median(times['ganzoo']):8.3f} s", end="")
    for name in names[1:]:
        ratios = [theirs / ours for theirs, ours in zip(times[name], times["ganzoo"], strict=True)]
        difference = abs(values[name] / values["ganzoo"] - 1)
        print(f"   {name} x {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}], differs by {difference:.0e}", end="")
    print(flush=True)


def main() -> None:
    """Prints one line a metric and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 512, 2048])
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for dimensions in arguments.dimensions:
        count = max(arguments.images, dimensions + dimensions // 2)
        compare(f"frechet {count} x {dimensions}", frechet(count, dimensions), arguments.rounds)
        few = dimensions // 2
        compare(f"frechet {few} x {dimensions} (few)", frechet(few, dimensions), arguments.rounds)
        compare(f"kernel 10 x 1000 x {dimensions}", kernel(arguments.images, dimensions), arguments.rounds)
        compare(f"neighbours {arguments.images} x {dimensions}", neighbours(arguments.images, dimensions), arguments.rounds)


if __name__ == "__main__":
    main()

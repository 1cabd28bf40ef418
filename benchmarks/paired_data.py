"""How long a minibatch of pairs takes from ganzoo's cache, beside a DataLoader that reads each pair from its file.

The files are what pix2pix reads: JPEG pictures of 512 x 256 pixels with both sides. The DataLoader does what the
official code does with each: decode, cut in two, resize to 286 (bicubic), the same crop of 256 and the same mirror
image for both sides, floats in [-1, 1]. ganzoo has decoded and resized them once; its cold start is timed too.
Contestants take turns in every round, in rotating order; what counts is the ratio inside a round. With one thread and
no workers it is of processor time, else of wall time.

    python benchmarks/paired_data.py --rounds 5 --batch 16 --workers 0
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ganzoo.data import Batches
from ganzoo.data.request import DataRequest, load_data

LARGER, SIZE = 286, 256


def write_pictures(folder: Path, count: int) -> None:
    """Writes smooth random pictures of both sides as JPEG of quality 90."""
    numbers = numpy.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(numbers.integers(0, 256, (24, 48, 3), dtype=numpy.uint8))
        coarse.resize((2 * SIZE, SIZE), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.jpg", quality=90)


class Files(Dataset):
    """Both sides of each file, loaded as pix2pix loads them."""

    def __init__(self, folder: Path):
        self.paths = sorted(folder.glob("*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        both = Image.open(self.paths[number]).convert("RGB")
        half = both.width // 2
        left, top, mirrored = random.randint(0, LARGER - SIZE), random.randint(0, LARGER - SIZE), random.random() > 0.5
        sides = []
        for start in (0, half):
            side = both.crop((start, 0, start + half, both.height))
            side = side.resize((LARGER, LARGER), Image.Resampling.BICUBIC)
            side = side.crop((left, top, left + SIZE, top + SIZE))
            side = side.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else side
            sides.append((torch.from_numpy(numpy.array(side)).permute(2, 0, 1).float() / 255 - 0.5) / 0.5)
        return sides[0], sides[1]


def of_files(folder: Path, batch: int, workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    loader = DataLoader(Files(folder), batch_size=batch, shuffle=True, num_workers=workers, drop_last=True)
    while True:
        yield from loader


def of_ganzoo(batches: Batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    number = 0
    while True:
        sample = batches.sample(number)
        yield sample["source"], sample["output"]
        number += 1


def seconds_a_batch(stream: Iterator, batch: int, seconds: float, clock: Callable[[], float]) -> float:
    """The mean time of a minibatch over at least `seconds` and three of them."""
    start, taken = clock(), 0
    while taken < 3 or clock() - start < seconds:
        source, output = next(stream)
        assert source.shape == output.shape == (batch, 3, SIZE, SIZE)
        taken += 1
    return (clock() - start) / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=0, help="processes of the DataLoader")
    parser.add_argument("--count", type=int, default=400, help="pictures")
    parser.add_argument("--seconds", type=float, default=2, help="of one turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    alone = arguments.threads == 1 and arguments.workers == 0
    clock = time.process_time if alone else time.perf_counter
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary) / "pictures", Path(temporary) / "cache"
        folder.mkdir()
        write_pictures(folder, arguments.count)
        request = DataRequest(
            output=str(folder), size=SIZE, inputs={"source": None}, side_by_side=True, load_ratio=LARGER / SIZE
        )
        start = time.perf_counter()
        data = load_data(request, cache=cache)
        cold = time.perf_counter() - start
        start = time.perf_counter()
        data = load_data(request, cache=cache)
        warm = time.perf_counter() - start
        streams = {
            "files": of_files(folder, arguments.batch, arguments.workers),
            "ganzoo": of_ganzoo(Batches(data, batch_size=arguments.batch, seed=0, mirror=True)),
        }
        rounds: list[dict[str, float]] = []
        names = list(streams)
        for number in range(arguments.rounds + 1):
            order = names[number % len(names) :] + names[: number % len(names)]
            rounds.append(
                {name: seconds_a_batch(streams[name], arguments.batch, arguments.seconds, clock) for name in order}
            )
        rounds = rounds[1:]  # the first one fills caches of the system
    ratios = [one["files"] / one["ganzoo"] for one in rounds]
    for name in names:
        print(f"{name:8} {1000 * statistics.median(one[name] for one in rounds):8.2f} ms for {arguments.batch} pairs")
    print(f"files / ganzoo: {statistics.median(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}]")
    print(f"prepared once in {cold:.1f} s, read again in {warm:.2f} s ({arguments.count} pairs)")
    if arguments.json:
        arguments.json.write_text(json.dumps({"ratios": ratios, "rounds": rounds, "cold": cold, "warm": warm}))


if __name__ == "__main__":
    main()

"""Minibatches of streams, the data sets without rows, whose samples are drawn when they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganzoo.data.batches import EVERY, generator_for, transfer
from ganzoo.data.resolve import find_source
from ganzoo.data.sample import LazyFields
from ganzoo.data.sources import Stream
from ganzoo.errors import UsageError
from ganzoo.files.text import quoted


class StreamBatches:
    """Cuts a stream into minibatches: number k is a pure function of (seed, k), on every device.

    `sample` and `evaluation` return fields by name, as those of `Batches` do.
    """

    def __init__(self, data: Stream, *, batch_size: int, seed: int, device: torch.device | str = "cpu") -> None:
        self.data, self.batch_size, self.seed, self.spec = data, batch_size, seed, data.spec
        self.device = torch.empty(0, device=device).device

    def sample(self, number: int, part: slice = EVERY) -> LazyFields:
        """Returns "output" (n, *shape), float32: the slice `part` of minibatch `number`."""
        return self._fields(lambda: self._drawn(self.batch_size, self.seed, "stream", number)[part])

    def evaluation(self, count: int, part: slice = EVERY) -> LazyFields:
        """Returns "output" (n, *shape) of `count` samples that are the same in every run."""
        return self._fields(lambda: self._drawn(count, 0, "evaluation")[part])

    def _fields(self, output: Callable[[], Tensor]) -> LazyFields:
        return LazyFields({"output": lambda: transfer(output(), self.device)})

    def _drawn(self, count: int, *key: int | str) -> Tensor:
        return self.data.draw(count, generator_for(*key))


def rows_of(data: Any) -> float:
    """Returns the number of rows of a data set; infinity for a stream."""
    return math.inf if isinstance(data, Stream) else len(data)


def load_stream(source: str, *, datasets: Mapping[str, Callable], root: Path | None = None) -> Stream:
    """Returns the stream that `source` names; UsageError if it names anything else."""
    name = source.partition(":")[0]
    found = find_source(source, datasets, root) if name in datasets else None
    if not isinstance(found, Stream):
        raise UsageError(
            f"{quoted(source)} holds no points: give the name of a data set of points, such as ring or grid "
            "(`ganzoo list --parts datasets`)."
        )
    return found

"""Makes minibatches as a pure function of (seed, number), so that resuming needs only the number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import torch
from torch import Tensor

from ganzoo.data.sample import LazyFields
from ganzoo.data.sources import ImageData
from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.variant import Field, SampleSpec

EVERY = slice(None)


def generator_for(*facts: int | str) -> torch.Generator:
    """Returns a CPU generator seeded with the sha256 of the facts: independent streams, the same on every device.

    `engine.randomness.hashed` derives seeds otherwise; the minibatches of existing runs depend on this one.
    """
    digest = hashlib.sha256(json.dumps(facts).encode("ascii")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def spec_of(data: ImageData) -> SampleSpec:
    """The fields of prepared images: the output, and the label if there are labels."""
    labels = {"label": Field((), "class", len(data.classes))} if data.labels is not None else {}
    return SampleSpec(Field((data.channels, data.height, data.width)), labels)


def too_few_line(batch_size: int, count: int, name: str, option: str = "--batch-size ") -> str:
    """One line for fewer images than a batch has, with what to do; `option` is what the number is written after."""
    return (
        f"Batches of {batch_size} cannot be drawn from {count} images of {quoted(name)}: use {option}{count} or less."
    )


class Batches:
    """Cuts images into an endless sequence of minibatches, in a new order in every epoch.

    A batch may begin in one epoch and end in the next, so that all images are used equally often. Minibatch k is the
    same whatever was requested before, on every device. `mirror` flips each image horizontally with probability 1/2.
    The pixels move to the device once if they take at most a quarter of its free memory, else batch by batch.
    `spec` names the fields that `sample` has, by default all of the data. UsageError if there are fewer images than
    `batch_size`.
    """

    def __init__(
        self,
        data: ImageData,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        mirror: bool = False,
        spec: SampleSpec | None = None,
    ):
        if not 1 <= batch_size <= len(data):
            raise UsageError(too_few_line(batch_size, len(data), data.name))
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.device = torch.empty(0, device=device).device  # with its index: "cuda" is not equal to "cuda:0"
        self.mirror = mirror
        self.spec = spec or spec_of(data)
        # Dividing by a Python number, a GPU multiplies with its inverse: other bits than a CPU.
        self._half = torch.tensor(127.5, device=self.device, dtype=torch.float32)
        # Whole rows of bytes: selecting them is up to twelve times as fast as indexing four dimensions.
        rows = data.images.view(len(data), -1)
        self.rows = rows.to(self.device) if fits(rows, self.device) else rows
        self.orders: dict[int, Tensor] = {}

    def order(self, epoch: int) -> Tensor:
        """Returns the permutation of all images in an epoch, int64 (N,); keeps two, as a batch may need both."""
        if epoch not in self.orders:
            while len(self.orders) >= 2:
                self.orders.pop(next(iter(self.orders)))
            self.orders[epoch] = torch.randperm(len(self.data), generator=generator_for(self.seed, "epoch", epoch))
        return self.orders[epoch]

    def indices(self, number: int) -> Tensor:
        """Returns the indices of the images in minibatch `number`, int64 (batch_size,) on the CPU."""
        epoch, offset = divmod(number * self.batch_size, len(self.data))
        first = self.order(epoch)[offset : offset + self.batch_size]
        missing = self.batch_size - len(first)
        return torch.cat([first, self.order(epoch + 1)[:missing]]) if missing else first.clone()

    def labels(self, number: int, part: slice = EVERY) -> Tensor | None:
        """Returns the labels of minibatch `number`, int64 (n,) on the device; None if there are none."""
        return self._labels(self.indices(number)[part])

    def images(self, number: int, part: slice = EVERY) -> Tensor:
        """Returns the images of minibatch `number`, float32 (n, C, H, W) in [-1, 1], channels last in memory.

        `part` selects the share of one process; the shares together are the whole minibatch.
        """
        pixels = self._pixels(self.indices(number)[part])
        if self.mirror:
            flips = transfer(self.flips(number)[part].nonzero().squeeze(1), self.device)
            pixels.index_copy_(0, flips, pixels.index_select(0, flips).flip(2))
        return self._scaled(pixels)

    def sample(self, number: int, part: slice = EVERY) -> LazyFields:
        """Returns the fields of minibatch `number` by name: "output" as of `images`, "label" if there are labels."""
        return self._fields(lambda: self.images(number, part), lambda: self.labels(number, part))

    def evaluation(self, count: int, part: slice = EVERY) -> LazyFields:
        """Returns the fields of at most `count` rows from all over the data, without anything random.

        They are the same at every call, in the order of the data. `part` selects some of them.
        """
        rows = torch.linspace(0, len(self.data) - 1, min(count, len(self.data)), dtype=torch.float32).long()[part]
        return self._fields(lambda: self._scaled(self._pixels(rows)), lambda: self._labels(rows))

    def _fields(self, images: Callable[[], Tensor], labels: Callable[[], Tensor | None]) -> LazyFields:
        makers: dict[str, Callable] = {"output": images}
        if "label" in self.spec.inputs:
            makers["label"] = labels
        return LazyFields(makers)

    def _labels(self, rows: Tensor) -> Tensor | None:
        if self.data.labels is None:
            return None
        return transfer(self.data.labels.index_select(0, rows), self.device)

    def _pixels(self, rows: Tensor) -> Tensor:
        """The images of these rows on the device, uint8 (n, H, W, C)."""
        chosen = self.rows.index_select(0, transfer(rows, self.rows.device))
        if self.rows.device != self.device:
            chosen = transfer(chosen, self.device)
        return chosen.view(-1, *self.data.images.shape[1:])

    def _scaled(self, pixels: Tensor) -> Tensor:
        """Bytes (n, H, W, C) as float32 (n, C, H, W) in [-1, 1]."""
        return pixels.to(torch.float32).div_(self._half).sub_(1).permute(0, 3, 1, 2)

    def flips(self, number: int) -> Tensor:
        """Returns which images of the whole minibatch are mirrored, bool (batch_size,)."""
        random = generator_for(self.seed, "mirror", number)
        return torch.rand(self.batch_size, generator=random, dtype=torch.float32) < 0.5


def fits(rows: Tensor, device: torch.device) -> bool:
    """True if all pixels may stay on the device; only CUDA reports its free memory."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return rows.numel() <= free // 4


def transfer(chosen: Tensor, device: torch.device) -> Tensor:
    """Moves a part of a minibatch; from pinned memory the copy to CUDA does not block the host."""
    if device.type == "cuda":
        chosen = chosen.pin_memory()
    return chosen.to(device, non_blocking=device.type == "cuda")


def mean_image(data: ImageData) -> Tensor:
    """Returns the mean of all images, float32 (C, H, W) in [-1, 1], summed in integers: every process gets the same."""
    total = data.images.sum(0, dtype=torch.int64).permute(2, 0, 1)
    return (total.double() / (len(data) * 127.5) - 1).float()

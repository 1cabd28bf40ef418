"""Minibatches as a pure function of (seed, number), so that resuming needs nothing but the number."""

from __future__ import annotations

import hashlib
import json

import torch

from ganzoo.data.sources import ImageData
from ganzoo.errors import UsageError

EVERY = slice(None)


def generator_for(*facts: int | str) -> torch.Generator:
    """A CPU generator whose seed is the sha256 of the facts: independent streams that are the same on any device."""
    digest = hashlib.sha256(json.dumps(facts).encode("ascii")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Batches:
    """Cuts images into an endless row of minibatches, in a new order in every epoch.

    A batch may begin in one epoch and end in the next, so that every image is seen equally often. Minibatch number k
    is the same whatever was asked before, on every device. `mirror` flips each image left to right half of the time.
    The pixels move to the device once if they take at most a quarter of its free memory, else batch by batch.
    Raises UsageError if there are fewer images than `batch_size`."""

    def __init__(
        self,
        data: ImageData,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        mirror: bool = False,
    ):
        if not 1 <= batch_size <= len(data):
            raise UsageError(f"Batches of {batch_size} cannot be drawn from {len(data)} images of '{data.name}'.")
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.device = torch.empty(0, device=device).device  # with its index: "cuda" is not equal to "cuda:0"
        self.mirror = mirror
        self._half = torch.tensor(
            127.5, device=self.device
        )  # by a plain number a GPU multiplies with its inverse: other bits
        # Whole rows of bytes: selecting them is up to twelve times as fast as indexing four dimensions.
        rows = data.images.view(len(data), -1)
        self.rows = rows.to(self.device) if fits(rows, self.device) else rows
        self.orders: dict[int, torch.Tensor] = {}

    def order(self, epoch: int) -> torch.Tensor:
        """The permutation of all images in an epoch, int64 (N,); the last two are kept, since a batch may need both."""
        if epoch not in self.orders:
            while len(self.orders) >= 2:
                self.orders.pop(next(iter(self.orders)))
            self.orders[epoch] = torch.randperm(len(self.data), generator=generator_for(self.seed, "epoch", epoch))
        return self.orders[epoch]

    def indices(self, number: int) -> torch.Tensor:
        """Which images are in minibatch `number`, int64 (batch_size,) on the CPU."""
        epoch, offset = divmod(number * self.batch_size, len(self.data))
        first = self.order(epoch)[offset : offset + self.batch_size]
        missing = self.batch_size - len(first)
        return torch.cat([first, self.order(epoch + 1)[:missing]]) if missing else first.clone()

    def labels(self, number: int, part: slice = EVERY) -> torch.Tensor | None:
        """The labels of minibatch `number`, int64 (n,) on the device, or None where there are none."""
        if self.data.labels is None:
            return None
        return transfer(self.data.labels.index_select(0, self.indices(number)[part]), self.device)

    def images(self, number: int, part: slice = EVERY) -> torch.Tensor:
        """The images of minibatch `number`, float32 (n, C, H, W) from -1 to 1, channels last in memory.

        `part` cuts this process's share out of the whole minibatch; shares put together are the whole."""
        chosen = self.rows.index_select(0, transfer(self.indices(number)[part], self.rows.device))
        if self.rows.device != self.device:
            chosen = transfer(chosen, self.device)
        pixels = chosen.view(-1, *self.data.images.shape[1:])
        if self.mirror:
            flips = transfer(self.flips(number)[part].nonzero().squeeze(1), self.device)
            pixels.index_copy_(0, flips, pixels.index_select(0, flips).flip(2))
        return pixels.to(torch.float32).div_(self._half).sub_(1).permute(0, 3, 1, 2)

    def flips(self, number: int) -> torch.Tensor:
        """Which images of the whole minibatch are mirrored, bool (batch_size,)."""
        return torch.rand(self.batch_size, generator=generator_for(self.seed, "mirror", number)) < 0.5


def fits(rows: torch.Tensor, device: torch.device) -> bool:
    """Whether all pixels may live on the device; only CUDA says how much memory is free."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return rows.numel() <= free // 4


def transfer(chosen: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Moves a part of a minibatch; from pinned memory the copy to CUDA does not hold up the host."""
    if device.type == "cuda":
        chosen = chosen.pin_memory()
    return chosen.to(device, non_blocking=device.type == "cuda")


def mean_image(data: ImageData) -> torch.Tensor:
    """The mean of all images, float32 (C, H, W) in [-1, 1]; summed in whole numbers, so that every process gets the same."""
    total = data.images.sum(0, dtype=torch.int64).permute(2, 0, 1)
    return (total.double() / (len(data) * 127.5) - 1).float()

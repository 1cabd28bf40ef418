"""Makes minibatches as a pure function of (seed, number), so that resuming needs only the number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganzoo.data.conditions import Condition
from ganzoo.data.sample import LazyFields
from ganzoo.data.sources import Data, ImageData
from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.networks.precision import float32_by_default
from ganzoo.variant import SampleSpec

EVERY = slice(None)
BATCH = 64  # images of which a mean is taken at once


def generator_for(*facts: int | str) -> torch.Generator:
    """Returns a CPU generator seeded with the sha256 of the facts: independent streams, the same on every device.

    `engine.randomness.hashed` derives seeds otherwise; the minibatches of existing runs depend on this one.
    """
    digest = hashlib.sha256(json.dumps(facts).encode("ascii")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def too_few_line(batch_size: int, count: int, name: str, option: str = "--batch-size ") -> str:
    """One line for fewer images than a batch has, with what to do; `option` is what the number is written after."""
    return (
        f"Batches of {batch_size} cannot be drawn from {count} images of {quoted(name)}: use {option}{count} or less."
    )


class _Draw(NamedTuple):
    """The rows of a minibatch, which of them are mirrored, and the corners of their crops."""

    indices: Tensor
    flips: Tensor | None
    corners: Tensor | None


class Rows:
    """Draws the rows of one set of images in a new order in every epoch, mirrored and cropped at random.

    Minibatch k is the same whatever was requested before, on every device. All pictures of a row share one draw. `name`
    tells the streams of several sets apart. The pixels move to the device once if they take at most a quarter of its
    free memory, else batch by batch. UsageError if there are fewer rows than `batch_size`.
    """

    def __init__(
        self, data: ImageData, *, batch_size: int, seed: int, device: torch.device, mirror: bool, name: tuple[str, ...]
    ):
        if not 1 <= batch_size <= len(data):
            raise UsageError(too_few_line(batch_size, len(data), data.name))
        self.kept, self.device, self.name = data, device, name
        self.batch_size, self.seed, self.mirror = batch_size, seed, mirror
        # Dividing by a Python number, a GPU multiplies with its inverse: other bits than a CPU.
        self._half = torch.tensor(127.5, device=self.device, dtype=torch.float32)
        tables = {"images": data.images, **data.fields}
        stays = fits(sum(table.numel() for table in tables.values()), self.device)
        self.tables = {one: table.to(self.device) if stays else table for one, table in tables.items()}
        self.orders: dict[int, Tensor] = {}
        self._last: tuple[int, _Draw] | None = None

    @property
    def rows(self) -> Tensor:
        """The bytes of each image as one row: selecting them is up to twelve times as fast as four dimensions."""
        return self.tables["images"].view(len(self.kept), -1)

    @cached_property
    def slack(self) -> dict[str, tuple[int, int]]:
        """How many pixels each picture is larger than its view, by field; empty if none is."""
        found = {}
        for name, view in self.tables.items():
            if name.endswith(".view"):
                larger = self.tables[name.removesuffix(".view")]
                found[name.removesuffix(".view")] = larger.shape[1] - view.shape[1], larger.shape[2] - view.shape[2]
        return found

    @cached_property
    def _most(self) -> Tensor:
        """The lowest and rightmost corner of a crop in the smallest picture, int64 (2,)."""
        return torch.tensor(min(self.slack.values()))

    @cached_property
    def _scales(self) -> dict[str, int]:
        """How many times as large as the smallest picture each one is, by field."""
        sides = {name: self.tables[f"{name}.view"].shape[1] for name in self.slack}
        return {name: side // min(sides.values()) for name, side in sides.items()}

    def order(self, epoch: int) -> Tensor:
        """Returns the permutation of all rows in an epoch, int64 (N,); keeps two, as a batch may need both."""
        if epoch not in self.orders:
            while len(self.orders) >= 2:
                self.orders.pop(next(iter(self.orders)))
            random = generator_for(self.seed, *self.name, "epoch", epoch)
            self.orders[epoch] = torch.randperm(len(self.kept), generator=random)
        return self.orders[epoch]

    def indices(self, number: int) -> Tensor:
        """Returns the indices of the rows in minibatch `number`, int64 (batch_size,) on the CPU."""
        epoch, offset = divmod(number * self.batch_size, len(self.kept))
        first = self.order(epoch)[offset : offset + self.batch_size]
        missing = self.batch_size - len(first)
        return torch.cat([first, self.order(epoch + 1)[:missing]]) if missing else first.clone()

    def flips(self, number: int) -> Tensor:
        """Returns which rows of the whole minibatch are mirrored, bool (batch_size,)."""
        random = generator_for(self.seed, *self.name, "mirror", number)
        return torch.rand(self.batch_size, generator=random, dtype=torch.float32) < 0.5

    def corners(self, number: int) -> Tensor:
        """Returns the upper left corners of the whole minibatch's crops, int64 (batch_size, 2).

        They count in pixels of the smallest picture; in one that is `k` times as large they are multiples of `k`, so
        that all pictures of a row show the same part.
        """
        random = generator_for(self.seed, *self.name, "crop", number)
        places = torch.rand(self.batch_size, 2, generator=random, dtype=torch.float32)
        return (places * (self._most + 1)).long().minimum(self._most)

    def _draw(self, number: int) -> _Draw:
        """What is drawn for minibatch `number`, kept for its other pictures and micro-batches."""
        if self._last is None or self._last[0] != number:
            flips, corners = self.flips(number) if self.mirror else None, self.corners(number) if self.slack else None
            self._last = number, _Draw(self.indices(number), flips, corners)
        return self._last[1]

    def drawn(self, table: str, number: int, part: slice) -> Tensor:
        """The training view of a picture of minibatch `number`, float32 (n, C, H, W) in [-1, 1]."""
        draw = self._draw(number)
        chosen, flips = draw.indices[part], None if draw.flips is None else draw.flips[part]
        if draw.corners is not None and table in self.slack:
            return self.cropped(table, chosen, draw.corners[part], flips)
        pixels = self.whole(table, chosen)
        if flips is not None:
            turned = transfer(flips.nonzero().squeeze(1), self.device)
            pixels.index_copy_(0, turned, pixels.index_select(0, turned).flip(2))
        return self.scaled(pixels)

    def seen(self, table: str, chosen: Tensor) -> Tensor:
        """The evaluation view of a picture of these rows, float32 (n, C, H, W) in [-1, 1]."""
        return self.scaled(self.whole(f"{table}.view" if table in self.slack else table, chosen))

    def whole(self, table: str, chosen: Tensor) -> Tensor:
        """The bytes of these rows on the device, (n, H, W, C)."""
        images = self.tables[table]
        pixels = images.view(len(images), -1).index_select(0, transfer(chosen, images.device))
        if pixels.device != self.device:
            pixels = transfer(pixels, self.device)
        return pixels.view(-1, *images.shape[1:])

    def cropped(self, table: str, chosen: Tensor, corners: Tensor, flips: Tensor | None) -> Tensor:
        """Crops of these rows, mirrored where `flips` says so, float32 (n, C, H, W) in [-1, 1].

        They are copied as slices of rows: indexing pixels takes 30 times as long on a CPU. There each image is finished
        while it is in the cache of the processor.
        """
        images, view = self.tables[table], self.tables[f"{table}.view"]
        scale = self._scales[table]
        turned = [False] * len(chosen) if flips is None else flips.tolist()
        here = self.device.type == "cpu"
        kind = torch.float32 if here else torch.uint8
        pixels = torch.empty(len(chosen), *view.shape[1:], dtype=kind, device=images.device)
        shape, strides = view.shape[1:], images.stride()
        for one, row, (top, left), flip in zip(pixels, chosen.tolist(), corners.tolist(), turned, strict=True):
            start = images.storage_offset() + row * strides[0] + scale * (top * strides[1] + left * strides[2])
            part = images.as_strided(shape, strides[1:], start)  # a slice of each axis, in one call
            one.copy_(part.flip(1) if flip else part)
            if here:
                one.div_(self._half).sub_(1)
        if here:
            return pixels.permute(0, 3, 1, 2)
        return self.scaled(pixels if pixels.device == self.device else transfer(pixels, self.device))

    def scaled(self, pixels: Tensor) -> Tensor:
        """Bytes (n, H, W, C) as float32 (n, C, H, W) in [-1, 1], channels last in memory."""
        return pixels.to(torch.float32).div_(self._half).sub_(1).permute(0, 3, 1, 2)


class Batches(Rows):
    """Cuts data into an endless sequence of minibatches, in a new order in every epoch.

    A batch may begin in one epoch and end in the next, so that all images are used equally often. Minibatch k is the
    same whatever was requested before, on every device. `mirror` flips each row horizontally with probability 1/2,
    images that are kept larger are cropped at random, and paired images share both. Sources that are a set of their own
    have an order, flips and crops of their own. `spec` names the fields that `sample` has, by default all of the data.
    UsageError if there are fewer images than `batch_size`.
    """

    def __init__(
        self,
        data: ImageData | Data,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        mirror: bool = False,
        spec: SampleSpec | None = None,
    ):
        self.data = data if isinstance(data, Data) else Data(data)
        own = torch.empty(0, device=device).device  # with its index: "cuda" is not equal to "cuda:0"
        super().__init__(self.data.output, batch_size=batch_size, seed=seed, device=own, mirror=mirror, name=())
        self.spec = spec or self.data.spec
        self.other: Rows | None = None
        if self.data.source is not None:
            self.other = Rows(
                self.data.source, batch_size=batch_size, seed=seed, device=own, mirror=mirror, name=("source",)
            )

    def __len__(self) -> int:
        """Returns the number of outputs, of which an epoch takes each once."""
        return len(self.kept)

    def labels(self, number: int, part: slice = EVERY) -> Tensor | None:
        """Returns the labels of minibatch `number`, int64 (n,) on the device; None if there are none."""
        return self._labels_of(self.indices(number)[part])

    def images(self, number: int, part: slice = EVERY) -> Tensor:
        """Returns the images of minibatch `number`, float32 (n, C, H, W) in [-1, 1], channels last in memory.

        `part` selects the share of one process; the shares together are the whole minibatch.
        """
        return self.sample(number, part)["output"]

    def sample(self, number: int, part: slice = EVERY) -> LazyFields:
        """Returns the fields of minibatch `number`: "output" and the inputs, each computed when it is asked for.

        Images are float32 (n, C, H, W) in [-1, 1], channels last in memory; the input "label" is int64 (n,).
        """

        def draws(name: str, condition: Condition) -> Mapping[str, Tensor]:
            random = generator_for(self.seed, "condition", name, number)
            return {key: value[part] for key, value in condition.draw(self.batch_size, random).items()}

        stored = self._stored(lambda rows, table: rows.drawn(table, number, part), lambda: self.labels(number, part))
        return self._completed(stored, draws)

    def evaluation(self, count: int, part: slice = EVERY) -> LazyFields:
        """Returns the fields of at most `count` rows from all over the data, without anything random.

        They are the same at every call, in the order of the data: uncropped, not mirrored, and the random numbers of
        conditions depend on the row alone. `part` selects some of the rows.
        """
        sets = (self,) if self.other is None else (self, self.other)
        count = min(count, self.evaluation_rows)
        return self._evaluated({rows: spread_out(len(rows.kept), count)[part] for rows in sets})

    @property
    def evaluation_rows(self) -> int:
        """The most rows of an evaluation: those of the smaller side."""
        return min(len(self.kept), len(self.other.kept) if self.other is not None else len(self.kept))

    def monitored(self, count: int) -> ImageData:
        """Returns the outputs of `evaluation(count)` as bytes; of plain images all of them, as they are."""
        output = self.data.output
        if not any("output" in condition.fields for condition in self.data.conditions.values()):
            return replace(output, images=output.view, fields={})
        images = self.evaluation(count)["output"].permute(0, 2, 3, 1).cpu()
        pixels = ((images + 1) * 127.5).round().to(torch.uint8).contiguous()
        names = "/".join(sorted(self.data.condition_names.values()))
        return replace(output, images=pixels, labels=None, fields={}, fingerprint=f"{output.fingerprint} {names}")

    def _evaluated(self, chosen: Mapping[Rows, Tensor]) -> LazyFields:
        """The evaluation view of these rows of each set."""

        def draws(name: str, condition: Condition) -> Mapping[str, Tensor]:
            drawn = [condition.draw(1, generator_for("condition", name, "row", row)) for row in chosen[self].tolist()]
            return {key: torch.cat([one[key] for one in drawn]) for key in (drawn[0] if drawn else {})}

        stored = self._stored(lambda rows, table: rows.seen(table, chosen[rows]), lambda: self._labels_of(chosen[self]))
        return self._completed(stored, draws)

    def _stored(
        self, picture: Callable[[Rows, str], Tensor], labels: Callable[[], Tensor | None]
    ) -> dict[str, Callable[[], Any]]:
        """What makes each stored field, by name: `picture` of a set and a table of it, and `labels`."""
        other = self.other
        makers: dict[str, Callable[[], Any]] = {"output": lambda: picture(self, "images"), "label": labels}
        if other is not None:
            makers[self.data.source_name] = lambda: picture(other, "images")
        elif "source" in self.tables:
            makers[self.data.source_name] = lambda: picture(self, "source")
        return makers

    def _completed(
        self, stored: dict[str, Callable[[], Any]], draws: Callable[[str, Condition], Mapping[str, Tensor]]
    ) -> LazyFields:
        """The fields of the specification: stored ones, and those of conditions, each of which is computed once."""
        names = ("output", *self.spec.inputs)
        if not self.data.conditions:
            return LazyFields({name: stored[name] for name in names})
        fields = LazyFields(stored)
        makers: dict[str, Callable[[], Tensor]] = {name: partial(fields.__getitem__, name) for name in stored}
        for name, condition in self.data.conditions.items():
            registered = self.data.condition_names.get(name, name)
            made = cache(partial(self._computed, condition, fields, partial(draws, registered, condition)))
            for own in condition.fields:
                makers[name if own == "source" else own] = partial(_field, made, own)
        return LazyFields({name: makers[name] for name in names})

    def _computed(
        self, condition: Condition, stored: LazyFields, draw: Callable[[], Mapping[str, Tensor]]
    ) -> Mapping[str, Tensor]:
        """The fields of a condition: without a graph, and in float32 also within a step in bfloat16."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False), float32_by_default():
            drawn = {key: value.to(self.device) for key, value in draw().items()}
            return condition.compute(stored, drawn)

    def _labels_of(self, rows: Tensor) -> Tensor | None:
        if self.kept.labels is None:
            return None
        return transfer(self.kept.labels.index_select(0, rows), self.device)


def _field(made: Callable[[], Mapping[str, Tensor]], name: str) -> Tensor:
    return made()[name]


def spread_out(size: int, count: int) -> Tensor:
    """Returns `count` of the numbers below `size`, evenly spread and in order, int64."""
    return torch.linspace(0, size - 1, count, dtype=torch.float32).long()


def fits(size: int, device: torch.device) -> bool:
    """True if so many bytes of pixels may stay on the device; only CUDA reports its free memory."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return size <= free // 4


def transfer(chosen: Tensor, device: torch.device) -> Tensor:
    """Moves a part of a minibatch; from pinned memory the copy to CUDA does not block the host."""
    if device.type == "cuda":
        chosen = chosen.pin_memory()
    return chosen.to(device, non_blocking=device.type == "cuda")


def mean_image(data: ImageData | Data) -> Tensor:
    """Returns the mean of all outputs as evaluation sees them, float32 (C, H, W) in [-1, 1].

    It is summed in integers, and where a condition computes the outputs in float64: every process gets the same.
    """
    data = data if isinstance(data, Data) else Data(data)
    if not any("output" in condition.fields for condition in data.conditions.values()):
        total = data.output.view.sum(0, dtype=torch.int64).permute(2, 0, 1)
        return (total.double() / (len(data.output) * 127.5) - 1).float()
    batches = Batches(replace(data, source=None), batch_size=1, seed=0)
    parts = torch.arange(len(data.output)).split(BATCH)
    means = [batches._evaluated({batches: rows})["output"].double().sum(0) for rows in parts]
    return (torch.stack(means).sum(0) / len(data.output)).float()

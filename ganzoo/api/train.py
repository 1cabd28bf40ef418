"""`ganzoo.train`: `ganzoo train` for Python programs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ganzoo.api.inputs import (
    callbacks_of,
    card_of,
    check_values,
    data_name,
    frozen_layers,
    names_of,
    options_of,
    start_of,
)
from ganzoo.api.public import public
from ganzoo.api.runs import Run, train_request
from ganzoo.files.output_checks import path_of
from ganzoo.runs.request import Intervals, Request
from ganzoo.variant import Variant

if TYPE_CHECKING:
    from ganzoo.api.inputs import Images, Parts
    from ganzoo.runs.tracking import Callback
    from ganzoo.tracking import Tracker

Size = int | tuple[int, int]


@public
def train(
    variant: str | Variant | Parts,
    *,
    data: Images,
    out: str | os.PathLike[str],
    image_size: Size | None = None,
    channels: int | None = None,
    steps: int | None = None,
    images: int | None = None,
    batch_size: int | None = None,
    overrides: Mapping[str, Any] = {},
    mixins: str | Sequence[str] = (),
    conditional: bool | None = None,
    seed: int = 0,
    callbacks: Callback | Sequence[Callback | Tracker] = (),
    track: str | Sequence[str] = (),
    progress: bool = False,
    device: str = "auto",
    threads: int | None = None,
    precision: Literal["fp32", "bf16"] | None = None,
    source: Images | None = None,
    side_by_side: bool | None = None,
    direction: Literal["AtoB", "BtoA"] | None = None,
    unpaired: bool | None = None,
    source_size: Size | None = None,
    source_channels: int | None = None,
    data_root: str | os.PathLike[str] | None = None,
    on_bad_image: Literal["error", "skip"] = "error",
    sample_every: int = 500,
    checkpoint_every: int = 1000,
    keep: int = 3,
    on_collapse: Literal["warn", "stop", "rollback"] = "warn",
    start_from: str | os.PathLike[str] | None = None,
    freeze: Mapping[str, int] = {},
) -> Run:
    """Trains a variant and returns its run; the same as `ganzoo train`, and as quiet as asked.

    Args:
        variant: a registered name, a changed card of one (`dataclasses.replace(ganzoo.variant("dcgan"), ...)`), a card
            of your own, or a mapping of parts as for `create_trainer`.
        data: what `--data` takes as text, a folder or file as a path, or images in memory: a tensor (N, C, H, W), an
            array (N, H, W, C), either with labels as a pair, or a map-style data set of torch. Floats are in [-1, 1],
            integers are uint8. Images in memory become a data set of this process.
        out: the new run folder.
        image_size: in pixels, or (height, width); None for the variant's own.
        channels: 1 grey, 3 colour, 4 colour with transparency; None as the images are.
        steps: training steps; None for the paper's.
        images: instead of `steps`, the number of real images that the discriminator sees.
        batch_size: over all processes; None for the paper's.
        overrides: settings as `--set` takes them, such as {"loss.penalty": 5}.
        mixins: names of regularizers and augmentations to add.
        conditional: trains with labels; None if the variant needs them.
        seed: of every random number.
        callbacks: functions `(step, values)`, called with each record of terms ("discriminator/real") and measurements
            ("samples/diversity"), and `ganzoo.tracking.Tracker` objects, which get pictures too. One that raises is
            left out, with a warning.
        track: names of trackers, such as "tensorboard".
        progress: shows steps, speed and terms on stderr.
        device: "cpu", "cuda", "cuda:1", "mps" or "auto".
        threads: CPU threads of torch, for the process; None leaves them.
        precision: "bf16" runs networks under bfloat16 autocast.
        source, side_by_side, direction, unpaired, source_size, source_channels: the other side of the data, for
            variants that make images of images; as `--source`, `--pairs`, `--direction` and the like.
        data_root: the folder with the files of registered data sets.
        on_bad_image: "skip" leaves out unreadable images.
        sample_every, checkpoint_every: steps between sample grids, and between checkpoints.
        keep: newest checkpoints to keep.
        on_collapse: "warn", "stop" or "rollback".
        start_from: a model or run whose weights the training starts from; see `freeze`.
        freeze: numbers of first layers that keep them, by "generator" or "discriminator".

    Raises:
        UsageError: for a request that cannot be met, before anything is written.
        DataError: if the images cannot be used.
        DivergedError: if training gives numbers that are not finite.
        InterruptedRun: after Ctrl-C; the state is saved, and `open_run(out).resume()` goes on.
    """
    check_values(
        batch_size=batch_size,
        seed=seed,
        on_bad_image=on_bad_image,
        sample_every=sample_every,
        checkpoint_every=checkpoint_every,
        keep=keep,
        on_collapse=on_collapse,
    )
    options = options_of(
        data=data_name(data),
        data_root=data_root,
        image_size=image_size,
        channels=channels,
        source=None if source is None else data_name(source),
        side_by_side=side_by_side,
        direction=direction,
        unpaired=unpaired,
        source_size=source_size,
        source_channels=source_channels,
        conditional=conditional,
        steps=steps,
        images=images,
        overrides=overrides,
        mixins=mixins,
        precision=precision,
        device=device,
        threads=threads,
    )
    request = Request(
        out=path_of("out", out),
        variant=card_of(variant),
        options=options,
        batch_size=batch_size,
        seed=seed,
        on_bad_image=on_bad_image,
        intervals=Intervals(sample_every, checkpoint_every, keep, on_collapse),
        track=names_of("track", track),
        callbacks=callbacks_of(callbacks),
        quiet=not progress,
        start_from=None if start_from is None else start_of(start_from),
        freeze=frozen_layers(freeze),
    )
    return train_request(request)

"""The request of `ganzoo bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ganzoo.config.options import TrainOptions


@dataclass(frozen=True, kw_only=True)
class Request:
    """Holds the arguments of `ganzoo bench`; None means the default that the option documents."""

    out: Path
    sources: tuple[str, ...] = ()
    options: TrainOptions = TrainOptions(device="cpu", threads=1)
    train: bool = False
    everything: bool = False
    reference: str | None = None
    reference_source: str | None = None
    seeds: str | None = None
    minutes: float | None = None
    generator: tuple[str, ...] = ()
    discriminator: tuple[str, ...] = ()
    loss: tuple[str, ...] = ()
    points: int | None = None
    eval_images: int | None = None
    point_images: int | None = None
    extractor: str | None = None
    second_extractor: str | None = None
    metrics: tuple[str, ...] = ()
    jobs: int | None = None
    shard: str | None = None
    ray: str | None = None
    retry_failed: bool = False
    quiet: bool = False

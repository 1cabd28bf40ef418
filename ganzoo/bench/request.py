"""The request of `ganzoo bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Request:
    """Holds the options of `ganzoo bench`; None means the default that the option documents."""

    out: Path
    sources: tuple[str, ...] = ()
    train: bool = False
    everything: bool = False
    data: str | None = None
    reference: str | None = None
    data_root: Path | None = None
    image_size: int | None = None
    channels: int | None = None
    conditional: bool | None = None
    seeds: str | None = None
    steps: int | None = None
    images: int | None = None
    minutes: float | None = None
    settings: tuple[str, ...] = ()
    generator: tuple[str, ...] = ()
    discriminator: tuple[str, ...] = ()
    loss: tuple[str, ...] = ()
    mixins: tuple[str, ...] = ()
    points: int | None = None
    eval_images: int = 10_000
    point_images: int | None = None
    extractor: str = "fashion-cnn"
    metrics: tuple[str, ...] = ()
    precision: str | None = None
    device: str = "cpu"
    threads: int = 1
    jobs: int | None = None
    shard: str | None = None
    ray: str | None = None
    retry_failed: bool = False
    quiet: bool = False

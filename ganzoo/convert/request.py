"""What `ganzoo convert` is asked for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of `ganzoo convert`; `files` and `discriminator` are paths, `settings` as of `ganzoo train --set`.

    `variant` None means the only one that the files fit. `layout` is a registered name, "ganzoo" (our own names) or
    "auto". `key` and `discriminator_key` choose among several networks of a file. `image_size`, `channels` and
    `classes` give facts on the images that the files do not hold.
    """

    files: Sequence[Path]
    out: Path
    variant: str | None = None
    layout: str = "auto"
    key: str | None = None
    discriminator: Sequence[Path] = ()
    discriminator_key: str | None = None
    license: str = UNKNOWN
    dtype: str = "float32"
    image_size: int | None = None
    channels: int | None = None
    classes: int | None = None
    settings: Sequence[str] = ()

    def command(self, role: str = "generator", key: str | None = None, variant: str | None = None) -> str:
        """Returns the request as a command, with another key of one network, or for another variant."""
        keys = {"generator": self.key, "discriminator": self.discriminator_key} | ({role: key} if key else {})
        chosen = variant or self.variant
        options: list[tuple[str, object]] = [
            ("--variant", chosen),
            ("--key", keys["generator"]),
            *(("--discriminator", path) for path in self.discriminator),
            ("--discriminator-key", keys["discriminator"]),
            ("--layout", None if variant or self.layout == "auto" else self.layout),
            ("--license", None if self.license == UNKNOWN else self.license),
            ("--dtype", None if self.dtype == "float32" else self.dtype),
            ("--image-size", self.image_size),
            ("--channels", self.channels),
            ("--classes", self.classes),
            *(("--set", setting) for setting in ([] if variant else self.settings)),
            ("--out", self.out),
        ]
        words = ["ganzoo", "convert", *map(str, self.files)]
        words += [str(word) for option in options if option[1] is not None for word in option]
        return f"`{shlex.join(words)}`"

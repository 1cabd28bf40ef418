"""Writes a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.atomic import disk_errors, new_folder, write_file
from ganzoo.files.output_checks import check_new_folder
from ganzoo.files.strict_json import parse_json
from ganzoo.files.text import quoted
from ganzoo.models.config import DISCRIMINATOR_FILE, GENERATOR_FILE, ModelConfig, checked_config
from ganzoo.models.tensors import DTYPES, write_tensors
from ganzoo.variant import Part


def write_model(
    folder: Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    *,
    dtype: str = "float32",
    discriminator: tuple[Part, Mapping[str, Tensor]] | None = None,
) -> ModelConfig:
    """Writes a new model folder, whole or not at all, and returns the content of its config.json.

    `dtype` is how floating-point numbers are stored: "float32", "float16" or "bfloat16". UsageError if the folder has
    content; CheckpointError, with nothing written, for values that could not be read again.
    """
    folder = Path(folder)
    if dtype not in DTYPES:
        raise UsageError(f"Numbers cannot be stored as {quoted(dtype)}; known: {', '.join(DTYPES)}.")
    with disk_errors(f"{folder} cannot be written", GanzooError):
        check_new_folder(folder)
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        with new_folder(folder.absolute()) as temporary:
            config = replace(config, weights=write_tensors(temporary / GENERATOR_FILE, tensors, dtype))
            if discriminator is None:
                config = replace(config, discriminator_weights=None)
            else:
                part, its_tensors = discriminator
                written = write_tensors(temporary / DISCRIMINATOR_FILE, its_tensors, dtype)
                config = replace(config, discriminator=part, discriminator_weights=written)
            text = config.as_json().encode()
            checked_config(parse_json(text, "config.json", depth=16), "config.json")
            write_file(temporary / "config.json", text)
    return config

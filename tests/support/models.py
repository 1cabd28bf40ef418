"""What tests of model folders share: a tiny trained-looking generator, its folder, files of tensors made by hand."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch

from ganzoo import ImageSpec, Part, SampleSpec
from ganzoo.config.recipe import bind_part
from ganzoo.engine.build import build_part
from ganzoo.engine.randomness import seeded
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.model import Model
from ganzoo.registry.registry import registry

IMAGE = ImageSpec(16, 1)
OPTIONS = {"latent_dim": 6, "width": 4}


def lively_model(name: str = "dcgan", image: SampleSpec = IMAGE, seed: int = 0, **options) -> Model:
    """A generator whose images have contrast, as after training: batch norm saw latents, the last weights are large."""
    part = Part(name, options or (OPTIONS if name == "dcgan" else {}))
    with seeded(seed), torch.no_grad():
        generator = build_part(bind_part("generator", part, registry()), image)
        label = torch.arange(64) % image.classes if image.classes else None
        latent = generator.latent(64, torch.default_generator)
        settle(generator, latent, label)
        last = [tensor for tensor in generator.parameters() if tensor.dim() == 4][-1]
        while (images := generator(latent, label)).std() < 0.3:
            last.mul_(1 + 0.3 / images.std().clamp(min=0.1))
    config = ModelConfig(
        variant=name,
        generator=part,
        image=image,
        latent_dim=generator.latent_dim,
        provider=Provider(distribution="ganzoo", version="0.1.0"),
        license="MIT",
        training={"steps": 3},
        metrics={"frechet[fashion-cnn]": 1.5},
    )
    return Model(generator, config)


def settle(generator: torch.nn.Module, latent: torch.Tensor, label: torch.Tensor | None) -> None:
    """Gives every batch norm the statistics of these latents, and leaves the generator in evaluation mode."""
    norms = [module for module in generator.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    generator.train()(latent, label)
    for norm in norms:
        norm.momentum = 0.1
    generator.eval()


def edit_config(folder: Path, **changes) -> None:
    """Changes values of a folder's config.json; two underscores stand between the keys of a path."""
    path = folder / "config.json"
    data = json.loads(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        place[last] = value
    path.write_text(json.dumps(data))


def parts_of(path: Path) -> tuple[dict, bytes]:
    """(header, data) of a file that the library wrote."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def file_of(header: dict | str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with this header, however wrong, and this data; `length` is what it claims of the header."""
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data

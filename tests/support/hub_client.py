"""What the tests of the Hub share: a small model, and processes in which the real client talks to the stand-in."""

from __future__ import annotations

import json
import os
import re
import tempfile
from functools import cache
from pathlib import Path

import pytest
import torch
from forks import Talk

from ganzoo.config.recipe import bind_part
from ganzoo.engine.build import build_part
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.folder import write_model
from ganzoo.registry.registry import registry
from ganzoo.variant import ImageSpec, Part


class Client:
    """A process that does what it is asked, with a clean set of HF_* variables and what is given."""

    def __init__(self, folder: Path, endpoint: str, **environment: str):
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("HF_") and name not in ("HUGGING_FACE_HUB_TOKEN",)
        }
        settings = {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        self.folder, self.caches = folder, set()
        self.noise = tempfile.TemporaryFile()
        self.process = Talk(
            Path(__file__).with_name("hub_child.py"),
            environment=kept | settings | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"} | environment,
            error=self.noise.fileno(),
        )

    def __call__(
        self,
        do: str,
        *words: str,
        cache: str = "cache",
        token: str | None = None,
        seconds: float = 10.0,
        deadline: float = 60.0,
        reading: float = 10.0,
        **options,
    ) -> dict:
        """The answer to one request; a crash, a second line or anything printed besides fails the test."""
        folder = self.folder / cache
        self.caches.add(cache)
        limits = {"seconds": seconds, "deadline": deadline, "reading": reading}
        request = {"do": do, "words": words, "options": options, "cache": str(folder), "token": token, **limits}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "crash" not in answer, answer["crash"]
        assert self.printed() == "", self.printed()
        text = json.dumps(answer)
        assert "hf_" not in text.replace("hf_home", "") and "Traceback" not in text, text
        assert not re.search(r"\n|\w\(\w+=|<\w+ object|0x[0-9a-f]{6}", answer.get("error", "")), answer  # no internals
        return answer

    def printed(self) -> str:
        self.noise.seek(0)
        return self.noise.read().decode()

    def close(self) -> None:
        self.process.close()
        self.noise.close()


@cache
def model_files(seed: int = 0, size: int = 32) -> dict[str, bytes]:
    """The files of a small model, by name."""
    image = ImageSpec(size, 1)
    part = Part("dcgan", {"width": 4})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = build_part(bind_part("generator", part, registry()), image)
        for parameter in generator.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    config = ModelConfig(
        variant="dcgan",
        generator=part,
        image=image,
        latent_dim=generator.latent_dim,
        provider=Provider(distribution="ganzoo", version="0.1.0"),
        license="mit",
        training={"data": {"name": "tiny", "source": "/home/somebody/tiny"}},
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        write_model(folder, config, generator.state_dict())
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    """A process with an empty cache that talks to the module's `hub`."""
    client = Client(tmp_path_factory.mktemp("online"), hub.endpoint)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def without_faults(hub):
    """The module's `hub` answers rightly and has an empty log at the beginning of each test."""
    hub.faults.clear()
    hub.log.clear()
    yield
    hub.faults.clear()

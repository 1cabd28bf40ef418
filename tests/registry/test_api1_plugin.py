"""Plugin API 1: a frozen plugin still lists, trains, resumes, saves, loads, scores and converts."""

from __future__ import annotations

import json

import forks
import pytest
from distributions import Distribution, install
from paths import TESTS

import ganzoo

SOURCE = TESTS / "fixtures" / "api1_plugin"
PROBE = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import ganzoo
from ganzoo.cli import main
from ganzoo.data import load_images
from ganzoo.metrics.features import load_extractor
from ganzoo.metrics.score import score
from ganzoo.registry.registry import KINDS, registry
from ganzoo.testing import check_variant

def call(*words):
    try:
        main(list(words))
    except SystemExit as end:
        assert end.code == 0, (words, end.code)

found = registry()
names = {kind: [name for name in found.names(kind) if "api1" in name] for kind in KINDS}
for conditional in ("--conditional", "--unconditional"):
    words = ["train", "api1-gan", "--data", "api1-stripes", "--device", "cpu", "--threads", "1", conditional, "--quiet"]
    call(*words, "--steps", "4", "--set", "training.schedules={}", "--out", "run" + conditional)
call("train", "--out", "run--conditional", "--resume", "--steps", "6", "--quiet", "--device", "cpu")
model = ganzoo.load("./run--conditional")
model.save("model")
same = torch.equal(ganzoo.load("./model").sample(4, label="standing"), model.sample(4, label="standing"))
real = load_images("api1-stripes:test", size=8, channels=1, datasets=found.table("datasets"))
metrics = {"api1-mean-gap": found.get("metrics", "api1-mean-gap"), "frechet": found.get("metrics", "frechet")}
numbers = score(ganzoo.load("./run--unconditional"), real, load_extractor("api1-thumbnails"), metrics, images=32)
state = {f"net.{name}": tensor for name, tensor in ganzoo.load("./run--unconditional").generator.state_dict().items()}
torch.save(state, "old.pth")
call("convert", "old.pth", "--variant", "api1-gan", "--out", "converted")
converted = torch.equal(ganzoo.load("./converted").sample(2), ganzoo.load("./run--unconditional").sample(2))
checks = {outcome.check: outcome.state for outcome in check_variant("api1-gan")}
facts = {"names": names, "same": same, "numbers": numbers, "converted": converted, "checks": checks}
print(json.dumps(facts | {"warnings": found.warnings}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a process of its own did with the plugin, installed from a wheel."""
    place = tmp_path_factory.mktemp("api1")
    files = {f"api1_plugin/{file.name}": file.read_bytes() for file in (SOURCE / "api1_plugin").glob("*.py")}
    site = install([Distribution("api1-plugin", files, ("api1 = api1_plugin",))], place / "site")
    finished = forks.python(
        "-c",
        PROBE,
        folders=[site],
        cwd=place,
        GANZOO_CACHE=str(place / "cache"),
        GANZOO_LOAD_PLUGINS="api1-plugin",
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def test_everything_is_listed_without_a_warning(seen):
    assert seen["names"] == {
        "variants": ["api1-gan"],
        **{kind: ["api1"] for kind in ("generators", "discriminators", "losses", "regularizers", "augmentations")},
        "datasets": ["api1-stripes"],
        "extractors": ["api1-thumbnails"],
        "metrics": ["api1-mean-gap"],
        "layouts": ["api1-renamed"],
        "conditions": [],
        "trackers": [],
        "commands": [],
    }
    assert seen["warnings"] == []


def test_it_trains_resumes_saves_and_loads(seen):
    assert seen["same"]


def test_it_scores(seen):
    numbers = seen["numbers"]
    assert set(numbers) == {
        f"{name}[api1-thumbnails]" for name in ("api1-mean-gap", "api1-features", "api1-chance", "frechet")
    }
    assert numbers["api1-features[api1-thumbnails]"] == 32 and numbers["api1-mean-gap[api1-thumbnails]"] > 0


def test_it_converts(seen):
    assert seen["converted"]


def test_it_passes_every_check(seen):
    assert set(seen["checks"].values()) == {"ok"}


def test_the_api_has_a_number():
    assert ganzoo.API_VERSION >= 1 and "ganzoo_api = 1" in (SOURCE / "api1_plugin" / "__init__.py").read_text()

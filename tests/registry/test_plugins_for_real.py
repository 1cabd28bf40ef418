"""Two distributions of third parties, built as wheels, installed into a new environment, used, and removed again.

One has a loss alone, as `ganzoo new hinge-waves --loss-only` writes it; the other has everything: networks, loss, data
set, metric (`ganzoo new blobs --full`) and weights in the package.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import small
import torch
from environments import Environment, wheel

from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.folder import write_model
from ganzoo.registry.scaffold import rendered
from ganzoo.variant import ImageSpec, Part

pytestmark = pytest.mark.process  # builds wheels, and installs them into a virtual environment
USED = """
import ganzoo
from ganzoo.data import load_images
from ganzoo.metrics.features import load_extractor
from ganzoo.metrics.score import score
from ganzoo.registry.registry import registry

model = ganzoo.load("blobs.shapes")
images = model.sample(8, seed=1)
assert images.shape == (8, 1, 32, 32) and images.std() > 0.01
real = load_images("blobs-shapes", size=32, datasets=registry().table("datasets"))
metrics = {"blobs-distance": registry().get("metrics", "blobs-distance")}
print(score(model, real, load_extractor("fashion-cnn"), metrics, images=50), registry().warnings)
"""


def write(name: str, scope: str, folder: Path) -> Path:
    """The files of `ganzoo new`, in a folder called as the distribution."""
    source = folder / f"ganzoo-{name}"
    for path, text in rendered(name, scope).items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text, encoding="utf-8")
    return source


def add_weights(source: Path, monkeypatch) -> None:
    """Puts a generator into the package's files and its hash into the card, as docs/writing-a-plugin.md says."""
    monkeypatch.syspath_prepend(str(source))
    from ganzoo_blobs.model import BlobsGenerator

    image, part = ImageSpec(32, 1), Part("blobs", {"latent_dim": 8, "width": 4})
    torch.manual_seed(0)
    state = BlobsGenerator(image, **part.options).state_dict()
    provider = Provider(distribution="ganzoo-blobs", version="0.1.0")
    config = ModelConfig(variant="blobs", generator=part, image=image, latent_dim=8, provider=provider, license="MIT")
    kept = write_model(source / "ganzoo_blobs" / "files" / "shapes", config, state).weights
    card = source / "ganzoo_blobs" / "__init__.py"
    facts = f'image=ImageSpec(32, 1), sha256="{kept.sha256}", license="MIT", package_file="ganzoo_blobs:files/shapes"'
    text = card.read_text().replace(
        "import Part, Training, Variant,", "import ImageSpec, Part, Training, Variant, Weights,"
    )
    card.write_text(
        text.replace(
            "            sizes=", f'            weights={{"blobs.shapes": Weights({facts})}},\n            sizes=', 1
        )
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An environment, and a folder with the two wheels."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        loss, full = write("hinge-waves", "loss", folder), write("blobs", "full", folder)
        add_weights(full, patch)
        (folder / "wheels").mkdir()
        for source in (loss, full):
            wheel(source, folder / "wheels")
    small.images(folder / "grey.npz")
    return Environment(folder)


def test_installed_used_and_removed(place):
    before = place.files()
    done = place.run("ganzoo", "install", "ganzoo-hinge-waves", "ganzoo-blobs", "--", "--find-links", "wheels")
    assert done.returncode == 0, done.stderr
    assert (
        "ganzoo-hinge-waves:hinge-waves 0.1.0 works with ganzoo" in done.stdout
        and "  losses: hinge-waves\n" in done.stdout
    )
    assert "  datasets: blobs-shapes\n  metrics: blobs-distance\n" in done.stdout
    rows = {row["name"]: row for row in json.loads(place.run("ganzoo", "list", "--json").stdout)}
    assert (rows["hinge-waves"]["distribution"], rows["blobs"]["weights"]) == ("ganzoo-hinge-waves", ["blobs.shapes"])
    used = place.run("python", "-c", USED)
    assert used.returncode == 0 and "blobs-distance[fashion-cnn]" in used.stdout and used.stdout.endswith(" []\n"), (
        used.stderr
    )
    words = small.arguments(
        Path("grey.npz"), Path("runs/hinge"), "--set", "loss.margin=2", variant="hinge-waves", steps=2
    )
    trained = place.run("ganzoo", *words)
    assert trained.returncode == 0, trained.stderr
    gone = place.run("ganzoo", "uninstall", "ganzoo-hinge-waves", "ganzoo-blobs")
    assert gone.returncode == 0 and "ganzoo-blobs:blobs 0.1.0 is removed" in gone.stdout, gone.stderr
    assert place.files() == before
    for command in (
        ["sample", "./runs/hinge", "--out", "x.png"],
        ["train", "--out", "runs/hinge", "--resume", "--steps", "3"],
    ):
        lost = place.run("ganzoo", *command)
        assert lost.returncode in (1, 2) and len(lost.stderr.splitlines()) == 1, lost.stderr
        assert "'hinge-waves'" in lost.stderr and re.search(
            "'ganzoo-hinge-waves('| 0.1.0').* install that", lost.stderr
        ), lost.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scope"), [("hinge-waves", "loss"), ("ripples", "gan"), ("blobs", "full")])
def test_what_ganzoo_new_writes_passes_its_own_tests(tmp_path, name, scope):
    """The files as they are written: the numbers of their tests, and everything that ganzoo asks of a variant."""
    source = write(name, scope, tmp_path)
    place = Environment(tmp_path)
    done = place.run("pip", "install", "--quiet", "-e", ".[test]", cwd=source)
    assert done.returncode == 0, done.stderr
    tested = place.run("pytest", "-q", cwd=source)
    assert tested.returncode == 0 and " passed" in tested.stdout, tested.stdout

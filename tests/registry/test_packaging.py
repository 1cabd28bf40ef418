"""What is installed: the same from a checkout and from an sdist, with plugins, data and types, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from distributions import pip_install, run
from paths import ROOT

from ganzoo import __version__

pytestmark = pytest.mark.process  # builds and installs with pip
NOT_BUILT = shutil.ignore_patterns(
    "__pycache__", "*.egg-info", "build", "dist", ".*", "tests", "docs", "benchmarks", "runs"
)
STANDALONE = """\
[project]
name = "my-dcgan"
version = "1.0"
dependencies = ["ganzoo>=0.1"]

[project.entry-points.ganzoo]
my-dcgan = "my_dcgan"

[tool.setuptools]
package-data = { my_dcgan = ["files/*/*"] }
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout, so that building leaves nothing behind; with a folder of tests, to see it left out."""
    copy = tmp_path_factory.mktemp("source") / "ganzoo"
    shutil.copytree(ROOT, copy, ignore=NOT_BUILT)
    for folder in ("tests", "benchmarks", "docs"):
        (copy / folder).mkdir()
        (copy / folder / "probe.py").write_text("")
    shutil.copytree(ROOT / "docs" / "variants", copy / "docs" / "variants")
    return copy


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """The folder with an sdist and the wheel that was built from that sdist."""
    folder = tmp_path_factory.mktemp("built")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(source, tmp_path_factory):
    """The folder that `pip install .` fills, instead of site-packages."""
    folder = tmp_path_factory.mktemp("installed") / "site"
    pip_install(folder, "--no-build-isolation", source)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def packaged(source: Path) -> set[str]:
    """Every file of a checkout that belongs into the wheel."""
    files = {file.relative_to(source) for file in (source / "ganzoo").rglob("*") if file.is_file()}
    files |= {file.relative_to(source / "plugins") for file in (source / "plugins").rglob("*") if file.is_file()}
    wanted = {
        file.as_posix() for file in files if file.suffix == ".py" or file.name == "py.typed" or "files" in file.parts
    }
    pages = {f"ganzoo/studio/pages/{page.name}" for page in (source / "docs" / "variants").iterdir()}
    return {name for name in wanted if "__pycache__" not in name} | pages


def test_the_wheel_has_every_module_and_data_file(wheel, source):
    content = {name for name in wheel if ".dist-info/" not in name}
    assert content == packaged(source)
    assert "ganzoo/py.typed" in content
    assert any(name.startswith("ganzoo_plugins/datasets/files/") for name in content)


def test_an_editable_install_is_two_folders_on_the_path(source, tmp_path):
    """An import hook would lose against the current directory: beside a clone, `ganzoo` would be an empty namespace."""
    probe = (
        f"import os; os.chdir({str(source)!r}); import hatchling.build as b; print(b.build_editable({str(tmp_path)!r}))"
    )
    done = run("-c", probe)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / done.stdout.strip().splitlines()[-1]) as archive:
        code = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert [name for name in code if not name.endswith(".pth")] == []
        assert archive.read(code[0]).decode().split() == [str(source), str(source / "plugins")]


def test_the_wheel_carries_the_licenses(wheel):
    licenses = {name.rpartition("/")[2] for name in wheel if "/licenses/" in name}
    emoji = {"fluent-emoji-LICENSE", "noto-emoji-LICENSE"}
    assert licenses == {"LICENSE", "fashion-mnist-LICENSE", "real-esrgan-LICENSE", *emoji}


def test_the_sdist_is_enough_to_build_all(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "plugins/ganzoo_plugins/dcgan/model.py"} <= names


def test_from_a_checkout_comes_what_comes_from_an_sdist(installed, wheel):
    files = {file.relative_to(installed).as_posix() for file in installed.rglob("*") if file.is_file()}
    ours = {
        name
        for name in files
        if "__pycache__" not in name and not name.startswith("bin/") and ".dist-info/" not in name
    }
    assert ours == {name for name in wheel if ".dist-info/" not in name}


def test_nothing_else_is_installed(installed):
    assert {entry.name for entry in installed.iterdir()} - {"bin"} == {
        "ganzoo",
        "ganzoo_plugins",
        f"ganzoo-{__version__}.dist-info",
    }


def test_the_installed_package_lists_the_same_variants(installed, tmp_path):
    probe = "import ganzoo, ganzoo_plugins, json; print(json.dumps([ganzoo.__file__, ganzoo_plugins.__file__]))"
    places = json.loads(run("-c", probe, folders=[installed], cwd=tmp_path, GANZOO_LOAD_PLUGINS="").stdout)
    assert all(Path(place).is_relative_to(installed) for place in places)
    listed = run("-m", "ganzoo", "list", "--json", folders=[installed], cwd=tmp_path, GANZOO_LOAD_PLUGINS="")
    here = run("-m", "ganzoo", "list", "--json", cwd=tmp_path, GANZOO_LOAD_PLUGINS="")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert json.loads(listed.stdout) == json.loads(here.stdout)


def test_the_embedded_data_opens(installed, tmp_path):
    probe = """
import ganzoo_plugins.datasets as datasets
from ganzoo.registry.registry import registry
source = registry().get("datasets", "fashion-mnist-test")(None)
print(datasets.__file__, source.images.shape, len(source.labels), sep="|")
"""
    done = run("-c", probe, folders=[installed], cwd=tmp_path, GANZOO_LOAD_PLUGINS="")
    assert done.returncode == 0, done.stderr
    place, shape, labels = done.stdout.strip().split("|")
    assert Path(place).is_relative_to(installed)
    assert (shape, labels) == ("(10000, 28, 28)", "10000")


def test_embedded_weights_draw_from_an_installed_package(installed, tmp_path):
    """Every tag of every built-in, at its size, without the checkout."""
    probe = """
import ganzoo
import torch
torch.manual_seed(0)
for variant in ganzoo.variants():
    for tag, weights in variant.weights.items():
        model, image = ganzoo.load(tag), weights.image
        shape = (3, image.channels, image.size, image.size)
        sources = [torch.rand(3, *source.shape) * 2 - 1 for source in image.sources.values()]
        images = model.apply(*sources) if sources else model.sample(3, seed=1)
        assert images.shape == shape and images.std() > 0.15, tag
        print(tag)
"""
    done = run("-c", probe, folders=[installed], cwd=tmp_path, GANZOO_LOAD_PLUGINS="", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert {"dcgan.fashion-mnist", "infogan.fashion-mnist", "lsgan.fashion-mnist", "wgan-gp.fashion-mnist"} <= set(
        done.stdout.split()
    )


def test_a_builtin_copied_out_is_a_plugin_of_its_own(installed, tmp_path):
    """A short pyproject.toml and new names (a built-in keeps its own) are all that it takes; its weights come along."""
    package = tmp_path / "source" / "my_dcgan"
    shutil.copytree(ROOT / "plugins/ganzoo_plugins/dcgan", package, ignore=NOT_BUILT)
    card = (package / "__init__.py").read_text()
    renamed = re.sub(r'"(dcgan[^"]*|non-saturating|pytorch-examples|newmu)"', r'"my-\1"', card)
    (package / "__init__.py").write_text(renamed.replace("ganzoo_plugins.dcgan:", "my_dcgan:"))
    (package.parent / "pyproject.toml").write_text(STANDALONE)
    pip_install(tmp_path / "site", "--no-build-isolation", package.parent)
    probe = """
import ganzoo, torch
from ganzoo import ImageSpec
from ganzoo.registry.registry import registry
claim = registry().claim("generators", "my-dcgan")
generator = claim.value(ImageSpec(32, 1), width=8)
shape = tuple(generator(torch.zeros(2, 100)).shape)
print(claim.plugin.name, registry().get("variants", "my-dcgan").loss.name, shape, registry().warnings)
print(tuple(ganzoo.load("my-dcgan.fashion-mnist").sample(2).shape))
"""
    done = run("-c", probe, folders=[tmp_path / "site", installed], cwd=tmp_path, GANZOO_LOAD_PLUGINS="my-dcgan")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["my-dcgan:my-dcgan my-non-saturating (2, 1, 32, 32) []", "(2, 1, 32, 32)"]

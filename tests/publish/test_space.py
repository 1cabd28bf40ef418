"""Spaces: a folder that runs as it is, and its upload to a stand-in of the Hub."""

import os
import subprocess
import sys

import pytest
import yaml
from hub_client import model_files, write_files
from loopback_hub import WRITER, LoopbackHub

from ganzoo.cli import main
from ganzoo.models.load import load
from ganzoo.publish.space import requirements


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("models") / "model", model_files())


@pytest.fixture(scope="module")
def space(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spaces") / "mine"
    with pytest.raises(SystemExit) as ended:
        main(["space", str(model), "--out", str(folder), "--title", 'A "title": of mine'])
    assert ended.value.code == 0
    return folder


def test_a_space_is_an_app_its_model_and_its_code(space, model):
    assert {path.name for path in space.iterdir()} == {"app.py", "requirements.txt", "README.md", "model", "packages"}
    _, facts, text = (space / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    found = yaml.safe_load(facts)
    assert found["sdk"] == "gradio" and found["app_file"] == "app.py" and found["title"] == 'A "title": of mine'
    assert found["sdk_version"].count(".") == 2 and "dcgan" in text
    assert (load(space / "model").sample(4) == load(model).sample(4)).all()
    everything = b"".join(path.read_bytes() for path in space.rglob("*") if path.is_file())
    assert b"/home/somebody" not in everything
    assert sum(path.stat().st_size for path in (space / "packages").rglob("*")) < 6 * 2**20


def test_its_requirements_are_those_of_ganzoo_and_never_a_package_of_that_name(space, model):
    lines = (space / "requirements.txt").read_text().splitlines()
    assert any(line.startswith("torch") for line in lines) and any(line.startswith("pluggy") for line in lines)
    assert not [line for line in lines if line.startswith(("ganzoo", "gradio", "pytest"))]
    other = load(model)
    object.__setattr__(other.config.provider, "distribution", "ganzoo-mine")
    assert f"ganzoo-mine=={other.config.provider.version}" in requirements(other)


def test_its_code_finds_its_plugins_and_samples_without_an_installation(space):
    source = "import sys; sys.path.insert(0, 'packages'); import ganzoo; print(ganzoo.__file__); " + (
        "print(len(ganzoo.variants())); print(ganzoo.load('./model').sample(2).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=space,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    file, variants, shape = done.stdout.splitlines()
    assert str(space / "packages") in file and int(variants) > 40 and "[2, 1, 32, 32]" in shape


def test_a_folder_in_use_stays_as_it_is(space, model, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["space", str(model), "--out", str(space)])
    assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_a_space_is_uploaded_whole(model, tmp_path):
    hub = LoopbackHub()
    try:
        settings = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        settings |= {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": WRITER, "HF_HOME": str(tmp_path / "home")}
        settings |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-m", "ganzoo", "push", str(model), "owner/try-it", "--space"]
        done = subprocess.run(words, env=settings, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        head = hub.repositories["owner/try-it"].head
        assert {"app.py", "requirements.txt", "README.md", "model/config.json", "model/model.safetensors"} <= set(head)
        assert "packages/ganzoo/__init__.py" in head and b"somebody" not in head["model/config.json"]
        assert done.stdout.strip() == f"owner/try-it@{hub.repositories['owner/try-it'].refs['main']}"
        made = next(entry for entry in hub.log if entry["spot"] == "create")
        assert made["token"] == WRITER
    finally:
        hub.close()


@pytest.mark.parametrize("words", [["--license", "mit"], ["--tag", "v1"], ["--dtype", "float16"], ["--discriminator"]])
def test_options_of_models_are_not_those_of_spaces(words, model, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["push", str(model), "owner/try-it", "--space", *words])
    assert ended.value.code == 2 and "--space" in capsys.readouterr().err

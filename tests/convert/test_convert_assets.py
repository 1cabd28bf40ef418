"""Files of pretrained networks, made of stand-ins for the published ones: random numbers, with an injected hash."""

import hashlib
from dataclasses import replace

import pytest
import torch
from pretrained import vgg19_tensors
from safetensors.torch import load_file, save_file

from ganzoo.cli import group, main
from ganzoo.convert import assets
from ganzoo.convert.assets import KINDS, convert_asset
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.metrics.lpips import DIGEST, FILE, LPIPS
from ganzoo.metrics.paired import lpips
from ganzoo.networks.efficientnet import EfficientNetLite0
from ganzoo.networks.perceptual import frozen_vgg19


def accepted(kind: str, *paths, whole: bool = False) -> dict:
    """The kinds of assets in which these files are the published ones."""
    digests = [hashlib.sha256(path.read_bytes()).hexdigest()[: 64 if whole else 8] for path in paths]
    files = tuple(replace(one, sha256=digest) for one, digest in zip(KINDS[kind].files, digests, strict=True))
    return {kind: replace(KINDS[kind], files=files)}


@pytest.fixture
def published(tmp_path):
    """AlexNet with its classifier and the heads of LPIPS, as their publishers save them: old and new files of torch."""
    random = torch.Generator().manual_seed(0)
    state = {name: torch.randn(value.shape, generator=random) * 0.05 for name, value in LPIPS().state_dict().items()}
    alexnet = {name: value for name, value in state.items() if name.startswith("features")}
    heads = {name: value.abs() for name, value in state.items() if name.startswith("lin")}
    paths = tmp_path / "alexnet-owt-7be5be79.pth", tmp_path / "alex.pth"
    classifier = {"classifier.1.weight": torch.zeros(4, 4)}
    torch.save(alexnet | classifier, paths[0], _use_new_zipfile_serialization=False)
    torch.save(heads, paths[1])
    return paths, alexnet | heads


def test_lpips_runs_with_the_file_that_is_made(published, tmp_path, monkeypatch):
    paths, state = published
    out = tmp_path / "lpips-alex.safetensors"
    made = convert_asset(paths[::-1], "lpips-alex", out, accepted("lpips-alex", *paths))
    found = load_file(out)
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)
    assert made.sha256 == hashlib.sha256(out.read_bytes()).hexdigest() and made.tensors == 15
    assert f"{FILE}={out}" in made.usage and f"{DIGEST}={made.sha256}" in made.usage
    monkeypatch.setenv(FILE, str(out))
    monkeypatch.setenv(DIGEST, made.sha256)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert (lpips(images, 1 - images, low=0.0) > 0).all()


def test_the_command_offers_every_asset():
    option = next(one for one in group.get_command(None, "convert").params if one.name == "asset")
    assert set(option.type.choices) == set(KINDS)


def test_efficientnet_is_made_without_its_classifier_and_counters(tmp_path):
    state = EfficientNetLite0().state_dict()
    path, out = tmp_path / "whole.safetensors", tmp_path / "lite0.safetensors"
    more = {"classifier.weight": torch.zeros(2, 2), "bn1.num_batches_tracked": torch.zeros((), dtype=torch.int64)}
    save_file(state | more, path)
    made = convert_asset([path], "efficientnet-lite0", out, accepted("efficientnet-lite0", path))
    found = load_file(out)
    assert found.keys() == state.keys() and made.tensors == 240 and f"features={out}" in made.usage
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_vgg19_is_made_of_the_features_alone(tmp_path):
    path, out = tmp_path / "whole.safetensors", tmp_path / "vgg19.safetensors"  # this kind needs no second process
    save_file(vgg19_tensors() | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    made = convert_asset([path], "vgg19", out, accepted("vgg19", path))
    assert made.tensors == 32 and str(out) in made.usage
    found = load_file(out)
    assert found.keys() == vgg19_tensors().keys()
    assert frozen_vgg19(found, {"relu5_1": 1.0}).network.layers


def test_another_file_is_refused_by_its_hash_and_nothing_is_written(published, tmp_path):
    paths, out = published[0], tmp_path / "out.safetensors"
    for kind, files, words in (
        ("vgg19", paths[:1], "vgg19-dcbb9e9d.pth .sha256 dcbb9e9d.*download.pytorch.org.*got .*alexnet"),
        ("lpips-alex", paths, "alexnet-owt-7be5be79.pth .* and alex.pth .*lpips 0.1.4"),
        ("vgg91", paths[:1], "vgg91.*vgg19"),
    ):
        with pytest.raises(UsageError, match=words):
            convert_asset(files, kind, out)
    with pytest.raises(UsageError, match="no use for"):
        convert_asset(
            [*paths, tmp_path / "alex.pth", _other(tmp_path)], "lpips-alex", out, accepted("lpips-alex", *paths)
        )
    with pytest.raises(UsageError, match="cannot be read"):
        convert_asset([tmp_path / "missing.pth"], "vgg19", out)
    assert not out.exists()


def _other(folder):
    path = folder / "other.safetensors"
    save_file({"weight": torch.ones(1)}, path)
    return path


def test_a_file_of_the_right_hash_must_hold_the_tensors(published, tmp_path):
    state, out = published[1], tmp_path / "out.safetensors"
    whole, wrong = tmp_path / "whole.safetensors", _other(tmp_path)
    save_file({name: value for name, value in state.items() if name != "lin0.model.1.weight"}, whole)
    with pytest.raises(CheckpointError, match="lin0.model.1.weight of shape .* is missing"):
        convert_asset([whole, wrong], "lpips-alex", out, accepted("lpips-alex", whole, wrong))
    assert not out.exists()


def test_code_in_a_file_is_never_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path, out = tmp_path / "vgg19-dcbb9e9d.pth", tmp_path / "out.safetensors"
    torch.save({"features.0.weight": torch.zeros(1), "other": Payload()}, path)
    with pytest.raises(CheckpointError, match="would run code"):
        convert_asset([path], "vgg19", out, accepted("vgg19", path))
    assert not out.exists() and not (tmp_path / "ran").exists()


def test_the_command_says_the_hash_and_how_the_file_is_used(published, tmp_path, monkeypatch, capsys):
    (paths, state), out = published, tmp_path / "lpips.safetensors"
    # The content decides, and safetensors needs no second process.
    for path, start in zip(paths, ("features", "lin"), strict=True):
        save_file({name: value for name, value in state.items() if name.startswith(start)}, path)
    monkeypatch.setattr(assets.convert_asset, "__defaults__", (accepted("lpips-alex", *paths),))
    words = ["convert", *map(str, paths), "--asset", "lpips-alex", "--out", str(out)]
    with pytest.raises(SystemExit) as done:
        main(words)
    said = capsys.readouterr()
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert not done.value.code and digest in said.err and f"{DIGEST}={digest} ganzoo score" in said.out
    wrong = (
        (words, "in the way"),
        ([*words, "--key", "netG"], "--asset takes no --key"),
        ([*words, "--license", "MIT"], "--asset takes no --license"),
    )
    for more, fact in wrong:
        with pytest.raises(SystemExit) as done:
            main(more)
        assert done.value.code == 2 and fact in capsys.readouterr().err
    with pytest.raises(SystemExit) as done:
        main(["convert", str(paths[0]), "--out", str(tmp_path / "model")])
    said = capsys.readouterr().err
    assert done.value.code == 1 and "fits no layout of any variant" in said and "--asset lpips-alex" in said


def test_the_choices_of_the_command_are_the_assets():
    from ganzoo.cli.convert import convert as command

    option = next(parameter for parameter in command.params if parameter.name == "asset")
    assert set(option.type.choices) == set(KINDS)

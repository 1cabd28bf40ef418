"""Trainings that start from the weights of a model or run: what they take over, freeze, record and refuse."""

import hashlib
import json

import pytest
import small
import torch

import ganzoo
from ganzoo.cli import main
from ganzoo.cli.train import frozen_layers
from ganzoo.config.schema import read_run_config
from ganzoo.errors import UsageError
from ganzoo.models.folder import write_model
from ganzoo.models.start import freeze_layers, read_start
from ganzoo.publish.model_card import model_card
from ganzoo.publish.push import public_config
from ganzoo.registry.registry import registry


def call(*words) -> int:
    """The exit code of a command line, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


def refused(capsys, *words) -> str:
    """The one line of a command that exits with code 2."""
    capsys.readouterr()
    assert call(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    return line


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with tiny images and a run of two steps on them."""
    folder = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        small.images(folder / "grey.npz")
        assert call(*small.arguments(folder / "grey.npz", folder / "first", steps=2)) == 0
        yield folder


def words_for(workplace, name: str, *more: str, steps: int = 2) -> list[str]:
    return small.arguments(workplace / "grey.npz", workplace / name, *more, steps=steps)


@pytest.fixture(scope="module")
def second(workplace):
    """A run that started from the first one, with two frozen layers."""
    words = ("--from", workplace / "first", "--freeze", "discriminator:2", "--checkpoint-every", "2")
    assert call(*words_for(workplace, "second", *words, steps=4)) == 0
    return workplace / "second"


def learned(tree: dict) -> dict:
    """The tensors that an optimizer changes, without the statistics of batches."""
    return {name: tensor for name, tensor in tree.items() if "running" not in name and "num_batches" not in name}


def test_both_networks_and_the_average_start_from_the_stored_weights(workplace):
    still = [word for role in ("generator", "discriminator") for word in ("--set", f"training.{role}_lr=0")]
    words = ("--from", workplace / "first", "--set", "training.ema=0.9", *still)
    assert call(*words_for(workplace, "still", *words, steps=1)) == 0
    before, after = small.newest(workplace / "first"), small.newest(workplace / "still")
    for role, source in (("generator", "generator"), ("generator_ema", "generator"), ("discriminator",) * 2):
        assert small.same(learned(after[role]), learned(before[source]))


def test_a_run_that_averages_gives_its_average(workplace):
    assert call(*words_for(workplace, "averaged", "--set", "training.ema=0.9")) == 0
    trees, start = small.newest(workplace / "averaged"), read_start(str(workplace / "averaged"), registry())
    assert small.same(dict(start.tensors["generator"]), trees["generator_ema"])
    assert not small.same(trees["generator"], trees["generator_ema"])


def test_the_optimizers_start_anew(second):
    optimizers = small.newest(second)["training"]["optimizers"]
    steps = {float(one["step"]) for optimizer in optimizers.values() for one in optimizer["state"].values()}
    assert steps == {4.0}


def test_frozen_layers_stay_and_the_others_learn(workplace, second):
    before, after = small.newest(workplace / "first")["discriminator"], small.newest(second)["discriminator"]
    weights = [name for name, tensor in before.items() if tensor.dim() >= 2]
    assert [torch.equal(before[name], after[name]) for name in weights] == [True] * 2 + [False] * (len(weights) - 2)


def test_resuming_gives_the_same_bits(workplace, second):
    words = ("--from", workplace / "first", "--freeze", "discriminator:2", "--checkpoint-every", "2")
    assert call(*words_for(workplace, "halved", *words, steps=2)) == 0
    assert call("train", "--out", workplace / "halved", "--resume", "--steps", 4, "--device", "cpu") == 0
    assert small.same(small.newest(second), small.newest(workplace / "halved"))


def test_origin_and_freeze_are_recorded(workplace, second):
    config = read_run_config(second / "config.json")
    checkpoint = workplace / "first" / "checkpoints" / "step-000000002"
    assert config.freeze == {"discriminator": 2}
    assert (config.origin.source, config.origin.variant) == (str(checkpoint), "dcgan")
    assert config.origin.sha256 == {
        role: hashlib.sha256((checkpoint / f"{role}.safetensors").read_bytes()).hexdigest()
        for role in ("generator", "discriminator")
    }
    model = ganzoo.load(second)
    assert model.config.training["origin"]["sha256"] == config.origin.sha256
    assert model.config.training["freeze"] == {"discriminator": 2}
    card = model_card("owner/name", public_config(model.config), None)
    assert config.origin.sha256["generator"] in card and str(workplace) not in card


def test_a_run_without_origin_has_the_config_of_before(workplace):
    assert not {"origin", "freeze"} & set(json.loads((workplace / "first" / "config.json").read_text()))


def test_a_model_folder_gives_its_hash_and_its_discriminator_if_it_has_one(workplace):
    model = ganzoo.load(workplace / "first")
    model.save(workplace / "model")
    start = read_start(str(workplace / "model"), registry())
    digest = hashlib.sha256((workplace / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert (set(start.tensors), start.origin.sha256) == ({"generator"}, {"generator": digest})
    part = model.config.discriminator
    tensors = small.newest(workplace / "first")["discriminator"]
    write_model(workplace / "whole", model.config, model.generator.state_dict(), discriminator=(part, tensors))
    start = read_start(str(workplace / "whole"), registry())
    assert set(start.tensors) == {"generator", "discriminator"}
    assert small.same(dict(start.tensors["discriminator"]), tensors)


def test_a_tag_gives_its_registered_hash():
    start = read_start("gan.fashion-mnist", registry())
    weights = registry().get("variants", "gan").weights["gan.fashion-mnist"]
    assert start.origin.sha256 == {"generator": weights.sha256} and start.origin.source == "gan.fashion-mnist"


def test_the_first_tensor_that_does_not_fit_is_named(workplace, capsys):
    words = words_for(workplace, "wide", "--from", workplace / "first", "--set", "generator.width=8")
    line = refused(capsys, *words)
    first = next(iter(ganzoo.load(workplace / "first").generator.state_dict()))
    assert f"'{first}'" in line and "does not fit" in line
    assert not (workplace / "wide").exists()


@pytest.mark.parametrize(
    "words, fact",
    [
        (("--freeze", "discriminator:2"), "--from"),
        (("--from", "first", "--freeze", "loss:2"), "loss:2"),
        (("--from", "first", "--freeze", "discriminator:0"), "discriminator:0"),
        (("--from", "first", "--freeze", "discriminator:99"), "layers"),
        (("--from", "model2", "--freeze", "discriminator:1"), "holds no discriminator"),
        (("--from", "nothing"), "nothing"),
    ],
    ids=" ".join,
)
def test_what_cannot_start_is_refused_in_a_line(workplace, capsys, words, fact):
    if not (workplace / "model2").exists():
        ganzoo.load(workplace / "first").save(workplace / "model2")
    places = [
        str(workplace / word) if before == "--from" else word
        for before, word in zip(("", *words[:-1]), words, strict=True)
    ]
    assert fact in refused(capsys, *words_for(workplace, "refused", *places))
    assert not (workplace / "refused").exists()


def test_a_resumed_run_takes_no_other_start(second, workplace, capsys):
    words = ("train", "--out", second, "--resume", "--from", workplace / "first")
    assert "--from" in refused(capsys, *words)


def test_layers_are_frozen_with_the_norms_behind_them():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3),
        torch.nn.BatchNorm2d(2),
        torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(2, 2, 3)),
        torch.nn.Linear(2, 1),
    )
    freeze_layers(network, 2, "discriminator")
    assert {name.partition(".")[0] for name, one in network.named_parameters() if one.requires_grad} == {"3"}
    with pytest.raises(UsageError, match="3 layers"):
        freeze_layers(network, 3, "discriminator")


def test_values_of_freeze():
    assert frozen_layers(("discriminator:3", "generator:1")) == {"discriminator": 3, "generator": 1}
    with pytest.raises(UsageError, match="discriminator:N"):
        frozen_layers(("discriminator",))


def test_a_network_without_weights_is_no_start(workplace, capsys):
    plain = small.arguments(workplace / "grey.npz", workplace / "enlarging", variant="bicubic", steps=1)
    assert call(*plain) == 0
    again = small.arguments(workplace / "grey.npz", workplace / "again", variant="bicubic", steps=1)
    assert "generator of 'bicubic' has no weights" in refused(capsys, *again, "--from", workplace / "enlarging")
    assert not (workplace / "again").exists()

"""Files of wrappers and of several networks: converted where one network is meant, else the command that takes it."""

import shlex

import click
import pytest
import small
import torch
from messages import logged
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import AveragedModel

from ganzoo import ImageSpec
from ganzoo.cli import group
from ganzoo.cli.convert import convert as command
from ganzoo.convert import bundles
from ganzoo.convert.convert import convert
from ganzoo.convert.recognize import recognize
from ganzoo.convert.request import Request
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.registry.registry import registry
from ganzoo_plugins.dcgan.model import DCGANDiscriminator, DCGANGenerator

IMAGE = ImageSpec(32, 1)
COUNTER = "main.1.num_batches_tracked"


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return DCGANGenerator(IMAGE, 7, 4), DCGANDiscriminator(IMAGE, 4)


@pytest.fixture
def attempt(tmp_path):
    """Converts a state_dict; `said` gathers what was logged."""

    def run(tensors: dict, variant: str = "dcgan", **options):
        path = tmp_path / "file.safetensors"
        save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)
        convert(Request(files=[path], variant=variant, out=tmp_path / "out", **options), registry())
        return load_file(tmp_path / "out" / "model.safetensors")

    with logged() as run.said:
        yield run


def under(prefix: str, network) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in network.state_dict().items()}


def same(found, network) -> bool:
    wanted = network.state_dict()
    return set(found) == set(wanted) and all(torch.equal(found[name], wanted[name]) for name in wanted)


def suggested(error) -> list[str]:
    """The words of the one command in a message, which must be one that the command line takes."""
    (words,) = [shlex.split(part) for part in str(error.value).split("`") if part.startswith("ganzoo convert")]
    assert words[:2] == ["ganzoo", "convert"] and "\n" not in str(error.value)
    above = click.Context(group, info_name="ganzoo", **group.context_settings)  # the command keeps its names of --help
    command.make_context("convert", words[2:], parent=above)
    return words


def option(words: list[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words else None


def wrapped(generator) -> dict[str, dict[str, torch.Tensor]]:
    ema = under("ema_model", generator) | {"initted": torch.tensor(True), "step": torch.tensor([3])}
    return {
        "AveragedModel": AveragedModel(generator).state_dict(),
        "AveragedModel of DataParallel": AveragedModel(torch.nn.DataParallel(generator)).state_dict(),
        "ema-pytorch without the online model": ema,
        "a Lightning module of the generator alone": under("generator", generator),
        "a compiled module in a module": under("model._orig_mod", generator),
    }


@pytest.mark.parametrize("name", wrapped(DCGANGenerator(IMAGE, 7, 4)))
def test_one_network_behind_a_wrapper_is_converted(attempt, networks, name):
    assert same(attempt(wrapped(networks[0])[name]), networks[0])
    assert ("left out" in " ".join(attempt.said)) == ("Averaged" in name or "ema" in name)


def bundled(generator, discriminator) -> dict[str, tuple[dict[str, torch.Tensor], str]]:
    """Several networks in one state_dict, and the key that must be suggested."""
    both = under("generator", generator) | under("discriminator", discriminator)
    online = {"step": torch.tensor(3)} | under("online_model", generator) | under("ema_model", generator)
    return {
        "Lightning": (both, "generator"),
        "DataParallel of Lightning": ({f"module.{name}": value for name, value in both.items()}, "generator"),
        "a module in a module": ({f"gan.{name}": value for name, value in both.items()}, "gan.generator"),
        "with others": (both | {"lpips.lin0.weight": torch.zeros(2, 2)}, "generator"),
        "ema-pytorch": (online, "ema_model"),
        "each of them wrapped": (under("netG.module", generator) | under("netD.module", discriminator), "netG"),
    }


@pytest.mark.parametrize("name", bundled(DCGANGenerator(IMAGE, 7, 4), DCGANDiscriminator(IMAGE, 4)))
def test_several_networks_are_never_guessed_but_the_command_is_there_and_works(attempt, networks, tmp_path, name):
    tensors, key = bundled(*networks)[name]
    with pytest.raises(UsageError, match="holds several networks") as caught:
        attempt(tensors, license="MIT")
    words = suggested(caught)
    assert (option(words, "--key"), option(words, "--variant"), option(words, "--license")) == (key, "dcgan", "MIT")
    assert option(words, "--out") == str(tmp_path / "out") and not (tmp_path / "out").exists()
    assert same(attempt(tensors, key=key), networks[0])


def test_a_checkpoint_of_several_state_dicts_says_which_fits(networks, tmp_path):
    generator, discriminator = networks
    averaged = AveragedModel(generator).state_dict()
    both = under("generator", generator) | under("discriminator", discriminator)
    torch.save(
        {"G": generator.state_dict(), "G_ema": averaged, "D": discriminator.state_dict()}, tmp_path / "bundle.pth.tar"
    )
    torch.save({"state_dict": both, "epoch": 3, "callbacks": {}}, tmp_path / "last.ckpt")
    request = {"variant": "dcgan", "out": tmp_path / "out"}
    with pytest.raises(UsageError, match="There are: 'G' .*'G_ema' .*'D' ") as caught:
        convert(Request(files=[tmp_path / "bundle.pth.tar"], **request), registry())
    words = suggested(caught)
    assert option(words, "--key") == "G_ema" and "'G' would fit too" in str(caught.value)
    done = small.forked_ganzoo(*words[1:])
    assert done.returncode == 0, done.stderr
    assert same(load_file(tmp_path / "out" / "model.safetensors"), generator)
    request["out"] = tmp_path / "second"
    keys = {"key": "state_dict.generator", "discriminator_key": "discriminator"}
    file = [tmp_path / "last.ckpt"]
    convert(Request(files=file, discriminator=file, **keys, **request), registry())
    assert same(load_file(tmp_path / "second" / "model.safetensors"), generator)
    assert same(load_file(tmp_path / "second" / "discriminator.safetensors"), discriminator)


def test_a_file_of_another_variant_says_which(attempt, networks):
    infogan = registry().get("generators", "infogan")(ImageSpec(28, 1)).state_dict()
    with pytest.raises(CheckpointError, match=r"fits no layout of dcgan .*fits infogan \(layout ganzoo\)") as caught:
        attempt(infogan)
    assert option(suggested(caught), "--variant") == "infogan"
    with pytest.raises(CheckpointError, match=r"fits no layout of infogan .*fits dcgan \(layout pytorch") as caught:
        attempt(networks[0].state_dict(), variant="infogan")
    assert option(suggested(caught), "--variant") == "dcgan"
    with pytest.raises(CheckpointError, match="'generator' fits dcgan") as caught:
        attempt(under("generator", networks[0]) | under("discriminator", networks[1]), variant="infogan")
    words = suggested(caught)
    assert (option(words, "--variant"), option(words, "--key")) == ("dcgan", "generator")


def test_networks_that_fit_nothing_are_named_beside_the_table(attempt):
    with pytest.raises(CheckpointError, match=r"'disc' \(1 tensors\), 'gen' \(2 tensors\).*--key"):
        attempt({"gen.a.w": torch.zeros(2, 3), "gen.a.b": torch.zeros(2), "disc.a.w": torch.zeros(2, 7)})
    assert attempt.said[0].split() == ["ours", "in", "the", "file"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_counters_in_half_precision_are_whole_numbers_again(attempt, networks, dtype):
    half = {name: tensor.half() for name, tensor in networks[0].state_dict().items()}
    found = attempt(
        half | {COUNTER: torch.tensor(1e6).half(), "main.4.num_batches_tracked": torch.tensor(12.0)}, dtype=dtype
    )
    assert found[COUNTER].dtype == torch.int64 and found[COUNTER] == 65504
    assert found["main.4.num_batches_tracked"] == 12 and found["main.7.num_batches_tracked"] == 0
    assert any(COUNTER in line and "float16" in line for line in attempt.said)


@pytest.mark.parametrize("wrong", [0.5, torch.nan])
def test_a_counter_of_another_number_is_refused(attempt, networks, tmp_path, wrong):
    with pytest.raises(CheckpointError, match=f"'{COUNTER}' must hold whole numbers"):
        attempt(networks[0].state_dict() | {COUNTER: torch.tensor(wrong)})
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", ["netG.pt", "netG.ckpt"])
def test_an_archive_of_torchscript_is_a_program_and_the_message_says_how_to_save_its_weights(tmp_path, networks, name):
    traced = torch.jit.trace(networks[0].eval(), torch.zeros(1, 7))
    torch.jit.save(traced, tmp_path / name)
    with pytest.raises(CheckpointError, match="a TorchScript archive, which is a program") as caught:
        recognize([tmp_path / name])
    advised = str(caught.value).split("`")[1].replace("FILE", repr(str(tmp_path / name)))
    exec(advised.replace("'weights.pth'", repr(str(tmp_path / "weights.pth"))), {"torch": torch})
    assert same(torch.load(tmp_path / "weights.pth", weights_only=True), networks[0])


def test_names_of_hostile_files_cost_little():
    deep = {".".join("abcdefghij" * 10): (3,)}
    assert len(list(bundles.views(deep))) <= 1 + 2 * bundles.DEEPEST
    wide = {f"{i}.{j}.{k}": (3,) for i in range(30) for j in range(30) for k in range(3)}
    assert len(bundles.networks(wide)) < 2 * bundles.MOST_NETWORKS
    assert list(bundles.views({})) == [{}] and bundles.networks({}) == {} and bundles.listed({}) == ""

"""`ganzoo convert`: checkpoints of other code become model folders that load, or one line why not."""

import json
from pathlib import Path

import numpy
import pytest
import small
import torch
from messages import logged
from safetensors.torch import load_file, save_file
from test_layouts import arrays, original

import ganzoo
from ganzoo import ImageSpec, Part
from ganzoo.convert.convert import convert
from ganzoo.convert.recognize import recognize
from ganzoo.convert.request import Request
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo.layouts import Layout, Match
from ganzoo.registry.registry import registry
from ganzoo_plugins.dcgan.model import DCGANDiscriminator, DCGANGenerator

IMAGE = ImageSpec(32, 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of checkpoints: a small DCGAN pair as .safetensors (no second process) and .pth, and Newmu's arrays."""
    folder = tmp_path_factory.mktemp("foreign")
    torch.manual_seed(0)
    generator, discriminator = DCGANGenerator(IMAGE, 7, 4).state_dict(), DCGANDiscriminator(IMAGE, 4).state_dict()
    save_file({f"module.{name}": value for name, value in generator.items()}, folder / "netG.safetensors")
    save_file(discriminator, folder / "netD.safetensors")
    save_file({name.replace("main", "net"): value for name, value in generator.items()}, folder / "renamed.safetensors")
    save_file(generator | {"main.0.weight": generator["main.0.weight"] / 0}, folder / "infinite.safetensors")
    torch.save({"epoch": 1, "netG": generator, "netD": discriminator}, folder / "pair.pth")
    for name, value in arrays().items():
        numpy.save(folder / f"7_gen_params.jl_{name}.npy", value.numpy())
    (folder / "photo.pth").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (folder / "empty.pth").touch()
    return folder


@pytest.fixture
def make(place, tmp_path):
    """Converts files of `place` into `tmp_path / out`; `said` gathers what was logged."""

    def run(*names: str, out: str = "out", variant: str = "dcgan", **options):
        files = [file for name in names for file in sorted(place.glob(name))]
        run.said.clear()
        return convert(Request(files=files, variant=variant, out=tmp_path / out, **options), registry())

    with logged() as run.said:
        yield run


def tree(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_generator_and_its_discriminator_come_out_bit_for_bit(make, place, tmp_path):
    model = make("netG.safetensors", discriminator=[place / "netD.safetensors"], license="MIT")
    wanted = {name.removeprefix("module."): value for name, value in load_file(place / "netG.safetensors").items()}
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert set(found) == set(wanted) and all(torch.equal(found[name], value) for name, value in wanted.items())
    theirs = load_file(place / "netD.safetensors")
    beside = load_file(tmp_path / "out" / "discriminator.safetensors")
    assert set(beside) == set(theirs) and all(torch.equal(beside[name], value) for name, value in theirs.items())
    config = model.config
    assert (config.variant, config.image, config.latent_dim, config.license) == ("dcgan", IMAGE, 7, "MIT")
    assert config.generator == Part("dcgan", {"latent_dim": 7, "width": 4}) and config.discriminator == Part(
        "dcgan", {"width": 4}
    )
    assert (
        config.training["layout"] == "pytorch-examples"
        and config.training["converted_from"][0]["file"] == "netG.safetensors"
    )
    assert ganzoo.load(tmp_path / "out").sample(2).shape == (2, 1, 32, 32)
    found = "generator in the layout pytorch-examples, 32×32 grey images, part dcgan, latent_dim=7, width=4"
    assert make.said[0].endswith(found)


def test_newmu_arrays_draw_nearly_what_the_original_draws_and_a_second_run_writes_the_same_bytes(make, tmp_path):
    model = make("7_gen*.npy", variant="dcgan")
    latent = model.latent(512)
    assert (model.generate(latent) - original(arrays(), latent)).abs().mean() < 0.03
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["generator"]["name"] == "dcgan-newmu" and "depends on its neighbours" in config["training"]["note"]
    make("7_gen*.npy", out="again")
    assert tree(tmp_path / "out") == tree(tmp_path / "again")


def test_the_prior_that_shapes_do_not_say_can_be_set(make):
    model = make("7_gen*.npy", layout="newmu", settings=["generator=dcgan-newmu", "generator.prior=uniform"])
    assert model.latent(300).abs().max() <= 1 and model.config.generator.options["prior"] == "uniform"


@pytest.mark.parametrize(("file", "prior"), [("netG.safetensors", "standard normal"), ("7_gen*.npy", "normal")])
def test_what_no_file_says_is_said(make, file, prior):
    part = make(file).config.generator.name
    assert f"'{part}': activations, strides" in make.said[-1] and f"({prior})" in make.said[-1]


def test_half_precision_halves_the_bytes(make, place, tmp_path):
    make("netG.safetensors", dtype="float16")
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < 0.6 * (place / "netG.safetensors").stat().st_size


def test_our_own_names_of_any_variant(make, place, tmp_path):
    part = registry().get("generators", "infogan")
    trained = part(ImageSpec(28, 1))
    save_file({name: value.contiguous() for name, value in trained.state_dict().items()}, tmp_path / "mine.safetensors")
    request = {"files": [tmp_path / "mine.safetensors"], "variant": "infogan"}
    model = convert(Request(**request, out=tmp_path / "auto"), registry())
    assert model.image == ImageSpec(28, 1) and model.config.training["layout"] == "ganzoo"
    with pytest.raises(CheckpointError, match=r"fits no layout of infogan \(ganzoo\)"):
        convert(Request(**request, out=tmp_path / "grey", layout="ganzoo", channels=3), registry())


def test_a_layout_of_a_plugin(make, monkeypatch):
    class Renamed(Layout):
        variants = ("dcgan",)

        def recognize(self, shapes):
            return (
                Match(Part("dcgan", {"latent_dim": 7, "width": 4}), IMAGE, note="Renamed.")
                if "net.0.weight" in shapes
                else None
            )

        def convert(self, tensors, match):
            return {name.replace("net", "main"): value for name, value in tensors.items() if name not in self.lost}

        lost: tuple = ()

    table = registry()._table("layouts")
    monkeypatch.setitem(table, "renamed", [table["newmu"][0]._replace(value=Renamed)])
    make("renamed.safetensors")
    assert "Renamed." in make.said
    monkeypatch.setattr(Renamed, "lost", ("net.3.weight",))
    with pytest.raises(GanzooError, match="that is a mistake of the layout"):
        make("renamed.safetensors", out="lost")


REFUSED = {
    "variant": (
        UsageError,
        "No variant is called 'sgan'.*Variants: .*dcgan, .*infogan",
        "netG.safetensors",
        {"variant": "sgan"},
    ),
    "layout": (UsageError, "No layout is called 'numu'. Did you mean 'newmu'?", "netG.safetensors", {"layout": "numu"}),
    "layout of others": (
        UsageError,
        "'newmu' is of dcgan, not of infogan",
        "7_gen*.npy",
        {"layout": "newmu", "variant": "infogan"},
    ),
    "discriminator": (
        UsageError,
        "holds a discriminator, not a generator: --discriminator FILE takes it",
        "netD.safetensors",
        {},
    ),
    "other names": (
        CheckpointError,
        r"fits no layout of dcgan \(newmu, pytorch-examples, studiogan-deep-conv, ganzoo\)",
        "renamed.safetensors",
        {},
    ),
    "other layout": (CheckpointError, r"fits no layout of dcgan \(newmu\)", "netG.safetensors", {"layout": "newmu"}),
    "infinite": (CheckpointError, "'main.0.weight' has numbers that are not finite", "infinite.safetensors", {}),
    "size": (UsageError, "The file's size is 32, not 64", "netG.safetensors", {"image_size": 64}),
    "channels": (UsageError, "The file's channels is 1, not 3", "netG.safetensors", {"channels": 3}),
    "width": (
        UsageError,
        "generator.width is 4 in the file, not 8",
        "netG.safetensors",
        {"settings": ["generator.width=8"]},
    ),
    "option": (UsageError, "Did you mean 'width'", "netG.safetensors", {"settings": ["generator.widht=8"]}),
    "several files": (UsageError, "Several files can only be .npy", "net*.safetensors", {}),
    "no such group": (UsageError, "There is no group 'x'", "7_gen*.npy", {"key": "x"}),
    "blank license": (UsageError, "license.*blanks", "netG.safetensors", {"license": "  "}),
    "picture": (CheckpointError, "is a picture: give a file of weights", "photo.pth", {}),
    "nothing": (CheckpointError, "is empty: give a file of weights", "empty.pth", {}),
    "no such key": (UsageError, "has no tensors whose names start with 'x'", "netG.safetensors", {"key": "x"}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_converted_leaves_nothing(make, tmp_path, name):
    error, says, file, options = REFUSED[name]
    with pytest.raises(error, match=says) as caught:
        make(file, **options)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_a_mismatch_shows_names_side_by_side(make):
    with pytest.raises(CheckpointError):
        make("renamed.safetensors", settings=["generator.width=4", "generator.latent_dim=7"], image_size=32, channels=1)
    assert make.said[0].split() == ["ours", "in", "the", "file"]
    rows = [line.split("≠") for line in make.said[1:]]
    assert len(rows) == 4 + 3 * 5
    assert [left.split()[0].replace("main", "net") for left, _ in rows if "weight" in left] == [
        right.split()[0] for _, right in rows if "weight" in right
    ]
    assert rows[0][0].split() == ["main.0.weight", "7×16×4×4"] and rows[0][1].split() == ["net.0.weight", "7×16×4×4"]


def test_the_folder_must_be_new(make, tmp_path):
    (tmp_path / "out").mkdir()
    make("netG.safetensors")
    before = tree(tmp_path / "out")
    with pytest.raises(UsageError, match="is in the way"):
        make("netG.safetensors")
    assert tree(tmp_path / "out") == before


def test_the_command(place, tmp_path):
    done = small.forked_ganzoo("convert", str(place / "pair.pth"), "--variant", "dcgan", "--out", "made", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and list(tmp_path.iterdir()) == []
    assert "choose with --key. There are: 'netG'" in done.stderr
    done = small.forked_ganzoo(
        "convert", str(place / "pair.pth"), "--key", "netG", "--variant", "dcgan", "--out", "made", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ganzoo sample ./made -n 64 --out made.png\n" and "loaded back and verified" in done.stderr
    words = done.stdout.split()[1:]
    done = small.forked_ganzoo(*words, cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "made.png").is_file(), done.stderr


@pytest.mark.parametrize("kind", ["model", "run", "checkpoint"])
def test_a_folder_of_ganzoo_needs_no_conversion(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    folder = Path("runs") / "few"
    folder.mkdir(parents=True)
    if kind == "checkpoint":
        (folder / "MANIFEST.json").write_text("{}")
    else:
        variant = "dcgan" if kind == "model" else {"name": "dcgan"}
        (folder / "config.json").write_text(json.dumps({"format": 1, "variant": variant, "image": {}}))
    with pytest.raises(UsageError, match=r"of ganzoo already.*`ganzoo sample \./runs/few`"):
        recognize([folder])
    (folder / "config.json").write_text('{"architectures": ["other"]}')
    (folder / "MANIFEST.json").unlink(missing_ok=True)
    with pytest.raises(UsageError, match="holds no .npy files"):
        recognize([folder])


def test_numbers_that_are_not_finite_are_named_before_a_layout_is_searched(tmp_path):
    numpy.savez(tmp_path / "nan.npz", unknown=numpy.full((3, 3), numpy.nan, "float32"))
    with pytest.raises(CheckpointError, match="'unknown' holds NaN"):
        convert(Request(files=(tmp_path / "nan.npz",), variant=None, out=tmp_path / "out"), registry())
    assert not (tmp_path / "out").exists()

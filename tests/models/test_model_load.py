"""Loading from every kind of source: what comes back is what was saved, and what cannot come back is one clear line."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import small
import torch
from models import OPTIONS, edit_config, lively_model
from torch import nn

import ganzoo
from ganzoo import ImageSpec, Part, Variant
from ganzoo.checkpoints.checkpoint import list_checkpoints
from ganzoo.cli import main
from ganzoo.errors import CheckpointError, PluginError, UsageError
from ganzoo.models import hash_cache
from ganzoo.models.load import load_folder
from ganzoo.models.meta_device import build_on_meta, load_tensors, without_numbers
from ganzoo.models.source import Repository, parse_source
from ganzoo.networks import Generator
from ganzoo.registry.discovery import Plugin
from ganzoo.registry.registry import Claim, Registry, registry
from ganzoo.variant import Weights


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def saved(tmp_path):
    """(model, folder)"""
    model = lively_model()
    model.save(tmp_path / "model")
    return model, tmp_path / "model"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps with a moving average."""
    folder = tmp_path_factory.mktemp("run")
    data = small.images(folder / "grey.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        with pytest.raises(SystemExit) as ended:
            main(small.arguments(data, folder / "run", "--set", "training.ema=0.9", steps=2))
        assert ended.value.code == 0
    return folder / "run"


@pytest.mark.parametrize("leftover", [(), ("checkpoints",)])
def test_a_run_without_a_checkpoint_is_named_as_one(run, tmp_path, leftover, capsys):
    """It was stopped, or is looked at, before its first checkpoint."""
    young = tmp_path / "young"
    young.mkdir()
    shutil.copy(run / "config.json", young)
    for name in leftover:
        (young / name).mkdir()
    expected = (f"{young} is a run that has no checkpoint yet", f"`ganzoo train --out {young} --resume`")
    for words in (
        ("sample", young, "--out", tmp_path / "x.png"),
        ("explore", young, "--out", tmp_path / "x.png"),
        (*small.arguments(run.parent / "grey.npz", tmp_path / "other"), "--from", young),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words)])
        error = capsys.readouterr().err
        assert ended.value.code == 1 and all(text in error for text in expected), words
    for load in (
        ganzoo.load,
        lambda place: ganzoo.load(place, average=False),
        lambda place: ganzoo.open_run(place).model(),
    ):
        with pytest.raises(CheckpointError, match="no checkpoint yet") as refused:
            load(young)
        assert f'ganzoo.open_run("{young}").resume()' in str(refused.value)


# -- round trips ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mmap", [True, False])
def test_what_was_saved_draws_the_same_images(saved, mmap):
    model, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    found = ganzoo.load(folder, mmap=mmap)
    images = found.sample(5, seed=1)
    assert images.std() > 0.1 and torch.equal(images, model.sample(5, seed=1))
    assert found.config == model.config and found.variant == "dcgan" and found.image == ImageSpec(16, 1)
    assert found.config.metrics == {"frechet[fashion-cnn]": 1.5} and found.config.weights.dtype == "float32"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_stored_in_half_are_computed_in_float32(tmp_path, dtype):
    model = lively_model()
    model.save(tmp_path / "half", dtype=dtype)
    model.save(tmp_path / "whole")
    half, whole = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole"))
    assert half < 0.75 * whole
    found = ganzoo.load(tmp_path / "half")
    assert {tensor.dtype for tensor in found.generator.parameters()} == {torch.float32}
    for mine, stored in zip(model.generator.parameters(), found.generator.parameters(), strict=True):
        assert torch.equal(mine.to(getattr(torch, dtype)).float(), stored)
    assert 0 < (found.sample(8) - model.sample(8)).abs().max() < 0.3


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.3), (torch.float64, 1e-4)])
def test_other_numbers_to_compute_with(saved, dtype, tolerance):
    model, folder = saved
    found = ganzoo.load(folder, dtype=dtype)
    assert {tensor.dtype for tensor in found.generator.parameters()} == {dtype}
    images = found.sample(8)
    assert images.dtype == torch.float32 and (images - model.sample(8)).abs().max() < tolerance


def test_a_folder_saved_again_is_the_same(saved, tmp_path):
    _, folder = saved
    ganzoo.load(folder).save(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_run_saved_as_a_folder_draws_the_same(run, tmp_path):
    model = ganzoo.load(run)
    model.save(tmp_path / "model")
    found = ganzoo.load(tmp_path / "model")
    assert torch.equal(found.sample(4), model.sample(4))
    assert (
        found.config.training["steps"] == 2
        and found.config.latent_dim == 100
        and found.config.provider.distribution == "ganzoo"
    )


@pytest.mark.parametrize("which", ["run", "checkpoint", "folder"])
def test_run_checkpoint_and_folder_are_told_apart(run, tmp_path, which):
    ganzoo.load(run).save(tmp_path / "model")
    place = {"run": run, "checkpoint": list_checkpoints(run / "checkpoints")[0][1], "folder": tmp_path / "model"}[which]
    expected = small.newest(run)["generator_ema"]
    assert small.same(dict(ganzoo.load(place).generator.state_dict()), dict(expected))


# -- sources ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("owner/name", "owner/name", None),
        ("hf://owner/name", "owner/name", None),
        ("owner/name@v1.0", "owner/name", "v1.0"),
        ("hf://owner/na.me-2@refs/pr/1", "owner/na.me-2", "refs/pr/1"),
    ],
)
def test_repositories(text, repo, revision):
    assert parse_source(text, registry()) == Repository(repo, revision)


@pytest.mark.parametrize(
    "text", ["./owner/name", "/owner/name", "../name", "a/b/c", "C:\\models\\x", ".\\x", "owner/name/"]
)
def test_folders_by_how_they_are_written(text):
    assert not isinstance(parse_source(text, registry()), Repository)
    with pytest.raises(UsageError, match="There is no folder"):
        ganzoo.load(text)


def test_a_model_or_run_comes_before_a_repository_of_its_name(monkeypatch, saved, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "faces").symlink_to(saved[1])
    monkeypatch.chdir(tmp_path)
    assert ganzoo.load("runs/faces").config == saved[0].config
    assert parse_source("hf://runs/faces", registry()) == Repository("runs/faces", None)
    assert parse_source("runs/others", registry()) == Repository("runs/others", None)


def test_a_home_folder(monkeypatch, saved):
    monkeypatch.setenv("HOME", str(saved[1].parent))
    assert ganzoo.load("~/model").config == saved[0].config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf://owner", "names no repository"),
        ("hf://owner/name/more", "names no repository"),
        ("hf://owner/name@", "names no repository"),
        ("dcgan.fashion-mnst", "No pretrained generator is called"),
        ("", "No pretrained generator is called ''"),
        ("x" * 10_000, "No pretrained generator is called 'xxx"),
    ],
)
def test_what_names_nothing(text, message):
    with pytest.raises(UsageError, match=message) as refused:
        ganzoo.load(text)
    assert len(str(refused.value)) < 400


def test_a_folder_that_could_be_a_repository_or_a_tag_is_not_guessed(saved, monkeypatch):
    _, folder = saved
    monkeypatch.chdir(folder.parent)
    (folder.parent / "owner").mkdir()
    (folder.parent / "owner" / "pictures").mkdir()
    with pytest.raises(UsageError, match=r"write \./owner/pictures or hf://owner/pictures"):
        ganzoo.load("owner/pictures")
    folder.rename("owner/name")
    assert ganzoo.load("./owner/name").variant == ganzoo.load("owner/name").variant == "dcgan"
    monkeypatch.chdir("owner")
    with pytest.raises(UsageError, match=r"for the folder of that name write \./name"):
        ganzoo.load("name")
    assert ganzoo.load("./name").variant == "dcgan"


def test_a_tag_is_pinned_to_its_hash(saved, monkeypatch, tmp_path):
    model, folder = saved
    package = tmp_path / "site" / "package_with_weights"
    shutil.copytree(folder, package / "files" / "model")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for sha256, right in ((model.config.weights.sha256, True), ("0" * 64, False)):
        weights = Weights(
            image=model.image, sha256=sha256, license="MIT", package_file="package_with_weights:files/model"
        )
        variant = Variant(
            name="dcgan",
            summary="",
            paper="",
            year=2015,
            generator=Part("dcgan"),
            discriminator=None,
            loss=Part("x"),
            sizes=(16,),
            weights={"dcgan.tiny": weights},
        )
        monkeypatch.setattr(Registry, "variants", lambda self, variant=variant: [variant])
        if right:
            assert torch.equal(ganzoo.load("dcgan.tiny").sample(2), model.sample(2))
        else:
            with pytest.raises(CheckpointError, match="is not the registered one, 0000"):
                ganzoo.load("dcgan.tiny")


# -- damage -----------------------------------------------------------------------------------------


def test_every_truncation_and_replacement_is_refused(saved, tmp_path):
    _, folder = saved
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    other = lively_model(seed=1)
    other.save(tmp_path / "other")
    for wrong in (
        b"",
        content[:5],
        content[:200],
        content[:-1],
        content + b"\0",
        (tmp_path / "other" / "model.safetensors").read_bytes(),
    ):
        for options in ({}, {"mmap": False}, {"verify": True}):
            weights.write_bytes(wrong)
            with pytest.raises(CheckpointError, match="model.safetensors"):
                ganzoo.load(folder, **options)
    weights.unlink()
    with pytest.raises(CheckpointError, match="model.safetensors cannot be read: No such file"):
        ganzoo.load(folder)


def test_a_replaced_file_leaves_a_loaded_model_as_it_is(saved, tmp_path):
    model, folder = saved
    found = ganzoo.load(folder)
    lively_model(seed=1).save(tmp_path / "other")
    os.replace(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    assert torch.equal(found.sample(4), model.sample(4))


def test_a_file_that_was_checked_and_then_changed_is_refused(saved, monkeypatch):
    _, folder = saved
    later = (folder / "model.safetensors").stat().st_ctime + 10
    monkeypatch.setattr(hash_cache, "clock", lambda: later)
    ganzoo.load(folder)
    assert hash_cache._read()
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x55")
    with pytest.raises(CheckpointError, match="its sha256 differs"):
        ganzoo.load(folder)


def test_saving_never_overwrites_and_leaves_nothing_half(saved, tmp_path):
    model, folder = saved
    with pytest.raises(UsageError, match="is in the way"):
        model.save(folder)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is in the way"):
        model.save(tmp_path / "file")
    with pytest.raises(UsageError, match="'float8'; known: float32, float16, bfloat16"):
        model.save(tmp_path / "new", dtype="float8")
    next(model.generator.parameters())[0, 0, 0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        model.save(tmp_path / "new")
    assert (
        sorted(path.name for path in tmp_path.iterdir()) == ["file", "model"]
        and (tmp_path / "file").read_text() == "mine"
    )


def test_what_config_json_cannot_hold_is_not_saved(tmp_path):
    from dataclasses import replace

    model = lively_model()
    for change in (
        {"license": "two\nlines"},
        {"metrics": {"frechet": float("nan")}},
        {"training": {"notes": "x" * 70_000}},
    ):
        model.config = replace(lively_model().config, **change)
        with pytest.raises(CheckpointError, match="config.json"):
            model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": torch.int8}, "cannot compute in torch.int8; known: torch.float32"),
        ({"dtype": "float16"}, "cannot compute in float16"),
        ({"device": "quantum"}, "There is no device 'quantum' here; there is: .*cpu"),
        ({"device": "cpu:x"}, "'cpu:x' is no device"),
    ],
)
def test_wrong_options(saved, options, message):
    with pytest.raises(UsageError, match=message):
        ganzoo.load(saved[1], **options)


# -- who provides what ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "hint"),
    [
        (
            {"distribution": "ganzoo-fancy", "version": "1.2"},
            "The distribution 'ganzoo-fancy' '1.2' provides it: if you trust its authors",
        ),
        ({"distribution": "", "version": ""}, "does not say which distribution"),
        ({"distribution": "ganzoo", "version": "9.0"}, "It came with ganzoo '9.0'"),
    ],
)
@pytest.mark.parametrize("key", ["variant", "generator"])
def test_a_missing_plugin_is_named_with_its_distribution(saved, key, provider, hint):
    folder = saved[1]
    changes = {"variant": "fancy"} if key == "variant" else {"generator": {"name": "fancy", "options": OPTIONS}}
    edit_config(folder, provider=provider, **changes)
    with pytest.raises(CheckpointError, match=f"config.json: {key}: No {key} is called 'fancy'.*{hint}") as refused:
        ganzoo.load(folder)
    assert "pip install ganzoo" not in str(refused.value)


class Parts:
    """A registry with one generator."""

    def __init__(self, factory):
        self.factory = factory

    def claim(self, kind, name):
        return Claim(Plugin("odd", "ganzoo-odd", "1.0", "ganzoo_odd"), self.factory)

    def get(self, kind, name):
        return self.factory


class Deep(Generator):
    latent_dim = 3

    def __init__(self, image, depth: int = 2):
        super().__init__()
        self.layers = nn.Sequential(*[nn.Linear(3, 3) for _ in range(depth)])


class Remembering(Generator):
    """Keeps a buffer that is not saved, and a tensor that is no buffer."""

    latent_dim = 3

    def __init__(self, image):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("table", torch.full((3,), 5.0), persistent=False)
        self.scale = torch.full((3,), 2.0)

    def forward(self, latent, label=None):
        return (self.layer(latent) * self.scale + self.table)[:, :, None, None]


def config_of(**options):
    from dataclasses import replace

    return replace(lively_model().config, generator=Part("odd", options), latent_dim=3)


def test_options_that_ask_for_endless_layers_are_stopped():
    assert build_on_meta(config_of(depth=100), "config.json", Parts(Deep), 200).layers[99].weight.is_meta
    with pytest.raises(CheckpointError, match="^config.json: generator: .*options .*layers"):
        build_on_meta(config_of(depth=2**20), "config.json", Parts(Deep), 4)


def test_a_generator_that_keeps_unsaved_tensors_has_them():
    config, parts = config_of(), Parts(Remembering)
    tensors = {name: torch.ones_like(tensor) for name, tensor in Remembering(None).state_dict().items()}
    generator = load_tensors(build_on_meta(config, "config.json", parts, 2), tensors, config, parts)
    assert generator.layer.weight.data_ptr() == tensors["layer.weight"].data_ptr()
    assert generator(torch.ones(1, 3)).flatten().tolist() == [13, 13, 13]


def test_building_draws_no_random_numbers_and_keeps_those_on_the_processor():
    class Noisy(Deep):
        def __init__(self, image):
            super().__init__(image)
            nn.init.normal_(self.layers[0].weight)
            self.fixed = torch.zeros(4, device="cpu").normal_()
            self.register_buffer("noise", torch.randn(3, generator=torch.Generator()))

    before = torch.get_rng_state()
    generator = build_on_meta(config_of(), "config.json", Parts(Noisy), 5)
    assert generator.noise.is_meta and not generator.fixed.is_meta and generator.fixed.std() > 0
    assert not torch.equal(before, torch.get_rng_state())  # by the one tensor that asks for the processor itself
    torch.set_rng_state(before)
    build_on_meta(config_of(), "config.json", Parts(Deep), 5)
    assert torch.equal(before, torch.get_rng_state())


def test_a_factory_that_fails_is_one_line():
    def failing(image):
        raise RuntimeError("several\nlines")

    with pytest.raises(CheckpointError, match="config.json: generator: .*ganzoo-odd:odd .*RuntimeError: several lines"):
        build_on_meta(config_of(), "config.json", Parts(failing), 5)
    with pytest.raises(CheckpointError, match="builds no ganzoo.networks.Generator"):
        build_on_meta(config_of(), "config.json", Parts(lambda image: nn.Linear(2, 2)), 5)


def test_a_broken_plugin_is_said_as_everywhere(saved):
    class Broken(Parts):
        def claim(self, kind, name):
            raise PluginError("The variant 'x' is missing because plugin y is broken: z")

    with pytest.raises(PluginError, match="is broken"):
        build_on_meta(config_of(), "config.json", Broken(Deep), 5)


# -- what loading does not do -----------------------------------------------------------------------


def test_nothing_is_initialized_and_nothing_copied(saved):
    """The numbers of the generator are the pages of the file: they lie in one mapping, in the order of the file."""
    model = load_folder(saved[1])
    pointers = sorted(tensor.data_ptr() for tensor in model.generator.state_dict().values())
    size = (saved[1] / "model.safetensors").stat().st_size
    assert pointers[-1] - pointers[0] < size
    if sys.platform == "linux":
        maps = [line.split() for line in open("/proc/self/maps") if line.rstrip().endswith("model.safetensors")]
        spans = [[int(end, 16) for end in fields[0].split("-")] for fields in maps]
        assert all(any(low <= pointer < high for low, high in spans) for pointer in pointers)


def test_drawing_imports_neither_optimizers_nor_the_compiler(saved, run, tmp_path):
    """Of a model folder and then of a run, in one interpreter: what neither needs is not imported."""
    code = """
import sys
from ganzoo.cli import main
for source, out in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        main(["sample", source, "-n", "4", "--out", out])
    except SystemExit as end:
        assert not end.code, end.code
print(*sorted(sys.modules), file=sys.stderr)
"""
    pictures = [tmp_path / "model.png", tmp_path / "run.png"]
    words = map(str, (saved[1], pictures[0], run, pictures[1]))
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = set(done.stderr.split())
    assert "ganzoo.models.model" in modules and all(picture.is_file() for picture in pictures)
    assert not modules & {
        "ganzoo.engine.optimizers",
        "ganzoo.engine.trainer",
        "ganzoo.runs.train",
        "torch._dynamo",
        "torch._inductor",
        "huggingface_hub",
    }


def test_a_folder_of_another_format_says_so(saved):
    edit_config(saved[1], format=2)
    with pytest.raises(CheckpointError, match="format: 2 .*update ganzoo"):
        ganzoo.load(saved[1])
    assert json.loads((saved[1] / "config.json").read_text())["format"] == 2


def test_a_variants_name_leads_to_its_tag(tmp_path):
    with pytest.raises(UsageError, match=r"'dcgan'. Did you mean dcgan.fashion-mnist\?"):
        ganzoo.load("dcgan")
    with pytest.raises(UsageError, match="no pretrained generator here: train one"):
        ganzoo.load("wgan-gp-resnet")


@pytest.mark.parametrize("name", ["G.pth.tar", "weights"])
def test_a_file_in_place_of_a_folder_is_named_by_its_content_with_the_command_that_converts_it(
    tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    torch.save({"main.0.weight": torch.zeros(3)}, name)
    with pytest.raises(UsageError, match=f"torch checkpoint.*`ganzoo convert {name} --out") as caught:
        ganzoo.load(name)
    assert "\n" not in str(caught.value)
    (tmp_path / name).write_text("<!DOCTYPE html>")
    with pytest.raises(UsageError, match="a web page") as caught:
        ganzoo.load(tmp_path / name)
    assert "ganzoo convert" not in str(caught.value)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="give .*"):
        ganzoo.load(tmp_path / name)


def test_arithmetic_without_numbers_keeps_shapes_and_types():
    def made():
        whole, line = torch.arange(6).reshape(2, 3), torch.linspace(0, 1, 3)
        results = [whole * line, whole / 2, whole / whole, line * 2, line / whole, whole * 2, line.square()]
        results += [
            torch.outer(line, whole[0]),
            torch.outer(whole[0], line),
            torch.nn.functional.normalize(line, dim=0, eps=1e-5),
        ]
        return [*results, torch.div(line, 2, rounding_mode="floor"), line.half() * 2, 2 * line]

    with without_numbers():
        found = made()
    for ours, wanted in zip(found, made(), strict=True):
        assert ours.is_meta and (ours.shape, ours.dtype) == (wanted.shape, wanted.dtype)

"""`ganzoo convert` without --variant: all layouts of all variants are asked, and nothing is guessed."""

import time

import pytest
import small
import torch
from messages import logged
from safetensors.torch import load_file, save_file

from ganzoo import ImageSpec, Part
from ganzoo.convert.convert import convert
from ganzoo.convert.request import Request
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.layouts import Layout, Match
from ganzoo.registry.registry import registry

IMAGE = ImageSpec(32, 1)


def state_of(part: str, image: ImageSpec = IMAGE, **options) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    module = registry().get("generators", part)(image, **options)
    return {name: value.contiguous() for name, value in module.state_dict().items()}


@pytest.fixture
def attempt(tmp_path):
    """Converts tensors without a variant; `said` gathers what was logged."""

    def run(tensors, **options):
        save_file(tensors, tmp_path / "weights.safetensors")
        run.said.clear()
        request = Request(files=[tmp_path / "weights.safetensors"], out=tmp_path / "out", **options)
        return convert(request, registry())

    with logged() as run.said:
        yield run


def layouts(monkeypatch, **found: type[Layout]) -> None:
    table = registry()._table("layouts")
    for name, layout in found.items():
        monkeypatch.setitem(table, name, [table["newmu"][0]._replace(value=layout)])


def test_the_only_variant_that_fits_is_taken_and_said(attempt, tmp_path):
    tensors = state_of("dcgan", latent_dim=7, width=4)
    model = attempt(tensors)
    assert model.variant == "dcgan" and attempt.said[0].endswith("the generator of dcgan")
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(found[name], value) for name, value in tensors.items())


def test_our_own_names_of_one_variant(attempt):
    model = attempt(state_of("infogan", ImageSpec(28, 1)))
    assert (model.variant, model.image) == ("infogan", ImageSpec(28, 1))


def test_variants_with_one_generator_are_the_same_network(attempt):
    part = registry().get("variants", "cut").generator
    model = attempt(state_of(part.name, Match(part, source(64)).image, width=4))
    assert model.variant == "cut" and "whose generator fastcut has too" in attempt.said[0]


def source(size: int):
    from ganzoo import Field, SampleSpec

    return SampleSpec(Field((3, size, size)), {"source": Field((3, size, size))})


def test_several_variants_are_listed_with_a_command(attempt, tmp_path, monkeypatch):
    class Both(Layout):
        variants = ("dcgan", "lsgan")

        def recognize(self, shapes):
            options = {"latent_dim": 7, "width": 4}
            return Match(Part("dcgan", options), IMAGE) if "only.weight" in shapes else None

    layouts(monkeypatch, both=Both)
    with pytest.raises(
        UsageError, match=r"fits several variants: dcgan \(layout both\), lsgan .*--variant dcgan"
    ) as caught:
        attempt({"only.weight": torch.zeros(3)})
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_layout_that_knows_a_file_may_refuse_it_in_its_words(attempt, monkeypatch):
    class Refusing(Layout):
        variants = ("dcgan",)

        def recognize(self, shapes):
            if "only.weight" in shapes:
                raise CheckpointError("these are the weights of X, which has no network here")
            return None

    layouts(monkeypatch, refusing=Refusing)
    for variant in (None, "dcgan"):
        with pytest.raises(CheckpointError, match="weights.safetensors: these are the weights of X"):
            attempt({"only.weight": torch.zeros(3)}, variant=variant)


def test_a_file_that_fits_nothing_is_refused_in_seconds(attempt, tmp_path):
    began = time.process_time()
    with pytest.raises(CheckpointError, match=r"fits no layout of any variant .*'gen.0.weight'.*--variant") as caught:
        attempt({"gen.0.weight": torch.zeros(3, 3), "gen.0.bias": torch.zeros(3), "step": torch.zeros(2)})
    assert time.process_time() - began < 15 and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_file_that_nearly_fits_shows_the_nearest_names(attempt):
    tensors = state_of("infogan", ImageSpec(28, 1))
    first = next(iter(tensors))
    with pytest.raises(CheckpointError, match="the table above has our names"):
        attempt({name: value for name, value in tensors.items() if name != first} | {"other": torch.zeros(3)})
    assert attempt.said[0].split() == ["ours", "in", "the", "file"]


def test_several_networks_without_a_variant_have_their_command(attempt):
    tensors = state_of("dcgan", latent_dim=7, width=4)
    both = {f"{part}.{name}": value for part in ("generator", "averaged") for name, value in tensors.items()}
    with pytest.raises(UsageError, match="'averaged' fits the generator of dcgan .*--variant dcgan --key averaged"):
        attempt({name: value.clone() for name, value in both.items()})


def test_settings_need_the_variant_that_they_set(attempt):
    with pytest.raises(UsageError, match="generator.width=4 needs --variant"):
        attempt({"x": torch.zeros(1)}, settings=["generator.width=4"])


def test_the_license_is_asked_for_and_never_assumed(attempt):
    tensors = state_of("dcgan", latent_dim=7, width=4)
    assert attempt(tensors).config.license == "unknown"
    assert any("No license is recorded" in line and "--license" in line for line in attempt.said)


def test_a_license_is_recorded(attempt):
    assert (
        attempt(state_of("dcgan", latent_dim=7, width=4), license="CC-BY-NC-SA-4.0").config.license == "CC-BY-NC-SA-4.0"
    )
    assert not any("No license" in line for line in attempt.said)


def test_the_command_needs_a_file_and_a_folder_alone(tmp_path):
    save_file(state_of("dcgan", latent_dim=7, width=4), tmp_path / "netG.safetensors")
    done = small.forked_ganzoo("convert", "netG.safetensors", "--out", "made", cwd=tmp_path)
    assert done.returncode == 0 and "the generator of dcgan" in done.stderr, done.stderr
    assert "No license is recorded" in done.stderr and (tmp_path / "made" / "config.json").is_file()

"""Parts get pretrained networks after they are built: verified, frozen, in no checkpoint."""

import hashlib
import sys

import pytest
import torch
from contract.harness import IMAGE, Pictures
from contract.parts import NonSaturating, TinyDiscriminator, TinyGenerator
from loopback_hub import LoopbackHub
from messages import logged
from safetensors.torch import save
from torch import nn

from ganzoo import Asset, Part, Training, Variant
from ganzoo.config.recipe import BoundPart, Recipe
from ganzoo.engine.assets import provide_assets, read_asset
from ganzoo.engine.build import build_trainer
from ganzoo.errors import CheckpointError, GanzooError, PluginError
from ganzoo.networks import FrozenNetwork
from ganzoo.registry.discovery import Plugin

TENSORS = {"weight": torch.full((2, 1, 3, 3), 0.25), "bias": torch.zeros(2)}
DATA = save(TENSORS)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "asset_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "features.safetensors").write_bytes(DATA)
    monkeypatch.syspath_prepend(tmp_path)
    yield "asset_package:features.safetensors"
    sys.modules.pop("asset_package", None)


def perceptual(asset):
    class Perceptual(NonSaturating):
        assets = {"features": asset}

        def load_assets(self, tensors):
            network = nn.Conv2d(1, 2, 3)
            network.load_state_dict(tensors["features"], assign=True)
            self.features = FrozenNetwork(network)

        def generator(self, turn):
            distance = (self.features(turn.fake) - self.features(turn.real)).square().mean()
            return {**super().generator(turn), "perceptual": distance}

    return Perceptual


def trainer_with(loss):
    plugin = Plugin("test", "test", "1", "test")
    factories = {"generator": TinyGenerator, "discriminator": TinyDiscriminator, "loss": loss}
    variant = Variant(
        name="perceptual",
        summary="A loss with features.",
        paper="https://example.org",
        year=2016,
        **{role: Part("test") for role in factories},
        sizes=(8,),
        training=Training(batch_size=4, steps=4),
    )
    parts = {role: BoundPart(role, "test", {}, factory, plugin) for role, factory in factories.items()}
    return build_trainer(Recipe(variant, parts, plugin), IMAGE, Pictures(IMAGE, 4))


def test_a_frozen_network_teaches_the_generator_and_is_in_no_checkpoint(package):
    trainer = trainer_with(perceptual(Asset(package_file=package, sha256=SHA256, license="mit")))
    terms = trainer.step()
    assert terms["generator.perceptual"] > 0
    network = trainer.loss.features.network
    assert torch.equal(network.weight, TENSORS["weight"]) and not network.weight.requires_grad
    assert list(trainer.loss.parameters()) == [] and trainer.state()["training"]["modules"]["loss"] == {}


def test_the_file_must_be_the_registered_one(package):
    with pytest.raises(CheckpointError, match="asset 'features' of the loss 'test' is another file .* " + SHA256[:12]):
        trainer_with(perceptual(Asset(package_file=package, sha256="0" * 64, license="mit")))


def test_a_missing_file_or_package_is_named():
    for place in ("asset_package_missing:x", "ganzoo:no.safetensors"):
        with pytest.raises(CheckpointError, match=f"cannot be read from {place}"):
            read_asset(Asset(package_file=place, sha256=SHA256, license="mit"), "the asset")


def test_a_part_that_cannot_take_its_assets_is_named(package):
    class Deaf(nn.Module):
        assets = {"features": Asset(package_file=package, sha256=SHA256, license="mit")}

    with pytest.raises(PluginError, match="The loss 'deaf' names assets .features. and has no method load_assets"):
        provide_assets(Deaf(), "loss", "deaf", "cpu", torch.float32)


def test_a_file_that_a_user_names_is_read_and_its_hash_returned(tmp_path):
    path = tmp_path / "features.safetensors"
    path.write_bytes(DATA)
    trainer = trainer_with(perceptual(Asset(path=str(path))))
    assert trainer.step()["generator.perceptual"] > 0
    assert trainer.assets == {"loss.features": SHA256}
    with pytest.raises(CheckpointError, match="another file than the stated one: the sha256 of .*features.safetensors"):
        trainer_with(perceptual(Asset(path=str(path), sha256="0" * 64)))
    path.write_bytes(b"\x80\x02no tensors")
    with pytest.raises(CheckpointError, match="features.safetensors, is no safetensors file"):
        trainer_with(perceptual(Asset(path=str(path))))
    path.unlink()
    with pytest.raises(CheckpointError, match="features.safetensors cannot be read"):
        trainer_with(perceptual(Asset(path=str(path))))


def test_an_option_that_names_no_file_leaves_its_term_out_and_a_line_says_so():
    class WithoutFile(NonSaturating):
        assets = {"features": None}

    with logged() as said:
        trainer = trainer_with(WithoutFile)
    assert trainer.assets == {} and ["--set loss.features=FILE" in line for line in said] == [True]


def test_an_asset_comes_from_the_hub_once_and_only_if_it_is_right(tmp_path, monkeypatch):
    from huggingface_hub import constants

    hub = LoopbackHub()
    commit = hub.put("owner/features", {"model.safetensors": DATA})
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    place = {"repo": "owner/features", "revision": commit, "license": "mit"}
    try:
        for _ in range(2):
            found = read_asset(Asset(sha256=SHA256, **place), "the asset")
            assert torch.equal(found["weight"], TENSORS["weight"])
        assert [entry["spot"] for entry in hub.requests("GET")].count("get weights") == 1
        with pytest.raises(GanzooError):
            read_asset(Asset(sha256="0" * 64, **place), "the asset")
    finally:
        hub.close()


def test_an_asset_names_one_place_and_a_commit():
    for wrong in (
        {},
        {"repo": "a/b", "package_file": "c:d"},
        {"repo": "a/b", "revision": "main"},
        {"path": "a", "repo": "b/c"},
    ):
        with pytest.raises(ValueError):
            Asset(sha256=SHA256, license="mit", **wrong)
    with pytest.raises(ValueError, match="need sha256 and license"):
        Asset(package_file="a:b")

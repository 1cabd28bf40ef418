"""CUT and FastCUT against the official code (tests/golden/translation.py): networks, and steps through the engine."""

import pytest
import torch
from golden_values import golden
from stepping import count_calls, count_parameters, names_of, step_by_phase
from translations import NamedBatches, images, load_named, pairs, trace, translation_trainer

from ganzoo import ImageSpec
from ganzoo.errors import UsageError
from ganzoo_plugins.cut.model import CUT, AntialiasedTranslator, PatchGAN, contrast

NONE = torch.empty(2, 0)


def test_parameter_counts_are_those_of_the_official_networks():
    with torch.device("meta"):
        assert count_parameters(AntialiasedTranslator(pairs(256))) == 11_378_179
        assert count_parameters(PatchGAN(pairs(256))) == 2_764_737
        assert count_parameters(CUT(pairs(256))) == sum(257 * 256 + (c + 1) * 256 for c in (3, 128, 256, 256, 256))


def test_tensors_have_the_names_of_published_files():
    with torch.device("meta"):
        names = list(AntialiasedTranslator(pairs(256)).state_dict())
    assert [name for name in names if name.endswith("filt")] == [f"model.{n}.filt" for n in (7, 11, 21, 25)]
    assert [name for name in names if "block" not in name and name.endswith("weight")] == [
        f"model.{place}.weight" for place in (1, 4, 8, 22, 26, 30)
    ]


@torch.no_grad()
def test_networks_give_the_official_images_logits_and_features():
    tensors = golden("cut")
    translator = load_named(AntialiasedTranslator(pairs(36, 40), width=2), "G")
    drawn = translator(NONE, source=images("resnet", 2, 3, 36, 40))
    assert torch.allclose(drawn[:, :, ::4, ::4], tensors["resnet"], rtol=0, atol=1e-9)
    patch = load_named(PatchGAN(pairs(40, 48), width=2), "D")
    assert torch.allclose(patch(images("patch", 2, 3, 40, 48)), tensors["patch"], rtol=0, atol=1e-9)
    features = translator.features(images("features", 1, 3, 32, 32))
    assert [feature.shape[1] for feature in features] == [3, 4, 8, 8, 8]
    for number, feature in enumerate(features):
        assert torch.allclose(feature[:, :3, ::4, ::4], tensors[f"features.{number}"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("blocks, equal", [(1, True), (2, False), (5, False), (9, False)])
def test_small_translators_have_five_features_too(blocks, equal):
    torch.manual_seed(0)
    translator = AntialiasedTranslator(pairs(32, source=1), width=2, blocks=blocks)
    features = translator.features(torch.rand(2, 1, 32, 32))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (1, 38, 38),
        (4, 32, 32),
        (8, 16, 16),
        *2 * [(8, 8, 8)],
    ]
    assert torch.equal(features[3], features[4]) is equal


def test_contrast_by_hand():
    """Two patches: the logits are the own key's similarity, the diagonal's −10 and the other key's, over T."""
    queries, keys = torch.tensor([[[1.0, 0], [0, 1]]]), torch.tensor([[[1.0, 0], [0.6, 0.8]]])
    logits = torch.tensor([[1.0, -10, 0.6], [0.8, 0, -10]]) / 0.07
    expected = -logits.log_softmax(1)[:, 0].mean()
    assert torch.allclose(contrast(queries, keys, 0.07), expected)
    other_image = torch.rand(1, 2, 2)
    both = contrast(torch.cat([queries, other_image]), torch.cat([keys, other_image]), 0.07)
    assert torch.allclose(both, (expected + contrast(other_image, other_image, 0.07)) / 2), "images do not mix"


def test_projections_need_the_width_of_the_generator():
    loss, translator = CUT(pairs(32), width=4), AntialiasedTranslator(pairs(32), width=2, blocks=1)
    features = translator.features(torch.rand(2, 3, 32, 32))
    places = [torch.zeros(2, 1, dtype=torch.int64)] * 5
    with pytest.raises(UsageError, match=r"\(3, 4, 8, 8, 8\) .*\(3, 8, 16, 16, 16\).*loss\.width"):
        loss.projections(features, places)
    vectors = load_named(CUT(pairs(32), width=2).projections, "F").float()(features, places)
    assert all(torch.allclose(vector.norm(dim=2), torch.ones(2, 1), atol=1e-5) for vector in vectors)


def test_weights_start_as_officially():
    torch.manual_seed(0)
    modules = [*AntialiasedTranslator(pairs(32), width=32, blocks=1).modules(), *CUT(pairs(32)).projections.modules()]
    for layer in modules:
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            rows = layer.weight.flatten(1)
            receptive = layer.weight[0, 0].numel()
            expected = 0.02 * (2 / (rows.shape[1] + len(rows) * receptive)) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.1) and not layer.bias.any()


def test_half_of_the_steps_mirror_and_only_if_asked():
    class At:
        def __init__(self, step):
            self.step = step

    flipped = [CUT(pairs(32), flip=True, width=1).mirrors(At(step)) for step in range(200)]
    assert 80 < sum(flipped) < 120 and flipped[:3] == [True, False, False]
    assert not any(CUT(pairs(32), width=1).mirrors(At(step)) for step in range(9))


@pytest.mark.parametrize(
    "build, spec, facts",
    [
        (AntialiasedTranslator, ImageSpec(64, 3), "--source"),
        (AntialiasedTranslator, pairs(32, 30), "multiples of 4 .*32 x 30"),
        (CUT, pairs(32, source=1), "loss.identity=false"),
    ],
)
def test_what_cannot_be_built_is_refused(build, spec, facts):
    with pytest.raises(ValueError, match=facts):
        build(spec)


def small(variant, spec, batches, **more):
    width = {"width": 2}
    return translation_trainer(variant, spec, batches, generator=width, discriminator=width, loss=width | more)


@pytest.mark.parametrize("variant", ["cut", "fastcut"])
def test_steps_are_the_official_ones(variant, monkeypatch):
    """FastCUT's golden run tossed the coin of `mirrors`; the places are the official run's."""
    tensors, spec = golden(variant), pairs(32)
    trainer = small(variant, spec, NamedBatches(spec, 1, "cut"), patches=5)
    networks = {"generator": trainer.generator, "discriminator": trainer.discriminator, "loss": trainer.loss}
    load_named(networks["generator"], "G"), load_named(networks["discriminator"], "D")
    projections = trainer.loss.projections
    official = {name: name.replace("layers.", "mlp_") for name in projections.state_dict()}
    named = torch.nn.ModuleDict({f"mlp_{number}": layer for number, layer in enumerate(projections.layers)})
    load_named(named, "F")
    assert list(official.values()) == list(named.state_dict())
    places = []
    monkeypatch.setattr(CUT, "places", lambda *_: places.pop(0)[None])
    names = ["fake", "nce"] + (["nce_identity"] if variant == "cut" else [])
    for step in range(3):
        places[:] = tensors[f"places.{step}"]
        terms = trainer.step()
        ours = [2 * terms["discriminator.fake"], 2 * terms["discriminator.real"]]
        ours += [terms[f"generator.{name}"] * (2 if variant == "cut" and "nce" in name else 1) for name in names]
        assert torch.allclose(torch.stack(ours).double(), tensors[f"step.{step}"], rtol=1e-6, atol=0)
    for role, network in (networks | {"loss": named}).items():
        assert torch.allclose(trace(network, role), tensors[f"moved.{role}"], rtol=0, atol=1e-7)


def test_the_projections_step_with_the_generator():
    trainer = small("cut", pairs(32), NamedBatches(pairs(32), 2, "cut"))
    calls = count_calls(trainer.generator)
    visits, _ = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["discriminator", "generator"]
    assert len(calls) == 2, "sources and outputs are translated once"
    assert visits[0].changed <= names_of(trainer, "discriminator")
    stepped = names_of(trainer, "generator") | names_of(trainer, "loss")
    assert visits[1].changed <= stepped and {name for name in stepped if name.endswith("weight")} <= visits[1].changed


def test_places_are_distinct_and_as_many_as_there_are():
    trainer = small("cut", pairs(32), NamedBatches(pairs(32), 2, "cut"), patches=50)
    seen = []
    original = trainer.loss.places
    trainer.loss.places = lambda feature, turn: seen.append((feature, original(feature, turn))) or seen[-1][1]
    trainer.step()
    for feature, places in seen:
        pixels = feature.shape[2] * feature.shape[3]
        assert places.shape == (2, min(50, pixels)) and 0 <= places.min() and places.max() < pixels
        assert all(len(set(row.tolist())) == len(row) for row in places) and not torch.equal(places[0], places[1])

"""CycleGAN against the official code (tests/golden/translation.py): networks, pool, and steps through the engine."""

from types import SimpleNamespace

import pytest
import torch
from golden_values import golden
from stepping import count_calls, count_parameters, names_of, step_by_phase
from translations import NamedBatches, images, load_named, pairs, trace, translation_trainer

from ganzoo import ImageSpec
from ganzoo.losses import Turn
from ganzoo_plugins.cyclegan.model import Cycle, Judge, Judges, Pool, Translator, Translators

NONE = torch.empty(2, 0)


def test_parameter_counts_are_those_of_the_official_networks():
    with torch.device("meta"):
        assert count_parameters(Translator(pairs(256))) == 11_378_179
        assert count_parameters(Translator(pairs(128), blocks=6)) == 7_837_699
        assert count_parameters(Judge(3, 64)) == 2_764_737
        assert count_parameters(Translators(pairs(256))) == 2 * 11_378_179


def test_tensors_have_the_names_of_published_files():
    with torch.device("meta"):
        names = list(Translator(pairs(256)).state_dict())
    inner = [f"model.{block}.conv_block.{place}" for block in range(10, 19) for place in (1, 5)]
    layers = ["model.1", "model.4", "model.7", *inner, "model.19", "model.22", "model.26"]
    assert names == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")] and len(names) == 48


@pytest.mark.parametrize("blocks", [6, 9])
@torch.no_grad()
def test_translators_give_the_official_images(blocks):
    source = images(f"resnet.{blocks}", 2, 2, 36, 40)
    translator = load_named(Translator(pairs(36, 40, source=2), width=2, blocks=blocks), f"resnet.{blocks}")
    drawn = translator(NONE, source=source)
    assert torch.allclose(drawn[:, :, ::4, ::4], golden("cyclegan")[f"resnet.{blocks}"], rtol=0, atol=1e-9)
    assert torch.equal(drawn, translator.eval()(NONE, source=source)), "instance norm is the same in evaluation"


@torch.no_grad()
def test_judges_give_the_official_logits():
    judges = Judges(pairs(40, 48), width=2)
    load_named(judges.output, "judge"), load_named(judges.source, "another")
    shown, expected = images("judge", 2, 3, 40, 48), golden("cyclegan")["judge"]
    assert torch.allclose(judges(shown), expected, rtol=0, atol=1e-9)
    assert not torch.allclose(judges(shown, side="source"), expected)
    load_named(judges.source, "judge")
    assert torch.equal(judges(shown, side="source"), judges(shown))


def test_both_directions_with_their_own_channels():
    spec = pairs(32, 40, source=1, output=3)
    both, judges = Translators(spec, width=2, blocks=1), Judges(spec, width=2)
    source = torch.rand(2, 1, 32, 40) * 2 - 1
    there = both(NONE, source=source)
    back = both(NONE, source=there, back=True)
    assert there.shape == (2, 3, 32, 40) and back.shape == source.shape and there.abs().max() <= 1
    assert judges(there).shape == judges(back, side="source").shape == (2, 1, 2, 3)


def test_weights_start_as_officially():
    torch.manual_seed(0)
    for layer in [*Translators(pairs(32), width=32, blocks=1).modules(), *Judges(pairs(32)).modules()]:
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1) and not layer.bias.any()


def test_the_pool_fills_then_exchanges_half():
    pool = Pool(2, (1, 1, 1))
    numbered = [torch.full((1, 1, 1, 1), float(number)) for number in range(6)]
    exchange = lambda number, *chances: pool.exchange(numbered[number], torch.tensor([chances])).item()  # noqa: E731
    assert exchange(0, 0.9, 0.0) == 0 and exchange(1, 0.9, 0.0) == 1 and pool.count == 2
    assert exchange(2, 0.5, 0.9) == 2, "not above a half"
    assert exchange(3, 0.51, 0.99) == 1, "that of place 1 comes back"
    assert exchange(4, 0.9, 0.4) == 0 and exchange(5, 0.9, 0.4) == 4
    assert pool.images.flatten().tolist() == [5, 3] and {"images", "count"} == set(pool.state_dict())


def test_a_pool_sees_a_batch_image_by_image():
    together, apart = Pool(3, (1, 2, 2)), Pool(3, (1, 2, 2))
    batch, chances = torch.rand(8, 1, 2, 2), torch.rand(8, 2)
    given = torch.cat([apart.exchange(batch[i : i + 2], chances[i : i + 2]) for i in range(0, 8, 2)])
    assert torch.equal(together.exchange(batch, chances), given) and torch.equal(together.images, apart.images)
    given.zero_()
    assert together.images.abs().min() > 0, "what comes back is a copy"


@pytest.mark.parametrize(
    "build, spec, facts",
    [
        (Translator, ImageSpec(64, 3), "--source"),
        (Translator, pairs(34, 32), "multiples of 4 .*34 x 32"),
        (Cycle, pairs(32, source=1), "loss.identity=0"),
    ],
)
def test_what_cannot_be_built_is_refused(build, spec, facts):
    with pytest.raises(ValueError, match=facts):
        build(spec)
    assert Cycle(pairs(32, source=1), identity=0).pools["source"].images.shape == (50, 1, 32, 32)


def small(spec, batches, pool=2, blocks=6, **more):
    generator = {"width": 2, "blocks": blocks}
    return translation_trainer(
        "cyclegan", spec, batches, generator=generator, discriminator={"width": 2}, loss={"pool": pool}, **more
    )


def test_steps_are_the_official_ones(monkeypatch):
    tensors, spec = golden("cyclegan"), pairs(32)
    trainer = small(spec, NamedBatches(spec, 1, "cyclegan"))
    networks = {"there": trainer.generator.there, "back": trainer.generator.back}
    networks |= {"output": trainer.discriminator.output, "source": trainer.discriminator.source}
    for role, network in networks.items():
        load_named(network, role)
    draws = []
    monkeypatch.setattr(Turn, "uniform", lambda turn, count: draws.pop(0)[None])
    names = ["fake", "fake_source", "cycle_source", "cycle_output", "identity_source", "identity_output"]
    for step in range(6):
        recorded = tensors[f"draws.{step}"].clone()  # a chance and a place of two images for either pool, once full
        if len(recorded):
            recorded[:, 1] /= 2
        draws[:] = recorded if len(recorded) else torch.zeros(2, 2)
        terms = trainer.step()
        ours = [terms[f"generator.{name}"] for name in names]
        ours += [terms["discriminator.real"] + terms["discriminator.fake"]]
        ours += [terms["discriminator.real_source"] + terms["discriminator.fake_source"]]
        assert torch.allclose(torch.stack(ours).double(), tensors[f"step.{step}"], rtol=1e-6, atol=0)
    for role, network in networks.items():
        assert torch.allclose(trace(network, role), tensors[f"moved.{role}"], rtol=0, atol=1e-7)


def test_the_generators_step_first_and_the_judges_see_images_from_before():
    spec = pairs(32)
    trainer = small(spec, NamedBatches(spec, 2, "cyclegan"), pool=0, blocks=1)
    calls = [count_calls(one) for one in (trainer.generator.there.model, trainer.generator.back.model)]
    visits, _ = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["generator", "discriminator"]
    assert [len(made) for made in calls] == [3, 3], "a translation, a cycle and an identity each, for both phases"
    for visit in visits:
        assert visit.changed <= names_of(trainer, visit.phase)
        assert {name for name in names_of(trainer, visit.phase) if name.endswith("weight")} <= visit.changed


def test_pools_of_several_processes_are_those_of_one():
    """Each process draws for its own rows, feeds its pool with the rows of all, and shows its own to the judge."""
    random = torch.Generator().manual_seed(0)
    one, first, second = (Cycle(pairs(32), pool=3) for _ in range(3))
    for _ in range(4):
        images, chances = torch.rand(4, 3, 32, 32, generator=random), torch.rand(4, 2, generator=random)

        def turn(rows, images=images, chances=chances):
            gather = lambda part: chances if part.ndim == 2 else images  # noqa: E731
            return SimpleNamespace(uniform=lambda count: chances[rows], gather=gather)

        whole = one.pooled("output", images, turn(slice(0, 4)))
        parts = [
            loss.pooled("output", images[rows], turn(rows)) for loss, rows in ((first, slice(2)), (second, slice(2, 4)))
        ]
        assert torch.equal(torch.cat(parts), whole)
    kept = [loss.pools["output"].images for loss in (one, first, second)]
    assert torch.equal(kept[0], kept[1]) and torch.equal(kept[0], kept[2]) and one.pools["source"].count == 0


@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_feed_the_pool_as_the_whole_batch_does(accumulate):
    spec = pairs(32)
    trainers = [
        small(spec, NamedBatches(spec, 4, "cyclegan"), pool=6, blocks=1, accumulate=pieces)
        for pieces in (1, accumulate)
    ]
    for _ in range(4):
        whole, split = (trainer.step() for trainer in trainers)
        assert all(torch.allclose(whole[name], split[name], rtol=1e-6) for name in whole)
    for pool, other in zip(*(trainer.loss.pools.values() for trainer in trainers), strict=True):
        assert pool.count == 6 and torch.allclose(pool.images, other.images, rtol=0, atol=1e-9)

"""The engine's promises about a step: what it computes, what it moves, and what it leaves alone."""

import random
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy
import pytest
import torch
from contract.harness import IMAGE, Pictures, contract_registry, make, parameters, trainer_for
from contract.parts import NonSaturating, TinyDiscriminator
from torch import nn
from torch.nn.functional import softplus

from ganzoo import Part
from ganzoo.losses import Augmentation, Loss, Phase, Regularizer


@pytest.fixture(scope="module")
def registry():
    return contract_registry()


def same(left, right, tolerance=0.0):
    left, right = parameters(left), parameters(right)
    return all((left[name] - right[name]).abs().max() <= tolerance for name in left)


class Watched(NonSaturating):
    """Counts the generator's forward passes and keeps its gradients."""

    def __init__(self, two_passes=False):
        super().__init__(IMAGE)
        self.two_passes = two_passes

    def generator(self, turn):
        fake = turn.generator(turn.latent, turn.label) if self.two_passes else turn.fake
        return {"fake": softplus(-turn.logits(fake)).mean()}


def count_forwards(module):
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def gradients_at_step(trainer, role):
    """The gradients that each optimizer step of a role sees."""
    seen, step = [], trainer.optimizers[role].step

    def spied():
        seen.append([parameter.grad.clone() for parameter in trainer.modules()[role].parameters()])
        step()

    trainer.optimizers[role].step = spied
    return seen


@pytest.mark.parametrize("accumulate", [1, 2])
def test_going_on_with_the_fakes_costs_one_generator_pass_and_gives_the_gradients_of_two(accumulate):
    once, twice = make(Watched(), accumulate=accumulate), make(Watched(two_passes=True), accumulate=accumulate)
    calls, more_calls = count_forwards(once.generator), count_forwards(twice.generator)
    seen, expected = gradients_at_step(once, "generator"), gradients_at_step(twice, "generator")
    for _ in range(3):
        once.step(), twice.step()
    assert len(calls) == 3 * accumulate and len(more_calls) == 6 * accumulate
    for left, right in zip(seen, expected, strict=True):
        assert all(torch.equal(one, two) for one, two in zip(left, right, strict=True))
        assert all(gradient.abs().max() > 0 for gradient in left)
    assert once.batches.asked == [number for number in range(3) for _ in range(accumulate)]


def test_fakes_outlive_a_generator_phase_and_are_made_anew_only_to_teach_it_again():
    seen = []

    class Generators(Loss):
        phases = (
            Phase("look", ("discriminator",)),
            Phase("first", ("generator",), fresh=False),
            Phase("after", ("discriminator",), fresh=False),
            Phase("second", ("generator",), fresh=False),
        )

        def look(self, turn):
            return {"real": turn.logits(turn.real).mean()}

        def first(self, turn):
            seen.append(turn.fake.detach())
            return {"fake": -turn.logits(turn.fake).mean()}

        def after(self, turn):
            seen.append(turn.fake)
            assert not turn.fake.requires_grad
            return {"fake": turn.logits(turn.fake).mean()}

        second = first

    trainer = make(Generators())
    calls = count_forwards(trainer.generator)
    trainer.step()
    assert len(calls) == 2
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])


def test_the_graph_is_kept_through_a_phase_that_never_looks_at_the_fakes():
    class Detour(NonSaturating):
        phases = (Phase("look", ("discriminator",)), *(replace(phase, fresh=False) for phase in NonSaturating.phases))

        def look(self, turn):
            return {"real": turn.logits(turn.real).mean()}

    trainer = make(Detour(IMAGE))
    calls = count_forwards(trainer.generator)
    trainer.step()
    assert len(calls) == 1


def test_the_engine_equals_a_plain_loop_in_float64():
    trainer = make(norm=True, optimizer_options={"betas": (0.5, 0.999)})
    generator, discriminator = deepcopy(trainer.generator), deepcopy(trainer.discriminator)
    pictures = Pictures(IMAGE, 4)
    optimizers = [
        torch.optim.Adam(module.parameters(), lr=2e-4, betas=(0.5, 0.999)) for module in (discriminator, generator)
    ]
    latents = []
    trainer.generator.register_forward_pre_hook(lambda _, inputs: latents.append(inputs[0].clone()))
    for step in range(5):
        trainer.step()
        real, fake = pictures.images(step).double(), generator(latents[step])
        optimizers[0].zero_grad()
        (softplus(-discriminator(real)).mean() + softplus(discriminator(fake.detach())).mean()).backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        softplus(-discriminator(fake)).mean().backward()
        optimizers[1].step()
    for ours, theirs in ((trainer.generator, generator), (trainer.discriminator, discriminator)):
        for name, tensor in ours.state_dict().items():
            torch.testing.assert_close(tensor, theirs.state_dict()[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["wgan-gp", "r3gan", "infogan"])
@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_add_up_to_the_whole_batch(registry, name, accumulate):
    variant = registry.get("variants", name)
    plain = variant.generator.name == "tiny"
    variant = replace(variant, generator=Part("tiny", {"norm": False}) if plain else variant.generator)
    runs = [
        trainer_for(variant, registry, dtype=torch.float64, training={"accumulate": pieces, "steps": 10})
        for pieces in (1, accumulate)
    ]
    for run in runs:
        if not plain:
            run.generator.eval()  # batch statistics are a coupling of the batch
    seen = [gradients_at_step(run, role) for run in runs for role in ("generator", "discriminator")]
    terms = [[run.step() for _ in range(3)] for run in runs]
    for whole, pieces in zip(terms[0], terms[1], strict=True):
        for key in whole:
            torch.testing.assert_close(pieces[key], whole[key], rtol=0, atol=1e-12)
    for whole, pieces in zip(seen[0] + seen[1], seen[2] + seen[3], strict=True):
        for one, two in zip(whole, pieces, strict=True):
            torch.testing.assert_close(two, one, rtol=0, atol=1e-12)


def test_the_average_lerps_parameters_and_copies_buffers_from_its_start_on():
    trainer = make(norm=True, ema=0.75, ema_start=2)
    expected = None
    for step in range(5):
        trainer.step()
        live = [parameter.detach().clone() for parameter in trainer.generator.parameters()]
        expected = live if step < 2 else [torch.lerp(mean, new, 0.25) for mean, new in zip(expected, live, strict=True)]
        assert all(torch.equal(mean, want) for mean, want in zip(trainer.ema.parameters(), expected, strict=True))
        for mean, buffer in zip(trainer.ema.buffers(), trainer.generator.buffers(), strict=True):
            assert torch.equal(mean, buffer)
    assert trainer.ema.main[2].num_batches_tracked == 5
    assert not trainer.ema.training and not any(parameter.requires_grad for parameter in trainer.ema.parameters())
    assert trainer.sampler is trainer.ema and make().sampler is not None
    assert not same_tensors(trainer.ema, trainer.generator)


def same_state(one, other):
    """Whether parameters and buffers are the same, bit for bit."""
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


def test_the_average_is_drawn_from_with_statistics_of_its_own():
    """Copied ones belong to other weights: with them the average's signals are not normal behind its batch norm."""
    looked_at, left_alone = make(norm=True, ema=0.9), make(norm=True, ema=0.9)
    for _ in range(6):
        looked_at.step()
        left_alone.step()
        sampler = looked_at.sampler
    assert not same_state(looked_at.ema, left_alone.ema)  # the statistics
    norm = next(module for module in sampler.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm))
    seen = []
    handle = norm.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    with torch.no_grad():
        sampler(sampler.latent(4096, torch.Generator().manual_seed(1)).to(looked_at.dtype))
    handle.remove()
    normal = ((seen[0].transpose(0, 1).flatten(1) - norm.bias[:, None]) / norm.weight[:, None]).double()
    assert normal.mean(1).abs().max() < 0.2 and (normal.std(1) - 1).abs().max() < 0.2
    looked_at.step()
    left_alone.step()
    for one, other in zip(looked_at.modules().values(), left_alone.modules().values(), strict=True):
        assert same_state(one, other)  # looking changed nothing in training
    assert same_state(looked_at.ema, left_alone.ema)
    assert same_state(looked_at.sampler, left_alone.sampler) and not looked_at.ema.training


def test_several_processes_store_the_averages_own_statistics_whoever_has_drawn(monkeypatch):
    drawn, undrawn = make(norm=True, ema=0.9), make(norm=True, ema=0.9)
    for trainer in (drawn, undrawn):
        trainer.step()
    drawn.sampler  # noqa: B018  as the process that writes pictures does
    for trainer in (drawn, undrawn):
        with monkeypatch.context() as patch:
            patch.setattr(trainer, "processes", SimpleNamespace(size=2, average_buffers=spoil))
            trees = [trainer.state()["generator_ema"]]
        assert all(value.abs().max() < 100 for name, value in trees[0].items() if "running" in name)
    assert same_state(drawn.ema, undrawn.ema)


def spoil(modules):
    """What averaging over processes may leave behind: statistics of neither."""
    for module in modules:
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.fill_(1000)


def same_tensors(left, right):
    return all(torch.equal(one, two) for one, two in zip(left.parameters(), right.parameters(), strict=True))


class Noisy(TinyDiscriminator):
    """Draws from the process-wide generator, as dropout does."""

    def forward(self, images, label=None):
        return super().forward(nn.functional.dropout(images, 0.5, self.training))


def test_a_step_leaves_the_process_wide_generators_alone_and_does_not_depend_on_them():
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist()

    runs = [make(discriminator=Noisy(IMAGE)) for _ in range(2)]
    runs[1].discriminator.load_state_dict(runs[0].discriminator.state_dict())
    for number, run in enumerate(runs):
        torch.manual_seed(number), random.seed(number), numpy.random.seed(number)
        before = states()
        run.step()
        assert states() == before
    assert same(runs[0], runs[1])


def test_the_seed_decides(registry):
    one, again, other = (trainer_for("dcgan", registry, seed=seed) for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other)
    for run in (one, again, other):
        run.step()
    assert same(one, again) and not same(one, other)
    before = one.random(0, "x").initial_seed()
    one.attempt = 1
    assert one.random(0, "x").initial_seed() != before, "a rollback goes on with other numbers"


class Brighter(Augmentation):
    def __init__(self):
        super().__init__()
        self.register_buffer("told", torch.zeros(()))

    def forward(self, images):
        return images + 0.5

    def observe(self, real_logits):
        assert not real_logits.requires_grad and real_logits.shape == (4,)
        self.told += 1


class Lazy(Regularizer):
    every = 2

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, turn):
        self.calls += 1
        return {"size": turn.logits(turn.fake).square().mean()}


def test_augmentation_and_regularizers_take_part_and_are_remembered():
    def build():
        return make(more={"augmentation": Brighter(), "regularizers": {"lazy.one": Lazy()}}, initial=1)

    trainer, plain = build(), make(initial=1)
    first, second = trainer.step(), trainer.step()
    assert list(first) == ["discriminator.real", "discriminator.fake", "discriminator.lazy_one.size", "generator.fake"]
    assert list(second) == ["discriminator.real", "discriminator.fake", "generator.fake"]
    assert trainer.augmentation.told == 2, "it hears of real logits while the discriminator learns, and of nothing else"
    assert trainer.regularizers["lazy_one"].calls == 1
    assert first["discriminator.real"] != plain.step()["discriminator.real"]
    resumed = build()
    resumed.load_state(deepcopy(trainer.state()))
    assert resumed.augmentation.told == 2 and resumed.regularizers["lazy_one"].calls == 1


def test_what_was_frozen_when_built_stays_frozen():
    discriminator = TinyDiscriminator(IMAGE)
    discriminator.features[0].requires_grad_(False)
    trainer = make(discriminator=discriminator)
    before = parameters(trainer)
    trainer.step()
    moved = {name for name, value in parameters(trainer).items() if not torch.equal(value, before[name])}
    assert {name for name in before if name not in moved} == {
        "discriminator.features.0.weight",
        "discriminator.features.0.bias",
    }
    assert not discriminator.features[0].weight.requires_grad

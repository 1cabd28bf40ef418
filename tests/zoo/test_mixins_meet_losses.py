"""Every mix-in with every loss, labelled or not: it changes the step as it promises, or is refused with one line."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import small
import stepping
import torch
from contract.harness import IMAGE, make
from torch.nn.functional import relu

from ganzoo.config.settings import resolve
from ganzoo.engine.build import build_trainer
from ganzoo.errors import UsageError
from ganzoo.registry.registry import registry
from ganzoo.testing.subject import Subject
from ganzoo.variant import ImageSpec, Part, Variant

BATCH, STEPS, CLASSES = 4, 2, 3
CASES = [  # a variant of every loss, and each loss with and without labels where it takes them
    ("acgan", True),
    ("began", False),
    ("biggan-cifar", True),
    ("cgan", True),
    ("cgan-pd", True),
    ("dragan", False),
    ("ebgan", False),
    ("fastgan", False),
    ("gan", False),
    ("gan-mlp-modern", False),
    ("geometric-gan", False),
    ("infogan", False),
    ("lightweight-gan", False),
    ("lsgan", False),
    ("lsgan-conditional", True),
    ("progan", False),
    ("progan", True),
    ("r3gan", False),
    ("r3gan", True),
    ("rahinge", False),
    ("ralsgan", False),
    ("rasgan", False),
    ("rsgan", False),
    ("sagan", False),
    ("sagan", True),
    ("sndcgan", False),
    ("sngan", False),
    ("stylegan2", False),
    ("stylegan2-ada", True),
    ("stylegan3-t", False),
    ("wgan-gp-mnist", False),
    ("wgan-gp-resnet", False),
    ("wgan-gp-resnet", True),
    ("wgan-mlp", False),
]
HEAVY = {"lightweight-gan", "progan", "stylegan3-t"}  # seconds each
PARAMETERS = [pytest.param(*case, marks=[pytest.mark.slow] if case[0] in HEAVY else []) for case in CASES]
IDS = [f"{name} {'labelled' if labelled else 'unlabelled'}" for name, labelled in CASES]
FEW = {
    "wasserstein-clipped": {"critic_steps": 1, "warmup": 0, "long_every": 0},
    "wasserstein-gp": {"critic_steps": 1},
    "sngan": {"critic_steps": 1},
    "geometric": {"generator_steps": 1},
}
WITHOUT_BOUNDARY = {  # critics, differences of logits, and energies
    "began",
    "ebgan",
    "rahinge",
    "ralsgan",
    "rasgan",
    "relativistic-r1-r2",
    "rsgan",
    "wasserstein-clipped",
    "wasserstein-drift",
    "wasserstein-gp",
}
OF_PLACES = {"fastgan", "lightweight-gan"}  # variants with several logits an image
TERMS = {  # each regularizer with a term: options under which it acts at once, passes of the discriminator it costs
    "r1": ({}, 1),
    "r2": ({}, 1),
    "gradient-penalty": ({}, 1),
    "dragan-penalty": ({}, 1),
    "consistency": ({}, 1),
    "lecam": ({"start": 0, "decay": 0.0}, 0),
    "orthogonal": ({}, 0),
}


class FewImages(stepping.RandomBatches):
    """A data set of one batch, so that each batch is an epoch."""

    def __len__(self):
        return self.size


@cache
def narrow(name: str) -> Variant:
    """The variant with small networks and few steps within a step."""
    known = registry()
    found = Subject(known.get("variants", name), known, Path()).small
    loss = replace(found.loss, options={**found.loss.options, **FEW.get(found.loss.name, {})})
    return replace(found, loss=loss, training=replace(found.training, batch_size=BATCH, accumulate=1))


def trainer_of(name: str, labelled: bool, **mixins):
    """A trainer with `regularizers` or an `augmentation`, and lists that grow with each pass of its networks."""
    variant = replace(narrow(name), **mixins)
    image = ImageSpec(min(variant.sizes), 1, CLASSES if labelled else 0)
    trainer = build_trainer(resolve(variant, [], registry()), image, FewImages(image, BATCH))
    return trainer, stepping.count_calls(trainer.generator), stepping.count_calls(trainer.discriminator)


def stepped(trainer, *calls):
    """The terms of the steps, the state after them and the passes that they took."""
    terms = [trainer.step() for _ in range(STEPS)]
    return terms, trainer.state(), [len(made) for made in calls]


@cache
def without(name: str, labelled: bool):
    return stepped(*trainer_of(name, labelled))


def roles_changed(name: str, labelled: bool, state) -> set[str]:
    _, plain, _ = without(name, labelled)
    return {role for role in ("generator", "discriminator") if not small.same(plain[role], state[role])}


@pytest.mark.parametrize(("name", "labelled"), PARAMETERS, ids=IDS)
def test_torch_s_default_dtype_changes_no_bit_of_a_training(name, labelled):
    terms, state, _ = without(name, labelled)
    torch.set_default_dtype(torch.float64)
    try:
        again, other, _ = stepped(*trainer_of(name, labelled))
        assert torch.get_default_dtype() == torch.float64, "the program's own setting stays"
    finally:
        torch.set_default_dtype(torch.float32)
    assert small.same(other, state) and small.same(again, terms)


@pytest.mark.parametrize("mixin", TERMS)
@pytest.mark.parametrize(("name", "labelled"), PARAMETERS, ids=IDS)
def test_a_regularizer_adds_a_term_to_the_loss_s_own_logits(name, labelled, mixin):
    options, cost = TERMS[mixin]
    if mixin == "consistency" and name in OF_PLACES:
        with pytest.raises(UsageError, match="consistency compares logits, not maps"):
            stepped(trainer_of(name, labelled, regularizers=(Part(mixin, options),))[0])
        return
    trainer, fakes, scores = trainer_of(name, labelled, regularizers=(Part(mixin, options),))
    regularizer, expected = trainer.regularizers[mixin], []
    forward = regularizer.forward

    def watched(turn):
        before = len(fakes), len(scores)
        found = forward(turn)
        took = len(fakes) - before[0], len(scores) - before[1]
        own_labels = mixin == "gradient-penalty" and labelled and narrow(name).loss.name == "sngan"
        assert took == (1 if own_labels else 0, cost), "fakes are those of the loss; its logits are used"
        if mixin == "lecam":
            real, fake = turn.real_logits.detach(), turn.fake_logits.detach()
            sign = -1 if turn.real_is_low else 1
            assert regularizer.real == real.mean() and regularizer.fake == fake.mean()
            real_part, fake_part = relu(sign * (real - fake.mean())), relu(sign * (real.mean() - fake))
            expected.append(0.3 * (real_part.square().mean() + fake_part.square().mean()))
        return found

    regularizer.forward = watched
    terms, state, _ = stepped(trainer, fakes, scores)
    found = [value for step in terms for key, value in step.items() if f".{mixin}." in key]
    assert len(found) == sum(f"{regularizer.phase}." in " ".join(step) for step in terms)
    assert all(value.isfinite() for value in found)
    if mixin == "lecam":
        torch.testing.assert_close(torch.stack(found), torch.stack(expected))
        assert any(value > 0 for value in found) == bool(roles_changed(name, labelled, state))
    else:
        assert any(value > 0 for value in found)
        assert regularizer.phase in roles_changed(name, labelled, state)
    assert not trainer.unobserved and not trainer.unselected


@pytest.mark.parametrize(("name", "labelled"), PARAMETERS, ids=IDS)
def test_top_k_teaches_the_generator_by_its_best_fakes(name, labelled):
    trainer, *calls = trainer_of(name, labelled, regularizers=(Part("top-k", {"decay": 0.5}),))
    topk, seen = trainer.regularizers["top-k"], []
    select = topk.select

    def watched(turn, logits):
        selected = select(turn, logits)
        if turn.epoch:
            (slope,) = torch.autograd.grad(selected.sum(), logits, retain_graph=True)
            seen.append((turn, logits.detach(), slope))
        return selected

    topk.select = watched
    _, state, passes = stepped(trainer, *calls)
    assert seen and not trainer.unselected
    for turn, logits, slope in seen:
        each = logits.view(len(logits), -1).mean(1)  # of several logits an image their mean ranks it
        best = (-each if turn.real_is_low else each).argsort(descending=True)[: len(logits) // 2]
        assert bool((slope[best] == 2.0).all()) and slope.sum() == logits.numel()
    assert "generator" in roles_changed(name, labelled, state)
    assert passes == without(name, labelled)[2], "it costs no pass"


@pytest.mark.parametrize("options", [None, {"target": None, "start": 1.0}], ids=["diffaugment", "ada at a fixed p"])
@pytest.mark.parametrize(("name", "labelled"), PARAMETERS, ids=IDS)
def test_an_augmentation_changes_what_the_discriminator_sees(name, labelled, options):
    part = Part("diffaugment") if options is None else Part("ada", options)
    trainer, *calls = trainer_of(name, labelled, augmentation=part)
    terms, state, passes = stepped(trainer, *calls)
    assert all(value.isfinite() for step in terms for value in step.values())
    assert roles_changed(name, labelled, state) == {"generator", "discriminator"}
    assert passes == without(name, labelled)[2]


@pytest.mark.parametrize(("name", "labelled"), PARAMETERS, ids=IDS)
def test_ada_moves_by_the_side_of_the_boundary_or_is_refused_with_the_way_out(name, labelled):
    part = Part("ada", {"start": 0.5, "interval": 1, "images": 10 * BATCH})
    if narrow(name).loss.name in WITHOUT_BOUNDARY:
        with pytest.raises(UsageError, match="augmentation.target=null --set augmentation.start") as refused:
            trainer_of(name, labelled, augmentation=part)
        assert "'ada'" in str(refused.value) and narrow(name).loss.name in str(refused.value)
        return
    trainer, *_ = trainer_of(name, labelled, augmentation=part)
    seen, observe = [], trainer.augmentation.observe
    trainer.augmentation.observe = lambda logits: (seen.append(logits), observe(logits))
    trainer.step()
    assert not trainer.unobserved and [len(logits) for logits in seen] == [BATCH]
    expected = 0.5 + 0.1 * float((seen[0].sign().mean() - 0.6).sign())
    assert trainer.augmentation.p.item() == pytest.approx(expected)


def test_the_boundary_of_least_squares_is_the_middle_of_its_codes():
    loss = stepping.part("losses", "least-squares", ImageSpec(28, 1))
    assert (loss.boundary, loss.real_is_low) == (0.5, False)
    turned = stepping.part("losses", "least-squares", ImageSpec(28, 1), a=1.0, b=-1.0)
    assert (turned.boundary, turned.real_is_low) == (0.0, True)


def test_a_discriminator_that_cannot_tell_drives_no_p_on_least_squares():
    """Its logits are around 0.5, all of them above 0: measured from 0, p would rise without an end."""

    class Undecided(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, images, label=None):
            return 0.5 + 0.1 * (-1.0) ** torch.arange(len(images)) + 0 * self.weight * images.sum((1, 2, 3))

    loss = stepping.part("losses", "least-squares", IMAGE)
    ada = stepping.part("augmentations", "ada", IMAGE, interval=1, images=8)
    trainer = make(loss, discriminator=Undecided(), more={"augmentation": ada})
    for _ in range(5):
        trainer.step()
        assert trainer.augmentation.p == 0
    trainer.loss.boundary = 0.0
    trainer.step()
    assert trainer.augmentation.p > 0


@pytest.mark.parametrize("mixin", [*TERMS, "top-k", "ada", "diffaugment"])
def test_a_loss_without_a_discriminator_refuses_every_mix_in_with_one_line(mixin):
    kind = "augmentation" if mixin in ("ada", "diffaugment") else "regularizers"
    part = Part(mixin) if kind == "augmentation" else (Part(mixin),)
    with pytest.raises(UsageError) as refused:
        trainer_of("vae", False, **{kind: part})
    assert mixin in str(refused.value) and "\n" not in str(refused.value)


def test_every_loss_of_a_variant_is_here():
    known = registry()
    there = {known.get("variants", name).loss.name for name, _ in CASES}
    variants = [variant for variant in known.variants() if not variant.inputs]  # translators have tests of their own
    assert there == {variant.loss.name for variant in variants} - {"evidence-lower-bound", "points-bound"}

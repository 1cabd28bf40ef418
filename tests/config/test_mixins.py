"""Mix-ins in the engine and from the command line: any of them with any loss, through a stop, and what is refused."""

import json
import logging
from dataclasses import replace

import pytest
import small
import stepping
import torch
from contract.harness import IMAGE, make
from contract.parts import NonSaturating
from messages import logged

from ganzoo import Part, Schedule
from ganzoo.config.mixins import kind_of, mixed_in
from ganzoo.config.recipe import bind
from ganzoo.config.schema import as_json, from_json
from ganzoo.engine.build import build_trainer, check_single_images, warn_of_batch_norm, warn_of_late_mixins
from ganzoo.errors import UsageError
from ganzoo.losses import Augmentation, Regularizer
from ganzoo.registry.registry import registry
from ganzoo.testing.subject import Subject
from ganzoo.variant import ImageSpec, Variant

REGULARIZERS = ("consistency", "dragan-penalty", "gradient-penalty", "lecam", "orthogonal", "r1", "r2", "top-k")
AUGMENTATIONS = ("ada", "diffaugment")
SMALL = {
    "dcgan": (ImageSpec(16, 3), {"width": 4}, {"width": 4}),
    "wgan-gp": (ImageSpec(16, 1), {"width": 4}, {"width": 4}),
    "lsgan-conditional": (
        ImageSpec(28, 1, 3),
        {"width": 2, "latent_dim": 6, "label_size": 4},
        {"width": 2, "label_size": 4, "hidden": 8},
    ),
}


def trainer_with(variant, names, **options):
    """A small trainer of a built-in variant with mix-ins.

    The augmentation's probability is high, and nothing waits for its start.
    """
    image, generator, discriminator = SMALL[variant]
    found = mixed_in(registry().get("variants", variant), names, registry())
    found = replace(found, generator=replace(found.generator, options={**found.generator.options, **generator}))
    found = replace(
        found, discriminator=replace(found.discriminator, options={**found.discriminator.options, **discriminator})
    )
    early = {"lecam": {"start": 0}, "ada": {"start": 0.7, "interval": 1}} | options
    found = replace(
        found, regularizers=tuple(replace(part, options=early.get(part.name, {})) for part in found.regularizers)
    )
    if found.augmentation is not None:
        found = replace(found, augmentation=replace(found.augmentation, options=early.get(found.augmentation.name, {})))
    found = replace(found, training=replace(found.training, batch_size=4))
    return build_trainer(bind(found, registry()), image, stepping.RandomBatches(image, 4))


@pytest.mark.parametrize("variant", SMALL)
@pytest.mark.parametrize("name", REGULARIZERS + AUGMENTATIONS)
def test_every_built_in_runs_with_every_kind_of_loss_and_stays_finite(variant, name):
    fixed = {"ada": {"target": None, "start": 0.7}} if variant == "wgan-gp" else {}
    trainer = trainer_with(variant, [name], **fixed)
    for _ in range(2):
        terms = trainer.step()
        assert all(value.isfinite() for value in terms.values())
    assert all(parameter.isfinite().all() for module in trainer.modules().values() for parameter in module.parameters())
    assert not trainer.unobserved
    if name in REGULARIZERS and name != "top-k":
        phase = trainer.regularizers[name].phase
        assert [key for key in terms if key.startswith(f"{phase}.{name}.")]


def test_a_stopped_run_with_all_of_them_goes_on_bit_for_bit():
    names = [*REGULARIZERS, "ada"]
    whole, first, second = (trainer_with("dcgan", names) for _ in range(3))
    for _ in range(3):
        whole.step()
    first.step()
    first.step()
    second.load_state(first.state())
    second.step()
    assert small.same(second.state(), whole.state())
    assert second.augmentation.p > 0.7 or second.augmentation.p < 0.7, "p has moved, and was taken along"
    assert second.regularizers["lecam"].real != 0


def test_a_lazy_penalty_runs_now_and_then():
    trainer = trainer_with("wgan-gp", ["r1"], r1={"every": 2})
    seen = [any(key.startswith("discriminator.r1") for key in trainer.step()) for _ in range(4)]
    assert seen == [True, False, True, False]


def test_schedules_reach_regularizers():
    r1 = stepping.part("regularizers", "r1", IMAGE, gamma=8.0)
    trainer = make(more={"regularizers": {"r1": r1}}, schedules={"regularizers.r1.gamma": Schedule(to_value=0.0)})
    seen = [(trainer.step(), r1.gamma)[1] for _ in range(3)]
    assert seen == pytest.approx([8.0, 7.2, 6.4])
    with pytest.raises(UsageError, match=r"regularizers.r1 .*'gama'.*'gamma'"):
        make(more={"regularizers": {"r1": r1}}, schedules={"regularizers.r1.gama": Schedule(to_value=0.0)})


# -- what the augmentation is told -----------------------------------------------------------------------------------


class Listener(Augmentation):
    def __init__(self):
        super().__init__()
        self.told, self.adapted = [], 0

    def forward(self, images):
        return images

    def observe(self, real_logits):
        self.told.append(real_logits.clone())

    def adapt(self, processes):
        self.adapted += 1


class Concatenated(NonSaturating):
    """Both in one pass, as BigGAN has it."""

    def discriminator(self, turn):
        self.real, fake = turn.logits_of_both()
        return {
            "real": torch.nn.functional.softplus(-self.real).mean(),
            "fake": torch.nn.functional.softplus(fake).mean(),
        }


class Explicit(NonSaturating):
    """Hands on the turn's own label, which is None here."""

    def discriminator(self, turn):
        self.real = turn.logits(turn.real, turn.label)
        return {
            "real": torch.nn.functional.softplus(-self.real).mean(),
            "fake": turn.logits(turn.fake, turn.label).mean(),
        }


class Changed(NonSaturating):
    """Real images with noise, as a loss that dequantizes has them; `says_so` decides whether it tells."""

    def __init__(self, image, says_so):
        super().__init__(image)
        self.says_so = says_so

    def discriminator(self, turn):
        self.real = turn.logits(turn.real + 0.01, stands_for="real" if self.says_so else None)
        return {"real": torch.nn.functional.softplus(-self.real).mean(), "fake": turn.logits(turn.fake).mean()}


@pytest.mark.parametrize(
    ("boundary", "low", "sign"), [(None, False, 1), (0.0, False, 1), (0.5, False, 1), (0.5, True, -1)]
)
def test_observe_gets_distances_from_the_boundary_of_the_loss(boundary, low, sign):
    loss, listener = Explicit(IMAGE), Listener()
    loss.boundary, loss.real_is_low = boundary, low
    make(loss, more={"augmentation": listener}).step()
    torch.testing.assert_close(listener.told[0], sign * (loss.real.detach() - (boundary or 0)), rtol=0, atol=0)


@pytest.mark.parametrize(
    "loss", [Concatenated(IMAGE), Explicit(IMAGE), Changed(IMAGE, True)], ids=["concatenated", "own label", "says so"]
)
def test_observe_is_told_the_real_logits_of_losses_that_wrap_them(loss):
    listener = Listener()
    trainer = make(loss, more={"augmentation": listener})
    trainer.step()
    assert len(listener.told) == 1 and torch.equal(listener.told[0], loss.real.detach())
    assert listener.adapted == 1 and not trainer.unobserved


def test_a_loss_that_hides_the_real_images_is_noticed():
    trainer = make(Changed(IMAGE, False), more={"augmentation": Listener()})
    trainer.step()
    assert trainer.unobserved == {"discriminator"}
    quiet = make(
        Changed(IMAGE, False), more={"augmentation": stepping.part("augmentations", "diffaugment", IMAGE).double()}
    )
    quiet.step()
    assert not quiet.unobserved, "an augmentation that does not adapt misses nothing"


def test_a_regularizer_shares_the_logits_that_the_loss_has():
    class Reader(Regularizer):
        def forward(self, turn):
            self.seen = (turn.real_logits, turn.fake_logits)
            return {"size": turn.real_logits.square().mean()}

    for loss, passes in ((NonSaturating(IMAGE), 3), (Concatenated(IMAGE), 2)):
        reader = Reader()
        trainer = make(loss, more={"regularizers": {"reader": reader}})
        calls = stepping.count_calls(trainer.discriminator)
        trainer.step()
        assert len(calls) == passes and [len(logits) for logits in reader.seen] == [4, 4]


# -- choosing by name ------------------------------------------------------------------------------------------------


def test_a_name_finds_its_kind_and_keeps_its_place_in_the_configuration():
    known = registry()
    assert {name: kind_of(name, known) for name in ("r1", "ada")} == {"r1": "regularizers", "ada": "augmentations"}
    variant = mixed_in(known.get("variants", "dcgan"), ["r1", "diffaugment", "lecam"], known)
    assert [part.name for part in variant.regularizers] == ["r1", "lecam"] and variant.augmentation == Part(
        "diffaugment"
    )
    assert (
        from_json(json.loads(json.dumps(as_json(variant))), Variant, "config.json").regularizers == variant.regularizers
    )


REFUSED = {
    (
        "lekam",
    ): r"No regularizer or augmentation is called 'lekam'\. Did you mean 'lecam'\? `ganzoo list --parts` lists them\.",
    (
        "diffaugment",
        "ada",
    ): (
        "Images can go through one augmentation, not both 'diffaugment' and 'ada': "
        "leave one out, or take the other with"
    ),
    ("ada", "ada"): "'dcgan' has the augmentation 'ada' already; its options are --set augmentation.<option>=...",
    ("r1", "r1"): r"'dcgan' has the regularizer 'r1' already; its options are --set regularizers.r1.<option>=...",
}


@pytest.mark.parametrize("names", REFUSED, ids=" ".join)
def test_what_cannot_be_mixed_in(names):
    with pytest.raises(UsageError, match=REFUSED[names]):
        mixed_in(registry().get("variants", "dcgan"), names, registry())


def test_batch_norm_and_a_penalty_are_worth_a_line():
    def warned(variant, mixins):
        trainer = trainer_with(variant, mixins)
        with logged(logging.WARNING) as lines:
            warn_of_batch_norm(trainer.discriminator, trainer.regularizers, trainer.loss)
        return lines

    (line,) = warned("dcgan", ["r1", "lecam", "gradient-penalty"])
    assert "batch norm" in line and "r1 and gradient-penalty" in line and "lecam" not in line
    assert warned("dcgan", ["lecam"]) == [] == warned("wgan-gp", ["r1"])


@pytest.mark.parametrize("loss", ["wasserstein-gp", "dragan", "relativistic-r1-r2"])
def test_batch_norm_under_the_penalty_of_a_loss_is_worth_a_line_too(loss):
    built = stepping.part("losses", loss, ImageSpec(16, 1))
    discriminator = stepping.part("discriminators", "dcgan", ImageSpec(16, 1), width=4)
    with logged(logging.WARNING) as lines:
        warn_of_batch_norm(discriminator, torch.nn.ModuleDict(), built)
        gentle = stepping.part("discriminators", "wgan-gp", ImageSpec(16, 1), width=4)
        warn_of_batch_norm(gentle, torch.nn.ModuleDict(), built)
        other = stepping.part("losses", "non-saturating", ImageSpec(16, 1))
        warn_of_batch_norm(discriminator, torch.nn.ModuleDict(), other)
    (line,) = lines
    assert "batch norm" in line and type(built).__name__ in line


LATE = [  # a mix-in, its options, steps of a run of batches of 4 from 40 images, the step that is named ("" if it acts)
    ("lecam", {}, 900, "step 1000"),
    ("lecam", {}, 1001, ""),
    ("lecam", {"start": 10}, 10, "step 10"),
    ("top-k", {"decay": 0.9}, 10, "step 10"),
    ("top-k", {"decay": 0.9}, 11, ""),
    ("top-k", {"decay": 1.0}, 500, "with these options"),
    ("ada", {"interval": 20}, 20, "step 20"),
    ("ada", {"interval": 20}, 21, ""),
    ("ada", {"start": 0.2}, 1, ""),
    ("r1", {"every": 16}, 1, ""),
    ("diffaugment", {}, 1, ""),
]


@pytest.mark.parametrize(("name", "options", "steps", "named"), LATE, ids=str)
def test_a_mix_in_that_cannot_act_in_the_run_says_so(name, options, steps, named):
    trainer = trainer_with("dcgan", [name], **{name: options})
    trainer.training = replace(trainer.training, steps=steps)
    with logged(logging.WARNING) as lines:
        warn_of_late_mixins(trainer, 40, 1)
    assert [named in line and f"{steps} steps" in line for line in lines] == ([True] if named else [])


@pytest.mark.parametrize("name", registry().names("variants"))
def test_one_image_at_a_time_trains_or_is_refused_with_one_line(name, tmp_path):
    """Batch norm on vectors has no spread to divide by; that is found before a run folder is made."""
    found = Subject(registry().get("variants", name), registry(), tmp_path)
    trainer = found.trainer(batch=1, steps=2)
    try:
        check_single_images(trainer)
    except UsageError as error:
        line = str(error)
        assert "--batch-size 2" in line and "\n" not in line and ("generator" in line or "discriminator" in line)
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            trainer.step(), trainer.step()
        trainer = found.trainer(batch=2, accumulate=2)
        with pytest.raises(UsageError, match=r"--batch-size 4 or more, two images for each of 2 micro-batches"):
            check_single_images(trainer)
        check_single_images(found.trainer(batch=2))
        return
    if name not in ("wgan", "wgan-mlp"):  # a hundred critic steps each
        for _ in range(2):
            assert all(value.isfinite() for value in trainer.step().values())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run with mix-ins and options, from the command line."""
    folder = tmp_path_factory.mktemp("mixins")
    small.images(folder / "grey.npz")
    more = [
        "--with",
        "r1",
        "--with",
        "diffaugment",
        "--set",
        "regularizers.r1.gamma=5",
        "--set",
        "augmentation.policy=color,cutout",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        done = small.forked_ganzoo(*small.arguments(folder / "grey.npz", folder / "run", *more, steps=2), cwd=folder)
        assert done.returncode == 0, done.stderr
        yield folder, done


def test_the_command_line_mixes_in_with_options_and_warns(run):
    folder, done = run
    variant = json.loads((folder / "run" / "config.json").read_text())["variant"]
    assert variant["regularizers"] == [{"name": "r1", "options": {"gamma": 5}}]
    assert variant["augmentation"] == {"name": "diffaugment", "options": {"policy": "color,cutout"}}
    assert len([line for line in done.stderr.splitlines() if "has batch norm" in line]) == 1
    terms = [record["terms"] for record in small.records(folder / "run") if "terms" in record]
    assert "discriminator.r1.penalty" in terms[0]


def test_resuming_keeps_the_mix_ins_and_takes_no_new_one(run):
    folder, _ = run
    go_on = ["train", "--out", "run", "--resume", "--steps", "3", "--threads", "1"]
    refused = small.forked_ganzoo(*go_on, "--with", "lecam", cwd=folder)
    assert refused.returncode == 2 and "The run was started without the regularizer 'lecam'" in refused.stderr
    done = small.forked_ganzoo(*go_on, "--with", "r1", cwd=folder)
    assert done.returncode == 0, done.stderr
    variant = json.loads((folder / "run" / "config.json").read_text())["variant"]
    assert variant["augmentation"]["name"] == "diffaugment" and small.steps_of(folder / "run")[0] == 3


def test_an_unknown_mix_in_is_one_line(run):
    folder, _ = run
    done = small.forked_ganzoo(
        *small.arguments(folder / "grey.npz", folder / "none", "--with", "difaugment"), cwd=folder
    )
    assert done.returncode == 2 and not (folder / "none").exists()
    assert done.stderr.splitlines()[-1].startswith(
        "Error: No regularizer or augmentation is called 'difaugment'. Did you mean 'diffaugment'?"
    )


def test_parts_are_listed_and_shown(run):
    folder, _ = run
    listed = small.forked_ganzoo("list", "--parts", "regularizers", cwd=folder)
    assert listed.returncode == 0 and [line.split()[1] for line in listed.stdout.splitlines()] == list(REGULARIZERS)
    cards = json.loads(small.forked_ganzoo("list", "--parts", "--json", cwd=folder).stdout)
    assert {card["kind"] for card in cards} == {
        "generator",
        "discriminator",
        "loss",
        "regularizer",
        "augmentation",
        "data set",
        "condition",
        "extractor",
        "metric",
        "layout",
        "tracker",
    }
    assert all(card["summary"] and card["distribution"] == "ganzoo" for card in cards)
    shown = small.forked_ganzoo("show", "r1", cwd=folder)
    assert shown.returncode == 0 and shown.stdout.startswith("r1, a regularizer\n")
    words = [line for line in shown.stdout.splitlines() if line.startswith("  --")]
    assert words[:3] == ["  --with r1", "  --set regularizers.r1.gamma=10.0", "  --set regularizers.r1.every=1"]
    (card,) = json.loads(small.forked_ganzoo("show", "diffaugment", "--json", cwd=folder).stdout)
    assert (card["kind"], card["options"]) == ("augmentation", {"policy": "color,translation,cutout"})


def test_a_name_that_nobody_has_gets_the_nearest_of_variants_and_parts(run):
    folder, _ = run
    for name, message in {
        "lecan": "No variant and no part is called 'lecan'. Did you mean 'lecam'?",
        "dcgn": "No variant is called 'dcgn'. Did you mean 'dcgan'?",
    }.items():
        done = small.forked_ganzoo("show", name, cwd=folder)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"Error: {message}")
    assert small.forked_ganzoo("list", "--parts", "losses", "--tag", "x", cwd=folder).returncode == 2

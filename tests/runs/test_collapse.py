"""What the collapse watch measures and when it speaks, and what real runs do when training goes wrong."""

import math
from dataclasses import replace

import pytest
import small
import torch
from stepping import RandomBatches

from ganzoo import ImageSpec, SampleSpec
from ganzoo.errors import DivergedError
from ganzoo.networks import Generator
from ganzoo.runs.collapse import (
    LEAST_DIVERSITY,
    SATURATED_FOR,
    WARM_UP,
    CollapseDetector,
    check_finite,
    compare,
    mean_distance,
    spread,
)
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.loop import TrainingLoop
from ganzoo.runs.request import Intervals
from ganzoo.runs.sample_monitor import RealImages

# -- numbers ---------------------------------------------------------------------------------------------------------


def test_constant_images_have_no_diversity():
    real = torch.rand(20, 1, 4, 4)
    assert compare(torch.zeros(20, 1, 4, 4), real)["diversity"] == 0


def test_one_image_under_noise_has_hardly_any_diversity():
    """What a generator of perceptrons draws that has collapsed: as pixels its samples lie apart."""
    random = torch.Generator().manual_seed(0)
    real = torch.rand(40, 1, 4, 4, generator=random).repeat_interleave(8, 2).repeat_interleave(8, 3) * 2 - 1
    fake = real[:1] + torch.rand(40, 1, 32, 32, generator=random) - 0.5
    assert spread(fake).fine / spread(real).fine > 0.4
    assert compare(fake, real)["diversity"] < LEAST_DIVERSITY
    assert compare(real + torch.rand(40, 1, 32, 32, generator=random) - 0.5, real)["diversity"] == pytest.approx(
        1, abs=0.1
    )


def test_samples_of_one_distribution_are_as_diverse_and_have_no_distance_on_average():
    random = torch.Generator().manual_seed(0)
    found = [compare(*torch.randn(2, 32, 1, 4, 4, generator=random)) for _ in range(100)]
    distances = torch.tensor([one["energy_distance"] for one in found])
    assert sum(one["diversity"] for one in found) / 100 == pytest.approx(1, abs=0.02)
    assert abs(distances.mean()) < 3 * distances.std() / 10
    assert distances.min() < 0 < distances.max()  # unbiased, not merely positive


@pytest.mark.parametrize("count", [2, 25, 40])
def test_the_mean_distance_is_that_of_all_pairs_also_of_images_hardly_apart(count):
    images = 0.9 + 1e-5 * torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = images.clone()
    assert mean_distance(images) == pytest.approx(float(torch.pdist(images.flatten(1)).mean()), rel=1e-9)
    assert torch.equal(images, before)


def test_energy_distance_by_hand():
    # |x−y|: 2, 4, 1, 3, mean 2.5; |x−x'| = 1; |y−y'| = 2; 2·2.5 − 1 − 2 = 2
    fake, real = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.tensor([2.0, 4.0]).view(2, 1, 1, 1)
    assert compare(fake, real) == pytest.approx({"diversity": 0.5, "energy_distance": 2.0})


def test_energy_distance_does_not_grow_with_the_number_of_pixels():
    fake, real = torch.zeros(4, 1, 2, 2), torch.ones(4, 1, 2, 2)
    assert (
        compare(fake, real)["energy_distance"]
        == compare(fake.repeat(1, 1, 4, 4), real.repeat(1, 1, 4, 4))["energy_distance"]
        == 2
    )


def test_equal_real_images_allow_equal_samples():
    assert compare(torch.ones(3, 1, 2, 2), torch.ones(3, 1, 2, 2)) == {"diversity": 1.0, "energy_distance": 0.0}


# -- the watch -------------------------------------------------------------------------------------------------------


def test_a_collapse_is_told_once_and_again_only_after_it_was_gone():
    watch = CollapseDetector()
    lines = [bool(watch.check_samples(WARM_UP + 1, value)) for value in (0.1, 0.1, 0.1, 0.9, 0.1, 0.1)]
    assert lines == [False, True, False, False, False, True]


def test_the_first_steps_draw_one_grey():
    watch = CollapseDetector()
    assert not any(watch.check_samples(step, 0.0) for step in range(WARM_UP + 1))


def test_a_saturated_discriminator_is_told_after_500_steps_in_a_row():
    watch = CollapseDetector()
    perfect, fair = (
        {"critic.real": 0.001, "critic.fake": -0.002, "generator.fake": 9.0},
        {"critic.real": 0.5, "critic.fake": 0.0},
    )
    lines = [
        bool(watch.check_terms(terms, {"critic"}))
        for terms in [perfect] * 499 + [fair] + [perfect] * (SATURATED_FOR + 5)
    ]
    assert [number for number, told in enumerate(lines) if told] == [499 + SATURATED_FOR]
    assert not CollapseDetector().check_terms({"generator.fake": 0.0}, {"critic"})


def test_a_state_that_is_being_lost_is_not_healthy():
    watch = CollapseDetector()
    assert watch.is_healthy(0.5) and not watch.is_healthy(0.1)
    watch.check_terms({"critic.real": 0.0}, {"critic"})
    assert not watch.is_healthy(0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_named(value):
    with pytest.raises(DivergedError, match="step 7: term 'real' of phase 'critic'"):
        check_finite(7, {"critic.fake": 1.0, "critic.real": value})


# -- runs that go wrong ----------------------------------------------------------------------------------------------


class Grey(Generator):
    """Draws one image whatever its latent while `collapsed`, else one brightness for each latent."""

    latent_dim = 4

    def __init__(self, image: SampleSpec):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(image.channels * image.size**2))
        self.image, self.collapsed = image, True

    def forward(self, latent, label=None):
        shift = torch.zeros(len(latent), 1) if self.collapsed else latent.mean(1, keepdim=True)
        return (shift + self.scale * 0.1).tanh().view(-1, self.image.channels, self.image.size, self.image.size)


class Flat(torch.nn.Module):
    """A discriminator of one number."""

    def __init__(self, image: SampleSpec):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, images, label=None):
        return self.weight * images.mean((1, 2, 3))


@pytest.fixture
def run_of(tmp_path, monkeypatch):
    """Makes a training loop around a small generator; looks come every `every` steps and the warm-up is over."""
    from ganzoo.engine.trainer import Trainer
    from ganzoo.losses import Loss
    from ganzoo.runs import collapse as watch
    from ganzoo.variant import Training

    monkeypatch.setattr(watch, "WARM_UP", 0)
    image = ImageSpec(8, 1)

    class Two(Loss):
        def discriminator(self, turn):
            return {
                "real": self.level + 0 * turn.logits(turn.real).mean(),
                "fake": 0 * turn.logits(turn.fake.detach()).mean(),
            }

        def generator(self, turn):
            return {"fake": turn.logits(turn.fake).mean()}

    def make(policy, steps, level=1.0, every=10):
        loss = Two()
        loss.level = level
        training = Training(batch_size=4, steps=steps)
        trainer = Trainer(
            generator=Grey(image),
            discriminator=Flat(image),
            loss=loss,
            batches=RandomBatches(image, 4),
            image=image,
            training=training,
        )
        folder = RunFolder(tmp_path / "run")
        folder.path.mkdir(exist_ok=True)
        real = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return TrainingLoop(trainer, folder, Intervals(every, every, 2, policy), RealImages(real, spread(real)))

    return make


def collapse_when(loop, condition):
    """Lets the loop's generator be healthy until `condition(trainer)`."""
    step = loop.trainer.step

    def stepped():
        terms = step()
        loop.trainer.generator.collapsed = bool(condition(loop.trainer))
        return terms

    loop.trainer.step = stepped


def events(loop, kind):
    return [record for record in loop.folder.records() if record.get("event") == kind]


def test_warn_says_one_line_and_goes_on(run_of, capsys):
    loop = run_of("warn", 60)
    loop.run()
    assert capsys.readouterr().err.count("the generator has collapsed") == 1
    assert [event["step"] for event in events(loop, "collapse")] == [20]
    assert loop.trainer.step_number == 60


def test_stop_keeps_the_state_and_names_the_healthy_one(run_of):
    loop = run_of("stop", 100)
    collapse_when(loop, lambda trainer: trainer.step_number > 20)
    with pytest.raises(DivergedError, match="collapsed .*step 40.*healthy .*step-000000020"):
        loop.run()
    assert small.steps_of(loop.folder.path) == [40, 30, 20]  # two and the healthy one
    assert DivergedError.exit_code == 3


def test_rollback_goes_back_to_a_healthy_state_with_other_random_numbers(run_of, capsys):
    loop = run_of("rollback", 80)
    collapse_when(loop, lambda trainer: trainer.attempt == 0 and trainer.step_number > 20)
    drawn = []
    random = loop.trainer.random
    loop.trainer.random = lambda *key: (drawn.append((loop.trainer.step_number, loop.trainer.attempt)), random(*key))[1]
    loop.run()
    assert loop.trainer.step_number == 80 and loop.trainer.attempt == 1
    assert "Rolled back to step 20" in capsys.readouterr().err
    assert [event["step"] for event in events(loop, "rollback")] == [20]
    assert {(20, 0), (20, 1)} <= set(drawn)
    steps = [record["step"] for record in loop.folder.records() if "samples" in record]
    assert steps == sorted(set(steps))  # each step once, as if there had been no collapse


def test_the_same_step_draws_other_numbers_after_a_rollback(run_of):
    trainer = run_of("rollback", 1).trainer
    first = torch.rand(4, generator=trainer.random(3))
    trainer.attempt = 1
    assert not torch.equal(first, torch.rand(4, generator=trainer.random(3)))


def test_rollback_gives_up_after_three(run_of, capsys):
    loop = run_of("rollback", 200)
    collapse_when(loop, lambda trainer: trainer.step_number > 20)
    with pytest.raises(DivergedError, match="collapsed for the fourth time by step 40"):
        loop.run()
    assert capsys.readouterr().err.count("Rolled back to step 20") == 3


def test_rollback_without_a_healthy_checkpoint_stops(run_of):
    with pytest.raises(DivergedError, match="no healthy checkpoint"):
        run_of("rollback", 100).run()


@pytest.mark.parametrize("policy", ["warn", "stop"])
def test_a_saturated_discriminator(run_of, policy):
    loop = run_of(policy, 750, level=0.0, every=250)
    loop.trainer.generator.collapsed = False
    if policy == "stop":
        with pytest.raises(DivergedError, match="by step 500"):
            loop.run()
    else:
        loop.run()
    assert [(event["step"], "saturated" in event["text"]) for event in events(loop, "collapse")] == [(500, True)]


def test_a_resumed_run_collapses_where_an_unstopped_one_does(run_of):
    """The watch's memory is part of the state: one low look before the stop, one after it."""
    loop = run_of("stop", 30)
    collapse_when(loop, lambda trainer: trainer.step_number > 20)
    loop.run()
    again = run_of("stop", 100)
    again.resume()
    collapse_when(again, lambda trainer: trainer.step_number > 20)
    with pytest.raises(DivergedError, match="by step 40"):
        again.run()


def test_weights_that_are_not_finite_are_never_saved(run_of):
    loop = run_of("warn", 30)
    step = loop.trainer.step

    def poisoned():
        terms = step()
        if loop.trainer.step_number == 17:
            loop.trainer.generator.scale.data[3] = float("nan")
        return terms

    loop.trainer.step = poisoned
    with pytest.raises(DivergedError, match=r"step 1[78].*checkpoint .*step-000000010"):
        loop.run()
    assert small.steps_of(loop.folder.path) == [10]
    assert events(loop, "diverged")


def test_a_last_step_that_breaks_the_weights_is_noticed(run_of):
    loop = run_of("warn", 20)
    step = loop.trainer.step

    def poisoned():
        terms = step()
        if loop.trainer.step_number == 20:
            loop.trainer.optimizers["discriminator"].state[loop.trainer.discriminator.weight]["exp_avg"].fill_(
                float("inf")
            )
        return terms

    loop.trainer.step = poisoned
    with pytest.raises(DivergedError, match="not finite .*checkpoint .*step-000000010"):
        loop.run()


def test_a_learning_rate_of_a_million_ends_with_code_3(tmp_path):
    data = small.images(tmp_path / "tiny.npz")
    rates = (
        "--set",
        "training.generator_lr=1e6",
        "--set",
        "training.discriminator_lr=1e6",
        "--checkpoint-every",
        "1000",
    )
    words = small.arguments(data, tmp_path / "run", *rates, variant="wgan-gp", steps=300)
    ended = small.forked_ganzoo(*words, GANZOO_CACHE=str(tmp_path / "cache"))
    assert ended.returncode == 3, ended.stderr
    error = [line for line in ended.stderr.splitlines() if line.startswith("Error:")]
    assert (
        len(error) == 1 and "term '" in error[0] and "phase '" in error[0] and "There was no checkpoint yet" in error[0]
    )
    assert "Traceback" not in ended.stderr
    assert small.records(tmp_path / "run")[-1]["event"] == "diverged"


def test_weights_of_a_huge_finite_magnitude_are_noticed(run_of):
    """Norms hide them: a discriminator with weights of 1e12 can have terms of any size."""
    loop = run_of("warn", 60)
    step = loop.trainer.step

    def poisoned():
        terms = step()
        if loop.trainer.step_number == 17:
            loop.trainer.discriminator.weight.data.fill_(1e12)
        return terms

    loop.trainer.step = poisoned
    with pytest.raises(DivergedError, match=r"weight of the discriminator is 1e\+12.*training\.discriminator_lr"):
        loop.run()
    assert loop.trainer.step_number <= 25 and events(loop, "diverged")


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_the_advice_names_the_rate_of_the_role_that_diverged(run_of, role):
    loop = run_of("warn", 60)
    step = loop.trainer.step

    def poisoned():
        if loop.trainer.step_number == 17:
            weight = next(loop.trainer.modules()[role].parameters())
            loop.trainer.optimizers[role].state[weight]["exp_avg"].fill_(float("inf"))
        return step()

    loop.trainer.step = poisoned
    with pytest.raises(
        DivergedError, match=rf"smaller learning rate of the {role} \(--set training\.{role}_lr=\.\.\., "
    ):
        loop.run()


def test_the_phase_before_the_first_bad_term_is_suspected(run_of):
    loop = run_of("warn", 60)
    assert loop._suspects(5, {"discriminator.real": math.nan, "generator.fake": math.nan}) == ("generator",)
    assert loop._suspects(5, {"discriminator.real": 1.0, "generator.fake": math.nan}) == ("discriminator",)
    two = replace(loop.trainer.phases[0], repeats=2), loop.trainer.phases[1]
    loop.trainer.phases = two
    assert loop._suspects(5, {"discriminator.real": math.nan, "generator.fake": 1.0}) == ("discriminator",)


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_a_rate_of_a_million_in_a_short_run_of_finite_numbers_is_noticed(tmp_path, role):
    data = small.images(tmp_path / "tiny.npz")
    words = small.arguments(data, tmp_path / "run", "--set", f"training.{role}_lr=1e6", variant="dcgan", steps=30)
    ended = small.forked_ganzoo(*words, GANZOO_CACHE=str(tmp_path / "cache"))
    assert ended.returncode == 3, ended.stderr
    (error,) = [line for line in ended.stderr.splitlines() if line.startswith("Error:")]
    assert f"--set training.{role}_lr=..., now 1e+06" in error

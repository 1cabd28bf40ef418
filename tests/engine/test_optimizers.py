"""Optimizers and schedules: one optimizer a role, the values of schedules, and moments in the right layout."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from contract.harness import IMAGE, contract_registry, make, parameters, trainer_for
from contract.parts import NonSaturating, TinyDiscriminator

from ganzoo import Schedule
from ganzoo.engine import trainer as engine
from ganzoo.engine.schedules import scheduled
from ganzoo.errors import UsageError
from ganzoo.losses import Augmentation


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ("linear", {0.0: 8.0, 0.2: 8.0, 0.4: 6.5, 0.6: 5.0, 1.0: 2.0}),
        ("cosine", {0.0: 8.0, 0.2: 8.0, 0.4: 5 + 3 * math.cos(math.pi / 4), 0.6: 5.0, 1.0: 2.0}),
        ("exponential", {0.0: 8.0, 0.2: 8.0, 0.4: 8 / math.sqrt(2), 0.6: 4.0, 1.0: 2.0}),
    ],
)
def test_a_schedule_at_its_begin_middle_and_finish(shape, values):
    schedule = Schedule(to_value=2.0, from_fraction=0.2, to_fraction=1.0, shape=shape)
    assert [scheduled(schedule, 8.0, progress) for progress in values] == pytest.approx(list(values.values()))
    assert scheduled(Schedule(to_value=2.0, from_value=4.0, to_fraction=0.5), 8.0, 0.0) == 4.0, (
        "its own start counts before the setting"
    )
    assert scheduled(Schedule(to_value=2.0, to_fraction=0.5), 8.0, 0.9) == 2.0


def test_a_schedule_without_width_is_a_switch():
    switch = Schedule(to_value=2.0, from_fraction=0.5, to_fraction=0.5)
    assert [scheduled(switch, 8.0, progress) for progress in (0.0, 0.49, 0.5, 1.0)] == [8.0, 8.0, 2.0, 2.0]


def test_a_schedule_of_steps_is_constant_between_its_milestones():
    schedule = Schedule(to_value=2.0, shape="steps", milestones=(0.25, 0.5))
    values = {0.0: 8.0, 0.249: 8.0, 0.25: 4.0, 0.49: 4.0, 0.5: 2.0, 1.0: 2.0}
    assert [scheduled(schedule, 8.0, progress) for progress in values] == pytest.approx(list(values.values()))
    with pytest.raises(UsageError, match="steps .*above 0, not 8.0 and 0.0"):
        scheduled(replace(schedule, to_value=0.0), 8.0, 0.0)


class Weighted(NonSaturating):
    def __init__(self, image):
        super().__init__(image)
        self.penalty, self.seen = 4, []

    def generator(self, turn):
        self.seen.append(self.penalty)
        return super().generator(turn)


class Contrast(Augmentation):
    def __init__(self):
        super().__init__()
        self.strength = 1.0

    def forward(self, images):
        return images * self.strength


def test_schedules_reach_rates_beta2_the_average_and_numbers_of_loss_and_augmentation():
    half = dict(to_fraction=0.5)  # ten steps: done at step 5
    trainer = make(
        Weighted(IMAGE),
        optimizer_options={"betas": (0.5, 0.9)},
        generator_lr=1e-3,
        discriminator_lr=2e-3,
        ema=0.5,
        schedules={
            "generator_lr": Schedule(to_value=0.0, **half),
            "beta2": Schedule(to_value=0.99, shape="cosine", **half),
            "ema": Schedule(from_value=0.0, to_value=1.0, **half),
            "loss.penalty": Schedule(to_value=0.0),
            "augmentation.strength": Schedule(to_value=2.0),
        },
        more={"augmentation": Contrast()},
    )
    rates, second, moved, strengths = [], [], [], []
    for _ in range(7):
        before = deepcopy(trainer.ema.main[0].weight)
        trainer.step()
        moved.append(not torch.equal(before, trainer.ema.main[0].weight))
        rates.append([trainer.optimizers[role].param_groups[0]["lr"] for role in ("generator", "discriminator")])
        second.append({optimizer.param_groups[0]["betas"] for optimizer in trainer.optimizers.values()})
        strengths.append(trainer.augmentation.strength)
    assert [rate for rate, _ in rates] == pytest.approx([1e-3, 8e-4, 6e-4, 4e-4, 2e-4, 0, 0])
    assert {rate for _, rate in rates} == {2e-3}
    assert [betas for step in second for betas in step] == [
        pytest.approx((0.5, 0.9 + 0.09 * (1 - math.cos(math.pi * min(step / 5, 1))) / 2)) for step in range(7)
    ]
    assert trainer.loss.seen == pytest.approx([4.0 - 0.4 * step for step in range(7)])
    assert strengths == pytest.approx([1 + step / 10 for step in range(7)])
    assert moved == [True] * 5 + [False, False], "a decay of 1 stands still"


def test_schedules_go_on_where_they_were():
    settings = {"ema": 0.5, "schedules": {"generator_lr": Schedule(to_value=0.0), "ema": Schedule(to_value=0.9)}}
    whole, resumed = make(**settings), make(initial=1, **settings)
    for _ in range(2):
        whole.step()
    resumed.load_state(deepcopy(whole.state()))
    for run in (whole, resumed):
        run.step()
        assert run.optimizers["generator"].param_groups[0]["lr"] == pytest.approx(2e-4 * 0.8)
    assert all(torch.equal(one, two) for one, two in zip(whole.ema.parameters(), resumed.ema.parameters(), strict=True))


@pytest.mark.parametrize(
    ("target", "training", "message"),
    [
        ("generator_rl", {}, "Nothing called 'generator_rl' can be scheduled. Did you mean 'generator_lr'?"),
        (
            "loss_lr",
            {},
            "Nothing called 'loss_lr' can be scheduled. Known: beta2, discriminator_lr, generator_lr, loss.<option>.",
        ),
        ("loss.penalt", {}, "The loss has no number called 'penalt' to schedule. Did you mean 'penalty'?"),
        ("loss.two", {}, "The loss has no number called 'two' to schedule."),
        ("augmentation.p", {}, "The augmentation has no number called 'p' to schedule."),
        ("ema", {}, "Nothing called 'ema' can be scheduled."),
        ("momentum", {"optimizer": "sgd"}, "Nothing called 'momentum' can be scheduled."),
        ("beta2", {"optimizer": "sgd"}, "Nothing called 'beta2' can be scheduled."),
    ],
)
def test_what_cannot_be_scheduled_is_named_with_the_nearest_that_can(target, training, message):
    with pytest.raises(UsageError) as caught:
        make(Weighted(IMAGE), schedules={target: Schedule(to_value=0.0)}, **training)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_beta2_is_scheduled_where_there_is_one():
    trainer = make(discriminator_optimizer="rmsprop", schedules={"beta2": Schedule(to_value=0.5, to_fraction=0.1)})
    trainer.step(), trainer.step()
    assert trainer.optimizers["generator"].param_groups[0]["betas"] == (0.9, 0.5)
    assert "betas" not in trainer.optimizers["discriminator"].param_groups[0]


def test_momentum_is_scheduled_where_there_is_some():
    options = {"generator_optimizer": "sgd", "generator_optimizer_options": {"momentum": 0.5}}
    trainer = make(
        discriminator_optimizer="rmsprop", schedules={"momentum": Schedule(to_value=0.7, to_fraction=0.1)}, **options
    )
    trainer.step(), trainer.step()
    assert trainer.optimizers["generator"].param_groups[0]["momentum"] == 0.7
    assert trainer.optimizers["discriminator"].param_groups[0]["momentum"] == 0


def test_an_exponential_schedule_cannot_reach_0():
    with pytest.raises(UsageError, match="exponential .*above 0, not 0.0002 and 0.0"):
        make(schedules={"generator_lr": Schedule(to_value=0.0, shape="exponential")}).step()


class Staged(TinyDiscriminator):
    """A discriminator that a schedule takes from stage to stage."""

    def __init__(self):
        super().__init__(IMAGE)
        self.register_buffer("size", torch.zeros(()))

    @property
    def optimizer_stage(self):
        return int(self.size)


def test_the_optimizer_of_a_network_that_comes_to_a_new_stage_starts_anew():
    schedules = {"discriminator.size": Schedule(from_value=0.0, to_value=2.0)}  # a new stage at the steps 5 and 10
    trainer, resumed = (make(discriminator=Staged(), schedules=schedules) for _ in range(2))
    counts = {"generator": [], "discriminator": []}
    for step in range(7):
        if step == 5:
            resumed.load_state(deepcopy(trainer.state()))
        for one in (trainer, resumed)[: 2 if step > 4 else 1]:
            one.step()
        for role, found in counts.items():
            found.append({int(moments["step"]) for moments in trainer.optimizers[role].state.values()})
    assert counts["generator"] == [{step} for step in range(1, 8)]
    assert counts["discriminator"] == [{1}, {2}, {3}, {4}, {5}, {1}, {2}]
    found, wanted = (dict(one.discriminator.named_parameters()) for one in (resumed, trainer))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_every_role_has_its_own_optimizer_with_its_own_options():
    trainer = make(
        optimizer_options={"weight_decay": 0.5},
        generator_lr=3e-4,
        discriminator_lr=1e-4,
        generator_optimizer_options={"betas": [0, 0.9]},
        discriminator_optimizer="sgd",
        discriminator_optimizer_options={"momentum": 0.5, "weight_decay": 0.25},
    )
    generator, discriminator = (trainer.optimizers[role] for role in ("generator", "discriminator"))
    assert type(generator) is torch.optim.Adam and type(discriminator) is torch.optim.SGD
    group = generator.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"], group["fused"]) == (3e-4, (0.0, 0.9), 0.5, True)
    group = discriminator.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"], group["fused"]) == (1e-4, 0.5, 0.25, True)
    assert set(trainer.optimizers) == {"generator", "discriminator"}, "a loss without parameters needs none"


def test_the_losss_own_networks_have_an_optimizer_and_the_generators_rate_unless_told():
    registry = contract_registry()
    assert trainer_for("vae", registry).optimizers["loss"].param_groups[0]["lr"] == 1e-3
    assert trainer_for("bigan", registry).optimizers["loss"].param_groups[0]["lr"] == 1e-4


def test_fused_gives_way_to_what_excludes_it():
    trainer = make(optimizer_options={"foreach": True}, discriminator_optimizer="rmsprop")
    trainer.step()
    assert not trainer.optimizers["generator"].param_groups[0].get("fused")


def test_what_an_optimizer_refuses_is_one_line():
    with pytest.raises(UsageError, match=r"^No optimizer is called 'adm'\. Did you mean 'adam'\?$"):
        make(optimizer="adm")
    with pytest.raises(UsageError, match=r"'sgd' .*generator .*\{'betas': \(0\.5, 0\.9\)"):
        make(optimizer="sgd", optimizer_options={"betas": (0.5, 0.9)})
    with pytest.raises(UsageError, match=r"'adam' .*generator .*Invalid beta"):
        make(optimizer_options={"betas": (0.5, 1.5)})


@pytest.fixture
def plain_moments():
    """A trainer, and its state with every moment in the usual layout, as a file that notes no strides gives it back."""
    trainer = make(dtype=torch.float32)
    for _ in range(2):
        trainer.step()
    state = deepcopy(trainer.state())
    changed = 0
    for optimizer in state["training"]["optimizers"].values():
        for moments in optimizer["state"].values():
            for name, moment in moments.items():
                changed += not moment.is_contiguous()
                moments[name] = moment.contiguous()
    assert changed > 0, "no moment lies channels last: the test would show nothing"
    return trainer, state


def go_on(trainer, state):
    resumed = make(dtype=torch.float32, initial=1)
    resumed.load_state(state)
    trainer.step(), resumed.step()
    left, right = parameters(trainer), parameters(resumed)
    return all(torch.equal(left[name], right[name]) for name in left)


def test_moments_in_another_layout_are_paired_with_the_right_weights(plain_moments):
    assert go_on(*plain_moments)


def test_the_test_above_can_fail(plain_moments, monkeypatch):
    monkeypatch.setattr(engine, "match_layout", lambda optimizer: None)
    assert not go_on(*plain_moments)

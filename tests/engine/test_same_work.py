"""The engine does the work of a plain hand-written loop, no more and no less: the same weights in float64."""

import sys
from dataclasses import replace

import pytest
import torch
from paths import ROOT
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganzoo.losses import Turn

sys.path.insert(0, str(ROOT / "benchmarks"))

import loops
import train_speed

STEPS = 4
TASKS = [replace(task, width=8) for task in train_speed.TASKS.values()]


class Replay:
    """A source for the loops that hands out, in order, what the engine drew."""

    def __init__(self, trainer, monkeypatch):
        self.drawn = {"real": [], "latent": [], "mix": []}
        sample = trainer.batches.sample

        def sampled(*arguments):
            fields = sample(*arguments)
            self.drawn["real"].append(fields["output"].double())
            return fields

        monkeypatch.setattr(trainer.batches, "sample", sampled)
        self._listen(monkeypatch, trainer.generator, "latent", "latent")
        self._listen(monkeypatch, Turn, "uniform", "mix")

    def _listen(self, monkeypatch, owner, name, kind):
        draw = getattr(owner, name)

        def listened(*arguments):
            result = draw(*arguments)
            self.drawn[kind].append(result.double())
            return result

        monkeypatch.setattr(owner, name, listened)

    def real(self):
        return self.drawn["real"].pop(0)

    def latent(self):
        return self.drawn["latent"].pop(0)

    def mix(self):
        return self.drawn["mix"].pop(0)


def small_batches(task, monkeypatch):
    """Minibatches of 8 for a quick test."""
    build = train_speed.build

    def with_small_batches(task):
        variant, *parts = build(task)
        return replace(variant, training=replace(variant.training, batch_size=8)), *parts

    monkeypatch.setattr(train_speed, "build", with_small_batches)


def weights(*modules):
    return {
        f"{index}.{name}": value for index, module in enumerate(modules) for name, value in module.state_dict().items()
    }


@pytest.mark.parametrize("kind", ["plain", "fast"])
@pytest.mark.parametrize("task", TASKS, ids=list(train_speed.TASKS))
def test_the_trainer_gives_the_weights_of_a_hand_written_loop(task, kind, monkeypatch):
    small_batches(task, monkeypatch)
    trainer = train_speed.trainer_of(task, "cpu", dtype=torch.float64)
    replay = Replay(trainer, monkeypatch)
    for _ in range(STEPS):
        trainer.step()

    variant, generator, discriminator, _ = train_speed.build(task)
    networks = generator.double().train(), discriminator.double().train()
    before = {name: value.clone() for name, value in weights(*networks).items()}
    step = getattr(task, kind)(*networks, variant.training, replay)
    for _ in range(STEPS):
        step()

    assert replay.drawn == {"real": [], "latent": [], "mix": []}, "the engine drew what the loop has no use for"
    ours, theirs = weights(trainer.generator, trainer.discriminator), weights(*networks)
    moved = {name: float((value - before[name]).abs().max()) for name, value in theirs.items()}
    assert max(moved.values()) > 1e-4
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value, rtol=1e-12, atol=tolerance(name, moved[name])), name


def tolerance(name, moved):
    """1e-12, except where batch norm cancels a bias: its gradient is rounding, which Adam divides by its 1e-8."""
    if 0 < moved < 1e-9:
        return 1e-10
    return 1e-11 if name.endswith("running_mean") else 1e-12


class Operations(TorchDispatchMode):
    """Counts the floating-point operations of convolutions and matrix products, wherever autograd calls them."""

    total = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        count = flop_registry.get(function.overloadpacket)
        if count is not None:
            self.total += count(*arguments, **(keywords or {}), out_val=result)
        return result


def operations(name, task):
    step = train_speed.contestant(name, task, "cpu", "fp32")
    step()
    step()
    with Operations() as counted:
        step()
    return counted.total


@pytest.mark.parametrize("task", TASKS, ids=list(train_speed.TASKS))
def test_the_trainer_computes_what_the_fastest_loop_does_and_less_than_the_plain_one(task, monkeypatch):
    small_batches(task, monkeypatch)
    ours, fastest, plain = (operations(name, task) for name in ("ganzoo", "hand", "plain"))
    assert ours == fastest
    assert ours < (0.86 if task.variant == "wgan-gp" else 0.92) * plain


def test_every_task_says_how_many_real_batches_a_step_takes(monkeypatch):
    for task in TASKS:
        small_batches(task, monkeypatch)
        trainer = train_speed.trainer_of(task, "cpu")
        trainer.step()
        assert trainer.batches_taken == task.batches


def test_ratios_are_of_the_same_round():
    times = {"plain": [(2.0, 4.0), (6.0, 6.0), (3.0, 9.0)], "ganzoo": [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]}
    assert train_speed.ratios(times, "ganzoo", "plain", 0) == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert train_speed.ratios(times, "ganzoo", "plain", 1) == {"median": 3.0, "min": 3.0, "max": 4.0}


def test_the_penalty_of_the_loops_is_the_default_of_the_variant():
    _, _, _, loss = train_speed.build(train_speed.TASKS["wgan-gp-32"])
    assert loss.penalty == loops.PENALTY

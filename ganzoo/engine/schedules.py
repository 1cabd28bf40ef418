"""Schedules of learning rates, momentum, EMA and options over training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.errors import UsageError, did_you_mean
from ganzoo.variant import Schedule, Training

NETWORKS = ("generator", "discriminator")


def scheduled(schedule: Schedule, base: float, progress: float) -> float:
    """Returns a schedule's value at `progress`, the fraction of all steps done; `base` is the setting itself."""
    start = base if schedule.from_value is None else schedule.from_value
    if schedule.shape == "steps":
        passed = sum(progress >= milestone for milestone in schedule.milestones)
        return _geometric(schedule, start, passed / max(len(schedule.milestones), 1))
    width = schedule.to_fraction - schedule.from_fraction
    done = (progress - schedule.from_fraction) / width if width > 0 else float(progress >= schedule.from_fraction)
    done = min(max(done, 0.0), 1.0)
    if schedule.shape == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    if schedule.shape == "exponential":
        return _geometric(schedule, start, done)
    return start + (schedule.to_value - start) * done


def _geometric(schedule: Schedule, start: float, done: float) -> float:
    """Returns the value a share `done` of the way from `start` to the last, by factors; UsageError at 0 and below."""
    if not (start > 0 and schedule.to_value > 0):
        kind = "A schedule of steps" if schedule.shape == "steps" else "An exponential schedule"
        raise UsageError(f"{kind} needs two numbers above 0, not {start} and {schedule.to_value}.")
    return start * (schedule.to_value / start) ** done


def half_life(decay: float) -> float:
    """Returns the half-life in steps of a moving average with this decay, from 0 to below 1."""
    return math.log(0.5) / math.log(decay) if decay > 0 else 0.0


def _is_buffer(value: Any) -> bool:
    """True for a buffer of one floating-point number."""
    return isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point()


def _set(module: nn.Module | None, attribute: str, value: float) -> None:
    buffer = getattr(module, attribute)
    if isinstance(buffer, Tensor):
        buffer.fill_(value)
    else:
        setattr(module, attribute, value)


class Schedules:
    """Sets scheduled values before each step.

    Targets are learning rates, β2, momentum, the EMA decay, numbers among the attributes of loss, augmentation and
    regularizers, and buffers of one number of any of them or of a network: what a network computes must not depend on
    anything that its weights file does not hold. The decay has two targets: itself, or its half-life as a fraction of
    all steps.
    """

    def __init__(
        self, training: Training, optimizers: dict[str, torch.optim.Optimizer], modules: dict[str, nn.Module | None]
    ):
        self._training, self._optimizers, self._modules = training, optimizers, modules
        self._steps = max(training.steps, 1)
        # A network that no phase updates has no learning rate to move: the discriminator, where the loss leaves it out.
        idle = {f"{role}_lr" for role in NETWORKS if modules.get(role) is not None and role not in optimizers}
        self._moving = {target: one for target, one in training.schedules.items() if target not in idle}
        self._base = {target: self._read(target) for target in self._moving}

    def _read(self, target: str) -> float:
        """Returns the unscheduled value of a target; UsageError if it cannot be scheduled."""
        owner, _, attribute = target.rpartition(".")
        if owner in self._modules:
            value: Any = getattr(self._modules[owner], attribute, None)
            network = owner in NETWORKS
            if _is_buffer(value) or (not network and type(value) in (int, float)):
                return float(value)
            numbers = self._numbers(owner)
            what = "buffer of one number" if network else "number"
            raise UsageError(
                f"The {owner} has no {what} called '{attribute}' to schedule.{did_you_mean(attribute, numbers)}"
            )
        known = [f"{role}_lr" for role in self._optimizers] + ["beta2"] * bool(self._groups("betas"))
        known += ["momentum"] * bool(self._groups("momentum")) + ["ema", "ema_half_life"] * (
            self._training.ema is not None
        )
        if target not in known:
            known += [
                f"{owner}.<option>"
                for owner in self._modules
                if owner not in NETWORKS and self._modules[owner] is not None
            ]
            known += [f"{owner}.{name}" for owner in NETWORKS for name in self._numbers(owner)]
            raise UsageError(f"Nothing called '{target}' can be scheduled.{did_you_mean(target, known)}")
        if {"ema", "ema_half_life"} <= set(self._training.schedules):
            raise UsageError("The moving average has two schedules, 'ema' and 'ema_half_life': leave one out.")
        if target == "beta2":
            return float(self._groups("betas")[0]["betas"][1])
        if target == "momentum":
            return float(self._groups("momentum")[0]["momentum"])
        if target == "ema":
            return self._training.ema or 0.0
        if target == "ema_half_life":
            return half_life(self._training.ema or 0.0) / self._steps
        return float(self._optimizers[target.removesuffix("_lr")].param_groups[0]["lr"])

    def _numbers(self, owner: str) -> list[str]:
        """Returns what can be scheduled of a module; of a network only buffers, which weights files hold."""
        module = self._modules[owner]
        if module is None:
            return []
        plain = [] if owner in NETWORKS else [name for name, item in vars(module).items() if type(item) in (int, float)]
        return plain + [name for name, item in module.named_buffers(recurse=False) if _is_buffer(item)]

    def _groups(self, option: str) -> list[dict[str, Any]]:
        """Returns the parameter groups whose option is not 0: torch keeps no buffer for a momentum that starts at 0."""
        return [
            group for optimizer in self._optimizers.values() for group in optimizer.param_groups if group.get(option)
        ]

    def at(self, step: int) -> dict[str, float]:
        """Sets every scheduled value for training step `step` and returns them."""
        values = {}
        for target, schedule in self._moving.items():
            values[target] = value = scheduled(schedule, self._base[target], step / self._steps)
            owner, _, attribute = target.rpartition(".")
            if owner:
                _set(self._modules[owner], attribute, value)
            elif target == "beta2":
                for group in self._groups("betas"):
                    group["betas"] = (group["betas"][0], value)
            elif target == "momentum":
                for group in self._groups("momentum"):
                    group["momentum"] = value
            elif target == "ema_half_life":
                # as in the official code of Karras et al. 2020 and Huang et al. 2024
                values["ema"] = 0.5 ** (1 / max(value * self._steps, 1e-8))
            elif target != "ema":
                for group in self._optimizers[target.removesuffix("_lr")].param_groups:
                    group["lr"] = value
        return values

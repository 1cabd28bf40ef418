"""The names and promises of all checks, and their outcomes. Torch-free: listing the checks runs none.

A check is a function of a `Subject`. It registers itself with `@check(name)`; `CHECKS` has every name in the order of a
run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ganzoo.errors import UsageError, did_you_mean

Check = Callable[..., str | None]  # takes the Subject

CHECKS = {
    "card": "The card has a one-sentence summary, an https paper, a plausible year, sizes, tags and valid settings.",
    "parts": "Every part that the card names is registered and takes the options that the card gives it.",
    "listing": "Loading the plugin in a fresh process takes at most a second and imports nothing heavy.",
    "shapes": "Images have the declared shape, are finite and in [-1, 1]; logits are finite, one for each image.",
    "seeds": "The same seed builds the same weights and trains them bit for bit alike; another seed does not.",
    "gradients": "Each phase changes the networks that it updates and no other, through the engine's optimizers alone.",
    "parameters": "Every trainable parameter gets a gradient.",
    "inputs": "No input (latents, labels, images) is changed in place.",
    "batches": "Batches of 1 and 3 and micro-batches train; a sample does not depend on the rest of its batch.",
    "save": "A saved generator loads again and generates the same images.",
    "resume": "A resumed run is bit-identical to an uninterrupted one.",
    "bf16": "Under bfloat16 autocast, losses and weights stay finite and weights stay float32.",
    "latents": "Latents follow their random generator; truncation and interpolation work, or refuse in one line.",
    "fast-path": "The folded copy that `Model` samples with generates the same images as the generator.",
    "globals": "Global random states and torch settings are unchanged afterwards.",
    "silence": "Nothing is printed.",
    "learns": "On a tiny data set, samples come closer to the data.",
}
# The checks that take at most seconds for every variant.
QUICK = (
    "card",
    "parts",
    "shapes",
    "gradients",
    "parameters",
    "inputs",
    "save",
    "latents",
    "fast-path",
    "globals",
    "silence",
)
PATIENCE = 60.0  # CPU seconds that `learns` takes at most
FUNCTIONS: dict[
    str, Check
] = {}  # filled by the decorator when `ganzoo.testing.runner` imports the modules of the checks


class CheckFailed(AssertionError):
    """A promise is broken; the message says what to change."""


class CheckSkipped(Exception):
    """A check does not apply to the variant, or cannot run here; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """The result of one check; `text` is the reason of a failure or skip, else a remark or empty."""

    variant: str
    check: str
    state: Literal["ok", "failed", "skipped"]
    text: str
    seconds: float


def check(name: str) -> Callable[[Check], Check]:
    """Registers the decorated function as the check `name` of `CHECKS`.

    The function returns a remark or nothing. It raises CheckFailed or CheckSkipped; other exceptions count as failures.
    """
    if name not in CHECKS:
        raise KeyError(f"CHECKS has no promise for '{name}'")

    def register(function: Check) -> Check:
        FUNCTIONS[name] = function
        return function

    return register


def check_names(names: Iterable[str]) -> list[str]:
    """Returns the names without repetitions; UsageError for an unknown one."""
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in CHECKS:
            raise UsageError(f"No check is called '{name}'.{did_you_mean(name, CHECKS)}")
    return names

"""The checks by name, with the promise of each, and how a check reports. Torch-free: listing the checks runs none.

A check is a function of a `Subject`. It registers itself with `@check(name)`; `CHECKS` has every name in the order of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ganzoo.errors import UsageError, did_you_mean

Check = Callable[..., str | None]  # takes the Subject

CHECKS = {
    "card": "The card has a one-sentence summary, an https paper, a plausible year, sizes, tags and settings that exist.",
    "parts": "Every part that the card names is registered and takes the options that the card gives it.",
    "listing": "Listing the variant, in a fresh process, is quick and imports nothing heavy.",
    "shapes": "Images have the declared size and channels, are finite and in [-1, 1]; logits are finite, one for each image.",
    "seeds": "The same seed builds the same weights and trains them to the same bits; another seed does not.",
    "gradients": "Each phase changes the roles that it updates and nothing else, through the engine's optimizers alone.",
    "parameters": "Every parameter that can learn gets a gradient.",
    "inputs": "Latents, labels and images are left as they came: nothing is changed in place.",
    "batches": "A batch of one, an odd one and micro-batches train, and an image does not depend on what it is drawn with.",
    "save": "What is saved loads again and draws the same images.",
    "resume": "A run resumed from a checkpoint ends in the same bits as one that never stopped.",
    "bf16": "Under bfloat16 autocast terms and weights stay finite, and the weights stay float32.",
    "latents": "Latents follow their generator; truncation and interpolation work, or are refused in one line.",
    "fast-path": "The faster copy that draws samples draws the generator's own images.",
    "globals": "Random states and settings of the process are left as they were found.",
    "silence": "Nothing is printed.",
    "learns": "On a tiny data set the samples come nearer to the data.",
}
# Those that take seconds for every variant; the others train or start processes.
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
    """The result of one check: `text` is the reason of a failure or skip; of a check that passed it is a remark, or empty."""

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

"""What any variant must pass: named checks, each of one promise. This module imports no torch; running a check does.

    from ganzoo.testing import check_variant
    check_variant("dcgan")          # raises an AssertionError that says what to change

The same runs as `ganzoo check dcgan` and as `pytest --ganzoo dcgan`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ganzoo.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from ganzoo.registry.registry import Registry

# Every check with its promise, in the order in which they run; docs/checking.md says more of each.
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
PATIENCE = 60.0  # seconds of the processor that `learns` takes at most
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


class CheckFailed(AssertionError):
    """A promise is broken; the message is a sentence that says what to change."""


class CheckSkipped(Exception):
    """A check does not apply to the variant, or cannot be made here; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What one check found: a failure's or a skip's reason is `text`; of an ok one it is what is worth knowing, or empty."""

    variant: str
    check: str
    state: Literal["ok", "failed", "skipped"]
    text: str
    seconds: float


def check_names(names: Iterable[str]) -> list[str]:
    """The names, each once; UsageError for one that no check has."""
    for name in names:
        if name not in CHECKS:
            raise UsageError(f"No check is called '{name}'.{did_you_mean(name, CHECKS)}")
    return list(dict.fromkeys(names))


def run_checks(
    name: str,
    checks: Iterable[str] = tuple(CHECKS),
    *,
    size: int | None = None,
    patience: float = PATIENCE,
    registry: Registry | None = None,
):
    """Runs checks on a registered variant and yields the `Outcome` of each as it is there.

    `size` is the image size that networks are trained at, the smallest that the card declares if None; `patience` is how many seconds
    of the processor `learns` may take before it is skipped. UsageError for an unknown check, variant or size.
    """
    checks = check_names(checks)
    from ganzoo.testing.subject import Subject, outcome

    with Subject.open(name, size=size, patience=patience, registry=registry) as subject:
        for check in checks:
            yield outcome(subject, check)


def check_variant(name: str, checks: Iterable[str] = tuple(CHECKS), **options) -> list[Outcome]:
    """Runs checks on a registered variant, with the options of `run_checks`, and returns their outcomes; CheckFailed with a line for each that failed."""
    outcomes = list(run_checks(name, checks, **options))
    if failed := [one for one in outcomes if one.state == "failed"]:
        raise CheckFailed("\n".join(f"{one.variant}: {one.check}: {one.text}" for one in failed))
    return outcomes

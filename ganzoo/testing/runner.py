"""Which function makes which check."""

from __future__ import annotations

from collections.abc import Callable

from ganzoo.testing import card_checks as standing
from ganzoo.testing import sampling_checks as drawing
from ganzoo.testing import side_effects as manners
from ganzoo.testing import training_checks as learning
from ganzoo.testing.subject import Subject

FUNCTIONS: dict[str, Callable[[Subject], str | None]] = {
    "card": standing.card,
    "parts": standing.parts,
    "listing": standing.listing,
    "shapes": drawing.shapes,
    "seeds": learning.seeds,
    "gradients": learning.gradients,
    "parameters": learning.parameters,
    "inputs": learning.inputs,
    "batches": learning.batches,
    "save": drawing.save,
    "resume": learning.resume,
    "bf16": learning.bf16,
    "latents": drawing.latents,
    "fast-path": drawing.fast_path,
    "globals": manners.global_state,
    "silence": manners.silence,
    "learns": learning.learns,
}


def function_of(check: str) -> Callable[[Subject], str | None]:
    """The function of a check: it returns what is worth knowing, raises CheckFailed or CheckSkipped."""
    return FUNCTIONS[check]

"""Looks up the cards of variants."""

from __future__ import annotations

from fnmatch import fnmatchcase

from ganzoo.api.public import public
from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.registry.registry import registry
from ganzoo.variant import Variant


@public
def list_variants(pattern: str = "*", *, task: str | None = None, pretrained: bool = False) -> list[str]:
    """Lists the names of the registered variants that match a shell pattern, sorted.

    Args:
        pattern: such as "wgan*".
        task: only variants of this task, such as "generation", "translation" or "super-resolution".
        pretrained: only variants that name pretrained weights; `variant(name).weights` has their tags.

    Raises:
        UsageError: if no variant has the task.
    """
    found = variants(pattern)
    if task is not None:
        known = sorted({one.task for one in registry().variants()})
        if task not in known:
            raise UsageError(f"No variant has the task {quoted(task)}; known: {', '.join(known)}.")
        found = [one for one in found if one.task == task]
    return [one.name for one in found if one.weights or not pretrained]


def variant(name: str) -> Variant:
    """Returns the card of a variant: its parts, sizes, training settings and pretrained weights.

    Raises:
        UsageError: if there is no such variant, with the nearest name.
    """
    if not isinstance(name, str):
        raise UsageError(f"The name of a variant is a text, not {quoted(name)}.")
    found: Variant = registry().get("variants", name)
    return found


def variants(pattern: str = "*") -> list[Variant]:
    """Returns every registered variant whose name matches the shell pattern, sorted by name."""
    if not isinstance(pattern, str):
        raise UsageError(f'A pattern is a text such as "wgan*", not {quoted(pattern)}.')
    return [one for one in registry().variants() if fnmatchcase(one.name, pattern)]

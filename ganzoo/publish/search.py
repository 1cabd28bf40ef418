"""Finds models of ganzoo on the Hugging Face Hub by words, variant and resolution."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.hub.client import call_hub
from ganzoo.hub.errors import HubTarget
from ganzoo.models.pull import REPOSITORY
from ganzoo.publish.model_card import GENERIC, LIBRARY
from ganzoo.registry.registry import registry
from ganzoo.variant import ImageSize

MOST = 1000
RESOLUTION = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Found:
    """A model that the Hub lists; facts missing from its tags are None. `modified` is a day, as 2026-05-17."""

    name: str
    variant: str | None
    size: ImageSize | None
    downloads: int
    modified: str | None


def search(
    words: str = "", *, variant: str | None = None, size: ImageSize | None = None, limit: int = 20
) -> list[Found]:
    """Returns at most `limit` models whose library is ganzoo, the most downloaded first.

    `words` are searched in the names, `variant` is one variant, `size` one resolution in pixels, or (height, width).
    Raises UsageError, HubError.
    """
    if not 1 <= limit <= MOST:
        raise UsageError(f"limit is {limit}: ask for 1 to {MOST} models.")
    if variant is not None and not TAG.fullmatch(variant):
        raise UsageError(f"{quoted(variant)} is no name of a variant.")
    sides = (size, size) if isinstance(size, int) else size
    wanted = [LIBRARY, *([variant] if variant else []), *(["x".join(map(str, sides))] if sides else [])]

    def ask() -> list[Found]:
        from huggingface_hub import HfApi

        most = MOST if variant == GENERIC else limit  # "gan" is a variant and a tag of every model
        listed = HfApi().list_models(search=words or None, filter=wanted, limit=most, full=True, sort="downloads")
        known = set(registry().names("variants"))
        every = (found for model in islice(listed, most) if (found := _found(model, known, variant)) is not None)
        return list(islice((found for found in every if variant in (None, found.variant)), limit))

    return call_hub(ask, HubTarget("a search of models", ""))


def _found(model: Any, known: set[str], variant: str | None) -> Found | None:
    """Returns the validated facts of a listed model; None if its name is malformed."""
    if not isinstance(model.id, str) or not REPOSITORY.fullmatch(model.id):
        return None
    tags = [tag for tag in model.tags or [] if isinstance(tag, str) and TAG.fullmatch(tag)]
    found = [(int(match[1]), int(match[2])) for tag in tags if (match := RESOLUTION.fullmatch(tag))]
    sizes: list[ImageSize] = [height if height == width else (height, width) for height, width in found]
    modified = model.last_modified
    return Found(
        name=model.id,
        variant=variant if variant not in (None, GENERIC) else _variant(tags, known),
        size=sizes[0] if sizes else None,
        downloads=model.downloads if isinstance(model.downloads, int) else 0,
        modified=modified.date().isoformat() if isinstance(modified, datetime) else None,
    )


def _variant(tags: list[str], known: set[str]) -> str | None:
    """Returns the tag that names the variant: a registered one, or the tag after "gan", as cards of ganzoo have it.

    "gan" itself, a tag of all models, names the first GAN if the resolution follows it.
    """
    registered = [tag for tag in tags if tag in known and tag != GENERIC]
    if registered or GENERIC not in tags:
        return registered[0] if registered else None
    after = tags[tags.index(GENERIC) + 1 :]
    return next((tag for tag in after[:1] if not RESOLUTION.fullmatch(tag)), GENERIC)

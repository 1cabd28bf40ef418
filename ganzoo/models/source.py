"""Tells what a source is by how it is written: a registered tag, a repository on the Hub, or a folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ganzoo.errors import UsageError, did_you_mean
from ganzoo.files.text import quoted
from ganzoo.registry.registry import Registry
from ganzoo.variant import Weights

LISTED = 10  # tags in a message
REPOSITORY = re.compile(
    r"(?:hf://)?(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@(?P<revision>[\w./-]{1,200}))?", re.ASCII
)
PATH = re.compile(r"[./~\\]|[A-Za-z]:[/\\]")


@dataclass(frozen=True)
class Tag:
    """Weights that a registered variant names, as "dcgan.fashion-mnist"."""

    name: str
    variant: str
    weights: Weights


@dataclass(frozen=True)
class Repository:
    """A repository on the Hub, at a branch, tag or commit (None: the main branch)."""

    repo: str
    revision: str | None = None


def parse_source(source: str | os.PathLike, registry: Registry) -> Tag | Repository | Path:
    """Returns what `source` names: a tag, a repository or a path.

    A path object is a folder; text is one if it begins with ".", "/", "~" or a drive, or has more than one slash,
    or names a file that is there.
    `owner/name` is a folder if one with a config.json is there, else a repository, as are `owner/name@revision` and
    `hf://owner/name`; a single word is a tag. UsageError lists the possible meanings of other folders.
    """
    if isinstance(source, os.PathLike):
        return Path(source)
    text = str(source)
    if PATH.match(text):
        return Path(text).expanduser()
    if found := REPOSITORY.fullmatch(text):
        if not text.startswith("hf://") and os.path.isdir(text):
            if os.path.isfile(os.path.join(text, "config.json")):  # a run or a model, which the Hub's name may not hide
                return Path(text)
            raise UsageError(
                f"{quoted(text)} is a folder here and could be a repository on the Hub: write ./{text} or hf://{text}."
            )
        return Repository(found["repo"], found["revision"])
    if text.startswith("hf://"):
        raise UsageError(f"{quoted(text)} names no repository: write hf://owner/name or hf://owner/name@revision.")
    if "/" in text or "\\" in text:
        return Path(text)
    return _tag(text, registry)


def _tag(text: str, registry: Registry) -> Path | Tag:
    tags = {tag: variant for variant in registry.variants() for tag in variant.weights}
    if text in tags:
        return Tag(text, tags[text].name, tags[text].weights[text])
    if os.path.isfile(text):
        return Path(text)
    if os.path.isdir(text):
        raise UsageError(f"{quoted(text)} is no pretrained generator; for the folder of that name write ./{text}.")
    hint = did_you_mean(text[:100], tags)
    if hint.startswith(" Known") and len(tags) > LISTED:
        hint = f" There are {len(tags)}, such as {min(tags)}: `ganzoo list` shows them."
    if text in {variant.name for variant in registry.variants()}:
        its_own = " or ".join(tag for tag, variant in tags.items() if variant.name == text)
        hint = f" Did you mean {its_own}?" if its_own else " That variant has no pretrained generator here: train one."
    raise UsageError(
        f"No pretrained generator is called {quoted(text)}.{hint} (A folder is written with ./ before it.)"
    )

"""The models that a studio may load: those named at its start, and the weights that come with the package."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.models.load import load
from ganzoo.models.model import Model
from ganzoo.registry.registry import Registry
from ganzoo.variant import SampleSpec

Ability = Literal["sample", "walk", "apply"]
LOADED = 4  # models in memory at once
POINT = (2,)


def abilities_of(spec: SampleSpec) -> frozenset[Ability]:
    """Returns what a generator of these samples can do here: it samples and walks, or it is applied to one picture.

    Empty for samples that cannot be shown, or that are made of several pictures.
    """
    sources = list(spec.sources.values())
    if spec.output.kind == "image":
        if not sources:
            return frozenset({"sample", "walk"})
        return frozenset({"apply"}) if len(sources) == 1 and sources[0].kind == "image" else frozenset()
    shown = spec.output.kind == "points" and spec.output.shape == POINT and not sources
    return frozenset({"sample"}) if shown else frozenset()


def embedded(registry: Registry) -> dict[str, SampleSpec]:
    """Returns the tags of all weights that come with installed packages, the newest first, and what they make."""
    return {
        tag: weights.image
        for variant in sorted(registry.variants(), key=lambda one: -one.year)
        for tag, weights in variant.weights.items()
        if weights.package_file is not None
    }


class Shelf:
    """The models of a studio by the name that they were given.

    One thread computes at a time (`computing`): samples stay the same bit for bit, and two cores are not fought over.
    """

    def __init__(self, named: Sequence[str], registry: Registry, *, zoo: bool = True):
        self._computing = threading.RLock()
        self._loaded: OrderedDict[str, Model] = OrderedDict()
        self._specs: dict[str, SampleSpec] = {}
        for name in dict.fromkeys(named):
            model = load(name)
            if not abilities_of(model.image):
                raise UsageError(
                    f"The studio cannot show {name}: it shows images of at most one picture, and points in the plane."
                )
            self._specs[name] = model.image
            self._keep(name, model)
        if zoo:
            self._specs |= {tag: spec for tag, spec in embedded(registry).items() if tag not in self._specs}

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Holds the lock of everything that computes."""
        with self._computing:
            yield

    def is_computing(self) -> bool:
        """Whether another thread computes."""
        if self._computing.acquire(blocking=False):
            self._computing.release()
            return False
        return True

    def able(self, ability: Ability) -> list[str]:
        """Returns the names of the models that can do something, those named at the start first."""
        return [name for name, spec in self._specs.items() if ability in abilities_of(spec)]

    def model(self, name: str) -> Model:
        """Returns a model, loaded at its first use; UsageError for a name that is not on the shelf."""
        if name not in self._specs:
            raise UsageError(f"{quoted(name)} is not in this studio: name it at the start, as `ganzoo studio MODEL`.")
        with self._computing:
            if name not in self._loaded:
                self._keep(name, load(name))
            self._loaded.move_to_end(name)
            return self._loaded[name]

    def _keep(self, name: str, model: Model) -> None:
        """Keeps a model in memory, and drops the one that was used least recently if there are too many."""
        self._loaded[name] = model
        while len(self._loaded) > LOADED:
            self._loaded.popitem(last=False)

"""Checks of what a variant does to the process around it."""

from __future__ import annotations

import contextlib
import io
import random
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy
import torch

from . import CheckFailed
from .drawing import model_of
from .subject import Subject, caller

SEEDERS = ((torch, "manual_seed"), (torch, "seed"), (random, "seed"), (numpy.random, "seed"))
SETTINGS: dict[str, Callable[[], object]] = {
    "torch's default type": torch.get_default_dtype,
    "torch's number of threads": torch.get_num_threads,
    "torch's gradient mode": torch.is_grad_enabled,
    "torch's deterministic mode": torch.are_deterministic_algorithms_enabled,
    "torch.backends.cudnn.benchmark": lambda: torch.backends.cudnn.benchmark,
}
STATES: dict[str, Callable[[], object]] = {
    "torch": lambda: torch.default_generator.get_state().tolist(),
    "numpy.random": lambda: [part.tolist() if isinstance(part, numpy.ndarray) else part for part in numpy.random.get_state()],
    "random": random.getstate,
}


def everything(subject: Subject) -> None:
    """Builds, trains a step and draws."""
    trainer = subject.trainer()
    trainer.step()
    model_of(subject).sample(2)
    trainer.generator.latent(2, torch.Generator().manual_seed(0))


def global_state(subject: Subject) -> None:
    """Builds, trains and draws, with an eye on whoever seeds and on what is different afterwards."""
    subject.generator  # built and trained before, so that its own first use is not what is seen
    settings = {name: read() for name, read in SETTINGS.items()}
    states = {name: read() for name, read in STATES.items()}
    with _no_seeding():
        everything(subject)
    for name, read in STATES.items():
        if read() != states[name]:
            advice = "give `generator=random` in latent, and draw with turn.normal and turn.uniform in a loss" if name == "torch" else "use torch's random numbers"
            raise CheckFailed(f"Random numbers of the process ({name}) were used in building, training or drawing: {advice}.")
    for name, read in SETTINGS.items():
        if read() != settings[name]:
            raise CheckFailed(f"{name} was {settings[name]} and is {read()} after building, training and drawing: a plugin leaves it alone.")


@contextlib.contextmanager
def _no_seeding() -> Iterator[None]:
    """Refuses calls that seed a random state of the whole process."""
    before = [getattr(module, name) for module, name in SEEDERS]

    def refuse(module, name):
        def call(*_, **__):
            raise CheckFailed(f"{caller()} calls {module.__name__}.{name}, which every other part of the process feels: leave seeding to the engine.")

        return call

    for module, name in SEEDERS:
        setattr(module, name, refuse(module, name))
    try:
        yield
    finally:
        for (module, name), function in zip(SEEDERS, before, strict=True):
            setattr(module, name, function)


class _Listener(io.StringIO):
    """A stream that remembers who wrote to it first."""

    first = ""

    def write(self, text: str) -> int:
        if text.strip() and not self.first:
            self.first = f"{caller()} prints {text.strip()[:60]!r}"
        return len(text)


def silence(subject: Subject) -> None:
    """Builds, trains and draws while both output streams listen."""
    subject.generator  # as above
    listener = _Listener()
    with warnings.catch_warnings(), contextlib.redirect_stdout(listener), contextlib.redirect_stderr(listener):
        warnings.simplefilter("ignore")
        everything(subject)
    if listener.first:
        raise CheckFailed(f"{listener.first}: return terms, which are logged, or leave it out.")
    sys.stdout.flush()

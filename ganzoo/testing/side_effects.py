"""What a variant does to the process around it: random states, settings, and what it prints."""

from __future__ import annotations

import contextlib
import io
import random
import warnings
from collections.abc import Callable, Iterator

import numpy
import torch

from ganzoo.testing.frames import caller

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
    "numpy.random": lambda: [
        part.tolist() if isinstance(part, numpy.ndarray) else part for part in numpy.random.get_state()
    ],
    "random": random.getstate,
}


class SideEffects:
    """Watches the process while a variant is built, trained and drawn from: sentences on what it did to it, or nothing."""

    def __init__(self):
        self.mistakes: list[str] = []
        self.printed = ""

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Watches until it is left; whoever seeds or prints is only noted, so that the work goes on."""
        settings, states = ({name: read() for name, read in table.items()} for table in (SETTINGS, STATES))
        listener = _Listener()
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(listener),
            contextlib.redirect_stderr(listener),
            self._seeding_noted(),
        ):
            warnings.simplefilter("ignore")
            yield
        self.printed = listener.first
        for name, read in STATES.items():
            if read() != states[name]:
                advice = (
                    "give `generator=random` in latent, and draw with turn.normal and turn.uniform in a loss"
                    if name == "torch"
                    else "use torch's random numbers"
                )
                self.mistakes.append(
                    f"Random numbers of the process ({name}) were used in building, training or drawing: {advice}."
                )
        for name, read in SETTINGS.items():
            if read() != settings[name]:
                self.mistakes.append(
                    f"{name} was {settings[name]} and is {read()} after building, training and drawing: a plugin leaves it alone."
                )

    @contextlib.contextmanager
    def _seeding_noted(self) -> Iterator[None]:
        before = [getattr(module, name) for module, name in SEEDERS]
        for (module, name), function in zip(SEEDERS, before, strict=True):
            setattr(module, name, self._noting(module.__name__, name, function))
        try:
            yield
        finally:
            for (module, name), function in zip(SEEDERS, before, strict=True):
                setattr(module, name, function)

    def _noting(self, module: str, name: str, function: Callable) -> Callable:
        def call(*arguments, **options):
            self.mistakes.append(
                f"{caller()} calls {module}.{name}, which every other part of the process feels: leave seeding to the engine."
            )
            return function(*arguments, **options)

        return call


class _Listener(io.StringIO):
    """A stream that remembers who wrote to it first."""

    first = ""

    def write(self, text: str) -> int:
        if text.strip() and not self.first:
            self.first = f"{caller()} prints {text.strip()[:60]!r}"
        return len(text)

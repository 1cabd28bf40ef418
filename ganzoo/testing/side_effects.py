"""Records side effects of a variant's code on the process: random states, torch settings, and output."""

from __future__ import annotations

import contextlib
import io
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

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
        part.tolist() if isinstance(part, numpy.ndarray) else part for part in numpy.random.get_state(legacy=True)
    ],
    "random": random.getstate,
}


class SideEffects:
    """Side effects of a block of code.

    `mistakes` has a sentence for every random state or setting that changed and every call of a seeding function;
    `printed` describes the first output, or is empty.
    """

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self.printed = ""

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Context manager that records; seeding and printing still work, so that the code is not interrupted."""
        settings, states = ({name: read() for name, read in table.items()} for table in (SETTINGS, STATES))
        listener = _Listener()
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(listener),
            contextlib.redirect_stderr(listener),
            self._seeders_patched(),
        ):
            warnings.simplefilter("ignore")
            yield
        self.printed = listener.first
        for name, read in STATES.items():
            if read() != states[name]:
                advice = (
                    "pass `generator=random` in latent, and use turn.normal and turn.uniform in a loss"
                    if name == "torch"
                    else "use torch's random numbers"
                )
                self.mistakes.append(
                    f"Random numbers of the process ({name}) were used in building, training or sampling: {advice}."
                )
        for name, read in SETTINGS.items():
            if read() != settings[name]:
                self.mistakes.append(
                    f"{name} was {settings[name]} and is {read()} after building, training and sampling: "
                    "do not change it."
                )

    @contextlib.contextmanager
    def _seeders_patched(self) -> Iterator[None]:
        before = [getattr(module, name) for module, name in SEEDERS]
        for (module, name), function in zip(SEEDERS, before, strict=True):
            setattr(module, name, self._recording(module.__name__, name, function))
        try:
            yield
        finally:
            for (module, name), function in zip(SEEDERS, before, strict=True):
                setattr(module, name, function)

    def _recording(self, module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.mistakes.append(
                f"{caller()} calls {module}.{name}, which affects the whole process: leave seeding to the engine."
            )
            return function(*arguments, **options)

        return call


class _Listener(io.StringIO):
    """A stream that discards text and remembers the first, with the line of code that wrote it."""

    first = ""

    def write(self, text: str) -> int:
        if text.strip() and not self.first:
            self.first = f"{caller()} prints {text.strip()[:60]!r}"
        return len(text)

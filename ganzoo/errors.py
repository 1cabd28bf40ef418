"""Errors that a user can fix: each is one line, which the command line prints before it exits with a code."""

from collections.abc import Iterable

ADVICE = "docs/when-training-goes-wrong.md"  # the page of symptoms, whose sections warnings and exit code 3 name


class GanzooError(Exception):
    """Base class: the message states the value, the known values and what to do. `exit_code` is of the command line."""

    exit_code = 1


class UsageError(GanzooError):
    """The request is invalid: an unknown name, a wrong option, an existing folder."""

    exit_code = 2


class DataError(GanzooError):
    """Images cannot be read, or do not fit the request."""


class CheckpointError(GanzooError):
    """A checkpoint, model folder or run folder is damaged, missing or of an unknown format."""


class PluginError(GanzooError):
    """A plugin failed or breaks the plugin contract; the message names it."""


class DivergedError(GanzooError):
    """Training produced NaN or infinity, or collapsed under `--on-collapse stop`."""

    exit_code = 3


class InterruptedRun(GanzooError):
    """A signal ended the run after a checkpoint was saved; `exit_code` is 128 plus the signal number."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def advice(heading: str) -> str:
    """Returns the place of a section of the page on training that goes wrong, as warnings name it."""
    return f"{ADVICE}#{heading.lower().replace(' ', '-')}"


SEE_OTHER = f"see {advice('Other warnings')}"  # ends a warning that is no symptom


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the nearest known name, else all known names if they are few, else ""."""
    import difflib

    known = sorted(known)
    same = [one for one in known if one.lower() == name.lower()]  # differs by case only
    near = same or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    if known and len(known) <= 40:
        return f" Known: {', '.join(known)}."
    return ""

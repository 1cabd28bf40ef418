"""Errors that are a person's to mend: each is one clear line, turned into an exit code in one place."""


class GanzooError(Exception):
    """Says what came, what is known and what to do; the command line prints it as one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(GanzooError):
    """The request itself is wrong: an unknown name, a bad option, a folder that is in the way."""

    exit_code = 2


class DataError(GanzooError):
    """Images cannot be read, or are not what the request needs."""


class CheckpointError(GanzooError):
    """A checkpoint, a model folder or a run folder is damaged, missing or of another format."""


class PluginError(GanzooError):
    """A plugin failed, or does what the contract forbids; the message names it."""


class DivergedError(GanzooError):
    """Training produced values that are not finite, or collapsed where `--on-collapse stop` was asked."""

    exit_code = 3


class InterruptedRun(GanzooError):
    """A signal ended the run after its state was saved; `exit_code` is 128 plus the signal's number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def did_you_mean(name: str, known) -> str:
    """Returns " Did you mean 'x'?" for the nearest known name, or the whole short list, or nothing."""
    import difflib

    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    if known and len(known) <= 40:
        return f" Known: {', '.join(known)}."
    return ""

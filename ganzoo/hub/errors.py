"""Translates failures between ganzoo and the Hugging Face Hub to one line: the problem and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.text import quoted, reason

LONGEST_WAIT = 5.0
TRANSIENT = {408, 429, 500, 502, 503, 504}


class HubError(GanzooError):
    """The Hub refuses a request, or its answer is not as it should be."""


class Unreachable(HubError):
    """The Hub gives no sensible answer; a later try, or the cache, may help."""


class DamagedContent(GanzooError):
    """A file has arrived whole and has another hash than the one that the Hub names; the text is the reason."""


@dataclass(frozen=True)
class HubTarget:
    """The target of a request, for error messages: "model" or "data set", the repository, its revision."""

    kind: str
    name: str
    revision: str | None = None
    hint: str = ""
    failed: type[GanzooError] = HubError
    unreachable: type[GanzooError] = Unreachable

    def __str__(self) -> str:
        return f"{self.kind} {quoted(self.name)}" if self.name else self.kind

    def no_answer(self, cause: str) -> GanzooError:
        return self.unreachable(
            f"The Hub cannot be reached for {self} ({cause}).{f' {self.hint}' if self.hint else ''}"
        )


class TransientStatus(Exception):
    """A status that may pass; raised before the client waits in its own way."""

    def __init__(self, status: int, seconds: float | None):
        super().__init__(f"status {status}")
        self.status, self.seconds = status, seconds


class RepeatedRequest(Exception):
    """The client is about to repeat a failed request; the text is the reason."""


def retry_delay(error: Exception) -> float | None:
    """Returns the seconds to wait before a retry (0 if the server states none); None if a retry would not help."""
    cause = _cause(error)
    status, seconds = status_of(cause)
    if status is not None:
        return (seconds or 0.0) if status in TRANSIENT and (seconds or 0.0) <= LONGEST_WAIT else None
    return 0.0 if isinstance(cause, RepeatedRequest) or _breaks_off(cause) else None


def _breaks_off(error: BaseException) -> bool:
    """True for a broken connection; classes are compared by name, since the transport is httpx or httpx2."""
    return type(error).__name__ in (
        "ReadError",
        "WriteError",
        "RemoteProtocolError",
    ) or "Consistency check failed" in str(error)


def _cause(error: BaseException) -> BaseException:
    """Returns the cause of a RuntimeError, in which uploads wrap failures."""
    return error.__cause__ if type(error) is RuntimeError and error.__cause__ is not None else error


def status_of(error: BaseException) -> tuple[int | None, float | None]:
    """Returns (status, seconds to wait) of the answer of the Hub, None where it has none."""
    if isinstance(error, TransientStatus):
        return error.status, error.seconds
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return (status, retry_after(response.headers)) if isinstance(status, int) else (None, None)


def retry_after(headers: Any) -> float | None:
    text = headers.get("retry-after") or ""
    return float(text) if text.isdecimal() and len(text) < 8 else None


def explain(error: BaseException, target: HubTarget) -> GanzooError:
    """Returns a GanzooError of one line for an exception of the client or its transport."""
    from huggingface_hub import errors

    error = _cause(error)
    status, seconds = status_of(error)
    start = f"{target.kind[:1].upper()}{target.kind[1:]} {quoted(target.name)}"
    if isinstance(error, GanzooError):
        return error
    if isinstance(error, errors.GatedRepoError):
        return target.failed(f"{start} is gated: accept its terms on the Hub, then log in with `hf auth login`.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UsageError(f"The Hub has no {target}, or it is private: check the name, or log in with `hf auth login`.")
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"{start} has no revision {quoted(target.revision)}.")
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{quoted(target.name)} is no name of a {target.kind} on the Hub: write owner/name.")
    if status in (401, 403):
        return target.failed(
            f"The Hub refuses access to {target} (status {status}): "
            "log in with `hf auth login` to an account that has access."
        )
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return explain(error.__cause__, target)
    if status == 404 or (
        isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError)
    ):
        return target.failed(f"The Hub has lost a file of {target} at revision {quoted(target.revision)}.")
    if (
        isinstance(error, OSError)
        and error.errno
        and not isinstance(error, ConnectionError | TimeoutError | errors.EntryNotFoundError)
    ):
        place = f" ({quoted(error.filename)})" if isinstance(error.filename, str) else ""
        hint = f" {target.hint}" if target.hint else ""
        return target.failed(f"{start} cannot be stored: {reason(error)}{place}.{hint}")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return target.unreachable(
            f"{start} needs the Hub, and HF_HUB_OFFLINE is set.{f' {target.hint}' if target.hint else ''}"
        )
    return target.no_answer(_words(error, status, seconds))


def _words(error: BaseException, status: int | None, seconds: float | None) -> str:
    """Describes why there was no sensible answer."""
    name = type(error).__name__
    if isinstance(error, RepeatedRequest):
        return str(error)
    if status == 429:
        when = f"again in {seconds:.0f} seconds" if seconds else "later"
        return f"status 429, too many requests: try {when}"
    if status:
        return f"status {status}: try later" if status >= 500 else f"status {status}"
    if "Timeout" in name:
        return "no answer in time"
    if name in ("ConnectError", "ProxyError"):
        return "no connection"
    if _breaks_off(error):
        return "the connection breaks off"
    if name == "TooManyRedirects":
        return "redirect loop"
    return "its answer is not one of the Hub; is there a login page, a proxy or a wrong HF_ENDPOINT between?"

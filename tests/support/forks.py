"""Runs what `python -c`, `python -m` or `python file` would run in a fork of this process, which has imported torch.

A fresh interpreter needs 2.5 s of a processor to import torch. The fork imports ganzoo, its plugins and the client of
the Hub anew, with its own environment, folder and streams. Tests of a start itself use `subprocess`.
"""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import types
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import torch._dynamo  # noqa: F401 - the first optimizer of a process imports it, for 1.4 s

ANEW = ("ganzoo", "ganzoo_plugins", "huggingface_hub")


def python(
    *arguments: str | Path, folders: Iterable[Path] = (), cwd: Path | None = None, **environment: str | None
) -> subprocess.CompletedProcess:
    """The outcome of `python <arguments>` with `folders` first on the path; a variable that is None is taken away."""
    words, settings = [str(word) for word in arguments], _settings(folders, environment)
    with tempfile.TemporaryFile() as nothing, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        child = os.fork()
        if child == 0:
            _become(words, [nothing.fileno(), out.fileno(), error.fileno()], cwd, settings)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = [(file.seek(0), file.read().decode(errors="replace"))[1] for file in (out, error)]
    return subprocess.CompletedProcess(words, code, *texts)


class Talk:
    """A fork that reads lines from `stdin` and writes lines to `stdout`, until it is closed."""

    def __init__(self, *arguments: str | Path, environment: Mapping[str, str], error: int = 2):
        (read, ours), (theirs, write) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become([str(word) for word in arguments], [read, write, error], None, environment)
        os.close(read), os.close(write)
        self.stdin, self.stdout = open(ours, "w", encoding="utf-8"), open(theirs, encoding="utf-8")

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.stdin.close(), self.stdout.close()


def as_at_a_start() -> None:
    """Shows the warnings that an interpreter shows, on stderr and not to pytest."""
    warnings.resetwarnings()
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)
    warnings.showwarning = lambda *found: print(warnings.formatwarning(*found[:4]), file=sys.stderr)


def _settings(folders: Iterable[Path], environment: Mapping[str, str | None]) -> dict[str, str]:
    paths = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | environment
    return {name: value for name, value in settings.items() if value is not None}


def _become(words: list[str], streams: list[int], cwd: Path | None, settings: Mapping[str, str]) -> NoReturn:
    code = 70
    try:
        for target, stream in enumerate([os.dup(stream) for stream in streams]):
            os.dup2(stream, target)
        os.closerange(3, 4096)
        sys.stdin, sys.stdout, sys.stderr = (
            open(0, closefd=False),
            open(1, "w", closefd=False),
            open(2, "w", closefd=False),
        )
        os.chdir(cwd or os.getcwd())
        for name in set(os.environ) - set(settings):
            del os.environ[name]
        os.environ.update(settings)
        as_at_a_start()
        sys.meta_path[:] = [
            finder for finder in sys.meta_path if type(finder).__module__.partition(".")[0] != "_pytest"
        ]
        for name in [name for name in sys.modules if name.partition(".")[0] in ANEW]:
            del sys.modules[name]
        folders = filter(None, settings.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[:0] = [os.getcwd(), *folders] if words[0] in ("-c", "-m") else [str(Path(words[0]).parent), *folders]
        importlib.invalidate_caches()
        code = _run(words)
    except BaseException:  # whatever it is, pytest must not go on in this process
        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _run(words: list[str]) -> int:
    """The exit code of what the interpreter was asked for."""
    try:
        if words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(words[1], "<string>", "exec"), vars(main))
        elif words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0

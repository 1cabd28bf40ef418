"""Files that are either whole or absent: atomic writes, new folders, a lock per run, and strict reading of JSON."""

import errno
import json
import os
import secrets
import shutil
import stat
from contextlib import contextmanager
from pathlib import Path

from ganzoo.errors import CheckpointError, GanzooError

try:
    import fcntl
except ImportError:
    fcntl = None

JSON_BYTES = 4 * 2**20
JSON_DEPTH = 256


def write_atomically(path, data: bytes | str) -> None:
    """Writes one file (text as UTF-8) so that a reader, a crash or a power cut sees the old content or the new, nothing between."""
    path = Path(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    with disk_errors(f"{path} cannot be written", GanzooError):
        try:
            write_file(temporary, data)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def write_file(path, data: bytes | str) -> None:
    """Writes a file that does not exist yet, in the mode that the umask gives, and waits until the disk has it."""
    remaining = memoryview(data.encode("utf-8") if isinstance(data, str) else data)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path) -> None:
    """Waits until the disk has what another writer put into this file."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path) -> None:
    """Waits until the disk has the folder's names: without it a rename may be undone by a power cut."""
    if os.name == "nt":  # Windows opens no folders; NTFS journals the rename itself
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as problem:
        if problem.errno != errno.EINVAL:  # EINVAL: a network file system that cannot sync folders at all
            raise
    finally:
        os.close(descriptor)


@contextmanager
def new_folder(target):
    """Yields an empty folder beside `target` and renames it to `target` at the end; after any exception nothing of it is left.

    The files put into it must be synced by their writer. OSError if `target` exists and is not an empty folder.
    """
    target = Path(target)
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        os.mkdir(temporary)
        yield temporary
        fsync_folder(temporary)
        os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    fsync_folder(target.parent)


def move_aside(path, prefix: str) -> Path:
    """Renames a file or folder to `.<prefix>-<name>-<random>` beside itself, so that nobody takes it for a good one; returns the new path."""
    path = Path(path)
    aside = path.with_name(f".{prefix}-{path.name}-{secrets.token_hex(4)}")
    os.rename(path, aside)
    fsync_folder(path.parent)
    return aside


def remove_leftovers(folder) -> None:
    """Deletes the `.tmp-*` and `.trash-*` of processes that died; call it only under the run's lock."""
    folder = Path(folder)
    with disk_errors(f"{folder} cannot be cleaned", CheckpointError):
        names = os.listdir(folder) if folder.is_dir() else []
        for name in names:
            if name.startswith((".tmp-", ".trash-")):
                remove(folder / name)


def remove(path: Path) -> None:
    """Deletes a file, a link or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def disk_errors(what: str, error: type[GanzooError]):
    """Turns an OSError into one line, `<what>: <reason>`."""
    try:
        yield
    except OSError as problem:
        raise error(f"{what}: {problem.strerror or problem}.") from problem


_held: set[int] = set()


def _close_in_child() -> None:
    """A forked data worker that outlives a killed trainer must not hold the trainer's lock."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


class FolderLock:
    """While it is entered, no other process can lock the folder; the system frees it however the process ends.

    Raises GanzooError that names the other process, or says why the folder cannot be locked.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._descriptor: int | None = None

    def __enter__(self) -> "FolderLock":
        with disk_errors(f"{self.folder} cannot be locked", GanzooError):
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._claim(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        self._descriptor = descriptor
        _held.add(descriptor)
        return self

    def _claim(self, descriptor: int) -> None:
        if not _try_lock(descriptor):
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            raise GanzooError(
                f"another process (pid {owner}) is training in {self.folder}. Wait for it, end it, or use another run folder."
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())

    def __exit__(self, *_) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor in _held:  # not in a forked child, which has closed it already
            _held.discard(descriptor)
            os.ftruncate(descriptor, 0)
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    if fcntl is None:
        return _try_lock_windows(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _try_lock_windows(descriptor: int) -> bool:
    import msvcrt

    os.lseek(descriptor, 2**20, os.SEEK_SET)  # locked bytes cannot be read there: leave the pid's free
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return True


def read_bytes(path, limit: int) -> bytes:
    """Reads a regular file of at most `limit` bytes; CheckpointError names the file and says what is wrong."""
    with disk_errors(f"{path} cannot be read", CheckpointError):
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a FIFO would wait for ever
            raise CheckpointError(f"{path} is not a regular file.")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, limit) + 1)
    if len(data) > limit:
        raise CheckpointError(f"{path} is too large: more than {limit} bytes.")
    return data


def read_json(path, limit: int = JSON_BYTES, depth: int = JSON_DEPTH):
    """Reads JSON as strictly as the standard says; CheckpointError names the file and says what is wrong."""
    return parse_json(read_bytes(path, limit), path, depth)


def parse_json(data: bytes, source, depth: int = JSON_DEPTH):
    """Parses UTF-8 JSON and refuses what Python's parser lets pass: a key twice, NaN, overflow, a byte-order mark, nesting over `depth`."""
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise CheckpointError(f"{source} starts with a byte-order mark; save it as plain UTF-8.")
    if not data.strip():
        raise CheckpointError(f"{source} is empty.")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite
        )
    except RecursionError:
        raise CheckpointError(f"{source} is nested too deep.") from None
    except UnicodeDecodeError:
        raise CheckpointError(f"{source} is not UTF-8 text.") from None
    except ValueError as problem:
        raise CheckpointError(f"{source} is not valid JSON: {problem}.") from None
    if _deeper_than(value, depth):
        raise CheckpointError(f"{source} is nested too deep: more than {depth} levels.")
    return value


def shorten(name) -> str:
    """Quotes a name from outside so that no length and no control character of it can spoil a message."""
    text = repr(name)
    return text if len(text) <= 62 else f"{text[:60]}...{text[0]}"


def in_path(name: str) -> str:
    """A key from outside as part of a dotted path: bare where it is short and printable, else quoted as by `shorten`."""
    return name if name.isprintable() and len(name) <= 60 else shorten(name)


def _unique_keys(pairs: list) -> dict:
    result = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {shorten(key)} is there twice")
        result[key] = value
    return result


def _refuse_constant(text: str):
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {shorten(text)} is too large")
    return value


def _deeper_than(value, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node):
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()

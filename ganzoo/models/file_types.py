"""Recognizes files that are not weights (HTML pages, LFS pointers, archives) and pickles, for a helpful error.

People rename downloads, and servers answer with pages. `ganzoo.load` and `ganzoo convert` share this one table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_BYTES = 1024
PICKLE = "a pickle"
SAFETENSORS = "a safetensors file"


@dataclass(frozen=True)
class FileType:
    """A type of file: its first bytes as a pattern, and what follows `ganzoo convert` reads it, if it does."""

    description: str
    start: bytes
    convertible: str | None = None


# In this order: the first that matches is taken.
TYPES = (
    FileType(
        "a torch checkpoint (a zip archive with a pickle in it)",
        rb"PK\x03\x04.*(?:data\.pkl|\.data/serialization_id|/byteorder)",
        "",
    ),
    FileType("an archive of numpy arrays (.npz)", rb"PK\x03\x04.{26}[^/]*\.npy", ""),
    FileType("a zip archive: unpack it first, unless torch.save wrote it", rb"PK(?:\x03\x04|\x05\x06)"),
    FileType(PICKLE, rb"\x80[\x02-\x05]", ", if torch.save or NVIDIA's StyleGAN code wrote it"),
    FileType("a numpy array (.npy)", rb"\x93NUMPY", ""),
    FileType("compressed (gzip or the like): unpack it first", rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf"),
    FileType("a tar archive: unpack it first", rb".{257}ustar"),
    FileType(
        "a Git LFS pointer, not the file itself: run `git lfs pull`, or download the file",
        rb"version https://git-lfs",
    ),
    FileType(
        "a web page (HTML): the download answered with a page instead of the file",
        rb"\s*<(?:!doctype|html|\?xml|head|body)",
    ),
    FileType("a picture", rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP"),
    FileType("an HDF5 file, which ganzoo does not read", rb"\x89HDF"),
    FileType(SAFETENSORS, rb".{4}\x00{4}\{", ""),
    # Protocols 0 and 1 of pickle have no magic number.
    FileType(PICKLE, rb"\([dli][\w\n]|c[A-Za-z_][\w.]*\n\w+\n|[}\]]q\x00", ", if torch.save wrote it"),
    FileType("JSON text: the download answered with a message instead of the file", rb"\s*[{\[]"),
    FileType("a script, which ganzoo does not run", rb"#!|import |from "),
)
ZEROS = FileType("nothing but zeros: the download or the disk lost its content", rb"\x00")


def file_type(head: bytes) -> FileType | None:
    """Returns the type of a file by its first `HEAD_BYTES` bytes, or None if it is none of the table."""
    if head and not head.strip(b"\0"):
        return ZEROS
    return next((kind for kind in TYPES if re.match(kind.start, head, re.DOTALL | re.IGNORECASE)), None)

"""What a file is that was given as model.safetensors and is not: people rename downloads, and servers answer with pages."""

from __future__ import annotations

import re

LOOKED_AT = 1024
CONVERT = "; `ganzoo convert` reads such files under their own name, {}"
PAGE = "a web page (HTML): the download answered with a page instead of the file"
POINTER = "a Git LFS pointer, not the file it stands for: run `git lfs pull`, or download the file itself"
PICKLE = f"a pickle{CONVERT.format('.pth, if torch.save wrote it')}"
TORCH = f"a torch checkpoint (a zip archive with a pickle in it){CONVERT.format('.pth')}"
BEGINNINGS = (
    (rb"PK\x03\x04.*(?:data\.pkl|\.data/serialization_id|/byteorder)", TORCH),
    (rb"PK\x03\x04.{26}[^/]*\.npy", f"an archive of numpy arrays (.npz){CONVERT.format('.npz')}"),
    (rb"PK(?:\x03\x04|\x05\x06)", "a zip archive: unpack it first"),
    (rb"\x80[\x02-\x05]", PICKLE),
    (rb"\x93NUMPY", f"a numpy array (.npy){CONVERT.format('.npy')}"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf", "compressed (gzip or the like): unpack it first"),
    (rb".{257}ustar", "a tar archive: unpack it first"),
    (rb"version https://git-lfs", POINTER),
    (rb"\s*<(?:!doctype|html|\?xml|head|body)", PAGE),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP", "a picture"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"\([dli][\w\n]|c[A-Za-z_][\w.]*\n\w+\n|[}\]]q\x00", PICKLE),  # protocols 0 and 1 have no magic number
    (rb"\s*[{\[]", "JSON text: the download answered with a message instead of the file"),
)


def file_type(start: bytes) -> str | None:
    """What a file is by its first 1024 bytes, with what to do about it; None if nothing here knows it."""
    if start and not start.strip(b"\0"):
        return "nothing but zeros: the download or the disk lost its content"
    return next((name for pattern, name in BEGINNINGS if re.match(pattern, start, re.DOTALL | re.IGNORECASE)), None)

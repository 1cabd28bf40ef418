"""The repositories that the stand-in for the Hub keeps, and what it says of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field


@dataclass
class Repository:
    """Commits by name, the newest last; `refs` are the branch and the tags."""

    private: bool = False
    gated: bool = False
    downloads: int = 0
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def add(self, files: dict[str, bytes]) -> str:
        content = "".join(f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in sorted(files.items()))
        sha = hashlib.sha1(f"{len(self.commits)}{content}{id(self)}".encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = files
        self.refs["main"] = sha
        return sha

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        sha = self.refs.get(revision, revision)
        return (sha, self.commits[sha]) if sha in self.commits else None

    @property
    def head(self) -> dict[str, bytes]:
        return self.commits[self.refs["main"]]


def is_large(path: str) -> bool:
    return path.endswith((".safetensors", ".png"))


def oid(path: str, data: bytes) -> str:
    if is_large(path):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def facts(name: str, repository: Repository, sha: str, files: dict[str, bytes]) -> dict:
    """What the Hub says of one commit."""
    siblings = []
    for path, data in files.items():
        sibling = {"rfilename": path, "size": len(data), "blobId": oid("small", data)}
        if is_large(path):
            sibling["lfs"] = {"sha256": oid(path, data), "size": len(data), "pointerSize": 130}
        siblings.append(sibling)
    card = re.match(r"---\n(.*?)\n---", files.get("README.md", b"").decode(), re.S)
    card = card[1] if card else ""
    library = re.search(r"^library_name: (.+)$", card, re.M)
    tags = ([library[1]] if library else []) + ["safetensors"] + re.findall(r'^- "(.+)"$', card, re.M) + ["region:us"]
    when = {"lastModified": "2026-05-17T08:09:10.000Z", "createdAt": "2026-05-01T00:00:00.000Z"}
    counts = {"downloads": repository.downloads, "likes": 0, "private": repository.private, "gated": repository.gated}
    names = {"id": name, "modelId": name, "sha": sha, "library_name": library and library[1]}
    return {**names, "siblings": siblings, "tags": tags, **when, **counts}

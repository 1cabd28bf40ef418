"""Sphinx extension: links from a page to a file of the repository lead to that file as a page of the site.

On GitHub `[model.py](../plugins/ganzoo_plugins/dcgan/model.py#L42)` opens the file. The site has no repository beside
it, so every file that a page links to is rendered with numbered lines, and the link goes to the line.
"""

from __future__ import annotations

import os
import re
from html import escape
from pathlib import Path

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx.util import logging

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
SCHEME = "repository:"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")
# Files beside docs/ that are pages of the site, included there by a page of a few lines.
PAGES = {
    "README.md": "index.md",
    "benchmarks/README.md": "speed.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
logger = logging.getLogger(__name__)


def rewritten(text: str, written_in: Path, shown_in: Path) -> str:
    """The Markdown of the file `written_in` as the page `shown_in` needs it: its links lead to pages of the site."""

    def link(match: re.Match) -> str:
        target, fragment = (written_in.parent / match[1]).resolve(), match[2] or ""
        if not target.is_relative_to(ROOT):
            return match[0]
        path = target.relative_to(ROOT).as_posix()
        if path in PAGES:
            target = DOCS / PAGES[path]
        elif not target.is_relative_to(DOCS):
            return f"{SCHEME}{path}{fragment}"
        return Path(os.path.relpath(target, shown_in.parent)).as_posix() + fragment

    return LINK.sub(link, text)


def rewrite_page(app, page: str, content: list[str]) -> None:
    if (path := Path(app.env.doc2path(page))).suffix == ".md":
        content[0] = rewritten(content[0], path, path)


def rewrite_included(app, path: Path, page: str, content: list[str]) -> None:
    if Path(path).suffix == ".md":
        content[0] = rewritten(content[0], (DOCS / path).resolve(), Path(app.env.doc2path(page)))


def resolve_links(app, document: nodes.document, page: str) -> None:
    """Points every `repository:` link at the page of its file, and remembers the file."""
    linked = app.env.__dict__.setdefault("linked_files", {})
    linked[page] = set()
    for reference in document.findall(nodes.reference):
        address = reference.get("refuri", "")
        if not address.startswith(SCHEME):
            continue
        path, _, fragment = address.removeprefix(SCHEME).partition("#")
        if not (ROOT / path).is_file():
            logger.warning("links to %s, which is not a file of the repository", path, location=page)
            continue
        linked[page].add(path)
        target = app.builder.get_relative_uri(page, f"source/{path}")
        reference["refuri"] = f"{target}#{fragment}" if fragment else target
        reference["internal"] = True


def source_pages(app):
    """Yields a page for each file that some page links to."""
    linked = app.env.__dict__.get("linked_files", {})
    for path in sorted(set().union(*linked.values())):
        text = (ROOT / path).read_text(encoding="utf-8")
        try:
            lexer = get_lexer_for_filename(path)
        except ClassNotFound:
            lexer = get_lexer_for_filename("plain.txt")
        code = highlight(text, lexer, HtmlFormatter(nowrap=True))
        lines = [
            f'<span class="line" id="L{number}"><a class="number" href="#L{number}">{number:>4}</a>  {line}</span>'
            for number, line in enumerate(code.rstrip("\n").split("\n"), 1)
        ]
        body = (
            f'<h1 class="source-path">{escape(path)}</h1>\n<div class="highlight source-page"><pre>'
            + "\n".join(lines)
            + "</pre></div>"
        )
        yield f"source/{path}", {"title": path, "body": body, "toc": "", "display_toc": False}, "page.html"


def setup(app):
    app.connect("source-read", rewrite_page)
    app.connect("include-read", rewrite_included)
    app.connect("doctree-resolved", resolve_links)
    app.connect("html-collect-pages", source_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": False}

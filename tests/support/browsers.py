"""A studio as its own process and a headless Chromium on it, for tests that are skipped where either is missing."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
SECONDS = 60_000  # milliseconds that the slowest machine may need


def skip_reason() -> str:
    """Why these tests cannot run here; "" if they can."""
    if MISSING:
        return f"{' and '.join(MISSING)} missing: pip install gradio playwright"
    return "" if CHROMIUM else "no Chromium here: apt-get install chromium"


needs_browser = pytest.mark.skipif(bool(skip_reason()), reason=skip_reason() or "there is a browser")

# A process that may reach loopback alone: any other address is an error that the test sees.
NO_OUTSIDE = """
import ipaddress, socket, sys
real = socket.socket.connect

def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and not ipaddress.ip_address(address[0]).is_loopback:
        print("OUTSIDE", address, file=sys.stderr, flush=True)
        raise OSError("only loopback in this test")
    return real(self, address)

def lookup(host, *more, **other):
    if host not in (None, "", "127.0.0.1", "::1", "localhost", b"localhost", b"127.0.0.1"):
        print("OUTSIDE", host, file=sys.stderr, flush=True)
        raise socket.gaierror("only loopback in this test")
    return real_lookup(host, *more, **other)

real_lookup = socket.getaddrinfo
socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo = connect, connect, lookup
"""
START = NO_OUTSIDE + "from ganzoo.cli import main\nmain(sys.argv[1:])\n"


class Served:
    """A process that serves at `url`; `errors()` is its stderr so far."""

    def __init__(self, process: subprocess.Popen, url: str, lines: list[str]):
        self.process, self.url, self.lines = process, url, lines

    def errors(self) -> str:
        return "".join(self.lines)


@contextlib.contextmanager
def served(words: list[str], folder: Path, source: str = START, **settings: str) -> Iterator[Served]:
    """Runs a program that prints "ADDRESS is ready", and ends it by SIGTERM."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"} | settings
    process = subprocess.Popen(
        [sys.executable, "-c", source, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    try:
        line = process.stdout.readline()
        found = re.match(r"(http://\S+) is ready", line)
        assert found, f"no address: {line!r} {process.poll()} {''.join(lines)}"
        yield Served(process, found[1], lines)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)  # a loaded machine takes half a minute to unload torch
        finally:
            process.kill()
            reader.join(5)
            process.stdout.close()


class Browser:
    """A headless Chromium; `visit` opens a page that remembers every address that was asked for."""

    def __init__(self, chromium):
        self.chromium = chromium

    @contextlib.contextmanager
    def visit(self, url: str, *, width: int = 1280, dark: bool = False, password: str | None = None):
        login = {"http_credentials": {"username": "any", "password": password}} if password else {}
        context = self.chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
            **login,
        )
        context.set_default_timeout(SECONDS)
        page = context.new_page()
        page.asked, page.problems = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(url)
        try:
            yield page
        finally:
            context.close()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield Browser(found)
        finally:
            found.close()


def outside(page, url: str) -> list[str]:
    """The addresses that a page asked for beyond its own server."""
    return [one for one in page.asked if not one.startswith((url, "data:", "blob:"))]

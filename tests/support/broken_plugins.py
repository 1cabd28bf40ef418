"""Ways in which a distribution can be broken, each with what `ganzoo list` must say about it."""

from __future__ import annotations

from pathlib import Path

from distributions import Distribution, simple, variant

HOOK = "from ganzoo import hookimpl\n@hookimpl\n"
CARD = """Part, Variant, hookimpl
part = Part('dcgan')
rest = dict(paper='', year=2024, generator=part, discriminator=part, loss=part)
"""
REGISTER = f"from ganzoo import {CARD}@hookimpl\ndef register_variants(register):\n    "
UNPRINTABLE = "class Bad(Exception):\n    def __str__(self):\n        raise ValueError\n    __repr__ = __str__\n"

# name of the distribution: (source of its module, what the reason must contain)
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "missing-import": ("import not_there_at_all", "No module named 'not_there_at_all'"),
    "missing-name": ("from ganzoo import Nothing", "cannot import name 'Nothing'"),
    "syntax-error": ("def register_variants(:", "SyntaxError"),
    "not-utf8": (b"name = '\xe9\xff'\n", "SyntaxError"),
    "runtime-error": (
        "raise RuntimeError('first line\\nsecond \\x1b[31mline')",
        "RuntimeError: first line second \\x1b[31mline",
    ),
    "recursion": ("def again():\n    again()\nagain()", "RecursionError"),
    "exit-at-import": ("raise SystemExit(3)", "SystemExit: 3"),
    "exit-in-hook": (HOOK + "def register_variants(register):\n    raise SystemExit", "SystemExit: no message"),
    "base-exception": ("raise BaseException('outside')", "BaseException: outside"),
    "unprintable-error": (UNPRINTABLE + "raise Bad", "Bad: no readable message"),
    "hook-raises": (HOOK + "def register_variants(register):\n    1 / 0", "ZeroDivisionError"),
    "not-a-variant": (
        HOOK + "def register_variants(register):\n    register(42)",
        "takes register(Variant), got register(42)",
    ),
    "not-a-card": (
        HOOK + "def register_variants(register):\n    register('x', int)",
        "got register('x', <class 'int'>)",
    ),
    "bad-repr": (UNPRINTABLE + HOOK + "def register_variants(register):\n    register(Bad())", "got register(a Bad)"),
    "no-name": (REGISTER + "register(Variant(name=None, summary='', sizes=(32,), **rest))", "None cannot be a name"),
    "path-name": (
        REGISTER + "register(Variant(name='../x', summary='', sizes=(32,), **rest))",
        "'../x' cannot be a name",
    ),
    "no-summary": (
        REGISTER + "register(Variant(name='none', summary=None, sizes=(32,), **rest))",
        "'none' cannot have summary=None",
    ),
    "text-size": (
        REGISTER + "register(Variant(name='text', summary='', sizes=('32',), **rest))",
        "cannot have sizes=('32',)",
    ),
    "two-lines": (
        REGISTER + "register(Variant(name='two', summary='a\\nb', sizes=(32,), **rest))",
        "must be one line, got 'a\\nb'",
    ),
    "twice": (
        REGISTER + "[register(Variant(name='two', summary='', sizes=(32,), **rest)) for _ in '12']",
        "'two' twice",
    ),
    "wrong-form": (
        HOOK + "def register_variants(register, more, other):\n    pass",
        "register_variants(register, more, other)",
    ),
    "keyword-form": (HOOK + "def register_variants(*, register):\n    pass", "TypeError"),
    "misspelt-hook": (
        HOOK + "def register_varaints(register):\n    pass",
        "'register_varaints'. Did you mean 'register_variants'?",
    ),
    "no-hook": ("def register_variants(register):\n    pass", "marked with @ganzoo.hookimpl"),
    "wrapper": (
        "from ganzoo import hookimpl\n@hookimpl(wrapper=True)\ndef register_losses(register):\n    return (yield)",
        "may not wrap",
    ),
    "interrupt-at-import": ("raise KeyboardInterrupt", "KeyboardInterrupt: no message"),
    "interrupt-in-hook": (HOOK + "def register_variants(register):\n    raise KeyboardInterrupt", "KeyboardInterrupt"),
    "negative-size": (
        REGISTER + "register(Variant(name='negative', summary='', sizes=(-64,), **rest))",
        "cannot have sizes=(-64,)",
    ),
    "zero-size": (REGISTER + "register(Variant(name='zero', summary='', sizes=(32, 0), **rest))", "sizes=(32, 0)"),
    "true-size": (REGISTER + "register(Variant(name='true', summary='', sizes=(True,), **rest))", "sizes=(True,)"),
    "asks-too-early": ("import ganzoo\nganzoo.variants()", "while plugins are still being loaded"),
}
MISSING_MODULE = Distribution("missing-module", {}, ("missing-module = missing_module",))
MISSING_ATTRIBUTE = simple(
    "missing-attribute", variant("lost"), entry_points=("missing-attribute = missing_attribute:plugin",)
)
MEDDLER = """
import os, random, signal, sys, warnings
print("noise at import")
warnings.simplefilter("error")
signal.signal(signal.SIGINT, signal.SIG_IGN)
random.seed(0)
os.environ["OMP_NUM_THREADS"] = "1"
sys.stdout = sys.__stdout__ = None
"""

# Each takes the outputs, or the way to end, from all that runs after it.
THIEVES = {
    "closes-stdout": "import sys\nsys.stdout.close()\nsys.__stdout__.close()",
    "closes-stderr": "import sys\nsys.stderr.close()\nsys.__stderr__.close()",
    "detaches-stdout": "import sys\nsys.__stdout__.detach()\ntry: sys.stdout.detach()\nexcept OSError: pass",
    "detaches-stderr": "import sys\nsys.stderr.detach()",
    "closes-descriptors": "import os\nos.close(1)\nos.close(2)",
    "writes-to-descriptor": "import os, sys\nos.write(1, b'noise below')\nsys.__stdout__.write('noise beside')",
    "replaces-exit": "import builtins, os, sys\nsys.exit = builtins.print = builtins.open = lambda *_, **__: None",
    "ignores-interrupts": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
}

GOOD = [
    *(simple(name, variant(name, before=source)) for name, source in THIEVES.items()),
    simple("good-first", variant("good-first")),
    simple(
        "good_Second.Plugin",
        variant("good-second"),
        files={"good_second.py": variant("good-second")},
        entry_points=("s = good_second",),
    ),
    simple("meddler", variant("meddled", before=MEDDLER) + '    print("noise in the hook")\n'),
    simple("newer", variant("newer") + "@hookimpl(optionalhook=True)\ndef register_schedulers(register): pass\n"),
    simple("same-name-one", variant("same-one"), entry_points=("same = same_name_one",)),
    simple("same-name-two", variant("same-two"), entry_points=("same = same_name_two",)),
    simple("metadata-nameless", variant("nameless")),
    simple("metadata-lost", variant("lost-metadata")),
    simple("metadata-not-utf8", variant("latin")),
]
GOOD_VARIANTS = {
    *THIEVES,
    "good-first",
    "good-second",
    "meddled",
    "newer",
    "same-one",
    "same-two",
    "nameless",
    "lost-metadata",
    "latin",
}
CLASHING = [
    simple("clash-one", variant("waves")),
    simple("clash-two", variant("waves")),
    simple("takes-dcgan", variant("dcgan")),
]
DAMAGED = {
    "entry-points-line": "has a line that is not 'name = package.module': no equals sign",
    "entry-points-value": "not 'name = package.module': x = not a module!",
    "entry-points-twice": "has 'entry-points-twice' twice",
    "entry-points-not-utf8": "its entry_points.txt cannot be read",
}
REASONS = {name: reason for name, (_, reason) in BROKEN.items()} | DAMAGED
REASONS |= {"missing-module": "No module named 'missing_module'", "missing-attribute": "has no attribute 'plugin'"}


def everything() -> list[Distribution]:
    broken = [simple(name, source) for name, (source, _) in BROKEN.items()]
    damaged = [simple(name, variant(name)) for name in [*DAMAGED, "foreign-not-utf8"]]
    return [*broken, *damaged, *GOOD, *CLASHING, MISSING_MODULE, MISSING_ATTRIBUTE]


def damage(folder: Path) -> None:
    """Breaks metadata files as no build tool would, but a full disk or another program may."""

    def information(name: str, file: str) -> Path:
        return folder / f"{name.replace('-', '_')}-1.0.dist-info" / file

    information("metadata-nameless", "METADATA").write_text("Metadata-Version: 2.1\n\nName: not-a-header\n")
    information("metadata-lost", "METADATA").unlink()
    information("metadata-not-utf8", "METADATA").write_bytes(b"Name: \xff\xfe\n")
    with information("entry-points-line", "entry_points.txt").open("a") as file:
        file.write("no equals sign\n")
    with information("entry-points-value", "entry_points.txt").open("a") as file:
        file.write("x = not a module!\n")
    with information("entry-points-twice", "entry_points.txt").open("a") as file:
        file.write("entry-points-twice = elsewhere\n")
    information("entry-points-not-utf8", "entry_points.txt").write_bytes(b"[ganzoo]\nx = \xff\n")
    information("foreign-not-utf8", "entry_points.txt").write_bytes(b"[other]\nx = \xff\n")

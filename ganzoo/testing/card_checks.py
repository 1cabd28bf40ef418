"""Checks of the declarations of a variant: its card, its parts, and the cost of listing it."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections import Counter
from urllib.parse import urlsplit

from ganzoo.config.parts import (
    KIND_OF,
    conditions_of,
    option_meanings,
    option_mistakes,
    options_of,
    part_mistakes,
    parts_of,
)
from ganzoo.config.schema import LARGEST_SIZE, option_bounds, training_mistakes
from ganzoo.testing.checks import CheckFailed, CheckSkipped, check
from ganzoo.testing.subject import Subject
from ganzoo.variant import NAME, Sizes

FIRST_YEAR = 1981  # older than GANs, because interpolation and autoencoders are baselines
LONGEST_SUMMARY = 160
SLOW_SECONDS = 1.0
PROBE = """
import json, sys
facts = json.loads(sys.argv[1])
sys.path[:] = facts["path"]
from ganzoo.registry.discovery import Plugin
from ganzoo.registry.registry import Registry
import time
before = set(sys.modules)
began = time.perf_counter()
plugin = Plugin(*facts["plugin"])
found = Registry([plugin])
seconds = time.perf_counter() - began
heavy = sorted({name.partition(".")[0] for name in set(sys.modules) - before} & set(facts["heavy"]))
print(json.dumps({"error": plugin.error, "heavy": heavy, "seconds": seconds}))
"""
HEAVY = tuple("torch numpy huggingface_hub PIL scipy tqdm msgspec safetensors torchvision matplotlib pandas".split())


@check("card")
def card(subject: Subject) -> None:
    """Checks the fields of the card."""
    variant = subject.variant
    mistakes = [
        *_text_mistakes(variant.summary),
        *_fact_mistakes(variant.paper, variant.year),
        *_size_mistakes(variant.sizes),
        *_tag_mistakes(variant.tags),
        *training_mistakes(variant.training),
        *option_bounds(variant),
    ]
    if mistakes:
        raise CheckFailed(f"In the Variant '{variant.name}' of {subject.plugin.module}: {'; '.join(mistakes)}.")


def _text_mistakes(summary: str) -> list[str]:
    if not summary.endswith("."):
        return [f"summary must be one sentence that ends with a full stop, got {summary!r}"]
    if not 3 <= len(summary.split()) or len(summary) > LONGEST_SUMMARY:
        return [f"summary must be 3 words to {LONGEST_SUMMARY} characters, got {len(summary)} characters"]
    return []


def _fact_mistakes(paper: str, year: int) -> list[str]:
    this_year = datetime.date.today().year
    url = urlsplit(paper)
    mistakes = (
        []
        if url.scheme == "https" and "." in url.netloc and not paper.split()[1:]
        else [f"paper must be an https address, got {paper!r}"]
    )
    return mistakes + (
        [] if FIRST_YEAR <= year <= this_year else [f"year must be {FIRST_YEAR} to {this_year}, got {year}"]
    )


def _size_mistakes(sizes: tuple[int, ...] | Sizes) -> list[str]:
    rule = (sizes.least, sizes.most) if isinstance(sizes, Sizes) else ()
    wrong = [size for size in (*sizes, *rule) if not 4 <= size <= LARGEST_SIZE]
    mistakes = [f"sizes must be 4 to {LARGEST_SIZE} pixels, got {wrong[0]}"] if wrong else []
    return mistakes + (["sizes names a size twice"] if len(set(sizes)) < len(tuple(sizes)) else [])


def _tag_mistakes(tags: tuple[str, ...]) -> list[str]:
    wrong = [tag for tag in tags if not NAME.fullmatch(tag)]
    mistakes = [f"tags are lower-case words such as 'conditional', got {wrong[0]!r}"] if wrong else []
    return (
        mistakes
        + (["tags names a tag twice"] if len(set(tags)) < len(tags) else [])
        + ([] if tags else ["tags is empty: give at least one"])
    )


@check("parts")
def parts(subject: Subject) -> str:
    """Checks names and options of all parts, defaults included; remarks on options that no docstring explains."""
    mistakes = part_mistakes(subject.variant, subject.registry)
    if not mistakes:
        for path, part in {**parts_of(subject.variant), **conditions_of(subject.variant)}.items():
            options = options_of(subject.registry.get(KIND_OF[path.partition(".")[0]], part.name))
            mistakes += [
                f"{path}.{name}: has no default and the card does not set it"
                for name, option in options.items()
                if option.default is option.empty and option.kind is not option.VAR_KEYWORD and name not in part.options
            ]
            defaults = {
                name: option.default for name, option in options.items() if option.default not in (option.empty, None)
            }
            factory = subject.registry.get(KIND_OF[path.partition(".")[0]], part.name)
            mistakes += [f"{path}.{mistake} (a default)" for mistake in option_mistakes(factory, defaults)]
    if mistakes:
        raise CheckFailed(f"In the Variant '{subject.variant.name}' of {subject.plugin.module}: {'; '.join(mistakes)}.")
    return _unexplained(subject)


def _unexplained(subject: Subject) -> str:
    """A remark on options that `ganzoo show` cannot explain, or only by a sentence on several; "" if there are none."""
    missing, shared = [], []
    for path, part in {**parts_of(subject.variant), **conditions_of(subject.variant)}.items():
        factory = subject.registry.get(KIND_OF[path.partition(".")[0]], part.name)
        known = option_meanings(factory)
        times = Counter(known.values())
        missing += [
            f"{path}.{name}"
            for name, option in options_of(factory).items()
            if option.kind is not option.VAR_KEYWORD and name not in known
        ]
        shared += [f"{path}.{name}" for name, meaning in known.items() if times[meaning] > 1]
    found = [f"no docstring says what these options mean: {', '.join(missing)}"] if missing else []
    found += [f"these options share a sentence with another one: {', '.join(shared)}"] if shared else []
    return f"{'; '.join(found)} (write 'name: meaning' below a line 'Options:')" if found else ""


def _loaded_alone(module: str, facts: dict) -> dict:
    """Loads the plugin in a fresh process: its error, the heavy modules it imports, and the seconds it takes."""
    done = subprocess.run([sys.executable, "-c", PROBE, json.dumps(facts)], capture_output=True, text=True)
    if done.returncode:
        raise CheckFailed(
            f"Loading {module} alone ends Python with exit code {done.returncode}: "
            f"{done.stderr.strip().splitlines()[-1:]}."
        )
    return json.loads(done.stdout.splitlines()[-1])


@check("listing")
def listing(subject: Subject) -> str:
    """Loads the plugin alone in a fresh process."""
    plugin = subject.plugin
    single_file = os.path.isabs(plugin.module) and os.path.isfile(plugin.module)  # of GANZOO_PLUGINS_DIR
    module = plugin.module if single_file else plugin.module.partition(":")[0].strip()
    if not single_file and getattr(sys.modules.get(module), "__file__", None) is None:
        raise CheckSkipped(f"the module {module} exists in this process only, not as a file")
    facts = {
        "path": sys.path,
        "plugin": (plugin.entry_point, plugin.distribution, plugin.version, plugin.module),
        "heavy": HEAVY,
    }
    found = _loaded_alone(module, facts)
    if found["seconds"] > SLOW_SECONDS:  # again, because another program may have slowed it down
        found = min(found, _loaded_alone(module, facts), key=lambda taken: taken["seconds"])
    if found["error"]:
        raise CheckFailed(f"{module} does not load in a fresh process: {found['error']}")
    if found["heavy"]:
        raise CheckFailed(
            f"{module} imports {', '.join(found['heavy'])}, which slows every command: "
            "import it inside the hooks of the parts."
        )
    if found["seconds"] > SLOW_SECONDS:
        raise CheckFailed(
            f"{module} takes {found['seconds']:.1f} s to load, which slows every command: "
            "do that work inside the hooks of the parts."
        )
    return ""

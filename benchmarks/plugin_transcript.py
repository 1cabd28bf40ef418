"""Times docs/writing-a-plugin.md as a new user follows it, from an empty folder to a benchmark against DCGAN.

    python benchmarks/plugin_transcript.py --steps 1000 > transcript.txt

Runs `ganzoo new`, puts the page's files in their places, installs, lists, checks, trains, draws and benchmarks, all
in a temporary folder and in the environment of this Python, from which the plugin is uninstalled at the end. Each
line has the seconds since the start, those that the command took, and those of the processor. pip may download the
build tools that the plugin's pyproject.toml names; with PIP_NO_BUILD_ISOLATION=0 in the environment it uses those
that are installed.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "writing-a-plugin.md"
FILE = re.compile(r"^```python\n(# (?P<path>(?:ganzoo_pairs|tests)/[\w/]+\.py)\n.*?)^```$", re.M | re.S)
SMALL = "--set generator.width=32 --set discriminator.width=32"
DATA = "--data fashion-mnist-test --image-size 32 --batch-size 32"


def commands(steps: int) -> list[str]:
    """What is typed after the files are in their places."""
    return [
        'pip install -q -e ".[test]"',
        "ganzoo list pairs",
        "ganzoo check pairs",
        f"ganzoo train pairs {DATA} --steps {steps} {SMALL} --quiet --out runs/first",
        "ganzoo sample ./runs/first -n 64 --out runs/first.png",
        f"ganzoo bench pairs dcgan --train --data fashion-mnist-test --image-size 32 --steps {steps} "
        f"--set training.batch_size=32 {SMALL} "
        "--points 1 --eval-images 1000 --quiet --out runs/bench",
    ]


class Transcript:
    """Runs commands in a folder and prints what they said and how long they took."""

    def __init__(self, folder: Path):
        self.folder, self.start = folder, time.perf_counter()
        scripts = str(Path(sys.executable).parent)
        self.environment = os.environ | {
            "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
            "NO_COLOR": "1",
        }

    def run(self, command: str) -> None:
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"[{begun - self.start:4.0f} s] $ {command}   ({ended - begun:.1f} s, processor {processor:.1f} s)")
        print(done.stdout + (done.stderr if done.returncode else ""), flush=True)
        if done.returncode:
            raise SystemExit(f"{command} ended with exit code {done.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=1000, help="training steps of the run and of both benchmarked variants"
    )
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as folder:
        transcript = Transcript(Path(folder))
        transcript.run("ganzoo new pairs --loss-only")
        transcript.folder /= "ganzoo-pairs"
        files = {
            found["path"]: found[1] for found in reversed(list(FILE.finditer(PAGE.read_text(encoding="utf-8"))))
        }  # the first of each
        for path, text in files.items():
            (transcript.folder / path).write_text(text, encoding="utf-8")
        print(f"(the page's {', '.join(sorted(files))} take the place of what was written)\n")
        try:
            for command in commands(steps):
                transcript.run(command)
        finally:
            transcript.run("ganzoo uninstall ganzoo-pairs")


if __name__ == "__main__":
    main()

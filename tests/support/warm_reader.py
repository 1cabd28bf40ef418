"""Reads the jobs of `pickle_reader` in forks of one process that has started before: starting one takes two seconds.

The fixture of that name is for tests of what is made of a file. The reader's code, its limits and its environment are
the same; tests of hostile files start a process of their own, as `ganzoo convert` does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROCESS = Path(__file__).parents[2] / "ganzoo" / "convert" / "pickle_process.py"
SERVER = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("pickle_process", sys.argv[1])
reader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reader)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            reader.main(line.rstrip())
            os._exit(0)
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class WarmReader:
    """Stands in for `pickle_reader._run`; the process starts with the first jobs."""

    process: subprocess.Popen[str] | None = None

    def run(self, jobs: list[dict], path: Path) -> None:
        if self.process is None:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("TORCH_FORCE_")}
            environment |= {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
            command = [sys.executable, "-P", "-c", SERVER, str(PROCESS)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.process = subprocess.Popen(command, env=environment, **pipes)
        path.write_text(json.dumps(jobs), encoding="utf-8")
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "0", f"the reader ended with {answer or 'nothing'}"

    def close(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None and self.process.stdout is not None
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()

"""New virtual environments that reach torch, pip and ganzoo where the tests have them: making one takes no time."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

SCRIPTS = {"ganzoo": "from ganzoo.cli import main\nmain()\n"} | {
    name: f"import runpy\nrunpy.run_module({name!r}, run_name='__main__', alter_sys=True)\n"
    for name in ("pip", "pytest")
}
# No index, and no new environment to build in: nothing is downloaded.
PIP = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
SETTINGS = PIP | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


class Environment:
    """A virtual environment in `folder`/venv, in which commands run with `folder` as their working directory."""

    def __init__(self, folder: Path, **settings: str):
        self.folder, self.prefix = folder, folder / "venv"
        venv.create(self.prefix, with_pip=False)
        paths = sysconfig.get_paths(vars={"base": str(self.prefix), "platbase": str(self.prefix)})
        self.site, self.scripts = Path(paths["purelib"]), Path(paths["scripts"])
        self.python = self.scripts / "python"
        ours = sysconfig.get_paths()["purelib"]
        (self.site / "tests.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        for name, source in SCRIPTS.items():
            script = self.scripts / name
            script.write_text(f"#!{self.python}\n{source}")
            script.chmod(0o755)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "PIP_", "GANZOO_", "PYTHONPATH"))
        }
        path = os.pathsep.join([str(self.scripts), os.environ.get("PATH", "")])
        cache = {"GANZOO_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "hub"), "VIRTUAL_ENV": str(self.prefix)}
        self.settings = kept | SETTINGS | cache | {"PATH": path} | settings
        self.settings.pop("PYTEST_ADDOPTS", None)

    def run(self, *words: str | Path, cwd: Path | None = None, **settings: str) -> subprocess.CompletedProcess:
        """Runs a program of the environment and returns what came of it."""
        program = self.scripts / words[0]
        place = {"cwd": cwd or self.folder, "env": self.settings | settings}
        return subprocess.run(
            [program if program.exists() else words[0], *words[1:]], **place, capture_output=True, text=True
        )

    def files(self) -> set[Path]:
        """Every file of the environment but what Python compiles on the way."""
        return {path for path in self.prefix.rglob("*") if "__pycache__" not in path.parts}


def wheel(source: Path, folder: Path) -> Path:
    """Builds the wheel of a distribution, from a copy of nothing but its files, and returns its path."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*command, "--wheel-dir", folder, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = [path for path in folder.glob("*.whl") if path.name.startswith(source.name.replace("-", "_"))]
    return found

"""Writes and uploads a Space of the Hugging Face Hub: the studio of one model, with all that it runs."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from functools import partial
from importlib import metadata
from pathlib import Path

from ganzoo.errors import GanzooError, PluginError
from ganzoo.files.atomic import disk_errors, new_folder, write_file
from ganzoo.files.output_checks import check_new_folder
from ganzoo.hub.errors import HubError, HubTarget
from ganzoo.models.load import load
from ganzoo.models.model import Model
from ganzoo.publish.model_card import data_of
from ganzoo.publish.push import Pushed, check_repository, once, public_config
from ganzoo.registry.registry import Registry, registry

OWN = "ganzoo"
WEIGHTS = ".safetensors"
CODE = "packages/"
AT_ONCE = 200  # files of a commit: the client asks about 256 at once, and again for more
GRADIO = "6.31.0"  # where none is installed
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # torch without CUDA: a tenth of the download
APP = '''"""The studio of the model beside this file: `python app.py`, or a Space of the Hugging Face Hub."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.chdir(HERE)
sys.path.insert(0, str(HERE / "packages"))

from ganzoo.studio.space import serve  # noqa: E402

if __name__ == "__main__":
    serve("./model")
'''


def write_space(source: Model | str | os.PathLike[str], folder: Path, title: str | None = None) -> None:
    """Writes a new folder with app.py, requirements.txt, README.md, the model, and the code that runs it.

    The code is that of the installed ganzoo, since no package index has it under that name; a plugin of another
    distribution stands in requirements.txt. UsageError if the folder has content.
    """
    check_new_folder(folder)
    model = source if isinstance(source, Model) else load(source)
    model = Model(model.generator, public_config(model.config))
    title = title or " ".join([model.variant, data_of(model.config)]).strip()
    with disk_errors(f"{folder} cannot be written", GanzooError):
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        with new_folder(folder.absolute()) as temporary:
            model.save(temporary / "model")
            write_file(temporary / "app.py", APP.encode())
            write_file(temporary / "requirements.txt", requirements(model).encode())
            write_file(temporary / "README.md", readme(model, title).encode())
            _write_code(temporary / CODE, registry())


def requirements(model: Model) -> str:
    """Returns the text of requirements.txt: what ganzoo needs but Gradio, which the Space names itself."""
    needed = [line for line in metadata.requires(OWN) or [] if "extra ==" not in line]
    provider = model.config.provider
    if provider.distribution not in ("", OWN):
        needed.append(f"{provider.distribution}=={provider.version}")
    return "\n".join([f"--extra-index-url {CPU_INDEX}", *needed]) + "\n"


def readme(model: Model, title: str) -> str:
    """Returns README.md with the front matter that the Hub reads; texts are JSON, which YAML reads as they are."""
    try:
        version = metadata.version("gradio")
    except metadata.PackageNotFoundError:
        version = GRADIO
    facts = {
        "title": title[:80],
        "emoji": "🎨",
        "colorFrom": "yellow",
        "colorTo": "red",
        "sdk": "gradio",
        "sdk_version": version,
        "app_file": "app.py",
        "pinned": False,
        "tags": [OWN, "gan", model.variant],
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in facts.items()]
    text = (
        f"The studio of a {model.variant} generator of {model.image.extent}. `python app.py` runs it on this machine, "
        "where the packages of requirements.txt and Gradio are installed. The model is in `model/`, the code in "
        f"`packages/`. License of the weights: {model.config.license}."
    )
    return "\n".join(["---", *lines, "---", "", f"# {title[:80]}", "", text, ""])


def _write_code(folder: Path, found: Registry) -> None:
    """Copies the modules of ganzoo and of its built-in plugins, and writes what finds the plugins there."""
    plugins = {plugin.name.partition(":")[2]: plugin.module for plugin in found.plugins if plugin.builtin}
    packages = {module.partition(".")[0] for module in plugins.values()}
    for name in sorted({OWN, *packages}):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise PluginError(f"The package {name} cannot be copied: it is not in a folder.")
        root = Path(next(iter(spec.submodule_search_locations)))
        for file in sorted(root.rglob("*")):
            if file.suffix in (".py", ".typed", ".tmpl") and file.is_file():
                place = folder / name / file.relative_to(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                write_file(place, file.read_bytes())
    version = metadata.version(OWN)
    facts = folder / f"{OWN}-{version}.dist-info"
    facts.mkdir()
    write_file(facts / "METADATA", f"Metadata-Version: 2.1\nName: {OWN}\nVersion: {version}\n".encode())
    entries = "".join(f"{name} = {module}\n" for name, module in sorted(plugins.items()))
    write_file(facts / "entry_points.txt", f"[{OWN}]\n{entries}".encode())


def push_space(
    source: Model | str | os.PathLike[str], repo: str, *, private: bool = False, message: str | None = None
) -> Pushed:
    """Uploads the Space of a model as `repo` ("owner/name"), which is created if needed.

    The code comes in commits of 200 files, then all else in one. Files that are there and not in the Space stay. Raises
    UsageError, HubError or CheckpointError with one line.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    check_repository(repo)
    target, api = HubTarget("space", repo, "main"), HfApi()
    with tempfile.TemporaryDirectory(prefix="ganzoo-space-") as temporary:
        folder = Path(temporary) / "space"
        write_space(source, folder)
        create = partial(api.create_repo, repo, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        address = str(once(create, target))
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        operations = [CommitOperationAdd(path.relative_to(folder).as_posix(), str(path)) for path in paths]
        size = sum(path.stat().st_size for path in paths)
        for operation in operations:  # one at a time, as of a model
            if operation.path_in_repo.endswith(WEIGHTS):
                once(partial(api.preupload_lfs_files, repo, [operation], repo_type="space"), target, size, again=True)
        text = message or "Studio of a ganzoo model"
        code = [operation for operation in operations if operation.path_in_repo.startswith(CODE)]
        rest = [operation for operation in operations if not operation.path_in_repo.startswith(CODE)]
        parts = [code[start : start + AT_ONCE] for start in range(0, len(code), AT_ONCE)]
        for part in [*parts, rest]:  # app.py last: the Hub starts it when it is there
            send = partial(api.create_commit, repo, part, commit_message=text, repo_type="space")
            info = once(send, target, size, again=True)
    commit = getattr(info, "oid", "")
    if not commit:
        raise HubError(f"The Hub gave no commit for {repo}: look at {address}, then push again.")
    return Pushed(repo, commit, address, True)

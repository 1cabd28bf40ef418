"""Publishes a model on the Hugging Face Hub: one commit of the files named here, verified by loading it back."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganzoo.checkpoints.checkpoint import load_checkpoint
from ganzoo.checkpoints.manifest import folder_name
from ganzoo.config.recipe import bind_part
from ganzoo.engine.build import build_part
from ganzoo.errors import GanzooError, UsageError, did_you_mean
from ganzoo.files import pictures
from ganzoo.files.atomic import disk_errors, write_file
from ganzoo.files.safe_open import open_regular
from ganzoo.files.text import quoted
from ganzoo.hub import client as hub
from ganzoo.hub.cache import hash_like
from ganzoo.hub.client import COMMIT, call_with_retries
from ganzoo.hub.errors import HubError, HubTarget, explain, status_of
from ganzoo.models.config import DISCRIMINATOR_FILE, GENERATOR_FILE, ModelConfig, check_license
from ganzoo.models.folder import write_model
from ganzoo.models.load import load, load_folder
from ganzoo.models.model import Model
from ganzoo.models.pull import CONFIG_FILE, REPOSITORY, REVISION, Contents, pull, read_contents
from ganzoo.models.source import Repository, parse_source
from ganzoo.models.tensors import DTYPES, read_tensors
from ganzoo.networks.inputs import select_inputs
from ganzoo.publish.model_card import CARD_FILE, LIBRARY, SAMPLES_FILE, model_card
from ganzoo.registry.registry import registry
from ganzoo.variant import Part

log = logging.getLogger(__name__)

FILES = (CONFIG_FILE, GENERATOR_FILE, DISCRIMINATOR_FILE, SAMPLES_FILE, CARD_FILE)
HARMLESS = {".gitattributes", ".gitignore", "README.md", "LICENSE", *FILES}
BRANCHES = ("main", "master", "head")
REFERENCES = ("refs/", "heads/", "tags/", "remotes/")
SAMPLES = 64
PICTURE_BYTES = 8 * 2**20
COMPARED = 8
SECONDS = 60.0


@dataclass(frozen=True)
class Pushed:
    """The result of a push: the commit that holds the model, its address, and whether the push made it."""

    repo: str
    commit: str
    address: str
    changed: bool


def push(
    source: Model | str | os.PathLike[str],
    repo: str,
    *,
    private: bool = False,
    message: str | None = None,
    discriminator: bool = False,
    dtype: str = "float32",
    license: str | None = None,
    tag: str | None = None,
) -> Pushed:
    """Publishes a model, or any source that `load` takes, as the repository `repo` ("owner/name"), created if needed.

    The commit holds config.json, model.safetensors (numbers stored as `dtype`), README.md, samples.png and, with
    `discriminator`, discriminator.safetensors. Nothing else is uploaded, and no path of this machine is named.
    `license` None keeps that of the model. A repository that already holds these files gets no commit. At the end the
    commit is loaded from the Hub and must give the same images bit for bit. Raises UsageError, HubError or
    CheckpointError with one line.
    """
    check_license(license)
    _check(repo, dtype, tag)
    model = source if isinstance(source, Model) else load(source)
    part = _discriminator(source, model) if discriminator else None
    config = public_config(model.config if license is None else replace(model.config, license=license))
    target = HubTarget("model", repo, "main")
    with (
        tempfile.TemporaryDirectory(prefix="ganzoo-push-") as temporary,
        disk_errors(f"{temporary} cannot be written", HubError),
    ):
        folder = Path(temporary) / "model"
        local = _write(folder, repo, replace(config, weights=None), model, dtype, part)
        _write_card(folder, repo, local, source)
        message = message or f"{local.variant}, {local.image.extent}"
        commit, address, changed = _publish(folder, target, private, message, tag)
        if tag is not None:
            _tag(target, commit, tag)
        _verify(local, repo, commit)
    log.info(f"Loaded back from commit {commit}: the images are the same bit for bit.")
    return Pushed(repo, commit, address, changed)


def _check(repo: str, dtype: str, tag: str | None) -> None:
    check_repository(repo)
    if dtype not in DTYPES:
        raise UsageError(f"Numbers cannot be stored as {quoted(dtype)}.{did_you_mean(dtype, DTYPES)}")
    if tag is not None and (mistake := _mistake_of_tag(tag)):
        raise UsageError(f"{quoted(tag)} {mistake}: name the tag as a version, such as v1.")


def check_repository(repo: str) -> None:
    """UsageError for a name that is none, and without an account."""
    from huggingface_hub import get_token

    if not REPOSITORY.fullmatch(repo):
        raise UsageError(f"{quoted(repo)} names no repository on the Hub: write owner/name.")
    if not get_token():
        raise UsageError("Publishing needs an account on the Hub: log in with `hf auth login`, or set HF_TOKEN.")


def _mistake_of_tag(tag: str) -> str | None:
    """Returns the reason why a text names no tag, by git's rules and because revisions are branches and commits too."""
    if not REVISION.fullmatch(tag) or any(part.startswith(".") or part.endswith(".lock") for part in tag.split("/")):
        return "is no name of a tag (letters, digits, dots, dashes)"
    if tag.endswith(("/", ".")):
        return "is no name of a tag: it ends with a slash or a dot"
    if COMMIT.fullmatch(tag):
        return "names a commit"
    if tag.lower() in BRANCHES:
        return "names a branch"
    return "names a reference of git" if tag.lower().startswith(REFERENCES) else None


def public_config(config: ModelConfig) -> ModelConfig:
    """Returns the configuration without paths of this machine."""
    training = dict(config.training)
    for key in ("data", "origin"):
        facts = training.get(key)
        if isinstance(facts, Mapping) and not _ispublic_config(facts.get("source"), hub=key == "origin"):
            training[key] = {name: value for name, value in facts.items() if name != "source"}
    inputs = {
        name: None if part is None else replace(part, options=_without_folders(part.options))
        for name, part in config.inputs.items()
    }
    return replace(config, training=_without_folders(training), inputs=inputs)


def _without_folders(value: Any) -> Any:
    """Returns plain values in which absolute paths, as options and sources have them, are the last names alone."""
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and os.path.isabs(value) else value


def _ispublic_config(source: Any, *, hub: bool) -> bool:
    """True for a name that means the same on every machine: no path, but with `hub` a repository as owner/name."""
    if not isinstance(source, str):
        return False
    names = (
        source.startswith("hf://")
        or re.fullmatch(r"[\w.:-]+", source)
        or (hub and REPOSITORY.fullmatch(source.partition("@")[0]))
    )
    return bool(names) and not os.path.exists(source)


def _write(folder: Path, repo: str, config: ModelConfig, model: Model, dtype: str, discriminator: Any) -> Model:
    """Writes every file that is published, and returns the model loaded from them."""
    write_model(folder, config, model.generator.state_dict(), dtype=dtype, discriminator=discriminator)
    return load_folder(folder, mmap=False)


def _write_card(folder: Path, repo: str, local: Model, source: Model | str | os.PathLike[str]) -> None:
    """Writes README.md and a picture: of samples, or of a generator with a source the examples of its run, if any."""
    path = folder / SAMPLES_FILE
    if not local.image.sources:
        columns = local.image.classes if 2 <= local.image.classes <= 12 else None
        pictures.save_picture(pictures.enlarged(pictures.grid(local.sample(SAMPLES, seed=0), columns)), path)
    elif not isinstance(source, Model) and (Path(source) / SAMPLES_FILE).is_file():
        with open_regular(Path(source) / SAMPLES_FILE, follow=False) as file:
            write_file(path, file.read(PICTURE_BYTES))
    known = {variant.name: variant for variant in registry().variants()}
    card = model_card(repo, local.config, known.get(local.variant), picture=path.exists())
    write_file(folder / CARD_FILE, card)


def _compared(model: Model) -> Tensor:
    """Returns the images of the first latents, and of made-up sources where the generator takes some."""
    random = torch.Generator().manual_seed(0)
    sources = {
        name: torch.rand(COMPARED, *one.shape, generator=random) * 2 - 1 for name, one in model.image.sources.items()
    }
    given = select_inputs(model.generator, sources)
    return model.generate(model.latent(COMPARED), model.labels(COMPARED), **given)


def _discriminator(source: Model | str | os.PathLike[str], model: Model) -> tuple[Part, dict[str, Tensor]]:
    """Loads the discriminator that belongs to the generator from the same source."""
    config, part = model.config, model.config.discriminator
    found = None if isinstance(source, Model) else parse_source(source, registry())
    if part is None or found is None or not isinstance(found, Path | Repository):
        raise UsageError(
            "A discriminator is published from a run, a checkpoint or a model folder that has one: this has none."
        )
    if isinstance(found, Repository):
        found = pull(found.repo, found.revision, discriminator=True).folder
    if config.discriminator_weights is not None:
        with torch.device("meta"):
            wanted = build_part(bind_part("discriminator", part, registry()), config.image).state_dict()
        return part, read_tensors(found / DISCRIMINATOR_FILE, wanted, config.discriminator_weights, mmap=False)
    if not (found / "MANIFEST.json").is_file():
        if not (found / "checkpoints").is_dir():
            raise UsageError(f"{found} has no discriminator.")
        found = found / "checkpoints" / folder_name(config.training["steps"])
    return part, dict(load_checkpoint(found, ["discriminator"])[1]["discriminator"])


def _publish(folder: Path, target: HubTarget, private: bool, message: str, tag: str | None) -> tuple[str, str, bool]:
    """Uploads the files of the folder if they differ; returns (commit, address, whether the commit is new).

    UsageError, before anything is uploaded, if the tag is taken.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    address = str(once(partial(api.create_repo, target.name, private=private, exist_ok=True), target))
    head = read_contents(target)
    _refuse_strangers(head, target)
    changed = _changed(folder, head)
    if tag is not None:
        _refuse_taken(tag, target, None if changed else head.commit)
    if not changed:
        log.info(f"{target.name} already holds these files at commit {head.commit}: nothing is uploaded.")
        return head.commit, address, False
    log.info(f"Uploading {', '.join(changed)} to {target.name}.")
    operations = _operations(folder, changed)
    size = sum((folder / name).stat().st_size for name in changed if (folder / name).is_file())
    for operation in operations:  # one at a time: the client uploads several in threads, outside our time limits
        if hasattr(operation, "path_or_fileobj"):
            once(partial(api.preupload_lfs_files, target.name, [operation]), target, size, again=True)
    send = partial(
        api.create_commit, target.name, operations, commit_message=message, revision="main", parent_commit=head.commit
    )
    return _commit(send, folder, target, head), address, True


def _commit(send: Callable, folder: Path, target: HubTarget, head: Contents) -> str:
    """Makes the commit. If the answer is lost, the head shows whether it was made; its parent rules out a second."""
    try:
        once(send, target, again=True)
    except HubError:
        now = read_contents(target)
        if now.commit == head.commit or _changed(folder, now):
            raise
        return now.commit
    now = read_contents(target)
    if _changed(folder, now):
        raise HubError(
            f"{target.name} holds other files than were sent, at commit {now.commit}, as after a push by someone else: "
            "check it, then push again."
        )
    return now.commit


def _refuse_strangers(head: Contents, target: HubTarget) -> None:
    """UsageError if the repository holds a model of another library, or files that ganzoo does not write."""
    strange = sorted(name for name in head.files if name not in HARMLESS)
    models = strange or [name for name in head.files if name == CONFIG_FILE or name.endswith(".safetensors")]
    if models and head.library != LIBRARY:
        raise UsageError(
            f"{target.name} holds something that ganzoo did not publish ({quoted(models[0])}): choose another name."
        )


def _refuse_taken(tag: str, target: HubTarget, commit: str | None) -> None:
    """UsageError if the repository has a branch or tag of that name at another commit than `commit`."""
    try:
        there = read_contents(replace(target, revision=tag)).commit
    except UsageError:  # no such revision: the repository itself was read before
        return
    if there != commit:
        raise UsageError(
            f"{target.name} already has a branch or tag {quoted(tag)}, at {there}: nothing is uploaded;"
            " choose another tag."
        )


def _changed(folder: Path, head: Contents) -> list[str]:
    """Returns the names of the files that a commit would add, replace or remove."""
    names = []
    for name in FILES:
        path, entry = folder / name, head.files.get(name)
        here = path.is_file()
        if here and (entry is None or entry.digest is None or hash_like(entry.digest, path) != entry.digest):
            names.append(name)
        elif not here and entry is not None:
            names.append(name)
    return names


def _operations(folder: Path, names: list[str]) -> list[Any]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    return [
        CommitOperationAdd(n, str(folder / n)) if (folder / n).is_file() else CommitOperationDelete(n) for n in names
    ]


def _tag(target: HubTarget, commit: str, tag: str) -> None:
    from huggingface_hub import HfApi

    try:
        once(partial(HfApi().create_tag, target.name, tag=tag, revision=commit), target)
    except HubError as error:
        if (status_of(error.__cause__) if error.__cause__ else (None,))[0] != 409:
            raise
        there = read_contents(replace(target, revision=tag)).commit
        if there != commit:
            taken = f"{target.name} already has a tag {quoted(tag)}, at {there}"
            raise HubError(f"The model is published at commit {commit}, but {taken}.") from error


def _verify(local: Model, repo: str, commit: str) -> None:
    """HubError unless the commit, loaded from the Hub, gives the images of the local files."""
    published = load_folder(pull(repo, commit).folder)
    if not torch.equal(_compared(published), _compared(local)):
        raise HubError(
            f"The model that the Hub returns for {repo} at commit {commit} gives other images "
            "than the one that was sent."
        )


def once(call: Callable, target: HubTarget, sent: int = 0, *, again: bool = False) -> Any:
    """Makes a call that changes the repository; repeats it after a transient failure only with `again`."""
    try:
        return call_with_retries(call, hub.WAITS if again else (), target, sent=sent, seconds=SECONDS)
    except GanzooError:
        raise
    except Exception as error:
        status, _ = status_of(error)
        if status == 412:
            raise HubError(
                f"{target.name} has a newer commit, from another push: check it, then push again."
            ) from error
        if status == 409:
            raise HubError(
                f"The Hub refuses: {target.name} is being changed, or has that already (status 409)."
            ) from error
        if status in (401, 403):
            owner = target.name.partition("/")[0]
            raise HubError(
                f"The Hub does not let you write to {quoted(owner)} (status {status}):"
                " log in with `hf auth login`, with a token that may write."
            ) from error
        if status in (400, 413, 422):
            raise HubError(f"The Hub refuses the files of {target.name} (status {status}).") from error
        raise explain(error, target) from error

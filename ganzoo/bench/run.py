"""`ganzoo bench` as a function: makes the plan, checks everything, does what is missing, and leaves the results in order."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError
from ..files import FolderLock
from ..looks import remembered_real
from ..metrics.observe import Extractor, load_extractor
from ..registry import Registry
from ..run import default_device, threads
from . import costs
from .apart import described
from .cell import blank, fail, run_cell
from .matrix import Matrix
from .merge import write_outcome
from .plan import Cell, Job, chosen_variants, common_size, folder_name, parse_seeds, parse_shard, training_cells
from .protocol import protocol_of, ranking
from .reading import fingerprint
from .results import BenchFolder
from .scorer import Scorer, default_reference, load
from .trained import count_ahead
from .workers import Child, Forked, Fresh, can_fork, keep_freed_memory, run_all

Report = Callable[[str], None]
REFERENCE = "fashion-mnist-test"
ONLY_TRAINING = ("data", "everything", "image_size", "channels", "conditional", "steps", "images", "minutes", "settings", "generator")
ONLY_TRAINING += ("discriminator", "loss", "mixins", "points", "point_images", "precision")
TOLD_AS = {"everything": "all", "settings": "set", "mixins": "with"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks of `ganzoo bench`; None means the default that `bench` documents."""

    out: Path
    sources: tuple[str, ...] = ()
    train: bool = False
    everything: bool = False
    data: str | None = None
    reference: str | None = None
    data_root: Path | None = None
    image_size: int | None = None
    channels: int | None = None
    conditional: bool | None = None
    seeds: str | None = None
    steps: int | None = None
    images: int | None = None
    minutes: float | None = None
    settings: tuple[str, ...] = ()
    generator: tuple[str, ...] = ()
    discriminator: tuple[str, ...] = ()
    loss: tuple[str, ...] = ()
    mixins: tuple[str, ...] = ()
    points: int | None = None
    eval_images: int = 10_000
    point_images: int | None = None
    extractor: str = "fashion-cnn"
    metrics: tuple[str, ...] = ()
    precision: str | None = None
    device: str = "cpu"
    threads: int = 1
    jobs: int | None = None
    shard: str | None = None
    ray: str | None = None
    retry_failed: bool = False
    quiet: bool = False


def bench(request: Request, registry: Registry, report: Report) -> list[dict[str, Any]]:
    """Fills the folder of a bench and returns its rows in the order of the plan.

    A cell that fails or diverges is a row. UsageError for a request that cannot be met, before anything is made; InterruptedRun
    after a signal, when all cells have saved their state.
    """
    threads(request.threads)
    number, count = parse_shard(request.shard)
    if request.ray and request.jobs:
        raise UsageError("Give --jobs for this machine or --ray for a cluster, which knows its own size, not both.")
    job, cells, scorer, protocol = (_plan_training if request.train else _plan_scoring)(request, registry, report)
    hashed = fingerprint(protocol)
    folder = BenchFolder(request.out)
    folder.make()
    with FolderLock(folder.path):
        plan = folder.open(protocol, cells)
        rows = folder.rewrite(plan, hashed, report)
        mine = cells[number - 1 :: count]
        missing = [cell for cell in mine if not _is_there(folder, cell, hashed, request.retry_failed)]
        matrix = Matrix(folder, job, mine, missing, _jobs(request), quiet=request.quiet)
        try:
            if missing:
                matrix.announce()
                _fill(request, job, missing, folder, protocol, registry, scorer, matrix)
        finally:  # whoever stops a bench sees what is there
            rows = folder.rewrite(plan, hashed, report)
            if rows:
                write_outcome(folder.path)
    return rows


def _is_there(folder: BenchFolder, cell: Cell, protocol: str, retry_failed: bool) -> bool:
    row = folder.row(cell, protocol)
    return row is not None and not (retry_failed and row["status"] == "failed")


def _fill(
    request: Request,
    job: Job,
    missing: Sequence[Cell],
    folder: BenchFolder,
    protocol: dict[str, Any],
    registry: Registry,
    scorer: Scorer,
    matrix: Matrix,
) -> None:
    """Does the missing cells, each in a process of its own."""
    hashed = fingerprint(protocol)

    def work(cell: Cell) -> None:
        threads(job.threads)
        folder.write_row(cell, run_cell(cell, job, hashed, registry, lambda: scorer))

    def finished(cell: Cell) -> None:
        row = folder.row(cell, hashed)
        folder.append(row)
        matrix.tell(cell, row)

    def lost(cell: Cell, why: str) -> None:
        row = blank(cell, job, hashed)
        fail(row, job, why)
        folder.write_row(cell, row)
        finished(cell)

    def start(cell: Cell) -> Child:
        if can_fork(job.device, job.threads):
            count_ahead(cell, job, registry)
            return Forked(lambda: work(cell))
        return Fresh(described(cell, job, fingerprint(protocol)))

    hearing = {"finished": finished, "lost": lost, "look": matrix.look}
    with matrix:
        if request.ray:
            from .cluster import run_on_ray

            run_on_ray(request.ray, missing, job, protocol, **hearing)
        else:
            _warm_up()
            keep_freed_memory()
            if job.kind == "train":
                remembered_real(scorer.data)
            gc.freeze()  # a collection in a forked child would write to, and so copy, every page of what it has inherited
            try:
                run_all(sorted(missing, key=lambda cell: -_effort(cell, registry)), _jobs(request), start, **hearing)
            finally:
                gc.unfreeze()


def _jobs(request: Request) -> int:
    """Cells at a time: as asked, else one where times are measured that others would lengthen, and all cores for scoring."""
    return request.jobs or (1 if request.train else max(1, (os.cpu_count() or 1) // request.threads))


def _effort(cell: Cell, registry: Registry) -> int:
    """What a drawing of a pretrained cell costs: who begins with the dearest has no core idle at the end. 0 for all that is trained."""
    return _looked_at(cell.source, registry)[2] if cell.source else 0


def _warm_up() -> None:
    """Does what optimizers, pictures and the machine's name need at their first use, once instead of in every child."""
    from PIL import Image

    torch.optim.Adam([torch.zeros(1, requires_grad=True)]).step()
    Image.preinit()
    costs.processor()


# -- plans -----------------------------------------------------------------------------------------------------------


def _plan_training(request: Request, registry: Registry, report: Report):
    """Job, cells, scorer and protocol of a training matrix."""
    budgets = [name for name in ("steps", "images", "minutes") if getattr(request, name) is not None]
    if request.data is None:
        raise UsageError("Say what to train on: ganzoo bench VARIANT... --train --data DATA --images N --out FOLDER.")
    if len(budgets) != 1:
        raise UsageError("Every variant gets the same budget: give exactly one of --steps, --images and --minutes.")
    seeds = parse_seeds(request.seeds or "1")
    variants = chosen_variants(request.sources, request.everything, request.image_size, registry, report)
    size = common_size(variants, request.image_size)
    reference = request.reference or default_reference(request.data, registry, request.data_root)
    extractor = load_extractor(request.extractor)
    job = replace(_job(request, registry, "train", reference, extractor), image_size=size)
    data = load(job, request.data, registry, report, size=size, channels=request.channels)
    job = replace(job, channels=data.channels, classes=len(data.classes))
    scorer = Scorer(job, registry, report, data, extractor)
    real = scorer.reference(size, data.channels)
    cells = training_cells(
        variants,
        seeds,
        data.name,
        registry,
        parts={"generator": request.generator, "discriminator": request.discriminator, "loss": request.loss},
        mixins=request.mixins,
        settings=request.settings,
        conditional=request.conditional,
    )
    scorer.seen(size, data.channels)
    return job, cells, scorer, protocol_of(job, data, [real], scorer.extractor)


def _plan_scoring(request: Request, registry: Registry, report: Report):
    """Job, cells, scorer and protocol of a bench of trained generators."""
    for name in ONLY_TRAINING:
        if getattr(request, name):
            option = TOLD_AS.get(name, name.replace("_", "-"))
            raise UsageError(f"--{option} is for --train: without it, what is trained already is scored.")
    _refuse_variants(request.sources, registry)
    seeds = parse_seeds(request.seeds or "1")
    extractor = load_extractor(request.extractor)
    job = _job(request, registry, "pretrained", request.reference or REFERENCE, extractor)
    scorer = Scorer(job, registry, report, extractor=extractor)
    found = {source: _looked_at(source, registry) for source in request.sources or _embedded(registry)}
    shapes = sorted({shape for _, shape, _ in found.values()})
    references = [scorer.reference(*shape) for shape in shapes]
    cells = tuple(
        Cell(name=folder_name(source), variant=variant, data=references[0].name, seed=seed, source=source)
        for source, (variant, _, _) in found.items()
        for seed in seeds
    )
    for shape in shapes:
        scorer.seen(*shape)
    return job, cells, scorer, protocol_of(job, None, references, scorer.extractor)


def _refuse_variants(sources: Sequence[str], registry: Registry) -> None:
    """UsageError for the name of a variant, which says how its trained generators are called and how one is trained first."""
    for source in sources:
        if source in registry.names("variants"):
            tags = " or ".join(sorted(registry.get("variants", source).weights))
            scored = f"score its trained generator {tags}, or " if tags else ""
            how = "train it with --train --data DATA --images N --out FOLDER."
            raise UsageError(f"'{source}' is a variant, and without --train trained generators are scored: {scored}{how}")


def _embedded(registry: Registry) -> list[str]:
    return [tag for variant in registry.variants() for tag, weights in sorted(variant.weights.items()) if weights.package_file]


@cache
def _looked_at(source: str, registry: Registry) -> tuple[str, tuple[int, int], int]:
    """The variant behind a source, size and channels of its images, and the multiply-accumulates of a drawing, 0 if they cannot be counted."""
    from ..pretrained.load import load as load_model

    model = load_model(source)
    return model.variant, (model.image.size, model.image.channels), costs.macs(model.generator, model.latent(1), model.labels(1)) or 0


def _job(request: Request, registry: Registry, kind: str, reference: str, extractor: Extractor) -> Job:
    builtin = [name for name in registry.names("metrics") if registry.claim("metrics", name).plugin.builtin]
    able = [name for name in builtin if extractor.classes or "logits" not in getattr(registry.get("metrics", name), "needs", ())]
    metrics = list(dict.fromkeys(request.metrics)) or able
    first = ranking(metrics)
    metrics = [first, *(name for name in metrics if name != first)]
    return Job(
        folder=str(request.out.absolute()),
        kind=kind,
        data=request.data,
        reference=reference,
        data_root=str(request.data_root.absolute()) if request.data_root else None,
        extractor=request.extractor,
        metrics=tuple(metrics),
        steps=request.steps,
        images=request.images,
        minutes=request.minutes,
        points=request.points or 4,
        eval_images=request.eval_images,
        point_images=request.point_images or max(request.eval_images // 5, 2),
        precision=request.precision or "fp32",
        device=default_device(request.device),
        threads=request.threads,
    )

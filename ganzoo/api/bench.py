"""`ganzoo.bench`: `ganzoo bench` for Python programs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganzoo.api.inputs import check_values, data_name, names_of, options_of
from ganzoo.api.public import public
from ganzoo.api.runs import data_frame
from ganzoo.bench.report.terminal import table
from ganzoo.bench.request import Request
from ganzoo.bench.row import Row
from ganzoo.bench.run import bench as run_bench
from ganzoo.bench.workers import can_fork
from ganzoo.errors import UsageError
from ganzoo.files.output_checks import path_of
from ganzoo.files.text import quoted
from ganzoo.registry.registry import IN_PROCESS, registry

if TYPE_CHECKING:
    import pandas

    from ganzoo.api.inputs import Images


class BenchResults:
    """The rows of a bench, one for each variant and seed, and the folder with its report.

    Attributes:
        folder: holds report.html, report.md, results.jsonl and samples/.
        rows: one for each cell: `status`, `final` and `best` with their scores by name, `points`, `costs`, `times`.
    """

    def __init__(self, folder: Path, rows: Sequence[Row]) -> None:
        self.folder, self.rows = folder, tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return "\n".join([*table(self.rows), f"<BenchResults of {len(self)} rows in {self.folder}>"])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Returns a flat dictionary a row: name, variant, data, seed, status, steps, seconds, and scores by state.

        The scores of the final and the best checkpoint are "final.frechet[fashion-cnn]" and "best.frechet[...]".
        """
        found = []
        for row in self.rows:
            facts: dict[str, Any] = {
                **{name: getattr(row.cell, name) for name in ("name", "variant", "data", "seed")},
                "status": row.status,
                "error": row.error,
                "collapsed": row.collapsed,
                "seconds": row.times.training_seconds,
            }
            for state, score in (("final", row.final), ("best", row.best)):
                if score is not None:
                    facts[f"{state}.step"] = score.step
                    facts |= {f"{state}.{name}": value for name, value in score.scores.items()}
            found.append(facts)
        return found

    def to_dataframe(self) -> pandas.DataFrame:
        """Returns the rows of `to_dicts` as a pandas data frame.

        Raises:
            UsageError: where pandas is not installed.
        """
        return data_frame(self.to_dicts())


@public
def bench(
    variants: str | Sequence[str | os.PathLike[str]] = (),
    *,
    out: str | os.PathLike[str],
    data: Images | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    steps: int | None = None,
    images: int | None = None,
    minutes: float | None = None,
    seeds: int | Sequence[int] = 1,
    overrides: Mapping[str, Any] = {},
    mixins: str | Sequence[str] = (),
    conditional: bool | None = None,
    loss: str | Sequence[str] = (),
    generator: str | Sequence[str] = (),
    discriminator: str | Sequence[str] = (),
    reference: Images | None = None,
    metrics: str | Sequence[str] = (),
    extractor: str | None = None,
    second_extractor: str | None = None,
    eval_images: int | None = None,
    points: int | None = None,
    jobs: int | None = None,
    device: str = "cpu",
    threads: int = 1,
    precision: Literal["fp32", "bf16"] | None = None,
    data_root: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> BenchResults:
    """Trains variants alike and scores them by one protocol, or scores trained generators; as `ganzoo bench`.

    Args:
        variants: with `data` the variants to train, or patterns such as "wgan*"; without it trained generators (tags,
            runs, folders, owner/name), none for all that come with a variant.
        out: the folder to fill, or to go on with.
        data: what to train on, as for `ganzoo.train`.
        image_size: in pixels; None for the first size that all variants have.
        channels: 1 or 3; None as the images are.
        steps, images, minutes: the budget, one of the three.
        seeds: their number, or the seeds.
        overrides: settings for all variants, {"training.batch_size": 32}, or for one, {"dcgan:generator.width": 32}.
        mixins: names of regularizers and augmentations to add to all.
        conditional: trains with labels.
        loss, generator, discriminator: parts that replace those of every variant; several, with each of them.
        reference: real images to score against; None for the test split of the data, or the data.
        metrics: names of metrics; none for all built-in ones.
        extractor, second_extractor: by which images are compared.
        eval_images: samples to score of the final and the best checkpoint.
        points: checkpoints to score, at equal parts of the budget.
        jobs: cells at a time.
        device, threads, precision, data_root: as for `ganzoo.train`.
        progress: shows the cells as they are done.

    Returns:
        The rows in the order of the plan; a cell that failed or diverged is a row, too.

    Raises:
        UsageError: for a request that cannot be met, before anything is written.
    """
    names = _sources(variants)
    check_values(points=points, eval_images=eval_images, jobs=jobs)
    options = options_of(
        data=None if data is None else data_name(data),
        data_root=data_root,
        image_size=image_size,
        channels=channels,
        conditional=conditional,
        steps=steps,
        images=images,
        overrides=overrides,
        mixins=mixins,
        precision=precision,
        device=device,
        threads=threads,
    )
    _refuse_fresh_processes(options.device, threads)
    request = Request(
        out=path_of("out", out),
        sources=names,
        options=options,
        train=data is not None,
        reference=None if reference is None else data_name(reference),
        seeds=_seeds(seeds),
        minutes=minutes,
        generator=names_of("generator", generator),
        discriminator=names_of("discriminator", discriminator),
        loss=names_of("loss", loss),
        points=points,
        eval_images=eval_images,
        extractor=extractor,
        second_extractor=second_extractor,
        metrics=names_of("metrics", metrics),
        jobs=jobs,
        quiet=not progress,
    )
    return BenchResults(request.out, run_bench(request, registry()))


def _sources(variants: Any) -> tuple[str, ...]:
    """Returns the names of variants or models; UsageError for anything that is neither text nor path."""
    alone = isinstance(variants, str | os.PathLike) or not isinstance(variants, Iterable)
    found = (variants,) if alone else tuple(variants)
    for one in found:
        if not isinstance(one, str | os.PathLike):
            raise UsageError(f"variants takes names, patterns, runs or paths of models, not {quoted(one)}.")
    return tuple(os.fspath(one) for one in found)


def _seeds(seeds: Any) -> str:
    """Returns seeds as `--seeds` takes them; UsageError for anything but a number of them, or their list."""
    if isinstance(seeds, int):
        return str(seeds)
    if isinstance(seeds, str) or not isinstance(seeds, Iterable) or not (found := list(seeds)):
        raise UsageError(f"seeds is how many, such as 3, or a list such as [0, 5, 7], not {quoted(seeds)}.")
    return "".join(f"{seed}," for seed in found)


def _refuse_fresh_processes(device: str, threads: int) -> None:
    """UsageError if cells would run in new processes, which do not have what this one has registered."""
    own = [plugin for plugin in registry().plugins if plugin.distribution == IN_PROCESS]
    if own and not can_fork(device, threads):
        names = ", ".join(f"'{name}'" for names in own[0].registered.values() for name in names)
        raise UsageError(
            f"A bench runs its cells in new processes with device '{device}' and {threads} threads here, which do not "
            f"have what this process registered ({names}): use device='cpu' and threads=1 on Linux, or make a plugin."
        )

"""All losses on distributions in the plane: three tables of trainings of seconds each.

    python benchmarks/points.py run --out results --jobs 2      trains what is missing, one row a training
    python benchmarks/points.py table results                   prints the rows as Markdown

`ring` has every loss and penalty on the balanced card, `hostile` a discriminator that learns ten times too slowly with
leaky ReLUs, `grid` 25 modes and 3 x 64 ReLUs, `vae` no adversary, `page` the rest of what docs/why-gans-are-hard.md
shows. Each training also keeps a moving average of 0.99.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo.config.options import TrainOptions
from ganzoo.errors import GanzooError
from ganzoo.registry.registry import registry
from ganzoo.runs.request import Intervals, Request
from ganzoo.runs.train import train

AVERAGE = "training.ema=0.99"
RARE = Intervals(sample_every=10**6, checkpoint_every=10**6)
RELU = ("generator.activation=relu", "discriminator.activation=relu")
LEAKY = ("generator.activation=lrelu", "discriminator.activation=lrelu")
SLOW = (*LEAKY, "training.discriminator_lr=1e-4")
FIVE_STEPS = ("loss.critic_steps=5",)
MINIMAX = ("loss=gan", "loss.objective=minimax")
PROMPT = ("loss=sngan", "loss.critic_steps=1", "loss.generator_batch=1", "loss.generator_first=false")
CLIPPED = (
    "loss=wasserstein-clipped",
    "loss.clip=0.3",
    "loss.warmup=0",
    "loss.long_every=0",
    *RELU,
    "training.generator_lr=3e-4",
)
NOISY = (
    "training.generator_lr=5e-3",
    "training.discriminator_lr=5e-3",
    'training.optimizer_options={"betas": [0.9, 0.99]}',
)
SPECTRAL = ("discriminator.spectral=true", "discriminator.scale=10")
UNROLLED = ("loss=unrolled", "loss.unroll=5")
R3GAN = ("loss=relativistic-r1-r2", "loss.gamma=0.02")


@dataclass(frozen=True)
class Column:
    """One way to train: what differs from the card of the table, and how many steps it takes."""

    name: str
    settings: tuple[str, ...] = ()
    mixins: tuple[str, ...] = ()
    steps: int | None = None  # None: those of the table
    data: str | None = None


@dataclass(frozen=True)
class Table:
    variant: str
    data: str
    steps: int
    columns: tuple[Column, ...]


def penalty(name: str, option: str, value: float) -> Column:
    return Column(f"ns + {name} {value:g}", (f"regularizers.{name}.{option}={value}",), (name,))


RING = (
    Column("minimax", MINIMAX),
    Column("non-saturating"),
    Column("least squares", ("loss=least-squares",)),
    Column("hinge", PROMPT),
    Column("geometric (hinge)", ("loss=geometric", "loss.generator_steps=1")),
    Column("WGAN, clip 0.3", CLIPPED, steps=800),
    Column("WGAN-GP 0.1", ("loss=wasserstein-gp", "loss.penalty=0.1", *FIVE_STEPS), steps=800),
    Column("RSGAN", ("loss=rsgan",)),
    Column("RaSGAN", ("loss=rasgan",)),
    Column("RaLSGAN", ("loss=ralsgan",)),
    Column("RaHinge", ("loss=rahinge",)),
    Column("R3GAN 0.02", R3GAN),
    Column("DRAGAN 0.1", ("loss=dragan", "loss.penalty=0.1")),
    penalty("r1", "gamma", 0.02),
    penalty("r1", "gamma", 0.2),
    penalty("r2", "gamma", 0.02),
    penalty("gradient-penalty", "penalty", 0.1),
    Column("hinge + lecam 0.3", (*PROMPT, "regularizers.lecam.strength=0.3"), ("lecam",)),
    Column("ns, packs of 2", ("discriminator.pac=2",)),
    Column("hinge, spectral norm x 10", (*PROMPT, *SPECTRAL)),
    Column("unrolled 5", UNROLLED),
)
HOSTILE = (
    Column("non-saturating", SLOW),
    Column("equal learning rates", LEAKY),
    Column("ns, packs of 2", (*SLOW, "discriminator.pac=2")),
    Column("ns + r1 0.02", (*SLOW, "regularizers.r1.gamma=0.02"), ("r1",)),
    Column("least squares", (*SLOW, "loss=least-squares")),
    Column("RSGAN", (*SLOW, "loss=rsgan")),
    Column("R3GAN 0.02", (*SLOW, *R3GAN)),
    Column("unrolled 5", (*SLOW, *UNROLLED)),
)
GRID = (
    Column("non-saturating"),
    Column("hinge", PROMPT),
    Column("RSGAN", ("loss=rsgan",)),
    penalty("r1", "gamma", 0.02),
    penalty("dragan-penalty", "penalty", 0.1),
    Column("R3GAN 0.02", R3GAN),
    Column("ns, packs of 2", ("discriminator.pac=2",)),
)
VAE = (Column("VAE"), Column("VAE, grid", data="grid"))
PAGE = (  # of docs/why-gans-are-hard.md, besides those of the other tables
    Column("non-saturating, 3000 steps", steps=3000),
    Column("non-saturating, ring-tight", steps=3000, data="ring-tight"),
    Column("minimax, D 33 times slower", (*MINIMAX, "loss.weight=1", "training.discriminator_lr=3e-5")),
    Column("five times the learning rate, beta1 0.9", NOISY),
)
TABLES = {
    "ring": Table("points", "ring", 1500, RING),
    "hostile": Table("points", "ring", 1500, HOSTILE),
    "grid": Table("points-grid", "grid", 2000, GRID),
    "page": Table("points", "ring", 1500, PAGE),
    "vae": Table("points-vae", "ring", 4000, VAE),
}


@dataclass(frozen=True)
class Cell:
    table: str
    column: Column
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        return self.table, self.column.name, self.seed


def cells(tables: list[str], seeds: int) -> Iterator[Cell]:
    for seed in range(seeds):
        for name in tables:
            for column in TABLES[name].columns:
                yield Cell(name, column, seed)


def trained(cell: Cell) -> dict[str, Any]:
    """Trains one cell and returns its row; a divergence is a result too."""
    table, column = TABLES[cell.table], cell.column
    steps, data = column.steps or table.steps, column.data or table.data
    options = TrainOptions(
        data=data,
        steps=steps,
        settings=(AVERAGE, *column.settings),
        mixins=column.mixins,
        device="cpu",
        threads=1,
    )
    row = {"table": cell.table, "column": column.name, "seed": cell.seed, "steps": steps, "data": data}
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="ganzoo-points-") as folder:
        request = Request(
            out=Path(folder) / "run", variant=table.variant, options=options, seed=cell.seed, intervals=RARE, quiet=True
        )
        try:
            records = train(request, registry()).records()
            numbers = next(record["final"] for record in records if "final" in record)
        except GanzooError as error:
            numbers = {"error": str(error)}
    return {**row, "cpu_seconds": round(time.process_time() - began, 2), **numbers}


def run(arguments: argparse.Namespace) -> None:
    path = arguments.out / "results.jsonl"
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = read(path) if path.exists() else []
    done = {(row["table"], row["column"], row["seed"]) for row in rows}
    missing = [
        cell
        for cell in cells(arguments.tables, arguments.seeds)
        if cell.key not in done and (not arguments.columns or cell.column.name in arguments.columns)
    ]
    with multiprocessing.get_context("fork").Pool(arguments.jobs, maxtasksperchild=8) as pool, path.open("a") as file:
        for number, row in enumerate(pool.imap_unordered(trained, missing), 1):
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"{number}/{len(missing)}  {row['table']}  {row['column']}  seed {row['seed']}", flush=True)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(arguments: argparse.Namespace) -> None:
    rows = read(arguments.out / "results.jsonl")
    for name in TABLES:
        found = [row for row in rows if row["table"] == name]
        if found:
            print(f"\n{name}\n\n{markdown(found)}")


def markdown(rows: list[dict[str, Any]]) -> str:
    """One line a column: a number for each seed."""
    lines = [
        "| method | steps | modes | modes-any | high-quality % | SW1 | reverse KL | churn | average: modes, % | s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(row["column"] for row in rows):
        own = sorted((row for row in rows if row["column"] == name), key=lambda row: row["seed"])
        good = [row for row in own if "error" not in row]
        if len(good) < len(own):
            name += f" ({len(own) - len(good)} diverged)"
        values = [
            each(good, "raw-modes", "{:.0f}"),
            each(good, "raw-modes-any", "{:.0f}"),
            each(good, "raw-high-quality", "{:.0f}", 100),
            each(good, "raw-sliced-wasserstein", "{:.3f}"),
            each(good, "raw-reverse-kl", "{:.2f}"),
            each(good, "raw-churn", "{:.2f}"),
            f"{each(good, 'modes', '{:.0f}')}, {each(good, 'high-quality', '{:.0f}', 100)}",
            f"{sum(row['cpu_seconds'] for row in own) / len(own):.0f}",
        ]
        lines.append(f"| {name} | {own[0]['steps']} | {' | '.join(values)} |")
    return "\n".join(lines)


def each(rows: list[dict[str, Any]], key: str, form: str, factor: float = 1.0) -> str:
    return " ".join(form.format(float(row[key]) * factor) if key in row else "-" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    runner, printer = commands.add_parser("run"), commands.add_parser("table")
    runner.add_argument("--out", type=Path, required=True)
    runner.add_argument("--tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    runner.add_argument("--columns", nargs="*", default=[], help="only these methods")
    runner.add_argument("--seeds", type=int, default=3)
    runner.add_argument("--jobs", type=int, default=2)
    runner.set_defaults(call=run)
    printer.add_argument("out", type=Path)
    printer.set_defaults(call=table)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()

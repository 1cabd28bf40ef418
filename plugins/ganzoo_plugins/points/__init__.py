"""Points in the plane: perceptrons and mixtures of Gaussians on which every loss can be watched in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganzoo import Part, Register, RegisterVariant, Training, Variant, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from ganzoo.data import Stream

DEEP = {"depth": 3, "activation": "relu"}
MLP = ("unconditional", "mlp", "points")
CARDS: tuple[tuple[str, str, dict, int], ...] = (
    ("points", "Perceptrons of 2 x 64 tanh units on points in the plane: any loss, on a CPU in seconds.", {}, 3000),
    ("points-grid", "As points, with 3 x 64 ReLUs, for distributions of many modes such as grid.", DEEP, 4000),
)
ADAM: dict[str, Any] = {"optimizer": "adam", "generator_lr": 1e-3, "batch_size": 128}


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    for name, summary, options, steps in CARDS:
        register(
            Variant(
                name=name,
                summary=summary,
                paper="https://arxiv.org/abs/1611.02163",
                year=2016,
                generator=Part("points", options),
                discriminator=Part("points", options),
                loss=Part("non-saturating"),
                kind="points",
                sizes=(),
                tags=MLP,
                training=Training(optimizer_options={"betas": (0.5, 0.99)}, discriminator_lr=1e-3, steps=steps, **ADAM),
            )
        )
    register(
        Variant(
            name="points-vae",
            summary="No adversary: as points, decoder and encoder maximize a bound on the likelihood.",
            paper="https://arxiv.org/abs/1312.6114",
            year=2013,
            generator=Part("points"),
            discriminator=None,
            loss=Part("points-bound"),
            kind="points",
            sizes=(),
            tags=(*MLP, "likelihood", "baseline"),
            training=Training(loss_lr=1e-3, steps=4000, **ADAM),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import PointsGenerator

    register("points", PointsGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import PointsDiscriminator

    register("points", PointsDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .losses import PointsBound, Unrolled

    register("unrolled", Unrolled)
    register("points-bound", PointsBound)


@hookimpl
def register_datasets(register: Register) -> None:
    register("ring", ring)
    register("ring-tight", ring_tight)
    register("grid", grid)
    register("grid-tight", grid_tight)
    register("swiss-roll", swiss_roll)


def ring(root: Path | None, split: str = "") -> Stream:
    """Points: 8 Gaussians of deviation 0.05 on a circle of radius 1, as many as are asked for."""
    from ganzoo_plugins.points.distributions import ring

    return ring("ring", split, deviation=0.05)


def ring_tight(root: Path | None, split: str = "") -> Stream:
    """Points: as ring with deviation 0.01, as in VEEGAN and PacGAN."""
    from ganzoo_plugins.points.distributions import ring

    return ring("ring-tight", split, deviation=0.01)


def grid(root: Path | None, split: str = "") -> Stream:
    """Points: 25 Gaussians of deviation 0.025 on a square grid of spacing 0.5, as many as are asked for."""
    from ganzoo_plugins.points.distributions import grid

    return grid("grid", split, deviation=0.025)


def grid_tight(root: Path | None, split: str = "") -> Stream:
    """Points: as grid with deviation 0.0125, as PacGAN's and WGAN-GP's 25 Gaussians at this scale."""
    from ganzoo_plugins.points.distributions import grid

    return grid("grid-tight", split, deviation=0.0125)


def swiss_roll(root: Path | None, split: str = "") -> Stream:
    """Points: a spiral of one and a half turns with noise, within the unit square; it has no modes."""
    from ganzoo_plugins.points.distributions import swiss_roll

    return swiss_roll("swiss-roll", split)

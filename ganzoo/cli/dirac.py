"""`ganzoo dirac`: the smallest GAN, and what each loss does to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ganzoo.cli.types import FiniteRange, MixinName
from ganzoo.errors import UsageError
from ganzoo.files.output_checks import check_new_file

CARD = "points"  # the variant whose loss is replaced
ALIASES = {"minimax": ("gan", "loss.objective=minimax", "loss.weight=1")}
# Options at the scale of this toy, where the papers' are made for images; --set overrides them.
SCALES = {
    "wasserstein-gp": ("loss.penalty=0.7", "loss.critic_steps=1"),
    "wasserstein-clipped": ("loss.clip=1", "loss.critic_steps=1", "loss.warmup=0", "loss.long_every=0"),
    "relativistic-r1-r2": ("loss.gamma=0.3",),
    "dragan": ("loss.penalty=0.7",),
    "sngan": ("loss.critic_steps=1",),
    "geometric": ("loss.generator_steps=1",),
    "r1": ("regularizers.r1.gamma=0.3",),
    "r2": ("regularizers.r2.gamma=0.3",),
    "gradient-penalty": ("regularizers.gradient-penalty.penalty=0.7",),
    "dragan-penalty": ("regularizers.dragan-penalty.penalty=0.7",),
}
LAST = 100


@click.command()
@click.option(
    "--loss", default="non-saturating", show_default=True, help="minimax, or a loss of `ganzoo list --parts losses`."
)
@click.option(
    "--with", "mixins", multiple=True, type=MixinName(), metavar="NAME", help="Add a regularizer; repeatable."
)
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE", help="Change an option of loss or regularizer.")
@click.option("--steps", type=click.IntRange(1, 100_000), default=500, show_default=True)
@click.option("--rate", type=FiniteRange(0, min_open=True), default=0.2, show_default=True, help="Step size.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write a picture of the two paths (.png).")
@click.option("--force", is_flag=True, help="Overwrite --out.")
def dirac(loss: str, out: Path | None, force: bool, **asked: Any) -> None:
    """Train the Dirac-GAN: all data are 0, the generator is a number, the discriminator a slope.

    Prints the distance of (generator, slope) from the equilibrium (0, 0) at the end and over the last 100 steps, once
    for steps in turn and once for steps at the same time. The start is (1, 1), at a distance of 1.41.

    \b
    ganzoo dirac --loss minimax --out circle.png
    ganzoo dirac --with r1
    ganzoo dirac --loss wasserstein-gp --set loss.critic_steps=5
    """
    if out is not None:
        if out.suffix.lower() != ".png":
            raise UsageError(f"--out {out}: the picture is a .png.")
        check_new_file(out, replace=force)
    from ganzoo.cli.common import loaded_registry, show_messages

    registry = loaded_registry()
    show_messages()
    panels = []
    for order, path in _paths(registry, loss, **asked).items():
        radius = path.norm(dim=1)
        late = radius[-LAST:]
        click.echo(
            f"{order:<12}  radius {radius[0]:.2f} -> {radius[-1]:.3g}, at the end {late.min():.3g} to {late.max():.3g}"
        )
        panels.append((f"{order}: {radius[-1]:.2g}", path))
    if out is not None:
        from ganzoo.files import curves, pictures

        pictures.save_picture(curves.paths(panels), out)
        click.echo(f"{out}", err=True)


def _paths(
    registry: Any, loss: str, *, mixins: tuple[str, ...], settings: tuple[str, ...], steps: int, rate: float
) -> dict[str, Any]:
    """The paths by the order of the steps."""
    from ganzoo.config.mixins import kind_of, mixed_in
    from ganzoo.config.settings import resolve
    from ganzoo.runs import dirac

    for name in mixins:
        if kind_of(name, registry) != "regularizers":
            raise UsageError(f"'{name}' augments images; here --with takes regularizers.")
    name, *own = ALIASES.get(loss, (loss,))
    own += [setting for part in (name, *mixins) for setting in SCALES.get(part, ())]
    variant = mixed_in(registry.get("variants", CARD), mixins, registry)
    recipe = resolve(variant, [f"loss={name}", *own, *settings], registry)
    return {
        order: dirac.dirac(recipe.parts, order, steps=steps, rate=rate) for order in ("alternating", "simultaneous")
    }

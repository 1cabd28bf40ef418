"""`ganzoo check`: runs the conformance checks."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from ganzoo.cli.types import FiniteRange, VariantName
from ganzoo.errors import UsageError

COLOURS = {"ok": "green", "failed": "red", "skipped": "yellow"}


class CheckCommand(click.Command):
    """A command whose help lists the checks."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the names and promises of the checks after the options."""
        from ganzoo.testing import CHECKS

        with formatter.section("Checks"):
            formatter.write_dl(list(CHECKS.items()))


@click.command(cls=CheckCommand)
@click.argument("names", nargs=-1, type=VariantName(), metavar="NAME...")
@click.option("--dist", help="Check all variants of this installed distribution.")
@click.option("--all", "everything", is_flag=True, help="Check all variants.")
@click.option("--only", multiple=True, metavar="CHECK", help="Run only this check; may be repeated.")
@click.option("--size", type=click.IntRange(1), help="Image size in pixels.  [default: the smallest of the variant]")
@click.option(
    "--patience",
    type=FiniteRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="CPU seconds after which the check `learns` is skipped.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def check(
    names: tuple[str, ...],
    dist: str | None,
    everything: bool,
    only: tuple[str, ...],
    size: int | None,
    patience: float,
    threads: int,
    as_json: bool,
) -> None:
    """Run the conformance checks of variants.

    Every failure says what to change. The exit code is 1 if a check fails.

    \b
    ganzoo check my-gan
    ganzoo check my-gan --only gradients --only resume
    ganzoo check --dist ganzoo-hinge --json
    """
    chosen = _chosen(names, dist, everything)
    import torch

    torch.set_num_threads(threads)
    from ganzoo.testing import CHECKS, run_checks

    rows, width = [], max(map(len, CHECKS))
    for name in chosen:
        if not as_json:
            click.secho(name, fg="cyan", bold=True)
        for outcome in run_checks(name, only or tuple(CHECKS), size=size, patience=patience):
            rows.append(outcome)
            if not as_json:
                state = click.style(f"{outcome.state:<8}", fg=COLOURS[outcome.state])
                click.echo(f"  {outcome.check:<{width}}  {state}{outcome.seconds:6.2f} s  {outcome.text}".rstrip())
    failed = [outcome for outcome in rows if outcome.state == "failed"]
    if as_json:
        click.echo(json.dumps([asdict(outcome) for outcome in rows], indent=2))
    else:
        counts = ", ".join(f"{sum(row.state == state for row in rows)} {state}" for state in COLOURS)
        click.echo(f"{len(chosen)} variant(s): {counts}, {sum(row.seconds for row in rows):.1f} s")
    sys.exit(1 if failed else 0)


def _chosen(names: tuple[str, ...], dist: str | None, everything: bool) -> list[str]:
    """Returns the variants to check; UsageError unless exactly one of NAME, --dist and --all is given."""
    from ganzoo.cli.common import loaded_registry

    if bool(names) + (dist is not None) + everything != 1:
        raise UsageError("Choose what to check: names of variants, or --dist DISTRIBUTION, or --all.")
    found = loaded_registry()
    if names:
        for name in names:
            found.claim("variants", name)
        return list(dict.fromkeys(names))
    if everything:
        return found.names("variants")
    from ganzoo.testing.runner import variants_of

    return variants_of(dist or "", found)

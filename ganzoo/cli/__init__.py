"""The command line. Each command imports what it runs inside its body, so that listing stays fast."""

from __future__ import annotations

import os
import sys

import click

from ..errors import GanzooError

COMMANDS = {
    "list": "listing:list_variants",
    "show": "listing:show",
    "plugins": "listing:plugins",
    "train": "train:train",
    "sample": "sample:sample",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are named, and that knows them all for help and completion."""

    def list_commands(self, context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context, name: str):
        if name not in COMMANDS:
            return None
        from importlib import import_module

        module, _, attribute = COMMANDS[name].partition(":")
        return getattr(import_module(f"{__name__}.{module}"), attribute)

    def resolve_command(self, context, arguments):
        name = arguments[0]
        if name not in COMMANDS and not name.startswith("-"):
            from ..errors import did_you_mean

            context.fail(f"No command is called '{name}'.{did_you_mean(name, COMMANDS)}")
        return super().resolve_command(context, arguments)


def show_version(context, parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from .. import __version__

        click.echo(f"ganzoo {__version__}")
        context.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Print the version and stop.")
def group() -> None:
    """A zoo of generative adversarial networks in which every variant is a plugin.

    \b
    ganzoo list                                     what there is
    ganzoo show dcgan                               its paper, parts, options and settings
    ganzoo train dcgan --data fashion-mnist-test --image-size 32 --steps 500 --out runs/first
    ganzoo sample runs/first -n 64 --out grid.png   draw from what was trained

    Words complete with <TAB> after: eval "$(_GANZOO_COMPLETE=bash_source ganzoo)" (or zsh_source, fish_source).

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 diverged or collapsed, 130 and 143 stopped by a signal.
    GANZOO_DEBUG=1 shows tracebacks; GANZOO_LOAD_PLUGINS=a,b loads only those distributions, empty only the built-ins.
    """


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits; the one place that turns errors into one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    debug = os.environ.get("GANZOO_DEBUG", "") not in ("", "0")
    try:
        code = group.main(args=arguments, prog_name="ganzoo", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as finished:
        code = finished.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("Stopped.")
        code = 130
    except GanzooError as error:
        if debug and error.exit_code == 1:
            raise
        _say(f"{click.style('Error:', fg='red')} {error}")
        code = error.exit_code
    except BrokenPipeError:  # the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())[:500]
        _say(f"{click.style('Error:', fg='red')} {type(error).__name__}: {text} (GANZOO_DEBUG=1 shows where)")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _say(line: str) -> None:
    click.echo(line, err=True)

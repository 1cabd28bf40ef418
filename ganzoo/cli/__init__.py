"""The command line. Commands import heavy modules in their bodies, so that `ganzoo list` is fast."""

from __future__ import annotations

import os
import sys

import click

from ganzoo.errors import GanzooError

SPIN_COUNT = "1000"  # turns of a waiting OpenMP thread before it sleeps; libgomp has 300,000

COMMANDS = {
    "list": "listing:list_variants",
    "show": "listing:show",
    "plugins": "listing:plugins",
    "new": "new:new",
    "install": "install:install",
    "uninstall": "install:uninstall",
    "check": "check:check",
    "train": "train:train",
    "sample": "sample:sample",
    "apply": "apply:apply",
    "animate": "animate:animate",
    "curves": "curves:curves",
    "dirac": "dirac:dirac",
    "bench": "bench:bench",
    "compare": "compare:compare",
    "score": "score:score",
    "convert": "convert:convert",
    "mix": "mix:mix",
    "explore": "explore:explore",
    "invert": "invert:invert",
    "studio": "studio:studio",
    "space": "space:space",
    "export": "export:export",
    "pull": "hub:pull",
    "push": "hub:push",
    "search": "hub:search",
}


class LazyGroup(click.Group):
    """A group that imports a command only when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            from ganzoo.cli.plugin_commands import load_command

            return load_command(name) if name in self._of_plugins() else None
        from importlib import import_module

        module, _, attribute = COMMANDS[name].partition(":")
        return getattr(import_module(f"{__name__}.{module}"), attribute)

    def _of_plugins(self) -> dict[str, tuple[str, str]]:
        from ganzoo.cli.plugin_commands import plugin_commands

        return plugin_commands(COMMANDS)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the own commands, and those of plugins with their provider, without importing the latter."""
        super().format_commands(context, formatter)
        rows = [(name, f"{summary} [{provider}]".strip()) for name, (summary, provider) in self._of_plugins().items()]
        if rows:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(rows)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = arguments[0]
        if any(not argument.strip() for argument in arguments):  # an empty path would be the working directory
            context.fail("An argument is empty: give it a value, or leave it out (is a shell variable unset?).")
        if name not in COMMANDS and not name.startswith("-"):
            from ganzoo.errors import did_you_mean

            known = self._of_plugins()
            if name not in known:
                context.fail(f"No command is called '{name}'.{did_you_mean(name, {*COMMANDS, *known})}")
        return super().resolve_command(context, arguments)


def show_version(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    """Prints the version and exits, for `--version`."""
    if asked and not context.resilient_parsing:
        from ganzoo import __version__

        click.echo(f"ganzoo {__version__}")
        context.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Print the version and exit.",
)
def group() -> None:
    """A zoo of GANs in PyTorch, in which every variant is a plugin.

    \b
    ganzoo list                                         all variants, and their pretrained weights
    ganzoo show dcgan                                   paper, parts, options and settings
    ganzoo sample dcgan.fashion-mnist --out grid.png    sample from pretrained weights
    ganzoo train dcgan --data fashion-mnist-test --image-size 32 --steps 500 --out runs/first
    ganzoo sample ./runs/first -n 64 --out own.png      sample from your run
    ganzoo explore infogan.fashion-mnist --out codes.png
    ganzoo invert dcgan.fashion-mnist shoe.png --out found   the latents of given images
    ganzoo apply ./runs/edges photo.jpg --out drawn.png make images of images
    ganzoo studio                                       play with all of it in a browser
    ganzoo score drawn/ truth/ --paired                 PSNR, SSIM and others, without a model
    ganzoo check my-gan                                 run the conformance checks
    ganzoo push ./runs/first owner/name                 publish on the Hugging Face Hub

    Tab completion: eval "$(_GANZOO_COMPLETE=bash_source ganzoo)" (or zsh_source, fish_source).

    Exit codes: 0 success, 1 failure, 2 wrong usage, 3 diverged or collapsed
    (docs/when-training-goes-wrong.md), 129, 130 and 143 stopped by a signal.
    GANZOO_DEBUG=1 shows tracebacks. GANZOO_LOAD_PLUGINS=a,b loads only the plugins of these distributions and the
    built-in ones; empty, only the built-in ones. GANZOO_PLUGINS_DIR=FOLDER also loads its .py files as plugins.
    """


def _spin_briefly() -> None:
    """Lets OpenMP's waiting threads sleep soon, unless the user has set how long they spin.

    A spinning thread holds a core that another process needs, and then every step waits for it. The count is the best
    compromise for idle and busy cores in `benchmarks/busy_neighbours.py`. It is read when torch is imported.
    """
    if not any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")):
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits. Turns every error into one line and an exit code."""
    from ganzoo.files.streams import make_outputs_safe, output_problem

    make_outputs_safe()
    _spin_briefly()
    try:
        code = group.main(args=arguments, prog_name="ganzoo", standalone_mode=False)
        sys.stdout.flush()
        code = _output_failed(output_problem()) or code
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        code = 1
    except click.exceptions.Exit as finished:
        code = finished.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = _fail("Stopped.", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        code = error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "ganzoo"
        code = _fail(f"Error: {' '.join(error.format_message().split())} See: {path} --help", error.exit_code)
    except click.ClickException as error:
        code = _fail(f"Error: {error.format_message()}", error.exit_code)
    except GanzooError as error:
        code = _fail(f"Error: {error}", error.exit_code, error)
    except OSError as error:
        code = _fail(f"Error: {error.filename or 'the output'}: {error.strerror or error}", 1, error)
    except Exception as error:
        text = " ".join(str(error).split())[:500]
        code = _fail(f"Error: {type(error).__name__}: {text} (GANZOO_DEBUG=1 shows where)", 1, error)
    _flush_streams()
    common = sys.modules.get(f"{__name__}.common")
    if common is not None and common.registry.cache_info().currsize:
        common.report_warnings(common.registry())
    sys.exit(code if isinstance(code, int) else 0)


def _output_failed(problem: OSError | None) -> int:
    """Returns 1 if standard output lost something, and says why unless its reader has gone, as `head` does; else 0."""
    if problem is None:
        return 0
    return 1 if isinstance(problem, BrokenPipeError) else _fail(f"Error: the output: {problem.strerror or problem}", 1)


def _fail(line: str, code: int, error: Exception | None = None) -> int:
    """Prints an error as one line and returns the code; GANZOO_DEBUG=1 adds the traceback of unexpected errors."""
    if error is not None and code == 1 and os.environ.get("GANZOO_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
    from ganzoo.files.text import printable_lines

    head, colon, rest = printable_lines(line).partition(":")
    try:
        click.echo(f"{click.style(head + colon, fg='red')}{rest}" if colon else line, err=True)
    except (OSError, ValueError):
        return code or 1
    return code


def _flush_streams() -> None:
    """Flushes the outputs and drops what cannot be written, so that the interpreter does not report it at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            except (OSError, ValueError):
                continue

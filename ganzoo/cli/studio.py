"""`ganzoo studio`: models, runs and benches in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.errors import UsageError


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--runs", type=click.Path(path_type=Path), help="A folder of runs to watch.")
@click.option("--bench", type=click.Path(path_type=Path), help="A bench, or a folder of benches, to look at.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another than loopback needs a password.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0 takes a free one.")
@click.option("--password", help="Ask for this password; others on this machine can see it: use --password-file.")
@click.option("--password-file", type=click.Path(path_type=Path), help="Ask for the password in this file.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads. [default: all]")
def studio(
    models: tuple[str, ...],
    runs: Path | None,
    bench: Path | None,
    host: str,
    port: int,
    password: str | None,
    password_file: Path | None,
    no_browser: bool,
    threads: int | None,
) -> None:
    """Play with models in a browser.

    MODEL is a run, checkpoint, model folder, tag or owner/name on the Hub; the weights that come with the package are
    there in any case. Nothing is fetched from elsewhere, and nothing leaves this machine. Needs the extra `web`.

    \b
    ganzoo studio
    ganzoo studio ./runs/first --runs runs/
    ganzoo studio --bench results/
    ganzoo studio --host 0.0.0.0 --password-file secret.txt
    """
    from ganzoo.cli.common import loaded_registry, show_messages

    secret = _password(password, password_file)
    for option, folder in (("--runs", runs), ("--bench", bench)):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{option} {folder}: there is no such folder.")
    found = loaded_registry()
    show_messages()
    from ganzoo.engine.device import set_threads
    from ganzoo.studio import server
    from ganzoo.studio.shelf import Shelf
    from ganzoo.studio.web.page import web_application

    server.check_packages()
    set_threads(threads)
    address = server.Address(host, port, secret)
    with server.own_folder() as folder, server.open_socket(address) as listening:
        shelf = Shelf(models, found)
        shown = server.Studio(shelf, folder, found, runs, bench)
        application = web_application(shown)
        caught = server.serve(application, folder, address, listening, lambda url: _ready(url, not no_browser))
    if caught:
        server.end(128 + caught, shelf)
        raise click.exceptions.Exit(128 + caught)


def _ready(url: str, open_browser: bool) -> None:
    """Prints the address, and opens it in a browser if there is one."""
    click.echo(f"{url} is ready (Ctrl-C stops it)")
    if open_browser:
        import webbrowser

        webbrowser.open(url)


def _password(text: str | None, file: Path | None) -> str | None:
    """Returns the password of an option or of the first line of a file; UsageError for an empty one."""
    if text is not None and file is not None:
        raise UsageError("Give --password or --password-file, not both.")
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, ValueError) as error:
            from ganzoo.files.text import reason

            raise UsageError(f"--password-file {file} cannot be read: {reason(error)}.") from None
    if text is not None and not text.strip():
        raise UsageError("The password is empty.")
    return text

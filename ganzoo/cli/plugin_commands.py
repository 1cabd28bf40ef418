"""Commands that plugins add to `ganzoo`: found by name, imported when they are used, and shown with their provider."""

from __future__ import annotations

from collections.abc import Collection

import click

from ganzoo.errors import GanzooError, PluginError
from ganzoo.files.text import one_line, quoted


def plugin_commands(own: Collection[str]) -> dict[str, tuple[str, str]]:
    """Returns summary and provider of each command of a plugin by name; none shadows one of the `own` commands.

    Built-in plugins have none, so that without others nothing is loaded.
    """
    from ganzoo.registry.discovery import installed
    from ganzoo.registry.plugin_guard import add_note
    from ganzoo.registry.registry import registry

    if all(plugin.builtin for plugin in installed()):
        return {}
    found = {}
    for name in registry().names("commands"):
        claim = registry().claim("commands", name)
        if name in own:
            add_note(claim.plugin, f"registers the command '{name}', which is ganzoo's own and stays")
        else:
            summary = one_line((getattr(claim.value, "__doc__", "") or "").partition("\n\n")[0])
            found[name] = summary, f"{claim.plugin.distribution} {claim.plugin.version}"
    return found


def load_command(name: str) -> click.Command:
    """Makes the command of a plugin; PluginError that names the plugin if that fails."""
    from ganzoo.registry.registry import registry

    claim = registry().claim("commands", name)
    try:
        command = claim.value()
    except GanzooError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {one_line(error)}"
        raise PluginError(f"The command '{name}' of plugin {claim.plugin.name} cannot be loaded: {text}") from error
    if not isinstance(command, click.Command):
        raise PluginError(
            f"The command '{name}' of plugin {claim.plugin.name} is {quoted(command)}; its factory must return a "
            "click.Command."
        )
    return command

"""Names on the command line that complete with <TAB>."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


class VariantName(click.ParamType):
    """The name of a registered variant; whether it exists is for the command to say."""

    name = "variant"

    def shell_complete(self, context, parameter, incomplete):
        """Variants that start with what is typed, with their summaries."""
        from ganzoo.registry.registry import registry

        return [CompletionItem(v.name, help=v.summary) for v in registry().variants() if v.name.startswith(incomplete)]


class DataName(click.ParamType):
    """A data set: a registered name, or a path."""

    name = "data"

    def shell_complete(self, context, parameter, incomplete):
        """Registered data sets that start with what is typed, or files."""
        from ganzoo.registry.registry import registry

        names = [CompletionItem(name) for name in registry().names("datasets") if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class MixinName(click.ParamType):
    """The name of a registered regularizer or augmentation."""

    name = "mix-in"

    def shell_complete(self, context, parameter, incomplete):
        """Mix-ins that start with what is typed."""
        from ganzoo.registry.registry import registry

        names = [name for kind in ("regularizers", "augmentations") for name in registry().names(kind)]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

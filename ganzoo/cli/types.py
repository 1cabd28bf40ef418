"""Types of command-line arguments with <TAB> completion."""

from __future__ import annotations

import math
from typing import Any

import click
from click.shell_completion import CompletionItem


class FiniteRange(click.FloatRange):
    """A number in a range, which neither nan nor infinity is: every comparison with nan is false."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Returns the number; click's own error for one that is out of range or not finite."""
        found = super().convert(value, parameter, context)
        if not math.isfinite(found):
            self.fail(f"{value} is no finite number.", parameter, context)
        return found


class VariantName(click.ParamType):
    """The name of a variant; the command itself checks that it exists."""

    name = "variant"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completes names of variants, with their summaries."""
        from ganzoo.registry.registry import registry

        return [CompletionItem(v.name, help=v.summary) for v in registry().variants() if v.name.startswith(incomplete)]


class DataName(click.ParamType):
    """A registered data set, or a path."""

    name = "data"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completes names of registered data sets, or else files."""
        from ganzoo.registry.registry import registry

        names = [CompletionItem(name) for name in registry().names("datasets") if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class ImageSize(click.ParamType):
    """A number of pixels, or HEIGHTxWIDTH."""

    name = "pixels"

    def convert(
        self, value: object, parameter: click.Parameter | None, context: click.Context | None
    ) -> int | tuple[int, int]:
        """Returns one number for squares, else (height, width)."""
        sides = [int(side) for side in str(value).lower().split("x") if side.isascii() and side.isdigit()]
        if len(sides) != 1 + str(value).lower().count("x") or len(sides) > 2 or min(sides) < 1:
            self.fail(f"{value!r} is no size: write 64, or HEIGHTxWIDTH as 64x128.", parameter, context)
        return sides[0] if len(set(sides)) == 1 else (sides[0], sides[1])


class TruncationAmount(click.ParamType):
    """A number above 0, or NUMBER:LAYERS."""

    name = "number"

    def convert(
        self, value: object, parameter: click.Parameter | None, context: click.Context | None
    ) -> float | tuple[float, int]:
        """Returns the number, or (number, layers)."""
        if isinstance(value, float | tuple):
            return value
        amount, colon, layers = str(value).partition(":")
        try:
            found = float(amount), int(layers) if colon else 1
        except ValueError:
            found = 0.0, 0
        if not 0 < found[0] < float("inf") or found[1] < 1:
            self.fail(f"{value!r} is no truncation: write a number above 0 as 0.7, or 0.7:8.", parameter, context)
        return found if colon else found[0]


class SourceName(click.ParamType):
    """A registered condition or data set, or a path."""

    name = "source"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completes names of registered conditions and data sets, or else files."""
        from ganzoo.registry.registry import registry

        known = [name for kind in ("conditions", "datasets") for name in registry().names(kind)]
        names = [CompletionItem(name) for name in known if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class MixinName(click.ParamType):
    """The name of a registered regularizer or augmentation."""

    name = "mix-in"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completes names of mix-ins."""
        from ganzoo.registry.registry import registry

        names = [name for kind in ("regularizers", "augmentations") for name in registry().names(kind)]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class TrackerName(click.ParamType):
    """The name of a registered tracker."""

    name = "tracker"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completes names of trackers."""
        from ganzoo.registry.registry import registry

        return [CompletionItem(name) for name in registry().names("trackers") if name.startswith(incomplete)]

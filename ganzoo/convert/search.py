"""Finds the variant and the layout whose network has a file's tensors, by names and shapes alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ganzoo.convert import bundles, pickle_process
from ganzoo.convert.assets import KINDS
from ganzoo.convert.bundles import Shapes, views
from ganzoo.convert.own_networks import OwnNetworks, Role
from ganzoo.convert.recognize import InputFiles
from ganzoo.convert.request import Request
from ganzoo.errors import CheckpointError, GanzooError, UsageError, did_you_mean
from ganzoo.files.text import quoted
from ganzoo.layouts import Layout, Match
from ganzoo.registry.registry import Registry
from ganzoo.variant import Variant

log = logging.getLogger(__name__)

OWN = "ganzoo"
ROWS = 60
LISTED = 8


@dataclass(frozen=True)
class Fit:
    """A layout that accounts for every tensor, the variants whose networks it fills, and the names in the file.

    `names` maps those of the layout, which lack the prefixes of wrappers, to those of the file.
    """

    layout: str
    variants: tuple[str, ...]
    match: Match
    names: Mapping[str, str]


@dataclass
class Search:
    """Looks for the networks of one request among those of a variant, or of all variants if it names none."""

    request: Request
    registry: Registry
    variant: Variant | None
    layouts: dict[str, Layout] = field(init=False)
    own: OwnNetworks = field(init=False)

    def __post_init__(self) -> None:
        """UsageError for an unknown layout, or one of other variants."""
        names, asked = self.registry.names("layouts"), self.request.layout
        if asked not in (*names, OWN, "auto"):
            raise UsageError(f"No layout is called {quoted(asked)}.{did_you_mean(asked, [*names, OWN, 'auto'])}")
        self.layouts = {name: self.registry.get("layouts", name)() for name in names}
        self.own = OwnNetworks(self.request, self.registry)
        if self.variant and asked in self.layouts and not self._is_of(self.layouts[asked], self.variant):
            known = ", ".join(self.layouts[asked].variants)
            raise UsageError(f"The layout '{asked}' is of {known}, not of {self.variant.name}.")

    def only(self, role: Role, file: InputFiles, shapes: Shapes) -> Fit:
        """Returns the one layout that accounts for every tensor; our own names only if no other does.

        UsageError if several do, or if the file holds several networks or one of the other role; CheckpointError, after
        a table of our names beside those of the file is logged, if none does.
        """
        fits, others, refused = self._fits(role, shapes, self.variant)
        if len({fit.layout for fit in fits}) > 1:
            choice = " or --layout ".join(fit.layout for fit in fits)
            raise UsageError(f"{file.label} fits several layouts: choose with --layout {choice}.")
        if fits:
            return fits[0]
        for other in others:
            is_discriminator = other.role == "discriminator"
            advice = "--discriminator FILE takes it, beside its generator" if is_discriminator else "give it as FILE"
            raise UsageError(f"{file.label} holds a {other.role}, not a {role}: {advice}.")
        if command := self.command_for(role, {".": shapes}):
            held = bundles.listed(shapes)
            raise UsageError(f"{file.label} holds several networks{f': {held}' if held else ''}.{command}")
        if refused:
            raise CheckpointError(f"{file.label}: {refused[0]}")
        raise self._nothing(role, file, shapes)

    def variant_of(self, file: InputFiles, shapes: Shapes) -> str:
        """Returns the one variant whose generator a file holds, and logs it; errors as of `only`."""
        fits = self._fits("generator", shapes, None)[0]
        found = {name: fit for fit in fits for name in self._chosen(fit)}
        if not found:
            self.only("generator", file, shapes)  # says why
        if len(found) > 1:
            listed = ", ".join(f"{name} (layout {fit.layout})" for name, fit in list(found.items())[:LISTED])
            more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
            first = self.request.command(variant=next(iter(found)))
            raise UsageError(f"{file.label} fits several variants: {listed}{more}. Choose with --variant: {first}")
        (name, fit), *_ = found.items()
        generators = {card.name: card.generator for card in self.registry.variants()}
        others = [other for other in fit.variants if other != name]
        also = [other for other in others if generators.get(other) in (None, generators[name])]
        has = "has" if len(also) == 1 else "have"
        shared = f", whose generator {' and '.join(also)} {has} too" if also else ""
        presets = [other for other in others if other not in also]
        nearest = f", the nearest of the presets {', '.join([name, *presets])}" if presets else ""
        log.info(f"{file.label}: the generator of {name}{shared}{nearest}")
        return name

    def _chosen(self, fit: Fit) -> list[str]:
        """Returns the variants of a fit between which the file does not decide; the first of those with one generator.

        Weights of CUT and FastCUT are of the same network: any of the names is right.
        """
        cards = [card for card in self.registry.variants() if card.name in fit.variants]
        cards.sort(key=lambda card: fit.variants.index(card.name))
        output = fit.match.image.output
        if output.kind == "image" and output.shape[1] == output.shape[2]:
            cards = [card for card in cards if output.shape[1] in card.sizes] or cards
        same = all(
            card.generator == cards[0].generator and card.inputs.keys() == cards[0].inputs.keys() for card in cards
        )
        takes = cards[:1] if cards and same and cards[0].generator.name == fit.match.part.name else cards
        if not same and all(card.generator.name == fit.match.part.name for card in cards):
            takes = [self._nearest_card(cards, fit)]
        return [card.name for card in takes]

    def _nearest_card(self, cards: list[Variant], fit: Fit) -> Variant:
        """Returns the variant whose own generator shares most tensors with the file, of variants of one network.

        They differ in its options alone, which config.json has: presets of sizes. Of equals, the one made for the size.
        """

        def likeness(card: Variant) -> tuple[int, bool]:
            try:
                ours = self.own.shapes_of(Match(card.generator, fit.match.image))
            except GanzooError:  # not for these images
                return 0, False
            return len(ours.items() & wanted.items()), fit.match.image.size in card.size_rule.own

        wanted = self.own.shapes_of(Match(fit.match.part, fit.match.image))
        return max(cards, key=likeness)

    def _fits(self, role: Role, shapes: Shapes, variant: Variant | None) -> tuple[list[Fit], list[Match], list[str]]:
        """Returns the fits for the role, behind wrappers too; else those for the other role, and what layouts refuse.

        A refusal is the error of a layout that knows the file and has no network for it.
        """
        others: list[Match] = []
        refused: dict[str, None] = {}
        for names in views(shapes):
            inside = {short: shapes[full] for short, full in names.items()}
            fits = []
            for name, layout in self._tried(variant):
                try:
                    match = layout.recognize(inside)
                except GanzooError as error:
                    refused[str(error)] = None
                    continue
                if match is not None and match.role == role:
                    fits.append(Fit(name, layout.variants or self._all(), match, names))
                elif match is not None:
                    others.append(match)
            if not fits and self.request.layout in (OWN, "auto"):
                fits = [Fit(OWN, (card.name,), match, names) for card, match in self._own(role, inside, variant)]
            if fits:
                return fits, [], []
        return [], others, list(refused)

    def _tried(self, variant: Variant | None) -> Iterator[tuple[str, Layout]]:
        """Yields the layouts that the request admits for a variant."""
        for name, layout in self.layouts.items():
            if self.request.layout in ("auto", name) and (variant is None or self._is_of(layout, variant)):
                yield name, layout

    def _own(self, role: Role, shapes: Shapes, variant: Variant | None) -> Iterator[tuple[Variant, Match]]:
        """Yields the variants that have these tensors under our own names, each with the first such network."""
        if variant is not None:
            yield from ((variant, match) for ours, match in self.own.guesses(variant, role) if ours == shapes)
            return
        for card in self.registry.variants():
            try:
                if self.own.may_fit(card, role, shapes):
                    match = next((match for ours, match in self.own.guesses(card, role) if ours == shapes), None)
                    if match is not None:
                        yield card, match
            except Exception:  # without this role, or of a plugin that fails: the file may be of another
                continue

    def _all(self) -> tuple[str, ...]:
        return tuple(card.name for card in self.registry.variants())

    @staticmethod
    def _is_of(layout: Layout, variant: Variant) -> bool:
        return not layout.variants or variant.name in layout.variants

    def command_for(self, role: Role, dictionaries: Mapping[str, Shapes]) -> str:
        """Returns a sentence with the command that takes the network of this role from several; empty if none fits."""
        fitting: dict[str, Fit] = {}
        for path, shapes in dictionaries.items():
            shapes = pickle_process.without_prefix(dict(shapes))
            if path != "." and (whole := self._fits(role, shapes, self.variant)[0]):
                fitting[path] = whole[0]
                continue
            start = "" if path == "." or len(dictionaries) == 1 else f"{path}."
            for prefix, part in bundles.networks(shapes).items():
                if fits := self._fits(role, part, self.variant)[0]:
                    fitting[f"{start}{prefix}"] = fits[0]
        # A network that fits behind a wrapper fits inside of it too: the outermost key is the one to give.
        keys = [key for key in fitting if not any(key.startswith(f"{other}.") for other in fitting)]
        if not keys:
            return ""
        best, *rest = bundles.by_average(keys)
        also = f" ({', '.join(map(quoted, rest[:5]))} would fit too)" if rest else ""
        name = self.variant.name if self.variant else (self._chosen(fitting[best]) or [""])[0]
        return f" {quoted(best)} fits the {role} of {name}{also}: {self._command(role, best, name)}"

    def _command(self, role: str, key: str | None, variant: str) -> str:
        return self.request.command(role, key, None if self.variant and variant == self.variant.name else variant)

    def _elsewhere(self, role: Role, shapes: Shapes) -> str:
        """Says which other variants the file fits, with the command for the first; empty if none."""
        key: str | None = None
        fits = self._fits(role, shapes, None)[0]
        inside = {name: part for name, part in bundles.networks(shapes).items() if "." not in name}
        if not fits and len(inside) > 1:
            fitting = {name: found for name, part in inside.items() if (found := self._fits(role, part, None)[0])}
            if fitting:
                key = bundles.by_average(list(fitting))[0]
                fits = fitting[key]
        if not fits:
            return ""
        names = [name for fit in fits for name in fit.variants]
        listed = " or ".join(quoted(name)[1:-1] for name in names[:LISTED])
        part = f"Its {quoted(key)}" if key else "It"
        return f"{part} fits {listed} (layout {fits[0].layout}): {self._command(role, key, names[0])}"

    def _nothing(self, role: Role, file: InputFiles, shapes: Shapes) -> GanzooError:
        """Returns the error of a file that fits nothing, after logging the table."""
        own = [OWN] if self.request.layout in (OWN, "auto") else []
        tried = [*(name for name, _ in self._tried(self.variant)), *own]
        known = (
            f"of {self.variant.name} ({', '.join(tried)})" if self.variant else f"of any variant ({len(tried)} tried)"
        )
        head = f"{file.label} fits no layout {known}"
        if self.request.layout == "auto" and self.variant and (elsewhere := self._elsewhere(role, shapes)):
            return CheckpointError(f"{head}. {elsewhere}")
        nearest = self._nearest(role, shapes)
        held = bundles.listed(shapes)
        advice = f" Its names start with {held}: if these are networks, --key chooses one." if held else ""
        if nearest is None:
            first = ", ".join(quoted(name) for name in list(shapes)[:3])
            table = "With --variant, a table shows the variant's names beside the file's."
            return CheckpointError(f"{head}: none has such names ({first}, ...).{advice}{_as_asset(file)} {table}")
        log_table(nearest, shapes)
        return CheckpointError(f"{head}: the table above has our names beside the file's.{advice}")

    def _nearest(self, role: Role, shapes: Shapes) -> Shapes | None:
        """Returns the network that shares most tensors with the file; None if those of all variants share none."""
        if self.variant is not None:
            networks = [ours for ours, _ in self.own.guesses(self.variant, role)]
            return max(networks, key=lambda ours: len(ours.items() & shapes.items()))
        networks = [ours for ours in self.own.built.values() if not isinstance(ours, GanzooError)]
        best = max(networks, key=lambda ours: len(ours.items() & shapes.items()), default={})
        return best if best.items() & shapes.items() else None


def _as_asset(file: InputFiles) -> str:
    """Says that a file has the name of one that losses and metrics are made of; empty if it has not."""
    name = file.paths[0].name
    kind = next((kind for kind, asset in KINDS.items() if name in {one.name for one in asset.files}), None)
    return f" If it is the published network of that name: --asset {kind}." if kind else ""


def log_table(ours: Shapes, theirs: Shapes) -> None:
    """Logs our names and shapes beside those of the file: equal names in one row, the others in their order."""
    unknown = iter([name for name in theirs if name not in ours])
    pairs = [(name, name if name in theirs else next(unknown, None)) for name in ours] + [
        (None, name) for name in unknown
    ]
    rows = [(_cell(left, ours), _cell(right, theirs)) for left, right in pairs]
    width = max(len(left) for left, _ in rows[:ROWS])
    log.info(f"{'ours':{width}}   in the file")
    for left, right in rows[:ROWS]:
        log.info(f"{left:{width}} {' ' if left == right else '≠'} {right}")
    if len(rows) > ROWS:
        log.info(f"... and {len(rows) - ROWS} more")


def _cell(name: str | None, shapes: Shapes) -> str:
    return "-" if name is None else f"{quoted(name)[1:-1]} {'×'.join(map(str, shapes[name])) or 'one number'}"

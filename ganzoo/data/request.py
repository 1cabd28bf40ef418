"""`load_data`: everything that a training learns from, of one request: outputs, their sources, and conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ganzoo.data import store
from ganzoo.data.archives import TAR_SUFFIXES, FileSet, folder_files, list_files, tar_files, zip_files
from ganzoo.data.conditions import Condition
from ganzoo.data.decode import Size, rectangle
from ganzoo.data.load import build, cache_folder, check_request, find_images, load_found, memory_limit, read_kept
from ganzoo.data.pairing import local_side, pair_up, side_by_side, two_domains
from ganzoo.data.prepare import Target, checked
from ganzoo.data.resolve import existing_path, reading_of
from ganzoo.data.sources import ArraySource, Data, EncodedSource, HubSource, ImageData, PairedSource
from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.text import one_line, quoted
from ganzoo.registry.registry import Registry
from ganzoo.variant import Part

Direction = Literal["AtoB", "BtoA"]


@dataclass(frozen=True)
class ConditionPart:
    """A condition to build: its registered name, its factory and its options."""

    name: str
    factory: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """The data of a training as it is requested.

    Attributes:
        output: the source of the outputs, as `load_images` takes it; with `side_by_side`, pictures that hold both
            sides; if sources are needed and `source` is None, a folder or archive with trainA and trainB.
        inputs: what gives each input besides the label: a condition, or None for one that comes with the data.
        source: the source of the other side.
        direction: "AtoB" if A is the source of the output B.
        independent: whether sources and outputs are sets of their own instead of pairs.
        size: of samples, in pixels: of squares, or (height, width).
        source_size: of the sources, if it is another one, which divides that of the outputs.
        channels: of the outputs; None as they are stored.
        source_channels: of the sources; None as they are stored.
        load_ratio: how many times as large as samples images are kept, to be cropped at random; None for no crops.
        datasets: registered data sets by name, `root` the folder with their files.
    """

    output: str
    size: Size
    inputs: Mapping[str, ConditionPart | None] = field(default_factory=dict)
    source: str | None = None
    side_by_side: bool = False
    direction: Direction = "AtoB"
    independent: bool = False
    source_size: Size | None = None
    channels: int | None = None
    source_channels: int | None = None
    load_ratio: float | None = None
    datasets: Mapping[str, Callable] = field(default_factory=dict)
    root: Path | None = None
    on_bad_image: str = "error"

    @property
    def stored_input(self) -> str | None:
        """The name of the input that comes with the data, or None; UsageError for several."""
        names = [name for name, part in self.inputs.items() if part is None]
        if len(names) > 1:
            raise UsageError(f"One input can come with the data, not {len(names)} ({', '.join(names)}).")
        return names[0] if names else None


def request_of(
    output: str,
    size: Size,
    inputs: Mapping[str, Part | None],
    registry: Registry,
    *,
    source: str | None = None,
    side_by_side: bool | None = None,
    direction: Direction | None = None,
    root: Path | None = None,
    **facts: Any,
) -> DataRequest:
    """Returns the request of data for the inputs of a variant or model, its conditions and data sets looked up.

    None stands for the default; a source is left out where conditions compute all inputs. `facts` are further fields of
    `DataRequest`. Without a load ratio these are the data as evaluation sees them: nothing is cropped.
    """
    conditions = {
        name: None if part is None else ConditionPart(part.name, registry.get("conditions", part.name), part.options)
        for name, part in inputs.items()
    }
    return DataRequest(
        output=output,
        size=size,
        inputs=conditions,
        source=None if all(conditions.values()) else source,
        side_by_side=bool(side_by_side),
        direction=direction or "AtoB",
        datasets=registry.table("datasets"),
        root=root,
        **facts,
    )


Check = Callable[[ArraySource | EncodedSource | PairedSource, Literal["output", "source"]], object]


def load_data(
    request: DataRequest, *, check: Check | None = None, cache: Path | None = None, limit_memory: int | None = None
) -> Data:
    """Prepares the data of a request, or reads what was prepared before.

    `check` is called with each source and "output" or "source" before its pictures are decoded, with pairs as
    "output"; `cache` and `limit_memory` are as for `load_images`. Pairs are one data set: if a picture is bad, its
    partner is left out too. Raises UsageError and DataError of one line, and then nothing is written.
    """
    loading = _Loading(request, check, {"cache": cache, "limit_memory": limit_memory})
    name = request.stored_input
    if name is None:
        if request.side_by_side or request.source is not None:
            raise UsageError("No input comes with the data: leave out its other side.")
        data = Data(loading.images(loading.find(request.output), loading.size, loading.channels))
    elif not request.independent:
        data = Data(loading.pairs(), source_name=name)
    elif request.side_by_side:
        data = Data(*_apart(loading.pairs()), source_name=name)
    else:
        source, output = loading.sides()
        sources = loading.images(source, loading.source_size, request.source_channels, "source")
        data = Data(loading.images(output, loading.size, loading.channels), sources, source_name=name)
    return replace(
        data,
        conditions={own: _built(part, data) for own, part in request.inputs.items() if part},
        condition_names={own: part.name for own, part in request.inputs.items() if part},
    )


def _built(part: ConditionPart, data: Data) -> Condition:
    try:
        condition = part.factory(data.stored, **part.options)
    except GanzooError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"The condition {quoted(part.name)} cannot be used here: {one_line(error)}.") from None
    return condition


class _Loading:
    """Finds and prepares the sets of a request."""

    def __init__(self, request: DataRequest, check: Check | None, options: dict[str, Any]) -> None:
        self.request, self.check, self.options = request, check, options
        self.channels = _output_channels(request)
        check_request(request.size, self.channels, request.on_bad_image)
        check_request(request.source_size or request.size, request.source_channels, request.on_bad_image)
        self.size = rectangle(request.size)
        self.source_size = rectangle(request.source_size or request.size)
        self.scale = self.size[0] // self.source_size[0]
        if tuple(self.scale * side for side in self.source_size) != self.size:
            raise UsageError(
                f"Sources of {_named(self.source_size)} pixels do not fit outputs of {_named(self.size)}: the size of"
                " the outputs must be a whole multiple."
            )

    def find(self, text: str) -> ArraySource | EncodedSource | HubSource:
        return find_images(text, self.request.datasets, self.request.root)

    def larger(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """The size at which images of this size are kept, of which each is a random crop."""
        ratio = self.request.load_ratio
        if ratio is None:
            return None
        scale = size[0] // self.source_size[0]
        high, wide = (max(side, round(side * ratio)) * scale for side in self.source_size)
        return high, wide

    def images(
        self,
        found: ArraySource | EncodedSource | HubSource,
        size: tuple[int, int],
        channels: int | None,
        side: Literal["output", "source"] = "output",
    ) -> ImageData:
        """Prepares one set of images."""
        check = self.check
        return load_found(
            found,
            size=size,
            larger=self.larger(size),
            channels=channels,
            on_bad_image=self.request.on_bad_image,
            check=None if check is None else lambda source: check(source, side),
            **self.options,
        )

    def sides(self) -> tuple[ArraySource | EncodedSource | HubSource, ArraySource | EncodedSource | HubSource]:
        """The source and the output as sets of their own."""
        request = self.request
        if request.source is not None:
            return self.find(request.source), self.find(request.output)
        first, second = domains_of(request.output)
        return (first, second) if request.direction == "AtoB" else (second, first)

    def _side_by_side(self) -> PairedSource:
        found = local_side(self.find(self.request.output), "--pairs")
        return side_by_side(checked(found), self.size, self.request.direction == "BtoA")

    def pairs(self) -> ImageData:
        """Prepares the pairs as one set: the output's images with the field "source"."""
        request, skip = self.request, self.request.on_bad_image == "skip"
        if request.side_by_side:
            found = self._side_by_side()
        else:
            source, output = self.sides()
            local = checked(local_side(source, "--source")), checked(local_side(output, "--data"))
            found = pair_up(*local, None if request.source_size is None else self.scale, skip)
        if self.check is not None:
            self.check(found, "output")
        targets = self._targets(found)
        shapes = [[target.name, *target.shape] for target in targets]
        key = store.key_of(identity=found.identity, pairs=shapes, names=len(found.names))
        folder, limit = (
            cache_folder(self.options["cache"]) / "datasets" / key,
            memory_limit(self.options["limit_memory"]),
        )
        data = read_kept(folder, limit, skip)
        return build(found, folder, limit, targets, revision=None, skip=skip) if data is None else data

    def _targets(self, pairs: PairedSource) -> list[Target]:
        """The fields of pairs: both pictures, and their views where they are kept larger."""
        own, output = self.request.source_channels or pairs.channels[0], self.channels or pairs.channels[1]
        shapes = {"images": (1, self.size, output), "source": (0, self.source_size, own)}
        found = [
            Target(name, picture, self.larger(size) or size, channels, pairs.exact)
            for name, (picture, size, channels) in shapes.items()
        ]
        if self.request.load_ratio is not None:
            found += [Target(f"{name}.view", *shape, pairs.exact) for name, shape in shapes.items()]
        return found


def _apart(pairs: ImageData) -> tuple[ImageData, ImageData]:
    """The outputs and the sources of pairs as two sets."""
    views = {name: pairs.fields[name] for name in pairs.fields if name.endswith(".view")}
    own = {"images.view": views["source.view"]} if views else {}
    sources = replace(pairs, images=pairs.fields["source"], labels=None, classes=(), fields=own)
    return replace(pairs, fields={"images.view": views["images.view"]} if views else {}), sources


def _named(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _output_channels(request: DataRequest) -> int | None:
    """The channels of the stored outputs; UsageError if a condition needs others than were requested."""
    for part in request.inputs.values():
        needed = getattr(part.factory, "stored_channels", None) if part else None
        if part and needed is not None:
            if request.channels not in (None, needed):
                raise UsageError(
                    f"The condition {quoted(part.name)} needs images of {needed} channels, not {request.channels}:"
                    " leave out --channels."
                )
            return needed
    return request.channels


def domains_of(text: str) -> tuple[EncodedSource, EncodedSource]:
    """The sources A and B of a folder or archive that holds both, as two folders of a split."""
    path, split = existing_path(text)
    files = file_set(path)
    first, second = (
        replace(found, identity=f"{found.identity} {reading_of(found)}") for found in two_domains(files, split)
    )
    return first, second


def file_set(path: Path) -> FileSet:
    """The files of a folder, zip or tar; UsageError for anything else."""
    if path.is_dir():
        return folder_files(path, list_files(path))
    if path.is_file() and path.name.lower().endswith(".zip"):
        return zip_files(path)
    if path.is_file() and path.name.lower().endswith(TAR_SUFFIXES):
        return tar_files(path)
    raise UsageError(f"{quoted(path)} is no folder, zip or tar with both sides: give the other side with --source.")

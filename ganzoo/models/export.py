"""Exports a generator to a file that runs without ganzoo: ONNX, TorchScript, or a torch.export archive.

ganzoo only writes these files. TorchScript and torch.export archives are programs, so no command loads one; here each
is loaded once, from the memory it was made in, to compare its images.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.atomic import write_atomically
from ganzoo.files.text import one_line, quoted
from ganzoo.models.model import Model
from ganzoo.networks.inputs import accepted_inputs

SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt", "torch-export": ".pt2"}
TOLERANCE = 1e-4
TRACED_BATCH = 2  # torch.export takes sizes 0 and 1 for constants
COMPARED_BATCHES = (1, 3, 5)

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Exported:
    """A file that was written: its format, its fixed batch size or None, and the largest difference of its images."""

    path: Path
    format: str
    batch_size: int | None
    difference: float


def export(model: Model, path: str | Path, format: str, *, batch_size: int | None = None) -> Exported:
    """Writes the generator in float32 as a graph (latent[, label][, source]) -> images (N, C, H, W) in [-1, 1].

    A generator without a latent has no such input; a source has the size that the generator was trained for. `format`
    is "onnx", "torchscript" or "torch-export". N is free, or `batch_size` if that is given. UsageError for a request
    that cannot be met; GanzooError, and no file, if the generator cannot be exported or an image differs from the
    generator's by more than 1e-4.
    """
    path = Path(path)
    check_request(path, format, batch_size)
    batches = COMPARED_BATCHES if batch_size is None else (batch_size,)
    try:
        with _quiet(), torch.no_grad():
            graph = _Graph(deepcopy(model.generator).cpu().float(), input_names(model))
            data = WRITERS[format](graph, _inputs(model, batch_size or TRACED_BATCH), batch_size is None)
            difference = _difference(graph, READERS[format](data), [_inputs(model, n) for n in batches])
    except Exception as error:  # torch's exporters raise whatever a module's code makes them
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise GanzooError(f"This {model.variant} generator cannot be exported as {format}: {reason}") from error
    if not difference <= TOLERANCE:
        raise GanzooError(
            f"{path} was not written: as {format} images differ from the generator's by {difference:.1e}, "
            f"more than {TOLERANCE:g}."
        )
    write_atomically(path, data)
    return Exported(path, format, batch_size, difference)


def check_request(path: Path, format: str, batch_size: int | None = None) -> None:
    """UsageError unless the format is known and installed, the suffix fits, and the format has batches of that size."""
    if format not in SUFFIXES:
        raise UsageError(f"No format is called {quoted(format)}; known: {', '.join(SUFFIXES)}.")
    if path.suffix.lower() != SUFFIXES[format]:
        raise UsageError(f"{path}: a file in the format {format} is called *{SUFFIXES[format]}.")
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"A batch has at least one image, got {batch_size}.")
    if batch_size is not None and format == "torchscript":
        raise UsageError("A TorchScript file takes batches of any size: leave the batch size out.")
    if format == "onnx":
        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"Writing ONNX needs {error.name}: "
                'run pip install -c constraints.txt -e ".[onnx]" in the checkout of ganzoo.'
            ) from None


class _Graph(nn.Module):
    """Wraps the generator in a graph with the inputs of these names, in this order."""

    def __init__(self, generator: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.generator, self.names = generator, names
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        given = dict(zip(self.names, inputs, strict=True))
        latent = given.pop("latent") if "latent" in given else inputs[0].flatten(1)[:, :0]
        label = given.pop("label", None)
        return self.generator(latent, label, **given)


def input_names(model: Model) -> tuple[str, ...]:
    """Returns the inputs of an exported graph: latent, label and sources, those that the generator takes."""
    latent = ("latent",) if model.generator.latent_dim else ()
    label = ("label",) if model.image.classes else ()
    return latent + label + accepted_inputs(model.generator, model.image.sources)


def _inputs(model: Model, n: int) -> Inputs:
    random = torch.Generator().manual_seed(n)
    given = {"latent": model.latent(n).cpu().float(), "label": model.labels(n)}
    for name, one in model.image.sources.items():
        given[name] = torch.rand(n, *one.shape, generator=random) * 2 - 1
    return tuple(cast(Tensor, given[name]) for name in input_names(model))


def _difference(graph: nn.Module, exported: Callable[..., Tensor], batches: list[Inputs]) -> float:
    """Returns the largest difference of any pixel, infinity if the shapes differ."""
    found = []
    for inputs in batches:
        expected, got = graph(*inputs), exported(*inputs)
        found.append((expected - got).abs().max() if got.shape == expected.shape else torch.tensor(torch.inf))
    return float(torch.stack(found).max())


def _batch_dimensions(inputs: Inputs, dynamic: bool) -> dict | None:
    if not dynamic:
        return None
    batch = torch.export.Dim("batch")
    return {"inputs": tuple({0: batch} for _ in inputs)}


def _write_program(graph: _Graph, inputs: Inputs, dynamic: bool) -> bytes:
    program = torch.export.export(graph, inputs, dynamic_shapes=_batch_dimensions(inputs, dynamic), strict=False)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _read_program(data: bytes) -> Callable[..., Tensor]:
    return torch.export.load(io.BytesIO(data)).module()


def _write_script(graph: _Graph, inputs: Inputs, dynamic: bool) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(graph, inputs, check_trace=False), buffer)  # compared below, on other batch sizes
    return buffer.getvalue()


def _read_script(data: bytes) -> Callable[..., Tensor]:
    return torch.jit.load(io.BytesIO(data))


def _write_onnx(graph: _Graph, inputs: Inputs, dynamic: bool) -> bytes:
    names = list(graph.names)
    shapes = _batch_dimensions(inputs, dynamic)
    program = torch.onnx.export(
        graph, inputs, dynamo=True, verbose=False, input_names=names, output_names=["images"], dynamic_shapes=shapes
    )
    assert program is not None  # with dynamo=True
    return program.model_proto.SerializeToString()


def _read_onnx(data: bytes) -> Callable[..., Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        (images,) = session.run(["images"], {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
        return torch.from_numpy(images)

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the warnings of the exporters, which are about their own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


WRITERS = {"onnx": _write_onnx, "torchscript": _write_script, "torch-export": _write_program}
READERS = {"onnx": _read_onnx, "torchscript": _read_script, "torch-export": _read_program}

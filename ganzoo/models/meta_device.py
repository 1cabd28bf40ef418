"""Builds the generator of a config.json on the meta device: without memory, however large it would be."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ganzoo import __version__
from ganzoo.config.parts import option_mistakes
from ganzoo.config.recipe import bind_part
from ganzoo.config.schema import LARGEST_OPTION
from ganzoo.engine.build import build_part
from ganzoo.engine.randomness import seeded
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo.files.text import quoted
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.networks import Generator
from ganzoo.registry.in_process import in_words, missing_here
from ganzoo.registry.registry import Registry
from ganzoo.variant import SampleSpec

log = logging.getLogger(__name__)

CALLS = 5000
CALLS_PER_TENSOR = 100


# Without memory these do nothing, but their first call imports torch's compiler, which takes a second.
RANDOM: dict[Any, Callable[..., Tensor]] = {
    torch.randn: torch.empty,
    torch.rand: torch.empty,
    torch.randn_like: torch.empty_like,
    torch.rand_like: torch.empty_like,
}


def _product(first: Tensor, other: Tensor | float) -> Tensor:
    shape = torch.broadcast_shapes(first.shape, other.shape if isinstance(other, Tensor) else ())
    return torch.empty(shape, dtype=torch.result_type(first, other))


def _quotient(first: Tensor, other: Tensor | float) -> Tensor:
    made = _product(first, other)
    return made if made.is_floating_point() else made.to(torch.get_default_dtype())


# Of tensors without memory, for the same reason.
SHAPES: dict[Any, Callable[..., Tensor]] = {
    torch.outer: lambda first, other: _product(first[:, None], other),
    torch.Tensor.mul: _product,
    torch.Tensor.div: _quotient,
    torch.Tensor.square: torch.empty_like,
    nn.functional.normalize: lambda tensor, *_, **__: torch.empty_like(tensor),
}
FILLING = {"normal_", "uniform_", "random_", "bernoulli_", "exponential_", "erfinv_"}


class _Limit(TorchFunctionMode):
    """Stops a constructor after `most` calls to torch: 20,000 layers take seconds even without memory.

    Calls that initialize tensors do nothing.
    """

    def __init__(self, most: float):
        super().__init__()
        self.left = most

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Any:
        self.left -= 1
        if self.left < 0:
            raise CheckpointError("its options ask for far more layers than its weights have.")
        options = dict(options or {})
        if function in RANDOM and options.get("device") is None:
            options.pop("generator", None)
            return RANDOM[function](*arguments, **options)
        filled = arguments[0] if arguments else options.get("tensor")
        is_meta = isinstance(filled, Tensor) and filled.is_meta
        if is_meta and function in SHAPES and not options.get("rounding_mode"):
            return SHAPES[function](*arguments, **options)
        initializes = (
            getattr(function, "__name__", "") in FILLING or getattr(function, "__module__", "") == nn.init.__name__
        )
        if initializes and is_meta:
            return filled
        return function(*arguments, **options)


@contextmanager
def without_numbers(most: float = math.inf) -> Iterator[None]:
    """Builds networks on the meta device, where initialization does nothing; CheckpointError after `most` calls."""
    with torch.device("meta"), _Limit(most):
        yield


def build_on_meta(config: ModelConfig, where: str, parts: Registry, tensors: int) -> Generator:
    """Builds the generator of `config` on the meta device; `tensors`, the number of its weights, bounds the work.

    CheckpointError `<where>: ...` if the generator or its variant is not installed, its options or image are refused,
    or it would be far larger than its weights.
    """
    _refuse_unprovided(config, where, parts)
    factory = parts.get("generators", config.generator.name)
    if mistakes := option_mistakes(factory, config.generator.options):
        raise CheckpointError(f"{where}: generator.{mistakes[0]}")
    try:
        with without_numbers(CALLS + CALLS_PER_TENSOR * tensors):
            generator = build_part(bind_part("generator", config.generator, parts), config.image)
    except GanzooError as error:
        raise CheckpointError(f"{where}: generator: {error}") from None
    if not isinstance(generator, Generator):
        raise CheckpointError(f"{where}: generator: '{config.generator.name}' builds no ganzoo.networks.Generator.")
    if config.image.classes and not _depends_on_classes(generator, config, parts, tensors):
        raise CheckpointError(
            f"{where}: image.classes: {config.image.classes}, but the generator '{config.generator.name}' "
            "takes no labels."
        )
    return generator


def _depends_on_classes(generator: Generator, config: ModelConfig, parts: Registry, tensors: int) -> bool:
    """True unless the weights would be the same without labels: then nothing bounds the number of classes."""
    unlabelled = SampleSpec(config.image.output, config.image.sources)
    try:
        with without_numbers(CALLS + CALLS_PER_TENSOR * tensors):
            other = build_part(bind_part("generator", config.generator, parts), unlabelled)
    except GanzooError:  # it needs labels
        return True
    shapes = [
        {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} for network in (generator, other)
    ]
    return shapes[0] != shapes[1]


def _refuse_unprovided(config: ModelConfig, where: str, parts: Registry) -> None:
    """CheckpointError, with the distribution to install, if variant or generator is missing; PluginError if broken."""
    for key, kind, name in (
        ("variant", "variants", config.variant),
        ("generator", "generators", config.generator.name),
    ):
        try:
            parts.claim(kind, name)
        except UsageError:
            raise CheckpointError(
                f"{where}: {key}: No {key} is called {quoted(name)} here. {_origin_of(config, f'{kind}.{name}')}"
            ) from None


def _origin_of(config: ModelConfig, part: str) -> str:
    """Says where a part came from that is missing; `part` is its kind and name, as "generators.mine"."""
    if part in in_process_of(config):
        return (
            "It was registered in the Python process that made the model, and is in no plugin: register it here first."
        )
    return _provided_by(config.provider)


def in_process_of(config: ModelConfig) -> Mapping[str, Any]:
    """Returns what the process that trained the model registered for itself; see `RunConfig.in_process`."""
    found = config.training.get("in_process")
    return found if isinstance(found, Mapping) else {}


def warn_of_in_process(config: ModelConfig, where: Path, parts: Registry) -> None:
    """Logs one line if the model was trained with parts that no plugin has; sampling does not need them."""
    found = {key: value for key, value in in_process_of(config).items() if not str(key).startswith("datasets.")}
    if missing := missing_here(found, parts):
        log.warning(f"{where} was trained with {in_words(missing)}: it samples here, and its training cannot go on")


def _provided_by(provider: Provider) -> str:
    version = f" {quoted(provider.version)}" if provider.version else ""
    if provider.distribution == "ganzoo":
        return f"It came with ganzoo{version}, it says; this is {__version__}."
    if not provider.distribution:
        return "The file does not say which distribution provides it."
    return (
        f"The distribution '{provider.distribution}'{version} provides it: if you trust its authors, install that "
        "beside ganzoo."
    )


def unsaved_tensors(generator: nn.Module) -> Iterator[str]:
    """Yields the names of tensors that the generator does not save: on the meta device they have no values."""
    for name, buffer in generator.named_buffers():
        if buffer.is_meta:
            yield name
    for path, module in generator.named_modules():
        yield from (
            f"{path}.{name}".lstrip(".")
            for name, value in vars(module).items()
            if isinstance(value, Tensor) and value.is_meta
        )


def load_tensors(generator: Generator, tensors: dict[str, Tensor], config: ModelConfig, parts: Registry) -> Generator:
    """Assigns the tensors, which must fit, to the generator: nothing is initialized, nothing copied.

    A generator with tensors that it does not save is built again with memory, bounded by the size of its saved tensors.
    """
    generator.load_state_dict(tensors, assign=True)
    if next(unsaved_tensors(generator), None) is None:
        return generator
    with seeded(0):
        generator = build_part(bind_part("generator", config.generator, parts), config.image)
    generator.load_state_dict(tensors, assign=True)
    return generator


def check_latent_dim(config: ModelConfig, generator: Generator, where: str) -> None:
    """CheckpointError unless `latent_dim` of the configuration is that of the generator."""
    least = 0 if config.image.sources else 1
    if not (isinstance(generator.latent_dim, int) and least <= generator.latent_dim <= LARGEST_OPTION):
        raise CheckpointError(f"{where}: generator: its latents cannot have {quoted(generator.latent_dim)} numbers.")
    if config.latent_dim != generator.latent_dim:
        raise CheckpointError(
            f"{where}: latent_dim: {config.latent_dim}, but the generator takes {generator.latent_dim}."
        )

"""Sampling as fast as the processor allows: a private copy of the generator, channels last, batch norm folded into its neighbour."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import deepcopy

import torch
from torch import Tensor, nn

from ganzoo.engine.randomness import process_randomness
from ganzoo.errors import UsageError
from ganzoo.files.text import one_line

TOLERANCE = 1e-4  # of images in [-1, 1]: rounding, and nothing else
COMPARED = 2
PLAIN = (bool, int, float, str, bytes, type(None))
NORMS = {
    nn.Linear: nn.BatchNorm1d,
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.ConvTranspose2d: nn.BatchNorm2d,
}
INTERNAL = frozenset(vars(nn.Module()))

Forward = Callable[[Tensor, Tensor | None], Tensor]


class FastSampler:
    """Calls a generator through a copy of it that is made at the first call, and again whenever it is another or has changed.

    The generator itself is called wherever a copy could differ: if it trains, has hooks or cannot be copied, and if the
    first images of the copy are not its own. A change through `.data`, past every counter of torch, goes unnoticed.
    With `compile` the copy goes through torch.compile; UsageError if that fails here.
    """

    def __init__(self, *, compile: bool = False):
        self._compile = compile
        self._state: Hashable = None
        self._forward: Forward | None = None

    def __call__(self, generator: nn.Module, latent: Tensor, label: Tensor | None) -> Tensor:
        """Images of latents; to be called without gradients."""
        state = _state(generator)
        if state is None:
            return generator(latent, label)
        if state != self._state:
            self._forward = self._prepared(generator, latent[:COMPARED], None if label is None else label[:COMPARED])
            self._state = state
        return self._forward(latent, label)

    def _prepared(self, generator: nn.Module, latent: Tensor, label: Tensor | None) -> Forward:
        _images(generator, latent, label)  # raises the generator's own errors as they are
        fast = _faster(generator, latent, label)
        return _compiled(fast, latent, label) if self._compile else fast


def _faster(generator: nn.Module, latent: Tensor, label: Tensor | None) -> nn.Module:
    """A faster copy that draws the same, or else the generator itself; whatever a plugin's module does in here, nothing is lost.

    They are compared in float32 at least: in 16 bits rounding could hide a difference.
    """
    try:
        copy = faster_copy(generator)
        wide = generator if latent.itemsize >= 4 else deepcopy(generator).float()
        faster = copy if latent.itemsize >= 4 else faster_copy(wide)
        latent = latent.to(torch.promote_types(latent.dtype, torch.float32))
        with torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled, deterministic=True, allow_tf32=False
        ):  # its ten bits differ anyway
            expected, found = (_images(module, latent, label) for module in (wide, faster))
        same = found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=TOLERANCE)
    except Exception:
        return generator
    return copy if same else generator


def _images(module: Forward, latent: Tensor, label: Tensor | None) -> Tensor:
    """What it draws, without a trace in the random numbers of the process."""
    with process_randomness(latent.device):
        return module(latent, label)


def _compiled(module: nn.Module, latent: Tensor, label: Tensor | None) -> Forward:
    compiled = torch.compile(module)
    try:
        _images(compiled, latent, label)
    except Exception as error:
        raise UsageError(f"torch.compile fails here: {one_line(error)} Load the model without compile.") from None
    return compiled


class FromPoint(nn.Module):
    """A transposed convolution without padding, as one matrix product where its images are single points: a generator's first layer."""

    def __init__(self, layer: nn.ConvTranspose2d):
        super().__init__()
        self.layer = layer
        self.matrix = _frozen(layer.weight.permute(0, 2, 3, 1).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (1, 1):
            return self.layer(x)
        images = (x.flatten(1) @ self.matrix).view(len(x), *self.layer.weight.shape[2:], -1)
        return (images if self.layer.bias is None else images + self.layer.bias).permute(0, 3, 1, 2)


def _starts_from_points(layer: nn.Module) -> bool:
    """Whether a layer can stand at the start of a generator, where it sees images of one point."""
    plain = type(layer) is nn.ConvTranspose2d and layer.padding == layer.output_padding == (0, 0)
    return plain and layer.dilation == (1, 1) and layer.groups == 1


def faster_copy(generator: nn.Module) -> nn.Module:
    """A copy with the same numbers: convolutions channels last, batch norm folded into the layer before it in a Sequential.

    It shares every tensor that needs no other layout.
    """
    tensors = [*generator.parameters(), *generator.buffers()]
    copy = deepcopy(generator, {id(tensor): tensor for tensor in tensors})
    for module in [found for found in copy.modules() if type(found) is nn.Sequential]:
        _fold(module, copy)
        if len(module) and _starts_from_points(module[0]):
            module[0] = FromPoint(module[0])
    for module in copy.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.dim() == 4:
                module._parameters[name] = _frozen(parameter.contiguous(memory_format=torch.channels_last))
    return copy


def _fold(sequential: nn.Sequential, root: nn.Module) -> None:
    """Replaces each pair of a linear map and its batch norm by one map and nothing; layers that stand in several places stay."""
    uses: dict[int, int] = {}
    for _, module in root.named_modules(remove_duplicate=False):
        uses[id(module)] = uses.get(id(module), 0) + 1
    names = list(sequential._modules)
    for first, second in zip(names, names[1:], strict=False):
        layer, norm = sequential._modules[first], sequential._modules[second]
        if _foldable(layer, norm) and uses[id(layer)] == uses[id(norm)] == 1:
            sequential._modules[first] = folded(layer, norm)
            sequential._modules[second] = nn.Identity()


def _foldable(layer: nn.Module, norm: nn.Module) -> bool:
    """Whether the types are torch's own (not a parametrized or derived one) and the norm keeps statistics."""
    known = type(layer) in NORMS and type(norm) is NORMS[type(layer)]
    return known and norm.running_mean is not None and norm.running_var is not None and getattr(layer, "groups", 1) == 1


def folded(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """A layer that does what `layer` and, after it, batch norm `norm` do in evaluation; computed in float64."""
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    scale = scale if norm.weight is None else scale * norm.weight.double()
    shift = -norm.running_mean.double() if layer.bias is None else layer.bias.double() - norm.running_mean.double()
    shift = shift * scale if norm.bias is None else shift * scale + norm.bias.double()
    outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    shape = [-1 if dimension == outputs else 1 for dimension in range(layer.weight.dim())]
    found = deepcopy(layer, {id(tensor): tensor for tensor in layer.parameters()})
    found.weight = _frozen((layer.weight.double() * scale.view(shape)).to(layer.weight.dtype))
    found.bias = _frozen(shift.to(layer.weight.dtype))
    return found


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach(), requires_grad=False)


def _state(generator: nn.Module) -> Hashable:
    """What must stay as it is for a copy to stay right; None if no copy may stand in for the generator now."""
    state = []
    for module in generator.modules():
        if module.training or module._forward_hooks or module._forward_pre_hooks:
            return None
        state.append(id(module))
        for name, value in vars(module).items():
            if name in INTERNAL:
                continue
            if _is_plain(value):
                state.append((name, value))
            elif isinstance(value, Tensor):
                state.append(_version(value))
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None:
                state.append(_version(tensor))
    return tuple(state) if None not in state else None


def _is_plain(value: object) -> bool:
    return type(value) in PLAIN or (type(value) is tuple and all(map(_is_plain, value)))


def _version(tensor: Tensor) -> Hashable:
    """What differs after the tensor has been written to or moved; None where torch does not count that."""
    if tensor.is_inference():
        return None
    return id(tensor), tensor.data_ptr(), tensor._version, tensor.dtype

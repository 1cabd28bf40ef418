"""Computes what a graph of ncnn computes, so that a converted network can be compared with its file."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.convert.ncnn import LEAKY, PLAIN, Graph, Layer
from ganzoo.errors import CheckpointError
from ganzoo.networks import Generator

SIZE, TOLERANCE = 12, 1e-3
MODES = {1: "nearest", 2: "bilinear", 3: "bicubic"}


def run(graph: Graph, image: Tensor) -> Tensor:
    """Returns what the last layer makes of an image (N, C, H, W)."""
    blobs: dict[str, Tensor] = {}
    output = image
    for layer in graph.layers:
        output = _computed(graph, layer, [blobs.pop(name) for name in layer.inputs] or [image])
        blobs |= dict.fromkeys(layer.outputs, output)
    return output


def _computed(graph: Graph, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x = inputs[0]
    tensors = {name: torch.from_numpy(array).float() for name, array in graph.arrays.get(layer.name, {}).items()}
    if layer.kind == "Convolution":
        weight = tensors["weight"]
        made = functional.conv2d(x, weight, tensors.get("bias"), padding=weight.shape[-1] // 2)
        activation = layer.number(9)
        slope = layer.arrays[10][0] if activation == LEAKY else 0.0
        return made if activation == PLAIN else functional.leaky_relu(made, slope)
    if layer.kind == "PReLU":
        return functional.prelu(x, tensors["weight"])
    if layer.kind == "ReLU":
        return functional.leaky_relu(x, layer.number(0))
    if layer.kind == "Concat":
        return torch.cat(inputs, 1)
    if layer.kind in ("Eltwise", "BinaryOp"):
        weights = layer.arrays.get(1) or (1.0,) * len(inputs)
        return sum((weight * one for weight, one in zip(weights, inputs, strict=True)), torch.zeros(()))
    if layer.kind == "PixelShuffle":
        return functional.pixel_shuffle(x, int(layer.number(0)))
    if layer.kind == "Interp":
        mode = MODES[int(layer.number(0))]
        corners = None if mode == "nearest" else False
        return functional.interpolate(x, scale_factor=layer.number(1, 1), mode=mode, align_corners=corners)
    return x


@torch.no_grad()
def refuse_difference(label: str, graph: Graph, generator: Generator) -> float:
    """Returns the largest difference of a generator from its graph, in pixels from 0 to 1, on one image of noise.

    CheckpointError if they differ: then the file holds the numbers of such a network, and computes something else.
    """
    channels = next(shape for shape in (array.shape for array in graph.tensors().values()) if len(shape) == 4)[1]
    image = torch.rand(1, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    try:
        theirs = run(graph, image)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{label}: its layers cannot be computed: {' '.join(str(error).split())[:120]}."
        ) from None
    ours = generator.eval()(torch.zeros(1, generator.latent_dim), source=2 * image - 1) / 2 + 0.5
    if theirs.shape != ours.shape:
        found, made = (f"{one.shape[3]}x{one.shape[2]}" for one in (theirs, ours))
        raise CheckpointError(
            f"{label} makes {found} pixels of {SIZE}x{SIZE}, and the network with its numbers {made}: its last layers "
            "resize more than the network does. Convert the file of the network's own scale, and resize its images."
        )
    difference = float((ours - theirs.clamp(0, 1)).abs().max())
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"{label} computes something else than the network with its numbers (pixels differ by {difference:.2g})."
        )
    return difference

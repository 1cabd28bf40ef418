"""Counts parameters and multiply-accumulates of a variant's networks, and measures memory."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ganzoo.bench.row import Costs
from ganzoo.config.recipe import BoundPart
from ganzoo.engine.build import build_part
from ganzoo.engine.randomness import seeded
from ganzoo.networks.generator import Generator
from ganzoo.networks.inputs import select_inputs
from ganzoo.variant import SampleSpec

_CACHED: dict[str, Costs] = {}


def cached_costs(roles: Mapping[str, BoundPart], image: SampleSpec) -> Costs:
    """Returns `costs_of`, counted once for the same parts and images: seeds of one variant share it."""
    key = json.dumps(
        [{role: [part.name, part.options] for role, part in roles.items()}, asdict(image)],
        sort_keys=True,
        default=str,
    )
    if key not in _CACHED:
        _CACHED[key] = costs_of(roles, image)
    return _CACHED[key]


def costs_of(roles: Mapping[str, BoundPart], image: SampleSpec) -> Costs:
    """Counts the parameters of each role, and the multiply-accumulates of generator and discriminator for one image.

    Only matrix products and convolutions count; None where a role is absent or cannot be run on one image.
    """
    with seeded(0):
        built = {role: build_part(part, image).eval() for role, part in roles.items()}
        counts: dict[str, int | None] = {f"{role}_parameters": parameters(module) for role, module in built.items()}
        label = torch.zeros(1, dtype=torch.int64) if image.classes else None
        generator = built["generator"]
        assert isinstance(generator, Generator)
        latent = generator.latent(1, torch.Generator().manual_seed(0))
        inputs = {name: torch.zeros(1, *one.shape) for name, one in image.sources.items()}
        counts["generator_macs"] = macs(built["generator"], latent, label, **select_inputs(built["generator"], inputs))
        if "discriminator" in built:
            judge, output = built["discriminator"], torch.zeros(1, *image.output.shape)
            counts["discriminator_macs"] = macs(judge, output, label, **select_inputs(judge, inputs))
    return Costs(**counts)


def parameters(module: nn.Module) -> int:
    """Counts the learned numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def macs(module: nn.Module, *inputs: Any, **named: Any) -> int | None:
    """Counts the multiply-accumulates of one call, half of its floating-point operations; None if the call fails."""
    counter = FlopCounterMode(display=False)
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        # The counter asks inputs of submodules for their gradients' function, and a view of a parameter, such as a
        # learned constant for each image, has none under no_grad.
        for parameter in learned:
            parameter.requires_grad_(False)
        with torch.no_grad(), counter:
            module(*inputs, **named)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
    return counter.get_total_flops() // 2


def peak_memory(device: str) -> int | None:
    """Returns the peak bytes of this process: of GPU memory on a CUDA device, else resident memory; None on Windows."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def machine(device: str, threads: int) -> str:
    """Describes the machine on which times are measured: processor or GPU, threads, operating system."""
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else processor()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}, {platform.system()}"


@cache
def processor() -> str:
    """Returns the processor's model name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()

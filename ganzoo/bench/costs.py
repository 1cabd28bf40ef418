"""What a variant costs: parameters and multiply-accumulates, which are counted, and memory, which is measured."""

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

from ganzoo.config.recipe import BoundPart
from ganzoo.engine.build import build_part
from ganzoo.engine.randomness import seeded
from ganzoo.variant import ImageSpec

COSTS = ("generator_parameters", "discriminator_parameters", "loss_parameters", "generator_macs", "discriminator_macs")
_COUNTED: dict[str, dict[str, int | None]] = {}


def remembered(roles: Mapping[str, BoundPart], image: ImageSpec) -> dict[str, int | None]:
    """As `costs_of`, counted once for the same parts and images: of seeds, one pays."""
    key = json.dumps(
        [{role: [part.name, part.options] for role, part in roles.items()}, asdict(image)],
        sort_keys=True,
        default=str,
    )
    if key not in _COUNTED:
        _COUNTED[key] = costs_of(roles, image)
    return dict(_COUNTED[key])


def costs_of(roles: Mapping[str, BoundPart], image: ImageSpec) -> dict[str, int | None]:
    """Parameters of each role, and the multiply-accumulates for one image through generator and discriminator.

    Matrix products and convolutions are counted, nothing else; None where a role is absent or cannot be run on one image.
    """
    with seeded(0):
        built = {role: build_part(part, image).eval() for role, part in roles.items()}
        counts: dict[str, int | None] = {f"{role}_parameters": parameters(module) for role, module in built.items()}
        label = torch.zeros(1, dtype=torch.int64) if image.classes else None
        latent = built["generator"].latent(1, torch.Generator().manual_seed(0))
        counts["generator_macs"] = macs(built["generator"], latent, label)
        if "discriminator" in built:
            counts["discriminator_macs"] = macs(
                built["discriminator"], torch.zeros(1, image.channels, image.size, image.size), label
            )
    return {name: counts.get(name) for name in COSTS}


def parameters(module: nn.Module) -> int:
    """How many numbers a module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def macs(module: nn.Module, *inputs: Any) -> int | None:
    """Multiply-accumulates of one call, half of its floating-point operations; None if the module refuses the call."""
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            module(*inputs)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None
    return counter.get_total_flops() // 2


def peak_memory(device: str) -> int | None:
    """The most bytes that this process has held so far: of the device's memory if it has its own, else resident ones."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def machine(device: str, threads: int) -> str:
    """The machine in words, for whoever reads times."""
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else processor()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}, {platform.system()}"


@cache
def processor() -> str:
    """What the processor calls itself."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()

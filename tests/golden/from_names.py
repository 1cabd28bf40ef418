"""Weights that follow from a tensor's official name and shape, so that golden files need not hold them.

Used here, where the official networks get them, and in the tests, where ours do.
"""

from zlib import crc32

import numpy

AROUND_ONE = ("gamma", "gammas/W")
SHIFTS = ("beta", "betas/W", "bias", "biases", "/b", "mean")
VARIANCES = ("var", "variance")


def numbers(name: str, shape: tuple[int, ...], outputs: int = -1) -> numpy.ndarray:
    """Random numbers of a seed made from the name, float32.

    Scales lie around 1, shifts are small, variances above 0, the rest is scaled by its fan in.
    `outputs` is the axis of the weight that counts its outputs.
    """
    normal = numpy.random.RandomState(crc32(name.encode())).standard_normal(shape)
    if name.endswith(AROUND_ONE):
        normal = 1 + 0.3 * normal
    elif name.endswith(SHIFTS):
        normal = 0.3 * normal
    elif name.endswith(VARIANCES):
        normal = numpy.exp(0.4 * normal)
    elif normal.ndim > 1:
        normal = normal * (1.4 * (shape[outputs] / normal.size) ** 0.5)
    return numpy.asarray(normal, numpy.float32)


def state(official: dict[str, tuple[int, ...]], prefix: str) -> dict[str, numpy.ndarray]:
    """Numbers for the tensors of a torch network by their official names and shapes; counters and filters are left out.

    `prefix` tells networks of one script apart.
    """
    kinds = {"running_mean": "mean", "running_var": "var"}
    made = {}
    for name, shape in official.items():
        ending = name.rpartition(".")[2]
        if ending in ("num_batches_tracked", "filt"):
            continue
        kind = "gamma" if ending == "weight" and len(shape) == 1 else kinds.get(ending, ending)
        made[name] = numbers(f"{prefix}.{name}.{kind}", shape, outputs=0)
    return made

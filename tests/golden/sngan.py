"""Runs the official networks and losses of SNGAN and cGAN-PD once: `python tests/golden/sngan.py PROJECTION LIBRARY`.

PROJECTION is a clone of pfnet-research/sngan_projection, LIBRARY of pfnet-research/chainer-gan-lib, where the same
authors have the plain convolutions. Their widths are arguments; their weights follow from their names. They run in
float64 on the CPU: for that the vector norm of `max_sv.py`, a kernel for GPUs, is numpy's.
"""

import importlib
import sys
from pathlib import Path

import chainer
import numpy
from from_names import numbers
from safetensors.numpy import save_file

HERE = Path(__file__).parent
LATENT, CLASSES, BATCH = 6, 3, 3
CASES = {  # files of both networks, widths, classes, size
    "sngan-32": ("gen_models.resnet_32", "dis_models.snresnet_32", 8, 4, 0, 32),
    "cgan-pd-32": ("gen_models.resnet_32", "dis_models.snresnet_32", 8, 4, CLASSES, 32),
    "sngan-64": ("gen_models.resnet_64", "dis_models.snresnet_64", 2, 2, 0, 64),
    "cgan-pd-64": ("gen_models.resnet_64", "dis_models.snresnet_64", 2, 2, CLASSES, 64),
}


def doubles(values):
    return numpy.asarray(values, numpy.float64)


def fill(network):
    """Gives every number of a network the value of its name, in float64."""
    for path, link in network.namedlinks():
        for name in [*link._params, *link._persistent]:
            if name == "N":
                continue
            value = getattr(link, name)
            value = doubles(numbers(f"{path.rstrip('/')}/{name}", value.shape, outputs=0))
            if name in link._params:
                getattr(link, name).array = value
            else:
                setattr(link, name, value)
    return network


def persistent(network, prefix, names):
    """The vectors of the power method and running averages as they are now."""
    kept = [(path, link, name) for path, link in network.namedlinks() for name in names if name in link._persistent]
    return {f"{prefix}{path}/{name}": getattr(link, name).copy() for path, link, name in kept}


def given(random, classes):
    pixels, latent = random.uniform(-1, 1, (BATCH, 3, 8, 8)), random.standard_normal((BATCH, LATENT))
    return {
        "pixels": pixels.astype("f"),
        "latent": latent.astype("f"),
        **({"label": numpy.array([2, 0, 1])} if classes else {}),
    }


def judged(discriminator, images, label, out):
    """Adds to `out` two passes in training, one in evaluation, and small gradients of the sum of the first logits."""
    ask = (lambda: discriminator(images, y=label)) if label is not None else (lambda: discriminator(images))
    for number in (0, 1):
        logits = ask()
        out[f"logits.{number}"] = logits.array[:, 0]
        if not number:
            discriminator.cleargrads()
            chainer.functions.sum(logits).backward()
            out.update(
                {
                    f"gradient{path}": parameter.grad
                    for path, parameter in discriminator.namedparams()
                    if parameter.size < 300
                }
            )
    out.update(persistent(discriminator, "after", ("u",)))
    with chainer.using_config("train", False):
        out["logits.2"] = ask().array[:, 0]
    return logits


def record(name, updater):
    generator, discriminator, g_width, d_width, classes, size = CASES[name]
    out = given(numpy.random.RandomState(0), classes)
    label, times = out.get("label"), size // 8
    generator = fill(importlib.import_module(generator).ResNetGenerator(ch=g_width, dim_z=LATENT, n_classes=classes))
    discriminator = fill(
        importlib.import_module(discriminator).SNResNetProjectionDiscriminator(ch=d_width, n_classes=classes)
    )
    with chainer.using_config("train", False):
        out["drawn"] = generator(BATCH, z=doubles(out["latent"]), y=label).array[:, :, ::3, ::3]
    out["drawn_in_training"] = generator(BATCH, z=doubles(out["latent"]), y=label).array[:, :, ::3, ::3]
    out |= persistent(generator, "after", ("avg_mean", "avg_var"))
    logits = judged(discriminator, doubles(out["pixels"]).repeat(times, 2).repeat(times, 3), label, out)
    for kind in ("hinge", "dcgan"):
        real, fake = logits[:2], logits[1:]
        out[f"{kind}.discriminator"] = getattr(updater, f"loss_{kind}_dis")(fake, real).array
        out[f"{kind}.generator"] = getattr(updater, f"loss_{kind}_gen")(fake).array
    save(name, out)


def save(name, out):
    rounded = {
        key: numpy.ascontiguousarray(value.astype("f") if value.dtype == numpy.float64 else value)
        for key, value in out.items()
    }
    save_file(rounded, HERE / f"chainer-{name}.safetensors")


def library_names():
    """The plain discriminator of the library, whose vectors are made by its first pass."""
    from common.net import SNDCGANDiscriminator

    network = fill(SNDCGANDiscriminator(ch=16))
    for path, link in network.namedlinks():
        if hasattr(link, "u"):
            link.u = doubles(numbers(f"{path}/u", (1, link.W.shape[0])))
    return network


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import updater
    from source.functions import max_sv

    max_sv._l2normalize = lambda v, eps=1e-12: v / (numpy.sqrt((v * v).sum()) + eps)
    if not hasattr(chainer.Link, "_device_id"):
        chainer.Link._device_id = None
    for case in CASES:
        record(case, updater)
    sys.path[:0] = [sys.argv[2], str(Path(sys.argv[2]) / "common")]
    out = given(numpy.random.RandomState(0), 0)
    judged(library_names(), doubles(out["pixels"]).repeat(4, 2).repeat(4, 3), None, out)
    del out["latent"]
    save("sndcgan", out)

"""Trains an embedded extractor on the 60,000 training images of Fashion-MNIST and writes its weights.

    python benchmarks/train_fashion_cnn.py --data-root DATA fashion-cnn.safetensors
    python benchmarks/train_fashion_cnn.py --data-root DATA fashion-cnn-native.safetensors \
        --extractor fashion-cnn-native --epochs 6

Prints the accuracy on the 10,000 test images, which training never sees, of the weights as written, and their sha256,
which `model.py` or `native.py` in `plugins/ganzoo_plugins/fashion_cnn` must state. `fashion-cnn-native` learns from
images of 28 and of 32 pixels in turn, since it resizes none. One seed, one thread and one version of torch give one
file.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from ganzoo.data import Batches, ImageData, load_images
from ganzoo.files.atomic import write_atomically
from ganzoo.registry.registry import registry
from ganzoo_plugins.fashion_cnn.model import FashionCNN
from ganzoo_plugins.fashion_cnn.native import NativeFashionCNN

BATCH, PEAK_RATE, DECAY, SHIFT, WARM_UP = 128, 4e-3, 0.02, 1, 0.15

NETWORKS: dict[str, type[FashionCNN] | type[NativeFashionCNN]] = {
    "fashion-cnn": FashionCNN,
    "fashion-cnn-native": NativeFashionCNN,
}
SIZES = {"fashion-cnn": (28,), "fashion-cnn-native": (28, 32)}


def images_of(source: str, root: Path | None, size: int) -> ImageData:
    return load_images(source, size=size, channels=1, datasets=registry().table("datasets"), root=root)


def shifted(images: Tensor, random: torch.Generator) -> Tensor:
    """Every image moved by up to one pixel each way, with black in the gap."""
    count, _, height, width = images.shape
    padded = functional.pad(images, [SHIFT] * 4, value=-1.0)
    down, right = torch.randint(0, 2 * SHIFT + 1, (2, count, 1), generator=random)
    rows, columns = torch.arange(height) + down, torch.arange(width) + right
    return padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def rate(share: float) -> float:
    """The learning rate relative to its peak, once `share` of training is done: a linear rise, then half a cosine."""
    return share / WARM_UP if share < WARM_UP else (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2


def train(extractor: str, data: list[ImageData], epochs: int, seed: int) -> FashionCNN | NativeFashionCNN:
    """The network after `epochs` of cross-entropy on mirrored and shifted images, of each size in turn."""
    torch.manual_seed(seed)
    network = NETWORKS[extractor]().to(memory_format=torch.channels_last)
    random = torch.Generator().manual_seed(seed)
    sizes = [Batches(images, batch_size=BATCH, seed=seed, mirror=True) for images in data]
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=DECAY, fused=True)
    steps, start, total = epochs * len(data[0]) // BATCH, time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate((step + 1) / steps)
        batches = sizes[step % len(sizes)]
        loss = functional.cross_entropy(network.logits(shifted(batches.images(step), random)), batches.labels(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}/{steps} loss {total / 100:.4f} {time.monotonic() - start:.0f} s", flush=True)
            total = 0.0
    return network


def accuracy(network: FashionCNN | NativeFashionCNN, data: ImageData) -> float:
    """The share of images whose class the network names."""
    right = 0
    with torch.inference_mode():
        for start in range(0, len(data), 500):
            images = data.images[start : start + 500].permute(0, 3, 1, 2) / 127.5 - 1
            right += (network.logits(images).argmax(1) == data.labels[start : start + 500]).sum().item()
    return right / len(data)


def packed(network: FashionCNN | NativeFashionCNN) -> bytes:
    """The weights as a safetensors file: matrices and filters in half precision, the norms' numbers in single."""
    state = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in network.state_dict().items()}
    return save({name: tensor.contiguous() for name, tensor in state.items()})


def main() -> None:
    """Trains, writes and tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--extractor", default="fashion-cnn", choices=sorted(NETWORKS))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    name = arguments.extractor
    images = [images_of("fashion-mnist", arguments.data_root, size) for size in SIZES[name]]
    data = packed(train(name, images, arguments.epochs, arguments.seed))
    sha256 = hashlib.sha256(data).hexdigest()
    write_atomically(arguments.file, data)
    written = NETWORKS[name].pretrained(arguments.file, sha256)
    for size in SIZES[name]:
        share = accuracy(written, images_of("fashion-mnist-test", None, size))
        print(f"accuracy {share:.4f} on the test images at {size} pixels")
    print(f"{len(data)} bytes, sha256 {sha256}")


if __name__ == "__main__":
    main()

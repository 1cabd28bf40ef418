"""Trains the embedded extractor `fashion-cnn` on the 60,000 training images of Fashion-MNIST and writes its weights.

    python benchmarks/train_fashion_cnn.py --data-root DATA fashion-cnn.safetensors

Prints the accuracy on the 10,000 test images, which training never sees, of the weights as written, and their sha256,
which `plugins/ganzoo_plugins/fashion_cnn/model.py` must state. One seed, one thread and one version of torch give one
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

BATCH, PEAK_RATE, DECAY, SHIFT, WARM_UP = 128, 4e-3, 0.02, 1, 0.15


def images_of(source: str, root: Path | None) -> ImageData:
    return load_images(source, size=28, channels=1, datasets=registry().table("datasets"), root=root)


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


def train(data: ImageData, epochs: int, seed: int) -> FashionCNN:
    """The network after `epochs` of cross-entropy on mirrored and shifted images."""
    torch.manual_seed(seed)
    network = FashionCNN().to(memory_format=torch.channels_last)
    random = torch.Generator().manual_seed(seed)
    batches = Batches(data, batch_size=BATCH, seed=seed, mirror=True)
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=DECAY, fused=True)
    steps, start, total = epochs * len(data) // BATCH, time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate((step + 1) / steps)
        loss = functional.cross_entropy(network.logits(shifted(batches.images(step), random)), batches.labels(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}/{steps} loss {total / 100:.4f} {time.monotonic() - start:.0f} s", flush=True)
            total = 0.0
    return network


def accuracy(network: FashionCNN, data: ImageData) -> float:
    """The share of images whose class the network names."""
    right = 0
    with torch.inference_mode():
        for start in range(0, len(data), 500):
            images = data.images[start : start + 500].permute(0, 3, 1, 2) / 127.5 - 1
            right += (network.logits(images).argmax(1) == data.labels[start : start + 500]).sum().item()
    return right / len(data)


def packed(network: FashionCNN) -> bytes:
    """The weights as a safetensors file: matrices and filters in half precision, the norms' numbers in single."""
    state = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in network.state_dict().items()}
    return save({name: tensor.contiguous() for name, tensor in state.items()})


def main() -> None:
    """Trains, writes and tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = train(images_of("fashion-mnist", arguments.data_root), arguments.epochs, arguments.seed)
    data = packed(network)
    sha256 = hashlib.sha256(data).hexdigest()
    write_atomically(arguments.file, data)
    written = FashionCNN.pretrained(arguments.file, sha256)
    print(f"accuracy {accuracy(written, images_of('fashion-mnist-test', None)):.4f} on the test images")
    print(f"{len(data)} bytes, sha256 {sha256}")


if __name__ == "__main__":
    main()

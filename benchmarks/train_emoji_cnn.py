"""Trains the embedded extractor of colour images on emoji in three styles and writes its weights.

    python benchmarks/train_emoji_cnn.py --labels labels.csv \
        --style noto-emoji-png72.zip --style fluent-flat.zip --style fluent-3d.zip emoji-cnn.safetensors

A style is a zip file of pictures that are named by their code points (`1f600.png`, `emoji_u1f600.png`). `labels.csv`
has a row for each of them: `codepoint`, `base` (without skin tone) and Unicode's `subcategory`. A fifth of the base
code points is never trained on, in no style and no skin tone. Prints the accuracy on them of the weights as written,
and the sha256 that `plugins/ganzoo_plugins/emoji_cnn/model.py` must state. One seed, one thread and one version of
torch give one file.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import math
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from ganzoo.files.atomic import write_atomically
from ganzoo_plugins.emoji_cnn.model import CLASSES, SIZE, EmojiCNN

STORED = 72  # pixels of Noto's pictures
BATCH, PEAK_RATE, DECAY, WARM_UP = 64, 3e-3, 0.05, 0.1
UNSEEN = 5  # one of so many base code points is kept for the test
SUBCATEGORIES = {
    "face": ("face-*",),
    "person": ("person", "person-role", "person-gesture", "person-fantasy"),
    "hand": ("hand-*", "hands"),
    "animal": ("animal-*",),
    "plant or fruit": ("plant-*", "food-fruit", "food-vegetable"),
    "food or drink": ("food-prepared", "food-asian", "food-sweet", "drink", "dishware"),
    "vehicle": ("transport-ground", "transport-air", "transport-water"),
    "place": ("place-building", "place-religious", "place-other", "place-geographic"),
    "object": (
        *("tool", "household", "office", "light & video", "computer", "musical-instrument", "book-paper"),
        *("mail", "writing", "medical", "science"),
    ),
    "sign": ("alphanum", "arrow", "av-symbol", "keycap", "transport-sign", "zodiac", "religion", "warning"),
}


class Emoji(NamedTuple):
    """Pictures uint8 (N, 4, 72, 72) with alpha, their classes (N,), and the positions of each base's pictures."""

    pictures: Tensor
    labels: Tensor
    motifs: dict[str, list[int]]


def code_of(name: str) -> str:
    """The code points in a file's name, without the variation selector, by which styles disagree."""
    return Path(name).stem.lower().removeprefix("emoji_u").replace("_", "-").replace("-fe0f", "").lstrip("0")


def class_of(subcategory: str) -> int | None:
    for position, name in enumerate(CLASSES):
        for pattern in SUBCATEGORIES[name]:
            if subcategory == pattern or (pattern.endswith("*") and subcategory.startswith(pattern[:-1])):
                return position
    return None


def read(styles: list[Path], labels: Path) -> Emoji:
    """Reads all pictures that have one of the classes."""
    with labels.open(newline="") as file:
        rows = {code_of(row["codepoint"]): row for row in csv.DictReader(file)}
    pictures, classes, motifs = [], [], {}
    for style in styles:
        with zipfile.ZipFile(style) as archive:
            for name in sorted(archive.namelist()):
                row = rows.get(code_of(name))
                label = class_of(row["subcategory"]) if row else None
                if row is None or label is None:
                    continue
                picture = Image.open(io.BytesIO(archive.read(name))).convert("RGBA")
                if picture.size != (STORED, STORED):
                    picture = picture.resize((STORED, STORED), Image.Resampling.LANCZOS)
                motifs.setdefault(row["base"], []).append(len(pictures))
                pictures.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
                classes.append(label)
    return Emoji(torch.stack(pictures), torch.tensor(classes), motifs)


def split(emoji: Emoji) -> tuple[list[str], list[str]]:
    """The base code points to train on, and those to test with, by their hashes."""
    unseen = {base for base in emoji.motifs if int(hashlib.sha256(base.encode()).hexdigest(), 16) % UNSEEN == 0}
    return [base for base in emoji.motifs if base not in unseen], [base for base in emoji.motifs if base in unseen]


class Sampler:
    """Draws a class, one of its motifs and one of the motif's pictures, all evenly, so that no class outweighs."""

    def __init__(self, emoji: Emoji, bases: list[str], random: torch.Generator) -> None:
        self.emoji, self.random = emoji, random
        self.classes: list[list[list[int]]] = [[] for _ in CLASSES]
        for base in bases:
            self.classes[int(emoji.labels[emoji.motifs[base][0]])].append(emoji.motifs[base])

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        chosen = []
        for number in torch.rand(count, 3, generator=self.random).tolist():
            motifs = self.classes[int(number[0] * len(CLASSES))]
            pictures = motifs[int(number[1] * len(motifs))]
            chosen.append(pictures[int(number[2] * len(pictures))])
        return self.emoji.pictures[chosen], self.emoji.labels[chosen]


def on_background(pictures: Tensor, background: Tensor) -> Tensor:
    """RGBA bytes on a colour (N, 3, 1, 1) in [-1, 1]."""
    colour, alpha = pictures[:, :3].float() / 127.5 - 1, pictures[:, 3:].float() / 255
    return background + (colour - background) * alpha


def varied(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Pictures 64 × 64 that are mirrored, turned, scaled, shifted and recoloured; a third of them not on white."""
    count = len(pictures)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=random)

    white = (torch.rand(count, 1, 1, 1, generator=random) < 0.67).float()
    images = on_background(pictures, white + (1 - white) * uniform(-1, 1, 3, 1, 1))
    angle, scale, mirror = uniform(-0.25, 0.25), uniform(0.85, 1.25), torch.sign(uniform(-1, 1))
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    rows = [torch.stack([cosine * mirror, -sine, uniform(-0.15, 0.15)], 1)]
    rows.append(torch.stack([sine * mirror, cosine, uniform(-0.15, 0.15)], 1))
    grid = functional.affine_grid(torch.stack(rows, 1), [count, 3, SIZE, SIZE], align_corners=False)
    images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * uniform(0.4, 1.6, 1, 1, 1)
    images = images * uniform(0.7, 1.3, 1, 1, 1) + uniform(-0.2, 0.2, 3, 1, 1)
    return images.clamp(-1, 1)


def rate(share: float) -> float:
    """The learning rate relative to its peak, once `share` of training is done: a linear rise, then half a cosine."""
    return share / WARM_UP if share < WARM_UP else (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2


def train(emoji: Emoji, bases: list[str], steps: int, seed: int) -> EmojiCNN:
    """The network after `steps` of cross-entropy with smoothed labels."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    network, sampler = EmojiCNN().to(memory_format=torch.channels_last), Sampler(emoji, bases, random)
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=DECAY, fused=True)
    start, total = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate((step + 1) / steps)
        pictures, labels = sampler.draw(BATCH)
        images = varied(pictures, random).to(memory_format=torch.channels_last)
        loss = functional.cross_entropy(network.logits(images), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}/{steps} loss {total / 100:.4f} {time.monotonic() - start:.0f} s", flush=True)
            total = 0.0
    return network


def accuracy(network: EmojiCNN, emoji: Emoji, bases: list[str]) -> tuple[float, dict[str, float]]:
    """The share of right answers on white, a motif and a class counting once, and the share of each class."""
    shares: list[list[float]] = [[] for _ in CLASSES]
    with torch.inference_mode():
        for base in bases:
            chosen = emoji.motifs[base]
            images = on_background(emoji.pictures[chosen], torch.ones(1, 3, 1, 1))
            label = int(emoji.labels[chosen[0]])
            shares[label].append((network.logits(images).argmax(1) == label).double().mean().item())
    motifs = [share for found in shares for share in found]
    return sum(motifs) / len(motifs), {
        name: sum(found) / max(len(found), 1) for name, found in zip(CLASSES, shares, strict=True)
    }


def packed(network: EmojiCNN) -> bytes:
    """The weights as a safetensors file: matrices and filters in half precision, the norms' numbers in single."""
    state = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in network.state_dict().items()}
    return save({name: tensor.contiguous() for name, tensor in state.items()})


def main() -> None:
    """Trains, writes and tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--style", type=Path, action="append", required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    emoji = read(arguments.style, arguments.labels)
    known, unseen = split(emoji)
    print(f"{len(emoji.labels)} pictures, {len(known)} motifs to train on, {len(unseen)} to test with", flush=True)
    data = packed(train(emoji, known, arguments.steps, arguments.seed))
    sha256 = hashlib.sha256(data).hexdigest()
    write_atomically(arguments.file, data)
    whole, each = accuracy(EmojiCNN.pretrained(arguments.file, sha256), emoji, unseen)
    print(f"accuracy {whole:.3f} of unseen motifs, {sum(each.values()) / len(each):.3f} as the mean of the classes")
    print("  ".join(f"{name} {share:.2f}" for name, share in each.items()))
    print(f"{len(data)} bytes, sha256 {sha256}")


if __name__ == "__main__":
    main()

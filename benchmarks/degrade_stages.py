"""Draws one photograph after every stage of `degrade`, and below what eight other draws make of it.

The picture on the page of `degrade` is of the first photograph of scikit-image's data, which is CC0:

    python benchmarks/degrade_stages.py chelsea.png --out docs/pictures/degrade-stages.png --seed 142
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageDraw, ImageFont

from ganzoo import ImageSpec
from ganzoo_plugins.conditions.degrade import Degrade, Plan
from ganzoo_plugins.conditions.degrade_stages import MODES

SIZE, SHOWN, ACROSS, LINE = 256, 232, 4, 20


def photograph(path: Path) -> torch.Tensor:
    """The middle square of a photograph, float32 (1, 3, 256, 256) in [-1, 1]."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None] / 127.5 - 1


def captions(plan: Plan) -> dict[str, str]:
    """What was drawn for each stage."""

    def noise(gaussian: float, level: float, grey: float) -> str:
        kind = f"Gaussian, {level:.0f}/255" if gaussian else f"photons, times {level:.1f}"
        return f"{kind}, {'grey' if grey else 'colour'}"

    return {
        "blurred": f"kernel of {plan.size:.0f}",
        "resized": f"{plan.scale:.2f} times, {MODES[int(plan.mode)]}",
        "noisy": noise(plan.gaussian, plan.noise, plan.grey),
        "compressed": f"quality {plan.quality:.0f}",
        "blurred again": f"kernel of {plan.size2:.0f}",
        "resized again": f"{plan.scale2:.2f} of a quarter, {MODES[int(plan.mode2)]}",
        "noisy again": noise(plan.gaussian2, plan.noise2, plan.grey2),
        "resized to its size": MODES[int(plan.mode3)],
        "filtered": f"sinc, kernel of {plan.sinc_size:.0f}" if plan.sinc_size > 1 else "no filter",
        "compressed again": f"quality {plan.quality2:.0f}",
    }


def panel(image: torch.Tensor, title: str, below: str) -> Image.Image:
    """An image in [0, 1] enlarged without smoothing, between two lines."""
    pixels = (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    sheet = Image.new("RGB", (SHOWN, SHOWN + 2 * LINE), "white")
    sheet.paste(Image.fromarray(pixels).resize((SHOWN, SHOWN), Image.Resampling.NEAREST), (0, LINE))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.text((1, 1), f"{title}, {image.shape[3]} px", "black", font)
    draw.text((1, SHOWN + LINE), below, "#555555", font)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--factor", type=int, default=4)
    options = parser.parse_args()
    image = photograph(options.photograph)
    condition = Degrade(ImageSpec(SIZE, 3), factor=options.factor)
    drawn = condition.draw(9, torch.Generator().manual_seed(options.seed))
    plan = Plan(*drawn["plan"][0].tolist())
    said = captions(plan)
    panels = [panel((image + 1) / 2, "photograph", "")]
    for name, made in condition.stages(image, drawn["kernels"][0], plan, int(drawn["seed"][0])):
        if name != "rounded":  # to bytes, as panels are anyway
            panels.append(panel(made, name, said.get(name, "")))
    others = condition.compute({"output": image.expand(9, -1, -1, -1)}, drawn)["source"][1:]
    panels += [Image.new("RGB", panels[0].size, "white")] * (-len(panels) % ACROSS)
    panels += [panel((one[None] + 1) / 2, f"draw {number}", "") for number, one in enumerate(others, 2)]
    wide, high = panels[0].width + 6, panels[0].height + 6
    sheet = Image.new("RGB", (ACROSS * wide, len(panels) // ACROSS * high), "white")
    for place, one in enumerate(panels):
        sheet.paste(one, (place % ACROSS * wide + 3, place // ACROSS * high + 3))
    sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(options.out, optimize=True)


if __name__ == "__main__":
    main()

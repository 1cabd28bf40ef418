"""Runs the official network of DINOv2, two small layers of it, once: `python tests/golden/dinov2.py CHECKOUT`.

Its weights and the images, as they are after normalization, follow from their names. The options are those of
`dinov2/hub/backbones.py`.
"""

import sys
from pathlib import Path

import torch
from from_names import numbers
from safetensors.torch import save_file

WIDTH, DEPTH, HEADS = 16, 2, 2

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from dinov2.models.vision_transformer import DinoVisionTransformer

    torch.set_num_threads(1)
    options = {"img_size": 518, "patch_size": 14, "init_values": 1.0, "block_chunks": 0}
    options |= {"interpolate_antialias": False, "interpolate_offset": 0.1}
    network = DinoVisionTransformer(embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, **options).eval()
    for name, tensor in network.state_dict().items():
        tensor.copy_(torch.from_numpy(numbers(name, tuple(tensor.shape), 1 if tensor.dim() == 3 else 0)))
    images = torch.from_numpy(numbers("images", (2, 3, 224, 224), 1)).mul(40)
    with torch.inference_mode():
        out = {
            "features": network(images),
            "positions": network.interpolate_pos_encoding(torch.zeros(1, 257, WIDTH), 224, 224),
        }
    save_file({name: value.contiguous() for name, value in out.items()}, Path(__file__).with_suffix(".safetensors"))
    print({name: (tuple(value.shape), float(value.std())) for name, value in out.items()})
    print(list(network.state_dict()))

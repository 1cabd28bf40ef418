"""DINOv2 as an extractor: dgm-eval's preprocessing, the official interpolation of positions, transformers' network."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import re
from collections.abc import Iterator
from types import ModuleType

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.errors import PluginError, UsageError
from ganzoo_plugins.dinov2.weights import EXPANSION, PATCH, STORED, Weights, read

LEAST_VERSION = (5, 0)  # those before do not work with the Hub client that ganzoo needs
SIZE = 224
OFFSET = 0.1
AT_ONCE = 50  # images: a layer of ViT-L/14 takes 200 MB for so many
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPROCESSING = (
    f"grey three times; rounded to 8 bits; Pillow's bicubic to {SIZE}x{SIZE} in 8 bits, rows first; "
    f"less {MEAN}, by {DEVIATION}; "
    f"positions bicubic by {SIZE // PATCH + OFFSET}/{STORED}; class token after the last norm"
)


class DINOv2(nn.Module):
    """Images (N, 1 or 3, H, W) in [-1, 1] to the class token (N, D) after the last norm, float32.

    `fingerprint` is the sha256, in hex, of the sha256 of the loaded weights, the network's shape and the preprocessing.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, weights: Weights, sha256: str):
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        text = f"DINOv2 {weights.depth} {weights.width} {weights.heads} {sha256} {PREPROCESSING}"
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def of(cls, weights: Weights) -> DINOv2:
        """Returns the frozen network.

        Raises PluginError if transformers does not work here, CheckpointError if the weights do not fit.
        """
        library = transformers_of(weights)
        tensors, sha256 = read(weights)
        return cls(network_of(library, weights, tensors), weights, sha256)

    def forward(self, images: Tensor) -> Tensor:
        """Returns features (N, D), computed a few images at a time."""
        parts = (resized(some).to(self.mean.device) for some in as_bytes(images).split(AT_ONCE))
        return torch.cat([self.class_token(part) for part in parts])

    def class_token(self, pixels: Tensor) -> Tensor:
        """Returns features (N, D) of uint8 images (N, 3, 224, 224)."""
        normalized = pixels.to(torch.float32).div(255).sub(self.mean).div(self.deviation)
        return self.network(pixel_values=normalized).last_hidden_state[:, 0]


def as_bytes(images: Tensor) -> Tensor:
    """Converts images to uint8 (N, 1 or 3, H, W), as images are stored."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UsageError(f"DINOv2 takes images (N, 1 or 3, H, W), not {tuple(images.shape)}.")
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def resized(pixels: Tensor) -> Tensor:
    """Resizes uint8 images (N, 1 or 3, H, W) to (N, 3, 224, 224), by Pillow.

    dgm-eval, the code of Stein et al. 2023, passes Pillow's images to torchvision, which calls Pillow: a cubic of -0.5
    whose support grows when an image shrinks, in integers, rounded and clipped after each direction. torch's
    antialiased bicubic of floats is the same cubic without that. Rows come first, as in every Pillow until 13, which
    reverses the order for some images that are not square.
    """
    channels = pixels.shape[1]
    arrays = (pixels[:, 0] if channels == 1 else pixels.permute(0, 2, 3, 1)).contiguous().cpu().numpy()
    raw = bytearray()
    for image in map(Image.fromarray, arrays):
        for size in ((SIZE, image.height), (SIZE, SIZE)):
            image = image.resize(size, Image.Resampling.BICUBIC)
        raw += image.tobytes()
    shaped = torch.frombuffer(raw, dtype=torch.uint8).reshape(len(arrays), SIZE, SIZE, channels)
    return shaped.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)


def interpolated(positions: Tensor, patches: int = SIZE // PATCH) -> Tensor:
    """Interpolates position embeddings (1, 1 + S², D) to (1, 1 + patches², D).

    The official code scales by (patches + 0.1) / S, so its sampling positions are a little closer together than those
    of an interpolation to that size, which transformers does; and it is not antialiased.
    """
    side, width = round((positions.shape[1] - 1) ** 0.5), positions.shape[2]
    share = (patches + OFFSET) / side
    plane = positions[:, 1:].reshape(1, side, side, width).permute(0, 3, 1, 2)
    plane = functional.interpolate(plane, scale_factor=(share, share), mode="bicubic", antialias=False)
    return torch.cat([positions[:, :1], plane.permute(0, 2, 3, 1).reshape(1, patches**2, width)], 1)


def transformers_of(weights: Weights) -> ModuleType:
    """Imports the library; PluginError in one line if it is missing, too old, or does not work."""
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        raise PluginError(f"'{weights.name}' needs transformers: install ganzoo with its extra 'dinov2'.") from None
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < LEAST_VERSION:
        raise PluginError(
            f"transformers {version} is too old: 5.0 or newer is needed (install ganzoo with its extra 'dinov2')."
        )
    try:
        import transformers

        _ = transformers.Dinov2Model  # its module is imported when it is first asked for
    except Exception as problem:  # its requirements are checked while it is imported, with errors of every kind
        reason = f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
        raise PluginError(f"transformers {version} cannot be imported. {reason}") from problem
    return transformers


def network_of(library: ModuleType, weights: Weights, tensors: dict[str, Tensor]) -> nn.Module:
    """Builds transformers' network for images of 224 pixels with these tensors; PluginError unless they fit exactly."""
    name = "embeddings.position_embeddings"
    state = tensors | {name: interpolated(tensors[name])}
    shape = {"hidden_size": weights.width, "num_hidden_layers": weights.depth, "num_attention_heads": weights.heads}
    rest = {
        "image_size": SIZE,
        "patch_size": PATCH,
        "num_channels": 3,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    }
    config = library.Dinov2Config(**shape, **rest, mlp_ratio=EXPANSION, use_swiglu_ffn=False)
    with quiet(library):
        network, report = library.Dinov2Model.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    faults = {kind: names for kind, names in report.items() if names}
    if faults:
        raise PluginError(
            f"transformers {library.__version__} does not take the tensors of '{weights.name}': {str(faults)[:200]}."
        )
    return network


@contextlib.contextmanager
def quiet(library: ModuleType) -> Iterator[None]:
    """Silences transformers' progress bar and report; errors say the same in one line."""
    logging = library.utils.logging
    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()

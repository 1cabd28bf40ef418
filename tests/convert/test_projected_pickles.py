"""Projected GAN's and StyleGAN-XL's pickles: the official images, what is refused, and what is not looked at."""

from itertools import count

import projected_pickles
import pytest
import torch
from golden.from_names import numbers
from golden_values import golden, under
from messages import logged
from torch.nn import functional

from ganzoo import ImageSpec, Part
from ganzoo.convert import object_pickle
from ganzoo.convert.convert import convert
from ganzoo.convert.request import Request
from ganzoo.errors import CheckpointError
from ganzoo.layouts import Match
from ganzoo.registry.registry import registry
from ganzoo_plugins.fastgan import port_layouts
from ganzoo_plugins.stylegan2.layouts import NVlabs
from ganzoo_plugins.stylegan3 import xl_layouts

WIDTH, LATENT, SIZE = 8, 6, 128
STEM = {"z_dim": 5, "c_dim": 3, "w_dim": 4, "img_resolution": 16, "img_channels": 3, "num_layers": 5}
STEM |= {"channel_base": 32, "channel_max": 6, "conv_kernel": 3, "use_radial_filters": False}
MAPPING = {"z_dim": 5, "c_dim": 3, "w_dim": 4, "num_ws": 7, "num_layers": 2, "rand_embedding": False}
HEAD = {"img_resolution": 32, "head_layers": 4, "up_factor": 2, "path_stem": "stem.pkl"}


def port_match(blocks, size=SIZE):
    options = {"latent_dim": LATENT, "width": WIDTH, "blocks": blocks, "spherical": True, "stored_vectors": True}
    return Match(Part("fastgan", options), ImageSpec(size, 3))


def port_tensors(blocks, *, stored):
    """The tensors that `tests/golden/fastgan.py` gave the port, with the block of 256 px that is there too."""
    wanted = port_layouts.wanted(port_match(blocks)) | {
        name: shape
        for name, shape in port_layouts.wanted(port_match(blocks, 256)).items()
        if name.startswith(("synthesis.feat_256.", "synthesis.se_256."))
    }
    made = {}
    for name, shape in wanted.items():
        own = name.removeprefix("synthesis.")
        values = torch.from_numpy(numbers(own, shape)).double()
        made[name] = values.abs() + 0.5 if name.endswith("running_var") else values
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(7)
    for name in [name for name in made if name.endswith("weight_orig")]:
        weight = made[name].transpose(0, 1) if "init.init" in name else made[name]
        matrix, u = weight.flatten(1), made[name.replace("_orig", "_u")]
        if stored:
            u = functional.normalize(u, dim=0)
            v = functional.normalize(matrix.T @ u, dim=0)
        else:
            left, _, right = torch.linalg.svd(matrix, full_matrices=False)
            u, v = left[:, 0], right[0]
        made[name.replace("_orig", "_u")], made[name.replace("_orig", "_v")] = u, v
    return {name: value if value.dtype == torch.int64 else value.float() for name, value in made.items()}


@pytest.fixture
def make(tmp_path, warm_reader):
    """Converts a file of these bytes; `said` gathers what was logged."""

    def run(data, **options):
        (tmp_path / "network.pkl").write_bytes(data)
        run.said.clear()
        return convert(Request(files=[tmp_path / "network.pkl"], out=tmp_path / "out", **options), registry())

    with logged() as run.said:
        yield run


@pytest.mark.parametrize(("kind", "protocol"), [("heavy", 3), ("stored", 4)])
def test_a_generator_of_projected_gan_draws_the_official_images(make, kind, protocol):
    blocks = "heavy" if kind == "heavy" else "light"
    settings = {"z_dim": LATENT, "c_dim": 0, "img_resolution": SIZE, "img_channels": 3}
    whole = projected_pickles.fastgan(port_tensors(blocks, stored=kind == "stored"), **settings)
    others = {"G": whole, "D": projected_pickles.judge(), "training_set_kwargs": {"path": "x.zip"}}
    progress = {"cur_nimg": torch.tensor([3]), "best_fid": 9999}
    model = make(projected_pickles.dumped({**others, "G_ema": whole, "progress": progress}, protocol))
    assert (model.config.variant, model.config.generator.options["blocks"]) == ("projected-gan", blocks)
    layers = count()

    def noise(*shape):
        return torch.from_numpy(numbers(f"noise.{next(layers)}", (2, *shape)))

    with torch.no_grad():
        latent = torch.from_numpy(numbers("latent", (2, 1, LATENT)))[:, 0]
        images = model.generator(latent, noise=noise)[:, :, ::8, ::8]
    assert torch.allclose(images.double(), golden("fastgan")[kind].clamp(-1, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["stem", "head"])
def test_a_generator_of_stylegan_xl_draws_the_official_images(make, kind):
    stored = under(golden("stylegan-xl"), kind)
    options = {**STEM, "mapping_kwargs": {"num_layers": 2}} if kind == "stem" else HEAD
    parts = {"mapping": MAPPING, "synthesis": {key: STEM[key] for key in STEM if key not in ("z_dim", "c_dim")}}
    whole = projected_pickles.generator_of_xl(
        "Generator" if kind == "stem" else "SuperresGenerator", under(stored, "generator"), parts, **options
    )
    judge = projected_pickles.judge(flexible=True)
    model = make(projected_pickles.dumped({"G": whole, "D": judge, "G_ema": whole, "augment_pipe": None}))
    assert model.config.image == ImageSpec(16 if kind == "stem" else 32, 3, 3)
    assert model.config.generator.options["class_features"] == 7 and model.config.variant == "stylegan3-t"
    assert not any("not read here" in line for line in make.said)
    label = torch.tensor([0, 2])
    images = model.generate(stored["latent"], label)
    assert torch.allclose(images, stored["images"].clamp(-1, 1), atol=1e-5)
    moved = model.render(model.style(stored["latent"], label, 0.7), label)
    assert torch.allclose(moved, stored["truncated"].clamp(-1, 1), atol=1e-5)


def test_heads_of_other_lengths_follow_from_names_and_shapes():
    options = {"latent_dim": 4, "style_dim": 4, "mapping_layers": 1, "channel_base": 512, "width": 4, "layers": 5}
    options |= {"class_features": 3, "head_factors": (2, 4), "head_layers": (5, 4), "limit": 256.0}
    match = Match(Part("stylegan3", options), ImageSpec(128, 3, 2))
    shapes = xl_layouts.wanted(match) | {xl_layouts.EMBEDDING: (1000, 3)}
    found = xl_layouts.StyleGANXL().recognize(shapes)
    assert (found.image, xl_layouts.wanted(found)) == (match.image, xl_layouts.wanted(match))
    assert (found.part.options["head_factors"], found.part.options["head_layers"]) == ((2, 4), (5, 4))
    with pytest.raises(CheckpointError, match=r"StyleGAN-XL \(\d+ tensors\) whose layers are not those"):
        xl_layouts.StyleGANXL().recognize({**shapes, "synthesis.L3_9_4.weight": (4, 4, 3, 3)})


def test_what_the_networks_here_are_not_is_named():
    layout, shapes = port_layouts.ProjectedGAN(), port_layouts.wanted(port_match("light"))
    with pytest.raises(CheckpointError, match=r"FastGAN's generator with labels.*takes no labels"):
        layout.recognize({**shapes, port_layouts.CONDITIONAL: (3, LATENT)})
    with pytest.raises(CheckpointError, match=r"a discriminator of Projected GAN.*not read"):
        layout.recognize({"feature_network.pretrained.layer0.0.weight": (2, 3, 1, 1)})
    with pytest.raises(CheckpointError, match="other widths or blocks"):
        layout.recognize({name: shape for name, shape in shapes.items() if "se_64" not in name})
    match = layout.recognize(shapes)
    assert layout.configured(match, {"options": {"img_resolution": SIZE, "c_dim": 0}}) == match
    with pytest.raises(CheckpointError, match="states img_resolution 64, and its tensors are of 128"):
        layout.configured(match, {"options": {"img_resolution": 64}})


@pytest.mark.parametrize(("wrong", "names"), [({"img_resolution": 64}, "img_resolution 64"), ({"z_dim": 7}, "z_dim 7")])
def test_options_of_stylegan_xl_that_contradict_the_tensors_are_refused(wrong, names):
    shapes = {name: tuple(value.shape) for name, value in under(golden("stylegan-xl"), "head.generator").items()}
    layout = xl_layouts.StyleGANXL()
    match = layout.recognize(shapes)
    parts = {"mapping": MAPPING, "synthesis": {"w_dim": 4, "num_layers": 5}}
    assert layout.configured(match, {"options": HEAD, "parts": parts}) == match
    with pytest.raises(CheckpointError, match=f"states {names}"):
        layout.configured(match, {"options": {**HEAD, **wrong}, "parts": parts})
    unlimited = {"mapping": MAPPING, "synthesis": {"w_dim": 4, "conv_clamp": None}}
    with pytest.raises(CheckpointError, match="has one limit"):
        layout.configured(match, {"options": HEAD, "parts": unlimited})


def test_later_code_limits_magnitudes_unless_it_says_otherwise():
    match, layout = Match(Part("stylegan2", {"latent_dim": 6, "style_dim": 5}), ImageSpec(16, 3)), NVlabs()
    later = {"fused_modconv_default": "inference_only"}
    assert layout.configured(match, {"options": later}).part.options["limit"] == 256.0
    assert "limit" not in layout.configured(match, {"options": {**later, "conv_clamp": None}}).part.options
    judge = Match(Part("stylegan2", {}), ImageSpec(16, 3), role="discriminator")
    assert layout.configured(judge, {"options": {"epilogue_kwargs": {}}}).part.options["limit"] == 256.0
    older = {"epilogue_kwargs": {}, "num_fp16_res": 4, "conv_clamp": None}
    assert "limit" not in layout.configured(judge, {"options": older}).part.options


def test_the_tables_have_classes_and_what_hangs_at_them_alone():
    homes = {name.rpartition(".")[0] for name in object_pickle.PROJECTED_MODULES}
    assert {home for home in homes if not home.startswith("torch.nn.")} == {
        *(f"pg_modules.{name}" for name in ("blocks", "discriminator", "networks_fastgan", "projector")),
        *(f"timm.models.{name}" for name in ("efficientnet_blocks", "vision_transformer")),
        *(f"timm.models.layers.{name}" for name in ("conv2d_same", "mlp", "patch_embed")),
        *("feature_networks.vit", "training.networks_fastgan"),
        "torch.ao.nn.quantized.modules.functional_modules",
    }
    assert all(name.rpartition(".")[2][:1].isupper() for name in object_pickle.PROJECTED_MODULES)
    assert len(object_pickle.PROJECTED_MODULES) == 62
    assert object_pickle.HOOKS == {
        *(f"torch.nn.utils.spectral_norm.SpectralNorm{end}" for end in ("", "StateDictHook", "LoadStateDictPreHook")),
        "torch.nn.modules.module._WrappedHook",
    }
    assert object_pickle.PIECES == {
        "torch.Size",
        *(f"dill._dill.{name}" for name in ("_create_function", "_create_code", "_create_cell", "_load_type")),
        *(f"feature_networks.vit.{name}" for name in ("__dict__", "forward_flex", "_resize_pos_embed")),
    }

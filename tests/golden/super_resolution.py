"""Runs BasicSR's networks for super-resolution and three steps of its SRGAN, ESRGAN and Real-ESRGAN, in float64.

`python tests/golden/super_resolution.py BASICSR`: a clone of XPixelGroup/BasicSR. It needs opencv-python-headless, from
which the sharpening takes its Gaussian. Weights and images follow from their names (`from_names.py`). The models'
own `optimize_parameters` is called; the packages around it, whose imports need torchvision, are replaced by empty ones.
"""

import sys
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from translation import images, load_named, moved, save

RATE, BETAS, DECAY = 1e-4, (0.9, 0.99), 0.999
STEPS, BATCH = 3, 3
MODELS = {"srgan": "SRGANModel", "esrgan": "ESRGANModel", "realesrgan": "RealESRGANModel"}
WEIGHTS = {"srgan": (1e-2, 5e-3), "esrgan": (1e-2, 5e-3), "realesrgan": (1.0, 0.1)}  # of L1 and of the GAN
SIZES = {"srgan": 128, "esrgan": 128, "realesrgan": 48}  # pixels of the outputs of the steps


def small(name, size, count=2, channels=3):
    """Sources in [0, 1]."""
    return (images(name, count, channels, *size) + 1) / 2


def stub(checkout):
    """Packages that run none of their `__init__`, with what the modules take from them."""
    packages = ("basicsr", "basicsr.archs", "basicsr.models", "basicsr.losses", "basicsr.utils", "basicsr.metrics")
    for name in packages:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [str(Path(checkout, *name.split(".")))]
    unused = {
        "torchvision": "",
        "basicsr.ops": "",
        "basicsr.ops.dcn": "ModulatedDeformConvPack modulated_deform_conv",
        "basicsr.archs": "build_network",
        "basicsr.losses": "build_loss",
        "basicsr.metrics": "calculate_metric",
        "basicsr.models": "lr_scheduler",
        "basicsr.utils": "get_root_logger imwrite tensor2img DiffJPEG",
        "basicsr.data": "",
        "basicsr.data.degradations": "random_add_gaussian_noise_pt random_add_poisson_noise_pt",
        "basicsr.data.transforms": "paired_random_crop",
    }
    for name, functions in unused.items():
        module = sys.modules.setdefault(name, ModuleType(name))
        for function in functions.split():
            setattr(module, function, object)
    sharpening = import_module("basicsr.utils.img_process_util")
    sys.modules["basicsr.utils"].USMSharp = sharpening.USMSharp
    return sharpening


def networks(archs, found):
    """Images of every network and scale that BasicSR has, and logits of both discriminators."""
    with torch.no_grad():
        for scale in (2, 3, 4):
            residual = archs["srresnet"].MSRResNet(3, 3, 4, 2, scale)
            compact = archs["srvgg"].SRVGGNetCompact(3, 3, 4, 2, scale)
            for name, network in (("residual", residual), ("compact", compact)):
                load_named(network, f"{name}.{scale}")
                found[f"{name}.{scale}"] = network(small(f"{name}.{scale}", (10, 12)))[:, :, ::2, ::2]
        for scale in (1, 2, 4):
            dense = load_named(archs["rrdbnet"].RRDBNet(3, 3, scale, 4, 2, 2), f"dense.{scale}")
            found[f"dense.{scale}"] = dense(small(f"dense.{scale}", (8, 12)))[:, :, ::2, ::2]
        for size in (128, 256):
            judge = load_named(archs["discriminator"].VGGStyleDiscriminator(3, 2, size), f"vgg.{size}")
            found[f"vgg.{size}"] = judge(small(f"vgg.{size}", (size, size)))
        for skips in (True, False):
            judge = load_named(archs["discriminator"].UNetDiscriminatorSN(3, 2, skips), f"unet.{skips}")
            found[f"unet.{skips}"] = judge(small("unet", (24, 32)))[:, :, ::2, ::2]


def steps(name, model, generator, discriminator, losses, sharpen, found):
    """Three steps of a model: its terms, and traces of both networks and of the average; added to `found`."""
    run = model.__new__(model)
    run.net_g, run.net_d = load_named(generator, f"{name}.G"), load_named(discriminator, f"{name}.D")
    run.net_g_ema, run.ema_decay = deepcopy(run.net_g), DECAY
    run.opt = {"dist": False, "l1_gt_usm": True, "percep_gt_usm": True, "gan_gt_usm": False}
    run.optimizer_g, run.optimizer_d = (
        torch.optim.Adam(network.parameters(), lr=RATE, betas=BETAS) for network in (run.net_g, run.net_d)
    )
    pixel, adversarial = WEIGHTS[name]
    run.cri_pix = lambda output, target: pixel * (output - target).abs().mean()  # L1Loss, which needs no more here
    run.cri_gan = losses.GANLoss("vanilla", loss_weight=adversarial).double()
    run.cri_perceptual = run.cri_ldl = None
    run.net_d_iters, run.net_d_init_iters = 1, 0
    for step in range(STEPS):
        run.lq, run.gt = (
            small(f"{name}.{side}.{step}", [SIZES[name] // scale] * 2, BATCH) for side, scale in (("A", 4), ("B", 1))
        )
        run.gt_usm = sharpen(run.gt.float()).double()  # it works in float32 alone
        run.optimize_parameters(step + 1)
        terms = [run.log_dict[key] for key in ("l_g_pix", "l_g_gan", "l_d_real", "l_d_fake")]
        found[f"{name}.step.{step}"] = torch.tensor([float(term) for term in terms], dtype=torch.float64)
    traces = moved({"generator": run.net_g, "discriminator": run.net_d, "ema": run.net_g_ema})
    found.update({f"{name}.{key}": value for key, value in traces.items()})


def main(checkout):
    sharpening = stub(checkout)
    archs = {name: import_module(f"basicsr.archs.{name}_arch") for name in ("srresnet", "srvgg", "rrdbnet")}
    archs["discriminator"] = import_module("basicsr.archs.discriminator_arch")
    losses, sharpen = import_module("basicsr.losses.gan_loss"), sharpening.USMSharp()
    found = {}
    networks(archs, found)
    for name in MODELS:
        model = getattr(import_module(f"basicsr.models.{name}_model"), MODELS[name])
        if name == "srgan":
            generator = archs["srresnet"].MSRResNet(3, 3, 4, 2, 4)
        else:
            generator = archs["rrdbnet"].RRDBNet(3, 3, 4, 4, 1, 2)
        if name == "realesrgan":
            discriminator = archs["discriminator"].UNetDiscriminatorSN(3, 2)
        else:
            discriminator = archs["discriminator"].VGGStyleDiscriminator(3, 2, SIZES[name])
        steps(name, model, generator, discriminator, losses, sharpen, found)
    save("super-resolution", found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    main(sys.argv[1])

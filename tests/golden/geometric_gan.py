"""Runs lim0606/pytorch-geometric-gan for one iteration: `python tests/golden/geometric_gan.py CHECKOUT`.

Its `main.py standard geogan` is run as it stands on four random grey images of 32 pixels, narrow, with two generator
steps instead of ten, twice: with the straight and with the leaky loss of the generator. What torch has lost since 2017
is given back: names of layers with dots, `.next()` of a loader, `.data[0]` of a scalar. Weights start 15 times as
large, so that nothing that is compared is nearly 0. Files and pictures are left out. What it computes is read from its
global names when its optimizers step.
"""

import sys
import tempfile
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file
from torch import nn

BUILT_IN_RMSPROP, ADD_MODULE = torch.optim.RMSprop, nn.Module.add_module
IMAGES = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
OPTIONS = "--dataset folder --dataroot x --imageSize 32 --nc 1 --nz 5 --ngf 2 --ndf 2 --batchSize 4 --workers 0"
OPTIONS += " --Giters 2 --niter 1 --nsave 9 --no-display --lrD .0002 --lrG .0002"


class Nothing(ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **options: None


def state(network, prefix):
    return {f"{prefix}.{number}": value.detach().clone() for number, value in enumerate(network.parameters())}


def gradients(network, prefix):
    return {f"{prefix}.gradient.{number}": value.grad.clone() for number, value in enumerate(network.parameters())}


def official_globals():
    frame = sys._getframe(1)
    while "optimizerD" not in frame.f_globals:
        frame = frame.f_back
    return frame.f_globals


def run(source, way, out):
    """One iteration; everything that goes in and comes out, parameters by their place in the network."""
    seen = {"steps": 0}

    class RMSprop(BUILT_IN_RMSPROP):
        def step(self):
            names = official_globals()
            if self is names["optimizerD"]:
                out.update(state(names["netG"], f"{way}.G") | state(names["netD"], f"{way}.D"))
                out[f"{way}.latent.0"], out[f"{way}.real"] = names["noise"].detach().clone(), names["real_cpu"].clone()
                out.update(
                    {
                        f"{way}.{name}": names[name].detach().clone()
                        for name in ("outD_real", "outD_fake", "errD_real", "errD_fake")
                    }
                )
                out.update(gradients(names["netD"], f"{way}.D"))
                super().step()
                out.update(state(names["netD"], f"{way}.D.after"))
                return
            seen["steps"] += 1
            out[f"{way}.latent.{seen['steps']}"] = names["noise"].detach().clone()
            out[f"{way}.errG.{seen['steps']}"] = names["errG"].detach().clone()
            out.update(gradients(names["netG"], f"{way}.G.{seen['steps']}"))
            super().step()
            out.update(state(names["netG"], f"{way}.G.after.{seen['steps']}"))

    for name in (
        "torchvision",
        "torchvision.datasets",
        "torchvision.transforms",
        "torchvision.utils",
        "utils",
        "utils.plot",
    ):
        sys.modules[name] = Nothing(name)
    sys.modules["torchvision"].datasets = sys.modules["torchvision.datasets"]
    sys.modules["torchvision"].transforms, sys.modules["torchvision"].utils = (
        sys.modules[f"torchvision.{n}"] for n in ("transforms", "utils")
    )
    sys.modules["torchvision.datasets"].ImageFolder = lambda **options: [(image, 0) for image in IMAGES]
    torch.optim.RMSprop = RMSprop
    nn.Module.add_module = lambda self, name, module: ADD_MODULE(self, name.replace(".", ":"), module)
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = ["main.py", "standard", "geogan", *OPTIONS.split(), "--experiment", folder, f"--{way}"]
        exec(compile(source, "main.py", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.path.insert(0, sys.argv[1])
    text = (Path(sys.argv[1]) / "main.py").read_text()
    for old, new in ((".next()", ".__next__()"), (".data[0]", ".item()")):
        text = text.replace(old, new)
    text = (
        text.replace("random.randint(1, 10000)", "1")
        .replace("os.system(", "str(")
        .replace("normal_(0.0, 0.02)", "normal_(0.0, 0.3)")
    )
    recorded, leaky = {}, {}
    run(text, "theory", recorded)
    run(text, "leaky", leaky)  # up to the generator's first step the same
    recorded |= {
        name: value for name, value in leaky.items() if name == "leaky.errG.1" or name.startswith("leaky.G.1.gradient")
    }
    from losses.HingeLoss import HingeLoss
    from losses.SumLoss import SumLoss

    real, fake = (
        torch.rand(5, generator=torch.Generator().manual_seed(2)) * 2,
        torch.rand(5, generator=torch.Generator().manual_seed(3)) * 3,
    )
    recorded |= {
        "ebgan.real": real,
        "ebgan.fake": fake,
        "ebgan.loss_real": SumLoss()(real),
        "ebgan.loss_generator": SumLoss()(fake),
    }
    recorded["ebgan.loss_fake"] = HingeLoss(margin=1.0)(fake, torch.ones(5))
    file = Path(__file__).parent / "geometric-gan.safetensors"
    save_file({name: value.detach().contiguous().clone() for name, value in recorded.items()}, file)

"""Records what one iteration of RelativisticGAN computes: `python relativistic.py CHECKOUT OUT.safetensors`.

CHECKOUT is a clone of AlexiaJM/RelativisticGAN. Its script `GAN_losses_iter.py` is run as it stands, on twelve random
grey images, but the widths 64 to 512 of its `--arch 1` are divided by 32, and the packages that it uses for files and
pictures are replaced by nothing. What it computes is read from its global names.
"""

import os
import re
import sys
import tempfile
import types

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
BUILT_IN_ADAM = torch.optim.Adam
IMAGES = torch.rand(12, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
UNUSED = ["torchvision", *(f"torchvision.{name}" for name in ("datasets", "transforms", "models", "utils"))]
UNUSED += ["IPython", "IPython.display", "pytorch_visualize", "fid"]


class Nothing(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **options: None


def narrow(text):
    head, rest = text.split("if param.arch == 1:\n\ttitle", 1)
    networks, tail = rest.split("if param.arch == 0:", 1)
    networks = re.sub(r"\b(64|128|256|512)\b", lambda number: str(int(number[1]) // 32), networks)
    return f"{head}if param.arch == 1:\n\ttitle{networks}if param.arch == 0:{tail}"


def official_globals():
    frame = sys._getframe(1)
    while "optimizerD" not in frame.f_globals:
        frame = frame.f_back
    return frame.f_globals


def run(text, number, out, folder):
    def at_start(*arguments, **options):
        names = official_globals()
        for network in "GD":
            for name, value in names[network].state_dict().items():
                out.setdefault(f"{network}.{name}", value.clone())

    class Adam(BUILT_IN_ADAM):
        def step(self):
            names = official_globals()
            network = "G" if self is names["optimizerG"] else "D"
            prefix = f"loss{number}.{network}"
            out[f"{prefix}.loss"] = names["err" + network].detach().clone()
            out[f"{prefix}.real_logits"] = names["y_pred"].detach().clone()
            out[f"{prefix}.fake_logits"] = names["y_pred_fake"].detach().clone()
            out[f"{network}.real"], out[f"{network}.latent"] = names["x"].detach().clone(), names["z"].detach().clone()
            for name, parameter in names[network].named_parameters():
                if network == "D" or "dense" in name:
                    out[f"{prefix}.gradient.{name}"] = parameter.grad.clone()
            if network == "D":
                out["D.fake"] = names["x_fake"].detach().clone()
            super().step()
            if network == "D":
                out.update({f"{prefix}.after.{name}": value.clone() for name, value in names["D"].state_dict().items()})

    for name in UNUSED:
        sys.modules[name] = Nothing(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])
    sys.modules["torchvision.datasets"].ImageFolder = lambda **options: [(image, 0) for image in IMAGES]
    sys.modules["torchvision.utils"].save_image = at_start
    torch.optim.Adam = Adam
    options = (
        f"--loss_D {number} --arch 1 --spectral True --cuda False --seed 1"
        " --batch_size 3 --n_colors 1 --image_size 32 --z_size 5"
        f" --n_iter 1 --lr_D .0002 --lr_G .0002 --save False --output_folder {folder} --extra_folder {folder}/extra"
    )
    sys.argv = ["GAN_losses_iter.py", *options.split()]
    exec(compile(text, "GAN_losses_iter.py", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    checkout, target = sys.argv[1:]
    with open(os.path.join(checkout, "code", "GAN_losses_iter.py")) as file:
        source = narrow(file.read())
    recorded = {}
    with tempfile.TemporaryDirectory() as place:
        for loss in (5, 6, 7, 8):
            run(source, loss, recorded, place)
    save_file({name: value.contiguous() for name, value in recorded.items()}, target)

"""Runs the official networks of WGAN and one iteration of its loop once: `python tests/golden/wgan.py CHECKOUT`.

CHECKOUT is a clone of martinarjovsky/WassersteinGAN. Its `main.py` needs a Python and torch of 2017, so the loop's
lines are repeated here around its own networks: clip, critic step, generator step.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

SIZE, LATENT, CHANNELS, WIDTH, BATCH, CLIP, RATE = 16, 5, 1, 2, 4, 0.01, 5e-5
HERE = Path(__file__).parent


def enlarged(network):
    """Weights with contrast, so that nothing that is compared is nearly 0."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (1 if parameter.dim() == 1 else 0))
    return network


def state(network, prefix):
    return {f"{prefix}.{name}": value.clone() for name, value in network.state_dict().items()}


def record(name, generator, critic):
    """One iteration of `main.py`; everything that goes in and comes out."""
    real = torch.rand(BATCH, CHANNELS, SIZE, SIZE) * 2 - 1
    noise = [torch.randn(BATCH, LATENT, 1, 1) for _ in range(2)]
    tensors = {"real": real, "noise0": noise[0][:, :, 0, 0], "noise1": noise[1][:, :, 0, 0]}
    tensors |= state(generator, "generator_before") | state(critic, "critic_before")
    optimizers = [torch.optim.RMSprop(network.parameters(), lr=RATE) for network in (critic, generator)]
    for parameter in critic.parameters():
        parameter.data.clamp_(-CLIP, CLIP)
    error_real = critic(real)
    error_real.backward(torch.ones(1))
    tensors["fake"] = fake = generator(noise[0]).detach()
    error_fake = critic(fake)
    error_fake.backward(-torch.ones(1))
    optimizers[0].step()
    tensors |= state(critic, "critic_after")
    for parameter in critic.parameters():
        parameter.requires_grad = False
    error = critic(generator(noise[1]))
    error.backward(torch.ones(1))
    optimizers[1].step()
    tensors |= state(generator, "generator_after")
    tensors |= {"error_real": error_real.detach(), "error_fake": error_fake.detach(), "error_generator": error.detach()}
    save_file(
        {key: value.detach().contiguous().clone() for key, value in tensors.items()}, HERE / f"{name}.safetensors"
    )


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from models import dcgan, mlp

    torch.manual_seed(0)
    arguments = (SIZE, LATENT, CHANNELS, WIDTH, 1)
    record("wgan", enlarged(dcgan.DCGAN_G(*arguments)), enlarged(dcgan.DCGAN_D(*arguments)))
    record("wgan-mlp", enlarged(mlp.MLP_G(*arguments)), enlarged(mlp.MLP_D(*arguments)))

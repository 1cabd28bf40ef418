"""Hand-written training loops to measure the engine against: the usual ones, and the fastest of the same work.

Each function takes networks, the variant's `Training`, and a source with `real()`, `latent()` and `mix()`, and returns
`step()`, which runs one training step of that variant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.networks import second_order

PENALTY = 10.0
CRITIC_STEPS = 5


class PlainSource:
    """Minibatches as most repositories take them: `images[indices]` on 4-D bytes, then floats; global random stream."""

    def __init__(self, images: Tensor, batch_size: int, latent_dim: int, device: torch.device):
        self.images = images.permute(0, 3, 1, 2).contiguous()
        self.batch_size, self.latent_dim, self.device = batch_size, latent_dim, device
        self.order = self._epochs()

    def _epochs(self) -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(len(self.images)).split(self.batch_size)

    def real(self) -> Tensor:
        return (self.images[next(self.order)].to(self.device).float() / 255 - 0.5) / 0.5

    def latent(self) -> Tensor:
        return torch.randn(self.batch_size, self.latent_dim, device=self.device)

    def mix(self) -> Tensor:
        return torch.rand(self.batch_size, 1, 1, 1, device=self.device)


class FastSource(PlainSource):
    """The same minibatches with whole rows of bytes indexed at once, on the device, channels last."""

    def __init__(self, images: Tensor, batch_size: int, latent_dim: int, device: torch.device):
        super().__init__(images, batch_size, latent_dim, device)
        self.shape, self.rows = images.shape[1:], images.reshape(len(images), -1).to(device)

    def real(self) -> Tensor:
        indices = next(self.order).to(self.device, non_blocking=True)
        rows = self.rows.index_select(0, indices).view(-1, *self.shape)
        return rows.to(torch.float32).div_(127.5).sub_(1).permute(0, 3, 1, 2)


def plain_dcgan(generator: nn.Module, discriminator: nn.Module, training, source) -> Callable[[], None]:
    """DCGAN as in tutorials: two backward passes for D, wasted gradients of D in G's step, `.item()` in every step."""
    optimizer_d = _adam(discriminator, training, training.discriminator_lr)
    optimizer_g = _adam(generator, training, training.generator_lr)
    criterion = nn.BCEWithLogitsLoss()

    def step() -> None:
        discriminator.zero_grad()
        logits = discriminator(source.real())
        ones, zeros = torch.ones_like(logits), torch.zeros_like(logits)
        loss_real = criterion(logits, ones)
        loss_real.backward()
        fake = generator(source.latent())
        loss_fake = criterion(discriminator(fake.detach()), zeros)
        loss_fake.backward()
        loss_d = loss_real + loss_fake
        optimizer_d.step()
        generator.zero_grad()
        loss_g = criterion(discriminator(fake), ones)
        loss_g.backward()
        optimizer_g.step()
        (loss_d.item(), loss_g.item())

    return step


def fast_dcgan(
    generator: nn.Module, discriminator: nn.Module, training, source, precision: str = "fp32"
) -> Callable[[], None]:
    """The fastest DCGAN by hand: channels last, one backward per network, D frozen in G's step, fused Adam."""
    _channels_last(generator, discriminator)
    optimizer_d = _adam(discriminator, training, training.discriminator_lr, fused=True)
    optimizer_g = _adam(generator, training, training.generator_lr, fused=True)
    device = _device(generator)

    def step() -> None:
        real, latent = source.real(), source.latent()
        with _autocast(device, precision):
            fake = generator(latent)
            on_real, on_fake = _wide(discriminator(real)), _wide(discriminator(fake.detach()))
            loss = functional.softplus(-on_real).mean() + functional.softplus(on_fake).mean()
        _update(optimizer_d, loss)
        with _frozen(discriminator), _autocast(device, precision):
            loss = functional.softplus(-_wide(discriminator(fake))).mean()
        _update(optimizer_g, loss)

    return step


def plain_wgan_gp(generator: nn.Module, critic: nn.Module, training, source) -> Callable[[], None]:
    """The usual WGAN-GP: an output of ones for `autograd.grad`, an epsilon-free norm of flattened gradients."""
    optimizer_d = _adam(critic, training, training.discriminator_lr)
    optimizer_g = _adam(generator, training, training.generator_lr)
    done = 0

    def penalty(real: Tensor, fake: Tensor) -> Tensor:
        mix = source.mix()
        points = (mix * fake + (1 - mix) * real).requires_grad_(True)
        logits = critic(points)
        (gradient,) = torch.autograd.grad(logits, points, torch.ones_like(logits), create_graph=True, retain_graph=True)
        return ((gradient.reshape(len(gradient), -1).norm(2, dim=1) - 1) ** 2).mean()

    def step() -> None:
        nonlocal done
        if done > 0:
            optimizer_g.zero_grad()
            loss_g = -critic(generator(source.latent())).mean()
            loss_g.backward()
            optimizer_g.step()
            loss_g.item()
        for _ in range(CRITIC_STEPS):
            optimizer_d.zero_grad()
            real = source.real()
            fake = generator(source.latent()).detach()
            loss_d = critic(fake).mean() - critic(real).mean() + PENALTY * penalty(real, fake)
            loss_d.backward()
            optimizer_d.step()
            loss_d.item()
        done += 1

    return step


def fast_wgan_gp(
    generator: nn.Module, critic: nn.Module, training, source, precision: str = "fp32"
) -> Callable[[], None]:
    """The fastest WGAN-GP by hand: G without a graph in D's steps, no pass over second derivatives that are zero."""
    _channels_last(generator, critic)
    optimizer_d = _adam(critic, training, training.discriminator_lr, fused=True)
    optimizer_g = _adam(generator, training, training.generator_lr, fused=True)
    device, done = _device(generator), 0

    def penalty(real: Tensor, fake: Tensor) -> Tensor:
        points = torch.lerp(real, fake, source.mix()).requires_grad_(True)
        with second_order():
            (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        return (gradient.square().sum((1, 2, 3)).sqrt() - 1).square().mean()

    def step() -> None:
        nonlocal done
        if done > 0:
            with _frozen(critic), _autocast(device, precision):
                loss = -_wide(critic(generator(source.latent()))).mean()
            _update(optimizer_g, loss)
        for _ in range(CRITIC_STEPS):
            real = source.real()
            with _autocast(device, precision):
                with torch.no_grad():
                    fake = generator(source.latent())
                loss = _wide(critic(fake)).mean() - _wide(critic(real)).mean()
            _update(optimizer_d, loss + PENALTY * penalty(real, fake.to(real.dtype)))
        done += 1

    return step


def _adam(module: nn.Module, training, rate: float, **how) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=rate, **training.optimizer_options, **how)


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _channels_last(*modules: nn.Module) -> None:
    for module in modules:
        module.to(memory_format=torch.channels_last)


def _autocast(device: torch.device, precision: str):
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def _wide(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype == torch.bfloat16 else logits


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@contextmanager
def _frozen(module: nn.Module):
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)

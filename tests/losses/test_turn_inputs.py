"""Networks get the inputs that their forward names; generations are kept for all phases of a minibatch."""

from dataclasses import replace

import pytest
import torch
from contract.harness import Pictures
from contract.parts import TinyDiscriminator
from torch import nn

from ganzoo import Field, SampleSpec, Training
from ganzoo.engine.build import warn_of_instance_norm
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import PluginError, UsageError
from ganzoo.losses import Augmentation, Loss, Phase, Regularizer, gradient_penalty, zero_centred_penalty
from ganzoo.networks import Generator
from ganzoo.networks.inputs import accepted_inputs

PAIRED = SampleSpec(Field((1, 8, 8)), {"source": Field((2, 8, 8))})


class Translator(Generator):
    """A convolution of the source, with batch norm if `norm`; it takes no latent."""

    latent_dim = 0

    def __init__(self, norm: bool = False):
        super().__init__()
        self.layer = nn.Conv2d(2, 1, 3, 1, 1)
        self.norm = nn.BatchNorm2d(1) if norm else nn.Identity()

    def forward(self, latent, label=None, *, source):
        return torch.tanh(self.norm(self.layer(source)))


class SeesSource(nn.Module):
    """Logits of an image beside its source, or of an image alone with `side`; keeps the source that it saw."""

    def __init__(self):
        super().__init__()
        self.pair, self.alone = nn.Conv2d(3, 1, 4, 2, 1), nn.Conv2d(1, 1, 4, 2, 1)

    def forward(self, images, label=None, *, source, side="pair"):
        self.seen = source
        return self.pair(torch.cat([images, source], 1)) if side == "pair" else self.alone(images)


class Recording(Loss):
    """Runs functions of the turn, one for each phase, and keeps what they return."""

    def __init__(self, discriminator=None, generator=None, order=("discriminator", "generator")):
        super().__init__()
        self.phases = tuple(Phase(name, (name,), fresh=not place) for place, name in enumerate(order))
        self.actions, self.kept = {"discriminator": discriminator, "generator": generator}, {}

    def discriminator(self, turn):
        return self.run("discriminator", turn)

    def generator(self, turn):
        return self.run("generator", turn)

    def run(self, phase, turn):
        action = self.actions[phase]
        self.kept[phase] = action(turn) if action else None
        return {"term": turn.logits(turn.fake).mean() + turn.logits(turn.real).mean()}


def trainer_of(loss, *, generator=None, discriminator=None, batch_size=4, spec=PAIRED, more=None, **training):
    torch.manual_seed(0)
    return Trainer(
        generator=generator or Translator(),
        discriminator=discriminator or SeesSource(),
        loss=loss,
        batches=Pictures(spec, batch_size),
        image=spec,
        training=Training(batch_size=batch_size, steps=10, generator_lr=0.1, discriminator_lr=0.1, **training),
        dtype=torch.float64,
        **(more or {}),
    )


def test_a_network_gets_the_inputs_that_its_forward_names():
    class All(nn.Module):
        def forward(self, images, label=None, **inputs):
            return images

    assert accepted_inputs(Translator(), PAIRED.sources) == ("source",)
    assert accepted_inputs(TinyDiscriminator(PAIRED), PAIRED.sources) == ()
    assert accepted_inputs(All(), ["source", "mask"]) == ("source", "mask")


def test_a_compiled_network_is_asked_before():
    trainer = trainer_of(Recording())
    assert (trainer.generator_inputs, trainer.discriminator_inputs) == (("source",), ("source",))


def test_the_turn_has_every_field_and_names_them():
    def look(turn):
        assert torch.equal(turn.real, turn["output"]) and turn.label is None
        with pytest.raises(KeyError, match="known: output, source"):
            turn["mask"]
        return turn["source"], turn.fake

    loss = Recording(generator=look)
    trainer = trainer_of(loss)
    trainer.step()
    source, fake = loss.kept["generator"]
    fields = trainer.batches.sample(0, slice(0, 4))
    assert torch.equal(source, fields["source"].double()) and fake.shape == (4, 1, 8, 8)
    assert trainer.batches_taken == 1, "both phases share the minibatch"


def test_the_discriminator_sees_the_source_repeated_or_replaced():
    def look(turn):
        source = turn["source"]
        turn.logits_of_both()
        both = turn.discriminator.seen
        turn.logits(turn.real, source=source * 0)
        replaced = turn.discriminator.seen
        alone = turn.logits(turn.real, side="alone")
        return source, both, replaced, alone.shape

    loss = Recording(discriminator=look)
    trainer_of(loss).step()
    source, both, replaced, shape = loss.kept["discriminator"]
    assert torch.equal(both, torch.cat([source, source])) and not replaced.any() and shape == (4, 1, 4, 4)


def test_samples_that_have_no_inputs_of_their_own_are_refused():
    loss = Recording(discriminator=lambda turn: turn.logits(turn.real[:3]))
    with pytest.raises(ValueError, match="3 samples .* the minibatch has 4"):
        trainer_of(loss).step()


def test_a_generation_is_kept_for_the_phase_after_an_update():
    """A second phase that computed it again would see the updated generator: not the official order."""

    def generate(turn):
        return turn.made("again", source=turn["source"] / 2), turn.fake

    loss = Recording(generate, generate, order=("generator", "discriminator"))
    trainer_of(loss).step()
    for first, second in zip(loss.kept["generator"], loss.kept["discriminator"], strict=True):
        assert torch.equal(first.detach(), second) and not second.requires_grad


def test_a_chain_of_generations_keeps_its_graph_for_a_later_phase():
    class Two(Translator):
        def __init__(self):
            super().__init__()
            self.back = nn.Conv2d(1, 2, 3, 1, 1)

        def forward(self, latent, label=None, *, source, back=False):
            return self.back(source) if back else super().forward(latent, label, source=source)

    def cycle(turn):
        return turn.made("cycle", source=turn.fake, back=True)

    class Cyclic(Recording):
        def generator(self, turn):
            return {"cycle": cycle(turn).square().mean()}

    loss = Cyclic(discriminator=cycle)
    trainer = trainer_of(loss, generator=Two())
    before = trainer.generator.layer.weight.clone()
    trainer.step()
    assert not loss.kept["discriminator"].requires_grad
    assert not torch.equal(trainer.generator.layer.weight, before), "the gradient reaches the first of the two"


def test_one_optimizer_for_two_networks_is_one_for_each():
    """A role may hold several networks: bit for bit the same, with AdamW, RMSprop and SGD as with Adam."""
    for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD):
        networks = [nn.Linear(3, 2), nn.Linear(2, 3)]
        copies = [nn.Linear(3, 2), nn.Linear(2, 3)]
        for network, copy in zip(networks, copies, strict=True):
            copy.load_state_dict(network.state_dict())
        shared = [kind([p for network in networks for p in network.parameters()], lr=0.1)]
        own = [kind(copy.parameters(), lr=0.1) for copy in copies]
        for step in range(3):
            x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
            for (first, second), optimizers in ((networks, shared), (copies, own)):
                second(first(x)).square().sum().backward()
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
        for network, copy in zip(networks, copies, strict=True):
            assert all(torch.equal(*pair) for pair in zip(network.parameters(), copy.parameters(), strict=True))


def test_a_penalty_differentiates_the_sum_of_a_map():
    images = torch.randn(3, 1, 8, 8, dtype=torch.float64)

    def of(reduction):
        return zero_centred_penalty(lambda x: reduction(x.square()), images)

    torch.testing.assert_close(of(lambda x: x.flatten(1)), 4096 * of(lambda x: x.flatten(1).mean(1)))


def test_a_mix_of_any_shape_fits_points_and_images():
    """(N, 1, 1, 1) against points (N, 2) would broadcast to (N, 1, N, 2) without an error."""
    for shape in ((4, 2), (4, 1, 8, 8)):
        real, fake = torch.randn(2, *shape, dtype=torch.float64)
        mix = torch.rand(4, 1, 1, 1, dtype=torch.float64)
        seen = []

        def critic(x, seen=seen):
            seen.append(x.detach())
            return x.flatten(1).square().sum(1)

        gradient_penalty(critic, real, fake, mix)
        expected = torch.stack([torch.lerp(*row) for row in zip(real, fake, mix.flatten(), strict=True)])
        torch.testing.assert_close(seen[0], expected)


def test_a_phase_of_several_batches_is_refused_with_inputs():
    loss = Recording()
    loss.phases = (replace(loss.phases[0], batch=2), loss.phases[1])
    with pytest.raises(PluginError, match="'discriminator'.*2 times the latents.*'source'"):
        trainer_of(loss)


def test_the_source_is_augmented_by_the_same_numbers():
    class Brightness(Augmentation):
        def forward(self, images):
            return images + self.uniform(images, 1, 1, 1)

    def look(turn):
        turn.logits_of_both()
        return turn.discriminator.seen - torch.cat([turn["source"]] * 2), turn.uniform(1)

    loss = Recording(discriminator=look)
    trainer_of(loss, more={"augmentation": Brightness()}).step()
    shift, _ = loss.kept["discriminator"]
    assert torch.allclose(shift, shift[:, :1, :1, :1].expand_as(shift)) and len(shift.flatten(1)[:, 0].unique()) == 8


@pytest.mark.parametrize("kind", ["augmentation", "regularizers"])
def test_a_mixin_for_other_kinds_of_samples_is_refused(kind):
    class Waves(Augmentation if kind == "augmentation" else Regularizer):
        kinds = ("audio",)

    mixin = Waves() if kind == "augmentation" else {"waves": Waves()}
    with pytest.raises(UsageError, match="Waves .* kind audio, and these are image"):
        trainer_of(Recording(), more={kind: mixin})


def test_the_average_counts_the_batch_size_once_a_step_and_ramps():
    loss = Recording()
    loss.phases = tuple(replace(phase, fresh=True) for phase in loss.phases)  # takes two batches a step
    trainer = trainer_of(loss, ema_images=100.0, ema_ramp=0.5)
    decays = []
    for _ in range(3):
        decays.append(trainer._decay())
        trainer.step()
    assert trainer.batches_taken == 6
    assert decays == pytest.approx([0, 0.5 ** (4 / 2), 0.5 ** (4 / 4)])
    trainer.step_number = 10**6
    assert trainer._decay() == pytest.approx(0.5 ** (4 / 100))


def test_standing_statistics_take_sources_and_change_nothing_in_the_run():
    trainer = trainer_of(Recording(), generator=Translator(norm=True), ema=0.5)
    trainer.step()
    taken, before = trainer.batches_taken, trainer.generator.norm.running_mean.clone()
    sampler = trainer.sampler
    assert trainer.batches_taken == taken and torch.equal(trainer.generator.norm.running_mean, before)
    sources = torch.cat([trainer.batches.sample(number, slice(0, 4))["source"] for number in range(256)]).double()
    expected = sampler.layer(sources).mean((0, 2, 3))
    torch.testing.assert_close(sampler.norm.running_mean, expected)


def test_rows_of_one_process_are_gathered_as_they_are():
    loss = Recording(generator=lambda turn: (turn.gather(turn.fake), turn.fake))
    trainer_of(loss).step()
    gathered, fake = loss.kept["generator"]
    assert torch.equal(gathered, fake) and not gathered.requires_grad


@pytest.mark.parametrize("batch_size, warned", [(1, True), (2, False)])
def test_torch_s_instance_norm_is_warned_of_where_its_gradient_is_wrong(batch_size, warned, caplog):
    generator = Translator()
    generator.norm = nn.InstanceNorm2d(1)
    warn_of_instance_norm(trainer_of(Recording(), generator=generator, batch_size=batch_size))
    lines = [record.getMessage() for record in caplog.records]
    assert [("generator" in line and "--batch-size 2" in line) for line in lines] == [True] * warned

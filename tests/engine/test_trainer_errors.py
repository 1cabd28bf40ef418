"""What a plugin or a setting does wrong is one line that says what came and what is known."""

import pytest
import torch
from contract.harness import IMAGE, make
from contract.parts import R1

from ganzoo import Training
from ganzoo.engine.trainer import Trainer
from ganzoo.errors import PluginError, UsageError
from ganzoo.losses import Loss, Phase


def loss_with(phase, method=None):
    loss = Loss()
    loss.phases = (phase,)
    if method is not None:
        setattr(loss, phase.name, method)
    return loss


def score(turn):
    return {"fake": turn.logits(turn.fake).mean()}


def test_a_phase_that_updates_an_unknown_role():
    with pytest.raises(PluginError, match=r"'x' of Loss .*'critic'.* generator, discriminator, loss"):
        make(loss_with(Phase("x", ("critic",)), score))


def test_a_phase_without_its_method():
    with pytest.raises(PluginError, match=r"Loss .*phase 'x' .*method"):
        make(loss_with(Phase("x", ("generator",))))


def test_a_discriminator_to_update_where_there_is_none():
    other = make()
    with pytest.raises(
        PluginError,
        match=r"'discriminator' of NonSaturating .*discriminator.* none",
    ):
        Trainer(
            generator=other.generator,
            discriminator=None,
            loss=other.loss,
            batches=other.batches,
            image=IMAGE,
            training=Training(),
        )


@pytest.mark.parametrize(
    ("terms", "shown"),
    [
        (None, "NoneType"),
        ({}, "{}"),
        ({"fake": 1.0}, "{'fake': 'float'}"),
        ({"fake": torch.zeros(4)}, "{'fake': (4,)}"),
    ],
)
def test_terms_that_are_not_scalars_by_name(terms, shown):
    trainer = make(loss_with(Phase("x", ("generator",)), lambda turn: terms))
    with pytest.raises(PluginError) as caught:
        trainer.step()
    assert "Loss.x" in str(caught.value) and f"{{term: scalar tensor}}, got {shown}" in str(caught.value)


def test_terms_of_a_regularizer_are_checked_as_well():
    regularizer = R1(IMAGE)
    regularizer.forward = lambda turn: {"penalty": 0.0}
    with pytest.raises(PluginError, match=r"R1\.forward .*\{term: scalar tensor\}.*\{'penalty': 'float'\}"):
        make(more={"regularizers": {"r1": regularizer}}).step()


def test_terms_that_teach_nothing():
    trainer = make(loss_with(Phase("x", ("generator",)), lambda turn: {"real": turn.logits(turn.real).mean()}))
    with pytest.raises(PluginError, match=r"Loss\.x .*parameter of the generator"):
        trainer.step()


def test_a_regularizer_for_a_phase_that_the_loss_does_not_have():
    loss = loss_with(Phase("critic", ("discriminator",)), score)
    with pytest.raises(UsageError, match=r"'r1' .*'discriminator'.* Loss .*critic"):
        make(loss, more={"regularizers": {"r1": R1(IMAGE)}})


@pytest.mark.parametrize(("batch_size", "accumulate"), [(4, 3), (4, 8)])
def test_a_batch_that_cannot_be_split(batch_size, accumulate):
    with pytest.raises(UsageError) as caught:
        make(batch_size=batch_size, accumulate=accumulate)
    assert str(caught.value) == (
        f"A batch of {batch_size} cannot be split evenly over 1 process(es) and {accumulate} micro-batch(es): "
        f"choose a batch size divisible by {accumulate}."
    )


def test_a_step_that_fails_leaves_the_process_wide_generator_alone():
    def fail(turn):
        torch.rand(3)
        raise RuntimeError("boom")

    trainer = make(loss_with(Phase("x", ("generator",)), fail))
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="boom"):
        trainer.step()
    assert torch.equal(torch.get_rng_state(), before)

"""The turn identifies the logits of real images and fakes, and regularizers read and select them."""

import pytest
import torch
from contract.harness import IMAGE, make
from contract.parts import NonSaturating
from torch import nn
from torch.nn.functional import softplus

from ganzoo.data import Batches, ImageData
from ganzoo.losses import Regularizer
from ganzoo.variant import ImageSpec


class Halving(Regularizer):
    """Halves the logits of fakes, and keeps all that it reads of them."""

    phase = "generator"

    def select(self, turn, logits):
        self.inside = turn.fake_logits
        return logits / 2

    def forward(self, turn):
        self.read = [turn.fake_logits, turn.fake_logits]
        return {"size": 0 * turn.fake_logits.mean()}


class Silent(NonSaturating):
    """Its generator phase asks for no logits of `turn.fake`, so that a regularizer is the first to do so."""

    def generator(self, turn):
        return {"fake": turn.fake.mean()}


class Twice(NonSaturating):
    def generator(self, turn):
        self.seen = [turn.logits(turn.fake), turn.logits(turn.fake), turn.logits(turn.fake + 0, stands_for="fake")]
        self.other = turn.logits(turn.fake + 0)
        return {"fake": softplus(-self.seen[0]).mean()}


def test_every_access_to_the_logits_of_fakes_is_selected():
    loss, halving = Twice(IMAGE), Halving()
    make(loss, more={"regularizers": {"halving": halving}}).step()
    for logits in [*loss.seen, *halving.read]:
        torch.testing.assert_close(logits, loss.other / 2)
    assert halving.read[0] is loss.seen[0], "a regularizer costs no pass"


def test_a_regularizer_that_asks_first_gets_the_selected_logits_too():
    halving = Halving()
    trainer = make(Silent(IMAGE), more={"regularizers": {"halving": halving}})
    trainer.step()
    assert halving.read[0] is halving.read[1]
    torch.testing.assert_close(halving.read[0], halving.inside / 2)


def test_a_loss_that_hides_its_fakes_from_a_regularizer_that_selects_is_noticed():
    class Hidden(NonSaturating):
        def generator(self, turn):
            return {"fake": softplus(-turn.logits(turn.fake + 0)).mean()}

    for loss, phases in ((Hidden(IMAGE), {"generator"}), (Twice(IMAGE), set())):
        trainer = make(loss, more={"regularizers": {"halving": Halving()}})
        trainer.step()
        assert trainer.unselected == phases


def test_the_fakes_that_a_loss_scored_are_known_with_their_labels():
    class Relabelled(NonSaturating):
        def discriminator(self, turn):
            self.image, self.label = turn.fake + 1, torch.tensor([2, 1, 0, 2])
            fake = turn.logits(self.image, self.label, stands_for="fake")
            turn.logits(turn.fake, turn.label)
            self.scored, self.turn = turn.scored_fake, turn
            return {"fake": softplus(fake).mean()}

        def generator(self, turn):
            found, label = turn.scored_fake
            assert found.equal(turn.fake) and label is turn.label, "before the loss has scored any"
            return super().generator(turn)

    loss = Relabelled(IMAGE)
    make(loss).step()
    assert loss.scored[0].equal(loss.image) and loss.scored[1] is loss.label


class Looks(Regularizer):
    def forward(self, turn):
        self.real, self.fake = turn.real_logits, turn.fake_logits
        return {"size": 0 * self.real.mean()}


@pytest.mark.parametrize("copy", ["clone", "detach"])
def test_equal_contents_are_not_the_same_images(copy):
    class Copies(NonSaturating):
        def discriminator(self, turn):
            assert turn.real is turn.real and turn.fake is turn.fake
            self.real = turn.logits(getattr(turn.real, copy)())
            return {"real": softplus(-self.real).mean()}

    loss, looks = Copies(IMAGE), Looks()
    trainer = make(loss, more={"regularizers": {"looks": looks}})
    trainer.step()
    assert looks.real is not loss.real and torch.equal(looks.real, loss.real)


def test_other_labels_are_other_logits():
    class Wrong(NonSaturating):
        def discriminator(self, turn):
            label = None if turn.label is None else (turn.label + 1) % 3
            self.wrong, self.right = turn.logits(turn.real, label), turn.logits(turn.real, turn.label)
            return {"real": softplus(-self.right).mean()}

    loss, looks = Wrong(IMAGE), Looks()
    trainer = make(loss, more={"regularizers": {"looks": looks}})
    trainer.image = ImageSpec(IMAGE.size, IMAGE.channels, 3)
    trainer.batches.image = trainer.image
    trainer.step()
    assert looks.real is loss.right


class Heads(nn.Module):
    """A discriminator with batch norm that returns logits, features, and a number that belongs to no sample."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(IMAGE.channels)
        self.last = nn.Linear(IMAGE.channels * IMAGE.size**2, 1)

    def forward(self, images, label=None, features=False):
        inner = self.norm(images).flatten(1)
        logits = self.last(inner).flatten()
        return (logits, [inner], inner.std()) if features else logits


def test_real_and_fake_in_one_pass_share_batch_norm_and_keep_their_heads():
    class Both(NonSaturating):
        def discriminator(self, turn):
            self.turn = turn
            self.real, self.fake = turn.logits_of_both(features=True)
            self.changed = turn.logits_of_both(real=turn.real + 1)
            return {"real": softplus(-self.real[0]).mean(), "fake": softplus(self.fake[0]).mean()}

    loss, looks = Both(IMAGE), Looks()
    trainer = make(loss, discriminator=Heads(), more={"regularizers": {"looks": looks}})
    weights = [parameter.detach().clone() for parameter in trainer.discriminator.parameters()]
    trainer.step()
    for parameter, before in zip(trainer.discriminator.parameters(), weights, strict=True):
        parameter.data.copy_(before)
    logits, (features,), number = trainer.discriminator(torch.cat([loss.turn.real, loss.turn.fake]), features=True)
    assert torch.equal(torch.cat([loss.real[0], loss.fake[0]]), logits)
    assert torch.equal(loss.real[1][0], features[:4]) and torch.equal(loss.fake[1][0], features[4:])
    assert loss.real[2] == loss.fake[2] == number
    assert looks.real is loss.real[0] and looks.fake is loss.fake[0]
    assert not torch.equal(loss.changed[0], loss.real[0])


def test_images_stand_for_real_ones_or_fakes_alone():
    class Wrong(NonSaturating):
        def discriminator(self, turn):
            return {"real": turn.logits(turn.real, stands_for="reel").mean()}

    with pytest.raises(ValueError, match="'real' or 'fake', not 'reel'"):
        make(Wrong(IMAGE)).step()


def test_an_epoch_is_a_pass_over_the_images():
    seen = []

    class Counting(NonSaturating):
        def discriminator(self, turn):
            seen.append(turn.epoch)
            return super().discriminator(turn)

    images = torch.randint(256, (6, 8, 8, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    trainer = make(Counting(IMAGE), batch_size=4)
    trainer.batches = Batches(ImageData(images, None, (), "six", "0"), batch_size=4, seed=0)
    for _ in range(4):
        trainer.step()
    assert seen == [0, 0, 1, 2]

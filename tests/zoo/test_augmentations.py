"""DiffAugment and ADA: each operation by hand, independence of the split of a batch, the adaptation of p."""

import math

import pytest
import stepping
import torch
from contract.harness import IMAGE, make

from ganzoo import ImageSpec, Schedule
from ganzoo.losses import zero_centred_penalty
from ganzoo.networks import shifted
from ganzoo_plugins.augmentations import ada, diffaugment, matrices

DOUBLE = torch.float64


def pictures(count=4, channels=3, size=16):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(3), dtype=DOUBLE) * 2 - 1


def smooth(channels=1, size=16):
    """A picture without fine detail and without symmetry, which a quarter turn moves but hardly blurs."""
    place = torch.linspace(-1, 1, size, dtype=DOUBLE)
    return torch.exp(-4 * ((place[None] - 0.2) ** 2 + (place[:, None] + 0.3) ** 2)).expand(1, channels, size, size)


def part(name, image=IMAGE, **options):
    return stepping.part("augmentations", name, image, **options).to(DOUBLE)


# -- DiffAugment -----------------------------------------------------------------------------------------------------


def test_colours_by_hand():
    images, share = pictures(), torch.tensor([0.0, 0.25, 0.5, 0.9], dtype=DOUBLE).view(4, 1, 1, 1)
    torch.testing.assert_close(diffaugment.brightness(images, share)[1], images[1] - 0.25)
    grey = diffaugment.saturation(images, share)[0]
    torch.testing.assert_close(grey, images[0].mean(0).expand(3, -1, -1))
    torch.testing.assert_close(diffaugment.saturation(images, share)[2], images[2])
    mean = images[3].mean()
    torch.testing.assert_close(diffaugment.contrast(images, share)[3], 1.4 * (images[3] - mean) + mean)
    torch.testing.assert_close(diffaugment.contrast(images, share)[2], images[2])


def test_translation_by_known_shifts():
    images = pictures()
    down, right = torch.tensor([0, 2, -3, 1]), torch.tensor([0, -1, 0, 4])
    moved = shifted(images, down, right)
    assert torch.equal(moved[0], images[0])
    assert (
        torch.equal(moved[1, :, 2:, :-1], images[1, :, :-2, 1:])
        and not moved[1, :, :2].any()
        and not moved[1, :, :, -1:].any()
    )
    assert torch.equal(moved[2, :, :-3], images[2, :, 3:]) and not moved[2, :, -3:].any()
    assert torch.equal(moved[3, :, 1:, 4:], images[3, :, :-1, :-4])


def test_cutout_makes_a_hole_of_its_size_and_less_at_the_border():
    ones = torch.ones(3, 1, 16, 16)
    cut = diffaugment.cut_out(ones, torch.tensor([8, 0, 16]), torch.tensor([8, 0, 8]), (8, 8))
    assert [(image == 0).sum().item() for image in cut] == [64, 16, 32]
    assert not cut[0, 0, 4:12, 4:12].any() and not cut[1, 0, :4, :4].any() and not cut[2, 0, 12:, 4:12].any()


def test_random_steps_stay_within_their_ranges_and_reach_them():
    torch.manual_seed(0)
    ones = torch.ones(2000, 1, 32, 32)
    shift = (part("diffaugment", policy="translation")(ones).sum((1, 2, 3)) / 32).min()
    assert shift == 28 * 28 / 32, "at most 4 of 32 pixels each way"
    holes = 1024 - part("diffaugment", policy="cutout")(ones).sum((1, 2, 3))
    assert (holes.min(), holes.max()) == (64, 256), "a hole of 16, whose middle is in the image"
    brighter = part("diffaugment", policy="color")(ones).mean((1, 2, 3))
    assert 0.5 <= brighter.min() < 0.51 and 1.49 < brighter.max() <= 1.5


def test_policy_is_an_order_and_unknown_steps_are_refused():
    assert part("diffaugment", policy="cutout, color").steps == ["cutout", "color"]
    for policy in ("colour", "", "color;cutout"):
        with pytest.raises(ValueError, match="policy must list some of color, translation, cutout"):
            part("diffaugment", policy=policy)


def test_gradients_flow_through_every_step_twice():
    images = pictures(2, size=8).requires_grad_(True)
    augmentation = part("diffaugment")

    def cubed(x):
        torch.manual_seed(1)
        return augmentation(x).pow(3)

    assert torch.autograd.gradcheck(cubed, images, fast_mode=True) and torch.autograd.gradgradcheck(
        cubed, images, fast_mode=True
    )


# -- adaptive augmentation -------------------------------------------------------------------------------------------


def test_ada_at_p_zero_is_the_identity_and_so_is_an_identical_placement():
    images = pictures()
    assert part("ada")(images) is images
    same = torch.eye(3, dtype=DOUBLE).expand(4, 3, 3)
    torch.testing.assert_close(matrices.resampled(images, same), images, rtol=0, atol=1e-10)
    augmentation = part("ada")
    torch.testing.assert_close(augmentation.placement(images), same)
    torch.testing.assert_close(augmentation.colouring(images), torch.eye(4, dtype=DOUBLE).expand(4, 4, 4))


def test_placements_move_images_as_they_say():
    one, none = torch.ones(1, dtype=DOUBLE), torch.zeros(1, dtype=DOUBLE)
    image, inner = smooth(), (..., slice(4, 12), slice(4, 12))
    shifted = matrices.resampled(image, matrices.shift(-3 * one, none))
    torch.testing.assert_close(shifted[..., 3:], image[..., :-3], rtol=0, atol=1e-10)
    torch.testing.assert_close(
        shifted[..., :3], image[..., 1:4].flip(-1), rtol=0, atol=1e-10
    )  # reflected at the border
    close = {
        "rtol": 0,
        "atol": 0.03,
    }  # the filter is not quite symmetric: what is mirrored moves by a fifth of a pixel, as in the official code
    torch.testing.assert_close(matrices.resampled(image, matrices.scaling(-one, one)), image.flip(3), **close)
    turned = matrices.resampled(image, matrices.rotation(math.pi / 2 * one))
    torch.testing.assert_close(turned, torch.rot90(image, 1, (2, 3)), **close)
    place = torch.linspace(-1, 1, 16, dtype=DOUBLE)
    larger = torch.exp(-4 * ((place[None] / 1.25 - 0.2) ** 2 + (place[:, None] / 1.25 + 0.3) ** 2)).expand(1, 1, 16, 16)
    scaled = matrices.resampled(image, matrices.scaling(0.8 * one, 0.8 * one))
    torch.testing.assert_close(scaled[inner], larger[inner], rtol=0, atol=1e-2)


def test_colour_matrices_by_hand():
    colour = torch.tensor([[1.0], [0.0], [0.0], [1.0]], dtype=DOUBLE)  # red

    def third(number):
        return torch.tensor([number], dtype=DOUBLE)

    turned = matrices.hue_rotation(third(2 * math.pi / 3)) @ colour
    torch.testing.assert_close(turned[0, :, 0], torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=DOUBLE))  # red becomes green
    half = matrices.hue_rotation(third(math.pi)) @ colour
    torch.testing.assert_close(half[0, :, 0], torch.tensor([-1 / 3, 2 / 3, 2 / 3, 1.0], dtype=DOUBLE))
    flipped = matrices.luma_flip(third(1.0)) @ colour
    torch.testing.assert_close(flipped[0, :, 0], torch.tensor([1 / 3, -2 / 3, -2 / 3, 1.0], dtype=DOUBLE))
    grey = matrices.saturation(third(0.0)) @ colour
    torch.testing.assert_close(grey[0, :3, 0], torch.full((3,), 1 / 3, dtype=DOUBLE))
    vivid = matrices.saturation(third(2.0)) @ colour
    torch.testing.assert_close(vivid[0, :3, 0], torch.tensor([5 / 3, -1 / 3, -1 / 3], dtype=DOUBLE))


@pytest.mark.parametrize(
    "name, colours, moves",
    [
        ("diffaugment", {"policy": "color"}, {"policy": "translation,cutout"}),
        ("ada", {"pipeline": "c", "target": None, "start": 1.0}, {"pipeline": "bg", "target": None, "start": 1.0}),
    ],
)
def test_alpha_moves_with_the_colours_and_is_not_recoloured(name, colours, moves):
    images = pictures(4, channels=4)
    images[:, 3] = images[:, 0]
    augmentation = part(name, ImageSpec(16, 4), **colours)
    torch.manual_seed(1)
    changed = augmentation(images)
    assert torch.equal(changed[:, 3], images[:, 3]) and not torch.allclose(changed[:, :3], images[:, :3])
    augmentation = part(name, ImageSpec(16, 4), **moves)
    torch.manual_seed(1)
    changed = augmentation(images)
    torch.testing.assert_close(changed[:, 3], changed[:, 0])
    assert not torch.allclose(changed[:, 3], images[:, 3])


def test_images_are_recoloured_and_grey_ones_take_the_mean_row():
    matrix = torch.eye(4, dtype=DOUBLE)[None].clone()
    matrix[0, :3] *= 2
    matrix[0, :3, 3] = 0.5
    images = pictures(1)
    torch.testing.assert_close(matrices.recoloured(images, matrix), 2 * images + 0.5)
    torch.testing.assert_close(matrices.recoloured(images[:, :1], matrix), 2 * images[:, :1] + 0.5)
    flip = matrices.luma_flip(torch.ones(1, dtype=DOUBLE))
    torch.testing.assert_close(matrices.recoloured(images[:, :1], flip), -images[:, :1])


def test_every_transformation_happens_as_often_as_p_says():
    torch.manual_seed(0)
    many = torch.zeros(4000, 3, 16, 16, dtype=DOUBLE)

    def share(found, neutral):
        return (found - neutral).abs().flatten(1).amax(1).gt(1e-9).double().mean().item()

    augmentation = part("ada", ImageSpec(16, 3), start=0.3)
    same, plain = torch.eye(3, dtype=DOUBLE), torch.eye(4, dtype=DOUBLE)
    # Mirror and quarter turns include the neutral one; a shift below half a pixel is one of 5 whole shifts each way.
    assert share(augmentation.colouring(many), plain) == pytest.approx(1 - 0.7**4 * 0.85, abs=0.03)
    augmentation.pipeline = "g"
    assert share(augmentation.placement(many), same) == pytest.approx(1 - 0.7**4, abs=0.03), (
        "both rotations together have p"
    )
    augmentation.pipeline = "b"
    still = 0.85 * (1 - 0.3 * 0.75) * (1 - 0.3 * (1 - (1 / 4) ** 2))
    assert share(augmentation.placement(many), same) == pytest.approx(1 - still, abs=0.03)


def test_the_augmentation_of_r3gan_halves_colours_and_cuts_holes():
    """brownvc/R3GAN, train.py: brightness, contrast, lumaflip, hue and saturation 0.5, cutout 1, all times p."""
    torch.manual_seed(0)
    augmentation = part("ada", ImageSpec(16, 3), target=None, start=0.4, colour=0.5, cutout=1.0)
    many = torch.ones(4000, 3, 16, 16, dtype=DOUBLE)
    change = (augmentation.colouring(many) - torch.eye(4, dtype=DOUBLE)).abs().flatten(1).amax(1) > 1e-9
    assert change.double().mean().item() == pytest.approx(1 - 0.8**4 * 0.9, abs=0.03)
    holes = (augmentation._with_hole(many) == 0)[:, 0].double()
    assert holes.amax((1, 2)).mean().item() == pytest.approx(0.4, abs=0.03)
    assert holes.sum((1, 2)).max() == 64 and holes[:, 7:9].mean() > holes[:, :2].mean() > 0
    assert augmentation(many[:64]).isfinite().all() and not augmentation.needs_boundary


def test_p_moves_by_the_formula():
    augmentation = part("ada", interval=4, images=1000)
    for step in range(8):
        augmentation.observe(
            torch.tensor([1.0, 2.0, 3.0, 4.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype=DOUBLE)
        )  # the mean sign is 0.8
        augmentation.adapt(1)
        assert augmentation.p.item() == pytest.approx([0, 0, 0, 0.04, 0.04, 0.04, 0.04, 0.08][step])
    for _ in range(4):
        augmentation.observe(torch.tensor([1.0, -1.0], dtype=DOUBLE))
        augmentation.adapt(3)  # three processes saw as much
    assert augmentation.p.item() == pytest.approx(0.08 - 0.008 * 3)
    for _ in range(40):
        augmentation.observe(torch.tensor([-1.0, -1.0], dtype=DOUBLE))
        augmentation.adapt(1)
    assert augmentation.p == 0, "it never goes below nothing"
    for _ in range(400):
        augmentation.observe(torch.ones(10, dtype=DOUBLE))
        augmentation.adapt(1)
    assert augmentation.p == 1, "it never goes above always"
    fixed = part("ada", target=None, start=0.25)
    fixed.observe(torch.ones(4, dtype=DOUBLE))
    fixed.adapt(1)
    assert fixed.p == 0.25
    trainer = make(
        more={"augmentation": part("ada", target=None)}, schedules={"augmentation.start": Schedule(to_value=1.0)}
    )
    assert [(trainer.step(), trainer.augmentation.p.item())[1] for _ in range(3)] == pytest.approx([0, 0.1, 0.2])


def test_ada_can_be_differentiated_twice_as_r1_needs():
    augmentation = part("ada", ImageSpec(8, 3), start=1.0)
    images = pictures(2, size=8).requires_grad_(True)

    def cubed(x):
        torch.manual_seed(1)
        return augmentation(x).pow(3)

    assert torch.autograd.gradcheck(cubed, images, fast_mode=True) and torch.autograd.gradgradcheck(
        cubed, images, fast_mode=True
    )
    assert zero_centred_penalty(lambda x: cubed(x).sum((1, 2, 3)), images) > 0


@pytest.mark.parametrize(
    "options",
    [{"pipeline": "bgx"}, {"pipeline": ""}, {"interval": 0}, {"start": -1.0}, {"start": 1.5}, {"cutout": 2.0}],
    ids=str,
)
def test_options_of_ada_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        ada.Adaptive(IMAGE, **options)


# -- in the engine ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), [("diffaugment", {}), ("ada", {"start": 0.8})])
def test_how_a_batch_is_split_changes_nothing(name, options):
    whole, split = (
        make(batch_size=8, more={"augmentation": part(name, **options)}, accumulate=count) for count in (1, 4)
    )
    for _ in range(2):
        expected, terms = whole.step(), split.step()
        for key, value in expected.items():
            torch.testing.assert_close(terms[key], value, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        split.modules()["augmentation"].state_dict(), whole.modules()["augmentation"].state_dict()
    )


def test_real_and_fake_images_get_draws_of_their_own():
    seen = []
    augmentation = part("diffaugment", policy="color")
    augmentation.register_forward_hook(lambda module, inputs, output: seen.append(output - inputs[0]))
    make(more={"augmentation": augmentation}).step()
    changes = [change.detach().mean((1, 2, 3)) for change in seen]
    assert len(changes) == 3 and len(torch.cat(changes).unique()) == 12

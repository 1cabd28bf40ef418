"""`ganzoo.invert`: what a generator made itself is found again in z, w and w+, and wrong requests are refused."""

import math

import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import save_file
from test_styles import OneStyle
from torch import nn

import ganzoo
from ganzoo import Field, ImageSpec, SampleSpec
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.files.pictures import to_pillow, to_uint8
from ganzoo.models.clamping import ThroughClamp
from ganzoo.models.distances import LAYERS, Pyramid, distance_for
from ganzoo.models.explore import explore, sample_rows
from ganzoo.models.inversion import invert, ramp
from ganzoo.models.latents import Latents, images_of, read_latents, walk
from ganzoo.models.noise import autocorrelation, noise_shapes, normalized
from ganzoo.models.tuning import tune
from ganzoo.networks import Code, Generator, UniformGenerator
from ganzoo.networks.lpips import LPIPS
from ganzoo.networks.perceptual import VGG19


class Seen(Generator):
    """tanh of an orthogonal map of the latent, as 4×4 images: every image has one latent."""

    latent_dim = 16

    def __init__(self, classes=0):
        super().__init__()
        torch.manual_seed(1)
        self.weight = nn.Parameter(torch.linalg.qr(torch.randn(16, 16))[0] * 0.3)
        self.shift = nn.Parameter(torch.linspace(-0.5, 0.5, max(classes, 1))[:, None].expand(-1, 16).clone())

    def forward(self, latent, label=None):
        shift = self.shift[0] if label is None else self.shift[label]
        return (latent @ self.weight + shift).tanh().view(-1, 1, 4, 4)


def seen(classes=0):
    return tiny.model_of(Seen(classes), ImageSpec(4, 1, classes))


@pytest.fixture(scope="module")
def stylegan2():
    return tiny.styled()


def test_latents_are_found_again_and_a_seed_repeats_at_any_batch_size():
    model = seen()
    truth = model.latent(5, seed=9)
    found = invert(model, model.generate(truth), steps=150, starts=2, draws=50)
    assert torch.allclose(found.latents.values, truth, atol=0.02)
    assert (found.distance < found.start / 1000).all() and (found.psnr > 45).all()
    assert torch.equal(found.images, model.generate(found.latents.values))
    again = ganzoo.invert(model, model.generate(truth), steps=150, starts=2, draws=50)
    assert torch.equal(again.latents.values, found.latents.values)
    apart = invert(model, model.generate(truth), steps=150, starts=2, draws=50, batch_size=2)
    assert torch.allclose(apart.latents.values, found.latents.values, atol=1e-4)


def test_no_steps_give_the_nearest_of_the_drawn_latents():
    model = seen()
    drawn = model.latent(40)
    found = invert(model, model.generate(drawn[[7, 30]]), steps=0, draws=40)
    assert torch.equal(found.latents.values, drawn[[7, 30]])
    assert torch.equal(found.start, found.distance) and (found.psnr > 100).all()


def test_the_class_is_found_or_given():
    model = seen(classes=3)
    images = model.generate(model.latent(3, seed=5) * 0.1, torch.tensor([2, 0, 1]))
    found = invert(model, images, steps=0, draws=600)
    assert found.latents.labels.tolist() == [2, 0, 1]
    given = invert(model, images, steps=100, starts=1, label="class 1")
    assert given.latents.labels.tolist() == [1, 1, 1] and (given.psnr > 30).all()


class Coded(UniformGenerator):
    """Uniform noise, a category of two, and a continuous number within [-1, 1]."""

    latent_dim = 5
    codes = (Code("kind", 2, 2, "categorical"), Code("slant", 4, 1, "continuous", -0.5, 0.5))

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(5, 16) * 0.9)

    def latent(self, n, random):
        latent = super().latent(n, random)
        latent[:, 2:4] = torch.eye(2)[(latent[:, 2] > 0).long()]
        return latent

    def forward(self, latent, label=None):
        return (latent @ self.weight).view(-1, 1, 4, 4)


def test_bounds_of_the_prior_hold_and_categories_stay_whole():
    model = tiny.model_of(Coded(), ImageSpec(4, 1))
    far = torch.tensor([[1.1, -1.1, 0.0, 1.1, 1.1]])
    found = invert(model, model.generate(far).clamp(-1, 1), steps=200, starts=1, draws=100).latents.values[0]
    assert found[2:4].tolist() == [0, 1] and found[4] == 0.5
    assert found[0] == pytest.approx(1, abs=2e-3) and found[1] == pytest.approx(-1, abs=2e-3)
    free = invert(model, model.generate(far).clamp(-1, 1), steps=200, starts=1, draws=100, bounded=False)
    assert free.latents.values[0, 0] > 1.05 and free.latents.values[0, 2:4].tolist() == [0, 1]


def test_styles_of_own_images_are_found_again(stylegan2):
    latent = stylegan2.latent(2, seed=11)
    truth = stylegan2.style(latent)
    found = invert(stylegan2, stylegan2.render(truth), steps=150, noise=False)
    assert found.space == "w" and found.latents.styled and found.latents.noise == ()
    assert (found.distance < found.start / 20).all()
    assert (found.latents.values[:, :1] == found.latents.values).all()  # one style for all layers
    before = truth[:, 0] - stylegan2.style(stylegan2.latent(10_000)).mean((0, 1))
    assert ((found.latents.values - truth)[:, 0].norm(dim=1) < 0.5 * before.norm(dim=1)).all()
    plus = invert(stylegan2, stylegan2.render(truth), space="w+", steps=150, noise=False)
    assert plus.space == "w+" and plus.latents.values.shape == truth.shape
    assert (plus.latents.values[:, :1] != plus.latents.values[:, 1:]).any() and (plus.distance < found.start / 10).all()


def test_noise_is_searched_too_and_stays_noise(stylegan2):
    generator = torch.Generator().manual_seed(3)
    maps = [torch.randn(1, *shape, generator=generator) for shape in noise_shapes(stylegan2)]
    assert [tuple(one.shape[1:]) for one in maps] == [(1, 4, 4), *[(1, 8, 8)] * 2, *[(1, 16, 16)] * 2]
    target = stylegan2.render(stylegan2.style(stylegan2.latent(1, seed=2)), noise=maps)
    with_noise = invert(stylegan2, target, steps=120, noise_weight=0.01)
    without = invert(stylegan2, target, steps=120, noise=False)
    assert with_noise.distance < without.distance / 2
    for one, stored in zip(with_noise.latents.noise, stylegan2.generator.layers, strict=True):
        assert one.mean().abs() < 1e-4 and one.var(correction=0) == pytest.approx(1, abs=1e-3)
        assert not torch.equal(one[0, 0], stored.noise)


def test_styles_of_classes_begin_at_the_mean_of_the_nearest_class():
    model = tiny.styled(classes=3)
    labels = torch.tensor([2, 0])
    mean = torch.stack([model.style(model.latent(300), torch.full((300,), int(one))).mean(0) for one in labels])
    found = invert(model, model.render(mean, labels), steps=0, noise=False)
    assert found.latents.labels.tolist() == [2, 0] and (found.psnr > 25).all()


def test_a_style_for_the_whole_image_has_no_layers():
    model = tiny.model_of(OneStyle(), ImageSpec(2, 1))
    found = invert(model, model.sample(1, seed=4), steps=100)
    assert found.latents.values.shape == (1, 4) and found.distance < found.start / 20
    with pytest.raises(UsageError, match="one style"):
        invert(model, model.sample(1), space="w+")


def test_points_are_inverted_as_tensors():
    class Plane(Generator):
        latent_dim = 2

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[2.0, 1.0], [0.0, 1.0]]))

        def forward(self, latent, label=None):
            return latent @ self.weight

    model = tiny.model_of(Plane(), SampleSpec(Field((2,), "points")))
    found = invert(model, torch.tensor([[1.5, -0.5], [3.0, 3.0]]), steps=100)
    assert torch.allclose(found.images, found.targets, atol=0.02)
    with pytest.raises(UsageError, match="points.*tensor"):
        invert(model, Image.new("L", (4, 4)))


def test_pictures_become_targets_as_training_data_does():
    model = seen()
    wide = Image.new("RGBA", (32, 8), (0, 0, 0, 255))
    wide.paste((0, 0, 0, 0), (2, 0, 30, 8))  # the middle is transparent: white
    found = invert(model, [wide, Image.new("L", (2, 2), 51)], steps=0)
    assert (found.targets[0] == 1).all() and torch.allclose(found.targets[1], torch.tensor(-0.6))
    made = to_pillow(to_uint8(model.sample(1))[0])
    assert torch.allclose(invert(model, made, steps=0).targets, model.sample(1), atol=0.005)


@pytest.mark.parametrize(
    "images, options, words",
    [
        (torch.zeros(1, 1, 4, 4), {"space": "w"}, "no styles"),
        (torch.zeros(1, 1, 4, 4), {"space": "p"}, "z, w or w+"),
        (torch.zeros(1, 1, 4, 4), {"noise": True}, "noise"),
        (torch.zeros(1, 1, 4, 4), {"label": "bag"}, "unconditional"),
        (torch.zeros(1, 1, 4, 4), {"steps": -1}, "steps"),
        (torch.zeros(1, 1, 4, 4), {"starts": 0}, "starts"),
        (torch.zeros(1, 1, 5, 4), {}, r"\(1, 1, 5, 4\)"),
        (torch.zeros(0, 1, 4, 4), {}, "invert takes"),
        (torch.full((1, 1, 4, 4), 3.0), {}, r"\[-1, 1\]"),
        (torch.full((1, 1, 4, 4), math.nan), {}, r"\[-1, 1\]"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), {}, "uint8"),
        ([], {}, "at least one"),
        (["photo.png"], {}, "Pillow"),
    ],
)
def test_wrong_requests(images, options, words):
    with pytest.raises(UsageError, match=words):
        invert(seen(), images, **options)


def test_a_generator_without_gradients_or_finite_samples_is_a_line():
    class Cut(Seen):
        def forward(self, latent, label=None):
            return super().forward(latent).detach()

    class Broken(Seen):
        def forward(self, latent, label=None):
            return super().forward(latent) * math.nan

    for kind, words in ((Cut, "no gradient"), (Broken, "not finite")):
        with pytest.raises(UsageError, match=words):
            invert(tiny.model_of(kind(), ImageSpec(4, 1)), torch.zeros(1, 1, 4, 4), steps=1)


def test_a_search_leaves_clamped_pixels():
    class Clamped(Seen):
        def forward(self, latent, label=None):
            return (latent @ self.weight + 4.0).clamp(-1, 1).view(-1, 1, 4, 4)  # white for most latents

    model = tiny.model_of(Clamped(), ImageSpec(4, 1))
    found = invert(model, torch.full((1, 1, 4, 4), -0.5), steps=200, starts=1, draws=10, rate=0.5, bounded=False)
    assert found.start > 1 and found.distance < 1e-3
    x = torch.tensor([-2.0, 0.5, 2.0], requires_grad=True)
    with ThroughClamp():
        through, other = x.clamp(min=-1, max=1), x.clamp(-1.5, 1.5)
    assert torch.equal(through, torch.tensor([-1.0, 0.5, 1.0]))
    assert torch.autograd.grad(through.sum(), x)[0].tolist() == [1, 1, 1]
    assert torch.autograd.grad(other.sum(), x)[0].tolist() == [0, 1, 0]


def test_the_pyramid_sees_averages():
    one, other = torch.rand(2, 1, 16, 16) * 2 - 1, torch.rand(2, 1, 16, 16) * 2 - 1
    distance = Pyramid()
    found = distance.between(distance.features(one), distance.features(other))
    by_hand = sum(
        (one - other).view(2, 16 // size, size, 16 // size, size).mean((2, 4)).square().mean((1, 2))
        for size in (1, 2, 4)
    )
    assert torch.allclose(found, by_hand, rtol=1e-5)


def test_perceptual_distances_are_those_of_the_networks(tmp_path):
    torch.manual_seed(0)
    images, truth = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    square = (images - truth).square().mean((1, 2, 3))
    spec, cpu = ImageSpec(32, 3), torch.device("cpu")
    alex = LPIPS().eval()
    for number in range(5):
        alex.get_submodule(f"lin{number}.model.1").weight.data.abs_()
    save_file(alex.state_dict(), tmp_path / "alex.safetensors")
    distance = distance_for(spec, tmp_path / "alex.safetensors", cpu)
    found = distance.between(distance.features(images), distance.features(truth))
    assert torch.allclose(found, square + alex(images, truth), rtol=1e-4) and distance.name == "lpips"
    grey = torch.zeros(1, 3, 32, 32, requires_grad=True)
    distance.between(distance.features(grey), distance.features(truth[:1])).sum().backward()
    assert torch.isfinite(grey.grad).all()
    with pytest.raises(UsageError, match="at least 32"):
        distance_for(ImageSpec(28, 1), tmp_path / "alex.safetensors", cpu)
    with pytest.raises(UsageError, match="grey or RGB"):
        distance_for(ImageSpec(32, 4), tmp_path / "alex.safetensors", cpu)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="VGG-19"):
        distance_for(spec, tmp_path / "other.safetensors", cpu)


def test_vgg_19_has_the_weights_of_pix2pixhd(tmp_path):
    torch.manual_seed(0)
    network = VGG19(LAYERS)
    save_file(network.state_dict(), tmp_path / "vgg19.safetensors")
    images, truth = torch.rand(2, 1, 16, 16) * 2 - 1, torch.rand(2, 1, 16, 16) * 2 - 1
    distance = distance_for(ImageSpec(16, 1), tmp_path / "vgg19.safetensors", torch.device("cpu"))
    found = distance.between(distance.features(images), distance.features(truth))
    whole = (images - truth).square().mean() + network(images, truth).detach()
    assert found.mean() == pytest.approx(float(whole), rel=1e-4) and distance.name == "vgg19"


def test_autocorrelation_of_pictures_and_of_noise():
    noise = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    ramp_map = torch.linspace(-1.7, 1.7, 32).expand(2, 1, 32, 32)
    by_hand = torch.zeros(2)
    for size in (1, 2, 4):
        small = noise[:, 0].view(2, 32 // size, size, 32 // size, size).mean((2, 4)) * size
        by_hand += sum((small * small.roll(1, axis)).mean((1, 2)).square() for axis in (1, 2))
    assert torch.allclose(autocorrelation([noise]), by_hand, rtol=1e-4)
    assert (autocorrelation([ramp_map]) > 50 * autocorrelation([noise])).all()
    (found,) = normalized([noise * 3 + 1])
    assert torch.allclose(found.mean((2, 3)), torch.zeros(2, 1), atol=1e-5)
    assert torch.allclose(found.square().mean((2, 3)), torch.ones(2, 1), rtol=1e-4)


def test_the_rate_rises_and_falls():
    assert ramp(0) == 0 and ramp(0.025) == 0.5 and ramp(0.5) == 1 and ramp(0.875) == pytest.approx(0.5) and ramp(1) == 0


def test_latents_are_kept_moved_and_walked_between(stylegan2, tmp_path):
    labels = None
    maps = tuple(torch.randn(3, *shape) for shape in noise_shapes(stylegan2))
    latents = Latents(stylegan2.style(stylegan2.latent(3, seed=5)), True, labels, maps)
    latents.save(tmp_path / "latents.safetensors")
    read = read_latents(tmp_path / "latents.safetensors", stylegan2)
    assert read.styled and torch.equal(images_of(stylegan2, read), images_of(stylegan2, latents))
    assert not torch.allclose(images_of(stylegan2, latents), stylegan2.render(latents.values))
    rows = explore(stylegan2, directions=1, steps=3, latents=read)
    moved = sample_rows(stylegan2, rows)[0]
    assert torch.allclose(moved[:, 1], images_of(stylegan2, read), atol=1e-5)
    frames = list(walk(stylegan2, read, 2, closed=False))
    assert len(frames) == 5 and torch.allclose(torch.cat(frames[::2]), images_of(stylegan2, read), atol=1e-5)
    assert len(list(walk(stylegan2, read, 2))) == 6


def test_files_that_do_not_fit(stylegan2, tmp_path):
    file = tmp_path / "latents.safetensors"
    model = seen(classes=3)
    Latents(model.latent(2), labels=torch.tensor([0, 2])).save(file)
    assert read_latents(file, model).labels.tolist() == [0, 2]
    with pytest.raises(UsageError, match="'tiny'.*unconditional"):
        read_latents(file, seen())
    cases = [
        ({"latent": torch.zeros(2, 3)}, UsageError, r"\(3,\)"),
        ({"style": torch.zeros(2, 16)}, UsageError, "no styles"),
        ({"latent": torch.zeros(2, 16), "label": torch.tensor([0, 3])}, UsageError, "class"),
        ({"latent": torch.zeros(2, 16), "label": torch.tensor([0])}, CheckpointError, "rows"),
        ({"latent": torch.full((1, 16), math.inf), "label": torch.tensor([0])}, CheckpointError, "finite"),
        ({"weight": torch.zeros(2)}, CheckpointError, "neither"),
        ({"latent": torch.zeros(0, 16), "label": torch.zeros(0, dtype=torch.int64)}, UsageError, "no latent at all"),
    ]
    for tensors, error, words in cases:
        save_file(tensors, file)
        with pytest.raises(error, match=words):
            read_latents(file, model)
    Latents(stylegan2.style(stylegan2.latent(1)), True, None, (torch.zeros(1, 1, 3, 3),)).save(file)
    with pytest.raises(UsageError, match="noise"):
        read_latents(file, stylegan2)
    file.write_text("no tensors")
    with pytest.raises(CheckpointError, match="safetensors"):
        read_latents(file, stylegan2)


def test_tuning_changes_the_generator_at_the_pivot_and_less_elsewhere(stylegan2, tmp_path):
    target = torch.zeros(1, 1, 16, 16)
    target[:, :, 4:12, 4:8] = 0.9  # no image of this generator
    found = invert(stylegan2, target, steps=60)
    tuned = tune(stylegan2, found, steps=60, rate=0.003, name="faces")
    psnr = -10 * torch.log10((images_of(tuned, found.latents) - target).square().mean() / 4)
    assert psnr > found.psnr + 3
    others = stylegan2.latent(8, seed=1)
    elsewhere = (tuned.generate(others) - stylegan2.generate(others)).square().mean()
    free = tune(stylegan2, found, steps=60, rate=0.003, locality=0.0)
    assert elsewhere < (free.generate(others) - stylegan2.generate(others)).square().mean()
    assert tuned.config.training["tuned"]["of"]["model"] == "faces" and tuned.config.metrics == {}
    assert torch.equal(images_of(stylegan2, found.latents), found.images)  # the model itself is as it was
    with pytest.raises(UsageError, match="step"):
        tune(stylegan2, found, steps=0)


def test_latents_of_z_are_tuned_too():
    model = seen(classes=2)
    target = torch.linspace(-0.9, 0.9, 16).view(1, 1, 4, 4)
    found = invert(model, target, steps=0, draws=10)
    tuned = tune(model, found, steps=80, rate=0.01)
    after = images_of(tuned, found.latents)
    assert (after - target).square().mean() < (found.images - target).square().mean() / 4

"""StyleGAN2 against rosinality/stylegan2-pytorch and the official counts; its loss, its lazy steps, its layouts."""

import math

import pytest
import torch
from golden_values import close, converted, golden, under
from stepping import count_parameters, names_of, part, scripted_turn, small_trainer, step_by_phase
from torch.nn import functional

from ganzoo import ImageSpec, Part
from ganzoo.config.settings import resolve
from ganzoo.engine.build import build_part
from ganzoo.errors import UsageError
from ganzoo.layouts import Match
from ganzoo.models.start import freeze_layers
from ganzoo.registry.registry import registry
from ganzoo_plugins.stylegan2 import rescaled
from ganzoo_plugins.stylegan2.discriminator import with_deviation
from ganzoo_plugins.stylegan2.layers import ModulatedConvolution, doubled, halved, resampling_filter
from ganzoo_plugins.stylegan2.layouts import NVlabs, Rosinality, official
from ganzoo_plugins.stylegan2.loss import LazyLogistic

SMALL = {"channel_base": 64, "width": 8}
DRAWN = {**SMALL, "latent_dim": 6, "mapping_layers": 3}
CARDS = [variant for variant in registry().variants() if variant.name.startswith("stylegan2")]


# -- counts and cards --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "classes", "counts"),
    [
        ("stylegan2-ada-cifar", 32, 0, (19_947_539, 20_720_641)),
        ("stylegan2-ada-cifar", 32, 10, (20_215_315, 23_089_664)),
        ("stylegan2-ada", 32, 0, (19_947_539, 21_507_073)),
        ("stylegan2-ada", 64, 0, (22_243_608, 23_407_361)),
        ("stylegan2-ada", 128, 0, (22_949_277, 23_882_369)),
        ("stylegan2-ada", 256, 0, (23_191_522, 24_001_089)),
        ("stylegan2-ada-256", 256, 0, (24_767_458, 24_001_089)),
        ("stylegan2-ada-512", 512, 0, (30_276_583, 28_982_849)),
        ("stylegan2-ada-1024", 1024, 0, (30_370_060, 29_012_513)),
        ("stylegan2", 256, 0, (30_034_338, 28_864_129)),
    ],
)
def test_counts_are_the_official_ones(name, size, classes, counts):
    parts = resolve(registry().get("variants", name), (), registry()).parts
    with torch.device("meta"):
        built = [build_part(parts[role], ImageSpec(size, 3, classes)) for role in ("generator", "discriminator")]
    assert tuple(map(count_parameters, built)) == counts
    assert built[0].styles == 2 * int(math.log2(size)) - 2


def test_the_penalty_of_the_automatic_settings_grows_with_the_pixels():
    gammas = {size: part("losses", "lazy-logistic", ImageSpec(size, 3)).gamma for size in (32, 64, 128)}
    assert gammas == pytest.approx({32: 0.0064, 64: 0.0256, 128: 0.1024})


def test_adam_is_rescaled_for_the_lazy_steps():
    rate, options = rescaled(0.0025, 4)
    assert rate == pytest.approx(0.002) and options["betas"] == pytest.approx((0.0, 0.99**0.8))
    for card in CARDS:
        assert card.training.generator_lr / card.training.discriminator_lr == pytest.approx((4 / 5) / (16 / 17))
        assert card.augmentation == (None if card.name == "stylegan2" else Part("ada"))


# -- against rosinality ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored():
    return golden("stylegan2")


@pytest.fixture
def drawing(stored):
    return converted(Rosinality(), stored, "generator")


@pytest.fixture
def judging(stored):
    return converted(Rosinality(), stored, "discriminator")


def in_turn(stored, rows=slice(None)):
    """The stored noise, layer by layer."""
    maps = iter([stored[f"noise.{number}"] for number in range(5)])
    return lambda *shape: next(maps)[rows]


def test_the_layout_says_what_the_weights_are(stored):
    image, shapes = ImageSpec(16, 3), {role: shapes_of(under(stored, role)) for role in ("generator", "discriminator")}
    found = Rosinality().recognize(shapes["generator"])
    assert (found.part, found.image) == (Part("stylegan2", {"latent_dim": 6, "style_dim": 6, **DRAWN}), image)
    assert "10,000" in found.note
    assert Rosinality().recognize(shapes["discriminator"]) == Match(Part("stylegan2", SMALL), image, "discriminator")


def shapes_of(tensors):
    return {name: tuple(value.shape) for name, value in tensors.items()}


def test_images_are_those_of_rosinality(stored, drawing):
    drawing.eval()
    latent = stored["latent"][:3]
    assert close(drawing(latent), stored["images"].clamp(-1, 1)), "with the stored noise, and clamped"
    styles = drawing.mapping(latent)
    drawing.mean_style.copy_(stored["mean"])
    assert close(drawing.synthesis(drawing.truncate(styles, 0.7)), stored["truncated"].clamp(-1, 1))
    mixed = drawing.mixed(styles, stored["second"][:3], torch.full((3,), 2.0))
    assert close(drawing.synthesis(mixed), stored["mixed"].clamp(-1, 1))
    drawing.train()
    assert close(drawing(stored["latent"], noise=in_turn(stored))[:3], stored["fake"]), "unclamped in training"


def test_the_mean_style_is_that_of_many_latents(drawing):
    styles = drawing.map(torch.randn(50_000, 6, generator=torch.Generator().manual_seed(1)))
    assert (drawing.mean_style - styles.mean(0)).abs().max() < 0.05 * styles.std()


def test_logits_and_gradients_of_every_phase_are_those_of_rosinality(stored, drawing, judging):
    loss = LazyLogistic(ImageSpec(16, 3), gamma=10.0, mixing=0.0)
    with torch.no_grad():
        fake = drawing(stored["latent"], noise=in_turn(stored))
        assert close(judging(fake), stored["fake_logits"]) and close(judging(stored["real"]), stored["real_logits"])
    turn = turn_of(drawing, judging, stored, fake)
    sum(loss.discriminator(turn).values()).backward()
    compare(judging, stored, "discriminator")
    penalty = loss.r1(turn)["penalty"]
    assert penalty.item() == pytest.approx(16 * 10 / 2 * stored["r1"].item(), rel=1e-5)
    penalty.backward()
    compare(judging, stored, "r1")
    judging.requires_grad_(False)
    turn = turn_of(drawing, judging, stored, drawing(stored["latent"], noise=in_turn(stored)))
    loss.generator(turn)["fake"].backward()
    compare(drawing, stored, "generator")
    turn.latent, loss.mean_length = stored["latent"], torch.tensor(0.25)
    penalty = loss.path_length(turn)["penalty"]
    assert penalty.item() == pytest.approx(2 * 4 * stored["path"].item(), rel=1e-5)
    assert loss.mean_length.item() == pytest.approx(stored["path_mean"].item(), rel=1e-5)
    penalty.backward()
    compare(drawing, stored, "path_length")


def turn_of(drawing, judging, stored, fake):
    maps = iter([*(stored[f"noise.{number}"] for number in range(5)), stored["path_noise"].repeat_interleave(2, 0)])
    return scripted_turn(
        lambda images: judging(images),
        generator=drawing,
        real=stored["real"],
        fake=fake,
        label=None,
        latent=stored["latent"],
        normal=lambda *shape: next(maps),
        made=lambda name, **inputs: fake,
        gather=lambda rows: rows.detach(),
    )


def compare(network, stored, phase):
    """Compares the gradients of all parameters, and clears them."""
    role = "generator" if phase in ("generator", "path_length") else "discriminator"
    tensors = under(stored, role)
    match = Rosinality().recognize(shapes_of(tensors))
    wanted = Rosinality().convert({**tensors, **dict.fromkeys(tensors, None), **zeros(tensors, stored, phase)}, match)
    for name, parameter in network.named_parameters():
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert close(found, wanted[name]), (phase, name)
    network.zero_grad(set_to_none=True)


def zeros(tensors, stored, phase):
    """Their gradients of a phase, 0 for what has none."""
    return {name: torch.zeros_like(value) for name, value in tensors.items()} | under(stored, f"step.{phase}")


@pytest.mark.parametrize("change", ["kernel", "extra", "missing", "width", "layers", "huge", "average"])
def test_what_is_not_quite_their_network_is_not_recognized(stored, change):
    shapes = shapes_of(under(stored, "generator"))
    assert Rosinality().recognize({**shapes, "latent_avg": (6,)}) is not None
    if change == "kernel":
        shapes["convs.1.conv.weight"] = (1, 8, 8, 5, 5)
    elif change == "extra":
        shapes["conv1.extra"] = (3,)
    elif change == "missing":
        del shapes["to_rgbs.0.bias"]
    elif change == "width":
        shapes["convs.1.conv.weight"] = (1, 7, 8, 3, 3)
    elif change == "layers":
        shapes |= {f"style.{number}.weight": (6, 6) for number in range(4, 90)}
    elif change == "huge":
        shapes["input.input"] = (1, 10**9, 4, 4)
    else:
        shapes["latent_avg"] = (7,)
    assert Rosinality().recognize(shapes) is None
    assert Rosinality().recognize({}) is None


# -- the names of NVlabs -----------------------------------------------------------------------------------------------


def official_names(stored):
    """The stored weights by NVlabs' names and shapes."""
    G, D = under(stored, "generator"), under(stored, "discriminator")
    drawn = {"mapping.w_avg": stored["mean"], "synthesis.b4.const": G["input.input"][0]}
    for number in range(3):
        for kind in ("weight", "bias"):
            drawn[f"mapping.fc{number}.{kind}"] = G[f"style.{number + 1}.{kind}"]
    layers = [("b4.conv1", "conv1"), ("b8.conv0", "convs.0"), ("b8.conv1", "convs.1")]
    layers += [("b16.conv0", "convs.2"), ("b16.conv1", "convs.3")]
    images = [("b4.torgb", "to_rgb1"), ("b8.torgb", "to_rgbs.0"), ("b16.torgb", "to_rgbs.1")]
    for number, (theirs, ours) in enumerate(layers):
        drawn[f"synthesis.{theirs}.bias"] = G[f"{ours}.activate.bias"]
        drawn[f"synthesis.{theirs}.noise_strength"] = G[f"{ours}.noise.weight"][0]
        drawn[f"synthesis.{theirs}.noise_const"] = G[f"noises.noise_{number}"][0, 0]
        drawn[f"synthesis.{theirs}.resample_filter"] = resampling_filter()
    for theirs, ours in images:
        drawn[f"synthesis.{theirs}.bias"] = G[f"{ours}.bias"].flatten()
    for theirs, ours in [*layers, *images]:
        drawn[f"synthesis.{theirs}.weight"] = G[f"{ours}.conv.weight"][0]
        for kind in ("weight", "bias"):
            drawn[f"synthesis.{theirs}.affine.{kind}"] = G[f"{ours}.conv.modulation.{kind}"]
    judged = {"b16.fromrgb.weight": D["convs.0.0.weight"], "b16.fromrgb.bias": D["convs.0.1.bias"]}
    for size, number in ((16, 1), (8, 2)):
        judged[f"b{size}.conv0.weight"] = D[f"convs.{number}.conv1.0.weight"]
        judged[f"b{size}.conv0.bias"] = D[f"convs.{number}.conv1.1.bias"]
        judged[f"b{size}.conv1.weight"] = D[f"convs.{number}.conv2.1.weight"]
        judged[f"b{size}.conv1.bias"] = D[f"convs.{number}.conv2.2.bias"]
        judged[f"b{size}.skip.weight"] = D[f"convs.{number}.skip.1.weight"]
        judged[f"b{size}.skip.resample_filter"] = resampling_filter()
    for theirs, ours in (("conv", "final_conv"), ("fc", "final_linear"), ("out", "final_linear")):
        place = 1 if theirs == "out" else 0
        judged[f"b4.{theirs}.weight"] = D[f"{ours}.{place}.weight"]
        judged[f"b4.{theirs}.bias"] = D[f"{ours}.{1 if theirs == 'conv' else place}.bias"]
    return {"generator": drawn, "discriminator": judged}


def test_weights_by_the_names_of_nvlabs_are_the_same_networks(stored, drawing, judging):
    drawing.mean_style.copy_(stored["mean"])
    for role, ours in (("generator", drawing), ("discriminator", judging)):
        tensors = official_names(stored)[role]
        match = NVlabs().recognize(shapes_of(tensors))
        assert match is not None and (match.role, match.image) == (role, ImageSpec(16, 3))
        made, wanted = NVlabs().convert(tensors, match), ours.state_dict()
        assert made.keys() == wanted.keys()
        assert all(torch.equal(made[name], wanted[name]) for name in wanted)
        assert NVlabs().recognize(shapes_of(tensors) | {"extra": (1,)}) is None
        assert Rosinality().recognize(shapes_of(tensors)) is None and NVlabs().recognize({}) is None


@pytest.mark.parametrize("architecture", ["residual", "plain"])
def test_conditional_networks_by_the_names_of_nvlabs(architecture):
    image = ImageSpec(16, 1, 3)
    options = {"generator": DRAWN, "discriminator": {**SMALL, "architecture": architecture}}
    for role, kind in (("generator", "generators"), ("discriminator", "discriminators")):
        network = part(kind, "stylegan2", image, **options[role])
        tensors = {official(name, network): value for name, value in network.state_dict().items() if name != "filter"}
        match = NVlabs().recognize(shapes_of(tensors))
        assert match is not None and (match.role, match.image) == (role, image)
        assert tensors["mapping.embed.weight"].shape[1] == 3
        assert match.part.options.get("architecture", architecture) == architecture


# -- the layers --------------------------------------------------------------------------------------------------------


def test_the_filter_keeps_a_constant_and_has_its_taps_as_impulse_response():
    kernel, ones = resampling_filter(), torch.ones(1, 2, 8, 8)
    assert torch.allclose(doubled(ones, kernel)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 14, 14))
    assert torch.allclose(halved(ones, kernel)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 2, 2))
    impulse = torch.zeros(1, 2, 4, 4)
    impulse[0, 0, 1, 1] = 1
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    assert torch.equal(doubled(impulse, kernel)[0, 0, 1:5, 1:5], torch.outer(taps, taps))


def grouped(layer, x, style, kernel):
    """Equations 1 and 3 word for word: weights of each image, one group for each."""
    scale = layer.style(style)
    weight = layer.weight[None] * scale[:, None, :, None, None]
    weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    count, outputs, inputs = weight.shape[:3]
    x = x.reshape(1, count * inputs, *x.shape[2:])
    if not layer.up:
        return functional.conv2d(x, weight.flatten(0, 1), padding=1, groups=count).view(count, outputs, *x.shape[2:])
    weight = weight.transpose(1, 2).flatten(0, 1)
    y = functional.conv_transpose2d(x, weight, stride=2, groups=count)
    y = functional.pad(y.view(count * outputs, 1, *y.shape[2:]), (1, 1, 1, 1))
    y = functional.conv2d(y, 4 * kernel[None, None])
    return y.view(count, outputs, *y.shape[2:])


@pytest.mark.parametrize("up", [False, True])
def test_modulation_and_its_second_derivatives_are_those_of_weights_for_each_image(up):
    torch.manual_seed(0)
    layer = ModulatedConvolution(5, 4, 6, up=up).double()
    kernel, x, style = resampling_filter().double(), torch.randn(3, 4, 8, 8).double(), torch.randn(3, 5).double()

    def ours(x, style, kernel):
        y, factor = layer(x, style, kernel)
        return y * factor[:, :, None, None]

    results = []
    for function in (ours, lambda *inputs: grouped(layer, *inputs)):
        inputs = [x.clone().requires_grad_(True), style.clone().requires_grad_(True)]
        y = function(*inputs, kernel)
        first = torch.autograd.grad(y.sin().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), [*inputs, *layer.parameters()])
        results.append([y, *first, *second])
    assert all(torch.allclose(one, other, rtol=1e-9, atol=1e-9) for one, other in zip(*results, strict=True))


def test_groups_of_the_deviation_are_strided():
    torch.manual_seed(0)
    x = torch.randn(8, 4, 3, 3)
    made = with_deviation(x, 4, 2)
    for image in range(8):
        group = x[[one for one in range(8) if one % 2 == image % 2]]
        deviation = (group.var(0, unbiased=False) + 1e-8).sqrt()
        wanted = torch.stack([deviation[:2].mean(), deviation[2:].mean()])
        assert torch.allclose(made[image, 4:], wanted[:, None, None].expand(2, 3, 3))
    assert torch.equal(made[:, :4], x)
    assert with_deviation(x[:7], 4, 1)[:, 4].max() <= 2e-4, "seven images have no groups but of one"


@pytest.mark.parametrize("size", [16, 28, 64])
@pytest.mark.parametrize("drawn", ["skip", "residual", "plain"])
def test_shapes_labels_and_architectures(size, drawn):
    torch.manual_seed(0)
    image = ImageSpec(size, 3, 4)
    generator = part("generators", "stylegan2", image, **DRAWN, architecture=drawn)
    discriminator = part("discriminators", "stylegan2", image, **SMALL, architecture=drawn)
    latent, label = torch.randn(4, 6), torch.tensor([0, 1, 2, 3])
    images = generator.eval()(latent, label)
    assert images.shape == (4, 3, size, size) and images.abs().max() <= 1
    assert discriminator(images, label).shape == (4,)
    same = generator(latent[:1].expand(2, -1), label[:2])
    assert not torch.allclose(same[0], same[1])
    logits = discriminator(images[:1].expand(2, -1, -1, -1), label[:2])
    assert not torch.allclose(logits[0], logits[1])
    assert generator.train()(latent, label).shape == images.shape


def test_what_cannot_be_built_is_refused():
    for kind in ("generators", "discriminators"):
        with pytest.raises(ValueError, match="not 48"):
            part(kind, "stylegan2", ImageSpec(48, 3))
        with pytest.raises(ValueError, match="leave no channel at 64"):
            part(kind, "stylegan2", ImageSpec(64, 3), channel_base=32)
    with pytest.raises(ValueError, match="deviation_channels"):
        part("discriminators", "stylegan2", ImageSpec(16, 3), **SMALL, deviation_channels=3)
    with pytest.raises(ValueError, match="mixing"):
        part("losses", "lazy-logistic", ImageSpec(16, 3), mixing=1.5)


def test_noise_is_stored_in_evaluation_and_new_in_training():
    torch.manual_seed(0)
    generator = part("generators", "stylegan2", ImageSpec(16, 3), **DRAWN)
    with torch.no_grad():
        for layer in generator.layers:
            layer.noise_strength.fill_(0.5)
    latent = torch.randn(2, 6)
    assert not torch.equal(generator(latent), generator(latent))
    generator.eval()
    assert torch.equal(generator(latent), generator(latent))
    silent = generator(latent, noise=lambda *shape: torch.zeros(2, *shape))
    assert not torch.equal(silent, generator(latent)) and silent.isfinite().all()


def test_the_limit_cuts_features_off():
    torch.manual_seed(0)
    image, latent = ImageSpec(16, 3), torch.randn(2, 6)
    free, cut = (part("generators", "stylegan2", image, **DRAWN, limit=limit).eval() for limit in (None, 1e-3))
    cut.load_state_dict(free.state_dict())
    assert (cut(latent) - free(latent)).abs().max() > 0.1 and cut(latent).abs().max() < 0.1


def test_truncation_and_the_running_mean_of_styles():
    torch.manual_seed(0)
    generator = part("generators", "stylegan2", ImageSpec(16, 3), **DRAWN)
    styles = generator.mapping(torch.randn(4, 6))
    assert styles.shape == (4, 6, 6) and torch.allclose(generator.mean_style, 0.005 * styles[:, 0].mean(0))
    before = generator.eval().mean_style.clone()
    generator.mapping(torch.randn(4, 6))
    assert torch.equal(generator.mean_style, before), "evaluation moves nothing"
    assert torch.allclose(generator.truncate(styles, 0.0), before.expand_as(styles))
    assert torch.equal(generator.truncate(styles, 1.0), styles)


def test_freezing_counts_the_discriminators_layers_from_the_largest_images_on():
    network = part("discriminators", "stylegan2", ImageSpec(16, 3), **SMALL)
    freeze_layers(network, 5, "discriminator")
    frozen = {name.rpartition(".")[0] for name, value in network.named_parameters() if not value.requires_grad}
    layers = ("from_image", "first", "second", "skip")
    assert frozen == {*(f"blocks.0.{layer}" for layer in layers), "blocks.1.first"}


# -- the loss and the engine -------------------------------------------------------------------------------------------


def trainer(name="stylegan2", batch=4, **options):
    image = options.pop("image", ImageSpec(16, 3))
    return small_trainer(name, image, batch, generator=DRAWN, discriminator={**SMALL, "group": 2}, **options)


def test_phases_of_a_step_with_and_without_the_lazy_ones():
    training = trainer("stylegan2-ada", image=ImageSpec(16, 3, 3))
    visits, terms = step_by_phase(training)
    assert [visit.phase for visit in visits] == ["generator", "path_length", "discriminator", "r1"]
    assert all(term.isfinite() for term in terms.values())
    for visit in visits:
        role = "generator" if visit.phase in ("generator", "path_length") else "discriminator"
        assert visit.changed and visit.changed <= names_of(training, role)
    assert torch.equal(visits[2].turn.real, visits[3].turn.real), "R1 is on the step's own images"
    assert not training.unobserved and training.augmentation.seen == 4, "ADA counts them once"
    for step in range(1, 17):
        visits, _ = step_by_phase(training)
        lazy = ["path_length"] if step % 4 == 0 else []
        wanted = ["generator", *lazy, "discriminator", *(["r1"] if step == 16 else [])]
        assert [visit.phase for visit in visits] == wanted


def test_penalties_can_be_left_out():
    training = trainer(loss={"gamma": 0.0, "path_weight": 0.0, "mixing": 0.0})
    assert set(training.step()) == {"generator.fake", "discriminator.real", "discriminator.fake"}


def test_path_length_refuses_a_generator_without_styles():
    training = small_trainer("dcgan", ImageSpec(32, 3), 2)
    loss = LazyLogistic(ImageSpec(32, 3))
    with pytest.raises(UsageError, match="loss.path_weight=0"):
        loss.path_length(scripted_turn(None, generator=training.generator))


def test_mixing_gives_later_layers_another_style():
    loss = LazyLogistic(ImageSpec(16, 3), mixing=1.0)
    generator = part("generators", "stylegan2", ImageSpec(16, 3), **DRAWN).eval()
    draws = iter([torch.tensor([0.0, 0.999]), torch.tensor([0.0, 0.5])])
    second = torch.randn(2, 6)
    turn = scripted_turn(None, generator=generator, uniform=lambda: next(draws), normal=lambda *shape: second)
    other, cut = loss._extra(turn)["mixing"]
    assert cut.tolist() == [1.0, 5.0]
    style, mixed = generator.mapping(torch.ones(2, 6)), generator.mixed(generator.mapping(torch.ones(2, 6)), other, cut)
    assert torch.equal(mixed[0, :1], style[0, :1]) and torch.equal(mixed[1, :5], style[1, :5])
    assert torch.equal(mixed[:, 5], generator.mapping(second)[:, 5])


def test_a_resumed_run_is_bitwise_the_same_across_lazy_steps():
    whole, again = trainer("stylegan2-ada"), trainer("stylegan2-ada")
    for _ in range(3):
        whole.step()
    again.load_state({key: value for key, value in clone(whole.state()).items()})
    expected = [whole.step() for _ in range(2)]
    found = [again.step() for _ in range(2)]
    assert "path_length.penalty" in expected[1]
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    for one, other in zip(whole.generator.state_dict().values(), again.generator.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def clone(tree):
    if isinstance(tree, torch.Tensor):
        return tree.clone()
    return {key: clone(value) for key, value in tree.items()} if isinstance(tree, dict) else tree


def test_a_split_into_micro_batches_draws_the_same_noise_and_mixing():
    """Without minibatch deviation, which sees its own images alone, two halves are one batch."""
    networks = {"generator": DRAWN, "discriminator": {**SMALL, "deviation_channels": 0}}
    results = []
    for accumulate in (1, 2):
        training = small_trainer(
            "stylegan2",
            ImageSpec(16, 3),
            8,
            **networks,
            accumulate=accumulate,
            loss={"mixing": 1.0, "path_weight": 0.0},
        )
        with torch.no_grad():
            for layer in training.generator.layers:
                layer.noise_strength.fill_(0.5)
        results.append(training.step())
    for name in results[0]:
        assert results[0][name].item() == pytest.approx(results[1][name].item(), rel=1e-4), name


def test_the_card_of_a_preset_can_be_changed_by_settings():
    found = resolve(registry().get("variants", "stylegan2"), ("generator.width=16", "loss.gamma=3"), registry())
    assert found.variant.generator.options["width"] == 16 and found.variant.loss.options["gamma"] == 3

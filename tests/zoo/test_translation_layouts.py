"""Published files of translators: what their names and shapes say, old statistics of instance norm, and converting."""

import pytest
import torch
from translations import pairs

import ganzoo
from ganzoo.cli import main
from ganzoo.convert.convert import convert
from ganzoo.convert.request import Request
from ganzoo.errors import CheckpointError
from ganzoo.registry.registry import registry
from ganzoo_plugins.cut.model import AntialiasedTranslator
from ganzoo_plugins.cyclegan.model import Translator
from ganzoo_plugins.pix2pix.model import UNet
from ganzoo_plugins.pix2pixhd.model import GlobalGenerator, LocalEnhancer

LAYOUTS = {
    "pix2pix": "pix2pix-official",
    "cyclegan": "cyclegan-official",
    "cut": "cut-official",
    "pix2pixhd": "pix2pixhd-official",
    "pix2pixhd-local": "pix2pixhd-local-official",
}
CASES = {  # variant, network, the options that the file determines
    "unet": ("pix2pix", UNet(pairs(64, source=1), width=3), {"width": 3, "norm": "batch"}),
    "unet-instance": ("pix2pix", UNet(pairs(32), width=2, norm="instance"), {"width": 2, "norm": "instance"}),
    "resnet-6": ("cyclegan", Translator(pairs(32), width=2, blocks=6), {"width": 2, "blocks": 6}),
    "resnet-9": ("cyclegan", Translator(pairs(32, source=4, output=1), width=3), {"width": 3, "blocks": 9}),
    "antialiased": ("cut", AntialiasedTranslator(pairs(32), width=2, blocks=6), {"width": 2, "blocks": 6}),
    "local": (
        "pix2pixhd-local",
        LocalEnhancer(pairs(64), width=2, blocks=3, halvings=3, enhancers=2),
        {"width": 2, "blocks": 3, "halvings": 3, "enhancers": 2, "local_blocks": 3},
    ),
    "global": ("pix2pixhd", GlobalGenerator(pairs(64), width=2, blocks=3), {"width": 2, "blocks": 3, "halvings": 4}),
}


def with_statistics(state):
    """The state as files from before torch 0.4 have it: instance norm with running statistics, which nothing uses."""
    found = {}
    for name, value in state.items():
        found[name] = value
        if name.endswith("bias"):
            layer, _, number = name.removesuffix(".bias").rpartition(".")
            norm = f"{layer}.{int(number) + 1}"
            found |= {f"{norm}.running_mean": torch.zeros(len(value)), f"{norm}.running_var": torch.ones(len(value))}
    return found


def shapes_of(tensors):
    return {name: tuple(value.shape) for name, value in tensors.items()}


@pytest.mark.parametrize("case", CASES)
def test_names_and_shapes_determine_the_network_and_no_other_layout_takes_it(case):
    variant, network, options = CASES[case]
    state = network.state_dict()
    found = {name: registry().get("layouts", name)().recognize(shapes_of(state)) for name in LAYOUTS.values()}
    match = found.pop(LAYOUTS[variant])
    assert not any(found.values()) and match.part.options == options and match.role == "generator" and not match.note
    first = next(iter(state.values()))
    assert match.image.inputs["source"].shape[0] == first.shape[1]
    layout = registry().get("layouts", LAYOUTS[variant])()
    assert all(torch.equal(value, state[name]) for name, value in layout.convert(state, match).items())


@pytest.mark.parametrize("case", CASES)
def test_a_tensor_too_many_or_too_few_is_another_network(case):
    variant, network, _ = CASES[case]
    layout, shapes = registry().get("layouts", LAYOUTS[variant])(), shapes_of(network.state_dict())
    last = list(shapes)[-1]
    for other in (
        shapes | {"more.weight": (3,)},
        shapes | {last: (9,)},
        {k: v for k, v in shapes.items() if k != last},
    ):
        assert layout.recognize(other) is None
    assert layout.recognize({}) is None and layout.recognize({"model.1.weight": ()}) is None


@pytest.mark.parametrize("case", ["unet-instance", "resnet-6", "resnet-9", "global", "local"])
def test_old_statistics_of_instance_norm_are_left_out_with_a_reason(case):
    variant, network, options = CASES[case]
    layout, old = registry().get("layouts", LAYOUTS[variant])(), with_statistics(network.state_dict())
    match = layout.recognize(shapes_of(old))
    assert match.part.options == options and "statistics of instance norm" in match.note
    assert layout.convert(old, match).keys() == network.state_dict().keys()


def test_statistics_of_batch_norm_stay_and_old_files_count_no_batches():
    _, network, options = CASES["unet"]
    layout = registry().get("layouts", "pix2pix-official")()
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    match = layout.recognize(shapes_of(state))
    made = layout.convert(state, match)
    assert match.part.options == options and made.keys() == network.state_dict().keys() and not match.note
    assert all(torch.equal(value, state[name]) for name, value in made.items() if name in state)


@pytest.mark.parametrize("case", ["unet", "resnet-9", "local"])
def test_a_published_file_becomes_a_model_that_draws_the_same(case, tmp_path, capsys):
    variant, network, _ = CASES[case]
    variant = variant.removesuffix("-local")
    state, file, out = network.state_dict(), tmp_path / "latest_net_G.pth", tmp_path / "converted"
    torch.save(state if case == "unet" else with_statistics(state), file)
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(file), "--variant", variant, "--out", str(out)])
    assert ended.value.code == 0 and capsys.readouterr().out.startswith(f"ganzoo apply {out} ")
    model = ganzoo.load(str(out))
    channels = model.config.image.inputs["source"].shape[0]
    source = torch.rand(1, channels, 64, 64) * 2 - 1
    with torch.no_grad():
        ours, theirs = (one(torch.empty(1, 0), source=source) for one in (model.generator, network.eval()))
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.slow  # asks every variant
def test_a_file_that_fits_no_layout_is_refused_in_a_line(tmp_path):
    torch.save(CASES["antialiased"][1].state_dict(), tmp_path / "G.pth")
    with pytest.raises(CheckpointError, match="of cyclegan .*It fits cut or fastcut .*--variant cut") as found:
        convert(Request(files=[tmp_path / "G.pth"], variant="cyclegan", out=tmp_path / "converted"), registry())
    assert "\n" not in str(found.value)

"""Pickles of NVIDIA's code: their networks come out bit for bit and draw the same; hostile ones run nothing."""

import json
import subprocess
import sys
from pathlib import Path

import legacy_corpus
import nvidia_pickles
import projected_pickles
import pytest
import torch
from golden_values import golden, under
from messages import logged

import ganzoo
from ganzoo import ImageSpec
from ganzoo.convert import object_pickle
from ganzoo.convert.convert import convert
from ganzoo.convert.pickle_reader import read_inputs
from ganzoo.convert.recognize import InputFiles, recognize
from ganzoo.convert.request import Request
from ganzoo.convert.search import Search
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo.registry.registry import registry
from ganzoo_plugins.stylegan2.discriminator import StyleGAN2Discriminator
from ganzoo_plugins.stylegan2.generator import StyleGAN2Generator
from ganzoo_plugins.stylegan2.layouts import NVlabs, NVlabsDiscriminator, Rosinality, official

IMAGE = ImageSpec(16, 3, 4)
WIDTHS = {"channel_base": 64, "width": 8}
OPTIONS = {"z_dim": 6, "c_dim": 4, "w_dim": 5, "img_resolution": 16, "img_channels": 3}
SHARED = {"channel_base": 64, "channel_max": 8, "num_fp16_res": 4, "conv_clamp": 0.5}
MOST_SECONDS, MOST_BYTES = 2, 64 * 2**20
HEAVY = 12


def their_tensors(ours: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a network by the official names, with a filter as the official layers keep it."""
    found = {official(name, ours): value for name, value in ours.state_dict().items() if name != "filter"}
    kernel = "synthesis.b8.conv0" if isinstance(ours, StyleGAN2Generator) else "b16.skip"
    return found | {f"{kernel}.resample_filter": ours.filter}


@pytest.fixture(scope="module")
def drawn():
    """A generator with a limit that cuts features off, its averaged copy, and a discriminator."""
    torch.manual_seed(0)
    made = [StyleGAN2Generator(IMAGE, 6, 5, 3, limit=0.5, **WIDTHS).eval() for _ in range(2)]
    for generator in made:
        torch.nn.init.normal_(generator.mean_style)
        for layer in generator.layers:
            torch.nn.init.normal_(layer.noise_strength)
    return {"G": made[0], "G_ema": made[1], "D": StyleGAN2Discriminator(IMAGE, **WIDTHS)}


@pytest.fixture(scope="module")
def networks(drawn, tmp_path_factory):
    """The stand-ins of the official objects, whose source would make the canary."""
    canary = tmp_path_factory.mktemp("source") / "canary"
    source = f"open({str(canary)!r}, 'w').close()\n"
    generator = {**OPTIONS, "mapping_kwargs": {"num_layers": 3}, "synthesis_kwargs": SHARED}
    judging = {**{name: OPTIONS[name] for name in ("c_dim", "img_resolution", "img_channels")}, **SHARED}
    made = {
        name: nvidia_pickles.network(
            "Discriminator" if name == "D" else "Generator",
            their_tensors(ours),
            source,
            **(judging if name == "D" else generator),
        )
        for name, ours in drawn.items()
    }
    yield made
    assert not canary.exists()


@pytest.fixture
def make(tmp_path, warm_reader):
    """Converts a file of these bytes into `tmp_path / out`; `said` gathers what was logged."""

    def run(data: bytes, **options):
        (tmp_path / "network.pkl").write_bytes(data)
        run.said.clear()
        request = Request(files=[tmp_path / "network.pkl"], out=tmp_path / "out", **options)
        return convert(request, registry())

    with logged() as run.said:
        yield run


# -- files as they are published ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [3, 4])
def test_the_tensors_are_those_of_the_state_dict(warm_reader, networks, tmp_path, protocol):
    (tmp_path / "network.pkl").write_bytes(nvidia_pickles.file_of(networks, protocol))
    file = recognize([tmp_path / "network.pkl"])
    keys = [None, "G_ema", "G", "D"]
    for key, found in zip(keys, read_inputs([file] * 4, keys), strict=True):
        wanted = networks[key or "G_ema"].state_dict()
        assert not isinstance(found, GanzooError), found
        assert "scratch" not in found and found.keys() == wanted.keys()
        assert all(torch.equal(found[name], value) for name, value in wanted.items())
        assert found.stated["key"] == (key or "G_ema")
        assert found.stated["class"] == ("Discriminator" if key == "D" else "Generator")
        assert found.stated["options"]["img_resolution"] == 16


def test_the_averaged_generator_draws_the_same_images(networks, drawn, make, tmp_path):
    model = make(nvidia_pickles.file_of(networks, 3), license="Nvidia Source Code License-NC")
    latent, label = torch.randn(8, 6), torch.arange(8) % 4
    with torch.no_grad():
        assert torch.allclose(model.generate(latent, label), drawn["G_ema"](latent, label), atol=1e-5)
        assert not torch.allclose(model.generate(latent, label), drawn["G"](latent, label), atol=1e-2)
    options = {"latent_dim": 6, "style_dim": 5, "mapping_layers": 3, "limit": 0.5, **WIDTHS}
    assert (model.config.image, model.config.generator.options) == (IMAGE, options)
    assert model.config.license == "Nvidia Source Code License-NC" and model.config.variant.startswith("stylegan2")
    assert ganzoo.load(tmp_path / "out").sample(2).shape == (2, 3, 16, 16)


def test_the_key_takes_another_and_a_discriminator_comes_with_it(networks, drawn, make, tmp_path):
    data = nvidia_pickles.file_of(networks)
    model = make(data, key="G", discriminator=[tmp_path / "network.pkl"])
    latent, label = torch.randn(4, 6), torch.arange(4)
    with torch.no_grad():
        assert torch.allclose(model.generate(latent, label), drawn["G"](latent, label), atol=1e-5)
    assert model.config.discriminator.options["limit"] == 0.5
    assert any("non-commercial" in line and "--license" in line for line in make.said)


def test_a_key_that_is_not_there_lists_those_that_are(networks, make):
    with pytest.raises(UsageError, match=r"'G' \(\d+ tensors\), 'D'.*'G' fits the generator of stylegan2"):
        make(nvidia_pickles.file_of({name: networks[name] for name in ("G", "D")}))


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"img_resolution": 32}, "img_resolution 32"),
        ({"img_channels": 1}, "img_channels 1"),
        ({"c_dim": 0}, "c_dim 0"),
        ({"z_dim": 7}, "z_dim 7"),
        ({"w_dim": "5"}, "w_dim '5'"),
        ({"synthesis_kwargs": {"conv_clamp": -1}}, "conv_clamp -1"),
        ({"synthesis_kwargs": {"conv_clamp": True}}, "conv_clamp True"),
        ({"synthesis_kwargs": 3}, "synthesis_kwargs 3"),
        ({"mapping_kwargs": "deep"}, "mapping_kwargs 'deep'"),
    ],
)
def test_options_that_contradict_the_tensors_are_refused(drawn, wrong, names):
    layout = NVlabs()
    match = layout.recognize({name: tuple(value.shape) for name, value in their_tensors(drawn["G"]).items()})
    assert layout.configured(match, {"options": OPTIONS}) == match
    with pytest.raises(CheckpointError, match=f"it states {names}"):
        layout.configured(match, {"options": {**OPTIONS, **wrong}})


def test_options_that_contradict_the_tensors_name_the_file(drawn, make):
    network = nvidia_pickles.network("Generator", their_tensors(drawn["G"]), **{**OPTIONS, "img_resolution": 32})
    with pytest.raises(CheckpointError, match=r"network\.pkl: it states img_resolution 32, .* those of 16"):
        make(nvidia_pickles.file_of({"G_ema": network}))


def test_the_discriminator_of_stylegan3_is_that_of_stylegan2(drawn):
    shapes = {name: tuple(value.shape) for name, value in their_tensors(drawn["D"]).items()}
    found = NVlabsDiscriminator().recognize(shapes)
    assert found == NVlabs().recognize(shapes) and found.part.name == "stylegan2"
    generator = {name: tuple(value.shape) for name, value in their_tensors(drawn["G"]).items()}
    assert NVlabsDiscriminator().recognize(generator) is None


def test_options_that_are_not_read_are_named(drawn):
    layout = NVlabs()
    match = layout.recognize({name: tuple(value.shape) for name, value in their_tensors(drawn["G"]).items()})
    options = {**OPTIONS, "synthesis_kwargs": {"colour": "blue"}, "mapping_kwargs": {"num_layers": 3, "depth": 1}}
    found = layout.configured(match, {"options": options})
    assert "states colour, mapping_kwargs.depth, which are not read" in found.note and found.part == match.part


def test_a_network_that_no_variant_has_is_named(make, tmp_path):
    tensors = {"mapping.w_avg": torch.ones(4), "synthesis.L0_36_512.weight": torch.ones(2, 2)}
    tensors["synthesis.L14_1024_3.weight"] = torch.ones(2, 2)
    alias_free = nvidia_pickles.network("Generator", tensors, img_resolution=1024)
    with pytest.raises(CheckpointError, match=r"StyleGAN3 of up to 1024 pixels.*no variant"):
        make(nvidia_pickles.file_of({"G_ema": alias_free}))
    other = nvidia_pickles.network("Sculptor", {"clay.weight": torch.ones(2, 2)}, img_resolution=48)
    with pytest.raises(CheckpointError, match="class 'Sculptor' of 48×48 images: no variant here has it"):
        make(nvidia_pickles.file_of({"G_ema": other}))
    assert not (tmp_path / "out").exists()


def test_a_generator_of_stylegan3_draws_the_official_images(make):
    stored = under(golden("stylegan3"), "t")
    options = {"z_dim": 6, "c_dim": 3, "w_dim": 5, "img_resolution": 32, "img_channels": 3, "conv_clamp": 2.0}
    options |= {"mapping_kwargs": {"num_layers": 2}, "channel_base": 128, "channel_max": 12, "num_layers": 6}
    network = nvidia_pickles.network("Generator", under(stored, "generator"), **options)
    model = make(nvidia_pickles.file_of({"G_ema": network}))
    assert model.config.variant == "stylegan3-t" and model.config.generator.options["limit"] == 2.0
    with torch.no_grad():
        found = model.generate(stored["latent"], torch.tensor([0, 2]))
    assert torch.allclose(found, stored["images"].clamp(-1, 1), atol=1e-5)


def test_a_generator_of_r3gan_draws_the_official_images(make):
    stored = golden("r3gan-conditional")
    network = nvidia_pickles.plain_network(under(stored, "G"))
    network.DataType = torch.bfloat16
    moments = {"state": {0: {"step": torch.ones(()), "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-4}]}
    model = make(nvidia_pickles.dumped({"G": network, "G_ema": network, "cur_nimg": 3, "G_opt_state": moments}))
    assert model.config.variant == "r3gan" and model.config.image == ImageSpec(8, 3, 3)
    with torch.no_grad():
        found = model.generate(stored["latent"], stored["label"])
    assert torch.allclose(found, stored["images"].clamp(-1, 1), atol=1e-5)


def test_rosinalitys_mean_style_stands_beside_its_networks(warm_reader, tmp_path):
    stored = golden("stylegan2")
    networks = {"g_ema": under(stored, "generator"), "d": under(stored, "discriminator")}
    torch.save({"g_ema": networks["g_ema"], "latent_avg": stored["mean"]}, tmp_path / "one.pt")
    torch.save({**networks, "latent_avg": stored["mean"]}, tmp_path / "two.pt")
    files = [recognize([tmp_path / name]) for name in ("one.pt", "two.pt", "two.pt", "two.pt")]
    one, generator, judge, unclear = read_inputs(files, [None, "g_ema", "d", None])
    assert torch.equal(one["latent_avg"], stored["mean"]) and one.keys() == generator.keys()
    assert "latent_avg" not in judge and isinstance(unclear, UsageError)
    layout = Rosinality()
    match = layout.recognize({name: tuple(value.shape) for name, value in one.items()})
    assert "computed" not in match.note and "latents of seed" not in match.note
    assert torch.equal(layout.convert(one, match)["mean_style"], stored["mean"].flatten())


@pytest.mark.parametrize(
    ("size", "layers", "base", "variant"),
    [
        (64, 8, 32768, "stylegan2"),
        (64, 2, 16384, "stylegan2-ada"),
        (32, 2, 32768, "stylegan2-ada-cifar"),
        (256, 8, 16384, "stylegan2-ada-256"),
        (512, 8, 32768, "stylegan2-ada-512"),
        (1024, 8, 32768, "stylegan2-ada-1024"),
    ],
)
def test_the_preset_follows_from_the_shapes(size, layers, base, variant, tmp_path):
    with torch.device("meta"):
        ours = StyleGAN2Generator(ImageSpec(size, 3), mapping_layers=layers, channel_base=base)
    shapes = {name: tuple(value.shape) for name, value in their_tensors(ours).items()}
    request = Request(files=[], out=tmp_path / "out")
    found = Search(request, registry(), None).variant_of(InputFiles("objects", (Path("network.pkl"),), 1), shapes)
    assert found == variant


# -- hostile files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Every hostile file as {name: (path, what its refusal must say)}, and the canary."""
    folder = tmp_path_factory.mktemp("hostile")
    cases = {}
    made = nvidia_pickles.hostile(folder, folder / "canary") | projected_pickles.hostile(folder, folder / "canary")
    for name, (data, says) in made.items():
        cases[name] = folder / f"{len(cases)}.pkl", says
        cases[name][0].write_bytes(data)
    return cases, folder / "canary"


def test_hostile_files_are_refused_in_our_words_and_run_nothing(hostile):
    cases, canary = hostile
    assert len(cases) >= 195
    wrong, waiting, outcomes = {}, {}, {}
    for name, (path, _) in cases.items():
        try:
            waiting[name] = recognize([path])
        except GanzooError as error:
            outcomes[name] = error
    outcomes |= dict(zip(waiting, read_inputs(list(waiting.values()), [None] * len(waiting)), strict=True))
    for name, (path, says) in cases.items():
        said = str(outcomes[name]) if isinstance(outcomes[name], CheckpointError) else f"was read: {outcomes[name]}"
        if says not in said or "\n" in said or len(said) > 400 or path.name not in said:
            wrong[name] = said
    assert wrong == {} and not canary.exists()


@pytest.mark.slow
def test_what_hostile_files_cost_is_bounded(hostile, tmp_path):
    """The largest and the most nested: the others hold a few hundred bytes."""
    largest = sorted((path for path, _ in hostile[0].values()), key=lambda path: path.stat().st_size)[-HEAVY:]
    paths = largest + [hostile[0][name][0] for name in ("memo bomb of modules", "wide memo bomb", "nested tuples")]
    jobs = [
        {"kind": "objects", "paths": [str(path)], "bytes": path.stat().st_size, "key": None, "out": f"{path}.out"}
        for path in paths
    ]
    (tmp_path / "jobs").write_text(json.dumps(jobs))
    script = str(Path(nvidia_pickles.__file__))
    done = subprocess.run([sys.executable, script, str(tmp_path / "jobs")], capture_output=True, text=True, check=True)
    costs = dict(zip([path.name for path in paths], json.loads(done.stdout), strict=True))
    assert {name: cost for name, cost in costs.items() if cost[0] > MOST_SECONDS or cost[1] > MOST_BYTES} == {}


def test_the_table_of_names_has_nothing_that_runs():
    assert {
        "collections.OrderedDict",
        "builtins.set",
        "dill._dill._create_array",
        "dill._dill._get_attr",
        "dill._dill._import_module",
        "dnnlib.util.EasyDict",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
        "torch.nn.modules.sparse.Embedding",
        "torch.storage._load_from_bytes",
        "torch_utils.persistence._reconstruct_persistent_obj",
    } == object_pickle.ALLOWED
    assert {name.rpartition(".")[0] for name in object_pickle.PLAIN_MODULES} == {
        "R3GAN.FusedOperators",
        "R3GAN.Networks",
        "R3GAN.Resamplers",
        "torch.nn.modules.container",
        "torch.nn.modules.conv",
        "torch.nn.modules.linear",
        "training.networks",
    }
    assert len(object_pickle.PLAIN_MODULES) == 25 and not object_pickle.PLAIN_MODULES & object_pickle.ALLOWED


@pytest.mark.parametrize("name", ["system", "eval", "exec", "hub"])
def test_a_gadget_in_a_network_is_live(tmp_path, name):
    canary = tmp_path / "canary"
    gadget = legacy_corpus.gadgets(tmp_path, canary)[name]
    data = nvidia_pickles.dumped({"G_ema": gadget})
    assert not canary.exists()
    nvidia_pickles.pickle.loads(data)  # makes a file of this test, nothing else
    assert canary.exists()
    sys.modules.pop("hubconf", None)

"""The Python API does what the commands do, with their errors, on tiny settings."""

import dataclasses
import inspect
import json
import subprocess
import sys

import pytest
import small
import torch

import ganzoo
from ganzoo.losses import Loss
from ganzoo.networks import Generator

NARROW = {"generator.width": 4, "discriminator.width": 4}
TINY = {"image_size": 32, "batch_size": 4, "threads": 1, "device": "cpu", "overrides": NARROW}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def images():
    return torch.rand(24, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    return ganzoo.train("dcgan", data=images, out=tmp_path_factory.mktemp("runs") / "run", steps=3, **TINY)


@pytest.fixture
def process():
    """Forgets what a test registers in this process."""
    from ganzoo.registry.registry import registry

    registry.cache_clear()
    yield
    registry.cache_clear()


# -- the package -------------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_next_to_nothing():
    source = "import sys; before = set(sys.modules); import ganzoo; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert {name for name in done.stdout.split() if not name.startswith("importlib")} <= {
        "__future__",
        "ganzoo",
        "types",
        "warnings",
    }


def test_every_public_name_is_there_and_said_by_the_listing():
    assert set(ganzoo.__all__) <= set(dir(ganzoo))
    assert [name for name in ganzoo.__all__ if getattr(ganzoo, name, None) is None] == []
    with pytest.raises(AttributeError, match="trian"):
        ganzoo.trian  # noqa: B018


@pytest.mark.parametrize("first", ["import ganzoo.bench, ganzoo.variant", "import ganzoo"])
def test_two_names_are_a_function_and_a_module(first):
    source = f"""
{first}
import ganzoo
assert ganzoo.variant("dcgan").name == "dcgan" and ganzoo.variant.Part is ganzoo.Part
assert ganzoo.bench.__file__ and callable(ganzoo.bench)
"""
    subprocess.run([sys.executable, "-c", source], check=True)
    assert "seeds" in inspect.signature(ganzoo.bench).parameters and ganzoo.bench.request.Request


def test_public_functions_are_typed_and_documented():
    functions = [getattr(ganzoo, name) for name in ganzoo.__all__ if name[0].islower() and name != "hookimpl"]
    for function in map(inspect.unwrap, functions):
        signature = inspect.signature(function)
        assert inspect.getdoc(function) and signature.return_annotation is not inspect.Signature.empty, function
        assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values()), function


# -- looking up and making ---------------------------------------------------------------------------------------------


def test_variants_are_listed_by_pattern_task_and_weights():
    assert "wgan-gp" in ganzoo.list_variants("wgan*") and "dcgan" not in ganzoo.list_variants("wgan*")
    assert "pix2pix" in ganzoo.list_variants(task="translation") and "dcgan" in ganzoo.list_variants(pretrained=True)
    assert ganzoo.list_variants() == [one.name for one in ganzoo.variants()]
    with pytest.raises(ganzoo.GanzooError, match="'translating'.*generation"):
        ganzoo.list_variants(task="translating")
    with pytest.raises(ganzoo.GanzooError, match="Did you mean 'dcgan'"):
        ganzoo.variant("dcgam")


def test_an_untrained_model_has_the_weights_of_step_0(images, tmp_path):
    model = ganzoo.create_model("dcgan", image_size=32, channels=1, overrides=NARROW)
    trainer = ganzoo.create_trainer("dcgan", images, **TINY)
    mine, theirs = model.generator.state_dict(), trainer.generator.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert repr(model) == "<Model dcgan: makes 32 pixels of 1 channel from latents of 100>"
    before = model.sample(2)
    assert model.to("cpu", torch.float64) is model and model.generator.main[0].weight.dtype == torch.float64
    assert torch.allclose(model.sample(2), before, atol=1e-5) and not torch.equal(model.sample(2), before)
    with pytest.raises(ganzoo.GanzooError, match="no device 'nonsense'"):
        model.to("nonsense")
    model.to(dtype=torch.float32).save(tmp_path / "model")
    assert torch.equal(ganzoo.load(tmp_path / "model").sample(2), model.sample(2))
    assert ganzoo.create_model("pix2pix", image_size=32, channels=1).image.sources
    with pytest.raises(ganzoo.GanzooError, match="image_size 32"):
        ganzoo.create_model("dcgan", image_size=31)
    with pytest.raises(ganzoo.GanzooError, match="generator.widht.*Did you mean 'width'"):
        ganzoo.create_model("dcgan", overrides={"generator.widht": 4})


# -- training ----------------------------------------------------------------------------------------------------------


def test_a_training_is_that_of_the_command(tmp_path):
    data = small.images(tmp_path / "tiny.npz")
    done = small.forked_ganzoo(*small.arguments(data, tmp_path / "command", steps=3))
    assert done.returncode == 0, done.stderr
    command = ganzoo.open_run(tmp_path / "command")
    ours = ganzoo.train(
        "dcgan",
        data=data,
        out=tmp_path / "python",
        steps=3,
        **{**TINY, "overrides": command_settings(command)},
    )
    assert torch.equal(ours.model().sample(4), command.model().sample(4))
    assert without_time(ours) == without_time(command)
    assert (ours.folder / "config.json").read_text() == (command.folder / "config.json").read_text()


def command_settings(run):
    variant = run.config.variant
    return {
        f"{role}.{name}": value
        for role in ("generator", "discriminator", "loss")
        for name, value in getattr(variant, role).options.items()
    }


def without_time(run):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in run.metrics()]


def test_a_run_reads_and_goes_on(run, images, capsys):
    assert (run.step, run.steps) == (3, 3) and "dcgan on memory-" in repr(run) and "step 3 of 3" in repr(run)
    assert run.samples().size == run.samples(step=3).size and run._repr_png_().startswith(b"\x89PNG")
    last = run.metrics()[-1]
    assert last["step"] == 3 and {"discriminator.real", "samples.diversity"} <= last.keys()
    assert run.model().sample(2).shape == (2, 1, 32, 32)
    with pytest.raises(ganzoo.GanzooError, match="no picture of step 7; there are 0, 3"):
        run.samples(step=7)
    before = capsys.readouterr()
    assert run.resume(steps=4, device="cpu").step == 4 and list(run.grids()) == [0, 3, 4]
    assert capsys.readouterr() == before == ("", "")


def test_metrics_become_a_frame_where_pandas_is(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ganzoo.GanzooError, match="pip install pandas"):
        run.metrics(frame=True)
    monkeypatch.undo()
    pytest.importorskip("pandas")
    last = run.metrics()[-1]  # of step 3, or of those that another test has added to this run
    assert run.metrics(frame=True).loc[last["step"], "samples.diversity"] == last["samples.diversity"]


def test_callbacks_and_trackers_get_the_numbers_of_a_run(images, tmp_path, caplog, process):
    from ganzoo.tracking import Tracker

    @ganzoo.register_tracker("mine")
    class Mine(Tracker):
        def __init__(self, folder):
            self.file = folder / "mine.txt"

        def finish(self, outcome):
            self.file.write_text(outcome)

    seen = {}

    def remember(step, values):
        seen.setdefault(step, {}).update(values)

    def broken(step, values):
        raise ValueError("no")

    options = {"callbacks": [remember, broken], "track": "mine"}
    run = ganzoo.train("dcgan", data=images, out=tmp_path / "run", steps=2, **options, **TINY)
    assert seen.keys() == {2} and {"discriminator/real", "samples/diversity"} <= seen[2].keys()
    assert seen[2]["discriminator/real"] == run.metrics()[-1]["discriminator.real"]
    assert (run.folder / "mine.txt").read_text() == "finished"
    run.resume(steps=3, callbacks=[remember], device="cpu")
    assert seen.keys() == {2, 3}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"overrides": {"loss.penalti": 5}}, "loss.penalti"),
        ({"overrides": {"loss.penalty": object()}}, "not object"),
        ({"image_size": 33}, "image_size"),
        ({"overrides": ["loss.penalty=5"]}, "a table such as"),
        ({"steps": 0}, "steps is a whole number from 1, not 0"),
        ({"seed": -1}, "seed is a whole number from 0"),
        ({"keep": 1}, "keep is a whole number from 2"),
        ({"sample_every": 2.5}, "sample_every is a whole number"),
        ({"on_collapse": "explode"}, "known: 'warn', 'stop', 'rollback'"),
        ({"image_size": "32"}, "image_size is in pixels"),
        ({"callbacks": 3}, "callbacks takes functions"),
        ({"track": "wanbd"}, "wandb"),
        ({"mixins": "lecan"}, "lecam"),
        ({"data": "no-such-folder/"}, "no-such-folder"),
        ({"data": 3}, "int cannot be trained on"),
        ({"data": ""}, "data is empty"),
        ({"mixins": None}, "mixins takes a name"),
        ({"mixins": [None]}, "mixins takes a name"),
        ({"track": [print]}, "track takes a name"),
        ({"device": None}, "device is a name"),
        ({"seed": None}, "seed is a whole number"),
        ({"sample_every": None}, "sample_every is a whole number"),
        ({"on_collapse": None}, "on_collapse cannot be"),
        ({"conditional": "yes"}, "conditional is True, False or None"),
        ({"data_root": 5}, "data_root is a path"),
        ({"start_from": torch.nn.Identity()}, "save a model first"),
        ({"start_from": "x", "freeze": "discriminator:2"}, "freeze is a table"),
        ({"start_from": "x", "freeze": {"discriminator": "2"}}, "freeze is a table"),
        ({"start_from": "x", "freeze": {"discriminator": -2}}, "freeze is a table"),
        ({"variant": {"generator": "dcgan"}}, "the loss is missing"),
        ({"variant": {"generator": "dcgan", "loss": "hinge", "regularizers": 5}}, "regularizers is a list"),
        ({"variant": {"generator": "dcgan", "loss": "hinge", "regularizers": "r1"}}, "regularizers is a list"),
        ({"variant": {"generatr": "dcgan"}}, "Did you mean 'generator'"),
        ({"variant": {"generator": torch.nn.Identity(), "loss": "dcgan"}}, "not Identity"),
    ],
)
def test_a_bad_request_is_one_line_and_no_folder(images, tmp_path, change, said):
    options = {**TINY, "steps": 1, "data": images, "variant": "dcgan", **change}
    with pytest.raises(ganzoo.GanzooError) as caught:
        ganzoo.train(options.pop("variant"), out=tmp_path / "run", **options)
    assert said in str(caught.value) and not (tmp_path / "run").exists()
    assert caught.value.__traceback__ is not None and "\n" not in str(caught.value)


def test_a_folder_that_is_no_run_and_one_that_is_taken(run, images, tmp_path):
    with pytest.raises(ganzoo.GanzooError, match="is no run"):
        ganzoo.open_run(tmp_path)
    with pytest.raises(ganzoo.GanzooError, match="already holds a run: use Run.resume"):
        ganzoo.train("dcgan", data=images, out=run.folder, steps=1, **TINY)


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("terms", ["a tensor", "terms of many numbers"])
def test_an_own_loss_that_fails_in_its_first_step_leaves_the_folder_to_the_mended_one(
    tmp_path, process, terms, existed
):
    def loss_of(faulty: bool):
        class Mine(Loss):
            def __init__(self, image):
                super().__init__()

            def discriminator(self, turn):
                logits = turn.logits(turn.real)
                if faulty:
                    return logits if terms == "a tensor" else {"real": logits}
                return {"real": logits.mean()}

            def generator(self, turn):
                return {"fake": -turn.logits(turn.fake).mean()}

        return Mine

    out = tmp_path / "new" / "run"
    if existed:
        out.mkdir(parents=True)
    card = dataclasses.replace(ganzoo.variant("points"), loss=ganzoo.Part("mine"))
    options = {"data": "ring", "out": out, "steps": 1, "batch_size": 8, "device": "cpu", "threads": 1}
    ganzoo.register_loss("mine")(loss_of(faulty=True))
    with pytest.raises(ganzoo.GanzooError, match="Mine.discriminator must return"):
        ganzoo.train(card, **options)
    assert out.exists() == existed and (not existed or list(out.iterdir()) == [])
    ganzoo.register_loss("mine")(loss_of(faulty=False))
    assert ganzoo.train(card, **options).step == 1


def test_a_changed_card_trains(images, tmp_path):
    card = dataclasses.replace(ganzoo.variant("dcgan"), loss=ganzoo.Part("least-squares"))
    changed = ganzoo.train(card, data=images, out=tmp_path / "run", steps=1, mixins="r1", **TINY)
    assert changed.config.variant.loss.name == "least-squares" and changed.config.variant.regularizers[0].name == "r1"
    assert changed.config.in_process.keys() == {f"datasets.{changed.config.data.name}"}


# -- a loop of one's own -----------------------------------------------------------------------------------------------


def test_a_loop_of_ones_own_makes_the_steps_of_a_run_and_a_config_that_is_true(run, images, tmp_path):
    trainer = ganzoo.create_trainer("dcgan", images, steps=3, **TINY)
    for _ in range(2):
        trainer.step()
    trainer.model().sample(1)  # sampling changes no step
    terms = trainer.step()
    saved = trainer.save(tmp_path / "own")
    theirs = ganzoo.load(run.folder / "checkpoints" / "step-000000003")
    assert torch.equal(saved.model().sample(3), theirs.sample(3))
    assert terms.keys() <= saved.metrics()[-1].keys() and saved.samples().size == run.samples(step=3).size
    config, other = (json.loads((one.folder / "config.json").read_text()) for one in (saved, run))
    other["variant"]["training"]["steps"] = 3
    assert config == other
    saved.resume(steps=4, device="cpu")
    again = ganzoo.load(run.folder) if run.step == 4 else run.resume(steps=4, device="cpu").model()
    assert torch.equal(saved.model().sample(3), again.sample(3))


def test_what_a_loop_changed_is_said(images, tmp_path):
    trainer = ganzoo.create_trainer("dcgan", images, **TINY)
    trainer.step()
    for group in trainer.optimizers["generator"].param_groups:
        group["lr"] = 0.5
    trainer.step()
    events = [
        record["text"] for record in trainer.save(tmp_path / "own").records() if record.get("event") == "own-loop"
    ]
    assert "generator.lr changed from 0.0002 to 0.5" in events[0]
    trainer.step()
    assert trainer.save(tmp_path / "own").step == 3  # a second checkpoint
    with pytest.raises(ganzoo.GanzooError, match="already holds a run"):
        ganzoo.create_trainer("dcgan", images, **TINY).save(tmp_path / "own")


def test_a_trainer_of_parts(images, tmp_path, process):
    class Halved(Loss):
        def __init__(self, image, share: float = 0.5):
            super().__init__()
            self.share = share

        def discriminator(self, turn):
            return {"real": self.share * -turn.real_logits.mean(), "fake": self.share * turn.fake_logits.mean()}

        def generator(self, turn):
            return {"fake": -turn.fake_logits.mean()}

    parts = {"generator": ganzoo.Part("dcgan", {"width": 4}), "discriminator": "dcgan", "loss": Halved}
    trainer = ganzoo.create_trainer(
        parts, images, image_size=32, batch_size=4, overrides={"loss.share": 0.25, "discriminator.width": 4}
    )
    trainer.step()
    config = trainer.save(tmp_path / "own").config
    assert config.variant.name == "custom" and config.variant.loss == ganzoo.Part("halved", {"share": 0.25})
    assert {"losses.halved", "variants.custom"} <= config.in_process.keys()


# -- images in memory --------------------------------------------------------------------------------------------------


class Pairs(torch.utils.data.Dataset):
    classes = ("first", "second")

    def __len__(self):
        return 6

    def __getitem__(self, number):
        return torch.full((3, 8, 8), number / 5 * 2 - 1), number % 2


def test_images_in_memory_come_as_tensors_arrays_and_data_sets(images):
    found = ganzoo.dataset(Pairs(), image_size=8)
    assert len(found) == 6 and found.classes == ("first", "second") and "2 classes" in repr(found)
    image, label = found[5]
    assert image.shape == (3, 8, 8) and image.dtype == torch.float32 and float(image.max()) == 1 and label == 1
    bytes_ = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(((ganzoo.dataset(bytes_, image_size=16)[0] + 1) * 127.5).round().byte(), bytes_[0])
    array = bytes_[:, 0].numpy()
    assert torch.equal(ganzoo.dataset((array, [3]), image_size=16)[0][0], ganzoo.dataset(bytes_, image_size=16)[0])
    assert next(iter(torch.utils.data.DataLoader(ganzoo.dataset(images, image_size=32), 5))).shape == (5, 1, 32, 32)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (torch.rand(4, 1, 8, 8), "2 \\* images - 1"),
        (torch.rand(4, 1, 8, 8) * 255, "out of range"),
        (torch.zeros(4, 2, 8, 8, dtype=torch.uint8), "1, 3 or 4 channels"),
        (torch.zeros(4, 8, 8, dtype=torch.uint8), "N, C, H, W"),
        (torch.zeros(4, 1, 8, 8, dtype=torch.int64), "no known range"),
        ((torch.zeros(4, 1, 8, 8, dtype=torch.uint8), [0, 1]), "4 class numbers"),
        ((torch.zeros(4, 1, 8, 8, dtype=torch.uint8), [0, 1, 0, 10**9]), "65,536 are the most"),
        ([(torch.zeros(1, 8, 8), "cat")], "one class number from 0"),
        ([(torch.zeros(1, 8, 8), 1.7)], "one class number from 0"),
        ([(torch.zeros(1, 8, 8), None)], "one class number from 0"),
        ([(torch.zeros(1, 8, 8), torch.tensor([0, 1]))], "one class number from 0"),
        ({"a": 1}, "dict cannot be trained on"),
        (torch.zeros(4, 1, 8, 8).to_sparse(), "to_dense"),
    ],
)
def test_images_in_memory_that_mean_nothing_are_refused(data, said):
    with pytest.raises(ganzoo.GanzooError, match=said):
        ganzoo.dataset(data, image_size=8)


def test_a_tensor_of_bfloat16_is_that_of_its_numbers():
    values = (torch.arange(64).reshape(1, 1, 8, 8) / 32 - 1).to(torch.bfloat16)
    brief, long = (ganzoo.dataset(one, image_size=8)[0] for one in (values, values.float()))
    assert torch.equal(brief, long)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda run, images, out: ganzoo.train("dcgan", data=images, out=5), "out is a path"),
        (lambda run, images, out: ganzoo.train("dcgan", data=images, out=""), "out is a path"),
        (lambda run, images, out: ganzoo.open_run(None), "folder is a path"),
        (lambda run, images, out: run.resume(track=[None]), "track takes a name"),
        (lambda run, images, out: run.resume(device=None), "device is a name"),
        (lambda run, images, out: ganzoo.variant(None), "is a text"),
        (lambda run, images, out: ganzoo.list_variants(5), "is a text"),
        (lambda run, images, out: ganzoo.dataset(images, image_size=None), "image_size is in pixels"),
        (lambda run, images, out: ganzoo.dataset("fashion-mnist", image_size=32, split=3), "split is a name"),
        (lambda run, images, out: ganzoo.evaluate(images, reference=images, metrics=[None]), "metrics takes a name"),
        (lambda run, images, out: ganzoo.evaluate(images, reference=images, extractor=5), "extractor is a name"),
        (lambda run, images, out: ganzoo.bench(None, out=out, data=images, steps=1), "variants takes names"),
        (lambda run, images, out: ganzoo.bench("dcgan", out=out, data=images, minutes=float("nan")), "minutes"),
        (lambda run, images, out: ganzoo.bench("dcgan", out=out, data=images, minutes=-1), "minutes"),
        (lambda run, images, out: ganzoo.bench("dcgan", out=out, data=images, minutes="1"), "minutes"),
        (lambda run, images, out: ganzoo.bench("dcgan", out=out, data=images, steps=1, seeds=[]), "seeds is how many"),
        (lambda run, images, out: ganzoo.bench("dcgan", out=out, data=images, steps=1, seeds=1.5), "seeds is how many"),
        (lambda run, images, out: run.model().sample(2.0), "at least one image"),
        (lambda run, images, out: run.model().sample("3"), "at least one image"),
        (lambda run, images, out: run.model().save(5), "is a path"),
        (lambda run, images, out: list(run.model().interpolate(stops=2, frames=1.5)), "whole numbers"),
        (lambda run, images, out: ganzoo.mix(run, run, "half"), "from 0 to 1"),
        (lambda run, images, out: ganzoo.create_model("cgan", classes=-1), "classes is a whole number"),
        (lambda run, images, out: ganzoo.create_model("dcgan", channels=None), "channels cannot be None"),
        (lambda run, images, out: ganzoo.invert(run, images, steps=1.5), "all whole"),
        (lambda run, images, out: ganzoo.invert(run, images, steps=1, rate=float("nan")), "rate of an inversion"),
    ],
)
def test_arguments_of_wrong_types_are_one_line_and_no_folder(run, images, tmp_path, asked, said):
    with pytest.raises(ganzoo.GanzooError) as caught:
        asked(run, images, tmp_path / "out")
    assert said in str(caught.value) and "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_points_are_no_images():
    model = ganzoo.create_model("points")
    with pytest.raises(ganzoo.GanzooError, match="draws images, and the samples of 'points' are points"):
        model.sample_pil(2)
    with pytest.raises(ganzoo.GanzooError, match="compares images, and the samples of 'points' are points"):
        ganzoo.evaluate(model, reference="ring")
    with pytest.raises(ganzoo.GanzooError, match="'ring' holds points"):
        ganzoo.evaluate("ring", reference="ring")


# -- scoring -----------------------------------------------------------------------------------------------------------


def test_models_and_images_are_evaluated(run, images):
    options = {"reference": images, "metrics": "kid", "extractor": "random-cnn"}
    found = ganzoo.evaluate(run, count=24, **options)
    assert found.keys() == {"kid[random-cnn]", "kid-deviation[random-cnn]"}
    assert ganzoo.evaluate(run.model(), count=24, **options) == found
    assert ganzoo.evaluate(images, **options)["kid[random-cnn]"] < found["kid[random-cnn]"]
    with pytest.raises(ganzoo.GanzooError, match="kid needs"):
        ganzoo.evaluate(run, count=1, **options)


def test_a_bench_gives_rows_and_a_table(images, tmp_path):
    results = ganzoo.bench(
        "dcgan",
        data=images,
        image_size=32,
        steps=2,
        seeds=(0, 5),
        points=1,
        eval_images=20,
        metrics="frechet",
        extractor="random-cnn",
        overrides={"training.batch_size": 4, **{f"dcgan:{name}": value for name, value in NARROW.items()}},
        out=tmp_path / "bench",
    )
    assert [row["seed"] for row in results.to_dicts()] == [0, 5] and len(results) == 2
    assert all(row["final.frechet[random-cnn]"] > 0 and row["final.step"] == 2 for row in results.to_dicts())
    assert "dcgan" in repr(results) and "frechet[random-cnn]" in results._repr_html_()
    assert (results.folder / "report.html").exists()


# -- registered in this process ----------------------------------------------------------------------------------------


def registered_loss():
    @ganzoo.register_loss("mine")
    class Mine(Loss):
        def __init__(self, image):
            super().__init__()

        def discriminator(self, turn):
            return {"real": -turn.real_logits.mean(), "fake": turn.fake_logits.mean()}

        def generator(self, turn):
            return {"fake": -turn.fake_logits.mean()}

    return Mine


@pytest.fixture(scope="module")
def custom(images, tmp_path_factory):
    """A run with a loss and a generator that were registered in this process."""
    registered_loss()

    @ganzoo.register_generator("flat")
    class Flat(Generator):
        latent_dim = 4

        def __init__(self, image, width: int = 4):
            super().__init__()
            self.image, self.linear = image, torch.nn.Linear(4, image.channels * image.size**2)

        def forward(self, latent, label=None):
            return self.linear(latent).tanh().view(-1, self.image.channels, self.image.size, self.image.size)

    overrides = {"loss": "mine", "generator": "flat", "discriminator.width": 4}
    folder = tmp_path_factory.mktemp("custom") / "run"
    return ganzoo.train("dcgan", data=images, out=folder, steps=2, **{**TINY, "overrides": overrides})


def test_a_part_of_this_process_trains_and_the_config_says_so(custom):
    assert custom.config.in_process.keys() >= {"losses.mine", "generators.flat"}
    assert len(custom.config.in_process["losses.mine"]) == 64
    assert custom.resume(steps=3, device="cpu").step == 3
    assert custom.model().sample(2).shape == (2, 1, 32, 32)


def test_a_run_with_parts_of_another_process_says_so(custom, images, process):
    line = "The loss 'mine' and the generator 'flat'"
    with pytest.raises(ganzoo.GanzooError, match="generator 'flat'.*in no plugin.*register the same again"):
        custom.resume(steps=4, data=images)
    with pytest.raises(ganzoo.GanzooError, match="registered in the Python process.*register it here first"):
        custom.model()
    assert line  # the order of names is that of the parts


def test_a_loss_of_another_process_is_a_warning_when_the_model_is_loaded(images, tmp_path, caplog, process):
    registered_loss()
    run = ganzoo.train(
        "dcgan", data=images, out=tmp_path / "run", steps=1, **{**TINY, "overrides": {**NARROW, "loss": "mine"}}
    )
    run.model().save(tmp_path / "model")
    assert not caplog.messages
    from ganzoo.registry.registry import registry

    registry.cache_clear()
    for source in (run, tmp_path / "model"):
        caplog.clear()
        assert ganzoo.load(source).sample(1).shape == (1, 1, 32, 32)
        assert len(caplog.messages) == 1 and "the loss 'mine'" in caplog.messages[0]
    assert "in no plugin" in caplog.messages[0]


def test_a_run_on_images_in_memory_goes_on_in_another_process_if_they_are_given(images, tmp_path, process):
    run = ganzoo.train("dcgan", data=images, out=tmp_path / "run", steps=1, **TINY)
    from ganzoo.registry.registry import registry

    registry.cache_clear()
    with pytest.raises(ganzoo.GanzooError, match=r"data set 'memory-.*in no plugin.*run.resume\(data=...\)"):
        run.resume(steps=2)
    with pytest.raises(ganzoo.GanzooError, match="data.fingerprint"):
        run.resume(steps=2, data=-images)
    assert run.resume(steps=2, data=images, device="cpu").step == 2


def test_names_of_plugins_and_calls_of_plugins_are_refused(process, monkeypatch):
    with pytest.raises(ganzoo.GanzooError, match="one of ganzoo:"):
        ganzoo.register_loss("wasserstein-gp")(lambda image: None)
    with pytest.raises(ganzoo.GanzooError, match="cannot be a name"):
        ganzoo.register_loss("My Loss")(lambda image: None)
    with pytest.raises(ganzoo.GanzooError, match="a class or a function"):
        ganzoo.register_loss("mine")(3)
    with pytest.raises(ganzoo.GanzooError, match="its name first"):

        @ganzoo.register_loss
        class Nameless: ...

    def of_plugin(image): ...

    of_plugin.__module__ = "ganzoo_plugins.dcgan.model"
    with pytest.raises(ganzoo.GanzooError, match="implement the hook register_losses"):
        ganzoo.register_loss("mine")(of_plugin)
    from ganzoo.registry.discovery import Plugin
    from ganzoo.registry.plugin_guard import guard_plugin

    plugin = Plugin("bad", "bad-plugin", "1", module="bad_plugin")
    with guard_plugin(plugin):
        ganzoo.register_metric("mine")(lambda real, fake, random: 0.0)
    assert "implement the hook register_metrics" in plugin.error


def test_a_card_a_metric_and_a_data_set_of_this_process(images, process):
    ganzoo.register_variant(dataclasses.replace(ganzoo.variant("dcgan"), name="mine", weights={}))
    assert "mine" in ganzoo.list_variants() and ganzoo.create_model("mine", image_size=32).variant == "mine"

    @ganzoo.register_metric("zero")
    def zero(real, fake, random):
        return 0.0

    options = {"reference": images, "metrics": "zero", "extractor": "random-cnn"}
    assert ganzoo.evaluate(images, **options) == {"zero[random-cnn]": 0.0}

    @ganzoo.register_metric("zero")  # a cell of a notebook runs again
    def one(real, fake, random):
        return 1.0

    assert ganzoo.evaluate(images, **options) == {"zero[random-cnn]": 1.0}

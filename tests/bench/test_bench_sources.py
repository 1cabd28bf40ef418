"""Benches of variants that make images of images: pairs, sets of their own, conditions, and the copy of the source."""

import json
import shutil

import benches
import numpy
import pytest
import small
import translation
import translators
from bench_rows import row
from PIL import Image

import ganzoo
from ganzoo.bench.cells import Cell, Job, cells_from_json, chosen_variants, plan_to_json
from ganzoo.bench.report.terminal import table
from ganzoo.bench.row import checked_row
from ganzoo.bench.sources import Sources
from ganzoo.config.schema import from_json
from ganzoo.errors import UsageError
from ganzoo.metrics.image_sets import score_pairs
from ganzoo.registry import registry
from ganzoo.registry.discovery import Plugin
from ganzoo.variant import Field, Part

COUNT, SIZE = 9, 16  # pairs for each split
COPY = "copy of the source"
METRICS = ("--metric", "l1", "--metric", "psnr", "--metric", "frechet")
QUICK = ("--image-size", "16", "--steps", "4", "--points", "2", "--extractor", "random-cnn")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folders `output` and `source` with splits, and plugins whose variants take a source."""
    folder = tmp_path_factory.mktemp("sides")
    for number in range(COUNT):
        for split, first in (("train", 0), ("test", 100)):
            name = f"{split}/{number}.png"
            translation.noise(folder / "output" / name, first + number, (SIZE, SIZE))
            translation.noise(folder / "source" / name, 50 + first + number, (SIZE, SIZE))
    (folder / "outside").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        with translators.installed_plugin(Plugin("translation", "ganzoo-translation", "1.0", translation.__name__)):
            yield folder


def bench(place, *words, code=0):
    done = small.forked_ganzoo("bench", *map(str, words), cwd=place)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    return done


def trained(place, out, *words, **more):
    return bench(place, *words, "--train", "--data", "output", *QUICK, "--out", out, **more)


@pytest.fixture(scope="module")
def filled(place):
    """A bench of two variants, one of which learns without pairs, on paired data."""
    done = trained(place, "bench", "translator", "unpaired", "--source", "source", "--seeds", "2", *METRICS)
    assert "output:test" in done.stderr and "source:test" in done.stderr
    return place / "bench"


def truth_of(folder):
    return numpy.stack([numpy.asarray(Image.open(file)) for file in sorted(folder.iterdir())]).astype(float)


def test_outputs_are_compared_with_the_truths_of_their_sources(place, filled):
    rows = benches.rows(filled)
    assert [(row["cell"]["name"], row["status"]) for row in rows] == [
        *(("translator", "done"),) * 2, *(("unpaired", "done"),) * 2, (COPY, "done"),
    ]  # fmt: skip
    for line in rows[:-1]:
        run = filled / "runs" / f"{line['cell']['name']}-output-seed{line['cell']['seed']}"
        checkpoint = max((run / "checkpoints").iterdir())
        sources = [Image.open(file) for file in sorted((place / "source/test").iterdir())]
        made = numpy.stack([numpy.asarray(image) for image in ganzoo.load(checkpoint).apply(sources)]).astype(float)
        wanted = numpy.abs(made - truth_of(place / "output/test")).mean() / 255
        assert line["final"]["scores"]["l1"] == pytest.approx(wanted, abs=1e-6)
        assert list(line["final"]["scores"])[:3] == ["l1", "psnr", "frechet[random-cnn]"]
        assert line["best"]["scores"]["l1"] == min(point["scores"]["l1"] for point in line["points"])


def test_the_copy_of_the_source_has_the_numbers_of_its_files(place, filled):
    line = benches.rows(filled)[-1]
    wanted = score_pairs(place / "source/test", place / "output/test", ["l1", "psnr"]).means
    assert {name: line["final"]["scores"][name] for name in wanted} == pytest.approx(wanted, abs=1e-6)
    assert line["samples"] is None and line["costs"]["generator_parameters"] is None


def test_a_variant_without_parameters_has_a_row_as_any_other(place):
    trained(place, "baseline", "bicubic", *METRICS)
    own, copied = benches.rows(place / "baseline")
    assert (own["cell"]["name"], own["status"], copied["cell"]["name"]) == ("bicubic", "done", COPY)
    assert own["costs"]["generator_parameters"] == 0 and own["weights_sha256"] is None
    for name in ("l1", "psnr"):
        assert own["final"]["scores"][name] == pytest.approx(copied["final"]["scores"][name], rel=0.01)


def test_a_picture_shows_source_output_and_truth(place, filled):
    picture = numpy.asarray(Image.open(filled / "samples" / "translator-output-seed0.png"))
    assert picture.shape == (3 * (SIZE + 2) + 2, 8 * (SIZE + 2) + 2, 3)
    for top, side in ((2, "source"), (2 * (SIZE + 2) + 2, "output")):
        first = numpy.asarray(Image.open(place / side / "test" / "0.png"))
        assert (picture[top : top + SIZE, 2 : 2 + SIZE] == first).all()
    assert (filled / "report.html").read_text().count("data:image/png") == 4
    assert COPY in (filled / "report.md").read_text()


def test_the_protocol_says_of_what_images_are_made(place, filled):
    protocol = json.loads((filled / "protocol.json").read_text())
    assert protocol["metrics"] == ["l1", "psnr", "frechet"] and protocol["ranking"] == "l1"
    assert protocol["evaluation"]["images"] == protocol["evaluation"]["point_images"] == COUNT
    assert protocol["sources"]["paired"] is True
    assert protocol["sources"]["inputs"] == {"source": {"shape": [3, SIZE, SIZE], "condition": None}}
    assert protocol["sources"]["data"] != protocol["sources"]["reference"]


def test_the_same_command_finds_its_rows_and_shards_make_the_same(place, filled):
    before = benches.timeless(filled)
    words = ["translator", "unpaired", "--source", "source", "--seeds", "2", *METRICS]
    trained(place, "bench", *words, "--quiet")
    assert benches.timeless(filled) == before
    for number in (1, 2):
        trained(place, f"shard-{number}", *words, "--shard", f"{number}/2")
    bench(place, "merge", "shard-1", "shard-2", "--out", "merged")
    assert sorted(benches.timeless(place / "merged")) == sorted(before)
    assert (place / "merged/samples/unpaired-output-seed1.png").exists()
    compared = small.forked_ganzoo(
        "compare", "merged/results.jsonl", "--variants", "translator,unpaired", "--metric", "l1", cwd=place
    )
    assert compared.returncode == 0 and "l1" in compared.stdout, compared.stderr


def test_trained_models_are_scored_on_given_pairs(place, filled):
    shutil.copytree(filled / "runs/translator-output-seed0", place / "run")
    bench(place, "./run", "--reference", "output:test", "--source", "source:test", *METRICS, "--out", "scored")
    first, copy = benches.rows(place / "scored")
    known = benches.rows(filled)
    assert first["final"]["scores"] == pytest.approx(known[0]["final"]["scores"])
    assert copy["final"]["scores"] == pytest.approx(known[-1]["final"]["scores"])


def test_conditions_compute_the_sources_of_data_and_reference(place):
    words = ("--set", "enlarger:source.factor=4", "--metric", "psnr", "--metric", "l1")
    trained(place, "computed", "enlarger", *words)
    line, copy = benches.rows(place / "computed")
    protocol = json.loads((place / "computed/protocol.json").read_text())
    assert protocol["metrics"] == ["psnr", "l1"] and line["status"] == "done"
    assert line["best"]["scores"]["psnr"] == max(point["scores"]["psnr"] for point in line["points"])
    assert protocol["sources"]["inputs"]["source"]["shape"] == [3, 4, 4]
    assert copy["final"]["scores"]["psnr"] > 7  # sources of a quarter of the size, enlarged
    assert protocol["references"][0]["images"] == COUNT
    trained(place, "masked", "translator", "--source", "mask", "--set", "source.shape=half", "--metric", "l1")
    masked, copy = benches.rows(place / "masked")
    assert masked["status"] == "done" and copy["final"]["scores"]["l1"] > 0
    (cell,) = [cell for cell in json.loads((place / "masked/plan.json").read_text())["cells"] if "condition" in cell]
    assert cell["condition"] == "mask"


def test_conditions_may_make_the_outputs_too(place):
    trained(place, "cut-out", "translator", "--source", "composite", "--metric", "l1", "--metric", "frechet")
    line, copy = benches.rows(place / "cut-out")
    protocol = json.loads((place / "cut-out/protocol.json").read_text())
    assert line["status"] == "done" and protocol["references"][0]["channels"] == 1  # alpha
    assert copy["final"]["scores"]["l1"] > 0


def test_sides_may_be_in_one_picture_or_in_two_folders_of_one(place):
    for number in range(COUNT):
        translation.noise(place / "beside" / f"{number}.png", number, (SIZE, 2 * SIZE))
        for folder in ("trainA", "trainB", "testA", "testB"):
            shutil.copytree(place / ("source" if folder[-1] == "A" else "output") / folder[:-1],
                place / "domains" / folder, dirs_exist_ok=True)  # fmt: skip
    words = ("--train", *QUICK, "--metric", "l1")
    bench(place, "translator", "--pairs", "beside", *words, "--out", "pairs")
    line, copy = benches.rows(place / "pairs")
    pictures = truth_of(place / "beside")
    wanted = numpy.abs(pictures[:, :, :SIZE] - pictures[:, :, SIZE:]).mean() / 255
    assert line["status"] == "done" and copy["final"]["scores"]["l1"] == pytest.approx(wanted, abs=1e-6)
    done = bench(place, "translator", "--data", "domains", "--direction", "BtoA", *words, "--out", "turned")
    assert "domains:test" in done.stderr
    line, copy = benches.rows(place / "turned")
    wanted = score_pairs(place / "output/test", place / "source/test", ["l1"]).means["l1"]
    assert line["status"] == "done" and copy["final"]["scores"]["l1"] == pytest.approx(wanted, abs=1e-6)


def test_a_bench_of_failures_alone_fails_although_the_source_is_copied(place):
    done = trained(place, "failed", "tiny-translation", "--source", "source", "--metric", "l1",
        "--set", "generator.width=0", "--set", "training.batch_size=2", code=1)  # fmt: skip
    assert "'tiny-translation' with:" in done.stderr
    assert [row["status"] for row in benches.rows(place / "failed")] == ["failed", "done"]


def test_sets_of_their_own_have_no_truth(place):
    trained(place, "apart", "unpaired", "--source", "source", "--metric", "frechet")
    line, copy = benches.rows(place / "apart")
    assert list(line["final"]["scores"]) == list(copy["final"]["scores"]) == ["frechet[random-cnn]"]
    height = Image.open(place / "apart" / line["samples"]).height
    assert height == 2 * (SIZE + 2) + 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["translator", "dcgan", "--source", "source"], "'translator' takes a source, 'dcgan' none"),
        (["translator", "enlarger"], "source by 'downscale'"),
        (["points"], "benchmarks/points.py"),
        (["dcgan", "--source", "source"], "'dcgan' takes no source"),
        (["dcgan", "--unpaired"], "leave out --unpaired"),
        (["dcgan", "--reference-source", "source"], "--reference-source"),
        (["dcgan", "--metric", "l1", "--metric", "frechet"], "no pairs"),
        (["unpaired", "--source", "source", "--metric", "psnr"], "no pairs"),
        (["translator", "--source", "source", "--eval-images", "10"], f"{COUNT} sources"),
        (["translator", "--source", "sorce"], "sorce"),
        (["translator", "--source", "outside"], "outside"),
        (["translator", "--source", "source", "--unpaired"], "learns from pairs"),
        (["translator", "--source", "source", "--metric", "ms-ssim"], "needs 176 pixels"),
        (["translator", "--source", "source", "--reference-source", "source"], "give --reference"),
    ],
)
def test_what_cannot_be_compared_is_one_line_before_any_training(place, words, text):
    done = trained(place, "refused", *words, code=1 if "outside" in words else 2)
    assert text in done.stderr.splitlines()[-1] and not (place / "refused").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["./run"], "--reference OUTPUTS/ --source SOURCES/"),
        (["./run", "dcgan.fashion-mnist", "--reference", "output:test", "--source", "source:test"], "latents alone"),
        (["dcgan.fashion-mnist", "--source", "source"], "leave out --source"),
        (["./run", "--reference", "output:test", "--source", "edges"], "other shapes"),
    ],
)
def test_models_that_cannot_be_scored_so_are_one_line(place, filled, words, text):
    if not (place / "run").exists():
        shutil.copytree(filled / "runs/translator-output-seed0", place / "run")
    done = bench(place, *words, "--out", "refused", code=2)
    assert text in done.stderr.splitlines()[-1] and not (place / "refused").exists()


def test_patterns_keep_to_the_kind_that_is_asked_for(place):
    known = registry.registry()

    def names(*patterns, **how):
        return {variant.name for variant in chosen_variants(patterns, False, 16, known, **how)}

    assert names("trans*", "un*", sources=True) == {"translator", "unpaired"}
    assert names("translator", "*") >= {"translator", "unpaired", "enlarger"}
    assert not {"translator", "points"} & names("*")
    with pytest.raises(UsageError, match="No variant is left"):
        names("trans*")


def test_jobs_and_cells_are_plain_data_and_old_plans_stay_as_they_are():
    sources = Sources(
        inputs={"source": Part("mask", {"shape": "half"})}, paired=True, fields={"source": Field((3, 8, 8))}
    )
    job = Job(folder="x", kind="train", paired=("l1",), sources=sources)
    again = from_json(json.loads(json.dumps(job.to_json())), Job, "job")
    assert again == job and hash(again) == hash(job)
    plain = Cell(name="a", variant="a", data="b", seed=0)
    assert not {"condition", "copied"} & plain.to_json().keys()
    cells = (plain, Cell(name="a", variant="a", data="b", seed=1, condition="mask"))
    assert cells_from_json(json.loads(json.dumps(plan_to_json(cells))), "plan.json") == cells


def test_the_table_puts_the_highest_first_where_higher_is_better():
    def made(name, **scores):
        value = row(name, 0, [1.0])
        for state in (value["best"], value["final"], *value["points"]):
            state["scores"] = scores
        return checked_row(value, name)

    rows = [made("low", psnr=20.0, l1=0.1), made("high", psnr=30.0, l1=0.2)]
    assert [line.split()[0] for line in table(rows, ["psnr", "l1"])[1:]] == ["high", "low"]
    assert [line.split()[0] for line in table(rows, ["l1"])[1:]] == ["low", "high"]

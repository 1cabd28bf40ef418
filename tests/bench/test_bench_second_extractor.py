"""A second extractor beside the first: when there is one, what rows and protocol say, and what it leaves alone."""

import json

import benches
import pytest
import small

from ganzoo.bench.merge import merge
from ganzoo.bench.row import fingerprint, read_rows
from ganzoo.metrics.features import load_extractor

SMALL = ("--train", "--image-size", "32", "--steps", "4", "--points", "2", "--eval-images", "20", "--quiet")
FIRST, SECOND = "frechet[fashion-cnn]", "frechet[fashion-cnn-native]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("second")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(place / "cache"))
        small.images(place / "grey.npz")
        small.images(place / "colour.npz", channels=3)
        yield place


def bench(folder, out, *more, data="grey.npz", code=0):
    words = ["bench", "vae", *SMALL, "--data", str(folder / data), "--set", "training.batch_size=4", *more]
    done = small.forked_ganzoo(*words, "--out", str(folder / out), cwd=folder)
    assert done.returncode == code, done.stderr
    return done


def read(folder, out):
    (row,) = benches.rows(folder / out)
    return row, json.loads((folder / out / "protocol.json").read_text())


def without_second(row):
    row = json.loads(json.dumps(row))
    for score in (row["best"], row["final"], *row["points"]):
        score["scores"] = {label: value for label, value in score["scores"].items() if "native" not in label}
    return {key: value for key, value in row.items() if key not in ("times", "protocol")}


@pytest.fixture(scope="module")
def both(folder):
    bench(folder, "both")
    return read(folder, "both")


@pytest.fixture(scope="module")
def alone(folder):
    bench(folder, "alone", "--second-extractor", "none")
    return read(folder, "alone")


def test_every_score_has_the_distance_by_both_and_the_first_is_first(both):
    row, protocol = both
    for score in (row["best"], row["final"], *row["points"]):
        assert next(iter(score["scores"])) == FIRST and score["scores"][SECOND] > 0
        assert [label for label in score["scores"] if "native" in label] == [SECOND]
    assert protocol["ranking"] == FIRST and protocol["extractor"]["name"] == "fashion-cnn"
    native = load_extractor("fashion-cnn-native").fingerprint
    assert protocol["second_extractor"] == {
        "name": "fashion-cnn-native",
        "fingerprint": native,
        "metrics": ["frechet"],
    }


def test_a_second_extractor_changes_no_other_digit(both, alone):
    """Nor the protocol of a bench without one, which is that of before: its folders can be continued."""
    assert without_second(both[0]) == without_second(alone[0]) and SECOND not in alone[0]["final"]["scores"]
    assert "second_extractor" not in alone[1]
    assert alone[1] == {key: value for key, value in both[1].items() if key != "second_extractor"}


def test_a_folder_of_before_is_refused_by_the_name_of_the_difference(folder, alone):
    done = bench(folder, "alone", code=2)
    assert "second_extractor" in done.stderr and "absent there" in done.stderr
    bench(folder, "alone", "--second-extractor", "none", "--seeds", "2")
    assert len(benches.rows(folder / "alone")) == 2


def test_old_rows_and_new_ones_are_shown_apart_and_merged_with_their_like(folder, both, alone):
    rows = [read_rows(folder / out / "results.jsonl")[0] for out in ("both", "alone")]
    assert rows[0].protocol == fingerprint(both[1]) and rows[1].protocol == fingerprint(alone[1])
    assert merge([folder / "both"], folder / "merged")[0].final == rows[0].final
    done = small.forked_ganzoo("bench", "merge", "both", "alone", "--out", "no", cwd=folder)
    assert done.returncode == 2 and "second_extractor" in done.stderr


def test_the_ranking_metric_alone_is_scored_by_any_second_extractor(folder):
    bench(folder, "kid", "--metric", "kid", "--second-extractor", "random-cnn")
    row, protocol = read(folder, "kid")
    assert list(row["final"]["scores"]) == [
        "kid[fashion-cnn]",
        "kid-deviation[fashion-cnn]",
        "kid[random-cnn]",
        "kid-deviation[random-cnn]",
    ]
    assert protocol["second_extractor"]["metrics"] == ["kid"] and protocol["ranking"] == "kid[fashion-cnn]"


def test_images_that_it_was_not_made_for_have_none_unless_asked(folder):
    words = ("--metric", "frechet", "--extractor", "random-cnn", "--image-size", "64")
    bench(folder, "large", *words)
    row, protocol = read(folder, "large")
    assert list(row["final"]["scores"]) == ["frechet[random-cnn]"] and "second_extractor" not in protocol
    done = bench(folder, "asked", *words, "--second-extractor", "fashion-cnn-native")
    assert done.stderr.count("second extractor") == 1 and "garments" in done.stderr
    assert list(read(folder, "asked")[0]["final"]["scores"]) == ["frechet[random-cnn]", SECOND]


def test_images_in_colour_have_two_by_default(folder):
    bench(folder, "colour", "--metric", "frechet", data="colour.npz")
    row, protocol = read(folder, "colour")
    assert list(row["final"]["scores"]) == ["frechet[emoji-cnn]", "frechet[random-cnn]"]
    assert protocol["second_extractor"]["name"] == "random-cnn" and protocol["ranking"] == "frechet[emoji-cnn]"


def test_the_second_as_first_has_no_second(folder):
    bench(folder, "native", "--metric", "frechet", "--extractor", "fashion-cnn-native")
    assert "second_extractor" not in read(folder, "native")[1]


@pytest.mark.parametrize("name", ["fashion-cnn", "fashion-cn"])
def test_the_first_again_or_an_unknown_one_is_refused_before_any_file(folder, name):
    done = bench(folder, "refused", "--second-extractor", name, code=2)
    assert name in done.stderr and "Traceback" not in done.stderr and not (folder / "refused").exists()


def test_a_fresh_process_scores_by_both_too(folder, both):
    """As a cell does where forking is not safe, or on another machine."""
    from ganzoo.bench.cells import Job, cells_from_json
    from ganzoo.bench.worker import encoded_task, run_task

    (cell,) = cells_from_json(json.loads((folder / "both/plan.json").read_text()), "plan")
    job = Job(
        folder=str(folder / "fresh"),
        kind="train",
        data=str(folder / "grey.npz"),
        reference=str(folder / "grey.npz"),
        image_size=32,
        channels=1,
        classes=3,
        second_extractor="fashion-cnn-native",
        metrics=tuple(both[1]["metrics"]),
        steps=4,
        points=2,
        eval_images=20,
        point_images=both[1]["evaluation"]["point_images"],
    )
    _, _, row = run_task(encoded_task(cell, job, fingerprint(both[1])), both[1])
    assert row.to_json()["final"] == both[0]["final"]

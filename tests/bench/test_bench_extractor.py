"""Which extractor a bench takes, and what it says of images for which an extractor was not made."""

import json

import benches
import pytest
import small

SMALL = ("--train", "--image-size", "32", "--steps", "4", "--points", "1", "--eval-images", "20", "--seeds", "1")
LARGE = ("--image-size", "64")


@pytest.fixture
def colour(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    return small.images(tmp_path / "emoji.npz", channels=3)


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Grey images that are larger than garments."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    return small.images(tmp_path / "large.npz", channels=1)


def bench(data, folder, *more):
    words = ["bench", "vae", *SMALL, "--data", str(data), "--set", "training.batch_size=4", *more]
    done = small.forked_ganzoo(*words, "--out", str(folder / "bench"), cwd=folder)
    assert done.returncode == 0, done.stderr
    (row,) = benches.rows(folder / "bench")
    return done, row, json.loads((folder / "bench/protocol.json").read_text())


def test_images_in_colour_are_compared_by_the_extractor_for_colour(colour, tmp_path):
    done, row, protocol = bench(colour, tmp_path)
    assert protocol["extractor"]["name"] == "emoji-cnn" and protocol["ranking"] == "frechet[emoji-cnn]"
    names = {label.partition("[")[0] for label in row["final"]["scores"]}
    assert {"frechet", "kid", "recall"} <= names and not names & {"modes", "classes", "inception-score"}
    assert not [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    (event,) = row["events"]
    assert "No metrics of classes" in event["text"] and protocol["second_extractor"]["name"] == "random-cnn"


def test_smaller_images_in_colour_are_compared_by_a_generic_extractor(colour, tmp_path):
    done, row, protocol = bench(colour, tmp_path, "--image-size", "16")
    assert protocol["extractor"]["name"] == "random-cnn" and protocol["ranking"] == "frechet[random-cnn]"
    names = {label.partition("[")[0] for label in row["final"]["scores"]}
    assert {"frechet", "kid", "recall"} <= names and not names & {"modes", "classes", "inception-score"}
    assert "in colour" in done.stderr and "random-cnn" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert not row["events"]


@pytest.mark.parametrize(
    ("option", "name", "channels", "words"),
    [
        ("--extractor", "fashion-cnn", 3, ("garments", "in colour", "emoji-cnn")),
        ("--second-extractor", "fashion-cnn-native", 3, ("garments", "in colour", "random-cnn")),
        ("--extractor", "emoji-cnn", 1, ("grey", "fashion-cnn")),
    ],
)
def test_extractors_of_other_channels_are_refused_with_one_line(option, name, channels, words, tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    data = small.images(tmp_path / "images.npz", channels=channels)
    more = ["--set", "training.batch_size=4", option, name, "--out", str(tmp_path / "bench")]
    done = small.forked_ganzoo("bench", "vae", *SMALL, "--data", str(data), *more, cwd=tmp_path)
    assert done.returncode == 2 and not (tmp_path / "bench").exists()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert all(word in line for word in (name, *words)), line


def test_an_extractor_that_was_not_made_for_the_images_counts_no_classes(large, tmp_path):
    done, row, protocol = bench(large, tmp_path, *LARGE, "--extractor", "fashion-cnn", "--quiet")
    assert set(protocol["metrics"]) == {"frechet", "kid", "precision-recall"}
    assert not {label for label in row["final"]["scores"] if label.startswith(("modes", "classes", "inception"))}
    warned = [line for line in done.stderr.splitlines() if "garments" in line]
    assert len(warned) == 1 and "fashion-cnn" in warned[0] and "64 pixels" in warned[0] and "random-cnn" in warned[0]
    (event,) = row["events"]
    assert event["event"] == "extractor" and "garments" in event["text"]
    for name in ("report.md", "report.html"):
        assert "garments" in (tmp_path / "bench" / name).read_text()


def test_a_metric_of_classes_that_was_asked_for_has_no_number_there(large, tmp_path):
    asked = ("--extractor", "fashion-cnn", "--metric", "frechet", "--metric", "classes")
    done, row, _ = bench(large, tmp_path, *LARGE, *asked, "--quiet")
    assert row["final"]["scores"]["classes[fashion-cnn]"] is None and row["final"]["scores"]["frechet[fashion-cnn]"] > 0
    assert any("classes[fashion-cnn]" in line and "garments" in line for line in done.stderr.splitlines())


def test_small_grey_images_keep_their_extractor_and_their_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    done, row, protocol = bench(small.images(tmp_path / "grey.npz"), tmp_path)
    assert protocol["extractor"]["name"] == "fashion-cnn" and "garments" not in done.stderr
    assert row["final"]["scores"]["modes[fashion-cnn]"] >= 1 and not row["events"]

"""What a bench makes of few images, of what drawings were drawn from, and of extractors and metrics that fail."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import ganzoo
from ganzoo.data.sources import ImageData
from ganzoo.errors import InterruptedRun, PluginError, UsageError
from ganzoo.metrics.classes import best_pairing, code_agreement
from ganzoo.metrics.features import Extractor, FeatureSet, as_images, extract_features, load_extractor
from ganzoo.metrics.frechet import frechet_distance
from ganzoo.metrics.moments import Moments
from ganzoo.metrics.score import measure, reference_features, score, with_codes_and_labels, write_features
from ganzoo.models.model import Model
from ganzoo.networks import Code, Generator
from ganzoo.registry.registry import registry
from ganzoo.variant import ImageSpec

COUNT = 300


def given(dimensions, seed=0, count=None):
    """An extractor whose features are the images themselves, and images."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(count or dimensions, dimensions, 1, 1, generator=random)
    return Extractor("given", lambda images: images.flatten(1), "c" * 64, ()), images


def of(name):
    return {name: registry().get("metrics", name)}


# -- few images --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "kept"), [(15, 15), (16, 16), (17, None), (64, None)])
def test_features_are_kept_while_there_are_no_more_than_dimensions(count, kept):
    extractor, images = given(16, count=count)
    seen = extract_features(images.split(5), extractor, ())
    assert seen.moments.count == count and (None if seen.features is None else len(seen.features)) == kept
    if kept:
        assert torch.equal(seen.features, images.flatten(1))
    assert len(extract_features(images.split(5), extractor, ("features",)).features) == count


@pytest.mark.parametrize(("real", "fake"), [(200, 20), (20, 200), (20, 24), (200, 200)])
def test_few_images_on_either_side_never_become_a_covariance(real, fake, monkeypatch):
    extractor, images = given(32, count=real)
    others = given(32, seed=1, count=fake)[1] * 1.5
    seen = [extract_features(side.split(7), extractor, ()) for side in (images, others)]
    wanted = frechet_distance(*(side.moments for side in seen))
    asked = []
    covariance = Moments.covariance.fget
    monkeypatch.setattr(Moments, "covariance", property(lambda self: (asked.append(self.count), covariance(self))[1]))
    found = measure(*seen, extractor, of("frechet"), 0)["frechet[given]"]
    assert sorted(asked) == sorted(count for count in (real, fake) if count > 32)
    assert found == wanted if not min(real, fake) < 32 else found == pytest.approx(wanted, rel=1e-8)


def test_what_another_metric_needs_changes_no_bit_of_the_distance():
    extractor, images = given(16, count=50)
    alone, beside = (extract_features(images.split(9), extractor, needs) for needs in ((), ("features",)))
    real = extract_features(given(16, seed=1, count=70)[1].split(9), extractor, ())
    assert measure(real, alone, extractor, of("frechet"), 0) == measure(real, beside, extractor, of("frechet"), 0)


def test_few_real_images_that_were_kept_without_features_are_looked_at_again(tmp_path):
    images = torch.randint(0, 256, (6, 4, 4, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = ImageData(images, None, (), "few", "d" * 64)
    extractor = given(16)[0]
    first = reference_features(data, extractor, (), tmp_path)
    (file,) = (tmp_path / "statistics").glob("*.safetensors")
    write_features(replace(first, features=None), file)
    assert torch.equal(reference_features(data, extractor, (), tmp_path).features, first.features)
    looks = []
    counting = replace(extractor, network=lambda images: looks.append(len(images)) or images.flatten(1))
    assert torch.equal(reference_features(data, counting, (), tmp_path).features, first.features) and not looks


# -- codes and labels --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier():
    return load_extractor("fashion-cnn")


def test_the_code_agreement_of_a_score_is_that_of_its_own_samples(classifier, tmp_path_factory):
    from ganzoo.data import load_images

    cache = tmp_path_factory.mktemp("cache")
    real = load_images("fashion-mnist-test", size=28, datasets=registry().table("datasets"), cache=cache)
    real = replace(real, images=real.images[:COUNT], labels=real.labels[:COUNT], fingerprint="e" * 64)
    model = ganzoo.load("infogan.fashion-mnist")
    found = score(model, real, classifier, of("classes"), images=COUNT, seed=5, batch_size=70, cache=cache)
    category = model.latent(COUNT, 5)[:, 62:72].argmax(1)
    pixels = ((model.generate(model.latent(COUNT, 5)) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    with torch.inference_mode():
        seen = classifier.network.logits(as_images(pixels.permute(0, 2, 3, 1))).argmax(1)
    assert found["code-agreement[fashion-cnn]"] == code_agreement(category, seen, 10, 10).accuracy > 0.5
    assert list(found)[-1] == "code-agreement[fashion-cnn]" and "label-agreement[fashion-cnn]" not in found
    larger = replace(real, images=torch.nn.functional.pad(real.images, (0, 0, 2, 2, 2, 2)), fingerprint="a" * 64)
    plain = score(ganzoo.load("dcgan.fashion-mnist"), larger, classifier, of("classes"), images=20, cache=cache)
    assert list(plain) == [f"{name}[fashion-cnn]" for name in ("modes", "modes-tenth", "class-divergence")]


class Stripes(Generator):
    """Draws nothing but what its label or code says: pixel k is lit for number k."""

    latent_dim = 7

    def __init__(self, codes=()):
        super().__init__()
        self.codes, self.scale = codes, torch.nn.Parameter(torch.ones(1))

    def latent(self, n, random):
        digits = [torch.nn.functional.one_hot(torch.randint(size, (n,), generator=random), size) for size in (4, 3)]
        return torch.cat(digits, 1).float()

    def forward(self, latent, label=None):
        shown = latent[:, :4] if label is None else torch.nn.functional.one_hot(label, 4).float()
        return (shown * 2 - 1).reshape(-1, 1, 2, 2) * self.scale


class Lit:
    """Names the pixel that is lit."""

    fingerprint, classes = "f" * 64, ("a", "b", "c", "d")

    def __call__(self, images):
        return images.flatten(1)

    def classify(self, features):
        return features


def stripes(codes=(), classes=()):
    image = ImageSpec(2, 1, len(classes))
    return Model(Stripes(codes), SimpleNamespace(variant="stripes", image=image, classes=tuple(classes)))


def scored(model):
    extractor = load_extractor("lit", {"lit": Lit})
    seen = with_codes_and_labels(extract_features(model.stream(40, 1), extractor, ("logits",)), model, 1, extractor)
    return seen, measure(seen, seen, extractor, of("classes"), 0)


FOUR, THREE = Code("four", 0, 4, "categorical"), Code("three", 4, 3, "categorical")


def test_the_best_of_several_codes_counts():
    seen, found = scored(stripes((THREE, Code("rest", 6, 1, "continuous"), FOUR)))
    assert seen.codes.shape == (40, 2) and seen.codes.dtype == torch.int64 and seen.labels is None
    assert found["code-agreement[lit]"] == 1
    assert 0.25 <= scored(stripes((THREE,)))[1]["code-agreement[lit]"] < 0.7
    assert "code-agreement[lit]" not in scored(stripes((Code("rest", 6, 1, "continuous"),)))[1]


def test_labels_count_only_where_the_classifier_means_the_same_by_them():
    seen, found = scored(stripes(classes=("a", "b", "c", "d")))
    assert seen.labels.tolist() == [0, 1, 2, 3] * 10 and seen.codes is None and found["label-agreement[lit]"] == 1
    for names in (("b", "a", "c", "d"), ("0", "1", "2", "3"), ("a", "b", "c")):
        seen, found = scored(stripes(classes=names))
        assert seen.labels is None and "label-agreement[lit]" not in found


def test_a_code_beyond_the_latent_is_named():
    with pytest.raises(PluginError, match="'stripes' .*'far' .*4 .*5.* 7"):
        stripes((Code("far", 5, 4, "categorical"),)).categories(3)


def test_many_classes_that_few_values_are_paired_with_take_no_time():
    counts = torch.randint(0, 50, (10, 1008), generator=torch.Generator().manual_seed(0))
    assert sum(int(counts[row, column]) for row, column in enumerate(best_pairing(counts))) == int(
        counts.max(1).values.sum()
    )
    assert sorted(best_pairing(counts.T)) == [-1] * 998 + list(range(10))


# -- failures ----------------------------------------------------------------------------------------------------------


def raising(error):
    def fail(*_):
        raise error

    return fail


def test_an_extractor_that_fails_while_it_looks_is_named():
    images = torch.zeros(4, 1, 2, 2)
    with pytest.raises(PluginError, match=r"extractor 'mine' .*ZeroDivisionError: 'division'"):
        extract_features([images], Extractor("mine", raising(ZeroDivisionError("division")), "f" * 64, ()), ())
    network = Lit()
    for classify, message in (
        (raising(RuntimeError("no")), "failed: RuntimeError: 'no'"),
        (lambda seen: seen[:, :2], r"not \(4, 2\)"),
    ):
        network.classify = classify
        with pytest.raises(PluginError, match=f"The extractor 'mine' .*{message}"):
            extract_features([images], Extractor("mine", network, "f" * 64, Lit.classes), ("logits",))


FEATURES = FeatureSet(Moments.of(torch.eye(3)), torch.eye(3), None)
LIT = Extractor("lit", Lit(), "f" * 64, ())


def called(metric):
    return measure(FEATURES, FEATURES, LIT, {"mine": metric}, 0)


def test_a_metric_that_fails_is_named():
    with pytest.raises(PluginError, match=r"The metric 'mine' failed: KeyError: .*absent"):
        called(raising(KeyError("absent")))


@pytest.mark.parametrize("value", [None, "3.5", [1.0], torch.zeros(2), 1j, {"part": None}, {"part": "1"}, {3: 1.0}])
def test_a_metric_that_returns_no_number_is_named(value):
    with pytest.raises(PluginError, match="metric 'mine' must return a number.* dict "):
        called(lambda *_: value)


def test_a_metric_that_gives_no_number_at_all_has_failed():
    with pytest.raises(PluginError, match="metric 'mine' gave no number"):
        called(lambda *_: {})


@pytest.mark.parametrize("value", [2, 2.0, torch.tensor(2), torch.tensor([2.0]), torch.tensor(2.0).numpy()])
def test_whatever_is_a_number_counts(value):
    assert called(lambda *_: value) == {"mine[lit]": 2.0} and called(lambda *_: {"part": value}) == {"part[lit]": 2.0}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InterruptedRun("stopped", 15), UsageError("too few of these")])
def test_what_is_no_plugins_fault_passes_through(error):
    with pytest.raises(type(error)) as metric:
        called(raising(error))
    with pytest.raises(type(error)) as extractor:
        extract_features([torch.zeros(4, 1, 2, 2)], Extractor("mine", raising(error), "f" * 64, ()), ())
    assert metric.value is extractor.value is error

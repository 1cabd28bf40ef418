"""The generic extractor: fixed weights, native size, and an order of simple damage."""

import pytest
import torch
from torch.nn import functional

from ganzoo.errors import UsageError
from ganzoo.metrics.features import as_images, extract_features, load_extractor
from ganzoo.metrics.frechet import frechet_distance

FINGERPRINT = "e184300e4a079339b94e7ad4a8ca91265251d223e2e4ec9e5f86d877ea45b68a"


@pytest.fixture(scope="module")
def extractor():
    return load_extractor("random-cnn")


def test_its_weights_are_the_same_everywhere(extractor):
    """The fingerprint is of the weights themselves: another stream of random numbers would be another extractor."""
    assert extractor.fingerprint == FINGERPRINT and extractor.classes == () and extractor.purpose == ""
    assert not any(weight.requires_grad for weight in extractor.network.parameters())


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_channels(extractor, size, channels):
    images = torch.rand(5, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = extractor.network(images)
    assert features.shape == (5, 256) and features.dtype == torch.float32 and features.isfinite().all()
    parts = torch.cat([extractor.network(images[:2]), extractor.network(images[2:])])
    assert torch.allclose(features, parts, rtol=1e-4, atol=1e-5)


def test_grey_is_three_equal_channels(extractor):
    grey = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(extractor.network(grey), extractor.network(grey.repeat(1, 3, 1, 1)))


def test_other_shapes_are_refused(extractor):
    with pytest.raises(UsageError, match="random-cnn takes images"):
        extractor.network(torch.zeros(2, 4, 32, 32))


def test_damage_is_farther_than_other_images_of_the_same_kind(extractor):
    """Discs of three colours against others of them: blurred, noisy, recoloured, and ten of them again and again."""

    def discs(seed):
        random = torch.Generator().manual_seed(seed)
        centre, radius = torch.rand(2, 1000, 1, 1, generator=random) * 12 + 10, torch.rand(1000, 1, 1, generator=random)
        colours = torch.tensor([[250, 200, 30], [200, 40, 40], [40, 90, 200]])
        colour = colours[torch.randint(3, (1000,), generator=random)]
        rows, columns = torch.arange(32.0)[:, None], torch.arange(32.0)
        inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < (4 + 6 * radius) ** 2
        return torch.where(inside[..., None], colour[:, None, None, :], 255).to(torch.uint8)

    def distance(images):
        found = extract_features([images], extractor, ())
        return frechet_distance(real.moments, found.moments)

    real = extract_features([as_images(discs(1))], extractor, ())
    other = as_images(discs(2))
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(0))
    padded = functional.pad(other, (1, 1, 1, 1), mode="replicate")
    same = distance(other)
    assert distance(functional.avg_pool2d(padded, 3, 1)) > 2 * same
    assert distance((other + 0.1 * noise).clamp(-1, 1)) > 2 * same
    assert distance(other[:, [2, 1, 0]]) > 10 * same
    assert distance(other[:10].repeat(100, 1, 1, 1)) > 10 * same

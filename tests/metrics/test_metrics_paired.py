"""Metrics of pairs against torchmetrics and scikit-image, LPIPS against its equations, and their bounds."""

import hashlib
import math

import pytest
import torch
from golden_values import golden
from safetensors.torch import save_file
from torch.nn import functional

from ganzoo.errors import CheckpointError, UsageError
from ganzoo.metrics import directions
from ganzoo.metrics.lpips import DIGEST, FILE
from ganzoo.metrics.paired import PAIRED, ComparedPart, l1, lpips, ms_ssim, psnr, ssim
from ganzoo.networks.lpips import LPIPS, SCALE, SHIFT

RECORDED = golden("paired")
CASES = ["40-1", "48-3", "176-1"]


def case(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return RECORDED[f"{name}.images"].double() / 255, RECORDED[f"{name}.truth"].double() / 255


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_numbers_of_torchmetrics_and_scikit_image_in_any_range(name, low, high):
    images, truth = (one * (high - low) + low for one in case(name))
    within = {"low": low, "high": high}
    assert torch.allclose(psnr(images, truth, **within), RECORDED[f"{name}.psnr"], rtol=0, atol=1e-5)  # of float32
    found = ssim(images, truth, **within)
    assert torch.allclose(found, RECORDED[f"{name}.ssim"], rtol=0, atol=1e-9)
    assert torch.allclose(found, RECORDED[f"{name}.skimage"], rtol=0, atol=1e-9)
    if f"{name}.ms-ssim" in RECORDED:
        assert torch.allclose(ms_ssim(images, truth, **within), RECORDED[f"{name}.ms-ssim"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_float32_images_give_nearly_the_same(name):
    images, truth = (one.float() * 2 - 1 for one in case(name))
    for key, metric in (("psnr", psnr), ("ssim", ssim)):
        assert torch.allclose(metric(images, truth), RECORDED[f"{name}.{key}"], rtol=0, atol=1e-4)


def test_torchmetrics_itself_agrees_where_it_is_installed():
    image = pytest.importorskip("torchmetrics.functional.image")
    images, truth = case("48-3")
    _, full = image.structural_similarity_index_measure(
        images, truth, data_range=1.0, reduction="none", return_full_image=True
    )
    inner = full[:, :, 5:-5, 5:-5].flatten(1).mean(1)
    assert torch.allclose(ssim(images, truth, low=0.0), inner, rtol=0, atol=1e-9)


def test_equal_images():
    _, truth = case("176-1")
    assert psnr(truth, truth, low=0.0).tolist() == [math.inf] * 2
    assert l1(truth, truth, low=0.0).tolist() == [0.0] * 2
    assert torch.allclose(ssim(truth, truth, low=0.0), torch.ones(2).double(), atol=1e-12)
    assert torch.allclose(ms_ssim(truth, truth, low=0.0), torch.ones(2).double(), atol=1e-12)


def test_the_mean_absolute_error_is_a_share_of_the_range():
    black, white = torch.full((1, 1, 4, 4), -1.0), torch.ones(1, 1, 4, 4)
    assert l1(black, white).item() == 1
    assert l1(black, white * 0).item() == 0.5


@pytest.mark.parametrize("name", [name for name in PAIRED if name != "lpips"])
def test_an_image_far_from_the_truth_is_worse_in_the_stated_direction(name):
    metric = PAIRED[name]
    truth = RECORDED["176-1.truth"].double() / 255
    noise = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    near, far = ((truth + noise * size).clamp(0, 1) for size in (0.02, 0.4))
    better = metric(near, truth, low=0.0) < metric(far, truth, low=0.0)
    assert bool((better == metric.lower_is_better).all())
    assert metric.least <= 176


@pytest.mark.parametrize("name", ["ssim", "ms-ssim"])
def test_the_least_side_is_the_least_that_works(name):
    metric = PAIRED[name]
    sides = torch.zeros(1, 1, metric.least, metric.least + 3)
    assert metric(sides, sides).item() == pytest.approx(1)
    with pytest.raises(UsageError, match="11"):
        metric(sides[:, :, 1:], sides[:, :, 1:])


@pytest.mark.parametrize(
    "images, truth, options",
    [
        (torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17), {}),
        (torch.zeros(3, 16, 16), torch.zeros(3, 16, 16), {}),
        (torch.full((1, 3, 16, 16), -1.0), torch.zeros(1, 3, 16, 16), {"low": 0.0}),
        (torch.full((1, 3, 16, 16), torch.nan), torch.zeros(1, 3, 16, 16), {}),
        (torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16), {"low": 1.0}),
    ],
    ids=["shapes", "rank", "range", "nan", "empty-range"],
)
def test_what_cannot_be_compared_is_refused(images, truth, options):
    for metric in (psnr, ssim, l1):
        with pytest.raises(UsageError):
            metric(images, truth, **options)


# -- LPIPS ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A file of weights that are random, and positive in the heads as the published ones are."""
    random = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(tensor.shape, generator=random) * (2 / max(1, tensor[0].numel())) ** 0.5
        for name, tensor in LPIPS().state_dict().items()
    }
    state = {name: tensor.abs() if name.startswith("lin") else tensor for name, tensor in state.items()}
    save_file(state, tmp_path / "lpips.safetensors")
    monkeypatch.setenv(FILE, str(tmp_path / "lpips.safetensors"))
    monkeypatch.setenv(DIGEST, hashlib.sha256((tmp_path / "lpips.safetensors").read_bytes()).hexdigest())
    return state


def by_equation(state: dict, images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Equation 1 of Zhang et al. 2018, layer by layer, with the strides of AlexNet written out."""
    shift, scale = (torch.tensor(one).view(1, 3, 1, 1) for one in (SHIFT, SCALE))
    hidden, total = [(one - shift) / scale for one in (images, truth)], 0.0
    for number, (place, stride, padding, pooled) in enumerate(
        [(0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False)]
    ):
        weight, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
        hidden = [functional.max_pool2d(one, 3, 2) if pooled else one for one in hidden]
        hidden = [functional.conv2d(one, weight, bias, stride, padding).relu() for one in hidden]
        one, other = (one / (one.norm(dim=1, keepdim=True) + 1e-10) for one in hidden)
        weights = state[f"lin{number}.model.1.weight"]
        total = total + (weights * (one - other).square()).sum(1).mean((1, 2))
    return total


def test_lpips_is_its_equation_with_a_stand_in_for_the_weights(stand_in):
    random = torch.Generator().manual_seed(1)
    images, truth = (torch.rand(3, 3, 64, 48, generator=random) * 2 - 1 for _ in range(2))
    found = lpips(images, truth)
    assert torch.allclose(found, by_equation(stand_in, images, truth).double(), rtol=1e-4)
    assert (found > 0).all() and lpips(truth, truth).abs().max() == 0
    assert torch.allclose(lpips(images / 2 + 0.5, truth / 2 + 0.5, low=0.0), found, rtol=1e-4)
    grey = images[:, :1]
    assert torch.allclose(
        lpips(grey, truth[:, :1]), lpips(grey.expand(-1, 3, -1, -1), truth[:, :1].expand(-1, 3, -1, -1))
    )


def test_the_names_of_the_weights_are_those_of_the_publishers():
    names = set(LPIPS().state_dict())
    convolutions = {f"features.{place}.{kind}" for place in (0, 3, 6, 8, 10) for kind in ("weight", "bias")}
    assert names == convolutions | {f"lin{number}.model.1.weight" for number in range(5)}
    assert sum(tensor.numel() for tensor in LPIPS().state_dict().values()) == 2_469_696 + 1_152


def test_weights_of_another_hash_or_other_tensors_are_refused(stand_in, tmp_path, monkeypatch):
    images = torch.zeros(1, 3, 32, 32)
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    monkeypatch.setenv(FILE, str(path))
    with pytest.raises(CheckpointError, match="sha256"):
        lpips(images, images)
    monkeypatch.setenv(DIGEST, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match="features"):
        lpips(images, images)


def test_without_weights_lpips_says_what_it_needs(monkeypatch):
    monkeypatch.delenv(FILE, raising=False)
    with pytest.raises(UsageError, match=FILE):
        lpips(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))


# -- the part that papers of super-resolution compare -----------------------------------------------------------------


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("luma", [False, True])
@pytest.mark.parametrize("border", [0, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_of_basicsr_with_its_luma_and_border(channels, border, luma, low, high):
    recorded = golden("paired_luma")
    part = ComparedPart(luma, border)
    images, truth = (
        part(recorded[f"{channels}.{name}"].double() / 255 * (high - low) + low, low=low, high=high)
        for name in ("image", "truth")
    )
    expected = recorded[f"{channels}.{border}.{int(luma)}"]
    found = [metric(images, truth, low=low, high=high).item() for metric in (psnr, ssim)]
    assert found == pytest.approx(expected.tolist(), rel=0, abs=1e-6)


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="border of 8"):
        ComparedPart(border=8)(torch.zeros(1, 3, 16, 30))
    with pytest.raises(UsageError, match="4 channels"):
        ComparedPart(luma=True)(torch.zeros(1, 4, 16, 16))
    white, black = (ComparedPart(luma=True)(torch.full((1, 3, 2, 2), level)) for level in (1.0, -1.0))
    assert torch.allclose((white + 1) * 127.5, torch.full((1, 1, 2, 2), 235.0).double())
    assert torch.allclose((black + 1) * 127.5, torch.full((1, 1, 2, 2), 16.0).double())


def test_the_table_of_directions_names_all_of_them():
    assert set(PAIRED) == set(directions.PAIRED)

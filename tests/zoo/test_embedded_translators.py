"""The translators that come with pix2pix bring emoji that no training saw closer to the truth than sources are."""

import pytest
from paths import TESTS
from PIL import Image

import ganzoo
from ganzoo.metrics.image_sets import score_pairs

EMOJI = TESTS / "fixtures" / "emoji"  # of the held-out tenth, by the sha256 of the code point
SIDES = {"pix2pix.line-to-colour": ("line", "colour"), "pix2pix.emoji-3d": ("flat", "3d")}


@pytest.mark.parametrize("tag", SIDES)
def test_outputs_are_closer_to_the_truth_than_sources(tag, tmp_path):
    source, truth = (EMOJI / side for side in SIDES[tag])
    names = sorted(path.name for path in source.iterdir())
    assert len(names) == 6 and names == sorted(path.name for path in truth.iterdir())
    made = ganzoo.load(tag).apply([Image.open(source / name).convert("RGB") for name in names])
    for name, picture in zip(names, made, strict=True):
        assert (picture.mode, picture.size) == ("RGB", (64, 64))
        picture.save(tmp_path / name)
    copied, ours = score_pairs(source, truth).means, score_pairs(tmp_path, truth).means
    assert ours["psnr"] > copied["psnr"] and ours["l1"] < copied["l1"], (ours, copied)

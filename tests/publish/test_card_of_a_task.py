"""The model card follows what the generator takes and makes."""

import pytest

from ganzoo import Field, Part, SampleSpec
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.publish.model_card import model_card, tags


def config_of(output, **inputs):
    return ModelConfig(
        variant="some",
        generator=Part("some"),
        image=SampleSpec(output, inputs),
        latent_dim=0 if inputs else 4,
        provider=Provider(distribution="x", version="1"),
        license="mit",
    )


PAIRED = config_of(Field((4, 64, 48)), source=Field((1, 64, 48)))
POINTS = config_of(Field((2,), "points"))


def test_a_translator_is_applied_to_pictures():
    card = model_card("owner/name", PAIRED, None, picture=False)
    assert "pipeline_tag: image-to-image" in card and 'model.apply(PIL.Image.open("picture.png"))' in card
    assert "`ganzoo apply owner/name pictures/ --out results/`" in card and "samples.png" not in card
    assert "64x48 images with alpha made of a source image" in card and "64x48" in tags(PAIRED)


def test_a_generator_of_points_has_no_pipeline_of_images():
    card = model_card("owner/name", POINTS, None)
    assert "pipeline_tag" not in card and "(64, 2)" in card and "2 points" in card


@pytest.mark.parametrize("picture", [True, False])
def test_a_picture_is_shown_if_there_is_one(picture):
    assert ("Sources, outputs and truth" in model_card("owner/name", PAIRED, None, picture=picture)) == picture

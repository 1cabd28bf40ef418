"""What a notebook shows of a model."""

from __future__ import annotations

import base64
import io
import re
import sys

import pytest
from PIL import Image

import ganzoo
from ganzoo.models import notebook

SMALL = {"generator.width": 8}


def made(variant: str = "dcgan", size: int | None = 32, **options) -> ganzoo.Model:
    return ganzoo.create_model(variant, image_size=size, overrides=SMALL, **options)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_model_shows_a_row_of_samples_below_its_text(channels):
    model = made(channels=channels)
    page, png = model._repr_html_(), model._repr_png_()
    assert page.startswith("<pre>&lt;Model dcgan:") and "<Model" not in page
    data = re.search(r'src="data:image/png;base64,([^"]+)"', page)[1]
    assert base64.b64decode(data) == png
    picture = Image.open(io.BytesIO(png))
    assert picture.width > 8 * 32 and picture.height < 2 * 32
    assert len(set(picture.convert("L").tobytes())) > 2


@pytest.mark.parametrize(
    "model",
    [
        lambda: made("pix2pix", channels=1),  # needs a source
        lambda: made("points", None),  # draws no images
        lambda: made(size=256),  # large
    ],
)
def test_a_model_without_a_quick_picture_shows_its_text_alone(model):
    assert model()._repr_png_() is None and model()._repr_html_() is None


def test_many_weights_and_no_pillow_and_broken_weights_show_text_alone(monkeypatch):
    model = made()
    with monkeypatch.context() as small:
        small.setattr(notebook, "MOST_WEIGHTS", 10)
        assert model._repr_html_() is None
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "PIL", None)
        assert model._repr_html_() is None
    assert model._repr_html_() is not None
    monkeypatch.setattr(type(model), "sample", lambda *_: (_ for _ in ()).throw(ganzoo.GanzooError("no")))
    assert model._repr_html_() is None

"""The Dirac-GAN: the zoo's losses against the known dynamics of two numbers."""

from __future__ import annotations

import json
import math

import pytest
import torch
from PIL import Image

from ganzoo.cli import main
from ganzoo.config.mixins import mixed_in
from ganzoo.config.settings import resolve
from ganzoo.registry.registry import registry
from ganzoo.runs.dirac import dirac

MINIMAX = ("loss=gan", "loss.objective=minimax", "loss.weight=1")


def path(order, *settings, mixins=(), steps=500):
    variant = mixed_in(registry().get("variants", "points"), mixins, registry())
    return dirac(resolve(variant, settings, registry()).parts, order, steps=steps)


def by_hand(order, steps, rate=0.2):
    """Gradient descent on the non-saturating loss, written out: real points are 0, so only fakes move the slope."""
    theta, psi, found = 1.0, 1.0, [(1.0, 1.0)]
    sigmoid = lambda t: 1 / (1 + math.exp(-t))  # noqa: E731
    for _ in range(steps):
        after = psi - rate * theta * sigmoid(theta * psi)
        judge = after if order == "alternating" else psi
        theta += rate * judge * sigmoid(-theta * judge)
        psi = after
        found.append((theta, psi))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("order", ["alternating", "simultaneous"])
def test_the_path_is_that_of_the_equations(order):
    assert torch.allclose(path(order, steps=50), by_hand(order, 50), atol=1e-9)


@pytest.mark.slow
def test_long_paths_end_where_mescheder_says():
    """Plain losses circle, at the same time they leave the equilibrium; R1 brings them home."""
    radius = {order: path(order, *MINIMAX).norm(dim=1) for order in ("alternating", "simultaneous")}
    assert 1.3 < radius["alternating"][-100:].min() and radius["alternating"][-100:].max() < 1.5
    assert 2.8 < radius["simultaneous"][-100:].min() and radius["simultaneous"][-1] == pytest.approx(3.35, abs=0.05)
    mended = path("alternating", "regularizers.r1.gamma=0.3", mixins=("r1",)).norm(dim=1)
    assert mended[-100:].max() < 6e-6


def test_r1_draws_the_path_inwards_and_minimax_does_not():
    plain = path("simultaneous", *MINIMAX, steps=60)
    mended = path("simultaneous", "regularizers.r1.gamma=0.3", mixins=("r1",), steps=60)
    assert plain.norm(dim=1)[-1] > math.sqrt(2) > 0.5 > mended.norm(dim=1)[-1]


def test_the_generator_of_a_loss_with_many_critic_steps_answers_all_of_them():
    options = ("loss=wasserstein-clipped", "loss.clip=9", "loss.warmup=0", "loss.long_every=0", "loss.critic_steps=3")
    theta, psi = path("alternating", *options, steps=1)[1].tolist()
    assert psi == pytest.approx(1 - 3 * 0.2) and theta == pytest.approx(1 + 0.2 * psi)


def test_the_command_prints_both_orders_and_draws_them(tmp_path, capsys):
    words = ["dirac", "--loss", "minimax", "--steps", "5", "--out", str(tmp_path / "x.png")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["alternating", "simultaneous"] and "1.41" in lines[0]
    assert Image.open(tmp_path / "x.png").size == (640, 342)


@pytest.mark.parametrize(
    "words, fact",
    [
        (["--loss", "nosuch"], "nosuch"),
        (["--loss", "ebgan"], "codes"),
        (["--with", "diffaugment"], "regularizers"),
        (["--set", "loss.nosuch=1"], "nosuch"),
        (["--out", "x.gif"], ".png"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(words, fact, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["dirac", "--steps", "1", *words])
    line = capsys.readouterr().err
    assert ended.value.code == 2 and fact in line and len(line.splitlines()) == 1, json.dumps(line)

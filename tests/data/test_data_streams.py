"""Minibatches of streams: pure functions of the seed and the number, however they are split."""

from __future__ import annotations

import pytest
import torch

from ganzoo.data.sources import Stream
from ganzoo.data.streams import StreamBatches, load_stream, rows_of
from ganzoo.errors import UsageError
from ganzoo.variant import Field, SampleSpec


class Line(Stream):
    def __init__(self, slope=1.0):
        super().__init__("line", SampleSpec(Field((2,), "points")), {"slope": slope})

    def draw(self, count, random):
        x = torch.rand(count, generator=random, dtype=torch.float32)
        return torch.stack([x, self.facts["slope"] * x], 1)


def batches(seed=0):
    return StreamBatches(Line(), batch_size=8, seed=seed)


def test_a_minibatch_is_a_function_of_seed_and_number():
    later, whole = batches().sample(3)["output"], batches()
    assert torch.equal(whole.sample(3)["output"], later)
    assert not torch.equal(whole.sample(4)["output"], later)
    assert not torch.equal(batches(seed=1).sample(3)["output"], later)


def test_parts_of_a_minibatch_together_are_the_whole():
    parts = [batches().sample(3, part)["output"] for part in (slice(0, 3), slice(3, 8))]
    assert torch.equal(torch.cat(parts), batches().sample(3)["output"])


def test_rows_for_evaluation_are_the_same_in_every_run():
    assert torch.equal(batches(seed=1).evaluation(5)["output"], batches(seed=2).evaluation(5)["output"])
    assert batches().evaluation(5, slice(1, 3))["output"].shape == (2, 2)


def test_a_fingerprint_is_that_of_the_facts():
    assert Line().fingerprint == Line().fingerprint != Line(slope=2.0).fingerprint
    assert rows_of(Line()) == float("inf")


def test_streams_are_found_by_name_alone():
    def line(root, split=""):
        return Line()

    assert load_stream("line", datasets={"line": line}).name == "line"
    with pytest.raises(UsageError, match="holds no points"):
        load_stream("photos/", datasets={"line": line})

"""Conditions compute fields of a sample: pure, without a graph, and with random numbers of their own."""

import pytest
import torch
from translation import load, noise

from ganzoo import Field
from ganzoo.data import Batches, Condition, ImageData
from ganzoo.data.batches import mean_image
from ganzoo.data.request import ConditionPart
from ganzoo.data.sources import Data
from ganzoo.errors import UsageError


class Noisy(Condition):
    """Adds noise to the output, and one number to each image of another field; it counts its calls."""

    def __init__(self, stored, scale: float = 0.5):
        super().__init__(stored)
        if scale < 0:
            raise ValueError("scale must be 0 or more")
        self.scale, self.calls = scale, 0
        self.fields = {"source": stored.output, "mask": Field((1, 4, 4))}

    def draw(self, n, random):
        return {"noise": torch.randn(n, 3, 4, 4, generator=random), "number": torch.rand(n, generator=random)}

    def compute(self, stored, drawn):
        self.calls += 1
        source = stored["output"] + self.scale * drawn["noise"]
        return {"source": source, "mask": drawn["number"].view(-1, 1, 1, 1).expand(-1, 1, 4, 4)}


class Halved(Condition):
    """Makes the output too: its upper channel alone."""

    def __init__(self, stored):
        super().__init__(stored)
        self.fields = {"source": stored.output, "output": Field((1, 4, 4))}

    def compute(self, stored, drawn):
        return {"source": stored["output"], "output": stored["output"][:, :1]}


def images(count=10) -> ImageData:
    pixels = torch.randint(0, 256, (count, 4, 4, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageData(pixels, torch.arange(count) % 2, ("a", "b"), "set", "0" * 64)


def batches_of(factory=Noisy, names=("source",), **options) -> Batches:
    data = Data(images())
    made = {name: factory(data.stored) for name in names}
    registered = {name: factory.__name__.lower() for name in names}
    return Batches(
        Data(images(), conditions=made, condition_names=registered), **{"batch_size": 6, "seed": 0} | options
    )


def test_a_condition_adds_its_fields_to_the_sample_and_the_specification():
    batches = batches_of()
    assert list(batches.sample(0)) == ["output", "label", "source", "mask"]
    assert {name: one.shape for name, one in batches.spec.sources.items()} == {"source": (3, 4, 4), "mask": (1, 4, 4)}
    assert batches.data.paired


def test_the_input_has_the_name_of_the_card():
    batches = batches_of(names=("photo",))
    assert list(batches.spec.inputs) == ["label", "photo", "mask"]
    assert batches.sample(0)["photo"].equal(batches_of().sample(0)["source"]), "its stream is named by the condition"


def test_a_condition_runs_once_for_all_its_fields_and_only_if_asked():
    batches = batches_of()
    sample = batches.sample(0)
    _ = sample["output"]
    assert batches.data.conditions["source"].calls == 0
    _ = sample["source"], sample["mask"], sample["source"]
    assert batches.data.conditions["source"].calls == 1


def test_the_order_of_asking_changes_nothing():
    one, other = batches_of().sample(3), batches_of().sample(3)
    first = one["mask"], one["source"], one["output"]
    assert other["output"].equal(first[2]) and other["source"].equal(first[1]) and other["mask"].equal(first[0])


def test_random_numbers_depend_on_seed_and_number_and_are_drawn_for_the_whole_batch():
    whole = batches_of().sample(2)["source"]
    parts = [batches_of().sample(2, part)["source"] for part in (slice(0, 1), slice(1, 4), slice(4, None))]
    assert torch.cat(parts).equal(whole)
    batches = batches_of()
    assert batches.sample(5)["mask"].shape and batches.sample(2)["source"].equal(whole)
    assert not batches_of(seed=1).sample(2)["mask"].equal(batches.sample(2)["mask"])
    assert not batches.sample(3)["mask"].equal(batches.sample(2)["mask"])


def test_conditions_of_several_names_have_streams_of_their_own():
    def masks(names):
        data = Data(images())
        made = {name: Noisy(data.stored) for name in names}
        for number, one in enumerate(made.values()):
            one.fields = {"source": one.fields["mask"], f"rest{number}": one.fields["source"]}
            one.compute = lambda stored, drawn: {"source": drawn["number"].view(-1, 1, 1, 1)}
        return Batches(Data(images(), conditions=made, condition_names=names), batch_size=6, seed=0).sample(1)

    two = masks({"source": "noisy", "other": "grainy"})
    assert not two["source"].equal(two["other"])
    assert masks({"source": "grainy"})["source"].equal(two["other"])


def test_neither_global_random_numbers_nor_the_order_of_the_images_are_touched():
    state = torch.get_rng_state()
    batches = batches_of(mirror=True)
    _ = batches.sample(0)["source"]
    assert torch.get_rng_state().equal(state)
    assert batches.sample(0)["output"].equal(Batches(images(), batch_size=6, seed=0, mirror=True).images(0))


def test_conditions_stay_in_float32_without_a_graph_inside_a_step_in_bfloat16():
    class Multiplied(Halved):
        def compute(self, stored, drawn):
            assert not torch.is_grad_enabled()
            weight = torch.full((3, 3), 0.3, requires_grad=True)
            source = torch.einsum("nchw,cd->ndhw", stored["output"], weight)
            return {"source": source, "output": stored["output"][:, :1]}

    wanted = batches_of(Multiplied).sample(0)["source"]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.enable_grad():
            found = batches_of(Multiplied).sample(0)["source"]
    finally:
        torch.set_default_dtype(before)
    assert found.dtype == torch.float32 and not found.requires_grad and found.equal(wanted)


def test_in_evaluation_random_numbers_belong_to_the_row():
    batches = batches_of()
    rows = batches.evaluation(10)
    assert rows["source"].equal(batches_of(seed=7, batch_size=3).evaluation(10)["source"]), "whatever the run's seed"
    assert batches.evaluation(10, slice(4, 6))["mask"].equal(rows["mask"][4:6])
    few = batches.evaluation(2)
    assert few["mask"].equal(rows["mask"][[0, 9]]), "the first and the last row"
    assert len(rows["mask"].unique()) == 10


def test_a_condition_may_make_the_output():
    batches = batches_of(Halved)
    assert batches.spec.output.shape == (1, 4, 4) and batches.spec.sources["source"].shape == (3, 4, 4)
    sample = batches.sample(0)
    assert sample["output"].equal(sample["source"][:, :1]) and batches.images(0).equal(sample["output"])
    assert mean_image(batches.data).sub(mean_image(images())[:1]).abs().max() < 1e-6
    seen = batches.monitored(4)
    assert seen.images.shape == (4, 4, 4, 1) and seen.fingerprint != images().fingerprint
    assert seen.images[..., 0].equal(images().images[[0, 3, 6, 9]][..., 0])
    assert batches_of().monitored(4).fingerprint == images().fingerprint


def test_a_condition_that_cannot_use_the_images_is_one_line(tmp_path):
    for number in range(3):
        noise(tmp_path / "output" / f"{number}.png", number)
    with pytest.raises(UsageError, match="'noisy' cannot be used here: scale must be 0 or more"):
        load(tmp_path, inputs={"source": ConditionPart("noisy", Noisy, {"scale": -1})})


def test_stored_channels_are_those_that_the_condition_needs(tmp_path):
    class Transparent(Noisy):
        stored_channels = 4

    for number in range(3):
        noise(tmp_path / "output" / f"{number}.png", number, channels=4)
    wanted = {"source": ConditionPart("transparent", Transparent)}
    assert load(tmp_path, inputs=wanted).stored.channels == 4
    with pytest.raises(UsageError, match="needs images of 4 channels, not 3"):
        load(tmp_path, inputs=wanted, channels=3)
    with pytest.raises(UsageError, match="leave out its other side"):
        load(tmp_path, inputs=wanted, source=str(tmp_path / "output"))
    with pytest.raises(UsageError, match="One input can come with the data, not 2"):
        load(tmp_path, inputs={"source": None, "other": None})

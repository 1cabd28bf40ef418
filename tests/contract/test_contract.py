"""All sixteen variants of the contract through the engine: finite, moving the right roles, resuming bitwise."""

import importlib
from copy import deepcopy

import pytest
import torch

from contract import VARIANTS
from contract.harness import contract_registry, parameters, spy_on_phases, trainer_for
from ganzoo.testing import CHECKS, run_checks

STEPS = {"progan": 9}


@pytest.fixture(scope="module")
def registry():
    return contract_registry()


def ready(name, registry, **more):
    """A trainer past WGAN's first steps, each of which has a hundred critic steps."""
    trainer = trainer_for(name, registry, **more)
    trainer.step_number = 25 if name == "wgan" else 0
    return trainer


def test_all_sixteen_are_registered_without_complaint(registry):
    assert [variant.name for variant in registry.variants()] == sorted(VARIANTS)
    assert len(VARIANTS) == 16
    assert not registry.warnings


def should_move(trainer, name, phase, step):
    module = importlib.import_module(f"contract.{name.replace('-', '_')}")
    still = getattr(module, "still", lambda phase, step: set())(phase.name, step)
    all_names = {f"{role}.{key}" for role, owner in trainer.modules().items() for key, _ in owner.named_parameters()}
    assert still <= all_names, "the plugin names a parameter that does not exist"
    frozen = {key for key in all_names if name == "projected" and key.startswith("discriminator.features.")}
    return {key for key in all_names if key.partition(".")[0] in phase.updates} - still - frozen


@pytest.mark.parametrize("name", VARIANTS)
def test_terms_are_finite_and_exactly_the_right_parameters_move(registry, name):
    trainer = ready(name, registry)
    phases = {phase.name: phase for phase in trainer.phases}
    seen = spy_on_phases(trainer)
    for _ in range(STEPS.get(name, 3)):
        terms = trainer.step()
        assert terms and all(torch.isfinite(term) and not term.requires_grad for term in terms.values()), terms
    assert {phase for _, phase, _ in seen} == set(phases)
    for step, phase, moved in seen:
        assert moved == should_move(trainer, name, phases[phase], step), (step, phase)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_resumed_run_is_bitwise_the_same(registry, name):
    settings = {"training": {"steps": 100}}
    whole = ready(name, registry, **settings)
    for _ in range(2):
        whole.step()
    saved = deepcopy(whole.state())
    expected = [whole.step() for _ in range(2)]

    resumed = ready(name, registry, **settings)
    spoil(resumed)
    resumed.load_state(saved)
    terms = [resumed.step() for _ in range(2)]
    assert_same(terms, expected)
    assert_same(resumed.state(), whole.state())


@pytest.mark.parametrize("name", VARIANTS)
def test_bf16_keeps_terms_finite_and_parameters_float32(registry, name):
    trainer = ready(name, registry, precision="bf16")
    terms = trainer.step()
    assert all(torch.isfinite(term) for term in terms.values()), terms
    assert {parameter.dtype for parameter in parameters(trainer).values()} == {torch.float32}


@pytest.mark.parametrize("name", VARIANTS)
def test_micro_batches_run(registry, name):
    trainer = ready(name, registry, training={"accumulate": 2})
    assert all(torch.isfinite(term) for term in trainer.step().values())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in ("wgan", "progan") else []) for name in VARIANTS]
)
def test_every_check_passes(registry, name):
    names = [check for check in CHECKS if check != "listing"]  # which starts a process to time an import
    outcomes = list(run_checks(name, names, registry=registry))
    assert [outcome for outcome in outcomes if outcome.state == "failed"] == []
    skipped = {outcome.check for outcome in outcomes if outcome.state != "ok"}
    assert skipped == ({"latents"} if name == "cyclegan" else set()), skipped


def spoil(trainer):
    """Moves everything that a checkpoint must bring back."""
    with torch.no_grad():
        for module in [*trainer.modules().values(), *([trainer.ema] if trainer.ema is not None else [])]:
            for tensor in [*module.parameters(), *module.buffers()]:
                tensor += 1


def assert_same(left, right, path="state"):
    assert type(left) is type(right), path
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype and torch.equal(left, right), path
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), path
        for key in left:
            assert_same(left[key], right[key], f"{path}.{key}")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), path
        for index, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{path}.{index}")
    else:
        assert left == right, path

"""Renames metrics and schedule fields of rows and protocols that an earlier ganzoo wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ganzoo.config.schema import SCHEDULE_KEYS

Value = TypeVar("Value")

RENAMED = {
    "kernel": "kid",
    "kernel-deviation": "kid-deviation",
    "class-score": "inception-score",
    "class-score-deviation": "inception-score-deviation",
    "neighbours": "precision-recall",
}


def current_name(label: str) -> str:
    """Returns today's name of a metric, with or without its extractor: "kernel[fashion-cnn]" is "kid[fashion-cnn]"."""
    name, bracket, extractor = label.partition("[")
    return f"{RENAMED.get(name, name)}{bracket}{extractor}"


def renamed_scores(scores: Mapping[str, Value]) -> dict[str, Value]:
    """Returns the same numbers under today's names."""
    return {current_name(label): value for label, value in scores.items()}


def renamed_setting(setting: str) -> str:
    """Returns a setting "path=value" with today's name of a field of a schedule: `end` is `to_value`."""
    path, equals, value = setting.partition("=")
    parent, dot, field = path.rpartition(".")
    if not parent.startswith("training.schedules."):
        return setting
    return f"{parent}{dot}{SCHEDULE_KEYS.get(field, field)}{equals}{value}"


def renamed_protocol(protocol: dict[str, Any]) -> dict[str, Any]:
    """Returns a protocol as it would be written today; values that no bench writes stay as they are."""
    found = dict(protocol)
    metrics, ranking = protocol.get("metrics"), protocol.get("ranking")
    if isinstance(metrics, list) and metrics and all(isinstance(name, str) for name in metrics):
        first, *others = (current_name(name) for name in metrics)
        found["metrics"] = [first, *sorted(others)]
    if isinstance(ranking, str):
        found["ranking"] = current_name(ranking)
    return found

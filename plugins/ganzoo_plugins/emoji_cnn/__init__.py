"""The extractor `emoji-cnn`, a small classifier of emoji in colour that works offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo import Register, hookimpl

if TYPE_CHECKING:
    from ganzoo_plugins.emoji_cnn.model import EmojiCNN


@hookimpl
def register_extractors(register: Register) -> None:
    register("emoji-cnn", emoji_cnn)


def emoji_cnn() -> EmojiCNN:
    """128 features and ten classes of emoji, for RGB images of any size from 32 pixels on."""
    from ganzoo_plugins.emoji_cnn.model import EmojiCNN

    return EmojiCNN.pretrained()

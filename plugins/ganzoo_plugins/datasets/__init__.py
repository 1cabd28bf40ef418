"""Data sets by name: Fashion-MNIST, whose test split is embedded, MNIST and CIFAR-10.

With `--data-root` they are read in their published formats; without it they come from the Hugging Face Hub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo import Register, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from ganzoo.data import ArraySource, HubSource


@hookimpl
def register_datasets(register: Register) -> None:
    register("fashion-mnist", fashion_mnist)
    register("fashion-mnist-test", fashion_mnist_test)
    register("mnist", mnist)
    register("cifar10", cifar10)


def fashion_mnist(root: Path | None, split: str = "train") -> ArraySource | HubSource:
    """28 x 28 grey images of clothes in 10 classes: 60,000 in split train, 10,000 in test (Xiao et al., 2017)."""
    from ganzoo_plugins.datasets.published import fashion_mnist

    return fashion_mnist(root, split)


def fashion_mnist_test(root: Path | None, split: str = "test") -> ArraySource | HubSource:
    """The test split of Fashion-MNIST, embedded in this package: needs neither files nor a network."""
    from ganzoo_plugins.datasets.published import fashion_mnist_test

    return fashion_mnist_test(split)


def mnist(root: Path | None, split: str = "train") -> ArraySource | HubSource:
    """28 x 28 grey handwritten digits: 60,000 in split train, 10,000 in test (LeCun et al., 1998)."""
    from ganzoo_plugins.datasets.published import mnist

    return mnist(root, split)


def cifar10(root: Path | None, split: str = "train") -> ArraySource | HubSource:
    """32 x 32 colour images in 10 classes: 50,000 in split train, 10,000 in test (Krizhevsky, 2009)."""
    from ganzoo_plugins.datasets.cifar import cifar10

    return cifar10(root, split)

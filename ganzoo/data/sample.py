"""The fields of one minibatch, each computed when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor


class LazyFields(Mapping[str, Tensor]):
    """Maps the names of a sample's fields to tensors, which `makers` compute on first access and which are kept."""

    def __init__(self, makers: Mapping[str, Callable[[], Tensor]]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __contains__(self, name: object) -> bool:  # without computing the field, as Mapping's own would
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class ImageBatches:
    """Base class of minibatches that are images and labels alone: `sample` from the methods `images` and `labels`."""

    def images(self, number: int, part: slice) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define images(number, part)")

    def labels(self, number: int, part: slice) -> Tensor | None:
        return None

    def sample(self, number: int, part: slice) -> Mapping[str, Tensor]:
        """Returns "output" (n, C, H, W) and "label" (n,) of the slice `part` of minibatch `number`."""

        def label() -> Tensor:
            labels = self.labels(number, part)
            if labels is None:
                raise KeyError("label")
            return labels

        return LazyFields({"output": lambda: self.images(number, part), "label": label})

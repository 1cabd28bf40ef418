"""MNIST and Fashion-MNIST from their authors' idx files, or from the Hub."""

from importlib.resources import as_file, files
from pathlib import Path

from ganzoo.data import ArraySource, HubSource, read_idx
from ganzoo.errors import DataError, UsageError, did_you_mean

PREFIXES = {"train": "train", "test": "t10k"}
DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# Of the published files after decompression, so that files compressed again, or kept plain, are known too.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
OFFLINE = "Use --data fashion-mnist-test, which is embedded, or --data-root with the published files."


def fashion_mnist(root: Path | None, split: str) -> ArraySource | HubSource:
    check_split("fashion-mnist", split, ("train", "test"))
    if split == "test":
        return fashion_mnist_test(split)
    if root:
        return from_root(root, "fashion-mnist", split, FASHION_MD5, CLOTHES)
    return HubSource("zalando-datasets/fashion_mnist", "fashion-mnist", split=split, classes=CLOTHES, hint=OFFLINE)


def fashion_mnist_test(split: str) -> ArraySource:
    check_split("fashion-mnist-test", split, ("test",))
    with as_file(files("ganzoo_plugins.datasets") / "files") as folder:
        return from_folder(folder, "fashion-mnist-test", "test", FASHION_MD5, CLOTHES)


def mnist(root: Path | None, split: str) -> ArraySource | HubSource:
    check_split("mnist", split, ("train", "test"))
    if root:
        return from_root(root, "mnist", split, MNIST_MD5, DIGITS)
    return HubSource("ylecun/mnist", "mnist", split=split, classes=DIGITS, hint=OFFLINE)


def check_split(name: str, split: str, known: tuple[str, ...]) -> None:
    if split not in known:
        raise UsageError(f"Data set '{name}' has no split called '{split}'.{did_you_mean(split, known)}")


def from_root(root: Path, name: str, split: str, md5: dict, classes: tuple[str, ...]) -> ArraySource:
    """Reads the split from root/name, or from root itself; a missing file is never replaced by a download."""
    for folder in (Path(root) / name, Path(root)):
        if find(folder, f"{PREFIXES[split]}-images-idx3-ubyte"):
            return from_folder(folder, name, split, md5, classes)
    raise DataError(
        f"Neither {Path(root) / name} nor {root} holds {PREFIXES[split]}-images-idx3-ubyte, plain or .gz: put the"
        f" published files of {name} there, or leave --data-root out to fetch it from the Hub."
    )


def from_folder(folder: Path, name: str, split: str, md5: dict, classes: tuple[str, ...]) -> ArraySource:
    """Reads the images and labels of one split; their identity is the md5 of the content, just checked."""
    arrays, sums = [], []
    for kind, dimensions in (("images-idx3-ubyte", 3), ("labels-idx1-ubyte", 1)):
        file_name = f"{PREFIXES[split]}-{kind}"
        path = find(folder, file_name)
        if path is None:
            raise DataError(f"{folder} holds the images of {name} but not {file_name}, plain or .gz.")
        sums.append(md5[file_name])
        arrays.append(read_idx(path, dimensions, md5=md5[file_name]))
    images, labels = arrays
    return ArraySource(images, labels.astype("int64"), classes, f"{name} md5 {' '.join(sums)}", name)


def find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)

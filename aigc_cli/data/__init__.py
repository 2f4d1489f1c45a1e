"""Data sets by name. This module imports nothing, so that a typo is answered at once."""

from __future__ import annotations

DATASETS: dict[str, str] = {
    "glyphs": "aigc_cli.data.glyphs:Glyphs",
    "mnist": "aigc_cli.data.idx:Mnist",
    "fashion_mnist": "aigc_cli.data.idx:FashionMnist",
    "cifar10": "aigc_cli.data.cifar:Cifar10",
    "celeba": "aigc_cli.data.celeba:CelebA",
    "image_folder": "aigc_cli.data.image_folder:ImageFolder",
}

AUGMENTS: dict[str, str] = {
    "flip": "aigc_cli.data.augment:flip",
    "crop": "aigc_cli.data.augment:crop",
    "rotate": "aigc_cli.data.augment:rotate",
    "scale": "aigc_cli.data.augment:scale",
    "colour": "aigc_cli.data.augment:colour",
}

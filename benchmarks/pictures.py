"""JPEGs to measure on, as a folder, as aigc's pack and as torchvision's ImageFolder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from aigc_cli.data.pack import Pack

SHAPE = (178, 218)  # pixels, width by height: those of CelebA's aligned pictures
QUALITY = 85  # makes drawn files about as large as CelebA's


@dataclass(frozen=True)
class Pictures:
    """A folder of JPEGs and a folder for what is made of them, which goes with the benchmark."""

    folder: Path
    scratch: Path
    drawn: bool

    def pack(self, size: int) -> Pack:
        """Return aigc's pack of the pictures."""
        from aigc_cli.composing.compose import compose
        from aigc_cli.data.pack import open_data

        return open_data(compose("train", self.overrides(size)).config["data"], progress=False)

    def overrides(self, size: int) -> list[str]:
        """Return what `aigc train` is told in order to learn from the pictures."""
        cache = f"data.cache={self.scratch / 'cache'}"
        return ["data=image_folder", f"data.root={self.folder}", f"data.size={size}", cache]

    def image_folder(self, size: int) -> Any:
        """Return torchvision's ImageFolder with the transforms of the DCGAN tutorial; it wants a folder of classes."""
        from torchvision import transforms
        from torchvision.datasets import ImageFolder

        root = self.scratch / "classes"
        if not root.exists():
            root.mkdir()
            os.symlink(self.folder.resolve(), root / "pictures", target_is_directory=True)
        steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
        return ImageFolder(str(root), transforms.Compose([*steps, transforms.Normalize((0.5,) * 3, (0.5,) * 3)]))

    def about(self) -> dict[str, Any]:
        """Describe the files for the results."""
        sizes = [file.stat().st_size for file in self.folder.rglob("*") if file.is_file()]
        name = "drawn" if self.drawn else self.folder.name
        return {"pictures": name, "files": len(sizes), "mean_bytes": round(sum(sizes) / len(sizes))}


@contextmanager
def pictures(folder: str | None, count: int) -> Iterator[Pictures]:
    """Lend the pictures of a folder, or draw so many where none is given."""
    with tempfile.TemporaryDirectory(prefix="aigc-benchmark-") as scratch:
        where = Path(folder).expanduser().resolve() if folder else Path(scratch) / "drawn"
        if folder is None:
            where.mkdir()
            for index in range(count):
                draw(index).save(where / f"{index:06d}.jpg", quality=QUALITY)
        yield Pictures(where, Path(scratch), folder is None)


def draw(index: int) -> Image.Image:
    """Draw soft blots of colour under fine grain: they compress about as photographs do."""
    random = np.random.default_rng(index)
    blots = Image.fromarray(random.integers(256, size=(11, 9, 3), dtype=np.uint8))
    soft = np.asarray(blots.resize(SHAPE, Image.Resampling.BICUBIC), np.float32)
    grain = random.normal(0, 7, soft.shape)
    return Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8))

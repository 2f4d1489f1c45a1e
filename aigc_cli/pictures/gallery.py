"""Make the pictures of `aigc sample`: samples, walks between latents, the plane of a two-dimensional latent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from aigc_cli.abilities import Renders, Revises, Samples, Tokenises
from aigc_cli.errors import ConfigError
from aigc_cli.inference.choices import choose_labels, sampling_settings
from aigc_cli.inference.drawing import draw_chunks, progress
from aigc_cli.inference.placing import put_in_place
from aigc_cli.inference.request import FLAGS, Request, switch
from aigc_cli.inference.walking import walk
from aigc_cli.interfaces import DataSpec, Model
from aigc_cli.next_step import verb_of
from aigc_cli.pictures.animations import save_animation
from aigc_cli.pictures.previews import (
    FORMATS,
    LONGEST_SIDE,
    default_columns,
    grid,
    grid_size,
    save_image,
)
from aigc_cli.pictures.revisions import revised
from aigc_cli.pictures.rows import showable, shown, size_shown
from aigc_cli.randomness import mix

ABILITIES = {"samples": Samples, "revisions": Revises, "walk": Renders, "manifold": Renders}
LACKS = {
    "walk": "has no latents to walk between", "manifold": "has no latents to walk between",
    "revisions": "begins with no picture (diffusion does)",
}  # fmt: skip
ON_SHEET = 100  # sounds, at most
MOST_PIXELS = 1 << 28  # of all frames together: a grid of 16,384 x 16,384, or some 700 MB of colour in memory


class Gallery:
    """Pair a model with a request, checked against each other, and write what comes of it."""

    def __init__(self, model: Model, request: Request, device: torch.device, name: str) -> None:
        self.model: Any = model  # what it can do is asked of the protocols
        self.request, self.device = request, device
        self.spec: DataSpec = model.spec
        self.name = name
        self._refuse_what_the_model_cannot()
        self.settings = self._checked_settings()
        self.drawn: Any = revised(model, request) if request.start else model
        self.chosen = choose_labels(request.labels, self.spec, known=self.model.conditional)
        if request.kind == "manifold":
            if len(request.labels) > 1:
                raise ConfigError("label: a manifold shows one class. Type one, such as label=0.")
            self.chosen = self.chosen[:1]
        turn = len(self.chosen)
        self.n = math.ceil(request.n / turn) * turn if request.rounded and 1 < turn <= request.n else request.n
        self.columns = request.columns or default_columns(self.n, turn)
        self._refuse_absurd_sizes()

    def write(self, target: Path, metadata: Mapping[str, str]) -> Path:
        """Write the pictures at the target, or beside it where something else is there already; return where."""
        with put_in_place(target) as place, progress(self.model) as self.bar:
            if self.request.kind == "walk":
                save_animation([grid(page, self.columns) for page in self._walk()], place.aside, metadata=metadata)
            elif self.request.files:
                self._write_files(place.aside, metadata)
            else:
                kind = self.request.kind.replace("revisions", "samples")  # of which only the beginning differs
                pictures = getattr(self, f"_{kind}")()
                save_image(grid(pictures, self.columns), place.aside, metadata=metadata)
        return place.path

    @property
    def account(self) -> str:
        """Say what was made."""
        each = ", a column each class" if len(self.chosen) > 1 and self.columns % len(self.chosen) == 0 else ""
        what = {"walk": "walks", "manifold": "points of the latent plane"}.get(self.request.kind, self.request.kind)
        return f"{self.n} {what if self.n > 1 else what.removesuffix('s')} of {self.name}{each}"

    def next_idea(self) -> str:
        """Return settings that are worth typing next."""
        ideas, conditional = [], self.model.conditional
        if self.spec.classes and conditional and not self.request.labels:
            ideas.append(f"label={self.spec.class_names[-1]}")
        if isinstance(self.model, Renders):
            ideas += ["interpolate=true"] + ["manifold=true"] * (self._latent_shape() == (2,))
        done = [switch(self.request.kind)] if self.request.kind in FLAGS else []
        return next((idea for idea in ideas if idea not in done), f"seed={self.request.seed + 1}")

    def _samples(self) -> np.ndarray:
        return np.concatenate([shown(chunk, self.spec) for chunk in self._chunks()])

    def _chunks(self) -> Iterator[Tensor]:
        request, condition = self.request, self._condition(self.n)
        chunks = draw_chunks(self.drawn, self.n, condition, seed=request.seed, device=self.device,
                             chunk=request.batch_size, **self.settings)  # fmt: skip
        return self._counted(chunks, math.ceil(self.n / request.batch_size))

    def _write_files(self, folder: Path, metadata: Mapping[str, str]) -> None:
        if self.spec.sound:
            self._write_sounds(folder, metadata)
            return
        number = 0
        for chunk in self._chunks():
            for picture in shown(chunk, self.spec):
                label = f"-label-{self.chosen[number % len(self.chosen)]}" if self.chosen else ""
                path = folder / f"{number:05d}{label}.{self.request.format}"
                save_image(grid(picture[None], scale=1), path, metadata=metadata)
                number += 1

    def _write_sounds(self, folder: Path, metadata: Mapping[str, str]) -> None:
        """Write a file for each sound, and a sheet of the first of them."""
        from aigc_cli.sounds.sheets import drawn_waves
        from aigc_cli.sounds.waveforms import waves, write_waves

        assert self.spec.sound, "of sounds only"
        rate, sheet, number = self.spec.sound.sample_rate, [], 0
        asked = [self.spec.class_names[label] for label in self.chosen]
        for chunk in self._chunks():
            heard = waves(chunk, self.spec)
            names = [asked[(number + index) % len(asked)] for index in range(len(chunk))] if asked else None
            write_waves(heard, rate, folder, format=self.request.format, names=names, first=number)
            if number < ON_SHEET:
                some = slice(ON_SHEET - number)
                sheet.append(drawn_waves(heard[some], rate, names and names[some]))
            number += len(chunk)
        pictures = np.concatenate(sheet)
        columns = min(self.columns, len(pictures)) if number <= ON_SHEET else default_columns(len(pictures))
        save_image(grid(pictures, columns), folder / "sheet.png", metadata=metadata)

    def _walk(self) -> list[np.ndarray]:
        condition, batch = self._condition(self.n), self.request.batch_size
        parts = []
        for index, start in enumerate(range(0, self.n, batch)):
            labels = None if condition is None else condition[start : start + batch].to(self.device)
            moments = walk(
                self.model,
                min(batch, self.n - start),
                labels,
                frames=self.request.frames,
                seed=mix(self.request.seed, index),
                device=self.device,
                **self.settings,
            )
            counted = self._counted(moments, math.ceil(self.n / batch) * self.request.frames)
            parts.append([shown(moment, self.spec) for moment in counted])
        return [np.concatenate(moment) for moment in zip(*parts, strict=True)]

    def _manifold(self) -> np.ndarray:
        side = math.isqrt(self.n)
        quantiles = torch.tensor([NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)])
        latents = torch.cartesian_prod(quantiles.flip(0), quantiles).flip(1)  # the second coordinate grows upwards
        labels = self._condition(self.n)
        parts = []
        for index, latent in enumerate(latents.split(self.request.batch_size)):
            start = index * self.request.batch_size
            condition = None if labels is None else labels[start : start + len(latent)].to(self.device)
            generator = torch.Generator(self.device).manual_seed(self.request.seed)
            with torch.no_grad():
                parts.append(self.model.render(latent.to(self.device), condition, generator=generator, **self.settings))
        return shown(torch.cat(parts), self.spec)

    def _counted(self, parts: Iterator[Tensor], count: int) -> Iterator[Tensor]:
        """Tell the bar after the first part how many passes all of them will take."""
        for part in parts:
            self.bar.total = self.bar.total or self.bar.n * count
            yield part

    def _condition(self, n: int) -> Tensor | None:
        return torch.tensor([self.chosen[i % len(self.chosen)] for i in range(n)]) if self.chosen else None

    def _latent_shape(self) -> tuple[int, ...]:
        return tuple(self.model.latent(1, generator=torch.Generator(self.device)).shape[1:])

    def _checked_settings(self) -> dict[str, Any]:
        """Check steps, guidance and the like against the signature of what will be called."""
        function = type(self.model).render if self.request.kind in ("walk", "manifold") else type(self.model).sample
        return sampling_settings(self.model, self.name, function, self.request.settings)

    def _refuse_what_the_model_cannot(self) -> None:
        kind, flag = self.request.kind, FLAGS.get(self.request.kind)
        if not showable(self.spec):
            given = f"a model of {self.spec.kind} {self.spec.shape}"
            raise ConfigError(f"ckpt: {given}; aigc sample shows pictures of 1 or 3 channels, and sounds.")
        if kind == "revisions" and self.spec.sound:
            raise ConfigError("start: it is for models of pictures, and this one makes sounds. Leave start out.")
        if not isinstance(self.model, ABILITIES[kind]):
            able, model = isinstance(self.model, Samples), cast("Model", self.model)
            lacks = LACKS[kind] if able else "draws no samples"
            way = f"Leave {flag} out." if able else f"Type aigc {verb_of(model)} ckpt={self.request.ckpt}"
            if not able and isinstance(model, Tokenises):
                way += f", or train what draws: aigc train model=vqvae_prior model.first_stage={self.request.ckpt}"
            raise ConfigError(f"{flag or 'ckpt'}: model '{self.name}' {lacks}. {way}")
        if kind == "manifold" and self._latent_shape() != (2,):
            shape = " x ".join(map(str, self._latent_shape()))
            raise ConfigError(
                f"manifold: the latents of model '{self.name}' have {shape} dimensions, allowed: 2. "
                "Train one with model.latent=2, or type interpolate=true."
            )

    def _refuse_absurd_sizes(self) -> None:
        if self.request.files:
            return
        height, width = size_shown(self.spec)
        width, height = grid_size(self.n, height, width, self.columns)
        frames = self.request.frames if self.request.kind == "walk" else 1
        side = LONGEST_SIDE[FORMATS[self.request.format]]
        if width * height * frames > MOST_PIXELS or max(width, height) > side:
            made = f"{self.n} make {frames} pictures" if frames > 1 else f"{self.n} make a picture"
            raise ConfigError(
                f"n: {made} of {width} x {height}, allowed: {side} a side and {MOST_PIXELS:,} pixels in "
                "all. Type a smaller n" + ", or files=true." * (self.request.kind == "samples")
            )

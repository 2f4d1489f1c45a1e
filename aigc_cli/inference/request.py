"""What `aigc sample` was asked for, checked as far as that goes without torch and without the checkpoint."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from aigc_cli.errors import ConfigError
from aigc_cli.runs.finding import near_runs
from aigc_cli.runs.names import whole_words

DEFAULT_N = {"samples": 64, "revisions": 16, "walk": 16, "manifold": 400}
FRAMES, MOMENTS = 31, 9  # of a walk: pictures, texts
FLAGS = {"walk": "interpolate", "manifold": "manifold", "revisions": "start"}
# Settings of the model's own drawing.
SETTINGS = ("steps", "spacing", "guidance", "eta", "sampler", "truncation", "temperature", "top_k", "top_p", "beam",
            "length_penalty")  # fmt: skip
REVISING = ("start", "mask", "strength", "resample")
WRITING = ("prompt", "length", "source", "target")  # of text only
# What a file's name says where it was typed.
NAMED = ("n", "grid", "seed", "label", *SETTINGS, "frames", "batch_size", "precision", *REVISING, *WRITING)
STILL, MOVING, HEARD, READ = ("png", "jpeg", "webp"), ("webp", "gif"), ("wav", "flac"), ("txt", "jsonl", "html")
LONGEST_GRID = 1000  # rows or columns
LONGEST_SLUG = 80  # characters; a longer one is cut and gets a hash


@dataclass(frozen=True)
class Request:
    """A checked wish for pictures."""

    ckpt: Path
    kind: str  # samples, revisions, walk or manifold
    n: int
    rounded: bool  # n is a default, which may grow until each class has its turn equally often
    seed: int
    labels: tuple[int | str, ...]  # as typed; empty: all classes in turn
    columns: int | None
    format: str  # nothing: not typed, so that it follows from what the model makes
    files: bool
    frames: int  # 0: not typed, so that it follows from what the model makes
    output: Path | None
    batch_size: int
    device: str
    precision: str
    settings: dict[str, Any] = field(default_factory=dict)  # of the model's sampler, only those that were typed
    start: Path | None = None  # the picture to begin with, its mask, and how freely
    mask: Path | None = None
    strength: float | None = None
    resample: int | None = None
    prompt: str = ""  # of text: its beginning, how many symbols more, and the text that it is to be made of
    length: int | None = None
    source: str | None = None
    target: str | None = None  # of a walk: the text that it leads to from the source
    slug: str = ""  # what of the command the file's name says


def plain_request(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Request:
    """Return the request, or raise ConfigError with every mistake that shows without opening anything."""
    mistakes: list[str] = []
    typed = {key: value for key, value in config.items() if value != defaults[key]}
    kind = _kind(config, mistakes)
    n, label, output = config["n"], config["label"], config["output"]
    rows, columns = _grid(config["grid"], mistakes)
    if rows and n and n != rows * columns:
        mistakes.append(f"n: given {n}, but grid={config['grid']} holds {rows * columns}. Leave one of them out.")
    if kind == "manifold" and (rows != columns or (n and not rows and math.isqrt(n) ** 2 != n)):
        mistakes.append("n: a manifold is a square: allowed n=400, grid=20x20 and the like.")
    if label == []:
        mistakes.append("label: given an empty list, allowed: a class's name or index, or several as [0,1,2].")
    request = Request(
        ckpt=existing_checkpoint(config["ckpt"], mistakes), kind=kind, n=n or rows * columns or DEFAULT_N[kind],
        rounded=not (n or rows), seed=config["seed"], columns=columns or None,
        labels=tuple(label) if isinstance(label, list) else () if label is None else (label,),
        output=Path(output).expanduser() if output else None, format=_format(kind, config, mistakes),
        files=config["files"], frames=config["frames"] or 0, batch_size=config["batch_size"], device=config["device"],
        precision=config["precision"],
        settings={key: typed[key] for key in SETTINGS if key in typed},
        start=_picture("start", config, mistakes), mask=_picture("mask", config, mistakes),
        strength=config["strength"], resample=config["resample"],
        prompt=config["prompt"] or "", length=config["length"], source=config["source"],
        target=config["target"],
        slug=_slug({key: _stem(key, typed[key]) for key in NAMED if key in typed}),
    )  # fmt: skip
    mistakes += _of_no_use(kind, typed)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return request


def switch(kind: str) -> str:
    """Say how a kind is asked for."""
    return "start=PICTURE" if kind == "revisions" else f"{FLAGS[kind]}=true"


def _picture(key: str, config: Mapping[str, Any], mistakes: list[str]) -> Path | None:
    if config[key] is None:
        return None
    path = Path(config[key]).expanduser()
    if not path.is_file():
        mistakes.append(f"{key}: no such file: {config[key]}. Type {key}= and a picture.")
    return path


def _stem(key: str, value: Any) -> Any:
    return Path(value).stem if key in REVISING[:2] else value


def _kind(config: Mapping[str, Any], mistakes: list[str]) -> str:
    kinds = [kind for kind, flag in FLAGS.items() if config[flag]]
    if len(kinds) > 1:
        flags = ", ".join(switch(kind) for kind in kinds)
        mistakes.append(f"{FLAGS[kinds[1]]}: {flags} exclude each other. Type one of them.")
    return kinds[0] if kinds else "samples"


def _of_no_use(kind: str, typed: Mapping[str, Any]) -> list[str]:
    """Name settings that would be ignored."""
    wrong = []
    if kind not in ("samples", "revisions") and "files" in typed:
        wrong.append(f"files: not with {switch(kind)}, which makes one file. Leave one of them out.")
    if "files" in typed and "grid" in typed:
        wrong.append("grid: not with files=true, which makes no grid. Leave one of them out.")
    if kind != "walk" and "frames" in typed:
        wrong.append("frames: only of a walk. Type interpolate=true as well, or leave frames out.")
    if "target" in typed and (kind != "walk" or "source" not in typed):
        wrong.append("target: only of a walk from a text. Type interpolate=true source='...' as well, or leave target "
                     "out.")  # fmt: skip
    for key in REVISING[1:]:
        if key in typed and "start" not in typed:
            wrong.append(f"{key}: only of a picture to begin with. Type start=PICTURE as well, or leave {key} out.")
    if "resample" in typed and "mask" not in typed:
        wrong.append("resample: only where a part is kept. Type mask=PICTURE as well, or leave resample out.")
    return wrong


def existing_checkpoint(ckpt: str | None, mistakes: list[str]) -> Path:
    """Return the path of a checkpoint, or add to the mistakes that nothing is there."""
    path = Path(ckpt or "").expanduser()
    if ckpt and path.exists():
        return path
    said = f"no such file or folder: {ckpt}" if ckpt else "not set"
    allowed = "a run's folder, a checkpoint's folder or a .safetensors file"
    mistakes.append(f"ckpt: {said}; allowed: {allowed}.{near_runs(path)}")
    return path


def _grid(grid: str | None, mistakes: list[str]) -> tuple[int, int]:
    if grid is None:
        return 0, 0
    match = re.fullmatch(r"(\d{1,4})[xX](\d{1,4})", grid)
    rows, columns = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (0 < rows <= LONGEST_GRID and 0 < columns <= LONGEST_GRID):
        mistakes.append(f"grid: given {grid!r}, allowed: rows x columns, each 1 to {LONGEST_GRID}, such as grid=8x8.")
    return rows, columns


def _format(kind: str, config: Mapping[str, Any], mistakes: list[str]) -> str:
    """Return the format that is asked for by name or by the output's suffix, or nothing."""
    format, output = config["format"], Path(config["output"] or "").expanduser()
    allowed = (*MOVING, *READ) if kind == "walk" else STILL if kind != "samples" else (*STILL, *HEARD, *READ)
    what = "a walk is an animation, or texts" if kind == "walk" else "only a walk moves"
    suffix = "" if output.is_dir() else output.suffix[1:].lower().replace("jpg", "jpeg")
    if suffix and config["files"]:
        mistakes.append(f"output: given {output}, but files=true makes a folder. Type a name without {output.suffix}")
    elif suffix and suffix not in allowed:
        endings = ", ".join(f".{each}" for each in allowed)
        mistakes.append(f"output: given {output}, allowed: a folder or a name that ends in {endings} ({what}).")
    elif suffix and format and format != suffix:
        mistakes.append(f"format: given {format}, but output={output} says {suffix}. Leave one of them out.")
    if format and format not in allowed:
        hint = " Type interpolate=true for an animation." if format == "gif" else ""
        mistakes.append(f"format: given {format}, allowed: {', '.join(allowed)} ({what}).{hint}")
    return format or suffix


def settled(request: Request, makes: Literal["pictures", "sounds", "text"]) -> Request:
    """Return the request with the format, and the frames of a walk, that suit what the model makes.

    ConfigError where another format was typed.

    Sounds are written as files in a folder, with a sheet of them.
    """
    heard = makes == "sounds" and request.kind == "samples"
    allowed = READ if makes == "text" else HEARD if heard else MOVING if request.kind == "walk" else STILL
    if makes != "text" and (typed := [key for key in WRITING if getattr(request, key)]):
        raise ConfigError(f"{typed[0]}: it is for models of text, and this one makes {makes}. Leave it out.")
    if request.format and request.format not in allowed:
        what = "sounds (a sheet of them is written beside)" if heard else makes
        raise ConfigError(
            f"format: given {request.format}, but this model makes {what}. Allowed: {', '.join(allowed)}."
        )
    if heard and request.output and request.output.suffix:
        raise ConfigError(f"output: given {request.output}, but sounds are files in a folder. Type a name without "
                          f"{request.output.suffix}, and format={request.format or HEARD[0]}.")  # fmt: skip
    frames = request.frames or (MOMENTS if makes == "text" else FRAMES)
    return replace(request, format=request.format or allowed[0], files=request.files or heard, frames=frames)


def _slug(typed: dict[str, Any]) -> str:
    """Say settings that were typed in letters fit for a file's name."""
    words = [f"{key}-{'+'.join(map(str, value)) if isinstance(value, list) else value}" for key, value in typed.items()]
    slug = "".join("-" + re.sub(r"[^\w.+-]+", "_", word) for word in words)
    if len(slug) <= LONGEST_SLUG and all(re.fullmatch(r"[\w.+-]*", word) for word in words):
        return slug
    return f"{whole_words(slug, LONGEST_SLUG)}-{hashlib.sha256(repr(typed).encode()).hexdigest()[:8]}"

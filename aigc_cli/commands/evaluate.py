"""Say how good samples are: `aigc evaluate ckpt=outputs/dcgan-mnist`."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len

from aigc_cli.errors import ConfigError
from aigc_cli.evaluating.measures import OF_SAMPLES, Group, Look
from aigc_cli.files import file_digest
from aigc_cli.inference.request import SETTINGS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from aigc_cli.composing.compose import Composed
    from aigc_cli.data.pack import Pack
    from aigc_cli.evaluating.wishes import Wishes

NEEDS = {
    "likelihood": "bounds it (a vae, ddpm)", "restoration": "reconstructs or transforms (autoencoders)",
    "translation": "makes text of text (seq2seq)", "perplexity": "foresees text (lstm, transformer)",
    "sums": "writes sums (data=sums)", "novelty": "writes short texts (data=sums, reviews)",
}  # fmt: skip


def evaluate(
    run: Composed,
    *,
    ckpt: str | None,
    samples: str | None,
    metrics: Annotated[list[Group], Len(1)] | None,
    features: Look | None,
    weights: str | None,
    n: Annotated[int, Ge(1), Le(1_000_000)] | None,
    split: Literal["test", "train"],
    draws: Annotated[int, Ge(1), Le(10_000)],
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    steps: Annotated[int, Ge(1), Le(10_000)] | None,
    spacing: Literal["time", "quadratic", "log", "karras"] | None,
    guidance: Annotated[float, Ge(0), Le(100)] | None,
    eta: Annotated[float, Ge(0), Le(1)] | None,
    sampler: str | None,
    truncation: Annotated[float, Ge(0), Le(1)] | None,
    temperature: Annotated[float, Ge(0), Le(100)] | None,
    top_k: Annotated[int, Ge(1)] | None,
    top_p: Annotated[float, Gt(0), Le(1)] | None,
    beam: Annotated[int, Ge(1), Le(100)] | None,
    length_penalty: Annotated[float, Ge(0), Le(10)] | None,
    data: Mapping[str, Any],
    output: str | None,
    device: str,
    precision: Literal["auto", "fp32", "bf16", "fp16"],
    batch_size: Annotated[int, Ge(1), Le(4096)],
) -> None:
    """Draw or read samples, measure them, print a table and write evaluation.json."""
    config = run.config
    typed = {key: config[key] for key in SETTINGS if config[key] is not None}
    if (ckpt is None) == (samples is None):
        raise ConfigError("ckpt, samples: type one of them: ckpt=outputs/gan-glyphs, or samples=FOLDER data=mnist.")
    if samples is not None and (drawing := _of_drawing(config)):
        raise ConfigError(f"{drawing[0]}: samples= are there already. Leave it out.")
    if weights is not None and features != "inception":
        raise ConfigError("weights: only of features=inception. Type that as well, or leave weights out.")
    if ckpt is not None:
        _of_checkpoint(config, typed)
    else:
        _of_folder(config)


def _of_checkpoint(config: Mapping[str, Any], typed: Mapping[str, Any]) -> None:
    import torch

    from aigc_cli.abilities import Samples
    from aigc_cli.checkpoints import resolve
    from aigc_cli.checkpoints.restoring import restore
    from aigc_cli.devices import choose, explaining_memory, warn_of_slow_bf16
    from aigc_cli.evaluating.choosing import evaluator_of
    from aigc_cli.evaluating.defaults import samples_to_draw
    from aigc_cli.evaluating.report import tell, write_to_run
    from aigc_cli.evaluating.wishes import Figures
    from aigc_cli.inference.choices import sampling_settings
    from aigc_cli.inference.held_out import data_of
    from aigc_cli.inference.opening import preset_of

    began = time.perf_counter()
    chosen = choose(config["device"], config["precision"])
    device = chosen.torch
    warn_of_slow_bf16(chosen)
    checkpoint = resolve(Path(config["ckpt"]).expanduser())
    name = preset_of(checkpoint)
    with explaining_memory(device, config["batch_size"]):
        model = restore(checkpoint, device)
        draws = "transform" if model.spec.text and not isinstance(model, Samples) else "sample"
        drawing = getattr(type(model), draws, None)
        settings = sampling_settings(model, name, drawing, typed) if drawing else {}
        pack = data_of(checkpoint.meta["config"], config["data"], model.spec)
        wishes = replace(_wishes(config, pack, model), translating=settings)
        evaluator = evaluator_of(pack, wishes, device).prepare()
        figures, n = Figures(), 0
        if set(evaluator.wishes.metrics) & set(OF_SAMPLES):
            n = samples_to_draw(config["n"], model.spec)
            asked = torch.arange(n) % model.spec.classes if model.conditional else None
            with chosen.autocast():
                samples = _drawn(model, n, config, asked, device, settings)
            figures = evaluator.of_samples(samples, asked)
        with chosen.autocast() if "translation" in evaluator.wishes.metrics else nullcontext():
            figures.add(evaluator.of_model(model))
    folder, of_run = _home(checkpoint.path)
    drawing = {"precision": chosen.precision} if n or "translation" in evaluator.wishes.metrics else {}
    weights = checkpoint.path / "model.safetensors" if checkpoint.path.is_dir() else checkpoint.path
    about = {"ckpt": str(config["ckpt"]), "of": file_digest(weights), "step": checkpoint.step, **drawing, **typed}
    tell(config, evaluator, figures, f"{name}, step {checkpoint.step:,}", about, folder, n, began)
    if of_run and not typed and config["output"] is None:  # the figures of the model as it was trained
        write_to_run(folder, checkpoint.step, figures.values)


def _of_folder(config: Mapping[str, Any]) -> None:
    import torch

    from aigc_cli.data.pack import open_data
    from aigc_cli.devices import choose, explaining_memory
    from aigc_cli.evaluating.defaults import MOST
    from aigc_cli.evaluating.evaluation import Evaluator
    from aigc_cli.evaluating.report import tell
    from aigc_cli.inference.inputs import from_folder

    if "name" not in config["data"]:
        raise ConfigError("data: what are the samples to resemble? Type data=mnist data.root=FOLDER.")
    began = time.perf_counter()
    folder = Path(config["samples"]).expanduser()
    pack = open_data(config["data"])
    if pack.spec.kind == "text":
        _of_texts(config, pack, folder, began)
        return
    samples = torch.from_numpy(from_folder(folder, pack.spec, config["data"], config["n"] or MOST).x)
    device = choose(config["device"], "fp32").torch
    with explaining_memory(device, config["batch_size"]):
        evaluator = Evaluator(pack, _wishes({**config, "n": len(samples)}, pack, None), device).prepare()
        figures = evaluator.of_samples(samples)
    about = {"samples": str(folder), "of": hashlib.sha256(samples.numpy().tobytes()).hexdigest()}
    tell(config, evaluator, figures, folder.name, about, _beside(folder), len(samples), began)


def _of_texts(config: Mapping[str, Any], pack: Pack, path: Path, began: float) -> None:
    import torch

    from aigc_cli.evaluating.of_text import TextEvaluator
    from aigc_cli.evaluating.report import tell
    from aigc_cli.texts.given import read_passages

    evaluator = TextEvaluator(pack, _wishes(config, pack, None), torch.device("cpu"))
    passages = read_passages(path, running=pack.about["text"]["end"] is None)
    figures = evaluator.of_given(passages)
    digest = hashlib.sha256(repr(passages).encode("utf-8", "surrogatepass")).hexdigest()
    about = {"samples": str(path), "of": digest}
    tell(config, evaluator, figures, path.name, about, _beside(path), min(len(passages), evaluator.wishes.n), began)


def _beside(path: Path) -> Path:
    """Return the folder for the figures of samples that are given: within their own, they would be samples."""
    path = path.resolve()
    return path.with_name(f"{path.name}-evaluation")


def _wishes(config: Mapping[str, Any], pack: Pack, model: Any) -> Wishes:
    from aigc_cli.evaluating.applicable import applicable, features_for
    from aigc_cli.evaluating.defaults import MOST, usual_metrics
    from aigc_cli.evaluating.wishes import Wishes

    allowed, n, split = applicable(pack, model), config["n"] or MOST, config["split"]
    chosen, notes = usual_metrics(pack, model, features=config["features"], n=n, split=split)
    if config["metrics"] is not None:
        chosen, notes = tuple(config["metrics"]), []
    for note in notes:
        print(f"aigc: {note}", file=sys.stderr)
    for group, who in NEEDS.items():
        if group in chosen and group not in allowed:
            if model is None and pack.spec.text:
                raise ConfigError(f"metrics: {group} cannot be told of these texts. Allowed of samples= and these "
                                  f"data: {', '.join(allowed)}.")  # fmt: skip
            raise ConfigError(f"metrics: {group} needs a model that {who}. Leave it out.")
    if model is not None and not allowed:
        raise ConfigError("ckpt: this model draws no samples and restores nothing, so nothing of it can be measured.")
    if (of_samples := [group for group in chosen if group in OF_SAMPLES]) and not set(allowed) & set(OF_SAMPLES):
        raise ConfigError(f"metrics: {of_samples[0]} needs samples, which this model draws none of. "
                          f"Type metrics=[{','.join(allowed)}], or leave metrics out.")  # fmt: skip
    if (drawing := _of_drawing(config)) and model is not None and not set(chosen) & {*OF_SAMPLES, "translation"}:
        raise ConfigError(f"{drawing[0]}: no samples are drawn for these figures. Leave it out.")
    features = features_for(config["features"], pack)
    return Wishes(
        chosen, n, features, config["weights"], split, config["draws"], config["seed"],
        config["batch_size"], given=model is None,
    )  # fmt: skip


def _of_drawing(config: Mapping[str, Any]) -> list[str]:
    """Name the typed settings that say how samples are drawn."""
    return [key for key in SETTINGS if config[key] is not None] + ["precision"] * (config["precision"] != "fp32")


def _drawn(
    model: Any, n: int, config: Mapping[str, Any], asked: Tensor | None, device: torch.device, settings: Any
) -> Tensor:
    """Draw the samples, with a bar."""
    import torch
    from tqdm import tqdm

    from aigc_cli.inference.drawing import draw_chunks

    chunk = min(config["batch_size"], n)
    chunks = draw_chunks(model, n, asked, seed=config["seed"], device=device, chunk=chunk, **settings)
    bar = tqdm(chunks, total=-(-n // chunk), desc="drawing", leave=False, disable=None, dynamic_ncols=True)
    return torch.cat(list(bar))


def _home(path: Path) -> tuple[Path, bool]:
    """Return the folder for the figures of a checkpoint, and whether that is a run's."""
    path = path.resolve()
    folder = path.parent if path.is_file() else path
    return (folder.parent.parent, True) if folder.parent.name == "checkpoints" else (folder, False)

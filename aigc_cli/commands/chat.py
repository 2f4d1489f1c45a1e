"""Talk with a model that answers text by text, or goes on with it: `aigc chat ckpt=outputs/seq2seq-pairs`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le

from aigc_cli.errors import ConfigError
from aigc_cli.inference.request import SETTINGS, existing_checkpoint

if TYPE_CHECKING:
    import torch

    from aigc_cli.composing.compose import Composed

LEAVING = ("/quit", "/exit")


def chat(
    run: Composed,
    *,
    ckpt: str | None,
    seed: Annotated[int, Ge(0), Le(2**63 - 1)],
    temperature: Annotated[float, Ge(0), Le(100)] | None,
    top_k: Annotated[int, Ge(1)] | None,
    top_p: Annotated[float, Gt(0), Le(1)] | None,
    beam: Annotated[int, Ge(1), Le(100)] | None,
    length_penalty: Annotated[float, Ge(0), Le(10)] | None,
    length: Annotated[int, Ge(1), Le(1_000_000)] | None,
    label: int | str | None,
    device: str,
) -> None:
    """Read a line, answer it, until the input ends or /quit is typed."""
    config = run.config
    mistakes: list[str] = []
    path = existing_checkpoint(ckpt, mistakes)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    partner = _Partner(path, {key: config[key] for key in SETTINGS if config.get(key) is not None}, config)
    print(f"aigc: {partner.name}. Type a line and Enter; Ctrl-D or /quit ends.", file=sys.stderr)
    while (line := _next_line()) is not None:
        if line.strip():
            partner.answer(line.strip())


def _next_line() -> str | None:
    """Return what is typed; None at the end."""
    try:
        line = input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return None
    except UnicodeDecodeError:
        print("aigc: that line is no UTF-8: type it again.", file=sys.stderr)
        return ""
    return None if line.strip() in LEAVING else line


class _Partner:
    """Answer lines by a checkpoint's model."""

    def __init__(self, path: Path, typed: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        from aigc_cli.abilities import Writes
        from aigc_cli.checkpoints import resolve
        from aigc_cli.checkpoints.restoring import restore
        from aigc_cli.devices import choose
        from aigc_cli.inference.choices import choose_labels, sampling_settings
        from aigc_cli.inference.opening import preset_of
        from aigc_cli.texts.reading import source_of
        from aigc_cli.texts.writing import OF_WRITING

        self.device: torch.device = choose(config["device"], "fp32").torch
        checkpoint = resolve(path)
        self.name = f"{preset_of(checkpoint)}, step {checkpoint.step:,}"
        model = restore(checkpoint, self.device)
        if not isinstance(model, Writes) or not model.spec.text:  # type: ignore[attr-defined]
            raise ConfigError(
                f"ckpt: model '{preset_of(checkpoint)}' writes no text. Type aigc sample in place of chat."
            )
        self.model: Any = model
        self.source = source_of(model)  # None: it goes on with what is typed
        self.settings = sampling_settings(self.model, preset_of(checkpoint), model.write, typed, supplied=OF_WRITING)
        label = () if config["label"] is None else (config["label"],)
        self.labels = choose_labels(label, model.spec, known=model.conditional)
        self.name += f", {model.spec.class_names[self.labels[0]]}" if self.labels else ""
        self.length, self.seed, self.turn = config["length"], config["seed"], 0

    def answer(self, line: str) -> None:
        """Print what the model makes of a line, as it comes; a line that it cannot read costs a message only."""
        import torch

        from aigc_cli.randomness import mix
        from aigc_cli.texts.reading import Teller, stored_sources, symbols_of, usual_length

        spec, model = self.model.spec, self.model
        try:
            source = stored_sources([line], self.source, "line").to(self.device) if self.source else None
            prompt = None if self.source else symbols_of(line, spec, "line").to(self.device)
        except ConfigError as error:
            print(f"aigc: {error}", file=sys.stderr)
            return
        if source is None and self.labels:
            source = torch.tensor(self.labels[:1], device=self.device)
        self.turn += 1
        generator, teller = torch.Generator(self.device).manual_seed(mix(self.seed, self.turn)), Teller(spec, _show)
        with torch.no_grad():
            model.write(1, source, generator=generator, prompt=prompt, length=self.length or usual_length(spec),
                        tell=teller, **self.settings)  # fmt: skip
        teller.finish()
        print(flush=True)


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

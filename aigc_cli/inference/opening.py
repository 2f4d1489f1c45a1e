"""Open the checkpoint that a verb is asked to use, and find where what it makes belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.errors import ConfigError, TrainingError
from aigc_cli.inference.request import existing_checkpoint

if TYPE_CHECKING:
    import torch

    from aigc_cli.checkpoints import Checkpoint


@dataclass(frozen=True)
class Opened:
    """A model with its weights, and where it came from."""

    model: Any  # what it can do is asked of the protocols
    checkpoint: Checkpoint
    name: str  # what was typed as model= for it
    device: torch.device

    @property
    def trained(self) -> dict[str, Any]:
        """Return the config of its training."""
        return self.checkpoint.meta["config"]


def open_model(config: Mapping[str, Any], protocol: str, lacks: str, *, text: bool = False) -> Opened:
    """Open config["ckpt"] on config["device"]; a model without the protocol (of abilities.py) is refused.

    text: whether models of text are taken.
    """
    mistakes: list[str] = []
    path = existing_checkpoint(config["ckpt"], mistakes)
    if mistakes:
        raise ConfigError("\n".join(mistakes))

    from aigc_cli import abilities
    from aigc_cli.checkpoints import resolve
    from aigc_cli.checkpoints.restoring import restore
    from aigc_cli.devices import choose
    from aigc_cli.next_step import verb_of
    from aigc_cli.pictures.rows import showable

    device = choose(config["device"], "fp32").torch
    checkpoint = resolve(path)
    name = preset_of(checkpoint)
    model = restore(checkpoint, device)
    if not isinstance(model, getattr(abilities, protocol)):
        use = verb_of(model)
        raise ConfigError(f"ckpt: model '{name}' {lacks}." + (f" It can: aigc {use} ckpt={path}" if use else ""))
    if not showable(model.spec) and not (text and model.spec.text):
        raise ConfigError(f"ckpt: given a model of {model.spec.kind} {model.spec.shape}, allowed: pictures of 1 or 3 "
                          "channels, and sounds.")  # fmt: skip
    return Opened(model, checkpoint, name, device)


def preset_of(checkpoint: Checkpoint) -> str:
    """Return what was typed as model=, where the checkpoint says so, else its class's name."""
    chosen = checkpoint.meta.get("choices")
    name = chosen.get("model") if isinstance(chosen, Mapping) else None
    return name if isinstance(name, str) and name.isprintable() else str(checkpoint.meta["config"]["model"]["name"])


def home_of(path: Path, folder: str) -> tuple[Path, str]:
    """Return the run's folder for what is made of a checkpoint, and what names begin with outside of a run."""
    path = path.resolve()
    step = path.parent if path.is_file() else path
    if step.parent.name == "checkpoints":
        return step.parent.parent / folder, ""
    return path.parent, f"{path.stem}-"


def probe(folder: Path) -> None:
    """Find out that nothing can be written there before the time is spent; leave no trace."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    probing = existing / ".aigc-probe"
    try:
        probing.touch()
        probing.unlink()
    except OSError as error:
        said = f"output: {existing} takes no files ({error.strerror}). Type output= and a folder of yours."
        raise ConfigError(said) from None


def refuse_to_replace(made: Path, *beside: Path) -> None:
    """Refuse to write over files of these names that are not from an earlier time: then what we made would be there."""
    if not made.exists() and (others := [path for path in beside if path.exists()]):
        raise ConfigError(f"output: {others[0]} is there already, and would be replaced. Type another name.")


@contextmanager
def writing_at(target: Path) -> Iterator[None]:
    """Say in one line what could not be written."""
    try:
        yield
    except OSError as error:
        said = f"{target}: not written ({error.strerror or error}). Type output= and a path."
        raise TrainingError(said) from None


def short(path: Path) -> Path:
    """Return the path as seen from here, where it lies below."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

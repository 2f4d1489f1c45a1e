"""BERT (arXiv:1810.04805) as an encoder of text, with the weights of a folder in the Hugging Face layout where asked.

The settings say its sizes, so that a checkpoint builds it without the folder, which is read once, before training.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from aigc_cli.errors import ConfigError
from aigc_cli.files import file_digest
from aigc_cli.interfaces import Shapes

WHERE = "model.encoder"
SIZES = {
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "inner": "intermediate_size",
    "places": "max_position_embeddings",
}  # setting: what config.json calls it
ALWAYS = {"model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12, "type_vocab_size": 2}
CONFIG, WEIGHTS = "config.json", "model.safetensors"
Size = Annotated[int, Gt(0)]


class Bert(nn.Module):
    """Read text as BERT does: learnt places, norms behind each part, two kinds of segments of which one is used."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        folder: str | None,
        width: Size,
        depth: Size,
        heads: Size,
        inner: Size,
        places: Size,
        dropout: Annotated[float, Ge(0), Lt(1)],
    ) -> None:
        super().__init__()
        length, self.vocabulary = shapes.input
        if length > places:
            raise ConfigError(f"{WHERE}.places: {places}, but the sources have up to {length} symbols. "
                              f"Type data.source_length={places}.")  # fmt: skip
        if width % heads:
            raise ConfigError(f"{WHERE}.heads: {heads} do not divide width={width}. "
                              f"Type {WHERE}.width={-(-width // heads) * heads}.")  # fmt: skip
        self.folder, self.width = folder, width
        self.sizes = {"width": width, "depth": depth, "heads": heads, "inner": inner, "places": places}
        named = {SIZES[name]: size for name, size in self.sizes.items()}
        shares = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        settings = library().BertConfig(vocab_size=self.vocabulary, pad_token_id=None, **named, **shares)
        settings._attn_implementation = "sdpa"
        self.bert: Any = library().BertModel(settings, add_pooling_layer=False)

    def forward(self, tokens: Tensor, among: Tensor) -> Tensor:
        """Map text (B, S), of which the places in `among` (B, S) count, to vectors (B, S, width)."""
        mask = among[:, None, None].expand(-1, -1, among.shape[1], -1)
        return self.bert(input_ids=tokens, attention_mask=mask).last_hidden_state

    def consult(self) -> dict[str, str]:
        """Read the folder's weights, where one is set; return {setting: digest of the weights}."""
        if self.folder is None:
            return {}
        folder = Path(self.folder).expanduser()
        about = described(folder)
        self._refuse_others(about)
        weights = read(folder)
        name = "embeddings.word_embeddings.weight"
        if self.vocabulary > about["vocab_size"]:  # the symbol that ends a piece, which BERT has not
            weights[name] = torch.cat([weights[name], weights[name].mean(0, keepdim=True)])
        self.bert.load_state_dict(weights)
        return {f"{WHERE}.folder": file_digest(folder / WEIGHTS)}

    def _refuse_others(self, about: dict[str, Any]) -> None:
        """Raise ConfigError where the folder's is no such BERT as the settings and the data describe."""
        for key, value in ALWAYS.items():
            if about.get(key, value) != value:
                raise ConfigError(f"{WHERE}.folder: {self.folder} has {key}={about[key]}, allowed: {value}. "
                                  "Choose the folder of another BERT.")  # fmt: skip
        sizes = {name: about.get(key) for name, key in SIZES.items()}
        known = about.get("vocab_size")
        if not all(type(size) is int for size in (known, *sizes.values())):
            raise ConfigError(f"{WHERE}.folder: {Path(self.folder or '') / CONFIG} does not say all sizes of a BERT. "
                              "Fetch it again.")  # fmt: skip
        if sizes != self.sizes:
            typed = " ".join(f"{WHERE}.{name}={size}" for name, size in sizes.items() if size != self.sizes[name])
            raise ConfigError(f"{WHERE}.folder: {self.folder} is of other sizes than the settings. Type {typed}.")
        if known not in (self.vocabulary, self.vocabulary - 1):
            sources = f"the sources have {self.vocabulary - 1} and an end symbol"
            raise ConfigError(f"{WHERE}.folder: {self.folder} knows {known} symbols, {sources}. "
                              f"Type data.source_vocabulary={self.folder}.")  # fmt: skip


def described(folder: Path) -> dict[str, Any]:
    """Return what a folder's config.json says."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ConfigError(f"{WHERE}.folder: no {name} in {folder}. Type {WHERE}.folder= and a folder with "
                              f"{CONFIG} and {WEIGHTS}.")  # fmt: skip
    try:
        about = json.loads((folder / CONFIG).read_text())
    except ValueError as error:
        raise ConfigError(f"{WHERE}.folder: {folder / CONFIG} is no JSON ({error}). Fetch it again.") from None
    if not isinstance(about, dict):
        raise ConfigError(f"{WHERE}.folder: {folder / CONFIG} describes no model. Fetch it again.")
    return about


def read(folder: Path) -> dict[str, Tensor]:
    """Return a folder's weights by their names, float32; nothing in the folder is run."""
    from safetensors import SafetensorError

    transformers = library()
    shows = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        model, report = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, add_pooling_layer=False,
            dtype=torch.float32, output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        said = str(error).strip().splitlines()[0]
        raise ConfigError(f"{WHERE}.folder: {folder} cannot be read ({said}). Fetch it again.") from None
    finally:
        if shows:
            transformers.utils.logging.enable_progress_bar()
    if report["missing_keys"]:
        first = sorted(report["missing_keys"])[0]
        raise ConfigError(f"{WHERE}.folder: {folder / WEIGHTS} has no {first}. Fetch it again.")
    return model.state_dict()


def library() -> Any:
    """Return the transformers library, or say how to get it."""
    try:
        import transformers
    except ImportError:
        raise ConfigError(f"{WHERE}: BERT needs the transformers library. Type pip install 'aigc[bert]', or "
                          "model/network@model.encoder=transformer_encoder.") from None  # fmt: skip
    return transformers

"""Choose what measures data of a kind."""

from __future__ import annotations

import torch

from aigc_cli.data.pack import Pack
from aigc_cli.evaluating.evaluation import Evaluator, Wishes
from aigc_cli.evaluating.of_text import TextEvaluator


def evaluator_of(pack: Pack, wishes: Wishes, device: torch.device) -> Evaluator | TextEvaluator:
    """Return the evaluator of a pack's kind of data."""
    return (TextEvaluator if pack.spec.kind == "text" else Evaluator)(pack, wishes, device)

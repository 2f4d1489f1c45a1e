"""Choose what measures data of a kind."""

from __future__ import annotations

import torch

from aigc_cli.data.pack import Pack
from aigc_cli.evaluating.evaluation import Evaluator
from aigc_cli.evaluating.of_text import TextEvaluator
from aigc_cli.evaluating.wishes import Wishes


def evaluator_of(pack: Pack, wishes: Wishes, device: torch.device) -> Evaluator | TextEvaluator:
    """Return the evaluator of a pack's kind of data."""
    return (TextEvaluator if pack.spec.kind == "text" else Evaluator)(pack, wishes, device)

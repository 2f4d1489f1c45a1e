"""Choose what is measured, and of how much, where nobody says: all that applies and says something."""

from __future__ import annotations

from collections.abc import Sequence

from aigc_cli.data.pack import Pack
from aigc_cli.evaluating.applicable import applicable, fewest_needed, too_slow_for_notes
from aigc_cli.evaluating.measures import OF_CLASSES, OF_SAMPLES
from aigc_cli.interfaces import DataSpec, Model

MOST = 10_000  # samples that are drawn, or read, and held-out data that are looked at
WRITTEN = 1_000  # texts that a model writes, symbol after symbol: of so many a share is off by 1.6 % at most, mostly


def samples_to_draw(n: int | None, spec: DataSpec) -> int:
    """Return how many samples a model is to draw: n, if it is typed."""
    return n or (WRITTEN if spec.kind == "text" else MOST)


def usual_metrics(
    pack: Pack, model: Model | None, *, features: str | None, n: int, split: str
) -> tuple[tuple[str, ...], list[str]]:
    """Return the groups to measure, and a line for each reason to leave some out of those that apply.

    features: as typed. Where nothing would be left, all that apply are returned, so that what is wrong is told.
    """
    allowed, notes = applicable(pack, model), list[str]()
    if OF_SAMPLES[0] in allowed and (why := too_slow_for_notes(pack.spec)):
        notes.append(f"pitch is not measured: {why}.")
    chosen = allowed
    if features not in (None, "classifier") and (without := [group for group in allowed if group in OF_CLASSES]):
        chosen = tuple(group for group in chosen if group not in OF_CLASSES)
        notes.append(f"{_listed(without)} are not measured: a classifier would have to learn the labels first, but "
                     f"features={features} need not. Type metrics= and their names, or no features=.")  # fmt: skip
    few = _too_few(pack, chosen, n, split)
    kept = tuple(group for group in chosen if group not in few)
    if few and kept:
        notes.append(_said_of_few(pack, few, n, split, given=model is None))
    return kept or allowed, notes


def _too_few(pack: Pack, groups: Sequence[str], n: int, split: str) -> dict[str, int]:
    """Return the groups that need more than there is, and how much they need."""
    there = min(n, pack.counts[split])
    return {group: least for group, least in fewest_needed(pack.spec, groups).items() if there < least}


def _said_of_few(pack: Pack, few: dict[str, int], n: int, split: str, *, given: bool) -> str:
    by_need = {least: [group for group in few if few[group] == least] for least in sorted(set(few.values()))}
    needs = "; ".join(f"{_listed(groups)} {'needs' if len(groups) == 1 else 'need'} {least}"
                      for least, groups in by_need.items())  # fmt: skip
    held_out = pack.counts[split]
    if n < max(few.values()) and given:
        what, way = f"{n} samples are read", "Add some"
    elif n < max(few.values()):
        what, way = f"n is {n}", f"Type n={max(few.values())} or more"
    else:
        what = f"the {split} split has {held_out} sample{'s' * (held_out != 1)}"
        way = "Type split=train to compare with what was learnt" if split == "test" else "Type data= that are more"
    return f"{what}: {needs}, and {'is' if len(few) == 1 else 'are'} not measured. {way}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

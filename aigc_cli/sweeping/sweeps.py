"""Run many settings of one verb: every job is checked before the first starts, and one that fails stops no other."""

from __future__ import annotations

import itertools
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aigc_cli.composing.compose import VERBS, Composed, check_model, compose
from aigc_cli.composing.composition import config_folders
from aigc_cli.composing.overrides import Groups, Override, parse, read
from aigc_cli.config import check, load
from aigc_cli.errors import ConfigError, TrainingError
from aigc_cli.files import atomic_write
from aigc_cli.runs import read_summary
from aigc_cli.runs.names import digest, run_directory, safe
from aigc_cli.stopping import Terminated
from aigc_cli.sweeping.handover import hydra_form, run_hydra
from aigc_cli.sweeping.launchers import check_plugins, is_hydras, place_of_logs
from aigc_cli.sweeping.objectives import cost, is_typed, objective_of, order
from aigc_cli.sweeping.result import Result

SLUG_LENGTH = 60
FAILURES = (ValueError, TrainingError, RuntimeError, OSError, MemoryError)  # ours, and torch's of shapes and memory


@dataclass(frozen=True)
class Job:
    """Run one job where Hydra's launcher wants it, maybe in another process; remember what came of it."""

    verb: str
    config_dir: str | None
    swept: tuple[str, ...]
    folder: Path
    count: int | None
    objective: str | None

    @property
    def __name__(self) -> str:
        """Name the task, as Hydra asks functions for it."""
        return "job"

    def __call__(self, _: Any) -> float:
        """Return what sweepers look for the smallest of: the objective, negative where more is better."""
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        overrides = [override.removeprefix("++") for override in hydra.overrides.task]
        varied = [override for override in overrides if override.partition("=")[0] in self.swept]
        number = f"{hydra.job.num + 1}" + (f"/{self.count}" if self.count else "")
        print(f"\n[{number}] {' '.join(varied or overrides)}", flush=True)
        result = self.run(overrides)
        self.remember(result)
        return cost(result.objective, self.objective)

    def run(self, overrides: list[str]) -> Result:
        """Run the verb; a failure becomes a result."""
        composed = compose(self.verb, overrides, config_dir=self.config_dir, swept=self.swept)
        directory = run_folder(composed)
        function = load(VERBS[self.verb])
        try:
            objective = function(composed, **check(function, composed.config))
        except FAILURES as error:
            print(f"aigc: {error}", file=sys.stderr, flush=True)
            return self.result(overrides, directory, "failed", error=str(error) or type(error).__name__)
        except (SystemExit, KeyboardInterrupt):  # the user stops the sweep, not this job alone
            self.remember(self.result(overrides, directory, "stopped"))
            raise
        return self.result(overrides, directory, "finished", objective=objective)

    def result(self, overrides: list[str], directory: Path, status: str, **known: Any) -> Result:
        """Complete what is known by the run's own summary."""
        summary = read_summary(directory) or {}
        told = {key: summary.get(key) for key in ("step", "minutes", "grid")}
        return Result(overrides, str(directory), status, **{k: v for k, v in told.items() if v is not None}, **known)

    def remember(self, result: Result) -> None:
        """Write the result beside those of the other jobs; the same job overwrites its own."""
        text = json.dumps(asdict(result), indent=2)
        atomic_write(self.folder / "jobs" / f"{digest(result.run, 12)}.json", text.encode())


def sweep(verb: str, overrides: Sequence[str], config_dir: str | None = None) -> int:
    """Check all jobs, run them, and compare them in a table and on a page; 1 where some failed."""
    if verb != "train":
        raise ConfigError(f"-m: `aigc {verb}` runs once; sweeps are for `aigc train -m`.")
    folders = tuple(config_folders(config_dir))
    mistakes: list[str] = []
    typed = read(overrides, Groups(folders), mistakes)
    ours = [override for override in typed if not is_hydras(override)]
    swept = tuple(override.key for override in ours if override.sweep)
    check_plugins(verb, typed, folders, mistakes)
    searching = any(o.key == "hydra/sweeper" and o.value != "basic" for o in typed)
    if searching and not swept:
        mistakes.append("-m: there is nothing to search. Type a range: 'optimizer.lr=tag(log,interval(1e-4,1e-2))'.")
    combinations = list(corners(ours) if searching else product(ours))
    jobs = check_jobs(verb, combinations, swept, config_dir, mistakes)
    objective = objective_of(verb, overrides, [config for _, config in jobs.values()], searching=searching)
    if objective and not is_typed(overrides):
        typed, ours = ([*some, parse(f"objective={objective}")] for some in (typed, ours))
    runs = {run: combination for run, (combination, _) in jobs.items()}
    folder = Path(next(iter(runs))).parent / "sweeps" / slug(overrides, ours)
    job = Job(verb, config_dir, swept, folder.resolve(), None if searching else len(combinations), objective)
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    if where := place_of_logs(typed, folder):
        print(where, flush=True)
    code = launch(job, typed, folders)
    return report(job, ["aigc", verb, "-m", *overrides], folder, code, None if searching else runs)


def launch(job: Job, typed: Sequence[Override], folders: Sequence[Path]) -> int:
    """Let Hydra's sweeper and launcher run the jobs; return the exit code that a stop by the user brings, else 0."""
    where = [f"hydra.sweep.dir='{job.folder}'", "hydra.sweep.subdir=."]
    arguments = [o.typed if is_hydras(o) else hydra_form(o) for o in typed]
    try:
        run_hydra(job.verb, job, [*where, *arguments], folders, "--multirun")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except Terminated:
        return 143
    except KeyboardInterrupt:
        return 130
    finally:
        (job.folder / "multirun.yaml").unlink(missing_ok=True)  # Hydra's own; ours says the same, and more
    return 0


def report(job: Job, command: list[str], folder: Path, code: int, runs: dict[str, list[str]] | None) -> int:
    """Print the table, write the page, return the exit code; a search has no list of its runs beforehand."""
    from aigc_cli.sweeping.page import print_table, write_page

    stored = [Result(**json.loads(file.read_text())) for file in sorted((folder / "jobs").glob("*.json"))]
    if code and not stored:  # Hydra has said why
        return code
    known = {result.run: result for result in stored}
    results = stored if runs is None else [known.get(r, Result(typed, r, "waiting")) for r, typed in runs.items()]
    swept, objective = job.swept, job.objective
    results.sort(key=lambda r: (r.status != "finished", cost(r.objective, objective)))
    page = write_page(folder, command, results, swept, objective)
    print_table(results, swept, objective)
    if objective:
        print(f"the best comes first: {order(objective)}")
    print(f"compare: {page}")
    if code in (130, 143):
        print(f"stopped; the same command goes on: {shlex.join(command)}")
    return code or int(any(result.status != "finished" for result in results))


def product(ours: Sequence[Override]) -> Iterator[list[str]]:
    """Yield the overrides of each job, as Hydra's basic sweeper orders them."""
    yield from ([*job] for job in itertools.product(*(texts(override) for override in ours)))


def corners(ours: Sequence[Override]) -> Iterator[list[str]]:
    """Yield jobs in which each value or end of an interval comes once: a search picks its own points between."""
    firsts = [next(texts(override)) for override in ours]
    yield firsts
    for place, override in enumerate(ours):
        yield from (
            [*firsts[:place], text, *firsts[place + 1 :]] for text in itertools.islice(texts(override), 1, None)
        )


def texts(override: Override) -> Iterator[str]:
    """Yield key=value for each value of an override."""
    yield from ([f"{override.key}={text}" for text in override.texts] if override.sweep else [override.normal])


def check_jobs(
    verb: str, combinations: Sequence[list[str]], swept: tuple[str, ...], config_dir: str | None, mistakes: list[str]
) -> dict[str, tuple[list[str], dict[str, Any]]]:
    """Compose every job and check its model; raise all mistakes together, also that two jobs share a run.

    Returns the overrides and the config of each job by its run's folder.
    """
    runs: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for overrides in combinations:
        try:
            composed = compose(verb, overrides, config_dir=config_dir, swept=swept)
            check_model(composed)
        except ConfigError as error:
            mistakes += str(error).splitlines()
            continue
        folder = str(run_folder(composed))
        known, _ = runs.setdefault(folder, (overrides, composed.config))
        if known != overrides:
            mistakes.append(f"-m: '{' '.join(overrides)}' and '{' '.join(known)}' would be one run, {folder}.")
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    return runs


def run_folder(composed: Composed) -> Path:
    """Return where a job's run lives."""
    return run_directory(composed, Path(composed.config["output"]))


def slug(overrides: Sequence[str], ours: Sequence[Override]) -> str:
    """Name the sweep after its command; settings of the launcher do not change what is learnt."""
    parts = [f"{safe(o.key.rpartition('.')[2])}_{safe(str(o.raw))}" for o in sorted(ours, key=lambda o: not o.sweep)]
    typed = [
        part for part, o in zip(parts, sorted(ours, key=lambda o: not o.sweep), strict=True) if o.typed in overrides
    ]
    text = "-".join(typed) or "sweep"
    exact = digest(json.dumps(sorted(o.normal for o in ours)), 6)
    return f"{text[:SLUG_LENGTH].rstrip('-_.')}-{exact}" if len(text) > SLUG_LENGTH else text

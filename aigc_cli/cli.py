"""Find the verb, hand it its settings, and turn what goes wrong into one clear line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field

from aigc_cli import __version__
from aigc_cli.distributed import has_spoken, may_speak, ranks
from aigc_cli.errors import ConfigError, TrainingError
from aigc_cli.stopping import Terminated, terminable

# Verbs that no YAML configures: they get the words behind them.
PLAIN = {
    "list": "aigc_cli.commands.list:main",
    "show": "aigc_cli.commands.show:main",
    "completion": "aigc_cli.commands.completion:main",
    "_complete": "aigc_cli.commands.completion:complete",
}
SUB_VERBS = {"data": ("check", "pack")}


@dataclass
class Arguments:
    """Hold what stands behind a verb."""

    overrides: list[str] = field(default_factory=list)
    config_dir: str | None = None
    multirun: bool = False
    hydra: list[str] = field(default_factory=list)  # --cfg and --info, for Hydra to answer


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 2 for a user's mistake, 1 for a run that failed."""
    try:
        with terminable(), speaking_once():
            return run(list(sys.argv[1:] if argv is None else argv))
    except ConfigError as error:
        return _say(error, 2)
    except TrainingError as error:
        return _say(error, 1)
    except Terminated:
        return _say("terminated.", 143)
    except KeyboardInterrupt:
        return _say("interrupted.", 130)
    except BrokenPipeError:  # `aigc list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


@contextmanager
def speaking_once() -> Iterator[None]:
    """Keep every process but the first of several silent, so that each line is told once; errors are told anyway."""
    if ranks().first:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _say(error: object, code: int) -> int:
    if may_speak(error):
        for line in str(error).splitlines() or [type(error).__name__]:
            print(f"aigc: {line}", file=sys.stderr, flush=True)
        has_spoken()
    return code


def run(argv: list[str]) -> int:
    """Dispatch a command line to its verb."""
    from aigc_cli.manual import AIGC, MANUAL

    if not argv or argv[0] in ("-h", "--help", "help"):
        topic = argv[1] if argv[1:] and argv[0] == "help" else None
        return _print(MANUAL.get(topic, AIGC) if topic else AIGC)
    if argv[0] == "--version":
        return _print(f"aigc {__version__}\n")
    verb, words = argv[0], argv[1:]
    if ranks().world > 1 and (verb != "train" or {"-m", "--multirun"} & set(words)):
        raise ConfigError(f"{verb}: torchrun is for one `aigc train`, not for sweeps or other verbs. Type it without.")
    if verb not in MANUAL and verb not in PLAIN:
        raise ConfigError(_no_such_verb(verb, list(MANUAL)))
    if verb != "_complete" and ("-h" in words or "--help" in words):
        return _print(MANUAL[verb])
    return plain(verb, words) if verb in PLAIN else configured(verb, words)


def _print(text: str) -> int:
    print(text, end="", flush=True)
    return 0


def _no_such_verb(word: str, verbs: list[str]) -> str:
    from aigc_cli.wording import suggestion

    if "=" in word:
        return f"{word}: a verb comes first, such as `aigc train {word}`. Verbs: {', '.join(verbs)}."
    return f"{word}: no such verb.{suggestion(word, verbs)} Verbs: {', '.join(verbs)}."


def plain(verb: str, words: list[str]) -> int:
    """Run a verb that reads its words itself."""
    from aigc_cli.config import load

    return load(PLAIN[verb])(words)


def configured(verb: str, words: list[str]) -> int:
    """Compose the settings of a verb and run it."""
    from aigc_cli.composing.compose import VERBS, compose
    from aigc_cli.config import check, load

    arguments = read_arguments(verb, words)
    if arguments.hydra:
        from aigc_cli.sweeping.handover import ask_hydra

        return ask_hydra(verb, arguments.overrides, arguments.hydra, arguments.config_dir)
    if arguments.multirun:
        from aigc_cli.sweeping.sweeps import sweep

        return sweep(verb, arguments.overrides, arguments.config_dir)
    composed = compose(verb, arguments.overrides, config_dir=arguments.config_dir)
    function: Callable = load(VERBS[verb])
    answer = function(composed, **check(function, composed.config))
    return answer if isinstance(answer, int) else 0


def read_arguments(verb: str, words: Sequence[str]) -> Arguments:
    """Sort flags from overrides."""
    arguments = Arguments()
    rest = list(words)
    if verb in SUB_VERBS:
        arguments.overrides.append(f"action={_sub_verb(verb, rest)}")
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if word in ("-m", "--multirun"):
            arguments.multirun = True
        elif word == "--resolve":
            arguments.hydra.append(word)
        elif flag in ("--config-dir", "-cd"):
            arguments.config_dir = value if equals else _value(flag, rest)
        elif flag in ("--cfg", "-c", "--package", "-p"):
            arguments.hydra += [flag, value if equals else _value(flag, rest)]
        elif flag in ("--info", "-i"):
            kind = value if equals else rest.pop(0) if rest and "=" not in rest[0] and rest[0][0] != "-" else "all"
            arguments.hydra += [flag, kind]
        else:
            arguments.overrides.append(word)
    return arguments


def _sub_verb(verb: str, rest: list[str]) -> str:
    word = rest[0] if rest else ""
    if word in SUB_VERBS[verb]:
        return rest.pop(0)
    from aigc_cli.wording import suggestion

    ways = " or ".join(f"`aigc {verb} {sub_verb}`" for sub_verb in SUB_VERBS[verb])
    raise ConfigError(f"{verb}: say what to do, {ways}.{suggestion(word, SUB_VERBS[verb])}")


def _value(flag: str, rest: list[str]) -> str:
    if not rest:
        raise ConfigError(
            f"{flag}: a value must follow, such as {flag} {'job' if flag in ('--cfg', '-c') else 'NAME'}."
        )
    return rest.pop(0)

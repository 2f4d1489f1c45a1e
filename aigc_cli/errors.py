"""What can go wrong, in a user's words. Messages say where, what was given, what is allowed and what to type."""

from __future__ import annotations


class ConfigError(ValueError):
    """Report a user's mistake: printed without a traceback, exit code 2."""


class DataError(ConfigError):
    """Report data that cannot be read or cannot be learnt from."""


class CheckpointError(ConfigError):
    """Report a checkpoint that is damaged, of another model or version, or unsafe to open."""


class TrainingError(RuntimeError):
    """Report a run that could not go on (divergence, memory, disk): printed without a traceback, exit code 1."""

    of_all_ranks = False  # whether every rank finds it, at the same step

"""Run `python -m aigc_cli`."""

from __future__ import annotations

import sys

from aigc_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())

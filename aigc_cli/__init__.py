"""aigc: train generative models from the shell."""

import os

__version__ = "0.1.0"

# Threads of OpenMP spin for each other by default. Where anything else wants a core (a browser, a second run), that was
# measured to make small models up to ten times slower; after a short spin they now sleep. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

"""Sounds: files in and out, spectrograms, sheets to look at. Reading runs in worker processes, without torch."""

"""Run many combinations of settings, and compare them."""

"""Compose a verb's config from YAML and the command line, and check it without torch."""

"""Say where the time of a training step goes: `aigc train profile=true`."""

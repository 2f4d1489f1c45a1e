"""Text as symbols and back. No torch where data are packed."""

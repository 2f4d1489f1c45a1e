"""Compare pictures by what a network sees in them that was trained on photographs."""

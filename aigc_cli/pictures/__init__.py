"""Draw samples, lay them out, write them."""

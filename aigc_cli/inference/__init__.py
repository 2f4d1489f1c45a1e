"""Use a trained model: open it, check what is asked of it, find what goes in, draw, put in place what comes out."""

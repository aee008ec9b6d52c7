"""From the description of a data set to rows, from rows to tokens."""

REQUIRES = ("datasets", "numpy", "safetensors", "tokenizers", "transformers")
"""Distributions that a data step needs where it runs; their versions are part of its key."""

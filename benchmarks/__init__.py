"""Benchmarks: ratios of commands alternated in one run. `python -m benchmarks [NAME …] [--quick] [--data DIR]`."""

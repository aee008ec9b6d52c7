"""What may be written about a search: its strategy, the values that options take in it, and how both are read.

`strategy` and `values` are what a workflow holds; `taking` reads them. Nothing here runs a trial, or imports Optuna.
"""

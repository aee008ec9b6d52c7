"""Tests of the ModelBuilder pass."""

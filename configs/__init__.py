"""YAML of experiments, datasets and methods, and the paper's printed tables: data, no code."""

"""The collaborative model-driven network of arXiv 2402.03383, in its parts."""

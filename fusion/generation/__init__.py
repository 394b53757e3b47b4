"""A folder of pairs becomes a folder of fused images: read, batched, computed, written."""

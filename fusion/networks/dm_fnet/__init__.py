"""The parts of DM-FNet."""

"""The parts of SHIP."""

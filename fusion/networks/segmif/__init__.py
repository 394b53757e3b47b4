"""The parts of SegMIF."""

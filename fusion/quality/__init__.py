"""How good fused images look: the twelve metrics of the field, in two published conventions."""

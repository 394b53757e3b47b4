"""What all settings have in common, whichever room declares them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Values that are checked when given and frozen from then on.

    Unknown names and numbers that are not finite are refused: pydantic's ValidationError, a
    ValueError, names the field.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

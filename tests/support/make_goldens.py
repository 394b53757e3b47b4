"""Make the small reference files from the complete ones.

    python tests/support/make_goldens.py FOLDER

FOLDER holds <name>.npz, <name>_keys.json and losses.json, as computed by the authors' modules.
Nothing here runs our own network.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from golden_tools import HERE, LKC_CONFIGS, ZOO, key_digest, sample


def compact(folder: Path, name: str) -> dict[str, Any]:
    listing = json.loads((folder / f"{name}_keys.json").read_text())
    with np.load(folder / f"{name}.npz") as arrays:
        out = arrays["out64_64x64"]
    return {
        "params": listing["params"],
        "keys": len(listing["state_dict"]),
        "keys_sha256": key_digest(listing["state_dict"]),
        "shape": list(out.shape),
        "mean": float(out.mean()),
        "sd": float(out.std()),
        "samples": sample(out),
    }


def compact_zoo(folder: Path, name: str) -> dict[str, Any]:
    """Return keys, fill rules and 60 values of every array of a published network."""
    keys = folder / f"{name}_keys.json"
    listing = json.loads(keys.read_text()) if keys.exists() else {}
    listing = listing.get("state_dict", listing)
    rules = folder / f"{name.removesuffix('_seg')}_fill.json"
    arrays: dict[str, Any] = {}
    if (folder / f"{name}.npz").exists():
        with np.load(folder / f"{name}.npz") as found:
            for key in found.files:
                values = found[key].astype(np.float64)
                arrays[key] = {
                    "shape": list(values.shape),
                    "mean": float(values.mean()),
                    "samples": [float(f"{v:.8g}") for v in sample(values, 60)],
                }
    return {
        "keys": len(listing),
        "keys_sha256": key_digest(listing),
        "fill": json.loads(rules.read_text()) if rules.exists() else [],
        "arrays": arrays,
    }


def main(folder: Path) -> None:
    HERE.mkdir(exist_ok=True)
    for name in ZOO:
        text = json.dumps(compact_zoo(folder, name), separators=(",", ":"))
        (HERE / f"{name}.json").write_text(text + "\n")
    for name in LKC_CONFIGS:
        text = json.dumps(compact(folder, name), separators=(",", ":"))
        (HERE / f"{name}.json").write_text(text + "\n")
    losses = json.loads((folder / "losses.json").read_text())
    (HERE / "losses.json").write_text(json.dumps(losses, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Give the folder of complete references: make_goldens.py FOLDER")
    main(Path(sys.argv[1]))

"""Make the small reference files from the complete ones: python tests/make_goldens.py FOLDER.

FOLDER holds <name>.npz, <name>_keys.json and losses.json, as computed by the authors' modules.
Nothing here runs our own network.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from golden_tools import HERE, LKC_CONFIGS, key_digest, sample


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


def main(folder: Path) -> None:
    HERE.mkdir(exist_ok=True)
    for name in LKC_CONFIGS:
        text = json.dumps(compact(folder, name), separators=(",", ":"))
        (HERE / f"{name}.json").write_text(text + "\n")
    losses = json.loads((folder / "losses.json").read_text())
    (HERE / "losses.json").write_text(json.dumps(losses, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Give the folder of complete references: python tests/make_goldens.py FOLDER")
    main(Path(sys.argv[1]))

"""The list of published checkpoints: facts only, as stated by their authors or measured."""

from __future__ import annotations

from dataclasses import dataclass

NONE_STATED = "none stated"
_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class WeightFile:
    """One file: its name at the authors', its page, and, where known, address, size and digests.

    `bytes`, `sha256` and `git_blob` (sha1 as ``git hash-object`` computes it) are None where
    nobody here has had the file; `url` is None where it must be fetched by hand from `source`.
    """

    name: str
    source: str
    url: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    git_blob: str | None = None

    @property
    def identified(self) -> bool:
        """Whether a digest of the file is known."""
        return self.sha256 is not None or self.git_blob is not None


@dataclass(frozen=True)
class Published:
    """One checkpoint: the method, its variant if it has several, and the preset it belongs to.

    `licence` is that of the weights as far as their repository states one.
    """

    method: str
    licence: str
    files: tuple[WeightFile, ...]
    variant: str = ""
    preset: str | None = None

    @property
    def name(self) -> str:
        """METHOD or METHOD/VARIANT."""
        return f"{self.method}/{self.variant}" if self.variant else self.method


def _github(
    repository: str,
    path: str,
    size: int | None = None,
    sha256: str | None = None,
    git_blob: str | None = None,
) -> tuple[WeightFile, ...]:
    """Return a file of the branch "main" of a repository on GitHub."""
    source = f"https://github.com/{repository}"
    url = f"{_RAW}/{repository}/main/{path}"
    return (WeightFile(path.split("/")[-1], source, url, size, sha256, git_blob),)


def _by_hand(
    name: str, source: str, size: int | None = None, sha256: str | None = None
) -> WeightFile:
    return WeightFile(name, source, None, size, sha256)


_VIF = "https://github.com/Linfeng-Tang/VIF-Benchmark"
_MIT_MIRROR = "MIT (of the mirror VIF-Benchmark)"

PUBLISHED: tuple[Published, ...] = (
    Published(
        "cddfuse",
        NONE_STATED,
        _github(
            "Zhaozixiang1228/MMIF-CDDFuse",
            "models/CDDFuse_IVF.pth",
            git_blob="d2794226bd48961132111bceff89ce3c955b3985",
        ),
        variant="ivf",
    ),
    Published(
        "cddfuse",
        NONE_STATED,
        _github(
            "Zhaozixiang1228/MMIF-CDDFuse",
            "models/CDDFuse_MIF.pth",
            git_blob="072e39abce5979c0568ee510713c123c28160f12",
        ),
        variant="mif",
    ),
    Published(
        "dcinn",
        NONE_STATED,
        (_by_hand("model_tno.pth", "the repository of DCINN (IJCV 2023)"),),
        variant="tno",
        preset="tno",
    ),
    Published(
        "dcinn",
        NONE_STATED,
        (_by_hand("model_rs.pth", "the repository of DCINN (IJCV 2023)"),),
        variant="roadscene",
        preset="roadscene",
    ),
    Published(
        "emma",
        NONE_STATED,
        _github(
            "Zhaozixiang1228/MMIF-EMMA",
            "model/EMMA.pth",
            git_blob="46f382475767323b83f3f7f52dc2bed0ac6b7476",
        ),
    ),
    Published(
        "fatfusion",
        NONE_STATED,
        (_by_hand("model.pth", "the Google Drive that the repository of FATFusion names"),),
    ),
    Published(
        "gesenet",
        "MIT",
        (
            _by_hand(
                "GeSeNet.pth",
                "https://github.com/lok-18/GeSeNet (folder model)",
                991_703,
                "3ecbeb6321d190a088a96adac244fcb384506cbfaf31880f08462d2aba518909",
            ),
        ),
    ),
    Published(
        "ifcnn",
        _MIT_MIRROR,
        (
            _by_hand(
                "IFCNN-MAX.pth",
                _VIF,
                337_094,
                "6022b44c88a2f0367ba9b08fcdf0d663745d9a966fca0ee1f41867797b6ff53f",
            ),
        ),
    ),
    Published(
        "lrrnet",
        NONE_STATED,
        _github(
            "hli1221/imagefusion-LRRNet",
            "model/final_lrr_net_lam2_1.5_wir_3.0_lam3_gram_2000_epoch_4_block_4.model",
            218_515,
            "1de9dd8dee9b650ce69c74ea53e3b9a6b749222f1059a689aabf28f68ee63e29",
        ),
    ),
    Published(
        "mmdrfuse",
        NONE_STATED,
        _github(
            "yanglinDeng/MMDRFuse",
            "pretrained_models/student.model",
            2_207,
            "e5ad5bab796f4480dbbc35a8f6f63e69ba3ccd1842476d2c2453ca1aca6eb17c",
        ),
        variant="student",
        preset="student",
    ),
    Published(
        "mmdrfuse",
        NONE_STATED,
        _github(
            "yanglinDeng/MMDRFuse",
            "pretrained_models/teacher.model",
            2_234_263,
            "6a4f86a0a543ceb1af93d9b1e955e9108ee35a5014710c6a2b0e071cdc8e25b5",
        ),
        variant="teacher",
        preset="teacher",
    ),
    Published(
        "seafusion",
        _MIT_MIRROR,
        (
            _by_hand(
                "SeAFusion.pth",
                _VIF,
                682_043,
                "8d65a7f9a50f36349803368cf9920f40420776995e7e8cc8a56d8d30e499431d",
            ),
        ),
    ),
    Published(
        "segmif",
        "none stated; parts of its code are non-commercial (NVIDIA)",
        tuple(
            _by_hand(name, "the Google Drive that the repository of SegMIF names")
            for name in ("modelfusion-final2.pth", "model-fusion_add_final2.pth")
        ),
    ),
    Published(
        "ship",
        "unclear: no licence file, Apache 2.0 in setup.py",
        _github(
            "zheng980629/SHIP",
            "pretrained_model/SHIP_model.pth",
            2_397_047,
            "e61783e79144d5c9da6681b833ad64624ed2e61f6a533fd18ab896349e3f7329",
        ),
    ),
    Published(
        "tardal",
        _MIT_MIRROR,
        (
            _by_hand(
                "tardal.pt",
                _VIF,
                1_203_451,
                "e0fa61e25cffa9fb14ff17b47ea7ba237a6e8c6f37e1b9b115d63354ff0f13e1",
            ),
        ),
        variant="v0",
    ),
    Published(
        "tardal",
        _MIT_MIRROR,
        (
            _by_hand(
                "tardal+.pt",
                _VIF,
                1_201_819,
                "cff3756548b511e3e415616debc557cdc85b3bb19393ca158cac8d08f232897c",
            ),
        ),
        variant="v0+",
    ),
    Published(
        "tardal",
        _MIT_MIRROR,
        (
            _by_hand(
                "tardal++.pt",
                _VIF,
                1_201_819,
                "7009d125e36db043d6918d9358e10c6dca7fdf2dd08ada09c5ecd294f45f98c5",
            ),
        ),
        variant="v0++",
    ),
    *(
        Published(
            "tardal",
            "GPL-3.0",
            (_by_hand(f"tardal-{kind}.pth", "the releases of the repository of TarDAL"),),
            variant=kind,
        )
        for kind in ("dt", "tt", "ct")
    ),
)
"""In the order of their names; a method's first is what "published" alone means."""

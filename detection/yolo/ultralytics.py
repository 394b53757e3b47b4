"""What we ask of ultralytics; the only module that knows it.

Importing it patches ``torch.save`` for the whole process and sends its log to the console, so it
is imported late, and training belongs in a process of its own.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from PIL import Image as PillowImage
from torch import Tensor

from detection.settings import STRIDE
from fusion import torch_tools
from fusion.pairs import Image


def prepare() -> None:
    """Import ultralytics quiet and offline, with settings of its own that outlive no import.

    Its configuration folder is needed only while it is imported, and is removed at once: a
    process that is killed later leaves nothing behind.
    """
    if "ultralytics" in sys.modules:
        return
    opener = PillowImage.open
    with tempfile.TemporaryDirectory(prefix="fuse-then-ultralytics-") as folder:
        os.environ.update(
            YOLO_CONFIG_DIR=folder,
            YOLO_OFFLINE="true",
            YOLO_AUTOINSTALL="false",
            YOLO_VERBOSE="false",  # no progress bars
            NO_ALBUMENTATIONS_UPDATE="1",
        )
        from ultralytics.data import utils
        from ultralytics.utils import SETTINGS

        # No integration may report anything, and nobody needs the font that would be fetched.
        SETTINGS.update({key: False for key, value in SETTINGS.items() if isinstance(value, bool)})
        utils.check_font = lambda _name: None
    # Its own opener answers a broken file by looking for, or installing, a reader of HEIF.
    PillowImage.open = opener


def build_network(model: str, classes: int, channels: int = 3) -> Any:
    """Build a detector from ultralytics' own file; by a bare name it would prefer one in the cwd.

    `channels` are those of the images that it sees.
    """
    prepare()
    from ultralytics.nn.tasks import DetectionModel, RTDETRDetectionModel
    from ultralytics.utils import ROOT

    file, scale = described_in(model)
    text = (ROOT / "cfg" / "models" / file).read_text(encoding="utf-8")
    plan = {**yaml.safe_load(text), "scale": scale, "yaml_file": f"{model}.yaml"}
    kind = RTDETRDetectionModel if "rtdetr" in model else DetectionModel
    return kind(plan, ch=channels, nc=classes, verbose=False)


def described_in(model: str) -> tuple[str, str]:
    """Return the file, below ultralytics' folder of models, and the scale in it of a detector."""
    if model.startswith("rtdetr-"):
        return f"rt-detr/{model}.yaml", model[-1]
    family, scale, rest = re.fullmatch(r"(yolo\D*\d+)([nsmlx])(.*)", model, re.ASCII).groups()  # type: ignore[union-attr]
    return f"{family.removeprefix('yolo')}/{family}{rest}.yaml", scale


def build_trainer(overrides: Mapping[str, Any], changes: type, *, transformer: bool) -> Any:
    """Return ultralytics' trainer of detectors with these of its own settings, seeds set.

    Its methods are those of `changes` where there are such.
    """
    prepare()
    from ultralytics.models.rtdetr.train import RTDETRTrainer
    from ultralytics.models.yolo.detect import DetectionTrainer

    theirs = RTDETRTrainer if transformer else DetectionTrainer
    return type("Trainer", (changes, theirs), {})(overrides=dict(overrides))


@contextmanager
def mixed_on_processor() -> Iterator[None]:
    """Let a training mix in bfloat16 on the processor, which ultralytics refuses."""
    prepare()
    from ultralytics.engine import trainer

    theirs = trainer.autocast
    trainer.autocast = lambda enabled, device: torch.autocast(
        device, torch.bfloat16, enabled=bool(enabled)
    )
    try:
        yield
    finally:
        trainer.autocast = theirs


def pickled_classes() -> list[Any]:
    """Return what pickled detectors consist of, and nothing whose construction has effects."""
    prepare()
    from torch import nn
    from torch.nn.modules import container, linear
    from ultralytics.nn.modules import block, conv, head, transformer
    from ultralytics.nn.tasks import DetectionModel, RTDETRDetectionModel
    from ultralytics.utils import IterableSimpleNamespace

    ours = [conv.Conv, conv.DWConv, conv.LightConv, conv.RepConv, conv.Concat]
    ours += [block.Bottleneck, block.C2f, block.C3, block.C3k, block.C3k2, block.SPPF, block.DFL]
    ours += [block.C2PSA, block.PSABlock, block.Attention]
    ours += [block.HGBlock, block.HGStem, block.RepC3, head.Detect, head.RTDETRDecoder]
    ours += [transformer.AIFI, transformer.DeformableTransformerDecoder, transformer.MLP]
    ours += [transformer.DeformableTransformerDecoderLayer, transformer.MSDeformAttn]
    ours += [DetectionModel, RTDETRDetectionModel, IterableSimpleNamespace]
    theirs = [nn.Conv2d, nn.BatchNorm2d, nn.SiLU, nn.GELU, nn.ReLU, nn.MaxPool2d, nn.Identity]
    theirs += [nn.Linear, nn.LayerNorm, nn.Dropout, nn.Embedding, nn.MultiheadAttention]
    theirs += [linear.NonDynamicallyQuantizableLinear, nn.Upsample]
    return [*ours, *theirs, container.Sequential, container.ModuleList]


def letterboxed(pictures: Sequence[Image], image_size: int) -> list[Image]:
    """Return the pictures scaled to `image_size` and padded to the stride, channels first."""
    prepare()
    from ultralytics.data.augment import LetterBox

    boxed = LetterBox((image_size, image_size), auto=True, stride=STRIDE)
    return [np.ascontiguousarray(boxed(image=picture).transpose(2, 0, 1)) for picture in pictures]


def stretched(pictures: Sequence[Image], image_size: int) -> list[Image]:
    """Return the pictures stretched to squares, channels first, as RT-DETR is trained on them."""
    side = (image_size, image_size)
    made = (cv2.resize(picture, side, interpolation=cv2.INTER_LINEAR) for picture in pictures)
    return [np.ascontiguousarray(one.transpose(2, 0, 1), dtype=np.uint8) for one in made]


def chooses_boxes(network: Any) -> bool:
    """Whether a network returns its boxes chosen, as RT-DETR does, and not one for each place."""
    prepare()
    from ultralytics.nn.tasks import RTDETRDetectionModel

    return isinstance(network, RTDETRDetectionModel)


def chosen(output: Any, confidence: float) -> list[Tensor]:
    """Return the boxes of RT-DETR per picture by falling score, edges as shares of its sides."""
    from ultralytics.utils import ops

    found = []
    for rows in output[0]:
        kept = rows[rows[:, 4] > confidence]
        found.append(torch.cat([ops.xywh2xyxy(kept[:, :4]).clamp(0, 1), kept[:, 4:]], dim=1))
    return found


def suppressed(output: Any, confidence: float, iou: float) -> list[Tensor]:
    """Return a network's boxes per picture after non-maximum suppression, by falling score."""
    from ultralytics.utils.nms import non_max_suppression

    # Without max_time_img a slow machine would silently lose the last images of a batch.
    found: list[Tensor] = non_max_suppression(
        output, confidence, iou, multi_label=True, max_det=300, max_time_img=1e9
    )
    return found


def scale_boxes(boxes: Tensor, seen: Sequence[int], picture: Sequence[int]) -> None:
    """Move boxes, in place, from a letterboxed input of height and width `seen` to its picture."""
    from ultralytics.utils import ops

    ops.scale_boxes(seen, boxes, picture)


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append ultralytics' log and Python's warnings to a file, with nothing to the console."""
    prepare()
    handler = logging.FileHandler(path, mode="a", encoding="utf-8")
    loggers = [logging.getLogger("ultralytics"), logging.getLogger("py.warnings")]
    before = [(item.handlers[:], item.level, item.propagate) for item in loggers]
    logging.captureWarnings(True)
    try:
        for item in loggers:
            item.handlers, item.propagate = [handler], False
            item.setLevel(logging.INFO)
        yield
    finally:
        logging.captureWarnings(False)
        for item, (handlers, level, propagate) in zip(loggers, before, strict=True):
            item.handlers, item.propagate = handlers, propagate
            item.setLevel(level)
        handler.close()


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Set torch's threads, also where ultralytics resets them to the number of cores less one."""
    prepare()
    from ultralytics.utils import torch_utils

    theirs = torch_utils.NUM_THREADS
    torch_utils.NUM_THREADS = threads
    try:
        with torch_tools.limited_threads(threads):
            yield
    finally:
        torch_utils.NUM_THREADS = theirs

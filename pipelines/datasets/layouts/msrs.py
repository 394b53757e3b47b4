"""MSRS: folders train and test, each with ir, vi and masks of class ids."""

from __future__ import annotations

from fusion.pairs import list_images
from pipelines.datasets.labels import mask
from pipelines.specs.layout import Layout
from segmentation.datasets import MSRS_CLASSES

LAYOUT = Layout(
    infrared="{split}/ir",
    visible="{split}/vi",
    labels="{split}/Segmentation_labels",
    label_files="*.png",
    task="segmentation",
    classes=MSRS_CLASSES,
    drawn=True,
    find=list_images,
    read=mask,
)

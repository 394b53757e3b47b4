"""M3FD: Ir, Vis and Annotation, boxes as Pascal VOC XML, one file an image."""

from __future__ import annotations

from detection.datasets import M3FD_CLASSES, read_voc
from pipelines.datasets.labels import files_ending, one_image_a_file
from pipelines.specs.layout import Layout

LAYOUT = Layout(
    infrared="Ir",
    visible="Vis",
    labels="Annotation",
    label_files="*.xml",
    task="detection",
    classes=M3FD_CLASSES,
    drawn=True,
    find=files_ending(".xml"),
    read=one_image_a_file(read_voc),
)

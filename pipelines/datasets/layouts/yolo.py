"""Boxes as YOLO text files, one file an image: class, centre, width and height a line."""

from __future__ import annotations

from detection.datasets import read_yolo
from pipelines.datasets.labels import files_ending, one_image_a_file
from pipelines.specs.layout import Layout

LAYOUT = Layout(
    labels="labels",
    label_files="*.txt",
    task="detection",
    classes_are="a list of names in the order of the ids",
    find=files_ending(".txt"),
    read=one_image_a_file(read_yolo),
)

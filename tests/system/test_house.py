"""The rules of the house: who may import whom, where frameworks live, how full a folder may be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from house import House, arrows_up, circles, crowded, homeless, read_house, strangers

ROOT = Path(__file__).parents[2]

FLOORS = (("pipelines",), ("detection", "segmentation"), ("fusion",), ("configs",))
"""The packages, top down; those of one floor do not know each other."""
ROOMS = (
    ("pipelines.cli",),
    ("pipelines.flows",),
    ("pipelines.work",),
    ("pipelines.views",),
    ("pipelines.results",),
    ("pipelines.planning",),
    ("pipelines.tasks",),
    ("pipelines.execution",),
    ("pipelines.datasets",),
    ("pipelines.specs", "pipelines.store"),
)
"""The rooms of pipelines, top down; the last two are the ground, side by side."""
BY_NAME = {
    ("pipelines.specs.layout", "pipelines.datasets.layouts"),
    ("pipelines.specs.tasks", "pipelines.tasks.task"),
}
"""Folders in which specs look for layouts and tasks: a new one is a new file and no new import.

This is the one way up, by text, and these are all that go it.
"""
HOMES = {
    "ultralytics": ("detection.yolo",),
    "faster_coco_eval": ("detection.ap",),
    "pycocotools": ("detection.ap",),
    "ensemble_boxes": ("detection.joining",),
    "segmentation_models_pytorch": ("segmentation.model",),
    "timm": ("segmentation.model",),  # asked which encoders it has; the networks are smp's
    "albumentations": ("segmentation.samples",),
    "prefect": ("pipelines.flows", "pipelines.work", "pipelines.cli.scheduling"),
    "mlflow": ("pipelines.views.tracking",),
    "altair": ("pipelines.views.charts",),
    "vl_convert": ("pipelines.views.charts",),
    "jinja2": ("pipelines.views.report",),
    "markupsafe": ("pipelines.views.report",),
    "cyclopts": ("pipelines.cli",),
    "matplotlib": ("fusion.looking",),
    "torchvision": (),
}
"""The modules or folders that may import a framework."""
LIMIT = 11

DOWN = "Imports point down, so that a room can be read and tested knowing only those beneath it."
ROUND = "What needs each other in a circle is one thing in pieces and can only be read together."
ONE_PLACE = "Whoever changes or upgrades a framework looks at one place."
FULL = "More entries than that are not seen at a glance: make a room of those that belong together."


@pytest.fixture(scope="module")
def house() -> House:
    return read_house(ROOT)


def hold(broken: list[str]) -> None:
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)


def test_packages_know_only_those_beneath(house: House) -> None:
    hold(arrows_up(house, FLOORS, why=DOWN))


def test_rooms_know_only_those_beneath(house: House) -> None:
    hold(arrows_up(house, ROOMS, BY_NAME, why=DOWN))


def test_every_module_of_pipelines_lies_in_a_room(house: House) -> None:
    hold(homeless(house, ROOMS, "pipelines"))


def test_every_way_up_that_is_allowed_is_used(house: House) -> None:
    assert {(one.by, one.name) for one in house.own} >= BY_NAME


def test_the_rooms_are_told_in_their_order() -> None:
    text = (ROOT / "pipelines" / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", text, re.MULTILINE)
    assert told == [room.removeprefix("pipelines.") for floor in ROOMS for room in floor]


def test_nothing_needs_each_other_in_a_circle(house: House) -> None:
    hold(circles(house, why=ROUND))


def test_a_framework_is_known_in_one_place(house: House) -> None:
    hold(strangers(house, HOMES, why=ONE_PLACE))


def test_every_framework_and_room_of_the_tables_is_there(house: House) -> None:
    used = {one.name.split(".")[0] for one in house.foreign}
    assert used >= {name for name, homes in HOMES.items() if homes}
    rooms = {room for floor in ROOMS for room in floor}
    assert house.modules >= rooms | {home for homes in HOMES.values() for home in homes}


def test_the_folders_of_pipelines_are_seen_at_a_glance() -> None:
    # The other packages are lists by design: of methods, of metrics, of a network's parts.
    hold(crowded(ROOT, "pipelines", LIMIT, why=FULL))


def test_configs_is_data(house: House) -> None:
    assert {module for module in house.modules if module.startswith("configs")} == {"configs"}


# Each rule, broken in a made-up tree: what cannot fail says nothing.


def tree(root: Path, **files: str) -> House:
    """Write modules, named with "__" for the dot, and read them as a house."""
    for name, text in files.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        for folder in [path.parent, *path.parent.parents]:
            if root in folder.parents:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "__init__.py").touch()
        path.write_text(text)
    return read_house(root)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import pipelines.views.page\n", 1),
        ("from pipelines.views import page\n", 1),
        ("def f():\n    from pipelines.views.page import x\n", 2),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pipelines.views.page", 3),
        ("from ..views import page\n", 1),
        ("HOME = 'pipelines.views.page:function'\n", 1),
    ],
)
def test_an_arrow_up_is_told_in_every_form(tmp_path: Path, text: str, line: int) -> None:
    house = tree(tmp_path, pipelines__views__page="", pipelines__tasks__task=text)
    (told,) = arrows_up(house, ROOMS, why=DOWN)
    assert told.startswith(
        f"pipelines/tasks/task.py:{line}: pipelines.tasks.task imports pipelines.views.page: "
        "pipelines.tasks may not know pipelines.views. Imports point down"
    )
    excepted = {("pipelines.tasks.task", "pipelines.views.page")}
    assert not arrows_up(house, ROOMS, excepted)


def test_arrows_down_are_allowed(tmp_path: Path) -> None:
    text = "import pipelines.tasks.task, fusion.pairs"
    house = tree(tmp_path, pipelines__views__page=text, pipelines__tasks__task="", fusion__pairs="")
    assert len(house.own) == 2
    assert not arrows_up(house, ROOMS)
    assert not arrows_up(house, FLOORS)


@pytest.mark.parametrize(("here", "there"), [("specs", "store"), ("store", "specs")])
def test_the_ground_stands_side_by_side(tmp_path: Path, here: str, there: str) -> None:
    files = {f"pipelines__{there}__a": "", f"pipelines__{here}__b": f"import pipelines.{there}.a"}
    assert len(arrows_up(tree(tmp_path, **files), ROOMS)) == 1


@pytest.mark.parametrize(
    ("here", "there"),
    [("detection", "segmentation"), ("fusion", "detection"), ("segmentation", "pipelines")],
)
def test_an_arrow_up_between_packages_is_told(tmp_path: Path, here: str, there: str) -> None:
    files = {f"{there}__a": "", f"{here}__b": f"def f():\n    from {there}.a import x\n"}
    (told,) = arrows_up(tree(tmp_path, **files), FLOORS)
    assert told.startswith(f"{here}/b.py:2: {here}.b imports {there}.a: {here} may not know")


def test_a_circle_between_modules_is_told(tmp_path: Path) -> None:
    house = tree(
        tmp_path,
        fusion__a="import fusion.b",
        fusion__b="def f():\n    import fusion.c",
        fusion__c="from fusion import a",
    )
    (told,) = circles(house, why=ROUND)
    for step in ("fusion/a.py:1: ", "fusion/b.py:2: ", "fusion/c.py:1: ", "What needs each other"):
        assert step in told


def test_a_circle_between_rooms_is_told_though_no_module_is_in_one(tmp_path: Path) -> None:
    house = tree(
        tmp_path,
        pipelines__a__one="import pipelines.b.one",
        pipelines__b__one="",
        pipelines__b__two="import pipelines.a.two",
        pipelines__a__two="",
    )
    (told,) = circles(house)
    assert told.startswith("In pipelines there is a circle: pipelines/a/one.py:1")


def test_a_framework_outside_its_place_is_told(tmp_path: Path) -> None:
    text = "def f():\n    from mlflow.entities import Run\n"
    house = tree(
        tmp_path,
        pipelines__views__tracking__cells=text,
        pipelines__views__tracks=text,
        fusion__pairs="import torchvision",
    )
    tracks, pairs = sorted(strangers(house, HOMES, why=ONE_PLACE), reverse=True)
    assert tracks.startswith("pipelines/views/tracks.py:2: pipelines.views.tracks imports mlflow")
    assert "belongs to pipelines.views.tracking. Whoever" in tracks
    assert "torchvision belongs to nowhere" in pairs


def test_a_module_without_a_room_is_told(tmp_path: Path) -> None:
    house = tree(tmp_path, pipelines__tasks__task="", pipelines__tools="")
    (told,) = homeless(house, ROOMS, "pipelines")
    assert told.startswith("pipelines.tools is in no room")


def test_a_full_folder_is_told(tmp_path: Path) -> None:
    tree(tmp_path, **{f"pipelines__views__m{n}": "" for n in range(LIMIT)})
    assert not crowded(tmp_path, "pipelines", LIMIT)
    tree(tmp_path, pipelines__views__one_more="")
    (told,) = crowded(tmp_path, "pipelines", LIMIT, why=FULL)
    assert told.startswith("pipelines/views/ holds 12 entries; at most 11 are allowed. More")
    assert not crowded(tmp_path, "pipelines", LIMIT, {"pipelines/views"})

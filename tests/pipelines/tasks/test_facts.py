from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.errors import InputError
from fusion.pairs import write_png
from pipelines.datasets.opening import open_dataset
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.files import FileDigests, file_digest
from pipelines.tasks import facts
from pipelines.tasks.facts import Facts


@pytest.fixture
def digests(tmp_path: Path) -> FileDigests:
    return FileDigests(tmp_path / "digests.sqlite")


def test_a_file_is_known_by_its_bytes_and_read_once(
    tmp_path: Path, digests: FileDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    wanted = file_digest(path)
    assert Facts(digests).file(path, "a.checkpoint") == wanted
    monkeypatch.setattr("pipelines.store.files.file_digest", None)  # reading again would fail
    assert Facts(digests).file(path, "a.checkpoint") == wanted


def test_the_next_plan_sees_a_changed_file(tmp_path: Path, digests: FileDigests) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"before")
    known = Facts(digests)
    before = known.file(path, "a.checkpoint")
    path.write_bytes(b"after!!")
    assert known.file(path, "a.checkpoint") == before
    assert Facts(digests).file(path, "a.checkpoint") == file_digest(path) != before


def test_a_missing_file_is_told_with_the_key_that_names_it(
    tmp_path: Path, digests: FileDigests
) -> None:
    known = Facts(digests)
    for key in ("a.checkpoint", "b.checkpoint"):
        with pytest.raises(InputError, match=rf'x\.pt of "{key}" does not exist'):
            known.file(tmp_path / "x.pt", key)


def test_an_unknown_method_is_told_each_time(digests: FileDigests) -> None:
    known = Facts(digests)
    for _ in range(2):
        with pytest.raises(InputError, match='Did you mean "average"'):
            known.code("avrage")


def test_a_folder_is_known_by_its_images(tmp_path: Path, digests: FileDigests) -> None:
    (tmp_path / "ready").mkdir()
    write_png(tmp_path / "ready" / "a.png", np.zeros((4, 4), np.uint8))
    found = Facts(digests).folder(tmp_path / "ready")
    assert found == {"a": file_digest(tmp_path / "ready" / "a.png")}


def test_training_and_validation_pairs_have_digests_of_their_own(
    scenes_root: Path, digests: FileDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = {"file": str(scenes_root / "m3fd" / "split.yaml")}
    data = {"name": "boxes", "layout": "m3fd", "root": scenes_root / "m3fd", "split": split}
    dataset = open_dataset(DatasetSpec.model_validate(data))
    known = Facts(digests)
    found = known.splits(dataset, "key")
    assert found["train"] == dataset.pairs_digest(digests, dataset.splits["train"])
    assert found["val"] == dataset.pairs_digest(digests, ())  # the scenes have none
    monkeypatch.setattr(facts.Dataset, "pairs_digest", None)  # computing again would fail
    assert known.splits(dataset, "key") == found

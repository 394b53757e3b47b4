"""What we change in ultralytics' training loop, of which nothing is imported here."""

from __future__ import annotations

import math
from typing import Any

from detection.settings import DetectorSettings
from detection.yolo.channels import show_fourth
from detection.yolo.loading import EpochSampler, draw_by_place, keep_decoded
from fusion.errors import InputError
from fusion.torch_tools import accelerated, take_room


class OurTrainer:
    """What we put before ultralytics' trainer.

    On an accelerator the lots of augmentation belong to the images, so that nothing depends on
    how many processes read them. On a CPU this process draws them all, one after another.
    """

    settings: DetectorSettings
    where: str
    threads: int
    sampler: EpochSampler | None = None
    _accumulated = 1
    _built = False

    def set_up(self: Any, settings: DetectorSettings, where: str, threads: int) -> None:
        """Say how and where to train, before the training begins."""
        self.settings, self.where, self.threads = settings, where, threads
        # ultralytics has none on a CPU, and forgets what it was asked for on the way there.
        self.args.workers = min(settings.loader_processes, threads) if accelerated(where) else 0
        self.add_callback("on_train_start", lambda trainer: trainer.draw_from(trainer.start_epoch))

    @property
    def accumulate(self) -> int:
        """How many batches make a step: whole ones of `settings.batch`, also while warming up."""
        return self._accumulated

    @accumulate.setter
    def accumulate(self, batches: int) -> None:
        whole = self.settings.batch // (self.settings.micro_batch or self.settings.batch)
        self._accumulated = max(whole, round(batches / whole) * whole)

    def build_dataset(
        self: Any, img_path: str, mode: str = "train", batch: int | None = None
    ) -> Any:
        """Return the images of a split, decoded once where memory allows."""
        made = super().build_dataset(img_path, mode, batch)  # type: ignore[misc]
        if made.channels > 3:
            show_fourth(made)
        used = mode == "train" or self.settings.select == "best"
        if used and self.settings.cache != "none":
            keep_decoded(made, self.settings.cache, self.threads)
        if mode == "train" and accelerated(self.where):
            draw_by_place(made, self.args.seed)
        return made

    def get_dataloader(
        self: Any, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Any:
        """Return the batches of a split; those of training in an order of our own."""
        loader = super().get_dataloader(dataset_path, batch_size, rank, mode)  # type: ignore[misc]
        if mode == "train" and accelerated(self.where):
            self.sampler = EpochSampler(len(loader.dataset), self.args.seed)
            loader.batch_sampler.sampler.sampler = self.sampler
        return loader

    def draw_from(self, epoch: int) -> None:
        """Let the loaders that start next begin with an epoch, counted from 0."""
        if self.sampler is not None:
            self.sampler.epoch = epoch

    def _close_dataloader_mosaic(self: Any) -> None:
        super()._close_dataloader_mosaic()  # type: ignore[misc]
        self.draw_from(self.epoch)  # the loaders are started anew, and had been ahead

    def _build_train_pipeline(self: Any) -> None:
        if self._built:  # ultralytics would go on with half the batch
            raise too_small(self.settings, self.where)
        self._built = True
        super()._build_train_pipeline()  # type: ignore[misc]

    def preprocess_batch(self: Any, batch: dict[str, Any]) -> Any:
        """Move a batch to the device."""
        take_room(len(batch["img"]), self.where)
        return super().preprocess_batch(batch)  # type: ignore[misc]

    def validate(self: Any) -> tuple[dict[str, float], float | None]:
        """Return an epoch's metrics and fitness; nan and None where nothing is validated."""
        done = self.epoch + 1
        if self.settings.select == "last":
            return {}, None
        if done % self.settings.validate_every and done < self.settings.epochs:
            return dict.fromkeys(self.metrics, math.nan), None
        found: tuple[dict[str, float], float | None] = super().validate()  # type: ignore[misc]
        return found


def too_small(settings: DetectorSettings, where: str) -> InputError:
    """Return the error of a device whose memory does not hold a step."""
    at_once = settings.micro_batch or settings.batch
    fewer = max((n for n in range(1, at_once) if settings.batch % n == 0), default=None)
    remedy = (
        f"set micro_batch: {fewer}, whose gradients add up to those of batch: {settings.batch}"
        if fewer
        else f"lower image_size: {settings.image_size} or take a smaller model"
    )
    return InputError(
        f"The memory of {where} is too small for {at_once} images of image_size: "
        f"{settings.image_size} at once; {remedy}."
    )

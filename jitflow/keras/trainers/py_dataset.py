"""`PyDataset`: batches by number, made in threads ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from jitflow.errors import ArgumentError
from jitflow.keras.saving.registration import keras_export
from jitflow.keras.trainers.data import Batch, DataSource, make_batch


@keras_export("keras.utils.PyDataset")
class PyDataset:
    """Base of data sets that give batches by number.

    A subclass defines ``__len__`` (the number of batches) and ``__getitem__(i)``, which
    returns ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.

    Args:
        workers: number of threads that make batches ahead; 1 makes them when needed.
        use_multiprocessing: not available; threads are used, and NumPy and Pillow let
            them run at once.
        max_queue_size: how many batches are made ahead at most.

    Raises:
        ArgumentError: for `use_multiprocessing` or values that are not positive.
    """

    def __init__(
        self,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ) -> None:
        if use_multiprocessing:
            raise ArgumentError(
                "use_multiprocessing: batches are made by threads only",
                fix="leave it out, and set workers",
            )
        if workers < 0 or max_queue_size < 1:
            raise ArgumentError("workers and max_queue_size: must be positive")
        self.workers = workers
        self.max_queue_size = max_queue_size

    @property
    def num_batches(self) -> int:
        """Number of batches of an epoch."""
        return len(self)

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


class PyDatasetSource(DataSource):
    """Batches of a `PyDataset`.

    Args:
        dataset: gives the batches.
        shuffle: whether their order is new each epoch.
        class_weight: see `ArraySource`.
    """

    def __init__(
        self,
        dataset: PyDataset,
        shuffle: bool | str = False,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        self.dataset = dataset
        self.shuffle = shuffle
        self.class_weight = class_weight
        self.num_batches: int = len(dataset)

    def epoch(self) -> Iterator[Batch]:
        """The batches of one epoch."""
        hook = getattr(self.dataset, "on_epoch_begin", None)
        if hook is not None:
            hook()
        count = len(self.dataset)
        order = np.random.permutation(count) if self.shuffle else np.arange(count)
        if getattr(self.dataset, "workers", 1) > 1:
            yield from self._ahead(order.tolist())
        else:
            for i in order.tolist():
                yield self._batch(i)

    def _batch(self, index: int) -> Batch:
        return make_batch(self.dataset[index], self.class_weight)

    def _ahead(self, order: list[int]) -> Iterator[Batch]:
        """Batches in order, made by threads while earlier ones are used."""
        with ThreadPoolExecutor(self.dataset.workers) as pool:
            waiting: deque[Future[Batch]] = deque()
            try:
                for index in order:
                    waiting.append(pool.submit(self._batch, index))
                    if len(waiting) > self.dataset.max_queue_size:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def on_epoch_end(self) -> None:
        """Tell the data set that the epoch is over."""
        hook = getattr(self.dataset, "on_epoch_end", None)
        if hook is not None:
            hook()

"""Dynamic batching: requests that wait at the same time are computed as one.

A batch is computed when a thread is free and either enough rows wait or the first of them has waited
for `batch_timeout_micros`. With the default of 0 nobody waits for company; batches form while the
threads are busy. A request that the graph refuses fails alone, not with those it was put together with.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from skewless.model.serve.batching_parameters import BatchingParameters
from skewless.model.serve.large_requests import Compute, LargeRequests, joined
from skewless.model.serve.models.servable import Arrays, Cancellation, Servable
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.model.serve.status import ServingError

__all__ = ["Batcher"]

Outcome = Arrays | BaseException


@dataclass(eq=False)
class _Task:
    """Rows of one request, waiting."""

    inputs: Arrays
    rows: int
    answer: asyncio.Future[Arrays]
    since: float
    batch: _Batch | None = None


@dataclass(eq=False)
class _Batch:
    """Tasks that are being computed."""

    tasks: list[_Task]
    cancellation: Cancellation


@dataclass
class _Queue:
    """Tasks that can be computed together: of one signature, equal but for the number of rows."""

    compute: Compute
    tasks: deque[_Task] = field(default_factory=deque)

    @property
    def rows(self) -> int:
        return sum(task.rows for task in self.tasks)


class Batcher:
    """Computes requests in batches, on threads of its own; to be used from one event loop."""

    def __init__(self, parameters: BatchingParameters, metrics: Metrics) -> None:
        """Starts no thread before the first request."""
        self._parameters = parameters
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(parameters.num_batch_threads, "batch")
        self._free = parameters.num_batch_threads
        self._large = LargeRequests(parameters.max_batch_size, parameters.max_enqueued_batches)
        self._queues: dict[Hashable, _Queue] = {}
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    async def run(
        self, servable: Servable, signature: str, inputs: Arrays, rows: int, api: str = "Predict"
    ) -> Arrays:
        """Returns the outputs of a signature for the rows of one request.

        Args:
          servable: The version that answers.
          signature: One of its signatures.
          inputs: [rows, ...] of each input given; [0, ...] where a column is absent.
          rows: How many.
          api: What figures call it.

        Raises:
          ServingError: If the graph refuses them, or too many requests wait.
        """

        def compute(batch: Arrays, cancellation: Cancellation) -> Arrays:
            return servable.call(signature, batch, cancellation)

        begun = time.perf_counter()
        if self._large.is_large(inputs, rows):
            outputs = await self._large.run(self._measured(compute), inputs, rows)
            self._told(servable, api, begun)
            return outputs
        layout = tuple(
            (name, value.shape[1:], len(value) == 0) for name, value in sorted(inputs.items())
        )
        key = (id(servable), signature, layout)
        outputs = await self._submit(key, compute, inputs, rows)
        self._told(servable, api, begun)
        return outputs

    def _told(self, servable: Servable, api: str, begun: float) -> None:
        seconds = time.perf_counter() - begun
        self._metrics.tensorflow_serving.computed(servable.name, api, seconds)

    def close(self) -> None:
        """Ends the threads once they have computed what they hold."""
        self._threads.shutdown()
        self._large.close()

    async def _submit(self, key: Hashable, compute: Compute, inputs: Arrays, rows: int) -> Arrays:
        parameters = self._parameters
        if self._waiting + rows > parameters.max_enqueued_batches * parameters.max_batch_size:
            raise ServingError(
                "UNAVAILABLE",
                f"The batch scheduling queue is full: {self._waiting} rows wait; max_enqueued_batches "
                f"is {parameters.max_enqueued_batches}, max_batch_size {parameters.max_batch_size}",
            )
        loop = asyncio.get_running_loop()
        task = _Task(inputs, rows, loop.create_future(), time.monotonic())
        self._queues.setdefault(key, _Queue(compute)).tasks.append(task)
        self._waits(rows)
        self._dispatch()
        try:
            return await task.answer
        except asyncio.CancelledError:
            self._abandon(task)
            raise

    def _abandon(self, task: _Task) -> None:
        """Ends a batch that nobody waits for any more; a queue lets go of its own in its turn."""
        if task.batch is not None and all(other.answer.done() for other in task.batch.tasks):
            task.batch.cancellation.cancel()

    def _measured(self, compute: Compute) -> Compute:
        """Returns the same for parts of large requests, padded and counted like a batch."""

        def measured(part: Arrays, cancellation: Cancellation) -> Arrays:
            rows = max(map(len, part.values()))
            with self._counted(rows):
                outputs = compute(self._padded(part, rows), cancellation)
            return _part(outputs, 0, rows)

        return measured

    @contextlib.contextmanager
    def _counted(self, rows: int) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._metrics.batch_rows.observe(rows)
            self._metrics.batch_seconds.observe(time.perf_counter() - begun)

    def _waits(self, rows: int) -> None:
        self._waiting += rows
        self._metrics.queued_rows.set(self._waiting)

    def _dispatch(self) -> None:
        while self._free and (key := self._due()) is not None:
            queue = self._queues[key]
            tasks = self._take(queue)
            batch = _Batch(tasks, Cancellation())
            for task in tasks:
                task.batch = batch
            if not queue.tasks:
                del self._queues[key]
            self._free -= 1
            self._tell(tasks)
            job = asyncio.get_running_loop().run_in_executor(
                self._threads, self._compute, queue.compute, tasks, batch.cancellation
            )
            job.add_done_callback(lambda done, tasks=tasks: self._finish(tasks, done.result()))  # type: ignore[misc]

    def _tell(self, tasks: Sequence[_Task]) -> None:
        now = time.monotonic()
        rows = [task.rows for task in tasks]
        waited = [now - task.since for task in tasks]
        self._metrics.tensorflow_serving.batched(rows, self._size(sum(rows)), waited)

    def _size(self, rows: int) -> int:
        """Returns the allowed size of a batch of so many rows."""
        return next((size for size in self._parameters.allowed_batch_sizes if size >= rows), rows)

    def _due(self) -> Hashable | None:
        """Returns the queue to compute from next, or sets a timer for when there will be one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for key, queue in list(self._queues.items()):
            while queue.tasks and queue.tasks[0].answer.done():
                self._waits(-queue.tasks.popleft().rows)
            if not queue.tasks:
                del self._queues[key]
        timeout = self._parameters.batch_timeout_micros / 1e6
        now = time.monotonic()
        oldest = sorted(self._queues.items(), key=lambda item: item[1].tasks[0].since)
        for key, queue in oldest:
            waited = now - queue.tasks[0].since
            if waited >= timeout or queue.rows >= self._parameters.max_batch_size:
                return key
        if oldest:
            left = oldest[0][1].tasks[0].since + timeout - now
            self._timer = asyncio.get_running_loop().call_later(left, self._dispatch)
        return None

    def _take(self, queue: _Queue) -> list[_Task]:
        tasks: list[_Task] = []
        rows = 0
        while queue.tasks and rows + queue.tasks[0].rows <= self._parameters.max_batch_size:
            task = queue.tasks.popleft()
            self._waits(-task.rows)
            if not task.answer.done():
                tasks.append(task)
                rows += task.rows
        return tasks

    def _compute(
        self, compute: Compute, tasks: Sequence[_Task], cancellation: Cancellation
    ) -> list[Outcome]:
        """Runs on a thread; returns what came of each task."""
        rows = sum(task.rows for task in tasks)
        try:
            with self._counted(rows):
                whole = tasks[0].inputs if len(tasks) == 1 else joined([t.inputs for t in tasks])
                outputs = compute(self._padded(whole, rows), cancellation)
        except Exception as error:
            if len(tasks) == 1:
                return [error]
            return [self._compute(compute, [task], cancellation)[0] for task in tasks]
        if len(tasks) == 1:
            return [_part(outputs, 0, rows)]
        found: list[Outcome] = []
        begin = 0
        for task in tasks:
            found.append(_part(outputs, begin, begin + task.rows))
            begin += task.rows
        return found

    def _padded(self, inputs: Arrays, rows: int) -> Arrays:
        """Returns the inputs with their last row repeated up to an allowed size."""
        size = self._size(rows)
        if size == rows:
            return inputs
        return {
            name: np.concatenate([value, np.repeat(value[-1:], size - rows, axis=0)])
            for name, value in inputs.items()
        }

    def _finish(self, tasks: Sequence[_Task], outcomes: Sequence[Outcome]) -> None:
        self._free += 1
        for task, outcome in zip(tasks, outcomes, strict=True):
            if task.answer.done():
                continue
            if isinstance(outcome, BaseException):
                task.answer.set_exception(outcome)
            else:
                task.answer.set_result(outcome)
        self._dispatch()


def _part(arrays: Arrays, begin: int, end: int) -> Arrays:
    return {name: value[begin:end] for name, value in arrays.items()}

"""Jobs in, trained states out: all that is pending is trained when a result is asked for.

A job's result depends only on its inputs. So nothing is computed when a job is submitted; the
first call of `result` runs everything that is pending, in chunks of many devices that share each
product with the frozen weights.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from .adapters import METHODS, AdaptedModel, Adapter
from .config import Emulate, Learning
from .evaluate import Evaluator
from .jobs import Job, State
from .loss import answer_loss
from .model import IGNORED, Encoded, encode
from .optimizer import StackedAdam
from .partition import one_task_each
from .payload import Payload
from .seeds import generator, key
from .update import Update, decode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .tasks import Task


class Trainer:
    """Trains the adapters of all devices on one frozen model.

    Parameters
    ----------
    learning : what is learned
    tasks : the tasks, in order
    model, tokenizer : the shared model; it is wrapped in place
    devices : number of devices
    seed : of data order, initial adapters and masks
    """

    def __init__(
        self,
        learning: Learning,
        tasks: Sequence[Task],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        devices: int,
        seed: int,
    ) -> None:
        torch.set_num_threads(learning.threads)
        self._learning = learning
        self._seed = seed
        self._pending: list[Job] = []
        self.tasks = tasks
        self.method = METHODS[type(learning.method)](learning.method)
        self.model = AdaptedModel(model)
        narrowest = min(self.model.layers, key=lambda layer: min(layer.inputs, layer.outputs))
        if learning.method.rank > min(narrowest.inputs, narrowest.outputs):
            raise ValueError(
                f"rank must be at most the width of the narrowest adapted layer, {narrowest.name} "
                f"of {narrowest.inputs} to {narrowest.outputs}, got {learning.method.rank}"
            )
        emulate = learning.payload if isinstance(learning.payload, Emulate) else None
        self.payload = Payload(emulate, self.method, self.model)
        self.evaluator = Evaluator(self.model, tasks, tokenizer, learning.max_length)
        shares = one_task_each(tasks, devices)
        self.task_of = [task for task, _ in shares]
        self._data = [encode(own, tokenizer, learning.max_length) for _, own in shares]
        self.examples = [len(data.ids) for data in self._data]

    def flops(self, device: int, first: bool) -> float:
        """Return the operations of a device's round, with its preparation if it is the first."""
        learning = self._learning
        batch, length = self.payload.tokens(learning.batch_size, self._data[device].ids.shape[1])
        total = self.payload.training_flops(learning.local_steps * batch * length)
        if first:
            prompts, batches = self.method.calibration
            prompts = min(prompts, self.examples[device])
            total += self.payload.forward_flops(prompts * length)
            total += self.payload.training_flops(batches * batch * length)
        return total

    def submit(self, device: int, round_: int, start: State | None) -> Job:
        """Return a job for a device's round; nothing is computed yet."""
        job = Job(self, device, round_, start)
        self._pending.append(job)
        return job

    def decode(self, data: bytes, mask: tuple[torch.Tensor, ...] | None) -> Update:
        """Return the update that bytes from the air stand for."""
        return decode(data, self.model.layers, self._learning.method.rank, mask)

    def accuracies(self, device: int, adapter: Adapter | None) -> list[float]:
        """Return a device's accuracy on each task; None stands for the untrained model."""
        if adapter is None:
            adapter = self.method.initial(self.model.layers, device, self._seed)
        return self.evaluator.accuracies(adapter)

    def run_pending(self) -> None:
        """Train everything that is pending."""
        jobs = sorted(self._pending, key=self._chunk_order)
        self._pending = []
        for chunk in self._chunks(jobs):
            try:
                starts = [
                    State(self._prepare(job.device)) if job.start is None else job.start
                    for job in chunk
                ]
                results: Sequence[State | Exception] = self._train(chunk, starts)
            # torch says in this way that memory is short or numbers are not finite.
            except (ValueError, RuntimeError) as error:
                results = [error] * len(chunk)
            for job, result in zip(chunk, results, strict=True):
                job.settle(result)

    def _chunk_order(self, job: Job) -> tuple[int, int, int]:
        return self._data[job.device].ids.shape[1], job.device, job.round

    def _chunks(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """Cut jobs, in order of length, into chunks of at most `chunk_tokens`."""
        chunks: list[list[Job]] = []
        for job in jobs:
            tokens = self._learning.batch_size * self._data[job.device].ids.shape[1]
            if not chunks or (len(chunks[-1]) + 1) * tokens > self._learning.chunk_tokens:
                chunks.append([])
            chunks[-1].append(job)
        return chunks

    def _batches(self, device: int, purpose: str, round_: int, count: int) -> list[Encoded]:
        """Return batches of a device's examples, each pass over them in a new order."""
        data = self._data[device]
        rng = generator(self._seed, purpose, device, round_)
        wanted = count * self._learning.batch_size
        order: list[int] = []
        while len(order) < wanted:
            order += rng.permutation(len(data.ids)).tolist()
        rows = torch.tensor(order[:wanted]).reshape(count, self._learning.batch_size)
        return [Encoded(data.ids[row], data.mask[row], data.labels[row]) for row in rows]

    def _prepare(self, device: int) -> Adapter:
        adapter = self.method.initial(self.model.layers, device, self._seed)
        if not any(self.method.calibration):
            return adapter
        batches = self._batches(device, "calibration", 0, self.method.calibration[1])
        seed = key(self._seed, "calibration", device)
        return self.method.calibrate(self.model, adapter, self._data[device], batches, seed)

    def _train(self, jobs: Sequence[Job], starts: Sequence[State]) -> list[State]:
        """Train one chunk: every tensor stacks the devices along its first dimension."""
        learning = self._learning
        adapters = [start.adapter for start in starts]
        first = adapters[0]
        # [devices, rank, inputs] and [devices, rank, outputs]
        a = [torch.stack(one) for one in zip(*(each.a for each in adapters), strict=True)]
        b = [_stack_transposed(one) for one in zip(*(each.b for each in adapters), strict=True)]
        masks = None
        if first.mask is not None:
            each_mask = [each.mask for each in adapters if each.mask is not None]
            masks = [_stack_transposed(one).float() for one in zip(*each_mask, strict=True)]
        trained = [*a, *b] if first.train_a else b
        for tensor in trained:
            tensor.requires_grad_()
        moments = [start.moments for start in starts]
        optimizer = StackedAdam(trained, moments, self.method.learning_rate)
        steps = [
            self._batches(job.device, "batches", job.round, learning.local_steps) for job in jobs
        ]
        total = torch.zeros(len(jobs))
        with self.model.stacked(a, b, first.scale):
            for batches in zip(*steps, strict=True):
                ids, labels = _together(batches)
                losses = answer_loss(self.model, ids, labels, len(jobs))
                for tensor in trained:
                    tensor.grad = None
                losses.sum().backward()
                if masks is not None:
                    for tensor, mask in zip(b, masks, strict=True):
                        tensor.grad = None if tensor.grad is None else tensor.grad * mask
                _clip(trained, learning.clip_norm)
                optimizer.step()
                total += losses.detach()
        states = []
        for row, start in enumerate(adapters):
            adapter = dataclasses.replace(
                start,
                a=tuple(t[row].detach().clone() for t in a) if start.train_a else start.a,
                b=tuple(t[row].detach().T.contiguous() for t in b),
            )
            loss = float(total[row]) / learning.local_steps
            if not math.isfinite(loss):
                raise ValueError(
                    f"device {jobs[row].device} diverged in round {jobs[row].round}, its loss is "
                    f"{loss}; the learning rate is {self.method.learning_rate:g}"
                )
            states.append(State(adapter, optimizer.moments(row), loss))
        return states


def _stack_transposed(matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return matrices (rows, columns) of several devices as (devices, columns, rows)."""
    return torch.stack([matrix.T for matrix in matrices])


def _together(batches: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the device-major tokens and labels of one batch per device, padded alike."""
    width = max(batch.ids.shape[1] for batch in batches)
    missing = [(0, width - batch.ids.shape[1]) for batch in batches]
    pad = torch.nn.functional.pad
    ids = [pad(batch.ids, gap) for batch, gap in zip(batches, missing, strict=True)]
    labels = [
        pad(batch.labels, gap, value=IGNORED) for batch, gap in zip(batches, missing, strict=True)
    ]
    return torch.cat(ids), torch.cat(labels)


def _clip(tensors: Sequence[torch.Tensor], bound: float) -> None:
    """Bound the norm of each device's gradient over all layers."""
    gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
    squares = torch.stack([gradient.square().sum((1, 2)) for gradient in gradients])
    factor = (bound / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient *= factor[:, None, None]

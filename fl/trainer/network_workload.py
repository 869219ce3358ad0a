"""Workload of a network on arrays; see `Workload`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import torch
from safetensors.torch import save

from ..config.networks import is_full
from ..data.device_examples import array_examples
from ..digests import digest_of_model, digest_of_tensors, plugin_code_digest
from ..engine.jobs import digest
from ..evaluation.networks import NetworkTests
from ..models.nets import Network

if TYPE_CHECKING:
    from ..adapters import Adapter
    from ..config import Learning
    from ..engine.batching import JobSize
    from ..models.nets.labelled import Labelled
    from ..tasks.arrays import ArrayTask

_SUSTAINED_SHARE = 0.1
"""By tests/benchmarks/networks.py; within a factor of about two for the bundled networks."""
_FLOAT_BYTES = 4
# Of activations: outputs, and gradients or temporaries. Of entries: parameters, gradients, moments.
_PER_ACTIVATION, _PER_ENTRY = 2, 4


class NetworkWorkload:
    """Networks of devices with common initial weights.

    Parameters
    ----------
    learning : configuration of the learning
    task : the arrays
    module : network with its initial weights
    devices : number of devices
    seed : seed of the partition and order of the examples
    flips_labels : returns whether a device trains on flipped labels
    pooled : see `array_examples`

    Attributes
    ----------
    model, examples, evaluator, digest, tests_digest : see `Workload`
    """

    precision = "float32"
    sustained_share = _SUSTAINED_SHARE

    def __init__(
        self,
        learning: Learning,
        task: ArrayTask,
        module: torch.nn.Module,
        devices: int,
        seed: int,
        flips_labels: Callable[[int], bool],
        *,
        pooled: bool,
    ) -> None:
        self.model = Network(
            module,
            task.input_shape,
            full=is_full(learning.method),
            target_modules=learning.target_modules,
        )
        self.digest = digest(digest_of_model(module), plugin_code_digest(learning.model))
        self.examples = array_examples(learning, task, devices, seed, flips_labels, pooled=pooled)
        self.evaluator = NetworkTests(self.model, [task])
        tests = (torch.from_numpy(each) for each in (task.test.inputs, task.test.labels))
        self.tests_digest = digest(digest_of_tensors(tests))
        self._task, self._batch_size = task, learning.batch_size

    def peak_bytes(self, size: JobSize, jobs: int, rank: int) -> int:
        """Return the estimated memory of local steps beyond the model [byte]."""
        activations = jobs * size.rows * self.model.activations[1] * _PER_ACTIVATION
        entries = sum(
            min(rank * (layer.inputs + layer.outputs), layer.inputs * layer.outputs)
            for layer in self.model.layers
        )
        weights = jobs * self.model.parameter_count
        return _FLOAT_BYTES * (activations + jobs * entries * _PER_ENTRY + weights)

    def centroid(self, rows: Labelled) -> NoReturn:
        """Raise RuntimeError: arrays are no prompts, and the configuration refuses what asks."""
        raise RuntimeError("networks have no prompt centroids")

    def query_bytes(self, device: int, prompts: int) -> NoReturn:
        """Raise RuntimeError: arrays are no prompts, and the configuration refuses queries."""
        raise RuntimeError("networks answer no queries")

    def class_sizes(self, device: int) -> Sequence[tuple[int, int]]:
        """Return the numbers of training examples of a device, and of test examples, by class."""
        labels = (self.examples.rows[device].labels, torch.from_numpy(self._task.test.labels))
        counts = [torch.bincount(each, minlength=self._task.classes).tolist() for each in labels]
        return list(zip(*counts, strict=True))

    def exported(self, adapter: Adapter, base_model: str) -> dict[str, bytes]:
        """Return the file of a device's weights, which `load_state_dict` of its module takes."""
        weights = {name: each.contiguous() for name, each in self.model.weights_of(adapter).items()}
        return {"weights.safetensors": save(weights, metadata={"format": "pt"})}

    def step_flops(self, device: int) -> float:
        """Return the operations of a local step on this machine."""
        return float(self._batch_size * self.model.flops_per_item[1])

    def test_flops(self) -> float:
        """Return the operations of a test on this machine [FLOP]."""
        return float(self.evaluator.count * self.model.flops_per_item[0])

"""Methods: what a device trains, which update it sends, and how it adopts an aggregate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..adapters import AdaptedModel, Adapter, Layer
from ..aggregation.robust import Aggregator
from ..config import (
    AdfLora,
    Centralised,
    ChocoLora,
    Decaf,
    EcoLora,
    FedExLora,
    FedLoDrop,
    FedRotLora,
    FedSaLora,
    FedSb,
    FedSvd,
    FfaLora,
    Flasc,
    FlexLora,
    Flora,
    FsLora,
    FullFt,
    HetLora,
    Jcpba,
    Local,
    Lora,
    LoriD,
    LoriS,
    RoLora,
    Scaffold,
    Soft,
    SoLora,
    TadLora,
)
from ..updates.codec import Update
from .alternating import AlternatingMethod
from .fedsa_lora import FedSaLoraMethod
from .frozen_a.adaptive import AdaptiveMethod
from .frozen_a.fed_sb import FedSbMethod
from .frozen_a.frozen import FrozenMethod
from .lora import CentralisedMethod, LocalMethod, LoraMethod
from .products.decaf import DecafMethod
from .products.fedex_lora import FedExLoraMethod
from .products.fedrot_lora import FedRotLoraMethod
from .products.fedsvd import FedSvdMethod
from .products.flexlora import FlexLoraMethod
from .products.flora import FloraMethod
from .products.hetlora import HetLoraMethod
from .rolora import RoLoraMethod
from .scaffold import ScaffoldMethod
from .sparse.choco_lora import ChocoLoraMethod
from .sparse.ecolora import EcoLoraMethod
from .sparse.fed_lo_drop import FedLoDropMethod
from .sparse.flasc import FlascMethod
from .sparse.fslora import FsLoraMethod
from .sparse.jcpba import JcpbaMethod
from .sparse.soft import SoftMethod


class Method(Protocol):
    """Interface of a method; one instance serves all devices.

    `extensions` lists further members, which a method may define.
    """

    exchanges: bool
    """Whether devices send updates."""

    learning_rate: float
    """Learning rate of the local steps."""

    calibration: tuple[int, int]
    """Number of prompts that the calibration runs forward, and of batches forward and backward."""

    shares_a: bool
    """Whether all devices have the same initial adapter."""

    def ranks(self, layers: Sequence[Layer]) -> list[int]:
        """Return the rank of the adapter of each layer."""

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return a device's initial adapter, which leaves the model unchanged."""

    def calibrate(
        self, model: AdaptedModel, adapter: Adapter, examples: Any, batches: Any, seed: int
    ) -> Adapter:
        """Return the adapter calibrated on a device's own data before its first round."""

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the update that a device sends, at first contact or later.

        It is called once per device and round with `first_contact`, whether or not the device has
        neighbors; and once without it, if these updates differ in size and a receiver has had one
        before.
        """

    def average(
        self,
        updates: Sequence[Update],
        weights: Sequence[float],
        aggregator: Aggregator | None = None,
    ) -> Update:
        """Return the aggregate of updates with positive weights.

        An aggregator replaces the weighted mean.
        """

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return a device's adapter with the factors of an aggregate."""

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return an update of zeros for any shapes, as large as every update of these shapes.

        The built-in methods are charged by it. User-defined ones are charged as their updates are
        serialised, and by it under `payload: {emulate: ...}` only, which refuses methods that
        redefine `update` alone, or have `variable_size = True`.
        """


METHODS: dict[type, Callable[[Any], Method]] = {
    Local: LocalMethod,
    Lora: LoraMethod,
    FfaLora: FrozenMethod,
    LoriD: FrozenMethod,
    LoriS: FrozenMethod,
    FullFt: FrozenMethod,
    SoLora: lambda config: AdaptiveMethod(config) if config.adaptive else FrozenMethod(config),
    RoLora: RoLoraMethod,
    FedSaLora: FedSaLoraMethod,
    Decaf: DecafMethod,
    FedExLora: FedExLoraMethod,
    FedRotLora: FedRotLoraMethod,
    FedSb: FedSbMethod,
    Scaffold: ScaffoldMethod,
    FlexLora: FlexLoraMethod,
    HetLora: HetLoraMethod,
    AdfLora: AlternatingMethod,
    TadLora: AlternatingMethod,
    Centralised: CentralisedMethod,
    Flora: FloraMethod,
    FedSvd: FedSvdMethod,
    ChocoLora: ChocoLoraMethod,
    FedLoDrop: FedLoDropMethod,
    Jcpba: JcpbaMethod,
    FsLora: FsLoraMethod,
    Soft: SoftMethod,
    Flasc: FlascMethod,
    EcoLora: EcoLoraMethod,
}


def method_of(config: Any) -> Method:
    """Return the method of a configuration, built-in or user-defined."""
    known = METHODS.get(type(config))
    method: Method = config.method() if known is None else known(config)
    return method


__all__ = ["METHODS", "Method", "method_of"]

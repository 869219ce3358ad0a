"""Checks of what a method can do: optimizers, protocols, rules and additions that it excludes."""

from __future__ import annotations

from typing import Any

from .computing import AdamW, Sgd
from .methods import (
    AdfLora,
    Centralised,
    Decaf,
    FedExLora,
    FedRotLora,
    FedSaLora,
    FedSb,
    FfaLora,
    FlexLora,
    FullFt,
    HetLora,
    Local,
    Lora,
    LoriD,
    LoriS,
    RoLora,
    Scaffold,
    SoLora,
    TadLora,
)
from .product_methods import FedSvd, Flora
from .protocols import Asynchronous, Hierarchical, Server, Split, Synchronous
from .robust import Clair, Median, NormClip, TrimmedMean
from .selection import ImportanceChannel
from .sparse_methods import ChocoLora, EcoLora, FedLoDrop, Flasc, FsLora, Jcpba, Soft

_WITH_SERVER = (Flora, FedSvd, FedLoDrop, FsLora, Flasc, Jcpba, EcoLora)
"""Methods of a server and its clients."""
_OWN_RULE = (
    *(Decaf, FedExLora, FedRotLora, RoLora, Scaffold, FlexLora, HetLora, ChocoLora, Soft),
    *_WITH_SERVER,
)
"""Methods whose aggregation is no mean of factors, which a robust rule could replace."""
_NOT_WHOLE = (FedSaLora, FedExLora, FedSb, FlexLora, HetLora, ChocoLora, Soft, Centralised)
"""Methods whose adapters are not sent whole, as other clusters and mixtures need them."""
_ONE_FACTOR = (RoLora, AdfLora, TadLora)
"""Methods in whose rounds all devices train the same factor."""
_COMPRESSED = (ChocoLora, Soft, Flasc, EcoLora, Jcpba, FedLoDrop, FsLora)
"""Methods that select what they send."""
_AMONG_PEERS = (ChocoLora,)
"""Methods of devices without a server."""
_MEANS = (Local, Lora, FfaLora, LoriD, LoriS, FullFt, SoLora, FedSaLora, FedSb)
"""Built-in methods whose average is an update that can be averaged again."""
_ADDED = (FfaLora, SoLora, LoriD, FullFt, Lora, FedSaLora, FedSb)
"""Methods whose aggregate is the weighted mean of the values that all devices send."""
_IN_PARTS = (Lora, FfaLora, FullFt)
"""Methods whose average is that of each part of the model."""


def check_method(
    method: Any,
    optimizer: AdamW | Sgd,
    protocol: Synchronous | Asynchronous | Server | Hierarchical,
    robust: Median | TrimmedMean | NormClip | Clair | None,
) -> None:
    """Check that a method can do what is asked of it.

    Raises
    ------
    ValueError
        if it cannot
    """
    name = method.model
    if isinstance(method, Scaffold) and (
        not isinstance(optimizer, Sgd) or optimizer.momentum or optimizer.weight_decay
    ):
        raise ValueError(
            "method scaffold needs optimizer sgd without momentum and weight_decay, "
            f"got optimizer {optimizer.model}"
        )
    if isinstance(method, _ONE_FACTOR) and isinstance(protocol, Asynchronous):
        raise ValueError(
            f"method {name} needs rounds in which all devices train the same factor, "
            "got protocol asynchronous"
        )
    if isinstance(method, _AMONG_PEERS) and isinstance(protocol, Server):
        raise ValueError(f"method {name} is for devices without a server, got protocol server")
    if isinstance(method, _WITH_SERVER) and not isinstance(protocol, Server):
        raise ValueError(
            f"method {name} is for a server and its clients, got protocol {protocol.model}"
        )
    if isinstance(protocol, Split) and not isinstance(method, _IN_PARTS):
        raise ValueError(
            "protocol split averages both parts of a model by methods "
            f"{_names(_IN_PARTS)}, got method {name}"
        )
    if isinstance(protocol, Hierarchical):
        if not isinstance(method, _MEANS) and ":" not in name:
            raise ValueError(
                f"protocol hierarchical averages averages, and the average of method {name} is no "
                "update of its own"
            )
        if robust is not None:
            raise ValueError(
                "robust is for updates of devices, and protocol hierarchical averages averages, "
                f"got robust {robust.model}"
            )
    if isinstance(method, Centralised) and isinstance(protocol, Server):
        raise ValueError("method centralised has no clients, got protocol server")
    if isinstance(method, _OWN_RULE) and robust is not None:
        raise ValueError(
            f"robust replaces the mean of factors, and method {name} has another rule, "
            f"got robust {robust.model}"
        )
    if isinstance(method, SoLora) and method.adaptive:
        if robust is not None:
            raise ValueError(
                f"adaptive sends a part of each adapter, got robust {robust.model}, which compares "
                "whole ones"
            )
        if isinstance(protocol, Server | Hierarchical):
            raise ValueError(
                f"adaptive is for devices without a server, got protocol {protocol.model}"
            )
    if isinstance(robust, Clair):
        if not isinstance(method, Lora | AdfLora | TadLora):
            raise ValueError(
                f"robust clair is for methods that average both factors, got method {name}"
            )
        if isinstance(protocol, Server):
            raise ValueError("robust clair is for devices without a server, got protocol server")
    if isinstance(method, FedSaLora | FedSb) and isinstance(robust, NormClip):
        raise ValueError(f"robust norm-clip is for methods that send B, got method {name}")


def check_compressor(method: Any, compressor: Any) -> None:
    """Check that a method leaves its updates to a compressor.

    Raises
    ------
    ValueError
        if it selects what it sends itself
    """
    if isinstance(method, _COMPRESSED) or getattr(method, "adaptive", False):
        raise ValueError(
            f"compressor is for methods that send all that they train, and method {method.model} "
            f"selects what it sends, got compressor {compressor.model}"
        )


def check_sent_whole(method: Any) -> None:
    """Check that a method sends whole adapters.

    Raises
    ------
    ValueError
        if it does not
    """
    if isinstance(method, _NOT_WHOLE):
        raise ValueError(
            "cluster_exchange and inference are for methods whose adapters are sent whole, "
            f"got method {method.model}"
        )


def check_added(learning: Any) -> None:
    """Check that an aggregate is a weighted mean of values, which a channel can add.

    Parameters
    ----------
    learning : configuration of the learning

    Raises
    ------
    ValueError
        if it is not
    """
    method, protocol, prefix = learning.method, learning.protocol, "mac over-the-air"
    name = method.model
    if not isinstance(method, _ADDED):
        raise ValueError(
            f"{prefix} adds values entry by entry, and fl.method {name} has another aggregate than "
            f"their mean; {_names(_ADDED)} have none"
        )
    if not getattr(method, "shared_a", True):
        raise ValueError(
            f"{prefix} adds factors B of one A, and fl.method {name} has an A on each device "
            "without shared_a: true"
        )
    if isinstance(method, SoLora) and not method.has_common_mask:
        raise ValueError(
            f"{prefix} adds entries that all devices send, and fl.method so-lora has a mask on "
            "each device without mask: common or density: 1"
        )
    if isinstance(method, SoLora) and method.adaptive:
        raise ValueError(
            f"{prefix} adds entries that all devices send, and fl.method so-lora with adaptive "
            "sends others on each device"
        )
    if isinstance(protocol, Split):
        raise ValueError(
            f"{prefix} adds updates, and fl.protocol split sends activations of each client"
        )
    if learning.bits_per_parameter < 16:
        raise ValueError(
            f"{prefix} sends values and no bits, got fl.bits_per_parameter "
            f"{learning.bits_per_parameter}"
        )
    if learning.compressor is not None:
        raise ValueError(
            f"{prefix} sends values and no bits, got fl.compressor {learning.compressor.model}"
        )
    if learning.robust is not None:
        raise ValueError(
            f"{prefix} gives the receiver a sum, and fl.robust {learning.robust.model} compares "
            "single updates"
        )
    if learning.cluster_exchange is not None or learning.inference is not None:
        raise ValueError(
            f"{prefix} gives the receiver a sum, and fl.cluster_exchange and fl.inference need the "
            "updates of single devices"
        )
    if learning.broadcast:
        raise ValueError(
            f"{prefix} has one receiver at a time, so that fl.broadcast has nothing to send at once"
        )
    if isinstance(protocol, Server):
        _check_added_selection(protocol, prefix)


def _check_added_selection(protocol: Server, prefix: str) -> None:
    """Check that a server does without the updates of single clients."""
    if protocol.over_selection > 1.0:
        raise ValueError(
            f"{prefix} waits for all clients, which transmit at once, got fl.protocol."
            f"over_selection {protocol.over_selection:g}"
        )
    selection = protocol.selection
    if isinstance(selection, ImportanceChannel):
        raise ValueError(
            f"{prefix} gives the server a sum, and fl.protocol.selection {selection.model} needs "
            "the updates of single clients"
        )


def _names(methods: tuple[type, ...]) -> str:
    """Return the names of methods."""
    return ", ".join(str(each.model) for each in methods)  # type: ignore[attr-defined]


def check_split(learning: Any) -> None:
    """Check that nothing else is asked of protocol split than it does.

    Raises
    ------
    ValueError
        if it is
    """
    if not isinstance(learning.protocol, Split):
        return
    if learning.bits_per_parameter < 16:
        raise ValueError(
            "protocol split rounds the part of the server as those of the clients, to half "
            f"precision, got bits_per_parameter {learning.bits_per_parameter}"
        )
    if learning.compressor is not None:
        raise ValueError(
            "compressor is for updates of devices, and protocol split averages the part of the "
            f"server too, got compressor {learning.compressor.model}"
        )
    if learning.privacy is not None:
        raise ValueError(
            "privacy is for updates, and protocol split releases activations and labels too"
        )

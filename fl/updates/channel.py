"""Channel of updates: the attack of the sender, encoding and decoding, and bit errors.

A transmitted update is what its receiver decodes from the bytes of the message. A value is sent
once to many receivers, so that only bit errors differ from receiver to receiver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from ..config import UpdateFaults
from ..engine.jobs import DerivedValue, LazyValue, digest
from ..engine.streams import generator, key
from .attacks import attacked, corrupted
from .codec import BITS_PER_PARAMETER, MasksOf, Update, decode, encode

if TYPE_CHECKING:
    from ..adapters import Layer


class UpdateChannel:
    """Channel from the update of a device to the update that another one decodes.

    Parameters
    ----------
    layers, ranks : shapes of the adapters; of devices that differ in rank, receivers know the ranks
    seed : seed of attacks, rounding and bit errors
    faults : attacks and corruption; None for neither
    bits_per_parameter : width of a transmitted parameter: 16, 8 or 4
    extra : shapes of the further matrices of an update
    with_a : whether every message carries the values of A
    masks_of : rule of the masks that a message gives by their seed; None if there is none
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        ranks: Sequence[int],
        seed: int,
        faults: UpdateFaults | None = None,
        bits_per_parameter: int = BITS_PER_PARAMETER,
        extra: Sequence[tuple[int, int]] = (),
        *,
        with_a: bool,
        masks_of: MasksOf | None = None,
    ) -> None:
        self._layers = layers
        self._ranks = ranks
        self._seed = seed
        self._faults = faults or UpdateFaults()
        self._bits = bits_per_parameter
        self._extra = extra
        self._with_a = with_a
        self._masks_of = masks_of

    @property
    def is_corrupting(self) -> bool:
        """Whether received updates may have bit errors."""
        return self._faults.corruption is not None

    def attack_key(self, device: int, round_: int) -> list[object]:
        """Return the cache key of a device's attack in a round; empty if it is honest."""
        attack = self._faults.attack(device, round_)
        return [] if attack is None else [asdict(attack), round_, self._seed]

    def sent(self, update: Update) -> Update:
        """Apply the attack of the sender, if any, and transmit the update."""
        attack = self._faults.attack(update.device, update.round)
        if attack is not None:
            rng = generator(self._seed, "byzantine", update.device, update.round)
            update = attacked(update, attack, rng)
        return self.transmitted(update)

    def transmitted(self, update: Update) -> Update:
        """Encode an update to bytes, and decode it."""
        rounding = key(self._seed, "rounding", update.device, update.round)
        data = encode(replace(update, bits=self._bits, rounding=rounding))
        return decode(
            data, self._layers, self._ranks_of(update), extra=self._extra, masks_of=self._masks_of
        )

    def corrupted(
        self,
        receiver: int,
        sender: int,
        round_: int,
        update: LazyValue[Update],
        members: Sequence[int] = (),
    ) -> LazyValue[Update] | None:
        """Apply bit errors to a received update; return None if it has none.

        Parameters
        ----------
        receiver, sender : the two devices
        round_ : round of the update
        update : update as sent
        members : devices of the cluster whose update this is; empty for the sender's own
        """
        corruption = self._faults.corruption
        if corruption is None:
            return None
        rng = generator(self._seed, "corruption", receiver, sender, round_, *members)
        if rng.random() >= corruption.probability:
            return None

        def make() -> Update:
            sent = update.value()
            return corrupted(
                sent, corruption.bits, rng, self._layers, self._ranks_of(sent),
                self._extra, with_a=self._with_a,
            )  # fmt: skip

        name = digest(
            "corrupted", update.key, [receiver, sender, round_, *members, self._seed],
            asdict(corruption),
        )  # fmt: skip
        return DerivedValue(name, (update,), make)

    def _ranks_of(self, update: Update) -> Sequence[int]:
        """Return the ranks of the factors of an update."""
        return [b.shape[1] for b in update.b] or self._ranks

"""Differential privacy of local training: bounded changes with Gaussian noise.

Sources: McMahan et al., "Learning differentially private recurrent language models", ICLR 2018, for
the clipped change of a device, with noise at the device instead of the server, which is our
construction. Dong, Roth, Su, "Gaussian differential privacy", J. R. Stat. Soc. B 84, 2022,
Corollaries 1 and 3: n releases with noise multiplier s are together one with s / sqrt(n), and its
delta is that of `delta_of`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.optimize import brentq
from scipy.special import log_ndtr

from ..config.privacy import Privacy


@dataclass(frozen=True, slots=True)
class GaussianRelease:
    """Release of a device's parameters after the local steps of a round.

    Parameters
    ----------
    privacy : bound of the change, and noise
    seed : seed of the noise
    """

    privacy: Privacy
    seed: int

    def apply(
        self, start: torch.Tensor, after: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the parameters that the device goes on with.

        Parameters
        ----------
        start, after : (entries,) trained parameters before and after the local steps
        mask : (entries,) 1 for entries that are trained and 0 for others; None for all
        """
        change = after - start
        scale = self.privacy.clip / max(
            self.privacy.clip, float(torch.linalg.vector_norm(change, dtype=torch.float64))
        )
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(change.shape, generator=generator).to(change.device)
        noise *= self.privacy.clip * self.privacy.noise_multiplier
        return start + scale * change + (noise if mask is None else noise * mask)


def delta_of(epsilon: float, noise_multiplier: float) -> float:
    """Return the smallest delta for which a Gaussian release is (epsilon, delta)-private.

    Parameters
    ----------
    epsilon : at least 0
    noise_multiplier : standard deviation of the noise over the bound of the norm

    Examples
    --------
    >>> round(delta_of(1.0, 1.0), 6)
    0.126937
    """
    mean = 1.0 / noise_multiplier
    low = log_ndtr(-mean / 2.0 - epsilon / mean)
    high = log_ndtr(mean / 2.0 - epsilon / mean)
    return float(math.exp(high) - math.exp(epsilon + low))


def epsilon_of(releases: int, privacy: Privacy) -> float:
    """Return epsilon of several releases of a device, whatever its examples are; 0 for none.

    Clipped changes that follow from two sets of examples are up to twice the bound apart.

    Parameters
    ----------
    releases : number of rounds in which the device has trained
    privacy : noise of each, and delta
    """
    if releases == 0:
        return 0.0
    multiplier = privacy.noise_multiplier / (2.0 * math.sqrt(releases))
    if delta_of(0.0, multiplier) <= privacy.delta:
        return 0.0
    most = 1.0
    while delta_of(most, multiplier) > privacy.delta:
        most *= 2.0
    return float(brentq(lambda each: delta_of(each, multiplier) - privacy.delta, 0.0, most))

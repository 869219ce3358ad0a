"""Links from a ray tracer: propagation paths between traced points, in place of all models.

A traced file has transmitters, receivers, and the paths from each transmitter to each receiver. A
link of a scenario takes the paths of the traced points next to its ends:

    h(f) = sum_p a_p exp j(phi_p - 2 pi (f_c l_p + (f - f_c) (c tau_p + l_p)) / c)

with amplitude a_p, phase phi_p at the traced points, delay tau_p, and the length l_p by which the
displacement of the two ends from the traced points lengthens the path: a plane wave that arrives
from the direction u is shortened by u . x. Phases therefore follow the positions of moving
devices, which is the Doppler shift. The mean gain is the sum of the powers of the paths.

* `paths`: what a file holds. `npz`, `hdf5`, `deepmimo`: readers of the formats, which need no
  tracer.
* `points`: the traced point, or the four around a position.
* `path_matching`: which paths at neighboring points are one.
* `links`: gains of a scenario's links.

Scope: links are reciprocal. Gains are those of the file, antennas included. Displacements are
horizontal; heights are those of the file. Nothing moves in the traced scene but its users.
"""

from __future__ import annotations

from wnsim.channel.ray_tracing.links import TracedLinks
from wnsim.channel.ray_tracing.parameters import RayTraced
from wnsim.channel.ray_tracing.paths import TracedPaths

__all__ = ["RayTraced", "TracedLinks", "TracedPaths"]

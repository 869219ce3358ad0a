"""Random faults of the air, for property tests of the engines."""

from __future__ import annotations

from hypothesis import strategies as st

from wnsim.faults import Churn, Crash, Jamming, LinkOutage, StationFailure


@st.composite
def air_faults(
    draw: st.DrawFn, devices: int, stations: int, side_m: float, *, jams: bool = True
) -> dict[str, object]:
    """Draw faults of every kind that affects the air; they end in the middle of slots."""
    instants = st.floats(0.0, 0.15)

    def interval() -> dict[str, float | None]:
        begin = draw(instants)
        length = draw(st.sampled_from([None, 0.004, 0.03, 0.0123]))
        return {"from_s": begin, "until_s": None if length is None else begin + length}

    nodes = st.integers(0, devices + stations - 1)
    pairs = st.tuples(nodes, nodes).filter(lambda pair: pair[0] != pair[1])
    places = st.tuples(st.floats(0, side_m), st.floats(0, side_m))
    noise = draw(st.sampled_from([{"noise_db": 10.0}, {"power_dbm": -80.0}]))
    disc = {"center_m": draw(places), "radius_m": 0.4 * side_m}
    some: dict[str, tuple[object, ...]] = {
        "crashes": (Crash(devices=(draw(st.integers(0, devices - 1)),), **interval()),),
        "link_outages": (
            LinkOutage(links=(draw(pairs),), **interval()),
            LinkOutage(
                devices=(draw(nodes),),
                transfers=draw(st.sampled_from(["wait", "fail"])),
                **interval(),
            ),
        ),
        "jamming": (
            Jamming(**disc, **noise, **interval()),
            Jamming(rectangle_m=(draw(places), draw(places)), noise_db=5.0, **interval()),
        ),
    }
    if stations:
        failing = draw(st.integers(0, stations - 1))
        some["station_failures"] = (StationFailure(stations=(failing,), **interval()),)
    if not jams:
        del some["jamming"]
    chosen = draw(st.sets(st.sampled_from(sorted(some))))
    found: dict[str, object] = {name: some[name] for name in sorted(chosen)}
    if draw(st.booleans()):
        found["churn"] = Churn(leave_per_s=10.0, return_per_s=50.0)
    return found

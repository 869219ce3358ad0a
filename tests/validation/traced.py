"""Gains of traced paths against the libraries that traced them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from reference_tables import rows
from test_ray_tracing import (
    DATA_SET,
    OFFSETS_HZ,
    STREET,
    decibels,
    gains_db,
    links_of,
    mean_db,
    other_tracer,
    response,
    rows_of_sionna,
)

from validation.check import Finding, Row, largest

SIONNA = "Sionna RT 2.2.0"


def traced_gains(full: bool) -> Finding:
    """Compare gains at traced receivers, and between them."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    means, expected_means = [], []
    for interpolation in ("nearest", "linear"):
        links = links_of(STREET, interpolation=interpolation)
        for row in rows_of_sionna():
            place_m, tx = (float(row["x_m"]), float(row["y_m"])), int(row["tx"])
            errors_db = decibels(response(links, tx, [place_m], OFFSETS_HZ))[0] - gains_db(row)
            found.setdefault((interpolation, row["where"]), []).append(errors_db)
            if row["where"] == "receiver":
                means.append(mean_db(links, tx, place_m))
                expected_means.append(float(row["mean_db"]))
    at = np.concatenate([found[each, "receiver"] for each in ("nearest", "linear")])
    result = [
        Row("gains in a street at traced receivers, in five parts of the band",
            f"{SIONNA}, Paths.cfr", at.size, float(np.abs(at).max()), 0.01, "dB"),
        Row("sums of the powers of the paths there", f"{SIONNA}, Paths.a", len(means),
            largest(means, expected_means), 0.01, "dB"),
    ]  # fmt: skip
    for interpolation, tolerance_db in (("nearest", 0.4), ("linear", 0.1)):
        errors_db = np.abs(np.concatenate(found[interpolation, "between"]))
        result.append(
            Row(f"gains between receivers 2 m apart, median deviation, {interpolation}",
                f"{SIONNA}, traced there", errors_db.size, float(np.median(errors_db)),
                tolerance_db, "dB")
        )  # fmt: skip
    return Finding(result)


def data_sets(full: bool) -> Finding:
    """Compare gains of a data set of DeepMIMO, as one of Sionna RT and as one of another tracer."""
    table = rows("deepmimo_street.csv")
    result = []
    with TemporaryDirectory() as folder:
        for what, links, column, offset_db, against in (
            ("gains of a data set of DeepMIMO",
             links_of(other_tracer(Path(folder))), "deepmimo_db", 10.0 * np.log10(512),
             "DeepMIMO 4.0.5, channels times the number of subcarriers"),
            ("gains of a data set of DeepMIMO from Sionna RT",
             links_of(DATA_SET), "sionna_db", 0.0, f"{SIONNA}, Paths.cfr"),
        ):  # fmt: skip
            found = [
                decibels(
                    response(
                        links,
                        int(row["tx"]),
                        [links.paths.rx_m[int(row["rx"]), :2]],
                        [float(row["offset_hz"])],
                    )
                )[0, 0]
                for row in table
            ]
            expected = [float(row[column]) + offset_db for row in table]
            result.append(Row(what, against, len(table), largest(found, expected), 0.01, "dB"))
    return Finding(result)

"""Which publications and standards describe the parts of a scenario.

Keys are those of `bibliography.bib`. A part without any is this project's own, or needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Keys = tuple[str, ...]

_AERIAL = ("tr36777", "tr38901")
_SHADOWING = ("gudmundson1991", "wang2008", "cai2003")
_PATH_LOSS: dict[str, Keys] = {
    "cost231-hata": ("hata1980", "cost231"),
    "dual-slope": ("feuerstein1994",),
    "free-space": ("friis1946",),
    "inf": ("tr38901",),
    "inh": ("tr38901",),
    "log-distance": ("rappaport2002",),
    "ntn": ("tr38811",),
    "okumura-hata": ("hata1980",),
    "rma": ("tr38901",),
    "rma-av": _AERIAL,
    "sma": ("tr38901",),
    "three-slope": ("ns3",),
    "two-ray": ("rappaport2002",),
    "uma": ("tr38901",),
    "uma-av": _AERIAL,
    "umi": ("tr38901",),
    "umi-av": _AERIAL,
    "v2v-highway": ("tr37885", "boban2016"),
    "v2v-urban": ("tr37885", "boban2016"),
}
_NONE: Keys = ()

MODELS: dict[str, dict[str, Keys]] = {
    "allocation": {
        "equal": _NONE, "min-max": _NONE, "least-energy": _NONE,
        "resource-blocks": ("chen2021",),
    },
    "compressor": {"nearest": ("seide2014",)},
    "antenna": {"isotropic": _NONE, "sector": ("tr38901",)},
    "channel": {"statistical": _NONE, "ray-traced": ("sionnart2023", "deepmimo2019")},
    "fading": {
        "none": _NONE,
        "nakagami": ("nakagami1960",),
        "rayleigh": ("clarke1968", "akki1986"),
        "rician": ("rice1948", "clarke1968"),
        "tdl": ("tr38901",),
    },
    "mac": {
        "cell": _NONE,
        "csma": ("ieee80211",),
        "ideal": _NONE,
        "ofdma": ("solora2026",),
        "over-the-air": ("zhu2020", "yang2020", "cao2020"),
        "reuse": _NONE,
        "sidelink": ("ts38214", "ts38321"),
        "tdma": _NONE,
    },
    "method": {
        "adf-lora": ("adflora2025",),
        "centralised": _NONE,
        "choco-lora": ("choco2019",),
        "decaf": ("decaf2026",),
        "ecolora": ("ecolora2025",),
        "fed-lo-drop": ("fedlodrop2026",),
        "fed-sb": ("fedsb2026",),
        "fedex-lora": ("fedexlora2025",),
        "fedrot-lora": ("fedrotlora2026",),
        "fedsa-lora": ("fedsalora2025",),
        "fedsvd": ("fedsvd2025",),
        "ffa-lora": ("ffalora2024",),
        "flasc": ("flasc2024",),
        "flexlora": ("flexlora2024",),
        "flora": ("flora2024",),
        "fslora": ("fslora2025",),
        "full-ft": _NONE,
        "hetlora": ("hetlora2024",),
        "jcpba": ("jcpba2026",),
        "local": ("lora2022",),
        "lora": ("lora2022", "fedit2024"),
        "lori-d": ("lori2025",),
        "lori-s": ("lori2025",),
        "rolora": ("rolora2025",),
        "scaffold": ("scaffold2020",),
        "so-lora": ("solora2026",),
        "soft": ("soft2025",),
        "tad-lora": ("tadlora2026",),
    },
    "mobility": {
        "gauss-markov": ("liang1999", "camp2002"),
        "highway": ("bai2003",),
        "manhattan": ("tr101112", "bai2003"),
        "random-direction": ("royer2001", "nain2005"),
        "random-walk": ("camp2002",),
        "random-waypoint": ("johnson1996", "navidi2004"),
        "rpgm": ("hong1999",),
        "static": _NONE,
        "trace": _NONE,
    },
    "objective": {"prox": ("fedprox2020",)},
    "optimizer": {"adamw": ("adam2015", "adamw2019"), "sgd": _NONE},
    "orbit": {"circular": ("walker1984",), "tle": ("hoots1980", "vallado2006")},
    "partition": {
        "dirichlet": ("hsu2019",), "iid": _NONE, "one-task": _NONE, "shards": ("fedavg2017",),
    },
    "path_loss": _PATH_LOSS,
    "phy": {
        "nr": ("ts38212", "ts38214", "polyanskiy2010", "caire1998", "sampath1997"),
        "shannon": ("shannon1948", "ozarow1994"),
        "wifi": ("ieee80211",),
    },
    "protocol": {
        # The weight of stale updates.
        "asynchronous": ("fedasync2019",),
        "hierarchical": ("hierfavg2020",),
        "server": ("fedavg2017",),
        "split": ("gupta2018", "splitfed2022"),
        "synchronous": _NONE,
    },
    "rate_control": {"last-snr": _NONE, "mean-snr": _NONE, "minstrel": ("minstrel",)},
    "robust": {
        "clair": ("clair2026",),
        "median": ("yin2018",),
        "norm-clip": ("clippedgossip2022",),
        "trimmed-mean": ("yin2018",),
    },
    "selection": {
        "age-of-update": ("yang2020age",),
        "all": _NONE,
        "battery-aware": _NONE,
        "best-channel": _NONE,
        "deadline-greedy": ("fedcs2019",),
        "expected-loss": ("chen2021",),
        "importance-channel": ("ren2020",),
        "proportional-fair": ("jalali2000", "yang2020scheduling"),
        "random": _NONE,
        "round-robin": _NONE,
    },
    "topology": {
        "agglomerative": ("solora2026",),
        **dict.fromkeys(
            ("by-task", "full", "isolated", "nearest", "random", "ring", "similarity"), _NONE
        ),
    },
}  # fmt: skip
"""By family and model. The key of a section that takes a model of a family is its name."""
SAME_FAMILY = dict.fromkeys(("station_path_loss", "satellite_path_loss"), "path_loss") | {
    "digital": "mac"
}
"""Further keys of sections, and the family of their models."""

Values = Mapping[str, Any]
FEATURES: list[tuple[Callable[[Values], bool], Keys]] = [
    (
        lambda at: (
            at.get("channel.shadowing.sigma_db") != 0.0 and at.get("channel.model") != "ray-traced"
        ),
        _SHADOWING,
    ),
    (lambda at: at.get("radio.phy.standard") == "ax", ("ieee80211ax",)),
    (lambda at: at.get("radio.phy.code") == "ldpc", ("polyanskiy2010", "caire1998", "ns3")),
    (
        lambda at: (
            (at.get("radio.phy.code"), at.get("radio.phy.decoder")) == ("convolutional", "soft")
        ),
        ("caire1998", "frenger1998"),
    ),
    (
        lambda at: (
            (at.get("radio.phy.code"), at.get("radio.phy.decoder")) == ("convolutional", "hard")
        ),
        ("pei2010",),
    ),
    (
        lambda at: (
            "proportional-fair" in (at.get("mac.scheduler"), at.get("mac.digital.scheduler"))
        ),
        ("jalali2000",),
    ),
    (lambda at: any(key.startswith("energy.") for key in at), ("auer2011", "tran2019")),
    (lambda at: any(key.startswith("faults.churn.") for key in at), ("yao2006",)),
    (
        lambda at: (
            at.get("transport.max_hops", 1) > 1 and at.get("transport.routing") != "contacts"
        ),
        ("bellman1958",),
    ),
    (lambda at: at.get("transport.routing") == "contacts", ("burleigh2010", "jain2004")),
    (lambda at: any(key.startswith("satellites.") for key in at), ("tr38811",)),
    (lambda at: at.get("transport.multicast") == "tree", ("takahashi1980", "wieselthier2000")),
    (lambda at: any(key.startswith("fl.privacy.") for key in at), ("mcmahan2018", "dong2022")),
    (lambda at: at.get("fl.bits_per_parameter", 16) < 16, ("qsgd2017",)),
    (lambda at: at.get("fl.model") == "resnet8", ("resnet2016", "groupnorm2018")),
    (lambda at: at.get("fl.scoring") == "similarity", ("sbert2019",)),
    (lambda at: at.get("fl.inference.gate") is not None, ("solora2026",)),
]
"""Conditions on the values of a scenario by their keys, and the sources of what they turn on."""

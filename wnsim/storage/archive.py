"""Archive of a results folder: a ZIP file that tells in an RO-Crate what each file is.

Source: RO-Crate Metadata Specification 1.1 (https://w3id.org/ro/crate/1.1): the root data set with
its parts, the software, and an action for each run with what it read and wrote.
"""

from __future__ import annotations

import json
import mimetypes
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from wnsim.storage.records import file_digest, replacing

METADATA = "ro-crate-metadata.json"
READ_ME = "README.txt"
_VERSION = "https://w3id.org/ro/crate/1.1"
_LEFT_OUT = ("store",)
_TYPES = {
    ".safetensors": "application/octet-stream", ".tex": "text/x-tex", ".yaml": "application/yaml",
}  # fmt: skip
# The earliest date that a ZIP file can have: equal results make equal archives.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Description:
    """What is said of the whole of an archive.

    Parameters
    ----------
    name, text : title, and description in a sentence
    published : date, YYYY-MM-DD
    license : URL or text; none: not stated
    authors : names
    """

    name: str
    text: str
    published: str
    license: str | None = None
    authors: tuple[str, ...] = ()


def archived_files(results: Path) -> list[Path]:
    """Return the files of a results folder that belong into an archive, in order of name.

    The training cache, hidden files, and everything behind links are left out.
    """
    found: list[Path] = []
    for path in sorted(results.iterdir()):
        if path.is_symlink() or path.name.startswith(".") or path.name in _LEFT_OUT:
            continue
        if path.is_dir():
            found += archived_files(path)
        elif path.is_file():
            found.append(path)
    return found


def write_archive(
    path: Path, results: Path, runs: Mapping[str, Mapping[str, Any]], about: Description
) -> int:
    """Write the archive of a results folder; return its number of files.

    Parameters
    ----------
    path : file to write, which must not exist
    results : results folder
    runs : manifests of its complete runs by folder
    about : description of the whole

    Raises
    ------
    FileExistsError
        if the file exists
    """
    files = [each.relative_to(results).as_posix() for each in archived_files(results)]
    files = [each for each in files if each not in (METADATA, READ_ME)]
    texts = {
        METADATA: json.dumps(metadata(results, files, runs, about), indent=1, ensure_ascii=False),
        READ_ME: _read_me(runs, about),
    }
    if path.exists() or path.is_symlink():
        raise FileExistsError(path)
    with replacing(path) as part, zipfile.ZipFile(part, "x", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(_entry(name), text + "\n")
        for name in files:
            with (results / name).open("rb") as source, archive.open(_entry(name), "w") as target:
                shutil.copyfileobj(source, target)
    return len(files) + len(texts)


def metadata(
    results: Path,
    files: list[str],
    runs: Mapping[str, Mapping[str, Any]],
    about: Description,
) -> dict[str, Any]:
    """Return the metadata of a crate.

    Parameters
    ----------
    results : results folder
    files : its files in the archive, relative to it
    runs, about : see `write_archive`
    """
    folders = {name: [each for each in files if each.startswith(f"{name}/")] for name in runs}
    inside = {each for of_run in folders.values() for each in of_run}
    rest = [each for each in files if each not in inside]
    software = sorted({_software(manifest) for manifest in runs.values()})
    tools = {key: f"#wnsim-{number}" for number, key in enumerate(software, 1)}
    parts = [*(f"{name}/" for name in folders), *rest, READ_ME]
    root: dict[str, Any] = {
        "@id": "./", "@type": "Dataset", "name": about.name, "description": about.text,
        "datePublished": about.published,
        "hasPart": [_ref(each) for each in parts],
        "mentions": [{"@id": f"#run-{number}"} for number, _ in enumerate(runs, 1)],
    }  # fmt: skip
    if about.license is not None:
        root["license"] = about.license
    if about.authors:
        root["author"] = [{"@id": f"#author-{n}"} for n, _ in enumerate(about.authors, 1)]
    graph = [
        {
            "@id": METADATA, "@type": "CreativeWork", "conformsTo": {"@id": _VERSION},
            "about": {"@id": "./"},
        },
        root,
        *(
            {"@id": f"#author-{number}", "@type": "Person", "name": name}
            for number, name in enumerate(about.authors, 1)
        ),
        *(
            {
                "@id": tools[key], "@type": "SoftwareApplication", "name": "wnsim",
                "softwareVersion": key[0], "description": f"commit {key[1]}",
            }
            for key in software
        ),
        {"@id": READ_ME, "@type": "File", "name": "how to run it again"},
        *(_file(results, each) for each in files),
    ]  # fmt: skip
    for number, (name, manifest) in enumerate(runs.items(), 1):
        scenario = f"{name}/scenario.yaml"
        graph += [
            {
                "@id": _id(f"{name}/"), "@type": "Dataset", "name": f"run {name}",
                "hasPart": [_ref(each) for each in folders[name]],
            },
            {
                "@id": f"#run-{number}", "@type": "CreateAction", "name": f"simulation of {name}",
                "instrument": {"@id": tools[_software(manifest)]},
                "object": [_ref(scenario)] if scenario in files else [],
                "result": [_ref(f"{name}/")],
            },
        ]  # fmt: skip
    return {"@context": f"{_VERSION}/context", "@graph": graph}


def _software(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Return the version and the commit of wnsim that made a run."""
    versions = manifest.get("versions")
    version = versions.get("wnsim", "unknown") if isinstance(versions, dict) else "unknown"
    return str(version), str(manifest.get("commit"))


def _id(name: str) -> str:
    """Return the reference to a file or folder, percent-encoded."""
    return quote(name, safe="/,=")


def _ref(name: str) -> dict[str, str]:
    return {"@id": _id(name)}


def _file(results: Path, name: str) -> dict[str, Any]:
    """Return the entity of a file."""
    path = results / name
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {
        "@id": _id(name), "@type": "File", "name": path.name, "encodingFormat": kind,
        "contentSize": str(path.stat().st_size), "sha256": file_digest(path),
    }  # fmt: skip


def _entry(name: str) -> zipfile.ZipInfo:
    """Return the head of a file in the archive, without the time of this machine."""
    head = zipfile.ZipInfo(name, _DATE)
    head.compress_type = zipfile.ZIP_DEFLATED
    head.external_attr = 0o644 << 16
    return head


def _read_me(runs: Mapping[str, Mapping[str, Any]], about: Description) -> str:
    """Return how a stranger runs it again."""
    lines = [about.name, "", about.text, "", "Each run again, with the versions that made it:", ""]
    for name, manifest in runs.items():
        versions = manifest.get("versions")
        parts = versions.items() if isinstance(versions, dict) else ()
        known = ", ".join(f"{tool} {version}" for tool, version in parts)
        lines += [
            name,
            f"  wnsim run '{name}/scenario.yaml'",
            f"  {known}; commit {manifest.get('commit')}",
        ]
        inputs = manifest.get("inputs")
        if isinstance(inputs, dict) and inputs:
            lines += [f"  needs {file} (SHA-256 {inputs[file]})" for file in sorted(inputs)]
    return "\n".join(lines)

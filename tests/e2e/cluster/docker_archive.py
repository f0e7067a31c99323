"""Writes folders as a Docker image archive, one layer each.

Docker, containerd and kind all read such archives, and writing one needs neither a daemon nor a registry.
"""

import argparse
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Sequence
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_archive(roots: Sequence[Path], name: str, entrypoint: Sequence[str], archive: Path) -> None:
    """Write the folders *roots*, lowest layer first, as the image *name* (with its tag); the archive appears whole or
    not at all.
    """
    layers = [_write_layer(root, archive.with_suffix(f".layer{index}")) for index, root in enumerate(roots)]
    digests = [_sha256(layer) for layer in layers]
    configuration = _configuration(digests, entrypoint)
    configuration_name = hashlib.sha256(configuration).hexdigest() + ".json"
    manifest = [{"Config": configuration_name, "RepoTags": [name], "Layers": [f"{digest}.tar" for digest in digests]}]
    part = archive.with_suffix(".part")
    with tarfile.open(part, "w") as tar:
        _add(tar, configuration_name, configuration)
        for layer, digest in zip(layers, digests, strict=True):
            tar.add(layer, arcname=f"{digest}.tar")
            layer.unlink()
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    part.rename(archive)


def _write_layer(root: Path, layer: Path) -> Path:
    with tarfile.open(layer, "w") as tar:
        for entry in sorted(root.iterdir()):
            tar.add(entry, arcname=entry.name)
    return layer


def _configuration(layer_digests: Sequence[str], entrypoint: Sequence[str]) -> bytes:
    return json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "Env": [f"PATH={PATH}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layer_digests]},
            "history": [{"created_by": Path(__file__).name} for _ in layer_digests],
        }
    ).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def main() -> None:
    """Read the command line and write one archive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the folder that becomes the image's file system")
    parser.add_argument("name", help="the image's name with its tag")
    parser.add_argument("archive", type=Path, help="the file to write")
    parser.add_argument("entrypoint", nargs="*", help="the image's entry point; none when absent")
    parser.add_argument(
        "--base",
        type=Path,
        action="append",
        default=[],
        help="a folder beneath, as a layer that other images can share",
    )
    arguments = parser.parse_intermixed_args()
    write_archive([*arguments.base, arguments.root], arguments.name, arguments.entrypoint, arguments.archive)


if __name__ == "__main__":
    main()

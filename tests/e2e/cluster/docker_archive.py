"""Writes a folder as a Docker image archive of one layer.

Docker, containerd and kind all read such archives, and writing one needs neither a daemon nor a registry.
"""

import argparse
import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_archive(root: Path, name: str, entrypoint: list[str], archive: Path) -> None:
    """Write the folder *root* as the image *name* (with its tag); the archive appears whole or not at all."""
    layer = archive.with_suffix(".layer")
    part = archive.with_suffix(".part")
    with tarfile.open(layer, "w") as tar:
        for entry in sorted(root.iterdir()):
            tar.add(entry, arcname=entry.name)
    configuration = _configuration(_sha256(layer), entrypoint)
    configuration_name = hashlib.sha256(configuration).hexdigest() + ".json"
    manifest = [{"Config": configuration_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(part, "w") as tar:
        _add(tar, configuration_name, configuration)
        tar.add(layer, arcname="layer.tar")
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    layer.unlink()
    part.rename(archive)


def _configuration(layer_digest: str, entrypoint: list[str]) -> bytes:
    return json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": entrypoint, "Env": [f"PATH={PATH}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created_by": Path(__file__).name}],
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
    arguments = parser.parse_args()
    write_archive(arguments.root, arguments.name, arguments.entrypoint, arguments.archive)


if __name__ == "__main__":
    main()

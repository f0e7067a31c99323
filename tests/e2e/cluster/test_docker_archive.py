"""An archive must be what Docker and containerd expect to the digest, or they refuse it far from where it
was written.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.e2e.cluster import docker_archive


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "tool").write_text("#!/bin/sh\n")
    (root / "bin" / "tool").chmod(0o750)
    (root / "sh").symlink_to("bin/tool")
    return root


def read(archive: Path) -> tuple[dict, dict, bytes]:
    with tarfile.open(archive) as tar:

        def content(name: str) -> bytes:
            return tar.extractfile(name).read()

        [manifest] = json.loads(content("manifest.json"))
        return manifest, json.loads(content(manifest["Config"])), content(manifest["Layers"][-1])


def test_the_configuration_names_the_layer_by_its_digest_and_itself_by_its_own(root, tmp_path):
    archive = tmp_path / "image.tar"
    docker_archive.write_archive([root], "local/tool:1", ["/bin/tool"], archive)
    manifest, configuration, layer = read(archive)
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(archive) as tar:
        assert manifest["Config"] == hashlib.sha256(tar.extractfile(manifest["Config"]).read()).hexdigest() + ".json"
    assert manifest["RepoTags"] == ["local/tool:1"]
    assert configuration["config"]["Entrypoint"] == ["/bin/tool"]


def test_modes_and_links_are_kept_and_names_are_relative(root, tmp_path):
    archive = tmp_path / "image.tar"
    docker_archive.write_archive([root], "local/tool:1", [], archive)
    (tmp_path / "layer.tar").write_bytes(read(archive)[2])
    with tarfile.open(tmp_path / "layer.tar") as layer:
        assert set(layer.getnames()) == {"bin", "bin/tool", "sh"}
        assert layer.getmember("bin/tool").mode == 0o750
        assert layer.getmember("sh").linkname == "bin/tool"


def test_layers_lie_in_the_order_given_and_one_that_images_share_has_one_digest(root, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "common").write_text("shared\n")
    configurations = []
    for name in ("one", "two"):
        (root / "name").write_text(name)
        docker_archive.write_archive([base, root], f"local/{name}:1", [], tmp_path / f"{name}.tar")
        manifest, configuration, layer = read(tmp_path / f"{name}.tar")
        assert len(manifest["Layers"]) == 2
        assert configuration["rootfs"]["diff_ids"][1] == f"sha256:{hashlib.sha256(layer).hexdigest()}"
        configurations.append(configuration["rootfs"]["diff_ids"])
    [[base_of_one, top_of_one], [base_of_two, top_of_two]] = configurations
    assert base_of_one == base_of_two
    assert top_of_one != top_of_two


def test_nothing_but_the_archive_is_left(root, tmp_path):
    command = [sys.executable, docker_archive.__file__, root, "local/tool:1", tmp_path / "image.tar", "/bin/tool"]
    subprocess.run(command, check=True, timeout=60)
    assert {path.name for path in tmp_path.iterdir()} == {"root", "image.tar"}

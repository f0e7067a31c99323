"""What a report says of the image that agents really ran in: never a digest that no kubelet reported."""

from __future__ import annotations

import pytest

from auditor.cluster.kubernetes.session.pod_status import RanImage, image_facts

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
TAG = "docker.io/library/python:3.13-slim"


def facts(image, *ran):
    return list(image_facts(image, [RanImage(node, image_id) for node, image_id in ran]))


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (TAG, "docker.io/library/python"),
        ("python", "python"),
        ("registry:5000/python", "registry:5000/python"),
        ("registry:5000/python:3", "registry:5000/python"),
    ],
)
def test_a_tag_is_told_with_what_it_was_and_how_to_pin_it(image, name):
    said = [f"agents ran in image {image}, which was {A}: --image {name}@{A} uses just that one"]
    assert facts(image, ("n1", f"docker.io/library/python@{A}"), ("n2", f"docker.io/library/python@{A}")) == said
    assert facts(image, ("n1", f"docker-pullable://docker.io/library/python@{A}")) == said


def test_a_tag_that_is_not_the_same_everywhere_is_told_by_node():
    assert facts(TAG, ("n2", f"x@{B}"), ("n1", f"x@{A}"), ("n3", f"x@{A}"), ("n4", "")) == [
        (
            f"image {TAG} is not the same on all nodes: {A} on n1, n3; {B} on n2:"
            f" --image docker.io/library/python@{A} uses one of them everywhere"
        )
    ]


def test_a_local_image_has_no_digest_and_none_is_made_up():
    assert facts(TAG, ("n1", A)) == [
        f"agents ran in image {TAG}, which was {A}: it came from no registry, so it has no digest to pin it by"
    ]
    assert facts(TAG, ("n1", A), ("n2", B)) == [f"image {TAG} is not the same on all nodes: {A} on n1; {B} on n2"]


def test_nothing_is_said_of_what_is_pinned_or_not_known():
    assert facts(f"python@{A}", ("n1", f"python@{A}")) == []
    assert facts(TAG) == facts(TAG, ("n1", "")) == []

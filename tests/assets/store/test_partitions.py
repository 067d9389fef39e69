from __future__ import annotations

import hashlib
import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface_assets.store.partitions import UnsafeKeyError, check_key, is_key, partition_key, slug

DIGEST = hashlib.sha256(b"").hexdigest()
names = st.text(max_size=300) | st.text(alphabet=string.printable + "../\\\0\u202e\u0301한", max_size=300)


@given(names, st.binary())
def test_a_key_is_safe_whatever_the_file_is_called(name: str, content: bytes) -> None:
    key = partition_key(name, hashlib.sha256(content).hexdigest())
    assert check_key(key) == key
    assert len(key.encode()) <= 100
    assert Path("/store/raw_video", key).resolve().parent == Path("/store/raw_video")


@given(names)
def test_what_counts_as_a_key_never_leaves_its_folder(text: str) -> None:
    for key in (text, f"{text}-{DIGEST[:10]}"):
        if is_key(key):
            assert Path("/store/raw_video", key).resolve() == Path("/store/raw_video", key)
            assert not key.startswith((".", "-"))
            assert len(f"{key}.parquet".encode()) <= 255


@pytest.mark.parametrize(
    "key",
    [
        "../../escape",
        "../escape-0123456789",
        "a/b-0123456789",
        "x\n-0123456789",
        "x-0123456789\n",
        "-x-0123456789",
        ".-0123456789",
        "-0123456789",
        "0123456789",
        "interview",
        "x-0123456789a",
        "x-ABCDEF0123",
        "x y-0123456789",
        "\u202ex-0123456789",
        "x" * 81 + "-0123456789",
        "",
    ],
)
def test_a_key_that_no_upload_was_given_is_refused(key: str) -> None:
    with pytest.raises(UnsafeKeyError, match="not the partition key of an upload"):
        check_key(key)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Interview #3 (final)", "interview-3-final"),
        ("인터뷰 1화", "인터뷰-1화"),
        (unicodedata.normalize("NFD", "인터뷰"), "인터뷰"),
        ("Ünïcödé", "ünïcödé"),
        ("हिन्दी", "हिन्दी"),
        ("مقابلة", "مقابلة"),
        ("../../etc/passwd", "etc-passwd"),
        ("--rf", "rf"),
        ("<script>alert(1)</script>", "script-alert-1-script"),
        ("🎬🎬", "video"),
        ("", "video"),
        ("..", "video"),
        ("\udcff\udcfe", "video"),
    ],
)
def test_a_slug_keeps_what_people_read(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_a_long_name_is_cut_between_characters() -> None:
    assert slug("가" * 200) == "가" * 26

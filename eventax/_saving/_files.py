r"""The file of a network, and whether one is whole.

A file holds, one after the other:

    eventax network 1\n     the format and its version
    {...}\n                 header in JSON: classes, keywords, names of the leaves
    ...                     arrays, their plain bytes, at the offsets the header tells
    32 bytes                SHA-256 of all of the above
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MAGIC = b"eventax network "
VERSION = 1
_DIGEST_SIZE = hashlib.sha256().digest_size


def write_file(
    path: str | os.PathLike[str], header: dict[str, Any], blocks: list[bytes]
) -> None:
    """Write beside the file and rename: a reader sees the old file or the new one."""
    text = json.dumps(header, allow_nan=False).encode("ascii")
    content = b"".join([_MAGIC, b"%d\n" % VERSION, text, b"\n", *blocks])
    target = os.path.realpath(path)
    beside = f"{target}.{secrets.token_hex(4)}.tmp"
    try:
        with open(beside, "xb") as file:
            file.write(content + hashlib.sha256(content).digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bytes]:
    """Header and arrays of a file, which is whole."""
    with open(path, "rb") as file:
        content = file.read()
    if not content.startswith(_MAGIC):
        raise ValueError(f"{path} is not a network that eventax.io.save_evnn wrote.")
    version, _, rest = content.removeprefix(_MAGIC).partition(b"\n")
    newer = re.fullmatch(rb"[1-9][0-9]{0,8}", version)
    if newer and int(version) > VERSION:
        raise ValueError(
            f"{path} has format version {int(version)}, and this eventax reads up to "
            f"{VERSION}: load it with a newer eventax."
        )
    body, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError(
            f"{path} is damaged: its content does not match its checksum, so it was "
            "changed or cut off after it was saved."
        )
    text, _, blocks = rest[: len(rest) - _DIGEST_SIZE].partition(b"\n")
    with well_formed(path):
        if version != b"%d" % VERSION:
            raise ValueError(f"version {version[:20]!r}")
        header = json.loads(text)
        _check_header(header)
        return header, blocks


def _check_header(header: Any) -> None:
    """That it has just the parts that `save_evnn` writes."""
    if header.keys() != {"network", "neuron_model", "config", "omitted", "leaves"}:
        raise ValueError(f"its entries are {sorted(header)}")
    forbidden = {"key", "neuron_model"} & (header["config"] | header["omitted"]).keys()
    if forbidden:
        raise ValueError(f"its keywords have {sorted(forbidden)}")


@contextmanager
def well_formed(path: str | os.PathLike[str]) -> Iterator[None]:
    """Another program may write a right checksum below a header that is none."""
    try:
        yield
    except Exception as error:
        if str(error).startswith(os.fspath(path)):
            raise  # one of ours, which says more
        raise ValueError(
            f"{path} is not a network that eventax.io.save_evnn wrote: its header is "
            f"malformed ({error!r})."
        ) from error

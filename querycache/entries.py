"""The layout of an entry and the MAC that ties it to its query.

An entry is ``mac (16) | stamps | created (8) | body``. xxHash names entries but does not resist
somebody who chooses parameters, and others may be able to write to the store; the MAC is keyed from
`SECRET_KEY` and covers the whole fingerprint, the stamps and the body, so that whatever else is
found under an entry's key is a miss.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from hmac import compare_digest

from querycache.rows import SEAL

MAC_BYTES = 16
_CREATED_BYTES = 8


class Sealer:
    """Seals and opens entries with a key of its own.

    Args:
        secret: the project's `SECRET_KEY`.
    """

    __slots__ = ("_keyed", "tag")

    def __init__(self, secret: str | bytes) -> None:
        data = secret.encode() if isinstance(secret, str) else secret
        key = blake2b(data, digest_size=32, person=b"querycache.entry").digest()
        self._keyed = blake2b(key=key, digest_size=MAC_BYTES)
        #: Part of every entry's key: projects with other secrets that share a store and a database
        #: keep out of each other's entries, while their stamps are the same.
        self.tag = blake2b(key, digest_size=4, person=b"querycache.tag").hexdigest()

    def seal(self, fingerprint: bytes, stamps: bytes, body: bytes) -> bytes:
        """Make an entry.

        Args:
            fingerprint: everything that the result depends on besides the data.
            stamps: the joined stamps as they were before the query ran.
            body: the encoded rows.
        """
        created = int(time.time() * 1000).to_bytes(_CREATED_BYTES, "big")
        rest = b"".join((stamps, created, body))
        return self._mac(fingerprint, rest) + rest

    def open(self, fingerprint: bytes, stamps: bytes, entry: bytes) -> bytes | None:
        """Return the body of an entry that was sealed under these very stamps, else None.

        Raises:
            Forged: the stamps are right and the rest is not of our making.
        """
        start = MAC_BYTES + len(stamps)
        if entry[MAC_BYTES:start] != stamps:
            return None
        if not compare_digest(self._mac(fingerprint, entry[MAC_BYTES:]), entry[:MAC_BYTES]):
            raise Forged
        return entry[start + _CREATED_BYTES :]

    def _mac(self, fingerprint: bytes, rest: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(len(fingerprint).to_bytes(8, "big") + fingerprint)
        mac.update(rest)
        return mac.digest()


def has_all_rows(entry: bytes) -> bool:
    """Tell whether an entry was sealed under the stamps of the rows that it is made of."""
    return entry[MAC_BYTES : MAC_BYTES + 1] == SEAL


class Forged(ValueError):
    """An entry is damaged, belongs to another query, or was not made with our key."""


def created(entry: bytes, stamps: bytes) -> float:
    """Return when an entry under these stamps was made, in seconds since 1970."""
    start = MAC_BYTES + len(stamps)
    return int.from_bytes(entry[start : start + _CREATED_BYTES], "big") / 1000

"""Changes of valid inputs, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

#: What lengths, codes and digits become: the ends of their ranges, and what announces gigabytes.
TELLING = (
    *(b"\0", b"\x7f", b"\x80", b"\xff", b"\n", b"\r\n", b"[", b"Z", b'"', b"'", b"$", b"-1", b"{"),
    *(b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\xdc\xff\xff"),
    *(b"9999999999999999", b"0000000000000000", b"1e999", b'{"$":["tuple",[', b"\xc0", b"\x91"),
    *(b"\xed\xa0\x80", b"\xf0\x9f"),
    *(b"*2147483647\r\n", b"$2147483647\r\n", b"$-1\r\n", b":x\r\n", b"VALUE ", b"END\r\n"),
)


class Mutator:
    """Makes inputs of a corpus.

    Args:
        seed: of every choice.
        largest: bytes of the largest input.
    """

    def __init__(self, seed: int, largest: int = 1 << 16) -> None:
        self.random = random.Random(seed)
        self._largest = largest

    def pick(self, corpus: Sequence[bytes]) -> bytes:
        """Return one of a corpus, changed in up to eight places."""
        chance = self.random
        data = bytearray(chance.choice(corpus))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
            self._change(data, corpus)
        return bytes(data[: self._largest])

    def _change(self, data: bytearray, corpus: Sequence[bytes]) -> None:
        chance = self.random
        at = chance.randint(0, len(data))
        length = chance.choice((0, 1, 1, 2, 4, 16, 64))
        kind = chance.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at : at + length] = chance.randbytes(length)
        elif kind == 2:
            data[at:at] = chance.randbytes(length)
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at : at + chance.choice((0, length))] = chance.choice(TELLING)
        elif kind == 5:
            # A piece once more, up to so often that it nests or repeats without end.
            data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
        elif kind == 6:
            other = chance.choice(corpus)
            data[at:] = other[chance.randint(0, len(other)) :]
        else:
            del data[at:]

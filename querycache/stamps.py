"""The stamp protocol: what a stamp is and how each step changes it, without any I/O.

A stamp is the short byte string that a store keeps for a dependency (a table of a database):

- absent (``None``): nobody knows who is writing;
- settled: ``b"S"``, sequence (16 digits), wall time in ms (16 digits), nonce (16 bytes, the first
  8 of which name the era of the counter that the sequence was taken from);
- writing: ``b"W"`` and, for every lease, its token (16 bytes) and deadline in ms (16 digits).

Numbers are decimal text so that a store's own script (Lua in Redis) reads them without a binary
library. Every function takes the stamp as it is and returns the stamp as it must become; a store
applies it atomically per stamp. `docs/explanation/protocol.md` says why the steps are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: The version of all that processes find in a store: names, stamps, entries, LMDB's files, and what
#: each step does. Raise it with any change after which an older process would misread something or
#: miss a write: it is part of all names, so stores of two versions are two stores. The journal and
#: the row that names a store are read by all versions, and have migrations.
PROTOCOL = 4

NONCE_BYTES = 16
ERA_BYTES = 8
TOKEN_BYTES = 16
_DIGITS = 16
_LEASE_BYTES = TOKEN_BYTES + _DIGITS
SETTLED_BYTES = 1 + 2 * _DIGITS + NONCE_BYTES
_SETTLED = ord("S")
_SEQUENCE = slice(1, 1 + _DIGITS)
_WALL = slice(1 + _DIGITS, 1 + 2 * _DIGITS)
_ERA = slice(1 + 2 * _DIGITS, 1 + 2 * _DIGITS + ERA_BYTES)

#: More leases than this in one stamp are no writers of ours. A stamp that is longer is damaged, so
#: that nobody who can write to the store can make every step on it take as long as he likes.
MOST_LEASES = 10_000
MOST_WRITING_BYTES = 1 + MOST_LEASES * _LEASE_BYTES

#: Before the last part of the key of a stamp that has a companion.
COMPANION = b"/"
_HEX = frozenset(b"0123456789abcdef")

#: The token of the lease that no writer owns: it only waits for unknown writers to be over.
QUARANTINE = bytes(TOKEN_BYTES)

#: The state of the store's counter is not part of a stamp; numbers wrap nowhere before this.
MAX_NUMBER = 10**_DIGITS - 1


# Not frozen, which would make one take four times as long; each write makes two.
@dataclass(slots=True)
class Step:
    """What a step of the protocol needs to know besides the stamp.

    Args:
        now: the store's clock in ms; only ever compared with deadlines made from the same clock.
        wall: the store's wall clock in ms since 1970, kept in settled stamps for `last_write`.
        lease: how long a lease lasts, in ms.
        sequence: the sequence that a stamp settled by this step gets.
        nonce: the counter's era and 8 random bytes, so that no stamp ever returns to an earlier
            value.
        durable: whether no lease on this stamp can have been lost while its writer is in flight:
            the store loses none, or the stamp's companion is `quiet`. Only then does an absent
            stamp need no quarantine, and is one that it has over.
    """

    now: int
    wall: int
    lease: int
    sequence: int
    nonce: bytes
    durable: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled stamp, taken apart.

    Args:
        sequence: the store's counter when it was settled.
        wall: the store's wall clock then, in ms since 1970.
        nonce: the random part; it begins with the era of the counter.
    """

    sequence: int
    wall: int
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Clock:
    """A moment of a store, by which settled stamps are told from those that are settled later.

    Args:
        sequence: the counter. A stamp that is settled for a write which ends later gets a greater
            one, as long as the counter is of the same era.
        era: 8 random bytes that are made along with a counter: one that was lost may begin anew
            below where it was, and then its era is another. Empty while there is no counter.
        wall: the store's wall clock, in ms since 1970.
    """

    sequence: int
    era: bytes
    wall: int


def is_settled(stamp: bytes | None) -> bool:
    """Tell whether entries may be stored and served under this stamp."""
    return type(stamp) is bytes and len(stamp) == SETTLED_BYTES and stamp[:1] == b"S"


def joined(found: Sequence[bytes | None]) -> bytes | None:
    """Return stamps one after another where all are settled, else None."""
    # `is_settled` of each, without a call for each: every miss asks.
    for stamp in found:
        if type(stamp) is not bytes or len(stamp) != SETTLED_BYTES or stamp[0] != _SETTLED:
            return None
    return b"".join(found)  # type: ignore[arg-type]


def is_writing(stamp: bytes | None) -> bool:
    """Tell whether a well-formed stamp holds leases."""
    return (
        type(stamp) is bytes
        and stamp[:1] == b"W"
        and 1 < len(stamp) <= MOST_WRITING_BYTES
        and (len(stamp) - 1) % _LEASE_BYTES == 0
    )


def settled(sequence: int, wall: int, nonce: bytes) -> bytes:
    """Make a settled stamp."""
    return b"S%016d%016d%b" % (sequence, wall, nonce)


def parse_settled(stamp: bytes | None) -> Settled | None:
    """Take a settled stamp apart; None for any other, and for damaged ones."""
    if not is_settled(stamp):
        return None
    assert stamp is not None
    sequence, wall = stamp[1:17], stamp[17:33]
    if not (sequence.isdigit() and wall.isdigit()):
        return None
    return Settled(int(sequence), int(wall), stamp[33:])


def unchanged_since(joined: bytes, clock: Clock) -> bool:
    """Tell whether no write to what the stamps stand for was over after the clock was read.

    Args:
        joined: settled stamps as they are now, one after another.
        clock: of an earlier moment.

    A write that was in flight then settles its stamp later, so it counts as one that was over
    later. Where the counter's era is another one nobody can tell, and the answer is no.
    """
    latest = b"%016d" % clock.sequence
    for start in range(0, len(joined), SETTLED_BYTES):
        stamp = joined[start : start + SETTLED_BYTES]
        if stamp[_ERA] != clock.era or not stamp[_SEQUENCE] <= latest:
            return False
    return True


def settled_by(joined: bytes, wall: int) -> bool:
    """Tell whether every stamp had been settled by a time.

    Args:
        joined: settled stamps, one after another.
        wall: the time, in ms since 1970, by the clock of the store that they are in.
    """
    latest = b"%016d" % max(0, wall)
    return all(
        joined[start : start + SETTLED_BYTES][_WALL] <= latest
        for start in range(0, len(joined), SETTLED_BYTES)
    )


def leases(stamp: bytes | None) -> dict[bytes, int]:
    """Return the leases of a writing stamp as token → deadline in ms; none for any other stamp."""
    found: dict[bytes, int] = {}
    if not is_writing(stamp):
        return found
    assert stamp is not None
    for start in range(1, len(stamp), _LEASE_BYTES):
        deadline = stamp[start + TOKEN_BYTES : start + _LEASE_BYTES]
        # When a damaged deadline is over nobody knows; the next step gives it a whole lease.
        found[stamp[start : start + TOKEN_BYTES]] = (
            int(deadline) if deadline.isdigit() else MAX_NUMBER
        )
    return found


def writing(held: dict[bytes, int]) -> bytes:
    """Make a writing stamp of token → deadline in ms."""
    return b"W" + b"".join(b"%b%016d" % lease for lease in held.items())


def begin(stamp: bytes | None, token: bytes, step: Step) -> bytes:
    """Put the writer's lease on a stamp, or renew it; acknowledged before the write can commit."""
    if is_settled(stamp):
        # As below; most writers are alone.
        return b"W%b%016d" % (token, step.now + step.lease)
    held = _standing(stamp, step)
    if not step.durable and not _known(stamp):
        held[QUARANTINE] = step.now + step.lease
    held[token] = step.now + step.lease
    return writing(held)


def end(stamp: bytes | None, token: bytes, step: Step) -> bytes:
    """Take the writer's lease off; the last one settles a fresh stamp.

    A lease that is gone means that other writers' leases may be gone too: quarantine, unless the
    store cannot lose any, where it had simply run out.
    """
    if stamp is not None and len(stamp) == 1 + _LEASE_BYTES and stamp.startswith(b"W" + token):
        # As below; most writers are alone.
        return _fresh(step)
    mine = token in leases(stamp)
    held = _standing(stamp, step)
    held.pop(token, None)
    if not mine and not step.durable:
        held[QUARANTINE] = step.now + step.lease
    return writing(held) if held else _fresh(step)


def touch(stamp: bytes | None, step: Step) -> bytes:
    """Change a stamp without a lease: what was stored under the old one is never served again."""
    held = _standing(stamp, step)
    if not step.durable and not _known(stamp):
        held[QUARANTINE] = step.now + step.lease
    return writing(held) if held else _fresh(step)


def settle(stamp: bytes | None, step: Step) -> bytes:
    """Settle a stamp whose leases ran out, quarantine an absent one: what readers may do."""
    if is_settled(stamp):
        assert stamp is not None
        return stamp
    return touch(stamp, step)


def in_quarantine(stamp: bytes | None) -> bool:
    """Tell whether a stamp holds the lease that no writer owns, and no other."""
    return (
        stamp is not None and len(stamp) == 1 + _LEASE_BYTES and stamp.startswith(b"W" + QUARANTINE)
    )


def companion_of(key: bytes) -> bytes | None:
    """Return the key of the stamp on which whoever has a lease on this one has a lease as well.

    Args:
        key: of a stamp. One that has a companion ends in `COMPANION` and hexadecimal digits, and
            what is before is the companion's.
    """
    companion, _, own = key.rpartition(COMPANION)
    return companion if companion and own and _HEX.issuperset(own) else None


def quiet(stamp: bytes | None, token: bytes, step: Step) -> bool:
    """Tell by a companion whether nobody else is in flight who may have a lease on a stamp.

    Args:
        stamp: the companion, as it is when the step begins.
        token: of the writer whose step it is; empty where there is none.
        step: the step.
    """
    if not is_writing(stamp):
        return is_settled(stamp)
    return not _unexpired(stamp, step).keys() - {token}


def _known(stamp: bytes | None) -> bool:
    # A damaged stamp tells as little as an absent one.
    return is_settled(stamp) or is_writing(stamp)


def _unexpired(stamp: bytes | None, step: Step) -> dict[bytes, int]:
    return {
        token: step.now + step.lease if deadline == MAX_NUMBER else deadline
        for token, deadline in leases(stamp).items()
        if deadline > step.now
    }


def _standing(stamp: bytes | None, step: Step) -> dict[bytes, int]:
    held = _unexpired(stamp, step)
    if step.durable:
        # It waits for writers whose leases were lost, and there are none.
        held.pop(QUARANTINE, None)
    return held


def _fresh(step: Step) -> bytes:
    return settled(step.sequence, step.wall, step.nonce)

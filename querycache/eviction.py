"""What becomes of stamps and writes when the store's memory is full, as its own settings say."""

from __future__ import annotations

from dataclasses import dataclass

from querycache.stores.base import StoreInfo


@dataclass(frozen=True, slots=True)
class Concern:
    """Something about a store's memory that its owner should know.

    Args:
        refuses: whether writes are refused, and not only stamps lost.
        text: what will happen.
        hint: what to do about it.
    """

    refuses: bool
    text: str
    hint: str


def concern(info: StoreInfo, ttl: float | None) -> Concern | None:
    """Judge what a store does when its memory is full; None where all is well or nothing is known.

    Args:
        info: what the store tells of itself.
        ttl: seconds that an unused entry may stay in the store, None for ever.
    """
    policy = info.details.get("maxmemory_policy", "")
    if policy.startswith("allkeys-"):
        return Concern(
            False,
            f"The store evicts any key when its memory is full ({policy}), stamps too. A stamp "
            "that is evicted costs one LEASE of misses on its table, never a stale row.",
            "Set maxmemory-policy to volatile-lru: entries have a TTL and are evicted, stamps have "
            "none and stay. If other projects' keys there have none either, silence this check.",
        )
    stuck = policy == "noeviction" or (policy.startswith("volatile-") and ttl is None)
    if stuck and info.limit is not None:
        reason = policy if policy == "noeviction" else f"{policy}, and TTL is None"
        return Concern(
            True,
            f"The store evicts nothing when its memory is full ({reason}). It then refuses to be "
            "told of writes, as if it were down.",
            "Set maxmemory-policy to volatile-lru, and TTL to a number.",
        )
    return None

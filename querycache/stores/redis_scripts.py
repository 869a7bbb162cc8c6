"""The steps of `querycache.stamps` in Lua, so that Redis applies each of them in one piece.

KEYS are the stamps, the counter and the server's identity; ARGV are the lease in ms, the writer's
token (empty where there is no writer) and 16 random bytes. Numbers stay text of 16 digits wherever
they can: text of one length compares as its numbers do, and Lua's numbers are too short for the
largest ones.
Nothing here is newer than Redis 6.0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from querycache.stamps import MOST_WRITING_BYTES

# Each command costs more than a key in it, so all is read by one, and written by one. Reading the
# identity keeps it from being evicted before the stamps. MGET answers "absent" for a key that holds
# no string, and MSET replaces it: a foreign value under a stamp's key is mended like a damaged one.
_READ = """
local token, nonce = ARGV[2], ARGV[3]
local count = #KEYS - 2
local stamps = redis.call('MGET', unpack(KEYS))
local changes = {}
"""

_CLOCK = """
local time = redis.call('TIME')
local micros = string.sub('000000000' .. time[1], -10) .. string.sub('00000' .. time[2], -6)
local now = '000' .. string.sub(micros, 1, 13)
"""

_DEADLINE = """
local deadline = string.sub('000000' .. now + ARGV[1], -16)
"""

_LEASED = """
local after = 'W' .. token .. deadline
"""

# The counter is never below the server's clock in µs, so it does not go back when it is lost, nor
# when the server comes back with an old one. Clocks can be set back, and those of two servers
# differ, so a counter that is made anew also begins another era: 8 random bytes behind its number.
#
# What is no number of ours, or has come to where Lua's numbers are no longer whole, begins anew.
_FRESH = """
local sequence, era = micros, string.sub(nonce, 1, 8)
local last = stamps[count + 1]
local before = last and #last == 24 and string.sub(last, 1, 16)
if before and string.find(before, '^[0-8]%d+$') then
  if before >= sequence then
    sequence = string.format('%016.0f', before + 1)
  end
  era = string.sub(last, 17)
end
local size = #changes
changes[size + 1], changes[size + 2] = KEYS[count + 1], sequence .. era
local after = 'S' .. sequence .. now .. era .. string.sub(nonce, 9)
"""

# Most writers are alone, and then all stamps become the same: what is below is not even defined,
# for functions cost a script more than what they do.
_ALONE = """
local alone, start = true, START
for i = 1, count do
  local stamp = stamps[i]
  if not stamp or #stamp ~= SIZE or string.sub(stamp, 1, #start) ~= start then
    alone = false
    break
  end
end
if alone then
  AFTER
  local size = #changes
  for i = 1, count do
    changes[size + 2 * i - 1], changes[size + 2 * i] = KEYS[i], after
  end
  redis.call('MSET', unpack(changes))
  return 1
end
"""

_COMMON = """
CLOCK
DEADLINE
local fresh_stamp
local function fresh()
  if not fresh_stamp then
    FRESH
    fresh_stamp = after
  end
  return fresh_stamp
end

local quarantine = string.rep('\\0', 16)

local function is_settled(stamp)
  return stamp and #stamp == 49 and string.sub(stamp, 1, 1) == 'S'
end

local function is_writing(stamp)
  return stamp and #stamp > 1 and #stamp <= MOST and string.sub(stamp, 1, 1) == 'W'
    and (#stamp - 1) % 32 == 0
end

-- The leases that have not run out, without that of one writer, in the order of the stamp; and
-- whether that writer's was among them, run out or not.
local function leases(stamp, without)
  local all, kept, ends, found = {}, {}, {}, false
  if is_writing(stamp) then
    for at = 2, #stamp, 32 do
      local owner, text = string.sub(stamp, at, at + 15), string.sub(stamp, at + 16, at + 31)
      if not string.find(text, '^%d+$') or text == '9999999999999999' then
        text = deadline
      end
      if not ends[owner] then
        all[#all + 1] = owner
      end
      ends[owner] = text
    end
    for _, owner in ipairs(all) do
      if owner == without then
        found = true
        ends[owner] = nil
      elseif ends[owner] > now then
        kept[#kept + 1] = owner
      else
        ends[owner] = nil
      end
    end
  end
  return kept, ends, found
end

local function put(kept, ends, owner)
  if not ends[owner] then
    kept[#kept + 1] = owner
  end
  ends[owner] = deadline
end

local function writing(kept, ends)
  local parts = {'W'}
  for _, owner in ipairs(kept) do
    parts[#parts + 1] = owner
    parts[#parts + 1] = ends[owner]
  end
  return table.concat(parts)
end

-- The place of each stamp.
local places

-- Whether a stamp's companion says that nobody but the writer can have a lost lease on it: see
-- `companion_of` and `quiet` in querycache.stamps.
local function is_alone(place)
  local companion = string.match(KEYS[place], '^(.+)/[0-9a-f]+$')
  if not companion then
    return false
  end
  if not places then
    places = {}
    for at = 1, count do
      places[KEYS[at]] = at
    end
  end
  local stamp = places[companion] and stamps[places[companion]]
  if not is_writing(stamp) then
    return is_settled(stamp)
  end
  return #leases(stamp, token) == 0
end

-- As `leases`, without a quarantine that is over since the writers are that it waits for.
local function standing(stamp, place, without)
  local kept, ends, found = leases(stamp, without)
  if ends[quarantine] and is_alone(place) then
    ends[quarantine] = nil
    for at, owner in ipairs(kept) do
      if owner == quarantine then
        table.remove(kept, at)
        break
      end
    end
  end
  return kept, ends, found
end

local function is_lost(stamp, place)
  return not (is_settled(stamp) or is_writing(stamp)) and not is_alone(place)
end

local function without_lease(stamp, place)
  local kept, ends = standing(stamp, place)
  if is_lost(stamp, place) then
    put(kept, ends, quarantine)
  end
  if #kept > 0 then
    return writing(kept, ends)
  end
  return fresh()
end
"""

_BEGIN = """
local function step(stamp, place)
  local kept, ends = standing(stamp, place)
  if is_lost(stamp, place) then
    put(kept, ends, quarantine)
  end
  put(kept, ends, token)
  return writing(kept, ends)
end
"""

_END = """
local function step(stamp, place)
  local kept, ends, found = standing(stamp, place, token)
  if not found and not is_alone(place) then
    put(kept, ends, quarantine)
  end
  if #kept > 0 then
    return writing(kept, ends)
  end
  return fresh()
end
"""

_TOUCH = """
local step = without_lease
"""

_SETTLE = """
local function step(stamp, place)
  if is_settled(stamp) then
    return stamp
  end
  return without_lease(stamp, place)
end
"""

_APPLY = """
local answer = {}
for i = 1, count do
  answer[i] = step(stamps[i], i)
  if answer[i] ~= stamps[i] then
    local size = #changes
    changes[size + 1], changes[size + 2] = KEYS[i], answer[i]
  end
end
if #changes > 0 then
  redis.call('MSET', unpack(changes))
end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest that Redis knows it by.

    Args:
        text: the whole script.
    """

    text: bytes
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()
        object.__setattr__(self, "digest", digest)


def _script(step: str, answer: str, alone: str = "") -> Script:
    common = _filled(
        _COMMON, CLOCK=_CLOCK, DEADLINE=_DEADLINE, FRESH=_FRESH, MOST=str(MOST_WRITING_BYTES)
    )
    return Script((_READ + alone + common + step + _APPLY + answer).encode())


def _alone(size: int, start: str, after: str) -> str:
    return _filled(_ALONE, SIZE=str(size), START=start, AFTER=_CLOCK + after)


def _filled(text: str, **parts: str) -> str:
    for name, part in parts.items():
        text = text.replace(name, part.strip())
    return text


BEGIN = _script(_BEGIN, "return 1\n", _alone(49, "'S'", _DEADLINE + _LEASED))
END = _script(_END, "return 1\n", _alone(33, "'W' .. token", _FRESH))
TOUCH = _script(_TOUCH, "return 1\n")
SETTLE = _script(_SETTLE, "return answer\n")
CLOCK = Script(b"return {redis.call('GET', KEYS[1]), redis.call('TIME')}\n")

#: More keys than this in one call would be too many for Lua's stack.
MOST_KEYS = 1000

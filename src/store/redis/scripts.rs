//! What a Redis does in one step, in its own language. Every script touches one slot of a cluster: a record is one hash
//! (`r` its revision, `e` its end or nothing, `v` its content), and the index of a table is two sorted sets.
//!
//! A record and the index lie in different slots, so no script changes both, and a crash can come between. This order keeps
//! it harmless:
//!
//! 1. An id enters the index **before** its record is written, with a lease: the record has to be written within
//!    [`WRITE_WITHIN_MS`], else the script that would write it refuses. A crash leaves an id without a record, which a scan
//!    passes over; a record without an id, which a scan would miss, never comes to be.
//! 2. An id leaves the index only when its record was found missing **after** the moment `due`, and only if `due` did not
//!    change meanwhile. Entering sets `due` at least [`LEASE_MS`] ahead; as that is longer than the lease to write, whoever
//!    entered before the look has either written, and the record was found, or will be refused.
//!
//! The end of a record is judged by the gateway's clock. Redis itself forgets it a little later ([`FORGET_AFTER_MS`]), so that
//! clocks that differ slightly never make a record vanish early.

use std::sync::LazyLock;

use ::redis::Script;

/// How long after it entered the index a record may be written.
pub(super) const WRITE_WITHIN_MS: u64 = 30_000;
/// How long an id stays in the index at least.
pub(super) const LEASE_MS: u64 = 120_000;
/// How long after its end a record is forgotten.
pub(super) const FORGET_AFTER_MS: u64 = 60_000;

const TIME: &str = "
local function time()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
local function is_live(kept, now)
  return kept[1] and not (kept[2] ~= '' and tonumber(kept[2]) <= tonumber(now))
end
local function forget_after(key, millis)
  if millis == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, millis) end
end
";

fn script(body: &str) -> Script {
    Script::new(&format!("{TIME}{body}"))
}

/// `record; how, now, revision, end, forget after, value, write before, expected` → 1, 0 for "no", -1 for "too late".
pub(super) static WRITE: LazyLock<Script> = LazyLock::new(|| {
    script(
        "
local kept = redis.call('HMGET', KEYS[1], 'r', 'e')
local live = is_live(kept, ARGV[2])
if ARGV[1] == 'create' and live then return 0 end
if ARGV[1] == 'replace' then
  if not (live and kept[1] == ARGV[8]) then return 0 end
elseif time() > tonumber(ARGV[7]) then
  return -1
end
redis.call('HSET', KEYS[1], 'r', ARGV[3], 'e', ARGV[4], 'v', ARGV[6])
forget_after(KEYS[1], ARGV[5])
return 1
",
    )
});

/// `record; now` → revision, end and value of what was there.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    script(
        "
local kept = redis.call('HMGET', KEYS[1], 'r', 'e', 'v')
redis.call('DEL', KEYS[1])
if is_live(kept, ARGV[1]) then return kept end
return false
",
    )
});

/// `record; now` → whether it was there.
pub(super) static DELETE: LazyLock<Script> = LazyLock::new(|| {
    script(
        "
local kept = redis.call('HMGET', KEYS[1], 'r', 'e')
redis.call('DEL', KEYS[1])
return is_live(kept, ARGV[1]) and 1 or 0
",
    )
});

/// `record; now, revision, end, forget after, write before` → the count, 0 for "not there" (asked without a lease), -1 for
/// "too late".
pub(super) static BUMP: LazyLock<Script> = LazyLock::new(|| {
    script(
        "
local kept = redis.call('HMGET', KEYS[1], 'r', 'e')
if is_live(kept, ARGV[1]) then
  redis.call('HSET', KEYS[1], 'r', ARGV[2])
  return redis.call('HINCRBY', KEYS[1], 'v', 1)
end
if ARGV[5] == '' then return 0 end
if time() > tonumber(ARGV[5]) then return -1 end
redis.call('HSET', KEYS[1], 'r', ARGV[2], 'e', ARGV[3], 'v', '1')
forget_after(KEYS[1], ARGV[4])
return 1
",
    )
});

/// `ids, due; id, forget after, lease, write within` → until when to write, then ids that are due with the moments at which
/// they were.
pub(super) static ENTER: LazyLock<Script> = LazyLock::new(|| {
    script(
        "
local now = time()
local ahead = tonumber(ARGV[3])
if ARGV[2] ~= '' then ahead = math.max(ahead, tonumber(ARGV[2])) end
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ahead), ARGV[1])
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'WITHSCORES', 'LIMIT', 0, 8)
return {string.format('%.0f', now + tonumber(ARGV[4])), due}
",
    )
});

/// `ids, due; id, due as it was seen, time that the record has left, lease`: what was found about an id that was due.
pub(super) static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    script(
        "
if redis.call('ZSCORE', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
local left = tonumber(ARGV[3])
if left == -2 then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
elseif left == -1 then
  redis.call('ZADD', KEYS[2], '+inf', ARGV[1])
else
  redis.call('ZADD', KEYS[2], string.format('%.0f', time() + left + tonumber(ARGV[4])), ARGV[1])
end
return 1
",
    )
});

/// `due; lease, ids...`: these have no record; look at them when a lease is over.
pub(super) static SUSPECT: LazyLock<Script> = LazyLock::new(|| {
    script(
        "
local soon = time() + tonumber(ARGV[1])
for at = 2, #ARGV do
  local due = redis.call('ZSCORE', KEYS[1], ARGV[at])
  if due and tonumber(due) > soon then
    redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', soon), ARGV[at])
  end
end
return 0
",
    )
});

package binding

import (
	"encoding/base64"

	"github.com/redis/go-redis/v9"
)

// Scripts are what Redis runs as one. A session is a string with the life of an
// unused one, and each owner a sorted set of its sessions by when they were used
// last, in microseconds, with the same life. The first argument is what stands
// before the name of an owner in the key of its set. What is no value of ours is
// left as it is, and returned: its reader refuses it.
type scripts struct{ find, bind, forget *redis.Script }

func newScripts() scripts {
	return scripts{redis.NewScript(prelude + findScript), redis.NewScript(prelude + bindScript), redis.NewScript(prelude + forgetScript)}
}

const prelude = `
local owners, life = ARGV[1], ARGV[2]

local function now()
	local t = redis.call('TIME')
	return t[1] * 1000000 + t[2]
end

local function owner(value)
	return string.match(value, '^1\n([^\n]*\n[^\n]*)\n')
end
`

const findScript = `
local found = {}
for i, key in ipairs(KEYS) do
	local value = redis.call('GET', key)
	local of = value and owner(value)
	if of then
		redis.call('PEXPIRE', key, life)
		redis.call('ZADD', owners .. of, 'XX', now(), key)
		redis.call('PEXPIRE', owners .. of, life)
	end
	found[i] = value
end
return found
`

const bindScript = `
local key, value, mine, most = KEYS[1], ARGV[3], ARGV[4], tonumber(ARGV[5])
local had = redis.call('GET', key)
if had then
	local of = owner(had)
	if of ~= mine and of ~= '\n' then
		return had
	end
	redis.call('ZREM', owners .. of, key)
end
redis.call('SET', key, value, 'PX', life)
local set, at = owners .. mine, now()
redis.call('ZADD', set, at, key)
redis.call('PEXPIRE', set, life)
redis.call('ZREMRANGEBYSCORE', set, '-inf', at - life * 1000)
local over = redis.call('ZCARD', set) - most
if over > 0 then
	for _, oldest in ipairs(redis.call('ZRANGE', set, 0, over - 1)) do
		redis.call('DEL', oldest)
		redis.call('ZREM', set, oldest)
	end
end
return value
`

const forgetScript = `
for _, key in ipairs(KEYS) do
	local value = redis.call('GET', key)
	local of = value and owner(value)
	if of then
		redis.call('ZREM', owners .. of, key)
	end
	redis.call('DEL', key)
end
return 0
`

// names are the keys of sessions in Redis.
func (r *Redis) names(keys []Key) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = r.prefix + "session:" + base64.RawURLEncoding.EncodeToString(k[:])
	}
	return names
}

// owners stands before the name of an owner.
func (r *Redis) owners() string { return r.prefix + "owner:" }

-- What Sidetap tells Envoy besides whom to refuse: written into the route configuration by Sidetap, run by Envoy's Lua filter for each request.
-- Envoy lets a request through whose script fails.

local RANK = { tag = 1, ["rate-limit"] = 2, deceive = 3, block = 4 }
local MOST = 20000
local HEADERS = { NAMES }

SHARED
local bxor, bor, band, lshift, rshift, rol = bit.bxor, bit.bor, bit.band, bit.lshift, bit.rshift, bit.rol

-- Eight bytes of a text from a place on, the first the lowest; what is beyond its end is nothing.
local function word(text, at)
  local a, b, c, d, e, f, g, h = text:byte(at, at + 7)
  local low = (a or 0) + (b or 0) * 256 + (c or 0) * 65536 + (d or 0) * 16777216
  local high = (e or 0) + (f or 0) * 256 + (g or 0) * 65536 + (h or 0) * 16777216
  return bor(1ULL * low, lshift(1ULL * high, 32))
end

-- The site's key, `sidetap-key-v1:` and 32 hexadecimal digits.
local K0, K1
do
  local file = io.open("HASH_KEY", "rb")
  local hex = file and (file:read(256) or ""):match("^sidetap%-key%-v1:(%x+)%s*$")
  if file then file:close() end
  if hex and #hex == 32 then
    local bytes = hex:gsub("..", function(d) return string.char(tonumber(d, 16)) end)
    K0, K1 = word(bytes, 1), word(bytes, 9)
  end
end

-- SipHash-2-4 with 128 bits; the upper half. All in one loop: so it becomes machine code.
local function siphash(text)
  local v0, v1 = bxor(K0, 0x736f6d6570736575ULL), bxor(K1, 0x646f72616e646f6dULL, 0xeeULL)
  local v2, v3 = bxor(K0, 0x6c7967656e657261ULL), bxor(K1, 0x7465646279746573ULL)
  local size = #text
  local whole = size - size % 8
  for i = 1, whole + 17, 8 do
    -- The words, and then two times four rounds.
    local m, rounds = 0ULL, 4
    if i <= whole then
      m, rounds = word(text, i), 2
    elseif i == whole + 1 then
      m, rounds = bor(word(text, i), lshift(1ULL * size, 56)), 2
    elseif i == whole + 9 then
      v2 = bxor(v2, 0xeeULL)
    else
      v1 = bxor(v1, 0xddULL)
    end
    v3 = bxor(v3, m)
    for _ = 1, rounds do
      v0 = v0 + v1; v1 = bxor(rol(v1, 13), v0); v0 = rol(v0, 32)
      v2 = v2 + v3; v3 = bxor(rol(v3, 16), v2)
      v0 = v0 + v3; v3 = bxor(rol(v3, 21), v0)
      v2 = v2 + v1; v1 = bxor(rol(v1, 17), v2); v2 = rol(v2, 32)
    end
    v0 = bxor(v0, m)
  end
  return bxor(v0, v1, v2, v3)
end

local BASIS = 0xcbf29ce484222325ULL

local function finish(h)
  h = bxor(h, rshift(h, 33)) * 0xff51afd7ed558ccdULL
  h = bxor(h, rshift(h, 33)) * 0xc4ceb9fe1a85ec53ULL
  return bxor(h, rshift(h, 33))
end

-- FNV-1a over the bytes, with a byte 0xff after each part.
local function fnv(a, b)
  local h = BASIS
  for _, part in ipairs({ a, b }) do
    for i = 1, #part do h = bxor(h, 1ULL * part:byte(i)) * 0x00000100000001b3ULL end
    h = bxor(h, 0xffULL) * 0x00000100000001b3ULL
  end
  return finish(h)
end

-- Takes bytes into a hash eight at a time, with their number.
local function mixed(h, text)
  local whole = #text - #text % 8
  for i = 1, whole, 8 do
    h = bxor(h, word(text, i)) * 0x9e3779b97f4a7c15ULL
    h = bxor(h, rshift(h, 29))
  end
  h = bxor(h, word(text, whole + 1), lshift(1ULL * #text, 56)) * 0x9e3779b97f4a7c15ULL
  return bxor(h, rshift(h, 29))
end

-- The head as a balancer still has it. Envoy keeps no place for Host; clients send it first.
local function door(last, names)
  local h = mixed(BASIS, "host")
  for _, name in ipairs(names) do
    if not LEFT_OUT[name] and name:sub(1, 8) ~= "x-envoy-" then h = mixed(h, name:sub(1, 32)) end
  end
  local accept, encoding = last("accept") or "-", last("accept-encoding") or "-"
  local media = (last("content-type") or "-"):match("^[^;]*")
  if #accept + #encoding + #media > MOST_BYTES then return nil end
  return finish(mixed(mixed(mixed(h, accept), encoding), media))
end

-- Who a request is of, besides its address, as far as entries of that kind are there; and whether it has too many cookies.
local function whos(headers, kinds)
  local all, fields, names, target, over = {}, {}, {}, "", false
  for name, value in pairs(headers) do
    if name == ":path" then
      target = value
    elseif name:sub(1, 1) ~= ":" then
      names[#names + 1] = name
      local list = fields[name] or {}
      fields[name], list[#list + 1] = list, value
    end
  end
  local function last(name)
    local list = fields[name]
    return list and list[#list]
  end
  local function add(who) all[#all + 1] = who end
  if kinds["a1"] then
    local agent, language = last("user-agent") or "", last("accept-language") or ""
    if #agent + #language <= MOST_BYTES then add("a1-" .. bit.tohex(fnv(agent, language), 16)) end
  end
  if kinds["d1"] then
    local head = door(last, names)
    if head then add("d1-" .. bit.tohex(head, 16)) end
  end
  if K0 and (kinds["session"] or kinds["api-key"]) then
    over = secrets(fields, target:match("%?(.*)$") or "", function(kind, value)
      if kinds[kind] then add(kind .. ":" .. bit.tohex(siphash(kind .. "\0" .. value), 16)) end
    end)
  end
  for _, name in ipairs(kinds["header"] and HEADERS or {}) do
    local value = last(name)
    if value and #value <= 512 then add("header:" .. name .. "=" .. spelled(value)) end
  end
  return all, over and kinds["session"]
end

-- An address as a text of bits, after its family.
local function bits_of(ip)
  local out, groups, width, family = {}, {}, 16, "6"
  if ip:find(":", 1, true) then
    local head, tail = ip:match("^(.-)::(.*)$")
    for group in (head or ip):gmatch("%x+") do groups[#groups + 1] = tonumber(group, 16) end
    local last = {}
    for group in (tail or ""):gmatch("%x+") do last[#last + 1] = tonumber(group, 16) end
    while head and #groups + #last < 8 do groups[#groups + 1] = 0 end
    for _, group in ipairs(last) do groups[#groups + 1] = group end
  else
    width, family = 8, "4"
    for group in ip:gmatch("%d+") do groups[#groups + 1] = tonumber(group) end
  end
  for _, group in ipairs(groups) do
    for bit = width - 1, 0, -1 do
      out[#out + 1] = math.floor(group / 2 ^ bit) % 2 == 1 and "1" or "0"
    end
  end
  return family .. table.concat(out)
end

-- Of what kinds entries are that are no addresses.
local KINDS = { IN_USE }
local ANY = next(KINDS) ~= nil

-- Lines of `WHO RESPONSE`: an address, a network, or what a request is besides, alone or at one address (`ADDRESS|WHO`).
local function list_of(text)
  local list = { single = {}, wide = {}, lengths = {} }
  local known = {}
  for net, response in text:gmatch("(%S+) (%S+)") do
    local address, length = net:match("^([%x:.]+)/(%d+)$")
    if address then
      local prefix = bits_of(address):sub(1, tonumber(length) + 1)
      list.wide[prefix] = response
      if not known[#prefix] then
        known[#prefix] = true
        list.lengths[#list.lengths + 1] = #prefix
      end
    else
      list.single[net] = response
    end
  end
  return list
end

local EVERYWHERE = list_of([[
LIST
]])
local PLACES = {
PLACED
}
-- Whoever is never refused, whatever else stands for him.
local ALLOWED = list_of([[
NEVER
]])

-- `RESPONSE`, or `RESPONSE=HOW` where the rule behind it says how.
local function rank_of(response)
  return response and RANK[response:match("^[^=]+")] or 0
end

-- The stronger response, and of one response the harder way; of those as hard the one that was found first.
local function stronger(a, b)
  local old, new = rank_of(a), rank_of(b)
  if new ~= old then return new > old and b or a end
  local kind, word = (b or ""):match("^([^=]*)=(.*)$")
  return kind and hardness(kind, word) > hardness(kind, a:match("=(.*)$")) and b or a
end

local function asked(list, bits, who, best)
  for _, one in ipairs(who) do best = stronger(best, list.single[one]) end
  if #list.lengths > 0 then
    for _, length in ipairs(list.lengths) do best = stronger(best, list.wide[bits():sub(1, length)]) end
  end
  return best
end

local function is_allowed(ip, bits)
  if ALLOWED.single[ip] then return true end
  for _, length in ipairs(ALLOWED.lengths) do
    if ALLOWED.wide[bits():sub(1, length)] then return true end
  end
  return false
end

-- Parts of a path that tell whether a request is at a place; of a longer one the rest is not looked at.
local PARTS = 0
for _, place in ipairs(PLACES) do PARTS = math.max(PARTS, #place.path + 2) end

-- What may stand in a path as it is: Envoy undoes escapes of few of these, applications of all.
local RAW = {}
for byte in (":+=$!,-._~"):gmatch(".") do
  local code = string.format("%02x", byte:byte())
  RAW[code], RAW[code:upper()] = byte, byte
end

-- `bare` are the parts without parameters (`;x=1`), which are the same path: taken once, however many places there are.
local function is_at(place, method, host, path, bare)
  if place.method and place.method ~= method then return false end
  if place.below then
    if #host <= #place.below or host:sub(-#place.below) ~= place.below then return false end
  elseif place.host and host ~= place.host then
    return false
  end
  for i, part in ipairs(place.path) do
    if part == "**" then return true end
    local given = path[i]
    if given == nil then return false end
    if part ~= given and part ~= bare[i] and (part ~= "*" or given == "") then return false end
  end
  return #place.path == #path
end

-- How many requests of one came in this span of seconds and were let through, and in the one before. Of too many those are forgotten that
-- did not come lately.
local CONFIGURED = RATE
local seen, older, count = {}, {}, 0
local function too_many(whom, how)
  local most, span = (how or ""):match("^(%d+)/(%d+)$")
  most, span = tonumber(most) or CONFIGURED, tonumber(span) or 1
  local name = whom .. " " .. span
  local now, mine = os.time(), seen[name]
  local at = math.floor(now / span)
  if mine == nil then
    if count >= MOST then seen, older, count = {}, seen, 0 end
    mine, count = older[name] or { at = at, n = 0, before = 0 }, count + 1
    seen[name] = mine
  end
  if mine.at ~= at then
    -- Spans of a second are counted alone: this clock knows no shorter ones.
    mine.before = span > 1 and mine.at == at - 1 and mine.n or 0
    mine.at, mine.n = at, 0
  end
  if mine.n + 1 + mine.before * (1 - now % span / span) > most then return true end
  mine.n = mine.n + 1
  return false
end

-- What deceived clients are answered: as it is configured, and as rules say it.
local ANSWER = DECOY
local ANSWERS = { DECOYS }

function envoy_on_request(handle)
  local headers = handle:headers()
  -- Nobody but this script marks requests.
  headers:remove("TAG")
  local remote = handle:streamInfo():downstreamRemoteAddress()
  local ip = remote:match("^%[(.*)%]:%d+$") or remote:match("^(.*):%d+$") or remote
  -- One of IPv4 that a proxy of both families forwards is no other.
  ip = ip:match("^::ffff:(%d+%.%d+%.%d+%.%d+)$") or ip
  local text
  local function bits()
    text = text or bits_of(ip)
    return text
  end
  local who, over = {}, false
  if ANY then who, over = whos(headers, KINDS) end
  -- Each alone and at the address, and the address.
  for i = 1, #who do who[#who + 1] = ip .. "|" .. who[i] end
  who[#who + 1] = ip
  local best
  if #PLACES > 0 then
    local method, path, bare = headers:get(":method"), {}, {}
    local host = host_of(headers:get(":authority") or "")
    local target = (headers:get(":path") or "/"):gsub("[?#].*$", ""):gsub("^/", "")
    -- Slashes at the end say nothing, however they are written.
    local size = #target
    while size > 0 do
      if target:byte(size) == 47 then
        size = size - 1
      elseif target:sub(size - 2, size):lower() == "%2f" then
        size = size - 3
      else
        break
      end
    end
    target = target:sub(1, size):gsub("%%(%x%x)", RAW)
    for part in (target .. "/"):gmatch("([^/]*)/") do
      -- One that is parameters and nothing else is none.
      if part:byte() ~= 59 then
        path[#path + 1] = part
        bare[#path] = part:match("^[^;]*")
      end
      if #path == PARTS then break end
    end
    if #path == 0 then path[1], bare[1] = "", "" end
    for _, place in ipairs(PLACES) do
      if is_at(place, method, host, path, bare) then best = asked(place.list, bits, who, best) end
    end
  end
  best = asked(EVERYWHERE, bits, who, best)
  -- The canary asks whether what is listed is refused, often from an address that never is: it counts as coming from none.
  if (best or over) and who[1] ~= CANARY and is_allowed(ip, bits) then return end
  if best == "block" then
    handle:respond({ [":status"] = "403" }, "")
  elseif over then
    handle:respond({ [":status"] = "431" }, "")
    return
  end
  local response, how = (best or ""):match("^([^=]*)=?(.*)$")
  if response == "tag" then
    headers:replace("TAG", how ~= "" and how or "1")
  elseif response == "rate-limit" and too_many(network(ip), how) then
    handle:respond({ [":status"] = "429" }, "")
  elseif response == "deceive" then
    local answer = ANSWERS[tonumber(how) or 0] or ANSWER
    handle:respond({ [":status"] = answer.status, ["content-type"] = answer.type }, answer.body)
  end
end

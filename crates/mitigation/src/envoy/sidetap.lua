-- What Sidetap tells Envoy besides whom to refuse: written into the route configuration by Sidetap, run by Envoy's Lua filter for each request.
-- Envoy lets a request through whose script fails.

local RANK = { tag = 1, ["rate-limit"] = 2, deceive = 3 }
local MOST = 20000

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

-- Lines of `ADDRESS[/BITS] RESPONSE`.
local function list_of(text)
  local list = { single = {}, wide = {}, lengths = {} }
  local known = {}
  for net, response in text:gmatch("(%S+) (%S+)") do
    local address, length = net:match("^(.*)/(%d+)$")
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

local function stronger(a, b)
  return (RANK[b] or 0) > (RANK[a] or 0) and b or a
end

local function asked(list, ip, bits, best)
  best = stronger(best, list.single[ip])
  if #list.lengths > 0 then
    for _, length in ipairs(list.lengths) do best = stronger(best, list.wide[bits():sub(1, length)]) end
  end
  return best
end

local function is_at(place, method, host, path)
  if place.method and place.method ~= method then return false end
  if place.below then
    if #host <= #place.below or host:sub(-#place.below) ~= place.below then return false end
  elseif place.host and host ~= place.host then
    return false
  end
  for i, part in ipairs(place.path) do
    if part == "**" then return true end
    local given = path[i]
    if given == nil or (part ~= given and (part ~= "*" or given == "")) then return false end
  end
  return #place.path == #path
end

-- How many requests of an address came in this second; of too many addresses all are forgotten.
local seen, count = {}, 0
local function too_many(ip)
  local now, mine = os.time(), seen[ip]
  if mine == nil then
    if count >= MOST then seen, count = {}, 0 end
    mine, count = { at = now, n = 0 }, count + 1
    seen[ip] = mine
  end
  if mine.at ~= now then mine.at, mine.n = now, 0 end
  mine.n = mine.n + 1
  return mine.n > RATE
end

function envoy_on_request(handle)
  local headers = handle:headers()
  -- Nobody but this script marks requests.
  headers:remove("TAG")
  local remote = handle:streamInfo():downstreamRemoteAddress()
  local ip = remote:match("^%[(.*)%]:%d+$") or remote:match("^(.*):%d+$") or remote
  local text
  local function bits()
    text = text or bits_of(ip)
    return text
  end
  local best = asked(EVERYWHERE, ip, bits, nil)
  if #PLACES > 0 then
    local method, path = headers:get(":method"), {}
    local host = (headers:get(":authority") or ""):lower():gsub(":%d+$", "")
    local target = (headers:get(":path") or "/"):gsub("[?#].*$", ""):gsub("^/", "")
    for part in (target .. "/"):gmatch("([^/]*)/") do path[#path + 1] = part end
    for _, place in ipairs(PLACES) do
      if is_at(place, method, host, path) then best = asked(place.list, ip, bits, best) end
    end
  end
  if best == "tag" then
    headers:replace("TAG", "1")
  elseif best == "rate-limit" and too_many(ip) then
    handle:respond({ [":status"] = "429" }, "")
  elseif best == "deceive" then
    handle:respond({ [":status"] = "DECOY_STATUS", ["content-type"] = "DECOY_TYPE" }, DECOY_BODY)
  end
end

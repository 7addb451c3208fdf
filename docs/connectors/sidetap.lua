-- What Sidetap's entries are compared with besides addresses, for HAProxy 2.4 and later: the fingerprints of a client's agent and
-- head (`a1-`, `d1-`, docs/fingerprints.md), the site's keyed hashes of sessions and API keys, values of headers, and where a request is.
--
-- `http-request lua.sidetap` sets txn.st_do to the strongest response that stands for the request, if any; `lua.sidetap_delay` has it
-- wait; `lua.sidetap_pass` sets txn.st_passed where the client has solved a challenge, and txn.st_token to what solves it.
-- Whatever goes wrong here leaves the variables unset, and the request goes on. Nothing is written or logged.

local KEYS = os.getenv("SIDETAP_KEYS")
local PLACES = os.getenv("SIDETAP_PLACES")
local NETS = os.getenv("SIDETAP_NETS")
local HASH_KEY = os.getenv("SIDETAP_HASH_KEY")
local HEADERS = os.getenv("SIDETAP_HEADERS") or "user-agent"
local DELAY_MS = tonumber(os.getenv("SIDETAP_DELAY_MS") or "") or 3000

local keys = KEYS and Map.new(KEYS, Map._str)
local places = PLACES and Map.new(PLACES, Map._reg)
local nets = NETS and Map.new(NETS, Map._ip)

local RANK = { tag = 1, ["rate-limit"] = 2, tarpit = 3, challenge = 4, ["geo-fence"] = 5, deceive = 6, block = 7 }
-- Longer values cost time, and are nobody's fingerprint, session or key.
local MOST_BYTES = 4096
-- Values of one request that are hashed; HAProxy's buffer bounds the bytes of all.
local MOST_SECRETS = 1100

-- Reads a file at the start, as the user that starts HAProxy.
local function read(path)
    local file = path and io.open(path, "rb")
    local text = file and file:read(256)
    if file then file:close() end
    return text
end

local function words(bytes)
    return string.unpack("<i8i8", bytes)
end

-- The site's key, `sidetap-key-v1:` and 32 hexadecimal digits.
local K0, K1
do
    local hex = (read(HASH_KEY) or ""):match("^sidetap%-key%-v1:(%x+)%s*$")
    if hex and #hex == 32 then
        K0, K1 = words((hex:gsub("..", function(d) return string.char(tonumber(d, 16)) end)))
    end
end

-- A key of this process's own: what it says about challenges holds until it ends.
local random = io.open("/dev/urandom", "rb")
local P0, P1 = words(random:read(16))
random:close()

-- SipHash-2-4 with 128 bits; the upper half (Lua's integers wrap at 64 bits).
local function siphash(k0, k1, text)
    local v0, v1 = k0 ~ 0x736f6d6570736575, k1 ~ 0x646f72616e646f6d ~ 0xee
    local v2, v3 = k0 ~ 0x6c7967656e657261, k1 ~ 0x7465646279746573
    local function rounds(n)
        for _ = 1, n do
            v0 = v0 + v1; v1 = (v1 << 13 | v1 >> 51) ~ v0; v0 = v0 << 32 | v0 >> 32
            v2 = v2 + v3; v3 = (v3 << 16 | v3 >> 48) ~ v2
            v0 = v0 + v3; v3 = (v3 << 21 | v3 >> 43) ~ v0
            v2 = v2 + v1; v1 = (v1 << 17 | v1 >> 47) ~ v2; v2 = v2 << 32 | v2 >> 32
        end
    end
    local whole = #text - #text % 8
    for i = 1, whole, 8 do
        local m = string.unpack("<i8", text, i)
        v3 = v3 ~ m; rounds(2); v0 = v0 ~ m
    end
    local rest = text:sub(whole + 1)
    local m = string.unpack("<i8", rest .. ("\0"):rep(8 - #rest)) | #text << 56
    v3 = v3 ~ m; rounds(2); v0 = v0 ~ m
    v2 = v2 ~ 0xee; rounds(4)
    v1 = v1 ~ 0xdd; rounds(4)
    return v0 ~ v1 ~ v2 ~ v3
end

-- FNV-1a over the bytes, with a byte 0xff after each part, and a final mix.
local function fnv(parts)
    local h = 0xcbf29ce484222325
    for _, part in ipairs(parts) do
        for i = 1, #part do
            h = (h ~ part:byte(i)) * 0x00000100000001b3
        end
        h = (h ~ 0xff) * 0x00000100000001b3
    end
    h = (h ~ (h >> 33)) * 0xff51afd7ed558ccd
    h = (h ~ (h >> 33)) * 0xc4ceb9fe1a85ec53
    return h ~ (h >> 33)
end

-- Fields that come and go by request, that hops add, or that are between two hops.
local LEFT_OUT = {}
for name in ([[sec-fetch-user referer cookie if-none-match if-modified-since if-match if-range content-length transfer-encoding
    authorization expect range date traceparent tracestate x-request-id x-correlation-id x-amzn-trace-id x-b3-traceid x-b3-spanid
    x-forwarded-for forwarded x-real-ip true-client-ip cf-connecting-ip x-forwarded-proto x-forwarded-host x-forwarded-port via
    connection keep-alive proxy-connection te upgrade trailer]]):gmatch("%S+") do
    LEFT_OUT[name] = true
end

-- Takes bytes into a hash eight at a time, with their number.
local function mixed(h, text)
    local whole = #text - #text % 8
    for i = 1, whole, 8 do
        h = (h ~ (string.unpack("<i8", text, i))) * 0x9e3779b97f4a7c15
        h = h ~ (h >> 29)
    end
    local rest = text:sub(whole + 1)
    local last_word = string.unpack("<i8", rest .. ("\0"):rep(8 - #rest)) ~ (#text << 56)
    h = (h ~ last_word) * 0x9e3779b97f4a7c15
    return h ~ (h >> 29)
end

-- The values of a header, as the wire has them.
local function values(headers, name)
    local all, found = {}, headers[name]
    local n = 0
    while found and found[n] do
        all[#all + 1] = found[n]
        n = n + 1
    end
    return all
end

local function last(headers, name)
    local all = values(headers, name)
    return all[#all] or ""
end

-- The head as a balancer still has it: names in their order and lower case, and a few values.
local function door(headers, names)
    local h = 0xcbf29ce484222325
    for name in names:gmatch("[^,]+") do
        if not LEFT_OUT[name] then h = mixed(h, name:sub(1, 32)) end
    end
    local function given(name)
        local all = values(headers, name)
        return all[#all] or "-"
    end
    local accept, encoding, media = given("accept"), given("accept-encoding"), given("content-type"):match("^[^;]*")
    if #accept + #encoding + #media > MOST_BYTES then return nil end
    h = mixed(mixed(mixed(h, accept), encoding), media)
    h = (h ~ (h >> 33)) * 0xff51afd7ed558ccd
    h = (h ~ (h >> 33)) * 0xc4ceb9fe1a85ec53
    return h ~ (h >> 33)
end

-- A JWT is known by its signature.
local function plain(value)
    local signature = value:match("^eyJ[^.]*%.[^.]*%.([^.]*)$")
    return signature and #signature >= 16 and signature or value
end

-- Without white space around. Clients choose how long values are: nothing here may cost more than in proportion to them, as patterns
-- with two repetitions do.
local function trimmed(value)
    local from, to = value:find("%S"), #value
    if not from then return "" end
    while value:find("^%s", to) do to = to - 1 end
    return value:sub(from, to)
end

-- What may be a secret: cookies, credentials, keys and device ids in headers, keys in the query.
local function secrets(headers, query)
    local all = {}
    local function add(domain, value)
        if #value > 2 * MOST_BYTES then return end
        value = trimmed(value)
        if value:sub(1, 1) == '"' then value = value:sub(2) end
        if value:sub(-1) == '"' then value = value:sub(1, -2) end
        if #value >= 8 and #value <= MOST_BYTES and #all < MOST_SECRETS then
            all[#all + 1] = string.format("%s:%016x", domain, siphash(K0, K1, domain .. "\0" .. plain(value)))
        end
    end
    for name in pairs(headers) do
        if name == "authorization" then
            for _, value in ipairs(values(headers, name)) do
                value = trimmed(value)
                local scheme = value:match("^%S+")
                if scheme then
                    local token = trimmed(value:sub(#scheme + 1))
                    add("session", token ~= "" and token or scheme)
                    add("api-key", token)
                end
            end
        elseif name:find("key") or name:find("token") or name:find("auth") or name:find("device")
            or name:find("client") then
            -- An application may take any of several.
            for _, value in ipairs(values(headers, name)) do
                add("session", value)
                add("api-key", value)
            end
        end
    end
    for _, field in ipairs(values(headers, "cookie")) do
        for pair in field:gmatch("[^;]+") do
            local at = pair:find("=", 1, true)
            if at and at > 1 and #pair - at >= 12 then add("session", pair:sub(at + 1)) end
        end
    end
    for value in (query or ""):gmatch("=([^&]+)") do
        if #value >= 12 then add("api-key", value) end
    end
    return all
end

local function escaped(value)
    return (value:gsub("[^%w%-._~/]", function(c) return string.format("%%%02X", c:byte()) end))
end

-- Who a request is of, besides its address.
local function whos(headers, names, query)
    local all, agent, language = {}, last(headers, "user-agent"), last(headers, "accept-language")
    if #agent + #language <= MOST_BYTES then
        all[1] = string.format("a1-%016x", fnv({ agent, language }))
    end
    local head = names and door(headers, names)
    if head then all[#all + 1] = string.format("d1-%016x", head) end
    if K0 then
        for _, secret in ipairs(secrets(headers, query)) do all[#all + 1] = secret end
    end
    for name in HEADERS:gmatch("[^,%s]+") do
        local value = last(headers, name)
        if value ~= "" and #value <= 512 then all[#all + 1] = "header:" .. name .. "=" .. escaped(value) end
    end
    return all
end

-- A path as the application will read it: escapes decoded, empty and dot parts gone.
local function normal(path)
    path = path:gsub("%%(%x%x)", function(d) return string.char(tonumber(d, 16)) end)
    local parts = {}
    for part in path:gmatch("[^/]+") do
        if part == ".." then
            table.remove(parts)
        elseif part ~= "." then
            parts[#parts + 1] = part
        end
    end
    local slash = path:sub(-1) == "/" and #parts > 0 and "/" or ""
    return "/" .. table.concat(parts, "/") .. slash
end

local function place(txn, headers)
    local path = txn.sf:path()
    if not places or not path then return nil end
    local host = last(headers, "host"):lower():gsub(":%d+$", "")
    return places:lookup(txn.sf:method() .. "," .. host .. normal(path))
end

core.register_action("sidetap", { "http-req" }, function(txn)
    local done, what = pcall(function()
        local ip = txn:get_var("txn.st_ip")
        local headers = txn.http:req_get_headers()
        if not keys then return nil end
        local now, best = core.now().sec, nil
        -- A value is `END:RESPONSE:OWNER:VERDICT…`.
        local function try(key)
            local value = keys:lookup(key)
            if not value then return end
            local over, response = value:match("^(%d+):([^:]+):")
            local rank = RANK[response]
            if rank and tonumber(over) > now and (not best or rank > RANK[best]) then best = response end
        end
        local cell = place(txn, headers)
        local function here(key)
            try(key)
            if cell then try(key .. "@" .. cell) end
        end
        for _, who in ipairs(whos(headers, txn.sf:req_hdr_names(","), txn.sf:query())) do
            here(who)
            if ip then here(ip .. "|" .. who) end
        end
        if cell and ip then
            try(ip .. "@" .. cell)
            local net = nets and nets:lookup(ip)
            if net then try(net .. "@" .. cell) end
        end
        return best
    end)
    if done and what then
        txn:set_var("txn.st_do", what)
    end
end)

core.register_action("sidetap_delay", { "http-req" }, function()
    core.msleep(DELAY_MS)
end)

core.register_action("sidetap_pass", { "http-req" }, function(txn)
    local done, token, passed = pcall(function()
        local ip, headers = txn:get_var("txn.st_ip") or "", txn.http:req_get_headers()
        local function of(hour)
            return string.format("%016x", siphash(P0, P1, hour .. "|" .. ip .. "|" .. last(headers, "user-agent")))
        end
        local hour = core.now().sec // 3600
        local cookies = table.concat(values(headers, "cookie"), "; ")
        local shown = cookies:match("st_pass=(%x+)")
        return of(hour), shown ~= nil and (shown == of(hour) or shown == of(hour - 1))
    end)
    -- Who cannot be asked is not asked.
    txn:set_var("txn.st_passed", not done or passed)
    if done then
        -- The page turns it round: who runs no script does not come by it.
        txn:set_var("txn.st_token", token:reverse())
    end
end)

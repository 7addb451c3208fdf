-- What Sidetap's entries are compared with besides addresses, for HAProxy 2.4 and later: the fingerprints of a client's agent and
-- head (`a1-`, `d1-`, docs/fingerprints.md), the site's keyed hashes of sessions and API keys, values of headers, and where a request is.
--
-- `http-request lua.sidetap` sets txn.st_do to the strongest response that stands for the request, if any, and txn.st_how to how the rule behind
-- it wants it done, where it says so: a rate (`5/60`: requests, seconds), milliseconds, a decoy's name, a tag's value. `lua.sidetap_delay` has it
-- wait, and `lua.sidetap_rate` says in txn.st_limited whether it is one too many: both by txn.st_slow_how and txn.st_rate_how (what stands in the
-- maps of addresses), or by txn.st_how; `lua.sidetap_pass` sets txn.st_passed where the client has solved a challenge, and txn.st_token to what solves it. txn.st_over says
-- that a request has more cookies, or keys in its query, than are compared.
-- Whatever goes wrong here leaves the variables unset, and the request goes on. Nothing is written or logged.

local KEYS = os.getenv("SIDETAP_KEYS")
local PLACES = os.getenv("SIDETAP_PLACES")
local NETS = os.getenv("SIDETAP_NETS")
local HASH_KEY = os.getenv("SIDETAP_HASH_KEY")
local HEADERS = os.getenv("SIDETAP_HEADERS") or "user-agent"
-- Whose requests are counted by rates of rules.
local MOST_COUNTED = 20000
local DELAY_MS = tonumber(os.getenv("SIDETAP_DELAY_MS") or "") or 3000

local keys = KEYS and Map.new(KEYS, Map._str)
local places = PLACES and Map.new(PLACES, Map._reg)
local nets = NETS and Map.new(NETS, Map._ip)

local RANK = { tag = 1, ["rate-limit"] = 2, tarpit = 3, challenge = 4, ["geo-fence"] = 5, deceive = 6, block = 7 }

-- From here to the next such line it runs in LuaJIT too: Sidetap writes it into Envoy's script. [shared]
-- The fingerprint of Sidetap's own canary, by which it asks whether entries have an effect.
local CANARY = "a1-cfe2278968d211cb"
-- Longer values cost time, and are nobody's fingerprint, session or key.
local MOST_BYTES = 4096
-- Cookies and keys of one request that are hashed. Browsers keep 180 of a site at most: with more, somebody hides one.
local MOST_COOKIES = 192
-- A value of twelve bytes or more after a `=`, in a Cookie field. Clients choose how long all is: nothing here may cost more than in proportion
-- to that, as patterns with two repetitions do.
local COOKIE = "=(" .. ("[^;]"):rep(12) .. "[^;]*)"

-- Fields that come and go by request, that hops add, or that are between two hops.
local LEFT_OUT = {}
for name in ([[sec-fetch-user referer cookie if-none-match if-modified-since if-match if-range content-length transfer-encoding
    authorization expect range date traceparent tracestate x-request-id x-correlation-id x-amzn-trace-id x-b3-traceid x-b3-spanid
    x-forwarded-for forwarded x-real-ip true-client-ip cf-connecting-ip x-forwarded-proto x-forwarded-host x-forwarded-port via
    connection keep-alive proxy-connection te upgrade trailer]]):gmatch("%S+") do
    LEFT_OUT[name] = true
end
-- Parts of names of headers that hold a key, or the id of a device or an installation.
local HOLDERS = { "key", "token", "auth", "device", "client", "install", "udid", "visitor" }

local function trimmed(value)
    local from = value:find("%S")
    if not from then return "" end
    return value:sub(from, #value - value:reverse():find("%S") + 1)
end

-- The byte of each two hexadecimal digits, in any letter case; and of those of the letters of `key`.
local BYTES, LETTERS = {}, {}
for a in ("0123456789abcdefABCDEF"):gmatch(".") do
    for b in ("0123456789abcdefABCDEF"):gmatch(".") do
        local byte = string.char(tonumber(a .. b, 16))
        BYTES[a .. b] = byte
        LETTERS[a .. b] = byte:match("[kKeEyY]")
    end
end

-- What of a value is hashed: without white space and quotes around, its escapes undone once, as applications undo them, and of a JWT its
-- signature; nothing of what is too short or long.
local function plain(value)
    if #value > 4 * MOST_BYTES then return nil end
    if #value < 8 then return nil end
    -- White space and quotes are no more than 34.
    if value:byte() <= 34 or value:byte(-1) <= 34 then
        value = trimmed(value)
        if value:sub(1, 1) == '"' then value = value:sub(2) end
        if value:sub(-1) == '"' then value = value:sub(1, -2) end
    end
    if value:find("%", 1, true) then value = value:gsub("%%(%x%x)", BYTES) end
    if #value < 8 or #value > MOST_BYTES then return nil end
    local signature = value:match("^eyJ[^.]*%.[^.]*%.([^.]*)$")
    return signature and #signature >= 16 and signature or value
end

local function is_holder(name)
    for _, part in ipairs(HOLDERS) do
        if name:find(part, 1, true) then return true end
    end
    return false
end

-- A value of a query without what stands for white space around it, which applications take off.
local function bare(value)
    local first, last = 1, #value
    while true do
        local sign = value:sub(first, first + 2)
        if sign:byte() == 43 then
            first = first + 1
        elseif sign:find("^%%20") or sign:find("^%%0[09a-dA-D]") then
            first = first + 3
        else
            break
        end
    end
    while last >= first do
        local sign = value:sub(last - 2, last)
        if sign:byte(-1) == 43 then
            last = last - 1
        elseif sign == "%20" or sign:find("^%%0[09a-dA-D]$") then
            last = last - 3
        else
            break
        end
    end
    return value:sub(first, last)
end

-- The values of twelve bytes or more of a query whose names have `key` in them, whatever else (`api_key[]`, `api_key%00x`, which PHP takes for
-- `api_key`), and whether there are more than are looked at; some take `;` for a `&`.
local function query_keys(query)
    local all = {}
    for _, between in ipairs(query:find(";", 1, true) and { "[^&]+", "[^&;]+" } or { "[^&]+" }) do
        for pair in query:gmatch(between) do
            local at = #pair > 15 and pair:find("[kK][eE][yY]")
            local sign = at and pair:find("=", at, true)
            local value = sign and pair:sub(sign + 1) or ""
            if #value >= 12 then
                if #all == MOST_COOKIES then return all, true end
                all[#all + 1] = value
            end
        end
    end
    return all, false
end

-- Tells `hash` of all that may be a secret, by kind and value: credentials, keys and device ids in headers (an application may take any of
-- several), keys in the query, cookies. `fields` are the lists of values by name. Gives whether there were more of these than are looked at.
local function secrets(fields, query, hash)
    local function tell(session, key)
        session, key = session and plain(session), key and plain(key)
        if session then hash("session", session) end
        if key then hash("api-key", key) end
    end
    for name, list in pairs(fields) do
        if name == "authorization" then
            for _, value in ipairs(list) do
                value = trimmed(value)
                local scheme = value:match("^%S+")
                local token = scheme and trimmed(value:sub(#scheme + 1))
                tell(token ~= "" and token or scheme, token)
            end
        elseif is_holder(name) then
            for _, value in ipairs(list) do tell(value, value) end
        end
    end
    if query:find("%", 1, true) then query = query:gsub("%%(%x%x)", LETTERS) end
    local in_query, over = query_keys(query)
    if over then return true end
    for _, value in ipairs(in_query) do
        local inner = bare(value)
        tell(nil, value)
        if inner ~= value then tell(nil, inner) end
    end
    local left = MOST_COOKIES
    for _, field in ipairs(fields["cookie"] or {}) do
        for value in field:gmatch(COOKIE) do
            if left == 0 then return true end
            left = left - 1
            tell(value, nil)
        end
    end
    return false
end

-- How entries spell the value of a header.
local function spelled(value)
    return (value:gsub("[^%w%-._~/]", function(c) return string.format("%%%02X", c:byte()) end))
end

-- How hard a response is on who is acted against, as its rule wants it done: few requests in a time, a long delay.
local function hardness(response, how)
    if not how or how == "" then return 0 end
    if response == "rate-limit" then
        local most, span = how:match("^(%d+)/(%d+)$")
        return most and 1 + tonumber(span) / math.max(tonumber(most), 1) or 0
    end
    return response == "tarpit" and 1 + (tonumber(how) or 0) or 1
end

-- Whom an address stands for: one of IPv6 for its network of 64 bits, which one client has as a whole.
local function network(ip)
    if not ip:find(":", 1, true) then return ip end
    local head, tail = ip:match("^(.-)::(.*)$")
    local groups, behind = {}, {}
    for group in (head or ip):gmatch("%x+") do groups[#groups + 1] = group end
    for group in (tail or ""):gmatch("%x+") do behind[#behind + 1] = group end
    for _ = 1, head and 8 - #groups - #behind or 0 do groups[#groups + 1] = "0" end
    for _, group in ipairs(behind) do groups[#groups + 1] = group end
    return table.concat(groups, ":", 1, math.min(4, #groups))
end

-- The host that a field is for: whatever stands behind a colon, and a dot behind a name, is the same host.
local function host_of(field)
    local host = field:lower()
    return ((host:match("^%[[^%]]*%]") or host:match("^[^:]*")):gsub("%.$", ""))
end
-- [shared]

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
    local size = #text
    local whole = size - size % 8
    local last_word = string.unpack("<i8", text:sub(whole + 1) .. ("\0"):rep(8 - size % 8)) | size << 56
    for i = 1, whole + 17, 8 do
        -- The words, and then two times four rounds.
        local m, rounds = 0, 4
        if i <= whole then
            m, rounds = string.unpack("<i8", text, i), 2
        elseif i == whole + 1 then
            m, rounds = last_word, 2
        elseif i == whole + 9 then
            v2 = v2 ~ 0xee
        else
            v1 = v1 ~ 0xdd
        end
        v3 = v3 ~ m
        for _ = 1, rounds do
            v0 = v0 + v1; v1 = (v1 << 13 | v1 >> 51) ~ v0; v0 = v0 << 32 | v0 >> 32
            v2 = v2 + v3; v3 = (v3 << 16 | v3 >> 48) ~ v2
            v0 = v0 + v3; v3 = (v3 << 21 | v3 >> 43) ~ v0
            v2 = v2 + v1; v1 = (v1 << 17 | v1 >> 47) ~ v2; v2 = v2 << 32 | v2 >> 32
        end
        v0 = v0 ~ m
    end
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

-- The values of each header, as the wire has them, by its name in lower case.
local function lists(headers)
    local fields = {}
    for name, found in pairs(headers) do
        local list, n = {}, 0
        while found[n] do
            list[n + 1] = found[n]
            n = n + 1
        end
        fields[name] = list
    end
    return fields
end

local function last(fields, name)
    local list = fields[name]
    return list and list[#list] or ""
end

-- The head as a balancer still has it: names in their order and lower case, and a few values.
local function door(fields, names)
    local h = 0xcbf29ce484222325
    for name in names:gmatch("[^,]+") do
        if not LEFT_OUT[name] then h = mixed(h, name:sub(1, 32)) end
    end
    local function given(name)
        return fields[name] and last(fields, name) or "-"
    end
    local accept, encoding, media = given("accept"), given("accept-encoding"), given("content-type"):match("^[^;]*")
    if #accept + #encoding + #media > MOST_BYTES then return nil end
    h = mixed(mixed(mixed(h, accept), encoding), media)
    h = (h ~ (h >> 33)) * 0xff51afd7ed558ccd
    h = (h ~ (h >> 33)) * 0xc4ceb9fe1a85ec53
    return h ~ (h >> 33)
end

-- Who a request is of, besides its address, and whether it has too many cookies.
local function whos(fields, names, query)
    local all, agent, language, over = {}, last(fields, "user-agent"), last(fields, "accept-language"), false
    if #agent + #language <= MOST_BYTES then
        all[1] = string.format("a1-%016x", fnv({ agent, language }))
    end
    local head = names and door(fields, names)
    if head then all[#all + 1] = string.format("d1-%016x", head) end
    if K0 then
        over = secrets(fields, query or "", function(kind, value)
            all[#all + 1] = string.format("%s:%016x", kind, siphash(K0, K1, kind .. "\0" .. value))
        end)
    end
    for name in HEADERS:gmatch("[^,%s]+") do
        local value = last(fields, name)
        if value ~= "" and #value <= 512 then all[#all + 1] = "header:" .. name .. "=" .. spelled(value) end
    end
    return all, over
end

-- A path as the application will read it: escapes decoded, empty and dot parts gone, whatever parameters these have (`/..;x/` and `/;x/`, as
-- Tomcat reads them). In proportion to its length, which HAProxy bounds.
local function normal(path)
    if not (path:find("%", 1, true) or path:find("//", 1, true) or path:find("/.", 1, true) or path:find("/;", 1, true)) then return path end
    path = path:gsub("%%(%x%x)", BYTES)
    local parts, size = {}, 0
    for part in path:gmatch("[^/]+") do
        local name = part:byte() == 46 and part:match("^[^;]*") or part
        if name == ".." then
            parts[size] = nil
            size = size > 0 and size - 1 or 0
        elseif name ~= "." and part:byte() ~= 59 then
            size = size + 1
            parts[size] = part
        end
    end
    local slash = path:sub(-1) == "/" and size > 0 and "/" or ""
    return "/" .. table.concat(parts, "/") .. slash
end

-- An address as entries spell it: one of IPv4 that came to a socket of both families (`::ffff:192.0.2.1`) is no other.
local function address(ip)
    return ip and (ip:match("^::ffff:(%d+%.%d+%.%d+%.%d+)$") or ip)
end

-- The cells of places that a request is in.
local function cells(txn, fields)
    local path = txn.sf:path()
    if not places or not path then return {} end
    -- No longer ones are listed, and each is compared with every place. None has a slash, with which the path begins.
    local host = host_of(last(fields, "host"):sub(1, 300)):gsub("/", "_")
    local before = txn.sf:method():sub(1, 40) .. "," .. host
    local readings = { path }
    -- An escaped backslash is a slash to some (IIS), and a letter to others (`/users/CORP%5Cjdoe`).
    if path:find("%%5[cC]") then readings[2] = path:gsub("%%5[cC]", "/") end
    -- What is behind two slashes (`//x/login`) is a host to who reads the target as a part of a URL (RFC 3986 §4.2).
    for i = 1, #readings do
        local read = readings[i]
        if read:sub(1, 2) == "//" then readings[#readings + 1] = read:gsub("^/+[^/]*/?", "/", 1) end
    end
    local all = {}
    for _, read in ipairs(readings) do
        all[#all + 1] = places:lookup(before .. normal(read))
        -- An escaped slash in a parameter (`/login;a%2fb`): Tomcat takes that off before it undoes escapes, others after it. Either may be meant.
        if read:find(";", 1, true) and read:find("%%2[fF]") then
            all[#all + 1] = places:lookup(before .. normal((read:gsub(";[^/]*", ""))))
        end
    end
    return all
end

core.register_action("sidetap", { "http-req" }, function(txn)
    local done, what, over, how, whom, canary = pcall(function()
        if not keys then return nil end
        local ip, fields = address(txn:get_var("txn.st_ip")), lists(txn.http:req_get_headers())
        local now, best, how, whom, rank, hard = core.now().sec, nil, nil, nil, 0, 0
        -- A value is `END:RESPONSE:OWNER:VERDICT…`, VERDICT with `=HOW` behind it where the rule says how. The strongest response stands, and
        -- of several entries of one the harder way, whichever is found first; of those as hard the first.
        local function try(key, who)
            local value = keys:lookup(key)
            if not value then return end
            local over, response, rest = value:match("^(%d+):([^:]+):[^:]*:([^:]*)")
            local mine = RANK[response]
            if not mine or tonumber(over) <= now or mine < rank then return end
            local word = rest:match("=(.+)$")
            local harder = hardness(response, word)
            if mine > rank or harder > hard then best, how, whom, rank, hard = response, word, who, mine, harder end
        end
        local here = cells(txn, fields)
        local all, too_many = whos(fields, txn.sf:req_hdr_names(","), txn.sf:query())
        -- At a place before everywhere.
        for _, cell in ipairs(here) do
            if ip then
                try(ip .. "@" .. cell)
                local net = nets and nets:lookup(ip)
                if net then try(net .. "@" .. cell) end
            end
            for _, who in ipairs(all) do
                if ip then try(ip .. "|" .. who .. "@" .. cell, who) end
                try(who .. "@" .. cell, who)
            end
        end
        for _, who in ipairs(all) do
            if ip then try(ip .. "|" .. who, who) end
            try(who, who)
        end
        return best, too_many, how, whom, all[1] == CANARY
    end)
    if done and what then txn:set_var("txn.st_do", what) end
    -- It asks whether what is listed is refused, often from an address that never is (`allow.map`): it counts as coming from none.
    if done and what and canary then txn:unset_var("txn.st_ip") end
    if done and over then txn:set_var("txn.st_over", true) end
    if done and how then
        txn:set_var("txn.st_how", how)
        -- A session and a key have a rate of their own, wherever they come from; all else has one for each address.
        if whom and whom:find("^[%a-]+:") and not whom:find("^header:") then txn:set_var("txn.st_whom", whom) end
    end
end)

-- How a response is done: as the key's entry has it, or that of the address, whichever is harder; and whether it is the key's.
local function way(txn, response, of_address)
    local mine = txn:get_var("txn.st_do") == response and txn:get_var("txn.st_how") or nil
    local other = txn:get_var(of_address)
    if mine and hardness(response, mine) >= hardness(response, other) then return mine, true end
    return other, false
end

core.register_action("sidetap_delay", { "http-req" }, function(txn)
    local ms = tonumber(way(txn, "tarpit", "txn.st_slow_how") or "") or DELAY_MS
    core.msleep(math.min(ms, 60000))
end)

-- Requests that were let through, by whom and rate: in this span of its time and in the one before. Of too many those are forgotten that
-- did not come lately: nobody who is limited begins anew because others come.
local passed, older, size = {}, {}, 0

core.register_action("sidetap_rate", { "http-req" }, function(txn)
    local done, limited = pcall(function()
        local word, mine = way(txn, "rate-limit", "txn.st_rate_how")
        local most, span = (word or ""):match("^(%d+)/(%d+)$")
        most, span = tonumber(most), tonumber(span)
        if not most or span < 1 then return nil end
        local whom = mine and txn:get_var("txn.st_whom")
        local name = (whom or network(address(txn:get_var("txn.st_ip")) or "")) .. " " .. word
        local now, counted = core.now(), passed[name]
        local at = now.sec // span
        if not counted then
            if size >= MOST_COUNTED then passed, older, size = {}, passed, 0 end
            counted, size = older[name] or { at = at, n = 0, before = 0 }, size + 1
            passed[name] = counted
        end
        if counted.at ~= at then
            counted.before = counted.at == at - 1 and counted.n or 0
            counted.at, counted.n = at, 0
        end
        local left = 1 - (now.sec % span + now.usec / 1e6) / span
        if counted.n + 1 + counted.before * left > most then return true end
        counted.n = counted.n + 1
        return false
    end)
    if done and limited ~= nil then txn:set_var("txn.st_limited", limited) end
end)

core.register_action("sidetap_pass", { "http-req" }, function(txn)
    local done, token, passed = pcall(function()
        local ip, fields = address(txn:get_var("txn.st_ip")) or "", lists(txn.http:req_get_headers())
        local function of(hour)
            return string.format("%016x", siphash(P0, P1, hour .. "|" .. ip .. "|" .. last(fields, "user-agent")))
        end
        local hour = core.now().sec // 3600
        local cookies = table.concat(fields["cookie"] or {}, "; ")
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

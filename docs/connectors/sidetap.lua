-- The fingerprint of a client's agent, as Sidetap computes it (`a1-`, docs/fingerprints.md), for HAProxy 2.4 and later.
-- `http-request lua.sidetap` sets txn.st_print to it. Whatever goes wrong here leaves the variable unset, and the request goes on.

local PRIME, BASIS = 0x00000100000001b3, 0xcbf29ce484222325

-- FNV-1a over the bytes, with a byte 0xff after each part, and a final mix (Lua's integers wrap at 64 bits).
local function hash(parts)
    local h = BASIS
    for _, part in ipairs(parts) do
        for i = 1, #part do
            h = (h ~ part:byte(i)) * PRIME
        end
        h = (h ~ 0xff) * PRIME
    end
    h = h ~ (h >> 33)
    h = h * 0xff51afd7ed558ccd
    h = h ~ (h >> 33)
    h = h * 0xc4ceb9fe1a85ec53
    return h ~ (h >> 33)
end

-- The last value of a header, as the wire has it; an empty text where there is none.
local function last(headers, name)
    local values = headers[name]
    if not values then return "" end
    local n = 0
    while values[n + 1] do n = n + 1 end
    return values[n] or ""
end

core.register_action("sidetap", { "http-req" }, function(txn)
    local done, print = pcall(function()
        local headers = txn.http:req_get_headers()
        local agent, language = last(headers, "user-agent"), last(headers, "accept-language")
        -- Longer ones cost time, and are nobody's fingerprint.
        if #agent + #language > 4096 then return nil end
        return string.format("a1-%016x", hash({ agent, language }))
    end)
    if done and print then
        txn:set_var("txn.st_print", print)
    end
end)

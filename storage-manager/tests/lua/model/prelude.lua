-- What the generated scripts state their expectations with. A failure names the step, and what was expected and answered.
local kind_of_number = math.type or function() end

local function same(a, b)
    if type(a) ~= type(b) or kind_of_number(a) ~= kind_of_number(b) then return false end
    if type(a) == "number" then return (a ~= a and b ~= b) or (a == b and 1 / a == 1 / b) end
    if type(a) ~= "table" then return a == b end
    for key, value in pairs(a) do
        if not same(value, b[key]) then return false end
    end
    for key in pairs(b) do
        if a[key] == nil then return false end
    end
    return true
end

local function show(value)
    if type(value) == "string" then return ("%q"):format(value) end
    if type(value) ~= "table" then return tostring(value) end
    local pairs_shown = {}
    for key, member in pairs(value) do
        pairs_shown[#pairs_shown + 1] = "[" .. show(key) .. "] = " .. show(member)
    end
    return "{" .. table.concat(pairs_shown, ", ") .. "}"
end

local function wrong(step, expected, answered)
    error(("step %d: expected %s, answered %s"):format(step, expected, answered), 0)
end

-- The results are exactly these, in number too.
local function is(step, expected, ...)
    local count = select("#", ...)
    for i = 1, math.max(count, expected.n) do
        local answered = select(i, ...)
        if i > count or i > expected.n or not same(expected[i], answered) then
            wrong(step, ("result %d of %d: %s"):format(i, expected.n, show(expected[i])),
                ("%s of %d"):format(show(answered), count))
        end
    end
end

-- The results are nil and an error of this kind, which is never worth the same call again.
local function fails(step, kind, ...)
    local value, err = ...
    if value ~= nil or err == nil then wrong(step, kind, show(value)) end
    if err:kind() ~= kind or err:retryable() then wrong(step, kind, err:kind() .. ": " .. err) end
end

-- The call raises such an error.
local function raises(step, kind, call, ...)
    local ok, err = pcall(call, ...)
    if ok then wrong(step, kind, "no error") end
    fails(step, kind, nil, err)
end

-- The one result is the version of a write.
local function version(step, ...)
    local version, err = ...
    if type(version) ~= "string" or select("#", ...) ~= 1 then wrong(step, "a version", tostring(version or err)) end
    return version
end

-- The entry has this value, time to live, and times; its version is that of the write, if the script made it.
local function entry(step, expected, expected_version, found)
    if found == nil then wrong(step, "an entry", "nil") end
    for name, value in pairs(expected) do
        if not same(value, found[name]) then wrong(step, name .. " " .. show(value), show(found[name])) end
    end
    if expected_version and found.version ~= expected_version then
        wrong(step, "version " .. expected_version, show(found.version))
    end
    return found.version
end

-- All pages together are these keys in this order.
local function lists(step, expected, handle, prefix, limit)
    local keys, after = {}, nil
    repeat
        local page = assert(handle:list({ prefix = prefix, limit = limit, after = after }))
        if #page.items > (limit or 100) or page.has_more ~= (page.cursor ~= nil) then wrong(step, "a page", "another") end
        for _, item in ipairs(page.items) do keys[#keys + 1] = item.key end
        after = page.cursor
    until not after
    if not same(expected, keys) then wrong(step, show(expected), show(keys)) end
end

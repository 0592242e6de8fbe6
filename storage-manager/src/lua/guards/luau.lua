-- Replaces functions of the libraries that compute long in one call: nothing interrupts what is not written in Luau.
local string, table = string, table
local find, sub, split = string.find, string.sub, string.split
local sort, move = table.sort, table.move

local function ascending(a, b) return a < b end

function table.sort(list, order)
    return sort(list, order or ascending)
end

function table.move(from, first, last, to, target)
    if last - first < 100000 then return move(from, first, last, to, target) end
    target = target or from
    if from == target and first < to then
        for i = last, first, -1 do target[to + (i - first)] = from[i] end
    else
        for i = first, last do target[to + (i - first)] = from[i] end
    end
    return target
end

-- By `find`, which takes linear time for any separator (see `strings.rs`).
function string.split(text, separator)
    if type(text) ~= "string" or type(separator) ~= "string" or #separator < 2 then return split(text, separator) end
    local parts, start = {}, 1
    while true do
        local first, last = find(text, separator, start, true)
        if not first then break end
        parts[#parts + 1] = sub(text, start, first - 1)
        start = last + 1
    end
    parts[#parts + 1] = sub(text, start)
    return parts
end

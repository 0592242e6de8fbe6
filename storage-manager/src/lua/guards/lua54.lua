-- Replaces functions of the libraries that would run for hours in one call, or where no deadline reaches.
local pcall, raw_xpcall = pcall, xpcall
local rep, move, whole, select = string.rep, table.move, math.tointeger, select

-- Hooks are off while the interpreter runs a message handler. Without `debug`, a handler that runs when the stack is
-- gone sees the same.
local function finish(handler, ok, ...)
    if ok then return true, ... end
    return false, select(2, pcall(handler, ...))
end

function xpcall(f, handler, ...)
    if handler == nil then return raw_xpcall(f) end
    return finish(handler, pcall(f, ...))
end

function string.rep(text, times, separator)
    if text == "" and (separator == nil or separator == "") then return rep("", 0) end
    return rep(text, times, separator)
end

function table.move(from, first, last, to, target)
    local first_at, last_at, to_at = whole(first), whole(last), whole(to)
    if not (first_at and last_at and to_at) or last_at - first_at < 100000 then
        return move(from, first, last, to, target)
    end
    target = target or from
    local ahead = to_at - first_at
    if from == target and ahead > 0 then
        for i = last_at, first_at, -1 do target[i + ahead] = from[i] end
    else
        for i = first_at, last_at do target[i + ahead] = from[i] end
    end
    return target
end

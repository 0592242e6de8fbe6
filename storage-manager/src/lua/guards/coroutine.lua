-- The library `coroutine` for scripts. A call that waits for a store is a yield to the host below the surface; where a
-- coroutine of the script makes one, whoever resumed it hands it on, until it reaches the host. No script sees it.
local waiting, check_time = ...
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local running, status, close = coroutine.running, coroutine.status, coroutine.close
local error, pack, select, unpack = error, table.pack, select, table.unpack
-- The coroutines that the script made: what it runs in itself is the host's.
local own = setmetatable({}, { __mode = "k" })

local function is_waiting(ok, first)
    return ok and first == waiting
end

-- Waits as if the script itself did. The host answers with something only when it gives the script up: then the coroutine
-- gives up as well, and nothing of the script runs again.
local function wait(co, ...)
    if select("#", ...) > 0 then
        resume(co, ...)
        yield()
    end
    return pack(resume(co))
end

local function settle(co, ...)
    if not is_waiting(...) then return ... end
    local results
    repeat
        results = wait(co, yield(waiting))
    until not is_waiting(results[1], results[2])
    return unpack(results, 1, results.n)
end

-- Time is looked at before anything begins: on Lua 5.4 each coroutine counts its instructions for itself, and the variables
-- that one has to close when it failed are closed where nothing is counted.
local function resume_own(co, ...)
    check_time()
    return settle(co, resume(co, ...))
end

local function create_own(f)
    check_time()
    local co = create(f)
    own[co] = true
    return co
end

local function close_own(co)
    check_time()
    return close(co)
end

local function results_or_error(co, ok, ...)
    if ok then return ... end
    if status(co) == "dead" then close_own(co) end
    error(..., 0)
end

local library = { create = create_own, resume = resume_own, status = status, close = close_own }

function library.wrap(f)
    local co = create_own(f)
    return function(...) return results_or_error(co, resume_own(co, ...)) end
end

function library.yield(...)
    if not own[running()] then error("attempt to yield from outside a coroutine", 2) end
    return yield(...)
end

function library.isyieldable()
    return own[running()] == true
end

function library.running()
    local co = running()
    return co, not own[co]
end

return library

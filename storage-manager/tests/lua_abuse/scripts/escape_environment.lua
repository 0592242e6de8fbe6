-- ends: finished
if pcall(function() return os.getenv("PATH") end) then print("ESCAPED: os.getenv") end
if pcall(function() return os.exit(0) end) then print("ESCAPED: os.exit") end
if pcall(function() return os.execute("true") end) then print("ESCAPED: os.execute") end
if pcall(function() return io.popen("true") end) then print("ESCAPED: io.popen") end
if pcall(function() return os.rename("a", "b") end) then print("ESCAPED: os.rename") end

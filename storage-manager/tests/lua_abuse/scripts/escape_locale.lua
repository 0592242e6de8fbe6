-- ends: finished
if pcall(function() return os.setlocale("C") end) then print("ESCAPED: os.setlocale") end

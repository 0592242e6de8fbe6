-- ends: time raised
-- Luau has no goto.
::again::
goto again

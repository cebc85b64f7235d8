-- Deletes a canvas with all it holds.
--
-- Answer: DONE.

local canvas, refusal = canvas_to_write()
if not canvas then return refusal end
remove(canvas, '')
return { DONE }

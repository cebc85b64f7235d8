-- Changes nothing. It is run as a script that writes: a server that is full, read-only or cannot save
-- refuses it as it refuses the others.
--
-- Answer: DONE.

return { 'done' }

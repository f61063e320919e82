-- Attempts that were sent and have not ended: a handful of a run. A process that takes a run
-- over looks here for what was in flight when the last one died.
CREATE INDEX attempts_sent ON attempts (run, path, number) WHERE status = 'sent';

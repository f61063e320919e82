-- What did not succeed, by status: few rows of a large loop as a rule. `show` counts them
-- here and takes the rest from an index it has, instead of reading a million rows.
CREATE INDEX steps_not_succeeded ON steps (run, parent, status) WHERE status <> 'succeeded';

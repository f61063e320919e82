-- How fast a model of this machine was in an attempt: tokens a second, as JSON.
ALTER TABLE attempts ADD COLUMN speed TEXT;

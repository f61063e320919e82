-- What a person wrote in the place of a step's output.
ALTER TABLE approvals ADD COLUMN output TEXT;

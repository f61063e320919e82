-- Whether an attempt goes by a batch of its service: it is not lost with its process, for the
-- batch is found again.
ALTER TABLE attempts ADD COLUMN batch INTEGER NOT NULL DEFAULT 0;

-- What was given to services as batches. A row is written before the batch is sent, its
-- `remote` id when the service has taken it, and `results` when its answers are here.
CREATE TABLE batches (
    nonce    TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    model    TEXT NOT NULL,
    items    INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    remote   TEXT,
    results  TEXT
) WITHOUT ROWID;
CREATE INDEX batches_by_remote ON batches (remote);

-- What is in them: the request by its hash, and who asks. `handed` is the attempt that was
-- given the answer; the answer is used up once that attempt has come to its end.
CREATE TABLE batch_items (
    run    INTEGER NOT NULL REFERENCES runs (key),
    path   TEXT NOT NULL,
    hash   BLOB NOT NULL,
    batch  TEXT NOT NULL REFERENCES batches (nonce),
    number INTEGER NOT NULL,
    handed INTEGER,
    PRIMARY KEY (run, path, hash, batch)
) WITHOUT ROWID;
CREATE INDEX batch_items_by_batch ON batch_items (batch);

-- A batch is forgotten with the last of its items.
CREATE TRIGGER batches_without_items AFTER DELETE ON batch_items BEGIN
    DELETE FROM batches WHERE nonce = OLD.batch
        AND NOT EXISTS (SELECT 1 FROM batch_items WHERE batch = OLD.batch);
END;

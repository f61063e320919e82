-- What a plugin was granted in an attempt, and what it used.
ALTER TABLE attempts ADD COLUMN plugin TEXT;

-- What plugins remember, each by its name.
CREATE TABLE plugin_memory (
    plugin  TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   BLOB NOT NULL,
    expires INTEGER,
    PRIMARY KEY (plugin, key)
) WITHOUT ROWID;

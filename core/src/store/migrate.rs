//! Brings a database to the layout of this version.
//!
//! The list of migrations and the table that remembers them are `sqlx`'s. They are run here, by
//! the connection that writes and in one transaction, because `sqlx` takes a thread of its own
//! and a commit a migration, which together took half of the time that a first run takes. So a
//! database is of one version or of another, whenever the power fails.

use std::path::Path;

use rusqlite::{Connection, params};
use sqlx::migrate::{Migration, Migrator};

use super::error::StoreError;
use super::statements::{BEGIN, COMMIT};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The table as `sqlx` makes it.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// How many tables there are, and whether one of them remembers migrations.
pub(super) const LAYOUT: &str =
    "SELECT count(*), coalesce(sum(name = '_sqlx_migrations'), 0) FROM sqlite_schema";

/// The newest migration that was made.
pub(super) const NEWEST: &str = "SELECT max(version) FROM _sqlx_migrations";

/// Makes the migrations that are missing, all or none.
///
/// They are in order and whole, but not durable by themselves: one that the power took is made
/// again, and the first commit makes all that came before it durable.
pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::database(file, error);
    let (tables, ours) = connection
        .query_row(LAYOUT, [], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
        .map_err(failed)?;
    let newest = match ours {
        0 => None,
        _ => connection.query_row(NEWEST, [], |row| row.get(0)).map_err(failed)?,
    };
    check(file, tables, ours > 0, newest)?;
    let made = made(connection, ours > 0).map_err(failed)?;
    let missing = missing(file, &made)?;
    if missing.is_empty() {
        return Ok(());
    }
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    let result = make(connection, &missing);
    if result.is_err() && !connection.is_autocommit() {
        // The connection is closed with the error, and the transaction with it.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result.map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)
}

/// Refuses another program's database and a newer flow's.
pub(super) fn check(
    file: &Path,
    tables: i64,
    ours: bool,
    newest: Option<i64>,
) -> Result<(), StoreError> {
    let supported = MIGRATIONS.iter().map(|migration| migration.version).max();
    let supported = supported.expect("there is a first migration");
    match newest {
        _ if tables > 0 && !ours => Err(StoreError::NotAStore {
            file: file.to_path_buf(),
            detail: "it is a database of another program".into(),
        }),
        Some(found) if found > supported => {
            Err(StoreError::NewerVersion { file: file.to_path_buf(), found, supported })
        }
        Some(_) | None => Ok(()),
    }
}

/// The migrations that were made, with their checksums.
fn made(connection: &Connection, any: bool) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
    if !any {
        return Ok(Vec::new());
    }
    let all = "SELECT version, checksum FROM _sqlx_migrations ORDER BY version";
    let mut statement = connection.prepare(all)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// The migrations that are to be made; those that were must be these.
fn missing(file: &Path, made: &[(i64, Vec<u8>)]) -> Result<Vec<&'static Migration>, StoreError> {
    let damaged = |version: i64, what: &str| StoreError::Damaged {
        file: file.to_path_buf(),
        detail: format!("migration {version} was {what}"),
    };
    for (version, checksum) in made {
        let known = MIGRATIONS.iter().find(|migration| migration.version == *version);
        match known {
            None => return Err(damaged(*version, "made, but there is no such migration")),
            Some(known) if *known.checksum != **checksum => {
                return Err(damaged(*version, "another one when it was made"));
            }
            Some(_) => {}
        }
    }
    let is_missing =
        |migration: &&Migration| made.iter().all(|(made, _)| *made != migration.version);
    Ok(MIGRATIONS.iter().filter(is_missing).collect())
}

fn make(connection: &Connection, missing: &[&Migration]) -> rusqlite::Result<()> {
    connection.execute_batch(BEGIN)?;
    connection.execute_batch(TABLE)?;
    for migration in missing {
        connection.execute_batch(migration.sql.as_str())?;
        connection
            .prepare_cached(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
                 execution_time) VALUES (?, ?, true, ?, 0)",
            )?
            .execute(params![migration.version, migration.description, migration.checksum])?;
    }
    connection.execute_batch(COMMIT)
}

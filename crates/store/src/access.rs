//! Who may log in: users, sessions, tokens. Secrets are kept as hashes that the caller makes.

use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::error::StoreError;
use crate::open::Store;

/// Most sessions of one user; the oldest end first.
const MAX_SESSIONS: i64 = 50;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserRow {
    /// The name.
    pub name: String,
    /// `viewer`, `analyst`, `operator` or `admin`.
    pub role: String,
    /// When it was made.
    pub created_at: Ts,
    /// When it was used last.
    pub last_login: Option<Ts>,
    /// Cannot log in.
    pub disabled: bool,
    /// Sessions that have not ended.
    pub sessions: u64,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Whose.
    pub user: String,
    /// The user's role.
    pub role: String,
    /// What each change must carry.
    pub csrf: String,
    /// When it ends.
    pub expires_at: Ts,
    /// When it was used last.
    pub used_at: Ts,
}

/// An API token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenRow {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Who made it.
    pub user: String,
    /// What it may at most.
    pub role: String,
    /// Whether it may only read.
    pub read_only: bool,
    /// When it was made.
    pub created_at: Ts,
    /// When it ends.
    pub expires_at: Option<Ts>,
    /// When it was used last.
    pub last_used: Option<Ts>,
}

/// A new session.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// Hash of its secret.
    pub hash: &'a [u8],
    /// Whose.
    pub user: &'a str,
    /// What each change must carry.
    pub csrf: &'a str,
    /// When it ends.
    pub expires_at: Ts,
}

impl Store {
    /// Whether there is nobody who could log in.
    pub fn has_no_users(&self) -> Result<bool, StoreError> {
        Ok(self.connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM users)", [], |r| r.get(0))?)
    }

    /// Users by name.
    pub fn users(&self, now: Ts) -> Result<Vec<UserRow>, StoreError> {
        let sql = "SELECT u.name, u.role, u.created_at, u.last_login, u.disabled,
            (SELECT count(*) FROM sessions s WHERE s.user = u.name AND s.expires_at > ?1) FROM users u ORDER BY u.name";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([now.0], |r| {
            Ok(UserRow {
                name: r.get(0)?,
                role: r.get(1)?,
                created_at: Ts(r.get(2)?),
                last_login: r.get::<_, Option<i64>>(3)?.map(Ts),
                disabled: r.get(4)?,
                sessions: r.get::<_, i64>(5)?.unsigned_abs(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Makes a user; false where there is one of this name.
    pub fn add_user(&mut self, name: &str, role: &str, password: &str, now: Ts) -> Result<bool, StoreError> {
        let sql = "INSERT OR IGNORE INTO users (name, role, password, created_at) VALUES (?1, ?2, ?3, ?4)";
        let change = self.begin_vital()?;
        let made = change.execute(sql, params![name, role, password, now.0])? == 1;
        change.commit()?;
        Ok(made)
    }

    /// Makes the first user; false where there is one already.
    pub fn add_first_user(&mut self, name: &str, password: &str, now: Ts) -> Result<bool, StoreError> {
        let sql = "INSERT INTO users (name, role, password, created_at) SELECT ?1, 'admin', ?2, ?3
            WHERE NOT EXISTS (SELECT 1 FROM users)";
        let change = self.begin_vital()?;
        let made = change.execute(sql, params![name, password, now.0])? == 1;
        change.commit()?;
        Ok(made)
    }

    /// The hash of a user's password, where the user may log in.
    pub fn password(&self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT password FROM users WHERE name = ?1 AND disabled = 0";
        Ok(self.connection.prepare_cached(sql)?.query_row([name], |r| r.get(0)).optional()?)
    }

    /// Changes a user; false where there is none of this name, or the last administrator would be one no more.
    ///
    /// A new password, another role and being disabled end the user's sessions.
    pub fn change_user(
        &mut self,
        name: &str,
        role: Option<&str>,
        disabled: Option<bool>,
        password: Option<&str>,
    ) -> Result<bool, StoreError> {
        let transaction = self.begin_vital()?;
        let n = transaction.execute(
            "UPDATE users SET role = coalesce(?2, role), disabled = coalesce(?3, disabled), password = coalesce(?4, password) WHERE name = ?1",
            params![name, role, disabled, password],
        )?;
        transaction.execute("DELETE FROM sessions WHERE user = ?1", [name])?;
        let left: bool = transaction.query_row(ADMINS, [], |r| r.get(0))?;
        if n == 1 && left {
            transaction.commit()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Removes a user with sessions and tokens; false where there is none, or it is the last administrator.
    pub fn remove_user(&mut self, name: &str) -> Result<bool, StoreError> {
        let transaction = self.begin_vital()?;
        let n = transaction.execute("DELETE FROM users WHERE name = ?1", [name])?;
        transaction.execute("DELETE FROM sessions WHERE user = ?1", [name])?;
        transaction.execute("DELETE FROM tokens WHERE user = ?1", [name])?;
        let left: bool = transaction.query_row(ADMINS, [], |r| r.get(0))?;
        if n == 1 && left {
            transaction.commit()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Removes all users with their sessions and tokens, so that the first one can be made anew; gives how many there were.
    pub fn remove_users(&mut self, by: &str, now: Ts) -> Result<u64, StoreError> {
        let transaction = self.begin_vital()?;
        transaction.execute("DELETE FROM sessions", [])?;
        transaction.execute("DELETE FROM tokens", [])?;
        let users = transaction.execute("DELETE FROM users", [])? as u64;
        transaction.execute(
            "INSERT INTO audit (at, actor, action, detail) VALUES (?1, ?2, 'user.reset', ?3)",
            params![now.0, by, format!("{{\"users\":{users}}}")],
        )?;
        transaction.commit()?;
        Ok(users)
    }

    /// Begins a session; those that have ended go, and the oldest of a user who has too many.
    pub fn add_session(&mut self, session: &NewSession<'_>, now: Ts) -> Result<(), StoreError> {
        let transaction = self.begin_vital()?;
        transaction.execute("DELETE FROM sessions WHERE expires_at <= ?1", [now.0])?;
        transaction.execute(
            "INSERT INTO sessions (hash, user, csrf, created_at, expires_at, used_at) VALUES (?1, ?2, ?3, ?4, ?5, ?4)",
            params![session.hash, session.user, session.csrf, now.0, session.expires_at.0],
        )?;
        transaction.execute(
            "DELETE FROM sessions WHERE user = ?1 AND hash NOT IN
             (SELECT hash FROM sessions WHERE user = ?1 ORDER BY created_at DESC, hash LIMIT ?2)",
            params![session.user, MAX_SESSIONS],
        )?;
        transaction
            .execute("UPDATE users SET last_login = ?2 WHERE name = ?1", params![session.user, now.0])?;
        transaction.commit()?;
        Ok(())
    }

    /// The session of this hash, where it has not ended and its user may log in.
    pub fn session(&self, hash: &[u8], now: Ts) -> Result<Option<SessionRow>, StoreError> {
        let sql = "SELECT s.user, u.role, s.csrf, s.expires_at, s.used_at FROM sessions s JOIN users u ON u.name = s.user
            WHERE s.hash = ?1 AND s.expires_at > ?2 AND u.disabled = 0";
        let found = self.connection.prepare_cached(sql)?.query_row(params![hash, now.0], |r| {
            Ok(SessionRow {
                user: r.get(0)?,
                role: r.get(1)?,
                csrf: r.get(2)?,
                expires_at: Ts(r.get(3)?),
                used_at: Ts(r.get(4)?),
            })
        });
        Ok(found.optional()?)
    }

    /// Says that a session was used.
    pub fn use_session(&mut self, hash: &[u8], now: Ts) -> Result<(), StoreError> {
        self.connection.execute("UPDATE sessions SET used_at = ?2 WHERE hash = ?1", params![hash, now.0])?;
        Ok(())
    }

    /// Ends a session.
    pub fn end_session(&mut self, hash: &[u8]) -> Result<(), StoreError> {
        self.connection.execute("DELETE FROM sessions WHERE hash = ?1", [hash])?;
        Ok(())
    }

    /// Keeps a token under the hash of its secret.
    pub fn add_token(&mut self, token: &TokenRow, hash: &[u8]) -> Result<(), StoreError> {
        let change = self.begin_vital()?;
        change.execute(
            "INSERT INTO tokens (id, hash, user, name, role, read_only, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                token.id,
                hash,
                token.user,
                token.name,
                token.role,
                token.read_only,
                token.created_at.0,
                token.expires_at.map(|t| t.0)
            ],
        )?;
        change.commit()
    }

    /// The token of this hash with the role of who made it, where it has not ended and that user may log in.
    pub fn token(&self, hash: &[u8], now: Ts) -> Result<Option<(TokenRow, String)>, StoreError> {
        let sql = format!(
            "SELECT {TOKEN}, u.role FROM tokens t JOIN users u ON u.name = t.user
             WHERE t.hash = ?1 AND coalesce(t.expires_at, ?2 + 1) > ?2 AND u.disabled = 0"
        );
        let found = self
            .connection
            .prepare_cached(&sql)?
            .query_row(params![hash, now.0], |r| Ok((token_row(r)?, r.get(8)?)));
        Ok(found.optional()?)
    }

    /// Says that a token was used.
    pub fn use_token(&mut self, id: &str, now: Ts) -> Result<(), StoreError> {
        self.connection.execute("UPDATE tokens SET used_at = ?2 WHERE id = ?1", params![id, now.0])?;
        Ok(())
    }

    /// Tokens of a user, or all.
    pub fn tokens(&self, user: Option<&str>) -> Result<Vec<TokenRow>, StoreError> {
        let sql = format!(
            "SELECT {TOKEN} FROM tokens t WHERE ?1 IS NULL OR t.user = ?1 ORDER BY t.created_at, t.id"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([user], token_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Removes all tokens of a user; gives how many there were.
    pub fn remove_tokens_of(&mut self, user: &str) -> Result<usize, StoreError> {
        Ok(self.connection.execute("DELETE FROM tokens WHERE user = ?1", [user])?)
    }

    /// Removes a token, of this user where one is named; false where there is none.
    pub fn remove_token(&mut self, id: &str, user: Option<&str>) -> Result<bool, StoreError> {
        let sql = "DELETE FROM tokens WHERE id = ?1 AND (?2 IS NULL OR user = ?2)";
        Ok(self.connection.execute(sql, params![id, user])? == 1)
    }
}

const ADMINS: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND disabled = 0)";
const TOKEN: &str = "t.id, t.name, t.user, t.role, t.read_only, t.created_at, t.expires_at, t.used_at";

fn token_row(r: &Row<'_>) -> Result<TokenRow, rusqlite::Error> {
    Ok(TokenRow {
        id: r.get(0)?,
        name: r.get(1)?,
        user: r.get(2)?,
        role: r.get(3)?,
        read_only: r.get(4)?,
        created_at: Ts(r.get(5)?),
        expires_at: r.get::<_, Option<i64>>(6)?.map(Ts),
        last_used: r.get::<_, Option<i64>>(7)?.map(Ts),
    })
}

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use axum::http::StatusCode;
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// Passwords that are hashed at once: each takes 19 MiB and some tens of milliseconds.
const AT_ONCE: usize = 2;
/// Passwords that wait for that at most.
const WAITING: usize = 32;
/// Shortest and longest password.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=1_024;

/// Passwords as argon2id hashes.
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Passwords {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        }
    }

    /// The hash of a password, where it is long enough.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        if !LENGTH.contains(&password.chars().count()) {
            let detail = format!("a password has {} to {} characters", LENGTH.start(), LENGTH.end());
            return Err(Problem::bad_body(detail));
        }
        self.run(move || hash(&password)).await?.ok_or_else(failed)
    }

    /// Whether this is the password of the hash. Without a hash it takes as long and is not.
    pub(crate) async fn verify(&self, password: String, hashed: Option<String>) -> Result<bool, Problem> {
        if password.len() > LENGTH.end() * 4 {
            return Ok(false);
        }
        self.run(move || match hashed {
            Some(hashed) => matches(&password, &hashed),
            None => hash(&password).is_none(),
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let Ok(_place) = self.waiting.try_acquire() else { return Err(busy()) };
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| failed())?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await.map_err(|_| failed())
    }
}

/// Argon2id with 19 MiB, two passes and one lane: what OWASP's cheat sheet asks for at least.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

fn hash(password: &str) -> Option<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).ok()?;
    let hashed: PasswordHash = argon2().hash_password_with_salt(password.as_bytes(), &salt).ok()?;
    Some(hashed.to_string())
}

fn matches(password: &str, hashed: &str) -> bool {
    PasswordHash::new(hashed).is_ok_and(|h| argon2().verify_password(password.as_bytes(), &h).is_ok())
}

fn failed() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "failed", "the password could not be hashed")
}

fn busy() -> Problem {
    let detail = "too many log-ins at once; try again in a moment";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-available", "too many log-ins", detail)
}

//! Orders of one process that another carries out: a console that can reach no device asks the process beside it that can.

use rusqlite::{OptionalExtension, params};
use sidetap_model::Ts;

use crate::error::StoreError;
use crate::open::Store;

/// Nanoseconds within which an order is taken up or never: who gave it waits no longer.
const FRESH: i64 = 10_000_000_000;
/// The same after which nobody waits for what was not taken up, or for what was answered.
const OVER: i64 = 60_000_000_000;
/// The same after which what was taken up is not carried out any more.
const LOST: i64 = 3_600_000_000_000;
/// Orders to a run that wait, or whose answers do, at most.
const MOST: i64 = 64;

/// How far an order is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// Nobody has taken it up.
    Waits,
    /// Somebody carries it out.
    Taken,
    /// What came of it.
    Done(String),
    /// There is none of this number.
    Gone,
}

impl Store {
    /// Writes down what the process of a run is to do and gives its number; none where too many wait.
    pub fn give_order(&mut self, run: &str, call: &str, now: Ts) -> Result<Option<i64>, StoreError> {
        self.clear_orders(now)?;
        let change = self.begin_vital()?;
        let waiting: i64 =
            change.query_row("SELECT count(*) FROM orders WHERE run = ?1", [run], |r| r.get(0))?;
        if waiting >= MOST {
            return Ok(None);
        }
        change
            .execute("INSERT INTO orders (at, run, call) VALUES (?1, ?2, ?3)", params![now.0, run, call])?;
        let seq = change.last_insert_rowid();
        change.commit()?;
        Ok(Some(seq))
    }

    /// Takes up the oldest order to a run that somebody waits for.
    pub fn take_order(&mut self, run: &str, now: Ts) -> Result<Option<(i64, String)>, StoreError> {
        let waits =
            "SELECT seq, call FROM orders WHERE taken = 0 AND at >= ?1 AND run = ?2 ORDER BY seq LIMIT 1";
        let over = now.0.saturating_sub(FRESH);
        let look = |store: &Store| {
            let mut statement = store.connection.prepare_cached(waits)?;
            statement.query_row(params![over, run], |r| Ok((r.get(0)?, r.get(1)?))).optional()
        };
        // Most often there is none, and nothing is written.
        let Some((seq, call)) = look(self)? else { return Ok(None) };
        let change = self.begin_vital()?;
        let taken = change.execute("UPDATE orders SET taken = 1 WHERE seq = ?1 AND taken = 0", [seq])?;
        change.commit()?;
        Ok((taken == 1).then_some((seq, call)))
    }

    /// Takes up all orders to a run that are the same as this one and that somebody waits for: one answer is for all of them.
    pub fn take_same_orders(&mut self, run: &str, call: &str, now: Ts) -> Result<Vec<i64>, StoreError> {
        let change = self.begin_vital()?;
        let sql = "UPDATE orders SET taken = 1 WHERE taken = 0 AND at >= ?1 AND run = ?2 AND call = ?3 RETURNING seq";
        let over = now.0.saturating_sub(FRESH);
        let same = change
            .prepare(sql)?
            .query_map(params![over, run, call], |r| r.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        change.commit()?;
        Ok(same)
    }

    /// Says what came of an order, which whoever gave it may hear for a while from now.
    pub fn answer_order(&mut self, seq: i64, answer: &str) -> Result<(), StoreError> {
        let change = self.begin_vital()?;
        let sql = "UPDATE orders SET answer = ?2, at = max(at, now()) WHERE seq = ?1";
        change.execute(sql, params![seq, answer])?;
        change.commit()
    }

    /// Says this of all orders to a run that were taken up and not answered: who took them up is gone.
    pub fn answer_left(&mut self, run: &str, answer: &str) -> Result<(), StoreError> {
        let change = self.begin_vital()?;
        let sql = "UPDATE orders SET answer = ?2 WHERE run = ?1 AND taken = 1 AND answer IS NULL";
        change.execute(sql, params![run, answer])?;
        change.commit()
    }

    /// Removes orders that nobody waits for any more.
    pub(crate) fn clear_orders(&self, now: Ts) -> Result<(), StoreError> {
        let sql = "DELETE FROM orders WHERE at < ?1 AND (taken = 0 OR answer IS NOT NULL) OR at < ?2";
        let over = params![now.0.saturating_sub(OVER), now.0.saturating_sub(LOST)];
        self.connection.prepare_cached(sql)?.execute(over)?;
        Ok(())
    }

    /// How far an order is.
    pub fn order(&self, seq: i64) -> Result<Ordered, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT taken, answer FROM orders WHERE seq = ?1")?;
        let found: Option<(bool, Option<String>)> =
            statement.query_row([seq], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
        Ok(match found {
            None => Ordered::Gone,
            Some((_, Some(answer))) => Ordered::Done(answer),
            Some((true, None)) => Ordered::Taken,
            Some((false, None)) => Ordered::Waits,
        })
    }

    /// Takes an order back; says whether nobody had taken it up. One that is done is told and goes too.
    pub fn withdraw_order(&mut self, seq: i64) -> Result<bool, StoreError> {
        let change = self.begin_vital()?;
        let sql = "DELETE FROM orders WHERE seq = ?1 AND (taken = 0 OR answer IS NOT NULL)";
        let gone = change.execute(sql, [seq])?;
        change.commit()?;
        Ok(gone > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_taken_up_once_and_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut asks = Store::open(&dir.path().join("s.db")).unwrap();
        let mut acts = Store::open(&dir.path().join("s.db")).unwrap();
        let at = |s: i64| Ts::from_parts(1_795_000_000 + s, 0);
        assert_eq!(acts.take_order("r", at(0)).unwrap(), None);
        let first = asks.give_order("r", "a", at(0)).unwrap().unwrap();
        let second = asks.give_order("r", "b", at(1)).unwrap().unwrap();
        assert_eq!(asks.order(first).unwrap(), Ordered::Waits);
        assert_eq!(acts.take_order("other", at(2)).unwrap(), None, "it is no order to this one");
        assert_eq!(acts.take_order("r", at(2)).unwrap(), Some((first, "a".to_owned())));
        assert_eq!(asks.order(first).unwrap(), Ordered::Taken);
        assert!(!asks.withdraw_order(first).unwrap(), "it is being carried out");
        assert!(asks.withdraw_order(second).unwrap());
        assert_eq!(acts.take_order("r", at(2)).unwrap(), None);
        acts.answer_order(first, "done").unwrap();
        assert_eq!(asks.order(first).unwrap(), Ordered::Done("done".to_owned()));
        assert!(asks.withdraw_order(first).unwrap());
        assert_eq!(asks.order(first).unwrap(), Ordered::Gone);
        // Whoever took it up was killed.
        let third = asks.give_order("r", "e", at(3)).unwrap().unwrap();
        assert!(acts.take_order("r", at(3)).unwrap().is_some());
        acts.answer_left("other", "lost").unwrap();
        assert_eq!(asks.order(third).unwrap(), Ordered::Taken);
        acts.answer_left("r", "lost").unwrap();
        assert_eq!(asks.order(third).unwrap(), Ordered::Done("lost".to_owned()));
        asks.withdraw_order(third).unwrap();
        // Nobody waits for what was asked a while ago.
        asks.give_order("r", "c", at(3)).unwrap();
        assert_eq!(acts.take_order("r", at(14)).unwrap(), None);
        // What takes long is told all the same.
        let slow = asks.give_order("r", "f", at(14)).unwrap().unwrap();
        acts.take_order("r", at(14)).unwrap().unwrap();
        asks.give_order("r", "g", at(600)).unwrap();
        acts.set_now(at(601));
        acts.answer_order(slow, "late").unwrap();
        asks.give_order("r", "g", at(602)).unwrap();
        assert_eq!(asks.order(slow).unwrap(), Ordered::Done("late".to_owned()));
        asks.withdraw_order(slow).unwrap();
        // What is asked twice is carried out once.
        let (one, other) = (asks.give_order("q", "look", at(700)), asks.give_order("q", "else", at(700)));
        let two = asks.give_order("q", "look", at(700)).unwrap();
        assert_eq!(acts.take_order("q", at(700)).unwrap().map(|(seq, _)| Some(seq)), Some(one.unwrap()));
        assert_eq!(acts.take_same_orders("q", "look", at(700)).unwrap(), Vec::from_iter(two));
        assert_eq!(asks.order(other.unwrap().unwrap()).unwrap(), Ordered::Waits);
        let given = (0..MOST + 3).filter(|_| asks.give_order("r", "d", at(701)).unwrap().is_some()).count();
        assert_eq!(given as i64, MOST);
        assert!(
            asks.give_order("another", "d", at(701)).unwrap().is_some(),
            "those to one run are no other's"
        );
    }
}

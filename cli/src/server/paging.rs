//! Long lists, a part at a time.

use crate::openai::{Fault, quoted};
use crate::store::{Id, Part};
use serde::Serialize;
use serde_json::{Value, json};

/// What a query asks for, a value after the other.
pub(super) struct Query(Vec<(String, String)>);

/// Which part of a list is wanted.
pub(super) struct Paging {
    after: Option<String>,
    limit: usize,
    /// Whether the oldest come first.
    is_ascending: bool,
}

impl Query {
    /// What stands behind the `?`.
    pub fn of(query: Option<&str>) -> Query {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        };
        Query(pairs.map(pair).collect())
    }

    /// The value of a name.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// That nothing is left.
    pub fn finish(self) -> Result<(), Fault> {
        let Some((name, _)) = self.0.into_iter().next() else { return Ok(()) };
        let message = format!("{} is not known; leave it out", quoted(&name.as_str().into()));
        Err(Fault::at("unknown_parameter", name, message))
    }
}

impl Paging {
    /// The part that a query asks for: of so many, where it does not say, and so many at most.
    pub fn of(query: &mut Query, limit: usize, most: usize) -> Result<Paging, Fault> {
        let wrong = |name: &str, value: &str, expected: &str| {
            let message = format!("{name} is {}; expected {expected}", quoted(&value.into()));
            Fault::at("invalid_value", name, message)
        };
        let limit = match query.take("limit") {
            None => limit,
            Some(text) => {
                let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
                let expected = format!("an integer from 1 to {most}");
                limit.ok_or_else(|| wrong("limit", &text, &expected))?
            }
        };
        let order = query.take("order").unwrap_or_else(|| "desc".into());
        if !matches!(order.as_str(), "asc" | "desc") {
            return Err(wrong("order", &order, "asc or desc"));
        }
        Ok(Paging {
            after: query.take("after").filter(|after| !after.is_empty()),
            limit,
            is_ascending: order == "asc",
        })
    }

    /// This part of a list, of whose records `select` hands out those that are asked for; `parse` knows
    /// the names of its things.
    pub fn list<T: Serialize>(
        &self,
        parse: impl Fn(&str) -> Option<Id>,
        id: impl Fn(&T) -> &Id,
        select: impl FnOnce(&Part) -> Option<Vec<T>>,
    ) -> Result<Value, Fault> {
        let gone = |after: &str| {
            let message = format!("after is {}, which is not here", quoted(&after.into()));
            Fault::at("invalid_value", "after", message)
        };
        let after = match &self.after {
            None => None,
            Some(after) => Some(parse(after).ok_or_else(|| gone(after))?),
        };
        // One more tells that there are more.
        let part = Part { after, is_ascending: self.is_ascending, most: self.limit + 1 };
        let items = select(&part);
        let mut items = items.ok_or_else(|| gone(self.after.as_deref().unwrap_or_default()))?;
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        Ok(json!({
            "object": "list",
            "data": items,
            "first_id": items.first().map(&id),
            "last_id": items.last().map(&id),
            "has_more": has_more,
        }))
    }
}

//! Long lists, a page at a time.

use crate::openai::{Fault, quoted};
use crate::store::Id;
use serde::Serialize;
use serde_json::{Value, json};

/// What a query asks for, a value after the other.
pub(super) struct Query(Vec<(String, String)>);

/// Which part of a list is wanted.
pub(super) struct Page {
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

impl Page {
    /// The page that a query asks for: of so many, where it does not say, and so many at most.
    pub fn of(query: &mut Query, limit: usize, most: usize) -> Result<Page, Fault> {
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
        Ok(Page {
            after: query.take("after").filter(|after| !after.is_empty()),
            limit,
            is_ascending: order == "asc",
        })
    }

    /// This page of `items`, which are in the order of their names.
    pub fn list<T: Serialize>(
        &self,
        mut items: Vec<T>,
        id: impl Fn(&T) -> &Id,
    ) -> Result<Value, Fault> {
        if !self.is_ascending {
            items.reverse();
        }
        if let Some(after) = &self.after {
            let place = items.iter().position(|item| id(item).as_str() == after);
            let place = place.ok_or_else(|| {
                let after = quoted(&after.as_str().into());
                Fault::at("invalid_value", "after", format!("after is {after}, which is not here"))
            })?;
            items.drain(..=place);
        }
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

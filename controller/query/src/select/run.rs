//! Turns matching rows into the answer of a query: projection, groups, aggregates (reference query-language §3.5).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Aggregate, Clauses, Column, Item};
use crate::twin::ast::Path;
use crate::twin::{eval::json, row::look_up};
use crate::value::json_number;

/// The running state of one group.
struct Group<'r> {
    first: Option<&'r Value>,
    columns: Vec<Running<'r>>,
}

/// The running state of one aggregate in one group.
#[derive(Clone, Default)]
struct Running<'r> {
    rows: u64,
    numbers: u64,
    sum: f64,
    best: Option<&'r Value>,
}

// ---------------------------------------------------------------------------------------------------------------

impl Clauses {
    /// One row of a query without aggregates. Undefined columns are left out.
    pub(super) fn project(&self, row: &Value) -> Value {
        let Some(items) = &self.items else { return row.clone() };
        let mut answer = Map::new();
        for item in items {
            if let Column::Expr(expr) = &item.column
                && let Some(value) = json(expr, row)
            {
                answer.insert(item.name.clone(), value);
            }
        }
        Value::Object(answer)
    }

    /// The rows of a query with aggregates or groups. Without GROUP BY there is exactly one, also for no rows.
    pub(super) fn aggregate<'r>(&self, rows: impl Iterator<Item = &'r Value>) -> Vec<Value> {
        let items = self.items.as_deref().unwrap_or_default();
        let mut groups: Vec<Group<'r>> = Vec::new();
        let mut index: HashMap<String, usize> = HashMap::new();
        let empty = Group { first: None, columns: vec![Running::default(); items.len()] };
        if self.group.is_empty() {
            groups.push(empty.start(None));
            index.insert(String::new(), 0);
        }
        for row in rows {
            let at = *index.entry(key(&self.group, row)).or_insert_with(|| {
                groups.push(empty.start(Some(row)));
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.add(items, row);
            }
        }
        groups.iter().map(|group| group.answer(items)).collect()
    }
}

impl<'r> Group<'r> {
    fn start(&self, first: Option<&'r Value>) -> Self {
        Self { first, columns: self.columns.clone() }
    }

    fn add(&mut self, items: &[Item], row: &'r Value) {
        for (running, item) in self.columns.iter_mut().zip(items) {
            match &item.column {
                Column::Expr(_) => {}
                Column::Aggregate(_, None) => running.rows += 1,
                Column::Aggregate(aggregate, Some(path)) => {
                    if let Some(value) = look_up(path, row) {
                        running.add(*aggregate, value);
                    }
                }
            }
        }
    }

    fn answer(&self, items: &[Item]) -> Value {
        let mut answer = Map::new();
        for (running, item) in self.columns.iter().zip(items) {
            let value = match &item.column {
                Column::Expr(expr) => self.first.and_then(|row| json(expr, row)),
                Column::Aggregate(aggregate, _) => running.result(*aggregate),
            };
            if let Some(value) = value {
                answer.insert(item.name.clone(), value);
            }
        }
        Value::Object(answer)
    }
}

impl<'r> Running<'r> {
    fn add(&mut self, aggregate: Aggregate, value: &'r Value) {
        self.rows += 1;
        if let Some(number) = value.as_f64() {
            self.numbers += 1;
            self.sum += number;
        }
        let better = match (self.best, value) {
            // Numbers win over texts, so that one odd device does not hide the figure.
            (None, Value::Number(_) | Value::String(_)) | (Some(Value::String(_)), Value::Number(_)) => true,
            (Some(Value::Number(best)), Value::Number(new)) => {
                new.as_f64().partial_cmp(&best.as_f64()).is_some_and(|order| aggregate.prefers(order))
            }
            (Some(Value::String(best)), Value::String(new)) => aggregate.prefers(new.cmp(best)),
            _ => false,
        };
        if better {
            self.best = Some(value);
        }
    }

    fn result(&self, aggregate: Aggregate) -> Option<Value> {
        match aggregate {
            Aggregate::Count => Some(Value::from(self.rows)),
            Aggregate::Least | Aggregate::Greatest => self.best.cloned(),
            Aggregate::Average | Aggregate::Sum if self.numbers == 0 => None,
            Aggregate::Sum => json_number(self.sum).map(Value::Number),
            #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^53 rows")]
            Aggregate::Average => json_number(self.sum / self.numbers as f64).map(Value::Number),
        }
    }
}

impl Aggregate {
    /// Whether MIN or MAX takes a new value that stands in this order to the best one so far.
    fn prefers(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Least => order.is_lt(),
            Self::Greatest => order.is_gt(),
            Self::Count | Self::Average | Self::Sum => false,
        }
    }
}

/// What makes two rows the same group. Rows in which a path is undefined are a group of their own.
fn key(group: &[Path], row: &Value) -> String {
    let mut key = String::new();
    for path in group {
        match look_up(path, row) {
            // 60 and 60.0 are one value.
            Some(Value::Number(number)) => match number.as_f64().and_then(json_number) {
                Some(number) => key.push_str(&number.to_string()),
                None => key.push_str(&number.to_string()),
            },
            Some(value) => key.push_str(&value.to_string()),
            None => {}
        }
        key.push('\u{1f}');
    }
    key
}

//! The `WHERE` of a query. It holds only the conditions that are set, so that the database takes the index
//! that fits them.

use tokio_postgres::types::ToSql;

/// Conditions that must all hold.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    sql: String,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Conditions {
    /// Adds a condition; each `?` in it stands for the same value. Adds nothing if there is no value.
    pub(super) fn and<V: ToSql + Sync + 'static>(
        mut self,
        condition: &str,
        value: Option<V>,
    ) -> Self {
        let Some(value) = value else {
            return self;
        };
        self.values.push(Box::new(value));
        let place = format!("${}", self.values.len());
        self.always(&condition.replace('?', &place))
    }

    /// Adds a condition without a value.
    pub(super) fn always(mut self, condition: &str) -> Self {
        let word = if self.sql.is_empty() {
            " WHERE "
        } else {
            " AND "
        };
        self.sql.push_str(word);
        self.sql.push_str(condition);
        self
    }

    /// Returns the SQL text with its `WHERE`; empty if there are no conditions.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value).collect()
    }
}

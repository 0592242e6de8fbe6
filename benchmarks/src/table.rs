//! The table that all benches print: one line per contender, with our figure over theirs.

use std::fmt;

/// Whether more or less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

#[derive(Debug)]
struct Row {
    what: String,
    contender: String,
    value: f64,
    unit: &'static str,
    better: Better,
}

/// Rows in the order they were measured; within one `what`, the first contender is ours.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds one figure, and shows it at once so that a long run can be followed.
    pub(crate) fn add(
        &mut self,
        what: &str,
        contender: &str,
        value: f64,
        unit: &'static str,
        better: Better,
    ) {
        eprintln!("{what}: {contender}: {} {unit}", humane(value));
        self.rows.push(Row { what: what.into(), contender: contender.into(), value, unit, better });
    }

    fn ratio(&self, row: &Row) -> Option<f64> {
        let ours = self.rows.iter().find(|other| other.what == row.what)?;
        (ours.contender != row.contender).then(|| match row.better {
            Better::More => ours.value / row.value,
            Better::Less => row.value / ours.value,
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | contender | figure | ours is better by |")?;
        writeln!(f, "|---|---|---:|---:|")?;
        for row in &self.rows {
            let ratio = self.ratio(row).map_or_else(String::new, |ratio| format!("{ratio:.2} x"));
            writeln!(
                f,
                "| {} | {} | {} {} | {ratio} |",
                row.what,
                row.contender,
                humane(row.value),
                row.unit
            )?;
        }
        Ok(())
    }
}

/// Three significant digits, with thousands apart.
fn humane(value: f64) -> String {
    if value < 0.0 {
        return format!("-{}", humane(-value));
    }
    if value >= 1_000.0 {
        let digits = format!("{value:.0}");
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        return text;
    }
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

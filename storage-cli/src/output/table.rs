//! Aligned columns, printed row by row.

use unicode_width::UnicodeWidthStr;

use crate::{
    error::Failure,
    output::{Out, human},
};

/// Widest column that later columns are aligned behind. A longer cell is printed whole and moves only its own row.
const MOST_COLUMNS: usize = 48;
/// Blanks between two columns.
const GAP: usize = 2;

/// A table whose widths come from its first rows, so that any number of rows can follow in constant memory.
#[derive(Debug)]
pub(crate) struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// Prints the headings; `first` are the rows that decide the widths.
    pub(crate) fn begin(headings: &[&str], first: &[Vec<String>], out: &mut Out) -> Result<Self, Failure> {
        let mut widths: Vec<_> = headings.iter().copied().map(width).collect();
        for row in first {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(&human::safe(cell)).min(MOST_COLUMNS).max(*widest);
            }
        }
        let table = Self { widths };
        let headings: Vec<_> = headings.iter().map(|&heading| heading.to_owned()).collect();
        table.row(&headings, out)?;
        Ok(table)
    }

    /// Prints one row.
    pub(crate) fn row(&self, cells: &[String], out: &mut Out) -> Result<(), Failure> {
        out.line(self.format(cells))
    }

    fn format(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (cell, widest) in cells.iter().zip(&self.widths) {
            let cell = human::safe(cell);
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', widest.saturating_sub(width(&cell)) + GAP));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Prints a whole table.
pub(crate) fn print(headings: &[&str], rows: &[Vec<String>], out: &mut Out) -> Result<(), Failure> {
    let table = Table::begin(headings, rows, out)?;
    rows.iter().try_for_each(|row| table.row(row, out))
}

/// Prints names and values, the values below each other.
pub(crate) fn pairs(pairs: &[(&str, String)], out: &mut Out) -> Result<(), Failure> {
    let widest = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    for (name, value) in pairs {
        out.line(format_args!("{name:widest$}  {}", human::safe(value)))?;
    }
    Ok(())
}

/// Columns of a terminal that a text takes.
fn width(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(widths: &[usize], cells: &[&str]) -> String {
        let cells: Vec<_> = cells.iter().map(|&cell| cell.to_owned()).collect();
        Table { widths: widths.to_vec() }.format(&cells)
    }

    #[test]
    fn wide_characters_keep_the_columns_aligned() {
        assert_eq!(format(&[6, 4], &["日本", "x"]), "日本    x");
        assert_eq!(format(&[6, 4], &["abcd", "x"]), "abcd    x");
    }

    #[test]
    fn a_cell_wider_than_its_column_is_printed_whole() {
        assert_eq!(format(&[2, 1], &["abcdef", "x"]), "abcdef  x");
    }

    #[test]
    fn hostile_cells_are_escaped() {
        assert_eq!(format(&[1], &["\u{1b}[2J"]), "\\u{1b}[2J");
    }
}

//! The tables for a paper: `tabular` with the rules of booktabs, the best number of each row bold.

use super::{Benchmark, Cell, Pair, Published, ResultTable, TableRow};
use crate::report::benchmark::format::percent;

impl Benchmark {
    /// One `table*` for each level.
    pub fn latex(&self, published: &Published) -> String {
        let tables = self.tables(published);
        let head = "% Needs \\usepackage{booktabs}. AUROC / AP in percent.\n".to_owned();
        tables.iter().fold(head, |text, table| text + &table.latex(&self.title))
    }
}

impl ResultTable {
    fn latex(&self, title: &str) -> String {
        let columns = "c".repeat(self.columns.len());
        let heads = self.columns.iter().map(|column| escaped(&column.head()));
        let heads: Vec<String> = heads.collect();
        let mut text = format!(
            "\\begin{{table*}}\n\\centering\n\\caption{{{}, {} level}}\n\\begin{{tabular}}{{l{columns}}}\n\\toprule\n & {} \\\\\n\\midrule\n",
            escaped(title),
            self.level.name(),
            heads.join(" & ")
        );
        let mut was_average = false;
        for row in &self.rows {
            if row.is_average && !was_average {
                text += "\\midrule\n";
            }
            was_average = row.is_average;
            text += &format!("{} & {} \\\\\n", escaped(&row.name), self.cells(row).join(" & "));
        }
        text + "\\bottomrule\n\\end{tabular}\n\\end{table*}\n"
    }

    fn cells(&self, row: &TableRow) -> Vec<String> {
        let (auroc, ap) = (self.best(row, |pair| pair.auroc), self.best(row, |pair| pair.ap));
        let best = auroc.into_iter().zip(ap);
        let cells = row.cells.iter().zip(best);
        cells.map(|(cell, (auroc, ap))| latex_cell(cell, [auroc, ap])).collect()
    }
}

/// A cell whose `[AUROC, AP]` may be the best of their row.
fn latex_cell(cell: &Cell, [auroc, ap]: [bool; 2]) -> String {
    let number = |value: Option<f64>, is_best: bool| match is_best {
        true => format!("\\textbf{{{}}}", percent(value)),
        false => percent(value),
    };
    match cell {
        Cell::Numbers(Pair { auroc: None, ap: None }) => "n/a".into(),
        Cell::Numbers(pair) => format!("{} / {}", number(pair.auroc, auroc), number(pair.ap, ap)),
        Cell::Missing | Cell::Refused | Cell::Absent => cell.text(),
    }
}

/// A text without commands.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', letter]),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_give_commands() {
        assert_eq!(escaped(r"a_b & 50% \input{x}"), r"a\_b \& 50\% \textbackslash{}input\{x\}");
    }
}

//! What a grid has come to: how far each run is, and the table of what was measured.

use std::path::Path;

use anyhow::Context;
use moeclip_eval::report::{Auroc, Comparison, MethodResults};
use moeclip_train::{Cell, Grid, Method, PlannedRun, RunFolder, Standing};
use serde::Serialize;

use crate::cli::Common;
use crate::output::print_json;

/// A run as messages name it.
pub(super) fn named(run: &PlannedRun) -> String {
    match run.seed {
        None => run.cell.clone(),
        Some(seed) => format!("{}, seed {seed}", run.cell),
    }
}

/// Prints how far each run is.
pub(super) fn list(grid: &Grid, out: &Path, common: &Common) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Listed {
        cell: String,
        seed: Option<u64>,
        folder: String,
        state: String,
    }
    let runs = grid.runs();
    let width = runs.iter().map(|run| named(run).chars().count()).max().unwrap_or(0);
    for run in runs {
        let folder = RunFolder::of(&run, out);
        let state = state(folder.standing(&run, &grid.evaluate)?, grid.evaluate.len());
        if common.json {
            let folder = folder.path().display().to_string();
            print_json(&Listed { cell: run.cell, seed: run.seed, folder, state })?;
        } else {
            println!("{:<width$}  {state}", named(&run));
        }
    }
    Ok(())
}

/// Writes the table into the grid's folder, and prints it.
pub(super) fn print(grid: &Grid, out: &Path, common: &Common) -> anyhow::Result<()> {
    let methods = grid.cells.iter().map(|cell| results(cell, grid, out));
    let methods = methods.collect::<anyhow::Result<Vec<_>>>()?;
    let comparison = Comparison::new(&grid.title, &grid.evaluate, &methods);
    std::fs::create_dir_all(out).with_context(|| format!("{}: cannot be made", out.display()))?;
    comparison.write(out)?;
    if common.json {
        return print_json(&comparison);
    }
    println!("{comparison}");
    eprintln!("note: table.md, table.csv, table.json and table.svg are in {}", out.display());
    Ok(())
}

/// What was measured of a cell as the grid has it now.
fn results(cell: &Cell, grid: &Grid, out: &Path) -> anyhow::Result<MethodResults> {
    let (mut runs, mut failures, mut similarity) = (Vec::new(), Vec::new(), Vec::new());
    for run in cell.runs(&grid.seeds) {
        let folder = RunFolder::of(&run, out);
        let standing = folder.standing(&run, &grid.evaluate)?;
        if let Standing::Failed(failure) = &standing {
            let seed = run.seed.map(|seed| format!("seed {seed}, ")).unwrap_or_default();
            failures.push(format!("{seed}{}: {}", failure.stage, failure.reason));
        }
        let measured = |dataset: &String| {
            let measured = folder.measured(dataset)?.filter(|_| standing != Standing::Changed);
            anyhow::Ok(measured.map(|m| Auroc { pixel: m.pixel_auroc, image: m.image_auroc }))
        };
        // CLIP has no experts; a run that is not trained yet has them.
        if cell.method == Method::Clip || folder.is_trained() && standing != Standing::Changed {
            similarity.push(folder.similarity()?);
        }
        runs.push(grid.evaluate.iter().map(measured).collect::<anyhow::Result<Vec<_>>>()?);
    }
    let fraction = |percent: Option<f64>| percent.map(|percent| percent / 100.0);
    let published = grid.evaluate.iter().map(|dataset| {
        let published = cell.published.get(dataset)?;
        Some(Auroc { pixel: fraction(published.pixel), image: fraction(published.image) })
    });
    let published = published.collect();
    let (name, published_similarity) = (cell.name.clone(), cell.published_similarity);
    Ok(MethodResults { name, runs, published, similarity, published_similarity, failures })
}

fn state(standing: Standing, datasets: usize) -> String {
    match standing {
        Standing::ToDo => "to do".into(),
        Standing::Changed => "changed since it was made; to do again".into(),
        Standing::Begun => "begun".into(),
        Standing::Trained { measured } => format!("measured on {measured} of {datasets} datasets"),
        Standing::Done => "done".into(),
        Standing::Failed(failure) => format!("failed: {}: {}", failure.stage, failure.reason),
    }
}

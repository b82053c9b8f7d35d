// SPDX-License-Identifier: MIT OR Apache-2.0
//! Launch time against resident memory, as an SVG.

use plotters::chart::ChartBuilder;
use plotters::coord::combinators::IntoLogRange;
use plotters::drawing::IntoDrawingArea;
use plotters::prelude::SVGBackend;
use plotters::style::RGBColor;

use super::Result;
use super::load::Load;
use super::paper::{GREY, GRID, INK, Label, OCHRE, OWN, PAPER, RED, SIZE, font, line};
use super::results::Measured;

/// A way, what it is called in the plot, its colour, and where its label stands, in pixels below it.
/// The last is drawn over the others.
const LINES: [(&str, &str, RGBColor, i32); 4] = [
    ("fork", "copying clone (fork)", RED, 0),
    ("reexec", "re-exec", OCHRE, 0),
    ("floor", "bare system calls", GREY, 9),
    ("template", "clonebox", OWN, -8),
];

/// The plot of all loads without busy threads.
pub(crate) fn svg(measured: &Measured) -> Result<String> {
    let loads: Vec<Load> = measured
        .loads()
        .into_iter()
        .filter(|load| load.threads == 0)
        .collect();
    let gib = |load: Load| load.resident_mib as f64 / 1024.0;
    let most_gib = loads
        .iter()
        .map(|&load| gib(load))
        .fold(0.0, f64::max)
        .max(0.01);
    let points = |way: &str| -> Vec<(f64, f64)> {
        let point = |&load: &Load| Some((gib(load), measured.median(load, way)? / 1000.0));
        loads.iter().filter_map(point).collect()
    };
    let highest = points("fork").iter().map(|&(_, ms)| ms).fold(1.0, f64::max);

    let mut svg = String::new();
    {
        let paper = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        paper.fill(&PAPER)?;
        let mut chart = ChartBuilder::on(&paper)
            .caption("Launch time against the memory of the launcher", font(19))
            .margin(14)
            .margin_right(215)
            .x_label_area_size(52)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..most_gib, (0.1..highest * 1.6).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("resident memory of the launching program, GiB")
            .y_desc("launch to reaped, median, ms (log)")
            .axis_desc_style(font(14))
            .label_style(font(13))
            .x_labels(5)
            .x_label_formatter(&|gib| format!("{gib}"))
            .y_label_formatter(&|ms| format!("{ms}"))
            .bold_line_style(GRID)
            .light_line_style(PAPER)
            .axis_style(INK)
            .draw()?;
        for (way, label, colour, below) in LINES {
            let points = points(way);
            let Some(&last) = points.last() else { continue };
            let label = Label {
                text: format!("{label}: {}", time(last.1)),
                size: 14,
                below,
            };
            line(&paper, &mut chart, &points, colour, &label)?;
        }
        paper.present()?;
    }
    Ok(svg)
}

/// A time with two or three digits.
fn time(ms: f64) -> String {
    match ms {
        0.0..10.0 => format!("{ms:.2} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

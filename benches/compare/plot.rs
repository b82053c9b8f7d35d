// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands with a root filesystem against the mounts of the host, as an SVG.

use std::collections::BTreeMap;

use plotters::chart::ChartBuilder;
use plotters::coord::combinators::IntoLogRange;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, Text};
use plotters::prelude::SVGBackend;
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle};

use crate::runs::Runs;
use crate::support::Result;

const SIZE: (u32, u32) = (860, 480);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(228, 228, 228);
const PAPER: RGBColor = RGBColor(255, 255, 255);
const OWN: RGBColor = RGBColor(28, 106, 198);
const OTHERS: [RGBColor; 4] = [
    RGBColor(200, 60, 60),
    RGBColor(214, 137, 16),
    RGBColor(120, 120, 120),
    RGBColor(60, 140, 80),
];

/// A line for each, from the fewest mounts to the most.
pub(crate) fn svg(runs: &Runs) -> Result<String> {
    let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (group, contenders) in runs.groups() {
        if group.kind != "root" || group.at_once != 1 {
            continue;
        }
        for (name, summary) in contenders {
            let point = (group.mounts as f64, summary.wall.median() / 1000.0);
            lines.entry(name).or_default().push(point);
        }
    }
    let points = || lines.values().flatten();
    let most = points().map(|&(mounts, _)| mounts).fold(21.0, f64::max);
    let highest = points().map(|&(_, ms)| ms).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let paper = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        paper.fill(&PAPER)?;
        let mut chart = ChartBuilder::on(&paper)
            .caption(
                "A box with a root filesystem against the mounts of the host",
                font(19),
            )
            .margin(14)
            .margin_right(230)
            .x_label_area_size(52)
            .y_label_area_size(72)
            .build_cartesian_2d((20.0..most).log_scale(), (0.3..highest * 1.6).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("mounts in the host's table (log)")
            .y_desc("spawn to reaped, median, ms (log)")
            .axis_desc_style(font(14))
            .label_style(font(13))
            .bold_line_style(GRID)
            .light_line_style(PAPER)
            .axis_style(INK)
            .draw()?;
        for (number, (name, points)) in lines.iter().enumerate() {
            let own = name.starts_with("clonebox");
            let colour = if own {
                OWN
            } else {
                OTHERS[number % OTHERS.len()]
            };
            let line = ShapeStyle::from(colour).stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().copied(), line))?;
            let dots = points
                .iter()
                .map(|&point| Circle::new(point, 4, colour.filled()));
            chart.draw_series(dots)?;
            if let Some(&last) = points.last() {
                let (x, y) = chart.backend_coord(&last);
                let style = font(13)
                    .color(&colour)
                    .pos(Pos::new(HPos::Left, VPos::Center));
                paper.draw(&Text::new(
                    format!("{name}: {:.2} ms", last.1),
                    (x + 12, y),
                    style,
                ))?;
            }
        }
        paper.present()?;
    }
    Ok(svg)
}

fn font(size: u32) -> TextStyle<'static> {
    ("Helvetica, Arial, sans-serif", size)
        .into_font()
        .color(&INK)
}

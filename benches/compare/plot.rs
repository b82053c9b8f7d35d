// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands with a root filesystem against the mounts of the host, as an SVG.

use std::collections::BTreeMap;

use plotters::chart::ChartBuilder;
use plotters::coord::combinators::IntoLogRange;
use plotters::drawing::IntoDrawingArea;
use plotters::prelude::SVGBackend;
use plotters::style::RGBColor;

use crate::runs::Runs;
use crate::support::Result;
use crate::support::paper::{GREY, GRID, INK, Label, OCHRE, OWN, PAPER, RED, SIZE, font, line};

const OTHERS: [RGBColor; 4] = [RED, OCHRE, GREY, RGBColor(60, 140, 80)];

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
            let last = points.last().map_or(0.0, |&(_, ms)| ms);
            let label = Label {
                text: format!("{name}: {last:.2} ms"),
                size: 13,
                below: 0,
            };
            line(&paper, &mut chart, points, colour, &label)?;
        }
        paper.present()?;
    }
    Ok(svg)
}

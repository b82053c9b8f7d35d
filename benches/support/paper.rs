// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the plots have in common: paper, ink, and how a line with its label is drawn.

use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::Ranged;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, Text};
use plotters::prelude::SVGBackend;
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle};

use super::Result;

pub(crate) const SIZE: (u32, u32) = (860, 480);
pub(crate) const INK: RGBColor = RGBColor(40, 40, 40);
pub(crate) const GRID: RGBColor = RGBColor(228, 228, 228);
pub(crate) const PAPER: RGBColor = RGBColor(255, 255, 255);
/// clonebox's own lines, and those of others.
pub(crate) const OWN: RGBColor = RGBColor(28, 106, 198);
pub(crate) const RED: RGBColor = RGBColor(200, 60, 60);
pub(crate) const OCHRE: RGBColor = RGBColor(214, 137, 16);
pub(crate) const GREY: RGBColor = RGBColor(120, 120, 120);

pub(crate) fn font(size: u32) -> TextStyle<'static> {
    ("Helvetica, Arial, sans-serif", size)
        .into_font()
        .color(&INK)
}

/// What is said of a line, at its end.
#[derive(Debug)]
pub(crate) struct Label {
    pub(crate) text: String,
    pub(crate) size: u32,
    /// Pixels below the last point.
    pub(crate) below: i32,
}

/// Draws a line with its points, and its label behind the last.
pub(crate) fn line<'a, X, Y>(
    paper: &DrawingArea<SVGBackend<'a>, Shift>,
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    points: &[(f64, f64)],
    colour: RGBColor,
    label: &Label,
) -> Result
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let Some(last) = points.last() else {
        return Ok(());
    };
    let style = ShapeStyle::from(colour).stroke_width(2);
    chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
    let dots = points
        .iter()
        .map(|&point| Circle::new(point, 4, colour.filled()));
    chart.draw_series(dots)?;
    let (x, y) = chart.backend_coord(last);
    let place = Pos::new(HPos::Left, VPos::Center);
    let style = font(label.size).color(&colour).pos(place);
    let place = (x + 12, y + label.below);
    paper.draw(&Text::new(label.text.clone(), place, style))?;
    Ok(())
}

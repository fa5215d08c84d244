//! One plot as SVG: bars of CPU per message on a logarithmic axis, so that a forwarder and a proxy both show.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::measure::Spread;

#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) spread: Spread,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 46.0;
const ROW: f64 = 30.0;
const BOTTOM: f64 = 44.0;

/// The axis runs from 1 µs to the next power of ten above the largest figure.
fn axis_end(bars: &[Bar]) -> f64 {
    let most = bars.iter().map(|bar| bar.spread.most).fold(10.0, f64::max);
    10f64.powf(most.log10().ceil())
}

fn place(value: f64, end: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * (value.max(1.0).log10() / end.log10())
}

pub(crate) fn draw(bars: &[Bar]) -> String {
    let height = TOP + ROW * bars.len() as f64 + BOTTOM;
    let end = axis_end(bars);
    let bottom = height - BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\" font-weight=\"bold\">CPU per message, saturated (logarithmic)</text>\n"
    );
    for tick in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0] {
        if tick <= end {
            let x = place(tick, end);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{tick} µs</text>",
                bottom + 20.0
            );
        }
    }
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * index as f64 + 5.0;
        let colour = match bar.name.split(' ').next() {
            Some("floor") => "#9aa5b1",
            Some("strowger") => "#2f6fb0",
            _ => "#c8783c",
        };
        let Spread { median, least, most } = bar.spread;
        let (x, from, to) = (place(median, end), place(least, end), place(most, end));
        let middle = y + 10.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"20\" fill=\"{colour}\"/>\
             <line x1=\"{from:.1}\" y1=\"{middle:.1}\" x2=\"{to:.1}\" y2=\"{middle:.1}\" stroke=\"#222222\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{median:.2} µs</text>",
            LEFT - 8.0,
            y + 15.0,
            bar.name,
            x - LEFT,
            to.max(x) + 8.0,
            y + 15.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

pub(crate) fn write(path: &Path, bars: &[Bar]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, draw(bars))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_the_cost_is_one_decade_longer() {
        let bar = |name: &str, median| Bar {
            name: name.into(),
            spread: Spread { median, least: median, most: median },
        };
        let bars = [bar("floor", 2.0), bar("kamailio forward()", 20.0)];
        let end = axis_end(&bars);
        assert_eq!(end, 100.0);
        let decade = (WIDTH - LEFT - RIGHT) / 2.0;
        assert!((place(20.0, end) - place(2.0, end) - decade).abs() < 1e-9);
        let svg = draw(&bars);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.contains("20.00 µs"));
    }
}

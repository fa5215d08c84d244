//! One plot as SVG: bars of CPU per message on a logarithmic axis, so that both a forwarder and a proxy are visible.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::measure::Spread;

#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) spread: Spread,
}

/// Length of the axis.
const LENGTH: f64 = 500.0;
/// Width of a letter in the widest sans-serif font that browsers use, at the size of labels.
const LETTER: f64 = 8.0;
/// Gap before and after a label.
const GAP: f64 = 8.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 46.0;
const ROW: f64 = 30.0;
const BOTTOM: f64 = 44.0;

/// The axis runs from 1 µs to the next power of ten above the largest figure.
fn axis_end(bars: &[Bar]) -> f64 {
    let most = bars.iter().map(|bar| bar.spread.most).fold(10.0, f64::max);
    10f64.powf(most.log10().ceil())
}

/// Room for the longest label.
fn left(bars: &[Bar]) -> f64 {
    let longest = bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or_default();
    longest as f64 * LETTER + 2.0 * GAP
}

/// Distance from the beginning of the axis.
fn along(value: f64, end: f64) -> f64 {
    LENGTH * (value.max(1.0).log10() / end.log10())
}

pub(crate) fn draw(bars: &[Bar]) -> String {
    let height = TOP + ROW * bars.len() as f64 + BOTTOM;
    let (left, end) = (left(bars), axis_end(bars));
    let width = left + LENGTH + RIGHT;
    let place = |value: f64| left + along(value, end);
    let bottom = height - BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{left}\" y=\"24\" font-size=\"15\" font-weight=\"bold\">CPU per message, saturated (logarithmic)</text>\n"
    );
    for tick in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0] {
        if tick <= end {
            let x = place(tick);
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
        let (x, from, to) = (place(median), place(least), place(most));
        let middle = y + 10.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{left}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"20\" fill=\"{colour}\"/>\
             <line x1=\"{from:.1}\" y1=\"{middle:.1}\" x2=\"{to:.1}\" y2=\"{middle:.1}\" stroke=\"#222222\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{median:.2} µs</text>",
            left - GAP,
            y + 15.0,
            bar.name,
            x - left,
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
        assert!((along(20.0, end) - along(2.0, end) - LENGTH / 2.0).abs() < 1e-9);
        let svg = draw(&bars);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.contains("20.00 µs"));
    }
    /// A label ends [`GAP`] before the axis, so its whole width must lie before that.
    #[test]
    fn the_longest_label_has_room() {
        let spread = Spread { median: 2.0, least: 2.0, most: 2.0 };
        let bars = ["floor", "strowger tag, one by one"].map(|name| Bar { name: name.into(), spread });
        assert!(left(&bars) - GAP - 24.0 * LETTER >= GAP);
        let text = draw(&bars);
        assert!(
            text.contains("<text x=\"200.0\" y=\"96.0\" text-anchor=\"end\">strowger tag, one by one</text>"),
            "{text}"
        );
    }
}

//! Line charts as SVG: both axes in powers of ten, a plain line for each contestant, its name where it ends.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 48.0;
/// Between two names at the right edge.
const NAME_HEIGHT: f64 = 15.0;

/// What is shown of one contestant.
pub(crate) struct Line {
    pub(crate) name: String,
    /// As SVG writes it.
    pub(crate) color: &'static str,
    /// From left to right; all coordinates are greater than 0.
    pub(crate) points: Vec<(f64, f64)>,
}

/// What a chart shows.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) lines: Vec<Line>,
}

/// One axis: whole powers of ten.
struct Axis {
    low: i32,
    high: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (i32::MAX, i32::MIN);
        for value in values.filter(|value| *value > 0.0) {
            low = low.min(value.log10().floor() as i32);
            high = high.max(value.log10().ceil() as i32);
        }
        let low = low.min(high);
        Self { low, high: high.max(low + 1), from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        (self.low..=self.high).map(|power| (self.place(10_f64.powi(power)), label(power)))
    }
}

fn label(power: i32) -> String {
    match power {
        0.. => crate::report::grouped(10_usize.pow(power.unsigned_abs())),
        _ => format!("{:.*}", power.unsigned_abs() as usize, 10_f64.powi(power)),
    }
}

impl Chart<'_> {
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::over(points().map(|(x, _)| *x), LEFT, WIDTH - RIGHT);
        let y = Axis::over(points().map(|(_, y)| *y), HEIGHT - BOTTOM, TOP);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\" \
             font-size=\"12\" fill=\"#374151\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        let mut text = |x: f64, y: f64, more: &str, text: &str| {
            let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {more}>{text}</text>");
        };
        text(LEFT, 20.0, "font-size=\"14\" font-weight=\"600\"", self.title);
        text(LEFT, 36.0, "", self.y);
        text((LEFT + right) / 2.0, HEIGHT - 10.0, "text-anchor=\"middle\"", self.x);
        for (at, label) in x.ticks() {
            text(at, bottom + 18.0, "text-anchor=\"middle\"", &label);
        }
        for (at, label) in y.ticks() {
            text(LEFT - 8.0, at + 4.0, "text-anchor=\"end\"", &label);
        }
        for (line, along, up) in self.names(&x, &y) {
            text(along + 8.0, up + 4.0, &format!("fill=\"{}\"", line.color), &line.name);
        }
        for (at, _) in x.ticks() {
            let _ = writeln!(out, "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#e5e7eb\"/>");
        }
        for (at, _) in y.ticks() {
            let _ = writeln!(out, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#e5e7eb\"/>");
        }
        for Line { color, points, .. } in &self.lines {
            let places: Vec<_> =
                points.iter().map(|(to_right, up)| (x.place(*to_right), y.place(*up))).collect();
            let path = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
            let _ = writeln!(
                out,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>"
            );
            for (x, y) in places {
                let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>");
            }
        }
        out.push_str("</svg>\n");
        out
    }

    /// Where the names stand: at their lines' ends, moved down where they would overlap.
    fn names(&self, x: &Axis, y: &Axis) -> Vec<(&Line, f64, f64)> {
        let ends = self.lines.iter().filter_map(|line| {
            let (to_right, up) = line.points.last()?;
            Some((line, x.place(*to_right), y.place(*up)))
        });
        let mut names: Vec<(&Line, f64, f64)> = ends.collect();
        names.sort_by(|a, b| a.2.total_cmp(&b.2));
        let mut free_from = f64::MIN;
        for (_, _, at) in &mut names {
            *at = at.max(free_from);
            free_from = *at + NAME_HEIGHT;
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_spans_whole_powers_of_ten() {
        let axis = Axis::over([0.02, 300.0].into_iter(), 0.0, 50.0);
        let ticks: Vec<_> = axis.ticks().collect();
        let labels: Vec<_> = ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["0.01", "0.1", "1", "10", "100", "1,000"]);
        assert!((axis.place(1.0) - 20.0).abs() < 1e-9);
    }

    #[test]
    fn names_do_not_overlap() {
        let line = |name: &str, y: f64| Line {
            name: name.to_owned(),
            color: "red",
            points: vec![(1.0, 1.0), (10.0, y)],
        };
        let chart =
            Chart { title: "", x: "", y: "", lines: vec![line("a", 5.0), line("b", 5.1), line("c", 5.2)] };
        let axis = |from, to| Axis { low: 0, high: 1, from, to };
        let names = chart.names(&axis(0.0, 300.0), &axis(300.0, 0.0));
        assert_eq!(names.iter().map(|(line, ..)| line.name.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
        assert!(names.windows(2).all(|pair| pair[1].2 - pair[0].2 >= NAME_HEIGHT - 1e-9));
    }
}

//! A chart as an SVG picture: readable on light and on dark ground, without anything beside the file.

use std::fmt::Write as _;

use hl_core::TimeMs;

use super::axis;
use super::picture::{Missing, Picture, number};

const WIDTH: f64 = 1_200.0;
const HEIGHT: f64 = 640.0;
const LEFT: f64 = 24.0;
/// Right of here stand the prices.
const RIGHT: f64 = 1_112.0;
/// The price pane.
const TOP: f64 = 76.0;
const BOTTOM: f64 = 456.0;
/// The volume pane.
const VOLUME_TOP: f64 = 472.0;
const VOLUME_BOTTOM: f64 = 552.0;
/// A character of a label, about.
const CHARACTER: f64 = 6.6;
/// The height of a label.
const LINE: f64 = 13.0;
/// So many gaps are named below the chart.
const NAMED: usize = 3;

const STYLE: &str = "\
.ground{fill:#ffffff}.grid{stroke:#e4e7eb}.text{fill:#4b5563}.title{fill:#111827;font-weight:600}
.up{fill:#0b8f69}.up line{stroke:#0b8f69}.down{fill:#d0403d}.down line{stroke:#d0403d}.volume{opacity:.45}
.hatch{stroke:#b45309}.missing{fill:#b45309;fill-opacity:.08}.named{fill:#92400e}
@media (prefers-color-scheme: dark){
.ground{fill:#0f1419}.grid{stroke:#242c36}.text{fill:#a9b4c0}.title{fill:#f0f3f6}
.up{fill:#2fc39a}.up line{stroke:#2fc39a}.down{fill:#f2706c}.down line{stroke:#f2706c}
.hatch{stroke:#e0a03c}.missing{fill:#e0a03c;fill-opacity:.1}.named{fill:#f0c070}}";

/// Where things lie.
struct Plan<'a> {
    picture: &'a Picture,
    low: f64,
    high: f64,
    most: f64,
}

impl Plan<'_> {
    fn x(&self, time: TimeMs) -> f64 {
        let part = length(time.since(self.picture.range.from)) / length(self.picture.range.ms().max(1));
        LEFT + (RIGHT - LEFT) * part
    }

    fn y(&self, price: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (price - self.low) / (self.high - self.low)
    }

    /// The width of a bar's place.
    fn place(&self) -> f64 {
        (RIGHT - LEFT) * length(self.picture.interval.ms()) / length(self.picture.range.ms().max(1))
    }
}

#[allow(clippy::cast_precision_loss, reason = "for drawing")]
fn length(ms: i64) -> f64 {
    ms as f64
}

/// The picture.
pub(super) fn draw(picture: &Picture) -> String {
    let (low, high) = picture.prices();
    // So that nothing touches the borders, and a price that never moved has a place.
    let margin = ((high - low) * 0.05).max(high.abs() * 1e-6).max(f64::MIN_POSITIVE);
    let plan = Plan { picture, low: low - margin, high: high + margin, most: picture.most_volume() };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"ui-sans-serif,system-ui,'Helvetica Neue',Arial,sans-serif\" \
         font-size=\"12\">\n<title>{}</title>\n<style>\n{STYLE}\n</style>\n\
         <defs><pattern id=\"hatch\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><line class=\"hatch\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"7\" \
         stroke-width=\"1.6\"/></pattern></defs>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n",
        escaped(&picture.title()),
    );
    label(&mut text, "title", LEFT, 32.0, "start", 18, &picture.title());
    label(&mut text, "text", LEFT, 54.0, "start", 13, &picture.sentence());
    axes(&plan, &mut text);
    picture.missing.iter().for_each(|missing| hatched(&plan, missing, &mut text));
    bars(&plan, &mut text);
    names(&plan, &mut text);
    text.push_str("</svg>\n");
    text
}

fn label(text: &mut String, class: &str, x: f64, y: f64, anchor: &str, size: u32, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{}</text>",
        escaped(words)
    );
}

/// Ground under a label, so that the hatching does not run through its letters.
fn plate(text: &mut String, x: f64, y: f64, width: f64, height: f64) {
    let _ = writeln!(
        text,
        "<rect class=\"ground\" fill-opacity=\".85\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\"/>"
    );
}

fn line(text: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ =
        writeln!(text, "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

fn axes(plan: &Plan<'_>, text: &mut String) {
    for (price, word) in axis::prices(plan.low, plan.high, 7) {
        let y = plan.y(price);
        line(text, (LEFT, y), (RIGHT, y));
        label(text, "text", RIGHT + 8.0, y + 4.0, "start", 12, &word);
    }
    for (at, word) in axis::times(plan.picture.range.from, plan.picture.range.to, 10) {
        let x = plan.x(at);
        line(text, (x, TOP), (x, VOLUME_BOTTOM));
        label(text, "text", x, VOLUME_BOTTOM + 18.0, "middle", 12, &word);
    }
    line(text, (LEFT, VOLUME_BOTTOM), (RIGHT, VOLUME_BOTTOM));
    let most = plan.most;
    let most = if most >= 100.0 { format!("{most:.0}") } else { format!("{most:.3}") };
    label(text, "text", RIGHT + 8.0, VOLUME_TOP + 10.0, "start", 12, &most);
    label(text, "text", RIGHT + 8.0, VOLUME_BOTTOM, "start", 12, "volume");
}

fn hatched(plan: &Plan<'_>, missing: &Missing, text: &mut String) {
    let (x, width) = (plan.x(missing.places.from), plan.x(missing.places.to) - plan.x(missing.places.from));
    let (width, height) = (width.max(2.0), VOLUME_BOTTOM - TOP);
    for class in ["missing", ""] {
        let fill = if class.is_empty() { " fill=\"url(#hatch)\"" } else { "" };
        let _ = writeln!(
            text,
            "<rect class=\"{class}\"{fill} x=\"{x:.1}\" y=\"{TOP:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">\
             <title>{}</title></rect>",
            escaped(&missing.words())
        );
    }
}

fn bars(plan: &Plan<'_>, text: &mut String) {
    let place = plan.place();
    let (body, wick) = ((place * 0.68).max(0.6), (place * 0.12).clamp(0.5, 1.4));
    for bar in &plan.picture.bars {
        let class = if bar.close < bar.open { "down" } else { "up" };
        let x = plan.x(bar.time) + place / 2.0;
        let y = |price| plan.y(number(price));
        let (top, bottom) = (y(bar.open.max(bar.close)), y(bar.open.min(bar.close)));
        let _ = writeln!(
            text,
            "<g class=\"{class}\"><line x1=\"{x:.2}\" y1=\"{:.2}\" x2=\"{x:.2}\" y2=\"{:.2}\" \
             stroke-width=\"{wick:.2}\"/><rect x=\"{:.2}\" y=\"{top:.2}\" width=\"{body:.2}\" height=\"{:.2}\"/></g>",
            y(bar.high),
            y(bar.low),
            x - body / 2.0,
            (bottom - top).max(1.0),
        );
        let height = (VOLUME_BOTTOM - VOLUME_TOP) * number(bar.volume) / plan.most.max(f64::MIN_POSITIVE);
        let _ = writeln!(
            text,
            "<rect class=\"{class} volume\" x=\"{:.2}\" y=\"{:.2}\" width=\"{body:.2}\" height=\"{height:.2}\"/>",
            x - body / 2.0,
            VOLUME_BOTTOM - height,
        );
    }
}

/// Names what is missing, inside where there is room, and the first of them below.
fn names(plan: &Plan<'_>, text: &mut String) {
    for span in &plan.picture.never {
        let (from, to) = (plan.x(span.from), plan.x(span.to));
        if to - from >= 15.0 * CHARACTER {
            label(text, "text", f64::midpoint(from, to), TOP + 16.0, "middle", 12, "never collected");
        }
    }
    let mut free_from = LEFT;
    for missing in &plan.picture.missing {
        let (from, to) = (plan.x(missing.places.from), plan.x(missing.places.to));
        let middle = f64::midpoint(from, to);
        let name = missing.name();
        #[allow(clippy::cast_precision_loss, reason = "a few dozen characters")]
        let long = name.chars().count() as f64 * CHARACTER;
        if to - from >= long + 8.0 {
            plate(text, middle - long / 2.0 - 3.0, TOP + 3.0, long + 6.0, LINE + 5.0);
            label(text, "named", middle, TOP + 16.0, "middle", 12, &name);
            free_from = to;
        } else if middle - LINE / 2.0 >= free_from {
            // Beside its strip, where that is narrower than the letters.
            let is_inside = to - from >= LINE + 4.0;
            let x = if is_inside { middle + 4.0 } else { from - 4.0 };
            if is_inside {
                plate(text, x - LINE + 1.0, TOP + 3.0, LINE + 3.0, long + 6.0);
            }
            let _ = writeln!(
                text,
                "<text class=\"named\" transform=\"translate({x:.1} {:.1}) rotate(-90)\" text-anchor=\"end\">{}</text>",
                TOP + 6.0,
                escaped(&name)
            );
            free_from = middle + LINE / 2.0;
        }
    }
    let named: Vec<_> = plan.picture.missing.iter().take(NAMED).map(Missing::words).collect();
    let more = plan.picture.missing.len().saturating_sub(NAMED);
    if !named.is_empty() {
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let words = format!("missing: {}{more}", named.join("; "));
        label(text, "named", LEFT, HEIGHT - 24.0, "start", 12, &words);
    }
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::picture;
    use super::*;

    #[test]
    fn a_picture_has_every_bar_the_axes_and_what_is_missing() {
        let text = draw(&picture());
        assert!(text.starts_with("<svg xmlns=") && text.ends_with("</svg>\n"));
        assert_eq!(text.matches("<g class=").count(), 15, "a group a bar");
        assert_eq!(text.matches("fill=\"url(#hatch)\"").count(), 1);
        for word in [
            ">BTC 5m · 2026-11-24 06:00 to 2026-11-24 07:40 UTC</text>",
            ">07:00</text>",
            ">66420</text>",
            ">outage 10m 0s</text>",
            ">missing: outage 10m 0s from 2026-11-24 06:41 (unrecoverable)</text>",
            "prefers-color-scheme: dark",
        ] {
            assert!(text.contains(word), "{word} is not in\n{text}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        // Three of twenty places.
        let hatched = text.lines().find(|line| line.contains("url(#hatch)")).unwrap();
        assert!(hatched.contains("x=\"459.2\"") && hatched.contains("width=\"163.2\""), "{hatched}");
    }

    #[test]
    fn a_name_cannot_break_the_picture() {
        assert_eq!(escaped("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
    }
}

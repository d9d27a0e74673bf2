//! A matrix of confusions as a picture: SVG that stands alone, in light and in dark.
//!
//! Rows are what was decided, columns what the operator said. The darker a place, the larger its share of its row;
//! what agrees is blue, what does not is orange, and each place has its number, so nothing is said by colour alone.

use std::fmt::Write;

use super::Matrix;
use crate::LabelIndex;

/// The side of one place, in pixels.
const SIDE: usize = 40;
/// Room for the labels of the rows and of the columns.
const MARGIN: usize = 150;
/// Room above and below for the titles.
const HEAD: usize = 56;
/// Characters of a label that are shown; the whole label is in the tooltip.
const SHOWN: usize = 18;
/// Pairs that the description names.
const NAMED: usize = 3;

/// The colours, with others where the viewer asks for a dark page. Text keeps its contrast on each place, since no
/// place is filled with more than half of its colour.
const STYLE: &str = "\
.l{fill:#1b1b1b}.g{stroke:#8a8a8a;fill:none}.r{fill:#1769aa}.w{fill:#c75300}.b{fill:#ffffff}\
text{font:12px system-ui,sans-serif}.h{font-size:14px;font-weight:600}\
@media(prefers-color-scheme:dark){.l{fill:#eeeeee}.g{stroke:#777777}.r{fill:#4fa3e0}.w{fill:#ff9447}.b{fill:#161616}}";

impl Matrix {
    /// The picture, with a title for people and for screen readers. `name` says what a label is called; whatever it
    /// says is written as text.
    pub fn svg<'a>(&self, title: &str, name: impl Fn(LabelIndex) -> &'a str) -> String {
        let labels = self.labels();
        let side = labels.len() * SIDE;
        let (width, height) = (MARGIN + side.max(2 * SIDE) + 80, HEAD + MARGIN + side + 20);
        let mut svg = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-labelledby=\"t d\">\n<title id=\"t\">{}</title>\n\
             <desc id=\"d\">{}</desc>\n<style>{STYLE}</style>\n<rect class=\"b\" width=\"{width}\" height=\"{height}\"/>\n\
             <text class=\"l h\" x=\"12\" y=\"24\">{}</text>\n\
             <text class=\"l\" x=\"12\" y=\"44\">rows: decided, columns: said</text>",
            escaped(title),
            escaped(&self.told(&name)),
            escaped(title),
        );
        for (place, label) in labels.iter().enumerate() {
            let (full, short) = (escaped(name(*label)), escaped(&cut(name(*label))));
            let middle = place * SIDE + SIDE / 2;
            let (row, column) = (HEAD + MARGIN + middle + 4, MARGIN + middle + 4);
            let (edge, foot) = (MARGIN - 8, HEAD + MARGIN - 8);
            let _ = writeln!(
                svg,
                "<text class=\"l\" x=\"{edge}\" y=\"{row}\" text-anchor=\"end\">{short}<title>{full}</title></text>\n\
                 <text class=\"l\" transform=\"translate({column} {foot}) rotate(-60)\">{short}<title>{full}</title></text>"
            );
        }
        for (row, decided) in labels.iter().enumerate() {
            let all: u64 = labels.iter().map(|said| u64::from(self.times(*decided, *said))).sum();
            for (column, said) in labels.iter().enumerate() {
                let times = self.times(*decided, *said);
                let (x, y) = (MARGIN + column * SIDE, HEAD + MARGIN + row * SIDE);
                let _ = writeln!(svg, "<rect class=\"g\" x=\"{x}\" y=\"{y}\" width=\"{SIDE}\" height=\"{SIDE}\"/>");
                if times == 0 {
                    continue;
                }
                let class = if decided == said { "r" } else { "w" };
                let share = f64::from(times) / all.max(1) as f64;
                let opacity = 0.08 + 0.42 * share;
                let (decided, said) = (escaped(name(*decided)), escaped(name(*said)));
                let (centre, line) = (x + SIDE / 2, y + SIDE / 2 + 4);
                let percent = 100.0 * share;
                let _ = writeln!(
                    svg,
                    "<g><title>decided {decided}, said {said}: {times} ({percent:.0} %)</title>\
                     <rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{SIDE}\" height=\"{SIDE}\" \
                     fill-opacity=\"{opacity:.2}\"/><text class=\"l\" x=\"{centre}\" y=\"{line}\" \
                     text-anchor=\"middle\">{times}</text></g>"
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// What the picture shows, in words.
    fn told<'a>(&self, name: &impl Fn(LabelIndex) -> &'a str) -> String {
        if self.cells.is_empty() {
            return "There are no votes on decided images yet.".to_owned();
        }
        let all: u64 = self.cells.iter().map(|cell| u64::from(cell.times)).sum();
        let agreeing = self.cells.iter().filter(|cell| cell.decided == cell.said);
        let agreeing: u64 = agreeing.map(|cell| u64::from(cell.times)).sum();
        let mut text = format!("{agreeing} of {all} votes agree with what was decided.");
        let mut wrong: Vec<_> = self.cells.iter().filter(|cell| cell.decided != cell.said).collect();
        wrong.sort_by_key(|cell| std::cmp::Reverse(cell.times));
        for cell in wrong.iter().take(NAMED) {
            let _ = write!(text, " Decided {}, said {}: {}.", name(cell.decided), name(cell.said), cell.times);
        }
        if self.cut {
            text.push_str(" Only the labels that were mixed up most are shown.");
        }
        text
    }
}

/// The beginning of a label that is too long for its place.
fn cut(label: &str) -> String {
    if label.chars().count() <= SHOWN {
        return label.to_owned();
    }
    label.chars().take(SHOWN - 1).chain(['…']).collect()
}

/// Text as SVG has it. What XML cannot hold at all is replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 2] = ["<script>alert(\"1\")</script>", "cat & 'dog'\u{1}"];

    fn matrix() -> Matrix {
        let cells = [(0, 0, 7), (0, 1, 2), (1, 1, 5)];
        let cell = |(decided, said, times)| (LabelIndex(decided), LabelIndex(said), times);
        Matrix::of(2, cells.into_iter().map(cell))
    }

    #[test]
    fn the_picture_says_what_is_in_it() {
        let svg = matrix().svg("operator <1>", |label| LABELS[usize::from(label.0)]);
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("<title id=\"t\">operator &lt;1&gt;</title>"));
        assert!(svg.contains("12 of 14 votes agree with what was decided. Decided &lt;script&gt;"));
        assert!(svg.contains(": 2 (22 %)</title>") && svg.contains("prefers-color-scheme:dark"));
        assert_eq!(svg.matches("<rect class=\"g\"").count(), 4, "each place has its frame");
        assert_eq!((svg.matches("class=\"r\"").count(), svg.matches("class=\"w\"").count()), (2, 1));
    }

    #[test]
    fn labels_are_text_and_nothing_else() {
        let svg = matrix().svg("t", |label| LABELS[usize::from(label.0)]);
        assert!(!svg.contains("<script") && !svg.contains("alert(\"") && !svg.contains('\u{1}'), "{svg}");
        assert!(svg.contains("cat &amp; &#39;dog&#39;\u{fffd}"));
        // Every tag that is opened is closed.
        for tag in ["svg", "title", "desc", "style", "text", "g"] {
            let opened = svg.matches(&format!("<{tag}>")).count() + svg.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, svg.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        let long = matrix().svg("t", |_| "a label that is far too long for its place");
        assert!(long.contains(">a label that is f…<title>a label that is far too long for its place</title>"));
    }

    #[test]
    fn without_votes_it_says_so() {
        assert!(Matrix::default().svg("t", |_| "").contains("There are no votes on decided images yet."));
    }
}

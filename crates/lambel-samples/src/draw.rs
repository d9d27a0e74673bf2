//! Simple things on backgrounds that are not quite plain.
//!
//! Edges are smooth because a shape is a distance (negative inside), and what lies within half a pixel of the
//! edge is mixed. Only arithmetic with exact rules is used, no sine or cosine, so that all machines draw the same.

use image::{Rgb, RgbImage};

use crate::numbers::Numbers;

/// What can be seen on a sample picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A disc.
    Circle,
    /// Two bars.
    Cross,
    /// A disc with a hole.
    Ring,
    /// A square.
    Square,
    /// A star with five points.
    Star,
    /// A triangle with equal sides.
    Triangle,
}

impl Shape {
    /// All shapes, in the order of their labels.
    pub const ALL: [Self; 6] = [Self::Circle, Self::Cross, Self::Ring, Self::Square, Self::Star, Self::Triangle];

    /// The label of this shape.
    pub fn label(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Cross => "cross",
            Self::Ring => "ring",
            Self::Square => "square",
            Self::Star => "star",
            Self::Triangle => "triangle",
        }
    }

    /// Distance of a point to the edge of the shape of size one around the origin; y points down.
    fn distance(self, (x, y): (f32, f32)) -> f32 {
        match self {
            Self::Circle => length(x, y) - 0.9,
            Self::Ring => (length(x, y) - 0.72).abs() - 0.2,
            Self::Square => bar(x, y, 0.78, 0.78),
            Self::Cross => bar(x, y, 0.95, 0.27).min(bar(x, y, 0.27, 0.95)),
            // The triangle's centre of mass lies low; it looks centred a little higher up.
            Self::Triangle => {
                let y = y - 0.15;
                (y - 0.55).max(0.866_025_4 * x.abs() - 0.5 * y - 0.55)
            }
            Self::Star => star(x, -y),
        }
    }
}

fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

fn bar(x: f32, y: f32, half_width: f32, half_height: f32) -> f32 {
    let (dx, dy) = (x.abs() - half_width, y.abs() - half_height);
    length(dx.max(0.0), dy.max(0.0)) + dx.max(dy).min(0.0)
}

/// A star is folded along its axes of symmetry until a single edge is left.
fn star(x: f32, y: f32) -> f32 {
    const COS_36: f32 = 0.809_017;
    const SIN_36: f32 = 0.587_785_24;
    const INNER: f32 = 0.45;
    let mut x = x.abs();
    let mut y = y;
    for (nx, ny) in [(COS_36, -SIN_36), (-COS_36, -SIN_36)] {
        let over = 2.0 * (nx * x + ny * y).max(0.0);
        x -= over * nx;
        y -= over * ny;
    }
    x = x.abs();
    y -= 1.0;
    let (ex, ey) = (INNER * SIN_36, INNER * COS_36 - 1.0);
    let along = ((x * ex + y * ey) / (ex * ex + ey * ey)).clamp(0.0, 1.0);
    let distance = length(x - ex * along, y - ey * along);
    if y * ex - x * ey < 0.0 { -distance } else { distance }
}

type Colour = [f32; 3];

/// Vivid enough for all backgrounds.
const PAINTS: [Colour; 8] = [
    [226.0, 62.0, 54.0],
    [240.0, 138.0, 36.0],
    [236.0, 186.0, 30.0],
    [66.0, 170.0, 90.0],
    [30.0, 160.0, 170.0],
    [52.0, 118.0, 220.0],
    [132.0, 84.0, 204.0],
    [224.0, 82.0, 150.0],
];

/// Two colours between which a background changes.
const GROUNDS: [[Colour; 2]; 6] = [
    [[250.0, 246.0, 238.0], [222.0, 212.0, 196.0]],
    [[236.0, 244.0, 250.0], [192.0, 210.0, 226.0]],
    [[238.0, 246.0, 236.0], [198.0, 216.0, 194.0]],
    [[44.0, 48.0, 62.0], [24.0, 26.0, 36.0]],
    [[64.0, 52.0, 58.0], [36.0, 28.0, 34.0]],
    [[250.0, 238.0, 242.0], [224.0, 200.0, 210.0]],
];

fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * share)
}

/// Draws a shape somewhere on a picture, in some colour, size and rotation.
pub(crate) fn draw(shape: Shape, width: u32, height: u32, numbers: &mut Numbers) -> RgbImage {
    let paint = PAINTS[numbers.below(PAINTS.len())];
    let ground = GROUNDS[numbers.below(GROUNDS.len())];
    let short = width.min(height) as f32;
    let size = short * numbers.between(0.24, 0.4);
    let free = |side: u32| (side as f32 / 2.0 - size * 1.12).max(0.0);
    let centre_x = width as f32 / 2.0 + free(width) * numbers.between(-1.0, 1.0);
    let centre_y = height as f32 / 2.0 + free(height) * numbers.between(-1.0, 1.0);
    // A rotation without sine and cosine; the tangent of half the angle is the parameter.
    let half = numbers.between(-0.22, 0.22);
    let (cos, sin) = ((1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half));
    let slope = numbers.between(-0.6, 0.6);
    let grain = numbers.between(1.5, 7.0);
    let pixel = 1.0 / size;
    let shadow = size * 0.06;
    let grain_seed = numbers.next();
    let place = |x: f32, y: f32| {
        let (x, y) = ((x - centre_x) * pixel, (y - centre_y) * pixel);
        (x * cos + y * sin, y * cos - x * sin)
    };
    RgbImage::from_fn(width, height, |column, row| {
        let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
        let across = (y / height as f32 + slope * (x / width as f32 - 0.5)).clamp(0.0, 1.0);
        let mut colour = mix(ground[0], ground[1], across);
        let shaded = shape.distance(place(x - shadow, y - shadow * 1.5));
        colour = mix(colour, [0.0; 3], 0.28 * (0.5 - shaded * 7.0).clamp(0.0, 1.0));
        let place = place(x, y);
        let inside = (0.5 - shape.distance(place) * size).clamp(0.0, 1.0);
        if inside > 0.0 {
            let lit = mix(paint, [255.0; 3], 0.16 * (0.5 - place.1 * 0.5).clamp(0.0, 1.0));
            colour = mix(colour, lit, inside);
        }
        let noise = grain * noise(grain_seed, column, row);
        Rgb(colour.map(|c| (c + noise + 0.5).clamp(0.0, 255.0) as u8))
    })
}

/// A number from −1 to 1 for a pixel, mostly near zero.
fn noise(seed: u64, x: u32, y: u32) -> f32 {
    let mut z = seed ^ (u64::from(x) << 32 | u64::from(y)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 32;
    let (a, b) = ((z & 0xffff) as f32, (z >> 16 & 0xffff) as f32);
    (a + b) / 65_535.0 - 1.0
}

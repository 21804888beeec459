//! The 8-connected regions of a mask: AUPRO counts each once, however small.

/// Which region each pixel of a mask lies in, and how large each region is.
pub(super) struct Regions {
    /// 0 outside, else the region's index plus 1.
    labels: Vec<u32>,
    areas: Vec<u32>,
}

impl Regions {
    /// The regions of a mask `[height, width]`; its length is a multiple of `width`.
    pub(super) fn of(mask: &[bool], width: usize) -> Self {
        let mut regions = Self { labels: vec![0; mask.len()], areas: Vec::new() };
        for start in 0..mask.len() {
            if mask[start] && regions.labels[start] == 0 {
                regions.flood(mask, width, start);
            }
        }
        regions
    }

    /// For each pixel the label that [`Regions::area`] takes.
    pub(super) fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Pixels of the region that a label stands for; `None` outside.
    pub(super) fn area(&self, label: u32) -> Option<u32> {
        self.areas.get((label as usize).wrapping_sub(1)).copied()
    }

    /// Pixels of each region.
    pub(super) fn areas(&self) -> &[u32] {
        &self.areas
    }

    /// Labels everything connected to `start` as a new region.
    fn flood(&mut self, mask: &[bool], width: usize, start: usize) {
        let label = self.areas.len() as u32 + 1;
        let mut area = 0;
        let mut open = vec![start];
        self.labels[start] = label;
        while let Some(pixel) = open.pop() {
            area += 1;
            for next in neighbours(pixel, width, mask.len() / width) {
                if mask[next] && self.labels[next] == 0 {
                    self.labels[next] = label;
                    open.push(next);
                }
            }
        }
        self.areas.push(area);
    }
}

/// The up to eight pixels around one, and the pixel itself.
fn neighbours(pixel: usize, width: usize, height: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (pixel % width, pixel / width);
    let columns = x.saturating_sub(1)..=(x + 1).min(width - 1);
    let rows = y.saturating_sub(1)..=(y + 1).min(height - 1);
    rows.flat_map(move |row| columns.clone().map(move |column| row * width + column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(rows: &[&str]) -> Regions {
        let mask: Vec<bool> = rows.concat().bytes().map(|byte| byte == b'#').collect();
        Regions::of(&mask, rows[0].len())
    }

    #[test]
    fn corners_connect_and_edges_do_not_wrap() {
        assert_eq!(regions(&["#.", ".#"]).areas(), [2]);
        assert_eq!(regions(&["..#", "#.."]).areas(), [1, 1]);
        assert_eq!(regions(&["#.#", "#.#", "###"]).areas(), [7]);
        assert_eq!(regions(&["#.#.#"]).areas(), [1, 1, 1]);
        assert_eq!(regions(&["...", "..."]).areas(), [0_u32; 0]);
    }

    #[test]
    fn every_pixel_knows_its_region() {
        let regions = regions(&["#...", "..##"]);
        let areas: Vec<_> = regions.labels().iter().map(|&label| regions.area(label)).collect();
        let expected = [Some(1), None, None, None, None, None, Some(2), Some(2)];
        assert_eq!(areas, expected);
    }
}

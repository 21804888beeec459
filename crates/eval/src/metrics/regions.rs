//! The 8-connected regions of a mask: AUPRO counts each once, however small.

/// Which region each pixel of a mask lies in, and how large each region is.
pub(super) struct Regions {
    /// 0 outside, else the region's index plus 1.
    labels: Vec<u32>,
    areas: Vec<u64>,
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

    /// For each pixel, its region's index where it lies in one.
    pub(super) fn labels(&self) -> impl Iterator<Item = Option<u32>> + '_ {
        self.labels.iter().map(|&label| label.checked_sub(1))
    }

    /// Pixels of each region.
    pub(super) fn areas(&self) -> &[u64] {
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
        assert_eq!(regions(&["...", "..."]).areas(), [0_u64; 0]);
    }

    #[test]
    fn every_pixel_knows_its_region() {
        let labels: Vec<_> = regions(&["#..", "..#"]).labels().collect();
        assert_eq!(labels, [Some(0), None, None, None, None, Some(1)]);
    }
}

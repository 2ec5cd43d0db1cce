//! Latencies in buckets of constant relative width.
//!
//! A value below 64 ns has a bucket of its own; above, each power of two is divided into 32
//! buckets, so a quantile is off by at most about 3 %. Recording is an index and an increment:
//! no allocation, no sorting, nothing that grows with the length of the run.

const SUB_BITS: u32 = 5;
const SUB: u64 = 1 << SUB_BITS;
const BUCKETS: usize = ((64 - SUB_BITS as usize) << SUB_BITS) + SUB as usize;

/// Counts of nanosecond values.
#[derive(Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }
}

/// The bucket of a value: its top `SUB_BITS + 1` significant bits.
fn bucket(nanos: u64) -> usize {
    let shift = (nanos | 1).ilog2().saturating_sub(SUB_BITS);
    ((u64::from(shift) << SUB_BITS) + (nanos >> shift)) as usize
}

/// The smallest value of a bucket.
fn floor(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> SUB_BITS).saturating_sub(1);
    (bucket - (shift << SUB_BITS)) << shift
}

impl Histogram {
    /// Count one value.
    pub fn record(&mut self, nanos: u64) {
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Forget every value.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// The value below which the given share of the values lies; 0 when there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return floor(index);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Histogram, bucket, floor};

    #[test]
    fn buckets_are_monotonic_and_narrow() {
        let mut value = 1_u64;
        while value < u64::MAX / 3 {
            let low = floor(bucket(value));
            assert!(
                low <= value && (value - low) as f64 <= value as f64 / 31.0,
                "{value}"
            );
            assert!(bucket(value) <= bucket(value + 1));
            value = value * 3 / 2 + 1;
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        (1..=60).for_each(|value| histogram.record(value));
        assert_eq!(histogram.quantile(0.5), 30);
        assert_eq!(histogram.quantile(1.0), 60);
        histogram.clear();
        assert_eq!(histogram.total(), 0);
    }
}

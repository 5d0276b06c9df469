//! What a decision allocates: the system's allocator, with counters.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counts the bytes that are asked for, and those that are in use.
pub struct Counting;

static BYTES: AtomicU64 = AtomicU64::new(0);
static BLOCKS: AtomicU64 = AtomicU64::new(0);
static IN_USE: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

fn more(bytes: usize) {
    BYTES.fetch_add(bytes as u64, Relaxed);
    BLOCKS.fetch_add(1, Relaxed);
    PEAK.fetch_max(IN_USE.fetch_add(bytes as u64, Relaxed) + bytes as u64, Relaxed);
}

fn less(bytes: usize) {
    IN_USE.fetch_sub(bytes as u64, Relaxed);
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Relaxed) {
            more(layout.size());
        }
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if COUNTS.load(Relaxed) {
            less(layout.size());
        }
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTS.load(Relaxed) {
            match size.checked_sub(layout.size()) {
                Some(added) => more(added),
                None => less(layout.size() - size),
            }
        }
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// While times are measured, nothing is counted: the counters would cost who allocates most.
static COUNTS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// What one piece of work took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Bytes asked for.
    pub bytes: u64,
    /// How often any were asked for.
    pub blocks: u64,
    /// The most that was in use at once, beyond what was before.
    pub peak: u64,
}

/// What `work` allocates. Of one thread at a time.
pub fn taken<T>(work: impl FnOnce() -> T) -> Taken {
    // Blocks from before may be freed meanwhile.
    let start = 1 << 40;
    IN_USE.store(start, Relaxed);
    PEAK.store(start, Relaxed);
    let (bytes, blocks) = (BYTES.load(Relaxed), BLOCKS.load(Relaxed));
    COUNTS.store(true, Relaxed);
    drop(std::hint::black_box(work()));
    COUNTS.store(false, Relaxed);
    Taken {
        bytes: BYTES.load(Relaxed) - bytes,
        blocks: BLOCKS.load(Relaxed) - blocks,
        peak: PEAK.load(Relaxed) - start,
    }
}

//! The guest's allocator: nothing that a decision allocates is ever freed.
//!
//! An instance lives for one login and is dropped whole, so to free would be work for
//! nothing. What counts is how much memory is touched: each page costs the host at the drop.
//!
//! While the policy is configured it is another matter: the memory that `configure` leaves
//! is the snapshot from which every instance starts. Parsing settings and compiling patterns
//! leave much garbage, so in that phase freed blocks are kept by size and used again.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use core::{
    alloc::{GlobalAlloc, Layout},
    arch::wasm32,
    cell::UnsafeCell,
    ptr::{self, NonNull},
};

const PAGE: usize = 1 << 16;
/// Every block is aligned at least so, and a multiple of this where it may be used again.
const GRAIN: usize = 16;
/// Blocks of 16, 32, … 2^(15 + 4) bytes.
const CLASSES: usize = 16;

unsafe extern "C" {
    /// The end of the stack and of the static data: set by the linker.
    static __heap_base: u8;
}

struct Heap {
    /// The first free byte; 0 before the first allocation.
    next: usize,
    /// The end of the memory.
    end: usize,
    /// Is the policy still being configured?
    configuring: bool,
    /// The freed blocks of each size. A free block holds the next one's address.
    free: [Option<NonNull<FreeBlock>>; CLASSES],
}

struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

struct Allocator(UnsafeCell<Heap>);

// SAFETY: the target has no threads: nothing shares the allocator.
unsafe impl Sync for Allocator {}

#[global_allocator]
static ALLOCATOR: Allocator =
    Allocator(UnsafeCell::new(Heap { next: 0, end: 0, configuring: true, free: [None; CLASSES] }));

/// The policy is configured: from here on, nothing is freed.
pub(crate) fn decide() {
    // SAFETY: there are no threads, and no reference to the heap outlives a method of
    // `GlobalAlloc`.
    unsafe { (*ALLOCATOR.0.get()).configuring = false };
}

/// The size class of a block that may be used again, and the class's number of bytes.
fn class(size: usize, align: usize) -> Option<(usize, usize)> {
    if align > GRAIN {
        return None;
    }
    let bytes = size.max(GRAIN).checked_next_power_of_two()?;
    let class = bytes.trailing_zeros().wrapping_sub(GRAIN.trailing_zeros()) as usize;
    (class < CLASSES).then_some((class, bytes))
}

impl Heap {
    fn bump(&mut self, size: usize, align: usize) -> *mut u8 {
        if self.next == 0 {
            self.next = (&raw const __heap_base).addr();
            self.end = wasm32::memory_size(0) * PAGE;
        }
        let Some(start) = self.next.checked_next_multiple_of(align) else { return ptr::null_mut() };
        let Some(stop) = start.checked_add(size) else { return ptr::null_mut() };
        if stop > self.end && !self.grow(stop) {
            return ptr::null_mut();
        }
        self.next = stop;
        ptr::with_exposed_provenance_mut(start)
    }

    #[cold]
    fn grow(&mut self, stop: usize) -> bool {
        let pages = (stop - self.end).div_ceil(PAGE);
        let before = wasm32::memory_grow(0, pages);
        if before == usize::MAX {
            return false;
        }
        self.end = (before + pages) * PAGE;
        true
    }

    #[cold]
    fn reuse(&mut self, size: usize, align: usize) -> *mut u8 {
        let Some((class, bytes)) = class(size, align) else { return self.bump(size, align.max(GRAIN)) };
        match self.free.get_mut(class) {
            Some(head) if head.is_some() => {
                let Some(block) = *head else { return ptr::null_mut() };
                // SAFETY: only `dealloc` puts blocks into the list, each with its link written.
                *head = unsafe { block.read().next };
                block.as_ptr().cast()
            }
            _ => self.bump(bytes, GRAIN),
        }
    }

    #[cold]
    fn keep(&mut self, block: *mut u8, layout: Layout) {
        let Some((class, _)) = class(layout.size(), layout.align()) else { return };
        let (Some(head), Some(block)) = (self.free.get_mut(class), NonNull::new(block.cast::<FreeBlock>())) else {
            return;
        };
        // SAFETY: the block is ours, unused, aligned and at least 16 bytes long.
        unsafe { block.write(FreeBlock { next: *head }) };
        *head = Some(block);
    }

    fn is_last(&self, block: *mut u8, size: usize) -> bool {
        block.addr() + size == self.next
    }
}

// SAFETY: blocks are aligned, do not overlap while they are in use, and are handed out
// again only after `dealloc`.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: there are no threads, and nothing below allocates.
        let heap = unsafe { &mut *self.0.get() };
        if heap.configuring {
            return heap.reuse(layout.size(), layout.align());
        }
        heap.bump(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        let heap = unsafe { &mut *self.0.get() };
        if heap.configuring {
            heap.keep(block, layout);
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        {
            // SAFETY: as in `alloc`.
            let heap = unsafe { &mut *self.0.get() };
            if heap.configuring {
                let before = class(layout.size(), layout.align());
                if before.is_some() && before == class(size, layout.align()) {
                    return block;
                }
            } else if size <= layout.size() {
                return block;
            } else if heap.is_last(block, layout.size()) {
                // A growing list or text at the end of the heap stays where it is.
                let extended = heap.bump(size - layout.size(), 1);
                return if extended.is_null() { ptr::null_mut() } else { block };
            }
        }
        // SAFETY: the caller gives a block of `layout`, and a size that fits its alignment.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

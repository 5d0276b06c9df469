;; Refuses with a reason of 10 MB.
;; Expected: ends by the output limit; or by the memory limit, where that is lower than 10 MB.
(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  ;; Nothing is ever freed.
  (func $allocate (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
    (local $start i32)
    (local.set $start (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $start) (local.get $size)))
    (local.get $start))
  ;; Zeroes are `ok`.
  (func (export "vestibule:policy/settings@0.1.0#configure") (param $json i32) (param $length i32) (result i32)
    (i32.const 1024))
  (func (export "vestibule:policy/route@0.1.0#choose") (param $attempt i32) (result i32)
    (drop (memory.grow (i32.const 160)))
    ;; The text: 10,000,000 times `a`.
    (memory.fill (i32.const 8192) (i32.const 97) (i32.const 10000000))
    ;; ok(refuse(reason { code, detail: "" }))
    (i32.store8 offset=0 (i32.const 1024) (i32.const 0))
    (i32.store8 offset=4 (i32.const 1024) (i32.const 6))
    (i32.store offset=8 (i32.const 1024) (i32.const 8192))
    (i32.store offset=12 (i32.const 1024) (i32.const 10000000))
    (i32.const 1024))
)

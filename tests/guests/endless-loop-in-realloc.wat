;; Loops forever when the host asks it for room for a question.
;; Expected: ends by fuel.
(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  (global $configured (mut i32) (i32.const 0))
  ;; Well-behaved until it is configured; nothing is ever freed.
  (func $allocate (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
    (local $start i32)
    (if (global.get $configured) (then (loop $again (br $again))))
    (local.set $start (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $start) (local.get $size)))
    (local.get $start))
  ;; Zeroes are `ok`.
  (func (export "vestibule:policy/settings@0.1.0#configure") (param $json i32) (param $length i32) (result i32)
    (global.set $configured (i32.const 1))
    (i32.const 1024))
  (func (export "vestibule:policy/route@0.1.0#choose") (param $attempt i32) (result i32)
    (i32.const 1024))
)

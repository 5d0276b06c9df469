;; Imports the file system, sockets, the environment, a clock and randomness.
;; Expected: is not loaded; the message names all five.
(module
  (import "wasi:cli/environment@0.2.0" "initial-cwd" (func $environment (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
  (import "wasi:filesystem/preopens@0.2.0" "names" (func $directories (param i32)))
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
  (import "wasi:sockets/instance-network@0.2.0" "instance-network" (func $network (result i32)))
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
    (drop (call $random))
    (drop (call $now))
    (call $environment (i32.const 2048))
    (call $directories (i32.const 2048))
    (drop (call $network))
    (i32.const 1024))
)

;; Grants `administrators`, though its manifest lets it grant nothing.
;; Expected: the contract is broken; denied.
(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  ;; Nothing is ever freed.
  (func $allocate (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
    (local $start i32)
    (local.set $start (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $start) (local.get $size)))
    (local.get $start))
  (data (i32.const 2048) "administrators")
  ;; Zeroes are `ok`.
  (func (export "vestibule:policy/settings@0.1.0#configure") (param $json i32) (param $length i32) (result i32)
    (i32.const 1024))
  (func (export "vestibule:policy/groups@0.1.0#assign") (param $question i32) (result i32)
    ;; ok(plan { grants: [grant { group: "administrators", because: … }], … })
    (i32.store offset=0 (i32.const 2080) (i32.const 2048))
    (i32.store offset=4 (i32.const 2080) (i32.const 14))
    (i32.store offset=8 (i32.const 2080) (i32.const 2048))
    (i32.store offset=12 (i32.const 2080) (i32.const 14))
    (i32.store offset=4 (i32.const 1024) (i32.const 2080))
    (i32.store offset=8 (i32.const 1024) (i32.const 1))
    (i32.const 1024))
)

;; Grants 1,000,000 groups.
;; Expected: ends by the output limit; or by the memory limit, where that is lower than the 24 MB that they need.
(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  ;; Nothing is ever freed.
  (func $allocate (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
    (local $start i32)
    (local.set $start (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $start) (local.get $size)))
    (local.get $start))
  (data (i32.const 2048) "g")
  ;; Zeroes are `ok`.
  (func (export "vestibule:policy/settings@0.1.0#configure") (param $json i32) (param $length i32) (result i32)
    (i32.const 1024))
  (func (export "vestibule:policy/groups@0.1.0#assign") (param $question i32) (result i32)
    (local $grant i32) (local $left i32)
    (drop (memory.grow (i32.const 367)))
    (local.set $grant (i32.const 8192))
    (local.set $left (i32.const 1000000))
    (loop $more
      ;; grant { group: "g", because: { code: "g", detail: "" } }
      (i32.store offset=0 (local.get $grant) (i32.const 2048))
      (i32.store offset=4 (local.get $grant) (i32.const 1))
      (i32.store offset=8 (local.get $grant) (i32.const 2048))
      (i32.store offset=12 (local.get $grant) (i32.const 1))
      (local.set $grant (i32.add (local.get $grant) (i32.const 24)))
      (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    ;; ok(plan { grants, replace: false, … })
    (i32.store offset=4 (i32.const 1024) (i32.const 8192))
    (i32.store offset=8 (i32.const 1024) (i32.const 1000000))
    (i32.const 1024))
)

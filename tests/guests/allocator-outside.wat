;; Its allocator hands out memory that it does not have.
;; Expected: its settings cannot be handed over, so it is not loaded.
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (i32.const 0x7ffffff0))
  ;; Zeroes are `ok`.
  (func (export "vestibule:policy/settings@0.1.0#configure") (param $json i32) (param $length i32) (result i32)
    (i32.const 1024))
  (func (export "vestibule:policy/route@0.1.0#choose") (param $attempt i32) (result i32)
    (i32.const 1024))
)

;; Grows its table.
(module
  (memory (export "memory") 1)
  (table 1 funcref)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (drop (table.grow 0 (ref.null func) (i32.const 1000000)))
    (i32.const 60000)))

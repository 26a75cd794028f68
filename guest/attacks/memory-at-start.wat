;; Wants 65,536 pages of memory from the start.
(module
  (memory (export "memory") 65536)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (i32.const 60000)))

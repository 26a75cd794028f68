;; Has a memory with addresses of 64 bits.
(module
  (memory (export "memory") i64 1)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (i32.const 60000)))

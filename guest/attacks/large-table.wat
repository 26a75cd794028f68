;; Has a table of a million elements.
(module
  (memory (export "memory") 1)
  (table 1000000 funcref)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (i32.const 60000)))

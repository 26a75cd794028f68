;; Computes with vectors.
(module
  (memory (export "memory") 1)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (drop (v128.const i32x4 1 2 3 4))
    (i32.const 60000)))

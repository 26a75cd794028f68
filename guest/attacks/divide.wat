;; Divides by zero.
(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (import "env" "now_s" (func $now_s (result i32)))
  (memory (export "memory") 1)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (call $set_output (i32.const 23) (i32.const 1))
    (i32.div_s (call $now_s) (i32.const 0))))

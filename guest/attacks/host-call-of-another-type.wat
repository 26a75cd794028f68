;; Calls the host through its table with another type than it has.
(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (memory (export "memory") 1)
  (table 1 funcref)
  (elem (i32.const 0) $set_output)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (call $set_output (i32.const 23) (i32.const 1))
    (call_indirect (param i32) (result i32) (i32.const 65536) (i32.const 0))))

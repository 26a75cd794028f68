;; Sets outputs to anything but 0 and 1, and outputs that do not exist.
(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (call $set_output (i32.const 23) (i32.const -2147483648))
    (call $set_output (i32.const 18) (i32.const 256))
    (call $set_output (i32.const 19) (i32.const 0))
    (call $set_output (i32.const -1) (i32.const 1))
    (call $set_output (i32.const 279) (i32.const 1))
    (call $set_output (i32.const 2147483647) (i32.const 1))
    (i32.const 60000)))
